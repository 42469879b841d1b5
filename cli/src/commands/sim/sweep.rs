//! `sim sweep`: many seeds on all cores. What it says does not depend on how many threads ran it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use beadmesh_sim::plan::Plan;
use beadmesh_sim::report::{self, SweepFacts};
use beadmesh_sim::scenario::Scenario;
use beadmesh_sim::sweep::{COVERAGE_SEEDS_MIN, Failed, Sweep, Trial, is_run_twice, parting, turn};
use serde::Serialize;

use super::interrupt::{Interrupt, interruptible};
use super::planned::{self, Promised};
use super::trial;
use crate::args::{PlannedArgs, SweepArgs};
use crate::failure::{Exit, Failure};
use crate::output::Printer;
use crate::output::progress::Progress;

/// What one scenario came to, as programs read it.
#[derive(Debug, Serialize)]
struct ScenarioBody {
    scenario: &'static str,
    seeds: u64,
    failed: u64,
    events: u64,
    virtual_s: f64,
}

/// What `sim sweep` says to programs.
#[derive(Debug, Serialize)]
struct SweepBody<'a> {
    seed: u64,
    seeds: u64,
    stopped: bool,
    failed_seeds: u64,
    failed: Vec<&'a Failed>,
    digest: String,
    seen: BTreeMap<&'static str, u64>,
    never_seen: Vec<&'static str>,
    scenarios: Vec<ScenarioBody>,
    events: u64,
    virtual_s: f64,
    real_s: f64,
    threads: usize,
}

/// Runs a sweep, and tells what it came to.
pub(super) async fn run(printer: &mut Printer, args: SweepArgs) -> Result<(), Failure> {
    let field = Field::new(args)?;
    let (first, seeds, is_wide) = (field.first, field.seeds, field.scenario.is_none());
    let threads = field.threads;
    let begun = Instant::now();
    let progress = Progress::steps(printer, "Sweeping", seeds);
    let bar = progress.clone();
    let work = interruptible(move |interrupt| field.sweep(interrupt, &bar));
    let swept = work.await;
    progress.clear();
    let sweep = swept??;
    let took = begun.elapsed();
    if printer.json {
        printer.answer(&body(&sweep, (first, seeds), took, threads))?;
    } else {
        let real_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        super::print(printer, &report::sweep(&SweepFacts { sweep: &sweep, first, seeds, real_ms, threads }))?;
    }
    verdict(&sweep, seeds, is_wide)
}

/// What is swept.
struct Field {
    first: u64,
    seeds: u64,
    /// The scenario of all seeds; without one they take turns.
    scenario: Option<Scenario>,
    planned: PlannedArgs,
    threads: usize,
    keep: Option<PathBuf>,
}

impl Field {
    /// Returns what is to be swept, once it is known that it can be.
    fn new(args: SweepArgs) -> Result<Self, Failure> {
        let SweepArgs { seeds, seed: first, scenario, planned, threads, keep } = args;
        super::check_seeds(first, seeds)?;
        // What cannot be planned for one seed cannot be for any.
        planned::draw(first, scenario.unwrap_or_else(|| turn(first)), &planned)?;
        if let Some(folder) = &keep {
            let unwritable =
                |error| Failure::io(format!("{} cannot be written", folder.display()), &error).field("--keep");
            fs::create_dir_all(folder).map_err(unwritable)?;
            // An old file of that name would stay as it is.
            drop(Promised::open(&folder.join("seed.json"))?);
        }
        let threads = super::threads(threads, seeds);
        Ok(Self { first, seeds, scenario, planned, threads, keep })
    }

