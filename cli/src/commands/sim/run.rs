//! `sim run` and `sim replay`: one run, and what became of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use beadmesh_sim::outcome::{Figures, Line, Outcome, Violation};
use beadmesh_sim::plan::Plan;
use beadmesh_sim::report::{self, Facts, Story};
use beadmesh_sim::timeline;
use serde::Serialize;

use super::interrupt::interruptible;
use super::planned::{self, Promised};
use super::trial;
use crate::args::{ReplayArgs, RunArgs, ShownArgs};
use crate::failure::{Exit, Failure};
use crate::output::Printer;
use crate::output::progress::Progress;

/// What `sim run` says to programs.
#[derive(Debug, Serialize)]
struct RunBody<'a> {
    seed: u64,
    scenario: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    planted: Option<&'a str>,
    digest: String,
    violations: &'a [Violation],
    nodes: u32,
    virtual_s: f64,
    real_s: f64,
    events: u64,
    figures: &'a Figures,
    seen: &'a BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<&'a [Line]>,
    replay: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<PathBuf>,
}

/// Runs a mesh from a seed.
pub(super) async fn run(printer: &mut Printer, args: RunArgs) -> Result<(), Failure> {
    let RunArgs { seed, scenario, planned, plan: file, shown } = args;
    let plan = planned::draw(seed, scenario, &planned)?;
    // It is written before the run, so that it is there whatever the run does.
    if let Some(file) = &file {
        Promised::open(file)?.write(&plan.text())?;
        printer.note(format!("Wrote {}.", file.display()))?;
    }
    let replay = match &file {
        Some(file) => format!("beadmesh sim replay {}", planned::quoted(file)),
        None => planned::command(seed, scenario, &planned),
    };
    show(printer, Task { plan, replay, file, shown }).await
}

/// Runs a plan from its file.
pub(super) async fn replay(printer: &mut Printer, args: ReplayArgs) -> Result<(), Failure> {
    let ReplayArgs { file, shown } = args;
    let plan = planned::read(&file)?;
    let replay = format!("beadmesh sim replay {}", planned::quoted(&file));
    show(printer, Task { plan, replay, file: Some(file), shown }).await
}

/// What is to be run and shown.
struct Task {
    plan: Plan,
    /// The command that does it again.
    replay: String,
    /// Where the plan is.
    file: Option<PathBuf>,
    shown: ShownArgs,
}

/// Runs a plan, and tells what became of it.
async fn show(printer: &mut Printer, task: Task) -> Result<(), Failure> {
    let Task { plan, replay, file, shown } = task;
    let picture = shown.timeline.as_deref().map(Promised::open).transpose()?;
    let Finished { plan, outcome, took } = finish(printer, plan).await?;
    if let Some(picture) = picture {
        picture.write(&timeline::svg(&plan, &outcome))?;
    }
    if printer.json {
        let body = RunBody {
            seed: plan.seed,
            scenario: &plan.scenario,
            planted: plan.planted.as_deref(),
            digest: format!("{:016x}", outcome.digest),
            violations: &outcome.violations,
            nodes: outcome.nodes,
            virtual_s: Duration::from_micros(outcome.virtual_us).as_secs_f64(),
            real_s: took.as_secs_f64(),
            events: outcome.events,
            figures: &outcome.figures,
            seen: &outcome.seen,
            story: shown.trace.then_some(&outcome.story),
            replay: &replay,
            plan: file.clone(),
            timeline: shown.timeline,
        };
        printer.answer(&body)?;
    } else {
        let story = if shown.trace { Story::Whole } else { Story::Short };
        let real_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let facts = Facts { plan: &plan, outcome: &outcome, real_ms, replay: &replay, story };
        super::print(printer, &report::run(&facts))?;
        if let Some(picture) = &shown.timeline {
            printer.note(format!("Wrote {}.", picture.display()))?;
        }
    }
    match outcome.violations.len() {
        0 => Ok(()),
        count => {
            let found = if count == 1 { "1 violation".to_owned() } else { format!("{count} violations") };
            let failure = Failure::new(Exit::Failed, "violations", format!("{found} in {}", told(&plan)));
            Err(failure.hint(match file {
                Some(file) => format!("`beadmesh sim shrink {}` finds what of it matters", planned::quoted(&file)),
                None => {
                    "the same with --plan FILE keeps the plan, and `beadmesh sim shrink FILE` cuts it down".to_owned()
                }
            }))
        }
    }
}

/// A run that came to its end.
pub(super) struct Finished {
    /// What was to happen.
    pub(super) plan: Plan,
    /// What happened.
    pub(super) outcome: Outcome,
    /// How long it took.
    pub(super) took: Duration,
}

/// Runs a plan to its end, while a bar shows how far it is.
pub(super) async fn finish(printer: &Printer, plan: Plan) -> Result<Finished, Failure> {
    let (run, end_ms) = (told(&plan), plan.span_ms.saturating_add(plan.settle_ms));
    let progress = Progress::share(printer, "Running", end_ms);
    let bar = progress.clone();
    let work = interruptible(move |interrupt| {
        let begun = Instant::now();
        let mut reached_ms = 0;
        let ran = trial::run(&plan, &mut |at_ms| {
            reached_ms = at_ms;
            bar.reach(at_ms.min(end_ms));
            interrupt.flow()
        });
        match ran {
            Some(outcome) => Ok(Finished { plan, outcome, took: begun.elapsed() }),
            None => Err(reached_ms),
        }
    });
    let finished = work.await;
    progress.clear();
    finished?.map_err(|reached_ms| {
        let reached = beadmesh_sim::quantity::span(reached_ms);
        let message = format!("stopped after {reached} of {}", beadmesh_sim::quantity::span(end_ms));
        Failure::new(Exit::Failed, "interrupted", message).hint(format!("{run} is told of at its end alone"))
    })
}

/// Names the run of a plan.
fn told(plan: &Plan) -> String {
    format!("seed {} of {}", plan.seed, crate::output::text::clean_line(&plan.scenario))
}
