//! What this machine is and does, told to the mesh; and what the other machines told.
//!
//! Cards and host are each read on a thread of their own, which may hang. A task takes the last readings every two seconds,
//! keeps them, and tells them by notices. Nothing of it touches the replica.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::clock::{Instant, Wall};
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::notice::Notice;
use beadmesh_protocol::sample::container::Containers;
use beadmesh_protocol::sample::gpu::{Backend, Process, State};
use beadmesh_protocol::sample::{Facts, Said, Sample, Stamp, Telemetry as Told};
use beadmesh_store::command::{Answer, Command};
use beadmesh_store::replica::Event;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::alarms::Watched;
use crate::clock;
use crate::containers::Seen;
use crate::core::Core;
use crate::net::Handle;

mod cards;
mod demo;
mod fleet;
mod history;
mod host;
mod metric;
mod nvml;
mod process;
mod watch;

pub(crate) use fleet::{Change, Fleet, View};
pub(crate) use history::{History, Points};
pub(crate) use metric::{Metric, MetricError};
use watch::{Latest, Watch};

/// The folder in the home where measurements are kept, and the file in it that says when the node last began to speak.
const FOLDER: &str = "telemetry";
const STARTED: &str = "started";

/// How often the machine is read.
const READ_INTERVAL: Duration = Duration::from_secs(2);

/// Time between two samples of each member that the mesh has: so all of them together come ten times a second at most.
const INTERVAL_A_MEMBER: Duration = Duration::from_millis(100);

/// How long one reading may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often facts and processes are told that have not changed.
const AGAIN_INTERVAL: Duration = Duration::from_secs(30);

/// How long after its link a peer hears notices for sure.
const LINK_WAIT: Duration = Duration::from_secs(3);

/// What the node knows of machines; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry(Arc<Known>);

#[derive(Debug)]
struct Known {
    fleet: Fleet,
    history: History,
    watched: Watched,
    /// Cards of this machine of which it is known that no process is on them.
    unused: Mutex<BTreeSet<u8>>,
}

impl Telemetry {
    /// Begins with nothing known, and keeps measurements in the home of `own` at `dir`.
    pub(crate) fn new(dir: &Path, own: NodeId) -> Self {
        let (fleet, watched) = (Fleet::default(), Watched::default());
        Self(Arc::new(Known { fleet, history: History::at(dir.join(FOLDER), own), watched, unused: Mutex::default() }))
    }

    /// Returns what machines said last.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    /// Returns what was measured over time.
    pub(crate) fn history(&self) -> &History {
        &self.0.history
    }

    /// Returns how it stands with what is watched on this machine.
    pub(crate) fn watched(&self) -> &Watched {
        &self.0.watched
    }

    /// Returns the cards of this machine of which it is known that no process was on them when they were read last.
    pub(crate) fn unused(&self) -> BTreeSet<u8> {
        self.lock_unused().clone()
    }

    fn lock_unused(&self) -> MutexGuard<'_, BTreeSet<u8>> {
        // Nothing panics while it is held.
        self.0.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a machine says; returns whether others should hear it, too.
    pub(crate) fn hear(&self, told: Told) -> bool {
        let now = clock::now();
        let (node, is_sample) = (told.node, matches!(told.said, Said::Sample(_)));
        let is_news = self.fleet().hear(told, now.mono);
        if is_news && is_sample {
            let view = self.fleet().view(node, now.mono);
            let values = view.sample.map(|sample| Metric::all(&sample, view.facts.as_deref())).unwrap_or_default();
            self.history().record(node, now.wall, values);
        }
        is_news
    }

    fn retain(&self, members: &BTreeSet<NodeId>) {
        self.fleet().retain(members);
        self.history().retain(members);
    }
}

/// Reads this machine and tells of it.
#[derive(Debug)]
pub(crate) struct Teller {
    known: Telemetry,
    core: Core,
    handle: Handle,
    /// None where cards are not looked for.
    cards: Option<Watch<cards::Reading>>,
    host: Watch<host::Reading>,
    stamp: Stamp,
    /// The time between two samples that others hear.
    interval: Duration,
    facts: Word<Facts>,
    processes: Word<Vec<Process>>,
    /// The containers as last seen, where they are looked at.
    seen: Option<Seen>,
    containers: Word<Containers>,
    sample_due: Instant,
    members_due: Instant,
    state: Option<State>,
    /// Whether the last thing to be said was out of its bounds, so that this is logged once.
    is_untold: bool,
    writing: Option<JoinHandle<()>>,
}

/// What is told when it changes, and now and then.
#[derive(Debug)]
struct Word<T> {
    told: Option<T>,
    due: Instant,
}

