//! `sim shrink`: cuts a failing plan down to the little that makes it fail.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use beadmesh_sim::outcome::Violation;
use beadmesh_sim::plan::Plan;
use beadmesh_sim::shrink::{End, Shrunk, shrink};
use serde::Serialize;

use super::interrupt::{Interrupt, interruptible};
use super::planned::{self, Promised};
use super::run::{self, Finished};
use super::trial;
use crate::args::ShrinkArgs;
use crate::failure::{Exit, Failure};
use crate::output::Printer;
use crate::output::paint::Paint;
use crate::output::progress::Progress;
use crate::output::text;

/// What of a plan is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Size {
    faults: usize,
    wishes: usize,
    nodes: usize,
    span_ms: u64,
}

impl Size {
    fn of(plan: &Plan) -> Self {
        let Plan { faults, wishes, nodes, span_ms, .. } = plan;
        Self { faults: faults.len(), wishes: wishes.len(), nodes: nodes.len(), span_ms: *span_ms }
    }
}

/// What `sim shrink` says to programs.
#[derive(Debug, Serialize)]
struct ShrinkBody<'a> {
    check: &'a str,
    violation: &'a Violation,
    runs: u32,
    end: &'static str,
    before: Size,
    after: Size,
    plan: &'a Path,
    replay: String,
}

/// Shrinks a plan, and writes what is left.
pub(super) async fn run(printer: &mut Printer, args: ShrinkArgs) -> Result<(), Failure> {
    let ShrinkArgs { file, out, check, runs } = args;
    let plan = planned::read(&file)?;
    let out = out.unwrap_or_else(|| beside(&file));
    let promised = Promised::open(&out)?;
    let Finished { plan, outcome, .. } = run::finish(printer, plan).await?;
    let wanted = |violation: &&Violation| check.as_deref().is_none_or(|check| violation.check == check);
    let Some(first) = outcome.violations.iter().find(wanted).cloned() else {
        return Err(not_failing(&outcome.violations, check.as_deref()));
    };
    let before = Size::of(&plan);
    let shrunk = cut(printer, plan, first.check, runs).await?;
    promised.write(&shrunk.plan.text())?;
    let after = Size::of(&shrunk.plan);
    let violation = shrunk.violation.as_ref().unwrap_or(&first);
    let end = match shrunk.end {
        End::Smallest => "smallest",
        End::Spent => "spent",
        End::Stopped => "stopped",
    };
    let replay = format!("beadmesh sim replay {}", planned::quoted(&out));
    if printer.json {
        let (check, runs, plan) = (first.check, shrunk.runs, out.as_path());
        printer.answer(&ShrinkBody { check, violation, runs, end, before, after, plan, replay })?;
    } else {
        for line in lines(before, after, &shrunk, violation) {
            printer.line(line)?;
        }
        printer.line(format!("  Again: {replay}"))?;
    }
    match shrunk.end {
        End::Stopped => {
            let message = format!("stopped after {} of {runs} runs", shrunk.runs);
            let failure = Failure::new(Exit::Failed, "interrupted", message);
            Err(failure.hint(format!("{} holds what was reached; it can be shrunk further", out.display())))
        }
        End::Smallest | End::Spent => Ok(()),
    }
}

/// Cuts the plan down, while a bar shows how small it is.
async fn cut(printer: &Printer, plan: Plan, check: &'static str, runs: u32) -> Result<Shrunk, Failure> {
    let progress = Progress::steps(printer, "Shrinking", runs.into());
    let bar = progress.clone();
    let shrunk = interruptible(move |interrupt| {
        shrink(&plan, check, runs, &mut |candidate| {
            bar.add(1);
            let Size { faults, wishes, nodes, .. } = Size::of(candidate);
            bar.say(format!("Trying {faults} faults, {wishes} wishes, {nodes} nodes"));
            verdict(candidate, interrupt)
        })
    });
    let shrunk = shrunk.await;
    progress.clear();
    shrunk
}

fn verdict(candidate: &Plan, interrupt: &Interrupt) -> ControlFlow<(), Vec<Violation>> {
    match trial::run(candidate, &mut |_| interrupt.flow()) {
        Some(outcome) if !interrupt.is_raised() => ControlFlow::Continue(outcome.violations),
        _ => ControlFlow::Break(()),
    }
}

fn lines(before: Size, after: Size, shrunk: &Shrunk, violation: &Violation) -> Vec<String> {
    let row = |name: &str, before: String, after: String| {
        format!("  {name:8}{before:>12}  {} {}", Paint::Faint.on("→"), Paint::Strong.on(&after))
    };
    let numbers = [("faults", before.faults, after.faults), ("wishes", before.wishes, after.wishes)];
    let numbers = numbers.into_iter().chain([("nodes", before.nodes, after.nodes)]);
    let span = beadmesh_sim::quantity::span;
    let mut lines = vec![match shrunk.end {
        End::Smallest => format!("Nothing more can go after {} runs.", shrunk.runs),
        End::Spent => format!("The {} runs are used up; more may find a smaller plan.", shrunk.runs),
        End::Stopped => format!("Stopped after {} runs.", shrunk.runs),
    }];
    lines.extend(numbers.map(|(name, before, after)| row(name, before.to_string(), after.to_string())));
    lines.push(row("span", span(before.span_ms), span(after.span_ms)));
    let faults = shrunk.plan.faults.iter().take(20).map(|fault| {
        let nodes: Vec<String> = fault.trouble.nodes().iter().map(|node| format!("n{node}")).collect();
        let at = beadmesh_sim::quantity::moment(fault.at_ms, shrunk.plan.span_ms);
        format!("  {at}  {}  {} for {}", nodes.join(", "), fault.trouble.name(), span(fault.for_ms))
    });
    lines.extend(faults);
    lines.push(format!("  {}: {}", Paint::Bad.on(violation.check), text::clean_line(&violation.what)));
    lines
}

/// Returns where the small plan goes when nobody says so.
fn beside(file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    file.with_file_name(format!("{stem}.min.json"))
}

fn not_failing(violations: &[Violation], check: Option<&str>) -> Failure {
    let checks: std::collections::BTreeSet<&str> = violations.iter().map(|violation| violation.check).collect();
    match check {
        Some(check) if !checks.is_empty() => {
            let failed = checks.into_iter().collect::<Vec<_>>().join(", ");
            let failure = Failure::usage(format!("the plan does not fail with {check}")).field("--check");
            failure.hint(format!("it fails with {failed}"))
        }
        _ => {
            let failure = Failure::usage("the plan does not fail, so there is nothing to shrink").field("FILE");
            failure.hint("a plan fails with the code that it failed with; look at which version wrote it")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use beadmesh_sim::outcome::Violation;

    use super::{beside, not_failing};
    use crate::failure::Exit;

    #[test]
    fn a_small_plan_lies_beside_the_big_one() {
        assert_eq!(beside(Path::new("plans/seed-7.json")), Path::new("plans/seed-7.min.json"));
        assert_eq!(beside(Path::new("plan")), Path::new("plan.min.json"));
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        assert_eq!(not_failing(&[], Some("loss")).exit, Exit::Usage);
        let found = Violation { check: "order", at_ms: 1, node: None, what: String::new() };
        let failure = not_failing(&[found.clone(), found], Some("loss"));
        assert_eq!(failure.hint.as_deref(), Some("it fails with order"));
    }
}
