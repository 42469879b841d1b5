//! Long work that Ctrl-C ends in good order.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Exit, Failure};

/// Whether the work is to end now; all copies say the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt {
    is_raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// Returns whether the work is to end now.
    pub(super) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }

    /// Says that the work is to end now.
    pub(super) fn raise(&self) {
        self.is_raised.store(true, Ordering::Relaxed);
    }

    /// Returns the same as a loop wants to know it.
    pub(super) fn flow(&self) -> ControlFlow<()> {
        if self.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Does the work on a thread of its own; Ctrl-C raises the interrupt, and a second one does not wait for its end.
pub(super) async fn interruptible<T, W>(work: W) -> Result<T, Failure>
where
    T: Send + 'static,
    W: FnOnce(&Interrupt) -> T + Send + 'static,
{
    let interrupt = Interrupt::default();
    let handed = interrupt.clone();
    let mut working = tokio::task::spawn_blocking(move || work(&handed));
    for is_last in [false, true] {
        tokio::select! {
            done = &mut working => return done.map_err(|error| broken().caused_by(&error)),
            _ = tokio::signal::ctrl_c() => {}
        }
        interrupt.raise();
        if is_last {
            break;
        }
    }
    Err(Failure::new(Exit::Failed, "interrupted", "interrupted twice; nothing of what was done is told"))
}

fn broken() -> Failure {
    Failure::new(Exit::Failed, "internal", "the simulation broke off").hint("this is a bug in beadmesh itself")
}
