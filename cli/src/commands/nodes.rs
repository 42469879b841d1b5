//! `beadmesh nodes`: the machines of the mesh, and how each fares.

use beadmesh_node::api::model::{Node, NodesBody};

use super::Context;
use crate::failure::{Exit, Failure};
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

/// Leaves of what is told node by node that of the one a person names; returns what people call it.
pub(super) fn only<T>(nodes: &mut Vec<T>, node: impl Fn(&T) -> &Node, wanted: &str) -> Result<Vec<String>, Failure> {
    nodes.retain(|told| node(told).name == wanted || node(told).id == wanted);
    if nodes.is_empty() {
        let failure = Failure::new(Exit::NotFound, "not_found", format!("there is no member {wanted:?}"));
        return Err(failure.hint("`beadmesh members` lists them"));
    }
    Ok(nodes.iter().map(|told| node(told).name.clone()).collect())
}
