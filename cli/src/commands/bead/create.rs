//! `bead create`.

use beadmesh_node::api::model::{BeadBody, CreateRequest, NewDep};

use super::super::Context;
use super::super::input::Input;
use super::name;
use crate::args::CreateArgs;
use crate::failure::Failure;
use crate::output::text;
use crate::project::{self, Project};

/// Creates a bead.
pub(super) async fn run(context: &mut Context, args: CreateArgs) -> Result<(), Failure> {
    let project = context.project()?;
    let mut request = request(args, &project)?;
    // Who the user is among the agents is known once the home was opened.
    let (mut client, by) = context.founding_acting_client().await?;
    request.by = by;
    let body: BeadBody = client.post("/v1/beads", &request).await?;
    let is_local = client.is_local();
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if printer.quiet {
        return printer.line(text::clean_line(&body.bead.alias));
    }
    let stored = if is_local { "Stored here; no node is running." } else { "Stored here." };
    printer.line(format!("Created {}. {stored}", name(&body.bead)))?;
    if let Project::Nameless(folder) = &project {
        let folder = project::folder_name(folder);
        printer.note(format!("Nothing names {folder}, and no name can be noted: it is in the project `default`."))?;
    }
    Ok(())
}

fn request(args: CreateArgs, project: &Project) -> Result<CreateRequest, Failure> {
    let mut input = Input::default();
    let deps = args.blocked_by.into_iter().map(|on| NewDep { kind: "blocks".to_owned(), on }).collect();
    Ok(CreateRequest {
        project: project.for_writing()?,
        title: args.title,
        kind: args.kind,
        priority: args.priority.map(i64::from),
        description: input.optional(args.description)?,
        design: input.optional(args.design)?,
        acceptance: input.optional(args.acceptance)?,
        notes: input.optional(args.notes)?,
        assignee: args.assignee,
        estimate_minutes: args.estimate.map(i64::from),
        due_at: args.due,
        defer_until: args.defer,
        external_ref: args.external_ref,
        alias: args.alias,
        labels: args.labels,
        scopes: args.scopes,
        criteria: args.criteria,
        needs: args.needs,
        deps,
        blocks: args.blocks,
        parent: args.parent,
        by: String::new(),
    })
}
