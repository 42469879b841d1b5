//! `beadmesh members` and `beadmesh leave`: who is in the mesh, and who is to be in it no more.

use std::io::{self, IsTerminal};

use beadmesh_node::api::model::{
    ApplicantsBody, Empty, Member, MemberBody, MemberRequest, MembersBody, OwnerRequest, RemovedBody, Role,
    encode_segment,
};

use super::Context;
use crate::args::{MembersArgs, MembersCommand, Sure};
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::table::{self, Column, Painted};
use crate::output::{text, time};

/// The columns of the list.
const LAYOUT: [Column; 5] = [
    Column::new("NAME"),
    Column::new("ROLE"),
    Column::new("LET IN").spare(2),
    Column::new("BY").spare(3),
    Column::new("ID").flexible(),
];

/// The columns of the list of machines that wait.
const WAITING: [Column; 4] = [
    Column::new("FINGERPRINT"),
    Column::new("TO BE"),
    Column::new("SINCE").spare(2),
    Column::new("CALLS ITSELF").flexible(),
];

/// Carries out what is to be done with members.
pub(super) async fn run(context: &mut Context, args: MembersArgs) -> Result<(), Failure> {
    match args.command {
        None | Some(MembersCommand::List) => list(context).await,
        Some(MembersCommand::Remove { node, sure }) => remove(context, &node, &sure).await,
        Some(MembersCommand::Owner { node, sure }) => give(context, &node, &sure).await,
        Some(MembersCommand::Requests) => requests(context).await,
        Some(MembersCommand::Approve { fingerprint }) => approve(context, &fingerprint).await,
        Some(MembersCommand::Deny { fingerprint }) => deny(context, &fingerprint).await,
        Some(MembersCommand::Role { node, role }) => {
            change(context, &node, &MemberRequest { role: Some(role.into()), name: None }).await
        }
        Some(MembersCommand::Rename { node, name }) => {
            change(context, &node, &MemberRequest { role: None, name: Some(name) }).await
        }
    }
}

/// Takes this node out of its mesh.
pub(super) async fn leave(context: &mut Context, sure: &Sure) -> Result<(), Failure> {
    confirm(context, sure, "this machine would leave the mesh, and only a new ticket would let it in again")?;
    // The others hear of it by the node's links.
    let body: RemovedBody = context.node().await?.post("/v1/leave", &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    printer.line("This machine is in the mesh no more.")?;
    printer.note("What it has written stays there. To begin anew, move its home away.")
}

async fn remove(context: &mut Context, node: &str, sure: &Sure) -> Result<(), Failure> {
    let shown: String = node.chars().filter(|char| !char.is_control()).take(80).collect();
    confirm(context, sure, &format!("{shown} would be removed, and nothing it writes from then on would have effect"))?;
    let path = format!("/v1/members/{}", encode_segment(node));
    let body: RemovedBody = context.client().await?.delete(&path, &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    printer.line(format!("{} is removed.", text::clean_line(&body.removed.name)))?;
    printer.note("What it had written and this node holds stays. A new ticket would let it in again; old ones do not.")
}

async fn give(context: &mut Context, node: &str, sure: &Sure) -> Result<(), Failure> {
    let shown: String = node.chars().filter(|char| !char.is_control()).take(80).collect();
    confirm(context, sure, &format!("{shown} would own the mesh, and this machine could not take it back"))?;
    let wish = OwnerRequest { node: Some(node.to_owned()), recovery_key: None };
    owned(context, &wish).await
}

/// Has another machine own the mesh, and says so.
pub(super) async fn owned(context: &mut Context, wish: &OwnerRequest) -> Result<(), Failure> {
    let body: MemberBody = context.client().await?.post("/v1/owner", wish).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    printer.line(format!("{} owns the mesh now.", text::clean_line(&body.member.name)))?;
    printer.note("Who owned it before is an admin still; `beadmesh members` shows who may do what.")
}

async fn requests(context: &mut Context) -> Result<(), Failure> {
    let body: ApplicantsBody = context.client().await?.get("/v1/applicants").await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if body.applicants.is_empty() {
        return printer.line("No machine waits to be approved here.");
    }
    let cells = body.applicants.iter().map(|applicant| {
        let since = time::minute(&applicant.since);
        vec![
            (Paint::Strong, applicant.fingerprint.clone()),
            (Paint::Plain, role(applicant.role).to_owned()),
            (Paint::Plain, since),
            (Paint::Plain, text::clean_line(&applicant.name)),
        ]
    });
    let rows: Vec<Vec<Painted>> = cells.collect();
    for line in table::lines(&WAITING, &rows, printer.columns) {
        printer.line(line)?;
    }
    Ok(())
}

async fn approve(context: &mut Context, fingerprint: &str) -> Result<(), Failure> {
    let path = format!("/v1/applicants/{}", encode_segment(fingerprint));
    let body: MemberBody = context.client().await?.post(&path, &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    let Member { name, role: given, .. } = &body.member;
    printer.line(format!("{} is {} now.", text::clean_line(name), role(*given)))?;
    printer.note("It hears of it when it asks the next time, within seconds if it was run with --request.")
}

async fn deny(context: &mut Context, fingerprint: &str) -> Result<(), Failure> {
    let path = format!("/v1/applicants/{}", encode_segment(fingerprint));
    let body: Empty = context.client().await?.delete(&path, &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json { printer.answer(&body) } else { printer.line("It is turned away.") }
}

async fn change(context: &mut Context, node: &str, wish: &MemberRequest) -> Result<(), Failure> {
    let path = format!("/v1/members/{}", encode_segment(node));
    let body: MemberBody = context.client().await?.patch(&path, wish).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    let (name, given) = (text::clean_line(&body.member.name), body.member.role);
    match &wish.name {
        Some(_) => printer.line(format!("It is called {name} now.")),
        None => printer.line(format!("{name} is {} now.", role(given))),
    }
}

/// Asks on a terminal whether something is meant; elsewhere it has to be said beforehand. `what` would happen.
fn confirm(context: &mut Context, sure: &Sure, what: &str) -> Result<(), Failure> {
    if sure.yes {
        return Ok(());
    }
    let say_so = || Failure::usage(format!("{what}; nothing was done")).hint("repeat the command with --yes");
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(say_so());
    }
    context.printer.note(format!("{what}. Type yes to go on."))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::io("standard input cannot be read", &error))?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) { Ok(()) } else { Err(say_so()) }
}

async fn list(context: &mut Context) -> Result<(), Failure> {
    let mut client = context.client().await?;
    let body: MembersBody = client.get("/v1/members").await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    let rows: Vec<Vec<Painted>> = body.members.iter().map(row).collect();
    for line in table::lines(&LAYOUT, &rows, printer.columns) {
        printer.line(line)?;
    }
    Ok(())
}

fn row(member: &Member) -> Vec<Painted> {
    let here = if member.here { " (here)" } else { "" };
    let role = if member.owner { "owner" } else { role(member.role) };
    vec![
        (Paint::Strong, format!("{}{here}", text::clean_line(&member.name))),
        (Paint::Plain, role.to_owned()),
        (Paint::Plain, time::day(&member.admitted_at)),
        (Paint::Plain, text::clean_line(&member.admitted_by)),
        (Paint::Faint, member.id.clone()),
    ]
}

/// Returns the word for a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Observer => "observer",
        Role::Member => "member",
        Role::Admin => "admin",
    }
}
