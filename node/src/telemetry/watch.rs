//! A thread that reads something again and again, and a watchdog on it: what hangs there holds up nobody else.
//!
//! Drivers and file systems answer when they like. Whoever wants to know takes the last reading, or hears that the thread
//! has been in one call for too long; when that call returns, readings come again.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use tokio::sync::watch;

use crate::clock;

/// How long a thread may take to end with its node; one that hangs is left to the end of the process.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// What is read again and again.
pub(super) trait Source: 'static {
    /// What is read.
    type Reading: Clone + Send + 'static;

    /// Reads it, however long that takes.
    fn read(&mut self) -> Self::Reading;
}

/// Watches a thread that reads.
#[derive(Debug)]
pub(super) struct Watch<R> {
    shared: Arc<Mutex<Shared<R>>>,
    patience: Duration,
    /// How old a reading may be; an older one is of before the machine slept.
    age_max: Duration,
    /// Dropped, it ends the thread.
    end: Option<mpsc::Sender<()>>,
    ended: watch::Receiver<bool>,
}

/// How it stands with a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Latest<R> {
    /// The first one is not there yet, or the next after the machine slept.
    None,
    /// This is the last one.
    Read(R),
    /// The thread hangs; before that it read this.
    Stalled(Option<R>),
}

#[derive(Debug)]
struct Shared<R> {
    reading: Option<(R, Instant)>,
    /// Since when the thread is in a call.
    since: Option<Instant>,
}

impl<R: Clone + Send + 'static> Watch<R> {
    /// Starts the thread, which makes its source itself: making one may hang, too.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start<S: Source<Reading = R>>(
        name: &str,
        make: impl FnOnce() -> S + Send + 'static,
        interval: Duration,
        patience: Duration,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared { reading: None, since: Some(clock::mono()) }));
        let (end, told) = mpsc::channel();
        let (ending, ended) = watch::channel(false);
        let filled = Arc::clone(&shared);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut source = make();
            loop {
                lock(&filled).since = Some(clock::mono());
                let reading = source.read();
                *lock(&filled) = Shared { reading: Some((reading, clock::mono())), since: None };
                match told.recv_timeout(interval) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            drop(source);
            ending.send_replace(true);
        })?;
        let age_max = interval + patience;
        Ok(Self { shared, patience, age_max, end: Some(end), ended })
    }

    /// Returns the last reading, unless the thread has been at the next for too long.
    pub(super) fn latest(&self, now: Instant) -> Latest<R> {
        let shared = lock(&self.shared);
        let reading = shared.reading.clone();
        match (shared.since, reading) {
            (Some(since), reading) if now.since(since) > self.patience => Latest::Stalled(reading.map(|(it, _)| it)),
            (_, Some((reading, at))) if now.since(at) <= self.age_max => Latest::Read(reading),
            _ => Latest::None,
        }
    }

    /// Ends the thread, and waits for that if it does not hang.
    pub(super) async fn stop(mut self) {
        self.end.take();
        let ended = self.ended.wait_for(|ended| *ended);
        // Whether it ended, panicked or hangs, there is nothing more to do.
        let _ = tokio::time::timeout(END_PATIENCE, ended).await;
    }
}

fn lock<R>(shared: &Mutex<Shared<R>>) -> MutexGuard<'_, Shared<R>> {
    // Nothing panics while it is held.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Reads whatever it is given, and hangs until then.
    struct Given {
        given: Receiver<u32>,
        asked: Sender<()>,
    }

    impl Source for Given {
        type Reading = u32;

        fn read(&mut self) -> u32 {
            let _ = self.asked.send(());
            self.given.recv().unwrap_or(0)
        }
    }

    fn given() -> (Watch<u32>, Sender<u32>, Receiver<()>) {
        let (give, given) = channel();
        let (asked, asking) = channel();
        let make = move || Given { given, asked };
        let watch = Watch::start("given", make, Duration::from_millis(1), Duration::from_secs(5)).unwrap();
        (watch, give, asking)
    }

    fn later() -> Instant {
        Instant::from_micros(clock::mono().as_micros() + 6_000_000)
    }

    #[test]
    fn what_hangs_is_stalled_and_recovers_when_it_answers() {
        let (watch, give, asking) = given();
        asking.recv().unwrap();
        assert_eq!(watch.latest(clock::mono()), Latest::None);
        assert_eq!(watch.latest(later()), Latest::Stalled(None));
        give.send(7).unwrap();
        // It asks again only once it has taken the answer.
        asking.recv().unwrap();
        assert_eq!(watch.latest(clock::mono()), Latest::Read(7));
        assert_eq!(watch.latest(later()), Latest::Stalled(Some(7)));
        give.send(8).unwrap();
        asking.recv().unwrap();
        assert_eq!(watch.latest(clock::mono()), Latest::Read(8));
    }

    #[tokio::test]
    async fn a_thread_that_is_not_hanging_ends_with_its_watch() {
        let (watch, give, asking) = given();
        asking.recv().unwrap();
        drop(give);
        let ended = watch.ended.clone();
        watch.stop().await;
        assert!(*ended.borrow());
    }

    #[test]
    fn what_was_read_before_the_machine_slept_is_not_what_is_so_now() {
        let (asked, _asking) = channel();
        let (give, given) = channel();
        give.send(7).unwrap();
        let make = move || Given { given, asked };
        let hour = Duration::from_secs(3_600);
        let watch = Watch::start("given", make, hour, Duration::from_secs(5)).unwrap();
        while watch.latest(clock::mono()) != Latest::Read(7) {
            thread::yield_now();
        }
        assert_eq!(watch.latest(clock::mono().after(hour)), Latest::Read(7));
        assert_eq!(watch.latest(clock::mono().after(hour + Duration::from_secs(6))), Latest::None);
    }
}
