//! What every machine of the mesh said last, and how long ago.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits::NODES_MAX;
use beadmesh_protocol::sample::container::Containers;
use beadmesh_protocol::sample::gpu::{Health, Process, State, Xid};
use beadmesh_protocol::sample::{Facts, Said, Sample, Stamp, Telemetry};
use tokio::sync::broadcast;

use crate::alarms::Alarm;
use crate::pace::{Pace, Taken};

/// How often one node may speak of its machine: a burst, which waits for nobody, then twice a second.
const PACE: Pace = Pace { burst: 16, refill: Duration::from_millis(500), gain: 1 };

/// Samples that may be missed before the last one is stale.
const MISSED_MAX: u32 = 3;

/// Changes that a slow watcher may lag behind.
const CHANGES_MAX: usize = 256;

/// Remembers what machines said.
#[derive(Debug)]
pub(crate) struct Fleet {
    machines: Mutex<BTreeMap<NodeId, Machine>>,
    changes: broadcast::Sender<Change>,
}

/// Something about a machine is otherwise than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It stands otherwise with its cards.
    State {
        /// Whose.
        node: NodeId,
        /// How it stands now.
        state: State,
        /// How it stood.
        was: State,
    },
    /// It stands otherwise with one card.
    Card {
        /// Whose.
        node: NodeId,
        /// The index of the card.
        gpu: u8,
        /// How it stands now.
        health: Health,
    },
    /// The driver has reported an error of a card.
    Xid {
        /// Whose.
        node: NodeId,
        /// The index of the card.
        gpu: u8,
        /// The number of the error.
        code: u16,
    },
    /// Something is watched there, and there is an alarm.
    Alarm {
        /// Whose.
        node: NodeId,
        /// Of what.
        alarm: Alarm,
    },
}

/// What is known of one machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// What stays as it is.
    pub(crate) facts: Option<Arc<Facts>>,
    /// What was measured last.
    pub(crate) sample: Option<Arc<Sample>>,
    /// How long ago that came.
    pub(crate) age: Duration,
    /// Whether a newer one should have come.
    pub(crate) stale: bool,
    /// Who uses its cards.
    pub(crate) processes: Arc<Vec<Process>>,
    /// Its containers, where it looks at them.
    pub(crate) containers: Option<Arc<Containers>>,
}

impl View {
    /// Returns how long ago the last sample came, in seconds with one digit; nothing where none came.
    pub(crate) fn age_s(&self) -> Option<f64> {
        self.sample.as_ref().map(|_| (self.age.as_secs_f64() * 10.0).round() / 10.0)
    }
}

#[derive(Debug)]
struct Machine {
    facts: Option<(Stamp, Arc<Facts>)>,
    sample: Option<(Stamp, Arc<Sample>, Instant)>,
    processes: Option<(Stamp, Arc<Vec<Process>>)>,
    containers: Option<(Stamp, Arc<Containers>)>,
    pace: Taken<Instant>,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { machines: Mutex::default(), changes: broadcast::channel(CHANGES_MAX).0 }
    }
}

impl Fleet {
    /// Takes what a machine says; returns whether it was new, and comes no faster than it should.
    pub(crate) fn hear(&self, told: Telemetry, now: Instant) -> bool {
        let Telemetry { node, stamp, said } = told;
        let mut machines = self.lock();
        if !machines.contains_key(&node) && machines.len() >= NODES_MAX {
            return false;
        }
        let machine = machines.entry(node).or_insert_with(|| Machine::new(now));
        if !machine.is_news(&said, stamp) || !machine.pace.take(&PACE, now) {
            return false;
        }
        match said {
            Said::Facts(facts) => machine.facts = Some((stamp, Arc::new(facts))),
            Said::Processes(processes) => machine.processes = Some((stamp, Arc::new(processes))),
            Said::Containers(containers) => machine.containers = Some((stamp, Arc::new(containers))),
            Said::Sample(sample) => {
                let before = machine.sample.replace((stamp, Arc::new(sample.clone()), now));
                if let Some((_, before, _)) = before {
                    for change in changes(node, &before, &sample) {
                        // Nobody may be watching.
                        let _ = self.changes.send(change);
                    }
                }
            }
        }
        true
    }

    /// Tells who watches of an alarm about a machine.
    pub(crate) fn alarm(&self, node: NodeId, alarm: Alarm) {
        // Nobody may be watching.
        let _ = self.changes.send(Change::Alarm { node, alarm });
    }

    /// Forgets who is no member.
    pub(crate) fn retain(&self, members: &BTreeSet<NodeId>) {
        self.lock().retain(|node, _| members.contains(node));
    }

    /// Returns what is known of a machine; of one that has said nothing, nothing.
    pub(crate) fn view(&self, node: NodeId, now: Instant) -> View {
        let machines = self.lock();
        let Some(machine) = machines.get(&node) else { return View::default() };
        let age = machine.sample.as_ref().map(|(.., at)| now.since(*at)).unwrap_or_default();
        let interval = machine.sample.as_ref().map(|(_, sample, _)| Duration::from_millis(sample.interval_ms.into()));
        View {
            facts: machine.facts.as_ref().map(|(_, facts)| Arc::clone(facts)),
            sample: machine.sample.as_ref().map(|(_, sample, _)| Arc::clone(sample)),
            age,
            stale: interval.is_some_and(|interval| age > interval * (MISSED_MAX + 1)),
            containers: machine.containers.as_ref().map(|(_, containers)| Arc::clone(containers)),
            processes: machine.processes.as_ref().map(|(_, processes)| Arc::clone(processes)).unwrap_or_default(),
        }
    }