/// What was read of this machine at one time.
struct Readings {
    facts: Facts,
    sample: Sample,
    processes: Vec<Process>,
    unused: BTreeSet<u8>,
}

impl Teller {
    /// Starts to read this machine, which bears some labels.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn start(
        core: Core,
        handle: Handle,
        home: &Path,
        (backend, labels): (Backend, Vec<String>),
    ) -> std::io::Result<Self> {
        let path = home.to_owned();
        let host =
            Watch::start("host-reader", move || host::Host::new(&path, labels.clone()), READ_INTERVAL, PATIENCE)?;
        let cards = match backend {
            Backend::Nvml => Some(Watch::start("gpu-reader", nvml::Cards::new, READ_INTERVAL, PATIENCE)?),
            Backend::Demo => Some(Watch::start("gpu-reader", demo::Demo::new, READ_INTERVAL, PATIENCE)?),
            Backend::Off => None,
        };
        let now = clock::now();
        Ok(Self {
            known: Telemetry::new(home, handle.local_node_id()),
            core,
            handle,
            cards,
            host,
            stamp: Stamp { started: started(&home.join(FOLDER), now.wall), counter: 0 },
            interval: READ_INTERVAL,
            facts: Word { told: None, due: now.mono },
            processes: Word { told: None, due: now.mono },
            seen: None,
            containers: Word { told: None, due: now.mono },
            sample_due: now.mono,
            members_due: now.mono,
            state: None,
            is_untold: false,
            writing: None,
        })
    }

    /// Returns what it keeps, of this machine and of others.
    pub(crate) fn known(&self) -> &Telemetry {
        &self.known
    }

    /// Returns whose machine it is.
    pub(crate) fn node(&self) -> NodeId {
        self.handle.local_node_id()
    }

    /// Returns the replica of its node.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Has the containers told of that somebody looks at.
    pub(crate) fn watch_containers(&mut self, seen: Seen) {
        self.seen = Some(seen);
    }

    /// Tells until the node is to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(READ_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = self.core.events();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.tick().await,
                event = events.recv() => match event {
                    Ok(Event::PeerUp(_)) => self.repeat(clock::mono().after(LINK_WAIT)),
                    Ok(Event::Roster) | Err(RecvError::Lagged(_)) => self.members_due = clock::mono(),
                    Ok(_) => {}
                    Err(RecvError::Closed) => break,
                },
            }
        }
        if let Some(cards) = self.cards {
            cards.stop().await;
        }
        self.host.stop().await;
    }

    async fn tick(&mut self) {
        let now = clock::mono();
        if self.members_due <= now {
            self.members_due = now.after(AGAIN_INTERVAL);
            self.see_members().await;
        }
        if let Some(read) = self.read(now) {
            self.log(read.sample.state);
            self.tell(read, now);
        }
        self.write();
    }

    /// Says what does not change once more, at that time at the latest: somebody new is there to hear it.
    fn repeat(&mut self, due: Instant) {
        self.facts.due = self.facts.due.min(due);
        self.processes.due = self.processes.due.min(due);
        self.containers.due = self.containers.due.min(due);
    }

    /// Keeps nothing of former members, and the pace that so many members can bear.
    async fn see_members(&mut self) {
        // A replica that hangs holds up no sample.
        let asked = timeout(READ_INTERVAL, self.core.call(Command::Members)).await;
        let Ok(Ok(Answer::Members(members, _))) = asked else { return };
        let nodes: BTreeSet<NodeId> = members.iter().map(|member| member.node).collect();
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        self.interval = INTERVAL_A_MEMBER.saturating_mul(count).max(READ_INTERVAL);
        self.known.retain(&nodes);
    }

    /// Returns the last readings; nothing before there is one of each, unless a thread hangs.
    fn read(&self, now: Instant) -> Option<Readings> {
        let cards = match self.cards.as_ref().map(|cards| cards.latest(now)) {
            None => off(),
            Some(Latest::Read(reading)) => reading,
            Some(Latest::Stalled(before)) => cards::Reading::stalled(before),
            Some(Latest::None) => return None,
        };
        let host = match self.host.latest(now) {
            Latest::Read(reading) => reading,
            // What was measured before it hung is over.
            Latest::Stalled(before) => {
                host::Reading { facts: before.unwrap_or_default().facts, ..host::Reading::default() }
            }
            Latest::None => return None,
        };
        let cards::Reading { driver, state, facts, slices, samples, slice_samples, processes, unused } = cards;
        let interval_ms = u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX);
        let sample = Sample { interval_ms, host: host.sample, state, gpus: samples, slices: slice_samples };
        let facts = Facts { host: host.facts, driver, gpus: facts, slices };
        Some(Readings { facts, sample, processes, unused })
    }

    /// Tells what is due, and keeps all of it here.
    fn tell(&mut self, read: Readings, now: Instant) {
        let Readings { facts, sample, processes, unused } = read;
        *self.known.lock_unused() = unused;
        if let Some(facts) = self.facts.say(facts, now) {
            self.say(Said::Facts(facts), Loud::Yes);
        }
        if let Some(processes) = self.processes.say(processes, now) {
            self.say(Said::Processes(processes), Loud::Yes);
        }
        let seen = self.seen.as_ref().and_then(|seen| seen.borrow().clone());
        if let Some(containers) = seen.and_then(|seen| self.containers.say(seen, now)) {
            self.say(Said::Containers(containers), Loud::Yes);
        }
        let is_due = self.sample_due <= now;
        if is_due {
            // A tick may come a little early or late.
            self.sample_due = now.after(self.interval.saturating_sub(READ_INTERVAL / 2));
        }
        self.say(Said::Sample(sample), if is_due { Loud::Yes } else { Loud::No });
    }

    fn say(&mut self, said: Said, loud: Loud) {
        self.stamp.counter += 1;
        let told = Told { node: self.handle.local_node_id(), stamp: self.stamp, said };
        if let Err(error) = told.check() {
            // Nobody would pass it on, and all would blame this node.
            if !std::mem::replace(&mut self.is_untold, true) {
                warn!(%error, "what was read of this machine can not be told");
            }
            return;
        }
        self.is_untold = false;
        if loud == Loud::Yes {
            let notice = Notice::Telemetry(Box::new(told.clone())).encode();
            if let Err(refused) = self.handle.publish(notice) {
                debug!(%refused, "telemetry is dropped");
            }
        }
        self.known.hear(told);
    }

    fn log(&mut self, state: State) {
        let was = self.state.replace(state);
        if was == Some(state) {
            return;
        }
        match (state, state.advice()) {
            (State::Absent, _) if was.is_none() => info!("no NVIDIA driver here: no cards are read"),
            (_, None) => info!(%state, "cards"),
            (_, Some(advice)) => warn!(%state, advice, "cards"),
        }
    }

    /// Has measurements written, unless the disk is still at the last.
    fn write(&mut self) {
        let is_busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if is_busy || !self.known.history().is_pending() {
            return;
        }
        let known = self.known.clone();
        self.writing = Some(spawn_blocking(move || known.history().write()));
    }
}

