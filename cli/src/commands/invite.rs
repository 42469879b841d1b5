//! `beadmesh invite`: a ticket for another machine.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use beadmesh_node::api::model::{
    Empty, InviteBody, InviteRequest, InvitesBody, OpenInvite, SecretText, encode_segment,
};
use serde_json::json;

use super::target::{Target, unwritable};
use super::{Context, members};
use crate::args::{InviteArgs, InviteCommand};
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::table::{self, Column, Painted};
use crate::output::time;

/// The columns of the list.
const LAYOUT: [Column; 5] = [
    Column::new("INVITE"),
    Column::new("ROLE"),
    Column::new("LEFT"),
    Column::new("UNTIL").spare(2),
    Column::new("USED BY").flexible(),
];

/// Characters of an invite's id that are shown; `revoke` takes them.
const ID_SHOWN: usize = 8;

/// Opens an invite. The ticket alone goes to stdout, so that it can be piped.
pub(super) async fn run(context: &mut Context, args: InviteArgs) -> Result<(), Failure> {
    match args.command {
        Some(InviteCommand::List) => return list(context).await,
        Some(InviteCommand::Revoke { id }) => return revoke(context, &id).await,
        None => {}
    }
    let mut client = context.node().await?;
    let wish =
        InviteRequest { ttl_s: args.ttl.as_secs(), uses: args.uses, role: args.role.into(), approval: args.approve };
    let body: InviteBody = client.post("/v1/invites", &wish).await?;
    let printer = &mut context.printer;
    if let Some(path) = &args.output {
        keep(&body.ticket, path)?;
        if printer.json {
            // The ticket is in the file, and nowhere else.
            let told = json!({ "file": path, "expires_at": body.expires_at, "uses": body.uses, "role": body.role,
                "approval": body.approval });
            return printer.answer(&told);
        }
        printer.line(format!("The ticket is in {}.", path.display()))?;
    } else if printer.json {
        return printer.answer(&body);
    } else {
        printer.line(body.ticket.reveal())?;
    }
    let machines = if body.uses == 1 { "one machine".to_owned() } else { format!("{} machines", body.uses) };
    let until = time::minute(&body.expires_at);
    let trust = if args.approve {
        "Whoever comes by it waits for `beadmesh members approve`."
    } else {
        "Whoever has it can join: hand it on in private."
    };
    printer.note(format!("Good for {machines} until {until}. {trust}"))?;
    match &args.output {
        Some(_) if args.approve => {
            printer.note("There, run `beadmesh up --ticket-file FILE` with it, which asks until it is let in.")
        }
        None if args.approve => {
            printer.note("There, run `beadmesh up`, then `beadmesh join --request -` and paste it.")
        }
        Some(_) => printer.note("There, run `beadmesh up --ticket-file FILE` with it, or `beadmesh join - < FILE`."),
        None => printer.note("There, run `beadmesh up`, then `beadmesh join -` and paste it."),
    }
}

/// Writes a ticket to a file that only its owner can read; whoever waits for it finds nothing or all of it.
fn keep(ticket: &SecretText, path: &Path) -> Result<(), Failure> {
    let cannot = |error: io::Error| unwritable(path, &error);
    let mut target = Target::open(path).map_err(cannot)?;
    if target.is_beside() {
        target.file.set_permissions(Permissions::from_mode(0o600)).map_err(cannot)?;
    }
    writeln!(target.file, "{}", ticket.reveal()).map_err(cannot)?;
    target.keep().map_err(cannot)
}

async fn list(context: &mut Context) -> Result<(), Failure> {
    let body: InvitesBody = context.client().await?.get("/v1/invites").await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if body.invites.is_empty() {
        return printer.line("No invite is open here.");
    }
    let rows: Vec<Vec<Painted>> = body.invites.iter().map(row).collect();
    for line in table::lines(&LAYOUT, &rows, printer.columns) {
        printer.line(line)?;
    }
    Ok(())
}

async fn revoke(context: &mut Context, id: &str) -> Result<(), Failure> {
    let path = format!("/v1/invites/{}", encode_segment(id));
    let body: Empty = context.client().await?.delete(&path, &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json { printer.answer(&body) } else { printer.line("The invite is closed.") }
}

fn row(invite: &OpenInvite) -> Vec<Painted> {
    let id: String = invite.id.chars().take(ID_SHOWN).collect();
    vec![
        (Paint::Strong, id),
        (Paint::Plain, members::role(invite.role).to_owned()),
        (Paint::Plain, invite.uses_left.to_string()),
        (Paint::Plain, time::minute(&invite.expires_at)),
        (Paint::Plain, invite.used_by.join(", ")),
    ]
}
