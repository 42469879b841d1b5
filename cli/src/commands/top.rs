//! `beadmesh top`: joins the screen to a terminal and to the node, or prints one frame of it.

use std::io::IsTerminal;

use beadmesh_node::api::model::{BeadPage, ClaimsBody, ContainersBody, GpusBody, LettersBody, NodesBody, PeersBody};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyEvent};
use tokio::pin;
use tokio::signal::unix::SignalKind;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, MissedTickBehavior, interval};

use super::Context;
use crate::args::TopArgs;
use crate::failure::Failure;
use crate::output::text;
use crate::top::{Order, Screen, View};

mod feed;
mod stage;

use feed::Want;
use stage::Stage;

/// Cells of a frame where no terminal says them.
const FRAME: (u16, u16) = (80, 24);

/// Time between two frames while nothing comes, so that ages go on.
const FRAME_INTERVAL: Duration = Duration::from_secs(1);

/// What the node says that may wait to be shown.
const TOLD_MAX: usize = 64;

/// Shows the screen until somebody ends it, or one frame.
pub(super) async fn run(context: &mut Context, args: TopArgs) -> Result<(), Failure> {
    if context.printer.json {
        return answer(context, args.view).await;
    }
    if args.once || !std::io::stdout().is_terminal() {
        return once(context, &args).await;
    }
    // That no node is running is told on the command line, and not on an empty screen.
    drop(context.node().await?);
    let screen = Screen::new(args.view, context.printer.is_coloured());
    let (wants, wanted) = watch::channel(Want { view: args.view, letter: None });
    let (teller, mut told) = mpsc::channel(TOLD_MAX);
    let feed = feed::run(context, wanted, teller);
    pin!(feed);
    tokio::select! {
        () = &mut feed => Ok(()),
        shown = show(screen, &wants, &mut told) => shown,
    }
}

/// Draws, and takes what comes: keys, what the node says, signals.
async fn show(
    mut screen: Screen,
    wants: &watch::Sender<Want>,
    told: &mut mpsc::Receiver<crate::top::Told>,
) -> Result<(), Failure> {
    let mut ends = stage::signals([SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])?;
    let mut continued = stage::signals([stage::CONTINUED])?;
    let mut stage = Stage::enter()?;
    let mut keys = stage::keys();
    let mut frames = interval(FRAME_INTERVAL);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        stage.draw(&screen)?;
        tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) if !obey(&mut screen, key, wants, &mut stage)? => return Ok(()),
                Some(_) => {}
                None => return Ok(()),
            },
            Some(said) = told.recv() => {
                screen.hear(said, Timestamp::now());
                // What came meanwhile is drawn with it.
                while let Ok(said) = told.try_recv() {
                    screen.hear(said, Timestamp::now());
                }
            }
            _ = ends.recv() => return Ok(()),
            _ = continued.recv() => stage.resume()?,
            _ = frames.tick() => {}
        }
    }
}

/// Takes a key; returns whether to go on.
fn obey(screen: &mut Screen, key: KeyEvent, wants: &watch::Sender<Want>, stage: &mut Stage) -> Result<bool, Failure> {
    match screen.key(key, Timestamp::now()) {
        Some(Order::Quit) => return Ok(false),
        Some(Order::Suspend) => stage.suspend()?,
        Some(Order::Look(view)) => {
            wants.send_replace(Want { view, letter: None });
        }
        Some(Order::Read(letter)) => {
            wants.send_replace(Want { view: View::Mail, letter: Some(letter) });
        }
        None => {}
    }
    Ok(true)
}

/// Prints one frame as text.
async fn once(context: &mut Context, args: &TopArgs) -> Result<(), Failure> {
    let (mut client, unproven) = context.watched_node().await?;
    let mut screen = Screen::new(args.view, false);
    let want = Want { view: args.view, letter: None };
    for said in feed::look(&mut client, &want, unproven.as_ref()).await? {
        screen.hear(said, Timestamp::now());
    }
    let printer = &mut context.printer;
    let width = args.width.or(printer.columns).unwrap_or(FRAME.0);
    let height = args.height.or(printer.rows()).unwrap_or(FRAME.1);
    // Ratatui's backend for tests is one that draws into memory, which is what is wanted here.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let now = Timestamp::now();
    let Ok(_) = terminal.draw(|frame| screen.draw(frame, now));
    let buffer = terminal.backend().buffer();
    for row in buffer.content.chunks(usize::from(width.max(1))) {
        let mut line = String::new();
        let mut covered = 0;
        for cell in row {
            // A letter that is two columns wide covers the cell after it.
            if covered == 0 {
                line.push_str(cell.symbol());
                covered = text::width(cell.symbol());
            }
            covered = covered.saturating_sub(1);
        }
        printer.line(line.trim_end())?;
    }
    Ok(())
}

/// Prints what a view is made of, as the API says it.
async fn answer(context: &mut Context, view: View) -> Result<(), Failure> {
    let (mut client, unproven) = context.watched_node().await?;
    let printer = &mut context.printer;
    match (view, unproven) {
        (View::Mail, Some(unproven)) => Err(unproven),
        (View::Mail, None) => printer.answer(&client.get::<LettersBody>(feed::path(view)).await?),
        (View::Nodes, _) => printer.answer(&client.get::<NodesBody>(feed::path(view)).await?),
        (View::Gpus, _) => printer.answer(&client.get::<GpusBody>(feed::path(view)).await?),
        (View::Containers, _) => printer.answer(&client.get::<ContainersBody>(feed::path(view)).await?),
        (View::Beads, _) => printer.answer(&client.get::<BeadPage>(feed::path(view)).await?),
        (View::Leases, _) => printer.answer(&client.get::<ClaimsBody>(feed::path(view)).await?),
        (View::Peers, _) => printer.answer(&client.get::<PeersBody>(feed::path(view)).await?),
    }
}
