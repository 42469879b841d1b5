//! The terminal that the screen is shown on. It is given back as it was, however the program ends.

use std::io;
use std::thread;

use jiff::Timestamp;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Hide;
use ratatui::crossterm::event::{Event, read};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, enable_raw_mode};
use ratatui::{DefaultTerminal, Terminal};
use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::top::Screen;

/// The signal that a stopped program goes on by.
pub(super) const CONTINUED: SignalKind = SignalKind::from_raw(Signal::CONT.as_raw());

/// Keys that may wait to be taken.
const KEYS_MAX: usize = 64;

/// A terminal that was taken, and is given back when this is dropped.
pub(super) struct Stage {
    terminal: DefaultTerminal,
}

impl Stage {
    /// Takes the terminal. A panic gives it back before it says what is wrong.
    pub(super) fn enter() -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| unusable(&error))?;
        Ok(Self { terminal })
    }

    /// Draws a frame.
    pub(super) fn draw(&mut self, screen: &Screen) -> Result<(), Failure> {
        let now = Timestamp::now();
        let drawn = self.terminal.draw(|frame| screen.draw(frame, now));
        drawn.map(|_| ()).map_err(|error| unusable(&error))
    }

    /// Gives the terminal back and stops, as the key for that does elsewhere; `resume` takes it again.
    pub(super) fn suspend(&mut self) -> Result<(), Failure> {
        ratatui::try_restore().map_err(|error| unusable(&error))?;
        kill_current_process_group(Signal::TSTP).map_err(|error| unusable(&error.into()))?;
        // Where no shell could let it go on, the system does not stop it.
        self.resume()
    }

    /// Takes the terminal again, whatever stands on it by now.
    pub(super) fn resume(&mut self) -> Result<(), Failure> {
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), Hide))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        // A new one draws everything. `clear` of the one before would ask the terminal where its cursor is, and the
        // thread that reads keys would get the answer.
        self.terminal = taken.map_err(|error| unusable(&error))?;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Where that fails there is no terminal any more.
        let _ = ratatui::try_restore();
    }
}

/// Reads keys on a thread of its own, which ends with the process: nothing else can wait for a terminal.
pub(super) fn keys() -> mpsc::Receiver<Event> {
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    thread::spawn(move || {
        while let Ok(event) = read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// Listens for signals, any of which does.
pub(super) fn signals<const N: usize>(kinds: [SignalKind; N]) -> Result<mpsc::Receiver<()>, Failure> {
    let (sender, signals) = mpsc::channel(1);
    for kind in kinds {
        let mut came = signal(kind).map_err(|error| Failure::io("signals can not be waited for", &error))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while came.recv().await.is_some() {
                // One that waits does for all.
                if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                    return;
                }
            }
        });
    }
    Ok(signals)
}

fn unusable(error: &io::Error) -> Failure {
    Failure::io("the terminal can not be used", error).hint("`beadmesh top --once` prints one frame as text")
}
