//! `beadmesh guard`: git hooks that refuse paths which another agent holds, or which are under an own lease that is not
//! held now. What can not be told is refused; `BEADMESH_GUARD=warn` lets it pass, and leaves a trace.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;

use beadmesh_node::api::model::{PathInTheWay, PathsBody, ProjectRequest};
use jiff::Timestamp;
use serde_json::json;

use self::git::{Git, Touched};
use super::lease::check;
use super::{Context, input, variable};
use crate::args::{GuardCommand, HookArg, HookArgs};
use crate::failure::{Exit, Failure};
use crate::output::text;
use crate::project;

mod chain;
mod git;
mod install;
#[cfg(test)]
mod testing;

/// The variable that says whether the guard refuses or only warns.
const GUARD_VARIABLE: &str = "BEADMESH_GUARD";

/// Where it is noted what passed though the guard did not want it to, among what git keeps for all worktrees.
const LOG: &str = "beadmesh-guard.log";

/// Bytes read of what git tells a hook: some hundred thousand branches.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the guard does about what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// Refuses.
    Refuse,
    /// Says so, notes it, and lets it pass.
    Warn,
}

/// What the guard found, before anything is done about it.
enum Judged {
    /// Nothing stands in the way.
    Free,
    /// Something does.
    Taken(PathsBody, Failure),
    /// The node was not asked, or did not answer for these paths.
    Unknown(Vec<String>, Failure),
}

/// Carries out what is to be done with the guard.
pub(super) async fn run(context: &mut Context, command: GuardCommand) -> Result<(), Failure> {
    match command {
        GuardCommand::Install(args) => install::run(context, &args),
        GuardCommand::Check => {
            let git = Git::at(project::current_directory()?);
            let touched = git.staged();
            decide(context, &git, "check", touched).await
        }
        GuardCommand::Hook(args) => hook(context, args).await,
    }
}

/// Does what a hook is for: first what was there before the guard, then the guard.
async fn hook(context: &mut Context, args: HookArgs) -> Result<(), Failure> {
    let HookArgs { hook, words } = args;
    let input = match hook {
        HookArg::Push => Some(told_by_git()?),
        HookArg::Commit | HookArg::Merge | HookArg::Patch => None,
    };
    if let Some((own, rest)) = words.split_first() {
        let code = chain::run(own.as_ref(), rest, input.as_deref())?;
        if code != 0 {
            context.printer.flush()?;
            // Whoever reads this hook's exit code means the other's.
            std::process::exit(code);
        }
    }
    let git = Git::at(project::current_directory()?);
    let touched = match (hook, &input) {
        (_, Some(input)) => git.pushed(input),
        (HookArg::Merge, None) => git.merging(),
        (_, None) => git.staged(),
    };
    decide(context, &git, install::name(hook), touched).await
}

/// Refuses what stands in the way, or warns of it.
async fn decide(
    context: &mut Context,
    git: &Git,
    hook: &str,
    touched: Result<Touched, Failure>,
) -> Result<(), Failure> {
    let strictness = strictness(variable(GUARD_VARIABLE).as_deref())?;
    let judged = judge(context, git, touched).await;
    settle(context, git, hook, judged, strictness)
}

fn settle(context: &mut Context, git: &Git, hook: &str, judged: Judged, strictness: Strictness) -> Result<(), Failure> {
    let (paths, failure) = match judged {
        Judged::Free => return Ok(()),
        Judged::Taken(body, failure) => {
            check::print(&mut context.printer, &body, Timestamp::now())?;
            (body.problems.into_iter().map(|problem| problem.path).collect(), failure)
        }
        Judged::Unknown(paths, failure) => (paths, failure),
    };
    match strictness {
        Strictness::Refuse => Err(failure),
        Strictness::Warn => {
            note(context, git, hook, &paths, &failure)?;
            let causes: String = failure.causes.iter().map(|cause| format!(": {}", text::clean_line(cause))).collect();
            context.printer.urgent(&format!("Warning: {}{causes}.", text::clean_line(&failure.message)))
        }
    }
}

