//! `bead show`.

use jiff::Timestamp;

use super::super::Context;
use super::{answer, found};
use crate::failure::Failure;
use crate::output::bead;
use crate::output::paint::Paint;

/// Shows beads in full, once every one of them was found.
pub(super) async fn run(context: &mut Context, ids: &[String]) -> Result<(), Failure> {
    let mut client = context.client().await?;
    let beads = found(&mut client, ids).await?;
    let printer = &mut context.printer;
    if printer.json {
        return answer(printer, beads, ids);
    }
    for (at, bead) in beads.iter().enumerate() {
        if at > 0 {
            let rule = "─".repeat(printer.text_columns());
            printer.line(format!("\n{}\n", Paint::Faint.on(&rule)))?;
        }
        for line in bead::lines(bead, printer.text_columns(), Timestamp::now()) {
            printer.line(line)?;
        }
    }
    Ok(())
}