    /// Watches what changes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Machine>> {
        // Nothing panics while it is held.
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    fn new(now: Instant) -> Self {
        let pace = Taken::nothing(now);
        Self { facts: None, sample: None, processes: None, containers: None, pace }
    }

    /// Returns whether something was said after the last of its kind.
    fn is_news(&self, said: &Said, stamp: Stamp) -> bool {
        let last = match said {
            Said::Facts(_) => self.facts.as_ref().map(|(last, _)| *last),
            Said::Sample(_) => self.sample.as_ref().map(|(last, ..)| *last),
            Said::Processes(_) => self.processes.as_ref().map(|(last, _)| *last),
            Said::Containers(_) => self.containers.as_ref().map(|(last, _)| *last),
        };
        last.is_none_or(|last| stamp > last)
    }
}

/// Returns what changed between two samples of a machine.
fn changes(node: NodeId, before: &Sample, now: &Sample) -> Vec<Change> {
    let mut changes = Vec::new();
    if now.state != before.state {
        changes.push(Change::State { node, state: now.state, was: before.state });
    }
    for card in &now.gpus {
        let Some(was) = before.gpus.iter().find(|was| was.index == card.index) else { continue };
        if card.health != was.health {
            changes.push(Change::Card { node, gpu: card.index, health: card.health });
        }
        if let Some(Xid { code, .. }) = card.xid.filter(|_| card.xid != was.xid) {
            changes.push(Change::Xid { node, gpu: card.index, code });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::clock::Wall;
    use beadmesh_protocol::sample::gpu;

    use super::*;

    const ADA: NodeId = NodeId::from_bytes([1; 32]);
    const BOB: NodeId = NodeId::from_bytes([2; 32]);
    const START: Instant = Instant::from_micros(1_000_000);

    fn told(counter: u64, said: Said) -> Telemetry {
        Telemetry { node: ADA, stamp: Stamp { started: Wall::from_millis(5), counter }, said }
    }

    fn sample(gpus: Vec<gpu::Sample>) -> Sample {
        Sample { interval_ms: 2_000, state: State::Ok, gpus, ..Sample::default() }
    }

    fn said(counter: u64) -> Telemetry {
        told(counter, Said::Sample(sample(Vec::new())))
    }

    #[test]
    fn only_what_is_newer_than_the_last_of_its_kind_counts() {
        let fleet = Fleet::default();
        assert!(fleet.hear(said(7), START));
        assert!(!fleet.hear(said(7), START), "the same once more");
        assert!(!fleet.hear(said(6), START), "an old one");
        assert!(fleet.hear(told(6, Said::Processes(Vec::new())), START), "the first of another kind");
        let again = Telemetry { stamp: Stamp { started: Wall::from_millis(6), counter: 1 }, ..said(1) };
        assert!(fleet.hear(again, START), "it was started anew");
        assert!(!fleet.hear(said(900), START), "what it said before that");
    }

    #[test]
    fn a_sample_is_stale_once_three_were_missed_and_fresh_with_the_next() {
        let fleet = Fleet::default();
        fleet.hear(said(1), START);
        let at = |seconds| START.after(Duration::from_secs(seconds));
        assert!(!fleet.view(ADA, at(8)).stale);
        let view = fleet.view(ADA, at(9));
        assert!(view.stale && view.age == Duration::from_secs(9));
        fleet.hear(said(2), at(10));
        assert!(!fleet.view(ADA, at(10)).stale);
        assert!(fleet.view(BOB, at(10)).sample.is_none());
    }

    #[test]
    fn who_speaks_too_fast_is_not_passed_on_and_others_are() {
        let fleet = Fleet::default();
        let heard = (1..=100).filter(|counter| fleet.hear(said(*counter), START)).count();
        assert_eq!(heard, 16);
        assert!(fleet.hear(Telemetry { node: BOB, ..said(1) }, START));
    }

    #[test]
    fn what_changes_between_two_samples_is_told_once() {
        let fleet = Fleet::default();
        let mut changes = fleet.changes();
        let card = |health, xid| gpu::Sample { health, xid, ..gpu::Sample::default() };
        let well = card(Health::Ok, None);
        let lost = card(Health::Lost, Some(Xid { code: 79, count: 1 }));
        fleet.hear(told(1, Said::Sample(sample(vec![well]))), START);
        fleet.hear(told(2, Said::Sample(Sample { state: State::Lost, ..sample(vec![lost]) })), START);
        fleet.hear(told(3, Said::Sample(Sample { state: State::Lost, ..sample(vec![lost]) })), START);
        let seen: Vec<Change> = std::iter::from_fn(|| changes.try_recv().ok()).collect();
        assert_eq!(
            seen,
            [
                Change::State { node: ADA, state: State::Lost, was: State::Ok },
                Change::Card { node: ADA, gpu: 0, health: Health::Lost },
                Change::Xid { node: ADA, gpu: 0, code: 79 }
            ]
        );
    }

    #[test]
    fn who_is_no_member_any_more_is_forgotten() {
        let fleet = Fleet::default();
        fleet.hear(said(1), START);
        fleet.retain(&[BOB].into());
        assert!(fleet.view(ADA, START).sample.is_none());
    }
}