/// Finds what stands in the way of writing what was touched.
async fn judge(context: &mut Context, git: &Git, touched: Result<Touched, Failure>) -> Judged {
    let Touched { paths, unreadable } = match touched {
        Ok(touched) => touched,
        Err(failure) => return Judged::Unknown(Vec::new(), unknown("which paths these are", failure)),
    };
    if unreadable > 0 {
        // Whether this can be said changes nothing about what is to be committed.
        let _ = context.printer.note(format!("{unreadable} paths are not UTF-8: no lease covers them."));
    }
    if paths.is_empty() {
        return Judged::Free;
    }
    match ask(context, git, &paths).await {
        Ok(body) if body.problems.is_empty() => Judged::Free,
        Ok(body) => {
            let failure = check::refusal(&body, paths.len());
            let failure = failure.hint(format!("wait, or write to the holder; {}", way_out()));
            Judged::Taken(body, failure)
        }
        Err(failure) => {
            let whose = if paths.len() == 1 { "a path".to_owned() } else { format!("{} paths", paths.len()) };
            Judged::Unknown(paths, unknown(&format!("who holds {whose}"), failure))
        }
    }
}

/// Asks the running node, which knows of nothing held in what is no project.
async fn ask(context: &mut Context, git: &Git, paths: &[String]) -> Result<PathsBody, Failure> {
    let projects = projects(context, git)?;
    let node = context.node().await?;
    let (mut client, _) = context.told(node).await?;
    let mut all = PathsBody { agent: None, problems: Vec::new(), held: 0 };
    let mut found = BTreeSet::new();
    for project in projects {
        let body = check::in_the_way(&mut client, &project, paths).await?;
        let new = |problem: &PathInTheWay| found.insert((problem.path.clone(), problem.claim.clone()));
        // Two names may stand for one project.
        all.problems.extend(body.problems.into_iter().filter(new));
        all.agent = body.agent.or(all.agent);
        all.held = all.held.max(body.held);
    }
    Ok(all)
}

/// Returns the projects that paths may be held in: the repository's own, which no name hides, and the one that was named.
fn projects(context: &Context, git: &Git) -> Result<Vec<ProjectRequest>, Failure> {
    if context.global.all_projects {
        return Err(Failure::usage("--all-projects does not say whose paths these are"));
    }
    // As `lease take` has it.
    let mut projects = vec![git.project()?.for_writing()?];
    if let Some(named) = context.project_given().filter(|named| !named.is_empty()) {
        let key = project::key(&named)?;
        if projects.iter().all(|own| !own.keys.contains(&key)) {
            projects.push(ProjectRequest { keys: vec![key], prefix: None });
        }
    }
    Ok(projects)
}

/// Notes that something passed.
fn note(context: &Context, git: &Git, hook: &str, paths: &[String], failure: &Failure) -> Result<(), Failure> {
    let user = context.identity().map(|identity| identity.name).ok().or_else(|| variable("USER"));
    let line = json!({
        "at": Timestamp::now().to_string(), "user": user, "hook": hook, "paths": paths, "why": failure.message,
    });
    let log = git.common()?.join(LOG);
    let opened = OpenOptions::new().create(true).append(true).open(&log);
    // One write a line, so that two commits at once do not mix theirs.
    let written = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.map_err(|error| {
        let failure = Failure::io(format!("{} cannot be written", log.display()), &error);
        failure.hint("what the guard lets pass is noted, or it does not pass")
    })
}

fn strictness(value: Option<&str>) -> Result<Strictness, Failure> {
    match value {
        None | Some("refuse") => Ok(Strictness::Refuse),
        Some("warn") => Ok(Strictness::Warn),
        Some(other) => {
            let failure = Failure::usage(format!("{GUARD_VARIABLE}={} has no meaning", text::clean_line(other)));
            Err(failure
                .hint(format!("{GUARD_VARIABLE}=warn lets things pass with a warning; it can not be turned off")))
        }
    }
}

/// Returns that the guard could not find something out, and why.
fn unknown(what: &str, failure: Failure) -> Failure {
    let Failure { exit, code, message, mut causes, hint, .. } = failure;
    causes.insert(0, message);
    let hint = hint.map(|hint| format!("{hint}; ")).unwrap_or_default();
    let failure = Failure::new(exit, &code, format!("the guard can not tell {what}"));
    Failure { causes, ..failure }.hint(format!("{hint}{}", way_out()))
}

fn way_out() -> String {
    format!("{GUARD_VARIABLE}=warn goes on all the same, and {LOG} notes it")
}

/// Reads what git tells a hook.
fn told_by_git() -> Result<Vec<u8>, Failure> {
    let over = || Failure::new(Exit::Failed, "too_large", format!("git says more than {INPUT_BYTES_MAX} bytes"));
    input::bytes(INPUT_BYTES_MAX)?.ok_or_else(over)
}

#[cfg(test)]
mod tests;
