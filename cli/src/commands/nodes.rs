//! `beadmesh nodes`: the machines of the mesh, and how each fares.

use beadmesh_node::api::model::NodesBody;

use super::Context;
use crate::failure::Failure;
use crate::output::machine;

/// Lists the machines.
pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
    let mut client = context.node().await?;
    let body: NodesBody = client.get("/v1/nodes").await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    for line in machine::nodes(&body.nodes, printer.columns) {
        printer.line(line)?;
    }
    Ok(())
}
