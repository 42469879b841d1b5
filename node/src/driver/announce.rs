//! Telling the mesh where this node can be reached: every change, but a node that changes places all the time writes
//! few entries.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use beadmesh_store::command::Command;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::debug;

use crate::core::Core;

/// Time in which changes are taken together: those of one move come one by one.
const SETTLE: Duration = Duration::from_secs(1);

/// Announcements of one span, and the span; whoever needs another one sooner meets this node by dialling.
const SPAN_MAX: usize = 4;
const SPAN: Duration = Duration::from_secs(4 * 60);

/// Tells the mesh where this node can be reached, whenever that changes; only the latest counts.
pub(super) async fn run(core: Core, mut addresses: watch::Receiver<Vec<String>>) {
    // Members of a mesh that is entered have to be told as well.
    let mut events = core.events();
    let mut pace = Pace::default();
    loop {
        sleep_until(pace.next(Instant::now()).into()).await;
        let now = addresses.borrow_and_update().clone();
        if !now.is_empty() {
            match core.call(Command::Announce(now)).await {
                Ok(_) => pace.on_announced(Instant::now()),
                Err(error) => debug!(%error, "addresses not announced"),
            }
        }
        let mesh = core.mesh();
        loop {
            tokio::select! {
                changed = addresses.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                event = events.recv() => match event {
                    Err(RecvError::Closed) => return,
                    _ if core.mesh() != mesh => {
                        // Where it is can not wait: nobody there knows.
                        pace = Pace::default();
                        break;
                    }
                    _ => {}
                },
            }
        }
    }
}

/// When the last announcements were made.
#[derive(Debug, Default)]
struct Pace(VecDeque<Instant>);

impl Pace {
    /// Returns when the next one may be made, of a change that happens now.
    fn next(&self, now: Instant) -> Instant {
        match self.0.front() {
            None => now,
            Some(first) if self.0.len() >= SPAN_MAX => (*first + SPAN).max(now + SETTLE),
            Some(_) => now + SETTLE,
        }
    }

    fn on_announced(&mut self, now: Instant) {
        self.0.push_back(now);
        if self.0.len() > SPAN_MAX {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_changes_places_all_the_time_announces_few() {
        let begin = Instant::now();
        let (mut pace, mut now, mut made) = (Pace::default(), begin, 0);
        assert_eq!(pace.next(now), now, "the first one is not kept waiting");
        while now < begin + 10 * SPAN {
            now = pace.next(now);
            pace.on_announced(now);
            made += 1;
        }
        assert!(made <= 11 * SPAN_MAX, "{made}");
        assert_eq!(pace.next(now + 2 * SPAN), now + 2 * SPAN + SETTLE, "after a quiet time only what comes together");
    }
}
