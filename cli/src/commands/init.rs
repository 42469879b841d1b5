//! `beadmesh init`: makes a repository a project, and says what names minted in it begin with.

use beadmesh_node::api::model::{ProjectBody, ProjectRequest};

use super::Context;
use crate::args::InitArgs;
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::text;
use crate::project::{self, Project};

/// Makes the project known.
pub(super) async fn run(context: &mut Context, args: InitArgs) -> Result<(), Failure> {
    let mut keys = match context.project()? {
        Project::Known(keys) => keys,
        Project::Nameless(_) | Project::Nowhere | Project::All => Vec::new(),
    };
    if let Some(name) = &args.name {
        let key = project::key(name)?;
        if key.starts_with("name:") {
            // In place of the one that was made up.
            keys.retain(|known| !known.starts_with("name:"));
            project::give_name(&project::current_directory()?, &key)?;
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        let failure = Failure::usage("nothing here names a project");
        return Err(failure.hint("run this in a repository with a remote or a commit, or give --name"));
    }
    let mut client = context.founding_client().await?;
    let body: ProjectBody = client.post("/v1/projects", &ProjectRequest { keys, prefix: args.prefix }).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    let key = body.project.keys.first().map(|key| text::clean_line(key)).unwrap_or_default();
    let example = format!("{}-k7f3", text::clean_line(&body.project.prefix));
    printer.line(format!("Project {} is known; beads in it are named like {}.", Paint::Strong.on(&key), example))
}
