//! `bead show`.

use beadmesh_node::api::model::BeadBody;
use jiff::Timestamp;

use super::super::Context;
use super::{BeadsBody, path};
use crate::failure::Failure;
use crate::output::bead;
use crate::output::paint::Paint;

/// Shows beads in full: one as `bead`, several as `beads`.
pub(super) async fn run(context: &mut Context, ids: &[String]) -> Result<(), Failure> {
    let mut client = context.client().await?;
    let mut beads = Vec::new();
    for id in ids {
        let body: BeadBody = client.get(&path(id, "")?).await?;
        if context.printer.json {
            beads.push(body.bead);
            continue;
        }
        let printer = &mut context.printer;
        if id != &ids[0] {
            let rule = "─".repeat(printer.text_columns());
            printer.line(format!("\n{}\n", Paint::Faint.on(&rule)))?;
        }
        for line in bead::lines(&body.bead, printer.text_columns(), Timestamp::now()) {
            printer.line(line)?;
        }
    }
    let printer = &mut context.printer;
    match (printer.json, beads.len()) {
        (false, _) => Ok(()),
        (true, 1) => printer.answer(&BeadBody { bead: beads.swap_remove(0) }),
        (true, _) => printer.answer(&BeadsBody { beads }),
    }
}
