//! The containers of this machine, read from its engine where whoever runs the node wants that: whoever may ask an engine
//! is as good as root, so nothing is asked by default.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beadmesh_protocol::sample::container::{self, Containers};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use engine::Engine;

mod engine;
mod place;

/// Events that one look does for at most; a storm of more costs one look each time.
const EVENTS_MAX: usize = 10_000;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Time between two looks when nothing happens.
    pub(crate) interval: Duration,
    /// Time in which what happens to several containers is taken together.
    pub(crate) settle: Duration,
    /// How long one container may be asked about.
    pub(crate) answer: Duration,
    /// How long one look may take before the engine counts as hanging.
    pub(crate) patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            settle: Duration::from_secs(1),
            answer: Duration::from_secs(3),
            patience: Duration::from_secs(20),
        }
    }
}

/// What a watcher has seen last; nothing before its first look.
pub(crate) type Seen = watch::Receiver<Option<Containers>>;

/// Looks at the containers of this machine.
#[derive(Debug)]
pub(crate) struct Watcher {
    sockets: Vec<PathBuf>,
    timing: Timing,
    seen: watch::Sender<Option<Containers>>,
}

impl Watcher {
    /// Makes a watcher of the engine that the variables lead to.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<OsString>, timing: Timing) -> (Self, Seen) {
        let (seen, last) = watch::channel(None);
        (Self { sockets: place::sockets(variable), timing, seen }, last)
    }

    /// Looks until the node is to stop. An engine that goes is looked for again until one is there.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let looking = async {
            loop {
                let mut likeliest = None;
                for socket in self.sockets.iter().filter(|socket| socket.exists()) {
                    let standing = self.watch(socket).await;
                    likeliest.get_or_insert(standing);
                }
                let engine = likeliest.unwrap_or_default();
                self.show(Containers { engine, ..Containers::default() });
                sleep(self.timing.interval).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = looking => {}
        }
    }

    /// Looks at the engine behind a socket again and again, at once when something happens; returns how it stands with it
    /// once it answers no more.
    async fn watch(&self, socket: &Path) -> container::Engine {
        let mut engine = match Engine::at(socket, self.timing.answer) {
            Ok(engine) => engine,
            Err(standing) => return standing,
        };
        let mut changes = Box::pin(engine.changes());
        let mut is_told = true;
        loop {
            match timeout(self.timing.patience, engine.read()).await {
                Ok(Ok(containers)) => self.show(containers),
                Ok(Err(standing)) => return standing,
                Err(_) => return container::Engine::Stalled,
            }
            tokio::select! {
                () = sleep(self.timing.interval) => {}
                change = changes.next(), if is_told => {
                    // An engine that ends tells of nothing more; the next look shows it.
                    is_told = change.is_some();
                    sleep(self.timing.settle).await;
                    pass_over(&mut changes);
                }
            }
        }
    }

    fn show(&self, containers: Containers) {
        let standing = containers.engine;
        let before = self.seen.send_replace(Some(containers)).map(|before| before.engine);
        if before == Some(standing) {
            return;
        }
        match standing.advice() {
            None => info!(engine = %standing, "containers"),
            // Nobody has to do anything on a machine without an engine.
            Some(advice) if standing == container::Engine::Absent => info!(engine = %standing, advice, "containers"),
            Some(advice) => warn!(engine = %standing, advice, "containers"),
        }
    }
}

/// Takes what has happened by now: the next look shows all of it.
fn pass_over(changes: &mut (impl Stream<Item = ()> + Unpin)) {
    for _ in 0..EVENTS_MAX {
        let Some(Some(())) = changes.next().now_or_never() else { return };
    }
}

#[cfg(test)]
mod tests;
