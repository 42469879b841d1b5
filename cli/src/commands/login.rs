//! `beadmesh login`: lets a browser of this machine in to the node's API.

use beadmesh_node::api::model::{Empty, LoginBody};

use super::Context;
use crate::failure::Failure;

/// Makes a code. The address alone goes to stdout, so that it can be handed to a browser.
pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
    let mut client = context.node().await?;
    let body: LoginBody = client.post("/v1/login", &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    printer.line(body.url.reveal())?;
    printer.note(format!("Good for one browser of this machine, within {} s.", body.ttl_s))
}