    /// Runs all seeds, or as many as there is time for until the interrupt is raised.
    fn sweep(&self, interrupt: &Interrupt, bar: &Progress) -> Result<Sweep, Failure> {
        let next = AtomicU64::new(0);
        let mut sweep = Sweep::new();
        let mut kept = Ok(());
        thread::scope(|scope| {
            let (sender, trials) = sync_channel(self.threads * 4);
            for _ in 0..self.threads {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.work(interrupt, next, &sender));
            }
            drop(sender);
            for trial in trials {
                match trial.and_then(|(trial, plan)| self.keep(trial, &plan)) {
                    Ok(trial) => sweep.add(trial),
                    Err(failure) => {
                        kept = Err(failure);
                        interrupt.raise();
                    }
                }
                bar.add(1);
                let failed = sweep.total().failed;
                if failed > 0 {
                    bar.say(format!("Sweeping, {failed} failed"));
                }
            }
        });
        kept.map(|()| sweep)
    }

    /// Takes seed after seed until there is none left.
    fn work(&self, interrupt: &Interrupt, next: &AtomicU64, sender: &SyncSender<Result<(Trial, Plan), Failure>>) {
        while !interrupt.is_raised() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= self.seeds {
                return;
            }
            let Some(trial) = self.trial(self.first + at, interrupt).transpose() else { return };
            if sender.send(trial).is_err() {
                return;
            }
        }
    }

    /// Runs one seed, some a second time; returns nothing when it is interrupted.
    fn trial(&self, seed: u64, interrupt: &Interrupt) -> Result<Option<(Trial, Plan)>, Failure> {
        let scenario = self.scenario.unwrap_or_else(|| turn(seed));
        let plan = planned::draw(seed, scenario, &self.planned)?;
        let Some(mut outcome) = trial::run(&plan, &mut |_| interrupt.flow()) else { return Ok(None) };
        if is_run_twice(seed) {
            let Some(second) = trial::run(&plan, &mut |_| interrupt.flow()) else { return Ok(None) };
            // It comes first: nothing else that was found can be relied on.
            let violations = parting(&outcome, &second).into_iter().chain(std::mem::take(&mut outcome.violations));
            outcome.violations = violations.collect();
        }
        let replay = planned::command(seed, scenario, &self.planned);
        Ok(Some((Trial::new(seed, scenario, outcome, replay), plan)))
    }

    /// Writes the plan of a seed that failed.
    fn keep(&self, trial: Trial, plan: &Plan) -> Result<Trial, Failure> {
        let Some(folder) = self.keep.as_deref().filter(|_| !trial.violations.is_empty()) else { return Ok(trial) };
        let path = folder.join(format!("seed-{}-{}.json", trial.seed, trial.scenario));
        Promised::open(&path)?.write(&plan.text())?;
        Ok(Trial { plan: Some(told(&path)), ..trial })
    }
}

fn told(path: &Path) -> String {
    path.display().to_string()
}

fn seconds(virtual_us: u64) -> f64 {
    Duration::from_micros(virtual_us).as_secs_f64()
}

fn body(sweep: &Sweep, (seed, wanted): (u64, u64), took: Duration, threads: usize) -> SweepBody<'_> {
    let total = sweep.total();
    let scenarios = sweep.scenarios.iter().map(|(scenario, row)| ScenarioBody {
        scenario,
        seeds: row.seeds,
        failed: row.failed,
        events: row.events,
        virtual_s: seconds(row.virtual_us),
    });
    SweepBody {
        seed,
        seeds: total.seeds,
        stopped: total.seeds < wanted,
        failed_seeds: total.failed,
        failed: sweep.failed.values().collect(),
        digest: format!("{:016x}", sweep.digest()),
        seen: sweep.seen.iter().map(|(name, sight)| (*name, sight.times)).collect(),
        never_seen: sweep.never_seen(),
        scenarios: scenarios.collect(),
        events: total.events,
        virtual_s: seconds(total.virtual_us),
        real_s: took.as_secs_f64(),
        threads,
    }
}

/// Returns how the command ends: failures come before what else is to be said.
fn verdict(sweep: &Sweep, wanted: u64, is_wide: bool) -> Result<(), Failure> {
    let total = sweep.total();
    let stopped = (total.seeds < wanted).then(|| format!("stopped after {} of {wanted} seeds", total.seeds));
    let hint = "with --keep DIR a sweep writes the plans of failing seeds there, for `beadmesh sim shrink`";
    match (total.failed, stopped) {
        (0, Some(stopped)) => Err(Failure::new(Exit::Failed, "interrupted", stopped)),
        (0, None) => {
            let never = sweep.never_seen();
            if !is_wide || wanted < COVERAGE_SEEDS_MIN || never.is_empty() {
                return Ok(());
            }
            let failure = Failure::new(Exit::Failed, "never_seen", format!("never seen: {}", never.join("; ")));
            Err(failure.hint("what never happens is not tested: the planner must make it likelier"))
        }
        (failed, stopped) => {
            let stopped = stopped.map(|stopped| format!("{stopped}; ")).unwrap_or_default();
            let failed = if failed == 1 { "1 seed".to_owned() } else { format!("{failed} seeds") };
            Err(Failure::new(Exit::Failed, "violations", format!("{stopped}{failed} failed")).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests;
