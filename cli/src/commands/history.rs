//! `beadmesh history`: how one number fared on one machine.

use std::fs;

use beadmesh_node::api::model::{HistoryBody, encode_segment};

use super::Context;
use crate::args::HistoryArgs;
use crate::failure::Failure;
use crate::output::chart;

/// Prints it as a line of bars, or draws it into a file.
pub(super) async fn run(context: &mut Context, args: HistoryArgs) -> Result<(), Failure> {
    let mut client = context.node().await?;
    let path = format!("/v1/history/{}/{}", encode_segment(&args.node), encode_segment(&args.metric));
    let body: HistoryBody = client.get(&path).await?;
    let printer = &mut context.printer;
    if let Some(file) = &args.svg {
        let written = fs::write(file, chart::svg(&body));
        written.map_err(|error| Failure::io(format!("{} can not be written", file.display()), &error))?;
        printer.note(format!("Drawn into {}.", file.display()))?;
    }
    if printer.json {
        return printer.answer(&body);
    }
    if args.svg.is_none() {
        for line in chart::lines(&body, printer.text_columns()) {
            printer.line(line)?;
        }
    }
    Ok(())
}
