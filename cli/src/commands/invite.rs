//! `beadmesh invite`: a ticket for another machine.

use beadmesh_node::api::model::{InviteBody, InviteRequest};

use super::Context;
use crate::args::InviteArgs;
use crate::failure::Failure;
use crate::output::time;

/// Opens an invite. The ticket alone goes to stdout, so that it can be piped.
pub(super) async fn run(context: &mut Context, args: InviteArgs) -> Result<(), Failure> {
    let mut client = context.node().await?;
    let wish = InviteRequest { ttl_s: args.ttl.as_secs(), uses: args.uses, role: args.role.into() };
    let body: InviteBody = client.post("/v1/invites", &wish).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    printer.line(body.ticket.reveal())?;
    let machines = if body.uses == 1 { "one machine".to_owned() } else { format!("{} machines", body.uses) };
    let until = time::minute(&body.expires_at);
    printer.note(format!("Good for {machines} until {until}. Whoever has it can join: hand it on in private."))?;
    printer.note("There, run `beadmesh up`, then `beadmesh join -` and paste it.")
}
