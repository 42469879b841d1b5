//! `beadmesh join`: enters the mesh that a ticket comes from.

use std::time::Duration;

use beadmesh_node::api::model::{JoinBody, JoinRequest, SecretText};
use beadmesh_node::network::APPROVAL_PENDING;
use tokio::time::sleep;

use super::Context;
use super::input::Input;
use crate::args::JoinArgs;
use crate::failure::{Exit, Failure};
use crate::output::paint::Paint;
use crate::output::text;

/// Time between two asks of a machine that waits to be approved: slower than the inviter allows strangers of one address
/// to come.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

/// Asks in a row that find nobody, after which whoever made the ticket counts as gone: half an hour of those that wait
/// half a minute each.
const SILENT_MAX: u32 = 60;

/// Joins a mesh.
pub(super) async fn run(context: &mut Context, args: JoinArgs) -> Result<(), Failure> {
    let ticket = Input::default().text(args.ticket)?;
    let wish = JoinRequest { ticket: SecretText::new(ticket.trim().to_owned()) };
    let body = if args.request { approved(context, &wish).await? } else { ask(context, &wish).await? };
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

async fn ask(context: &mut Context, wish: &JoinRequest) -> Result<JoinBody, Failure> {
    context.node().await?.post("/v1/join", wish).await
}

/// Asks again and again while nobody has approved this machine; it ends with the ticket, or with the inviter.
async fn approved(context: &mut Context, wish: &JoinRequest) -> Result<JoinBody, Failure> {
    let (mut is_told, mut silent) = (false, 0);
    loop {
        match ask(context, wish).await {
            Err(failure) if &*failure.code == APPROVAL_PENDING && is_told => silent = 0,
            Err(failure) if &*failure.code == APPROVAL_PENDING => {
                is_told = true;
                let message = failure.message;
                context.printer.urgent(&format!(
                    "Waiting: {message}. Whoever made the ticket lets it in with `beadmesh members approve FINGERPRINT`."
                ))?;
            }
            // The inviter may sleep or be on its way to another network meanwhile.
            Err(failure) if is_told && failure.exit == Exit::Timeout && silent < SILENT_MAX => silent += 1,
            asked => return asked,
        }
        sleep(ASK_INTERVAL).await;
    }
}
