//! Plans: drawn from a seed, read from a file, written to one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use beadmesh_sim::plan::{FILE_BYTES_MAX, Plan, PlanError};
use beadmesh_sim::planner::{self, Wanted};
use beadmesh_sim::scenario::Scenario;

use super::super::target::{Target, unwritable};
use crate::args::PlannedArgs;
use crate::failure::{Exit, Failure};

/// Draws a plan.
pub(super) fn draw(seed: u64, scenario: Scenario, args: &PlannedArgs) -> Result<Plan, Failure> {
    let wanted = Wanted {
        nodes: args.nodes,
        span_ms: args.span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        edits_per_s: args.edits_per_second,
        churn_per_min: args.churn_per_minute,
    };
    let mut plan = planner::plan(seed, scenario, &wanted).map_err(|error| failure(&error))?;
    plan.planted.clone_from(&args.planted);
    runnable(plan)
}

/// Reads a plan from its file.
pub(super) fn read(path: &Path) -> Result<Plan, Failure> {
    let unreadable = |error: io::Error| {
        let failure = Failure::io(format!("{} cannot be read", path.display()), &error).field("FILE");
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidData => {
                let failure = Failure { exit: Exit::Usage, ..failure };
                failure.hint("name the file of a plan; `beadmesh sim run --plan FILE` writes one")
            }
            _ => failure,
        }
    };
    let file = File::open(path).map_err(unreadable)?;
    let bound = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    file.take(bound).read_to_string(&mut text).map_err(unreadable)?;
    Plan::parse(&text).map_err(|error| failure(&error)).and_then(runnable)
}

/// A file that is found writable before the work begins whose result it takes.
pub(super) struct Promised<'a> {
    path: &'a Path,
    target: Target,
}

impl<'a> Promised<'a> {
    /// Opens the file.
    pub(super) fn open(path: &'a Path) -> Result<Self, Failure> {
        let target = Target::open(path).map_err(|error| unwritable(path, &error))?;
        Ok(Self { path, target })
    }

    /// Writes the text, and puts the file in its place.
    pub(super) fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.target.file.write_all(text.as_bytes()).and_then(|()| self.target.keep());
        written.map_err(|error| unwritable(self.path, &error))
    }
}

/// Returns the plan, if this build can run it.
fn runnable(plan: Plan) -> Result<Plan, Failure> {
    match &plan.planted {
        Some(bug) if !cfg!(planted) => Err(failure(&PlanError::NotPlanted(bug.clone()))),
        _ => Ok(plan),
    }
}

/// Returns what is wrong with a plan.
fn failure(error: &PlanError) -> Failure {
    match error {
        PlanError::Bound { field, .. } => {
            let failure = Failure::usage(error.to_string()).field(field);
            failure.hint(format!("set {field} to what is allowed; `beadmesh sim list` tells what there is"))
        }
        PlanError::Form(source) => {
            let failure = Failure::usage(error.to_string());
            let failure = match named(&source.to_string()) {
                Some(field) => failure.field(field),
                None => failure,
            };
            failure.hint(
                "`beadmesh sim run --plan FILE` writes a plan that can be read; an older one may need its version",
            )
        }
        PlanError::NotPlanted(_) => {
            let failure = Failure::usage(error.to_string()).field("planted");
            failure.hint("leave the bug out, or build with it")
        }
    }
}

/// Returns the field that an error of the JSON reader is about.
fn named(error: &str) -> Option<&str> {
    let rest =
        ["unknown field `", "missing field `", "duplicate field `"].iter().find_map(|lead| error.strip_prefix(lead));
    rest?.split('`').next()
}

/// Returns the command that runs a seed again.
pub(super) fn command(seed: u64, scenario: Scenario, args: &PlannedArgs) -> String {
    let mut command = format!("beadmesh sim run --seed {seed} --scenario {}", scenario.name());
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            command.push_str(&format!(" --{name} {value}"));
        }
    };
    flag("nodes", args.nodes.map(|nodes| nodes.to_string()));
    flag("span", args.span.map(|span| format!("{}s", span.as_secs())));
    flag("edits-per-second", args.edits_per_second.map(|edits| edits.to_string()));
    flag("churn-per-minute", args.churn_per_minute.map(|churn| churn.to_string()));
    flag("planted", args.planted.clone());
    command
}

/// Returns a path as a shell reads it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:@%".contains(letter);
    match text.chars().all(is_plain) && !text.starts_with('-') {
        true => text,
        false if text.starts_with('-') => format!("'./{}'", text.replace('\'', r"'\''")),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
pub(super) mod tests;
