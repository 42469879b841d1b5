//! `beadmesh demo`: three nodes in this process carry out a plan, one of them is cut off and healed, and the story is
//! told while it happens. It uses homes of its own and no other.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::fleet::{Fleet, Site};
use self::folder::Folder;
use self::story::{Ending, Story};
use self::teller::{Step, Teller};
use super::Context;
use crate::args::DemoArgs;
use crate::failure::{Exit, Failure};
use crate::output::Printer;
use crate::output::paint::Paint;

mod fleet;
mod folder;
mod plan;
mod player;
mod story;
mod teller;

/// What to try next.
const NEXT: [(&str, &str); 3] = [
    ("beadmesh up", "runs the node of this machine"),
    ("beadmesh bead create \"What to do\"", "in a repository: its first bead"),
    ("beadmesh invite", "prints a ticket, with which another machine joins"),
];

/// What became of the demo, as programs read it.
#[derive(Debug, Serialize)]
struct DemoBody {
    /// Whether all three nodes hold and export the same.
    equal: bool,
    /// How long it took.
    seconds: f64,
    /// What all of them hold.
    digest: String,
    /// How many entries that is.
    entries: u64,
    /// How many beads.
    beads: u64,
    /// How many letters.
    letters: usize,
    /// Where the homes are, if they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<PathBuf>,
    /// What happened, in order.
    steps: Vec<Step>,
}

/// Plays the story in a folder of its own, which goes in the end, however it ends.
pub(super) async fn run(context: &mut Context, args: DemoArgs) -> Result<(), Failure> {
    let interrupt = interrupt()?;
    let folder = Folder::make(&std::env::temp_dir())?;
    let mut fleet = Fleet::new(folder.path(), interrupt);
    let mut teller = Teller::new(&mut context.printer);
    let played = Story::new(&mut fleet, &mut teller).play().await;
    let (taken, steps) = teller.end();
    // Nothing may write to the folder any more when it goes.
    let stopped = fleet.stop().await;
    let kept = if args.keep { Some(folder.keep()) } else { folder.remove().map(|()| None)? };
    if let (Err(_), Some(kept)) = (&played, &kept) {
        context.printer.note(format!("The homes are in {}.", kept.display()))?;
    }
    let Ending { is_equal, digest, entries, beads, letters } = played?;
    stopped?;
    let seconds = seconds(taken);
    let body = DemoBody { equal: is_equal, seconds, digest, entries, beads, letters, kept, steps };
    report(&mut context.printer, &body)?;
    if is_equal { Ok(()) } else { Err(differ()) }
}

/// Returns what is cancelled when the process is told to end.
fn interrupt() -> Result<CancellationToken, Failure> {
    let failure = |error| Failure::io("signals cannot be waited for", &error);
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failure)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failure)?;
    let token = CancellationToken::new();
    let raised = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        raised.cancel();
    });
    Ok(token)
}

/// Prints how it ended, and what to try next.
fn report(printer: &mut Printer, body: &DemoBody) -> Result<(), Failure> {
    if printer.json {
        return printer.answer(body);
    }
    let DemoBody { equal, seconds, entries, beads, letters, .. } = body;
    let (paint, held) = if *equal { (Paint::Good, "the same") } else { (Paint::Bad, "different things") };
    if !printer.quiet {
        printer.line("")?;
    }
    let held = paint.on(&format!("All three nodes hold {held}"));
    printer.line(format!("{held}: {entries} entries, {beads} beads, {letters} letters. It took {seconds:.1} s."))?;
    if printer.quiet {
        return Ok(());
    }
    if let Some(kept) = &body.kept {
        let home = kept.join(Site::Laptop.name());
        let look = format!("beadmesh --home {} bead list --all --all-projects", home.display());
        printer.line(format!("\nThe homes are in {}. Look into one:", kept.display()))?;
        printer.line(format!("  {}", Paint::Name.on(&look)))?;
    }
    printer.line("\nTry next:")?;
    let wide = NEXT.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    NEXT.iter().try_for_each(|(command, about)| {
        let command = format!("{command:wide$}");
        printer.line(format!("  {}  {}", Paint::Name.on(&command), Paint::Faint.on(about)))
    })
}

/// Returns seconds, to the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}

fn differ() -> Failure {
    let failure = Failure::new(Exit::Failed, "unequal", "the three nodes hold or export different things in the end");
    failure.hint("this is a bug in beadmesh: run it again with --keep, and report it with the homes")
}
