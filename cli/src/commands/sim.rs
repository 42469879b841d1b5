//! `beadmesh sim`: whole meshes on a false clock, network and disk. The simulation is pure; threads, files, the real
//! clock and interrupts are here.

use std::thread;

use beadmesh_sim::report::{Row, Tone};
use beadmesh_sim::scenario::Scenario;
use serde::Serialize;

use super::Context;
use crate::args::SimCommand;
use crate::failure::Failure;
use crate::output::Printer;
use crate::output::paint::Paint;
use crate::output::table::{self, Column};
use crate::output::text;

mod interrupt;
mod leases;
mod planned;
mod run;
mod shrink;
mod sweep;
mod trial;

/// Threads of one command.
const THREADS_MAX: usize = 256;

/// Carries out a command about simulated meshes.
pub(super) async fn run(context: &mut Context, command: SimCommand) -> Result<(), Failure> {
    let printer = &mut context.printer;
    match command {
        SimCommand::Run(args) => run::run(printer, args).await,
        SimCommand::Sweep(args) => sweep::run(printer, args).await,
        SimCommand::Replay(args) => run::replay(printer, args).await,
        SimCommand::Shrink(args) => shrink::run(printer, args).await,
        SimCommand::Leases(args) => leases::run(printer, args).await,
        SimCommand::List => list(printer),
    }
}

/// A scenario, as programs read it.
#[derive(Debug, Serialize)]
struct ScenarioBody {
    name: &'static str,
    nodes: usize,
    about: &'static str,
}

/// What `sim list` says.
#[derive(Debug, Serialize)]
struct ListBody {
    scenarios: Vec<ScenarioBody>,
}

fn list(printer: &mut Printer) -> Result<(), Failure> {
    const LAYOUT: [Column; 3] =
        [Column::new("SCENARIO"), Column::new("NODES").spare(1), Column::new("ABOUT").flexible()];
    let body =
        |scenario: &Scenario| ScenarioBody { name: scenario.name(), nodes: scenario.nodes(), about: scenario.about() };
    let scenarios: Vec<ScenarioBody> = Scenario::ALL.iter().map(body).collect();
    if printer.json {
        return printer.answer(&ListBody { scenarios });
    }
    let row = |of: &ScenarioBody| {
        let nodes = format!("{:>5}", of.nodes);
        vec![(Paint::Name, of.name.to_owned()), (Paint::Plain, nodes), (Paint::Plain, of.about.to_owned())]
    };
    let rows: Vec<_> = scenarios.iter().map(row).collect();
    table::lines(&LAYOUT, &rows, printer.columns).into_iter().try_for_each(|line| printer.line(line))
}

/// Refuses seeds beyond the last there is.
fn check_seeds(first: u64, seeds: u64) -> Result<(), Failure> {
    if first.checked_add(seeds).is_some() {
        return Ok(());
    }
    let failure = Failure::usage(format!("there are no {seeds} seeds from {first} on")).field("--seeds");
    Err(failure.hint(format!("the last seed is {}", u64::MAX - 1)))
}

/// Returns on how many threads to run so many seeds: as many as wanted, or as there are cores.
fn threads(wanted: Option<u16>, seeds: u64) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = wanted.map_or(cores, usize::from).min(THREADS_MAX);
    threads.min(usize::try_from(seeds).unwrap_or(THREADS_MAX))
}

/// Prints a report.
fn print(printer: &mut Printer, rows: &[Row]) -> Result<(), Failure> {
    rows.iter().try_for_each(|Row { tone, text }| {
        let paint = match tone {
            Tone::Plain => Paint::Plain,
            Tone::Strong => Paint::Strong,
            Tone::Faint => Paint::Faint,
            Tone::Good => Paint::Good,
            Tone::Bad => Paint::Bad,
        };
        // Words of a plan that somebody else wrote must not steer the terminal.
        let text = text::clean_line(text);
        printer.line(if text.is_empty() { text } else { paint.on(&text) })
    })
}
