//! `beadmesh members`: who is in the mesh.

use beadmesh_node::api::model::{Member, MembersBody, Role};

use super::Context;
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::table::{self, Column, Painted};
use crate::output::time;

/// The columns of the list.
const LAYOUT: [Column; 5] = [
    Column::new("NAME"),
    Column::new("ROLE"),
    Column::new("LET IN").spare(2),
    Column::new("BY").spare(3),
    Column::new("ID").flexible(),
];

/// Lists the members.
pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
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
        (Paint::Strong, format!("{}{here}", member.name)),
        (Paint::Plain, role.to_owned()),
        (Paint::Plain, time::day(&member.admitted_at)),
        (Paint::Plain, member.admitted_by.clone()),
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
