//! `sim leases`: many lease cells on all cores. What it says does not depend on how many threads ran it.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use beadmesh_sim::cell::plan::Plan;
use beadmesh_sim::cell::{self, COVERAGE_SEEDS_MIN, Outcome, Tally};
use beadmesh_sim::outcome::Violation;
use beadmesh_sim::report::{Row, Tone};
use serde::Serialize;

use super::interrupt::{Interrupt, interruptible};
use crate::args::LeasesArgs;
use crate::failure::{Exit, Failure};
use crate::output::Printer;
use crate::output::progress::Progress;

/// Failing seeds that are shown.
const FAILED_SHOWN: usize = 10;

/// What `sim leases` says to programs.
#[derive(Debug, Serialize)]
struct LeasesBody<'a> {
    seed: u64,
    seeds: usize,
    stopped: bool,
    failed_seeds: u64,
    failed: &'a BTreeMap<u64, Vec<Violation>>,
    digest: String,
    leases: u64,
    events: u64,
    virtual_s: f64,
    real_s: f64,
    seen: BTreeMap<&'static str, u64>,
    never_seen: Vec<&'static str>,
}

/// Runs cells, and tells what they came to.
pub(super) async fn run(printer: &mut Printer, args: LeasesArgs) -> Result<(), Failure> {
    let LeasesArgs { seeds, seed: first, threads, planted } = args;
    super::check_seeds(first, seeds)?;
    if let Some(bug) = planted.as_deref().filter(|bug| !Plan::can_have(bug)) {
        return Err(Failure::usage(format!("bug {bug:?} is not known to this build")).field("--planted"));
    }
    let threads = super::threads(threads, seeds);
    let begun = Instant::now();
    let progress = Progress::steps(printer, "Running lease cells", seeds);
    let bar = progress.clone();
    let work = interruptible(move |interrupt| {
        let field = Field { first, seeds, planted, threads };
        field.run(interrupt, &bar)
    });
    let ran = work.await;
    progress.clear();
    let tally = ran?;
    let took = begun.elapsed();
    if printer.json {
        printer.answer(&body(&tally, (first, seeds), took))?;
    } else {
        super::print(printer, &report(&tally, (first, seeds), took))?;
    }
    verdict(&tally, seeds)
}

/// What is run.
struct Field {
    first: u64,
    seeds: u64,
    planted: Option<String>,
    threads: usize,
}

impl Field {
    /// Runs all seeds, or as many as there is time for until the interrupt is raised.
    fn run(&self, interrupt: &Interrupt, bar: &Progress) -> Tally {
        let next = AtomicU64::new(0);
        let mut tally = Tally::default();
        thread::scope(|scope| {
            let (sender, outcomes) = sync_channel(self.threads * 4);
            for _ in 0..self.threads {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.work(interrupt, next, &sender));
            }
            drop(sender);
            for (seed, outcome) in outcomes {
                tally.add(seed, outcome);
                bar.add(1);
            }
        });
        tally
    }

    /// Takes seed after seed until there is none left.
    fn work(&self, interrupt: &Interrupt, next: &AtomicU64, sender: &SyncSender<(u64, Outcome)>) {
        while !interrupt.is_raised() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= self.seeds {
                return;
            }
            let seed = self.first + at;
            let mut plan = Plan::draw(seed);
            plan.planted.clone_from(&self.planted);
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| cell::run(&plan))).unwrap_or_else(|_| panicked());
            if sender.send((seed, outcome)).is_err() {
                return;
            }
        }
    }
}

/// Returns what a run came to that panicked; the panic itself has been told.
fn panicked() -> Outcome {
    let what = "the code under test panicked".to_owned();
    let violations = vec![Violation { check: "panic", at_ms: 0, node: None, what }];
    Outcome { digest: 0, violations, events: 0, virtual_us: 0, leases: 0, seen: BTreeMap::new() }
}

fn body(tally: &Tally, (seed, wanted): (u64, u64), took: Duration) -> LeasesBody<'_> {
    LeasesBody {
        seed,
        seeds: tally.seeds(),
        stopped: (tally.seeds() as u64) < wanted,
        failed_seeds: tally.failures,
        failed: &tally.failed,
        digest: format!("{:016x}", tally.digest()),
        leases: tally.leases,
        events: tally.events,
        virtual_s: Duration::from_micros(tally.virtual_us).as_secs_f64(),
        real_s: took.as_secs_f64(),
        seen: tally.seen.iter().map(|(name, (times, _))| (*name, *times)).collect(),
        never_seen: tally.never_seen(),
    }
}

fn report(tally: &Tally, (first, wanted): (u64, u64), took: Duration) -> Vec<Row> {
    let row = |tone, text: String| Row { tone, text };
    let done = if (tally.seeds() as u64) < wanted { format!("{} of ", tally.seeds()) } else { String::new() };
    let fate = if tally.failures == 0 { "none failed".to_owned() } else { format!("{} failed", tally.failures) };
    let tone = if tally.failures == 0 { Tone::Strong } else { Tone::Bad };
    let mut rows = vec![
        row(tone, format!("{done}{wanted} lease cells from {first}: {fate}.")),
        row(
            Tone::Faint,
            format!(
                "  {} leases in {} s of virtual and {:.1} s of real time, {} events; digest {:016x}.",
                tally.leases,
                tally.virtual_us / 1_000_000,
                took.as_secs_f64(),
                tally.events,
                tally.digest()
            ),
        ),
    ];
    for (name, (times, seeds)) in &tally.seen {
        rows.push(row(Tone::Plain, format!("  {name:32}{times:>14} times in {seeds} seeds")));
    }
    for (seed, violations) in tally.failed.iter().take(FAILED_SHOWN) {
        rows.push(row(Tone::Bad, format!("  beadmesh sim leases --seeds 1 --seed {seed}")));
        let told = violations.iter().take(3).map(|violation| {
            row(Tone::Plain, format!("    {} at {} ms: {}", violation.check, violation.at_ms, violation.what))
        });
        rows.extend(told);
    }
    rows
}

/// Returns how the command ends: failures come before what else is to be said.
fn verdict(tally: &Tally, wanted: u64) -> Result<(), Failure> {
    if tally.failures > 0 {
        let hint = "run one seed again with `beadmesh sim leases --seeds 1 --seed N`";
        return Err(Failure::new(Exit::Failed, "violations", format!("{} seeds failed", tally.failures)).hint(hint));
    }
    if (tally.seeds() as u64) < wanted {
        let what = format!("stopped after {} of {wanted} seeds", tally.seeds());
        return Err(Failure::new(Exit::Failed, "interrupted", what));
    }
    let never = tally.never_seen();
    if wanted < COVERAGE_SEEDS_MIN || never.is_empty() || cfg!(planted) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "never_seen", format!("never seen: {}", never.join("; "))))
}