/// Whether others hear something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loud {
    Yes,
    No,
}

impl<T: Clone + PartialEq> Word<T> {
    /// Takes what is so now; returns it if it is to be said.
    fn say(&mut self, now_so: T, now: Instant) -> Option<T> {
        if self.told.as_ref() == Some(&now_so) && self.due > now {
            return None;
        }
        self.due = now.after(AGAIN_INTERVAL);
        self.told = Some(now_so.clone());
        Some(now_so)
    }
}

fn off() -> cards::Reading {
    let mut reading = cards::Reading::only(State::Off);
    reading.driver.backend = Backend::Off;
    reading
}

/// Returns when the node begins to speak: now, but later than at its last start, whatever the clock did since.
fn started(folder: &Path, now: Wall) -> Wall {
    let path: PathBuf = folder.join(STARTED);
    let before = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let started = before.map_or(now, |before: u64| now.max(Wall::from_millis(before.saturating_add(1))));
    let kept = fs::create_dir_all(folder).and_then(|()| fs::write(&path, started.as_millis().to_string()));
    if let Err(error) = kept {
        debug!(%error, "when this node began to speak is not kept");
    }
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_begins_to_speak_later_than_before_though_its_clock_was_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(FOLDER);
        let at = |now| started(&folder, Wall::from_millis(now)).as_millis();
        assert_eq!((at(1_000), at(2_000), at(500), at(500), at(3_000)), (1_000, 2_000, 2_001, 2_002, 3_000));
        fs::write(folder.join(STARTED), "garbage").unwrap();
        assert_eq!(at(700), 700);
    }

    #[test]
    fn a_word_is_said_when_it_changes_and_again_after_a_while() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut word = Word { told: None, due: at(0) };
        assert_eq!(word.say("one", at(1)), Some("one"));
        assert_eq!(word.say("one", at(3)), None);
        assert_eq!(word.say("two", at(5)), Some("two"));
        assert_eq!(word.say("two", at(34)), None);
        assert_eq!(word.say("two", at(35)), Some("two"));
    }
}
