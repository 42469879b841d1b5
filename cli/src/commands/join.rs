//! `beadmesh join`: enters the mesh that a ticket comes from.

use beadmesh_node::api::model::{JoinBody, JoinRequest, SecretText};

use super::Context;
use super::input::Input;
use crate::args::JoinArgs;
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::text;

/// Joins a mesh.
pub(super) async fn run(context: &mut Context, args: JoinArgs) -> Result<(), Failure> {
    let mut client = context.node().await?;
    let ticket = Input::default().text(args.ticket)?;
    let wish = JoinRequest { ticket: SecretText::new(ticket.trim().to_owned()) };
    let body: JoinBody = client.post("/v1/join", &wish).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    let mesh = Paint::Strong.on(&text::clean_line(&body.mesh.name));
    printer.line(format!("Joined {mesh} by way of {}.", text::clean_line(&body.inviter)))?;
    match body.beads {
        0 => Ok(()),
        1 => printer.line("1 bead was taken along."),
        beads => printer.line(format!("{beads} beads were taken along.")),
    }?;
    printer.note("What the mesh holds is on its way; `beadmesh status` shows how far it has come.")
}
