//! The mesh: machines, the network between them, and one heap of events by which all of it moves.
//!
//! Everything that happens is an event at a virtual time; events of one time go in the order in which they were made. A
//! process works as the node's thread does: it takes a batch of inputs, flushes once, and only then lets outputs out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::ControlFlow;
use std::sync::Arc;

use beadmesh_protocol::id::{BeadId, LetterId, MeshId, NodeId};
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_store::folds::Folds;
use beadmesh_store::memory::MemoryKv;
use beadmesh_store::replica::{LinkId, RequestId};

use crate::coverage::Coverage;
use crate::journal::Journal;
use crate::network::Network;
use crate::node::Node;
use crate::opened::Opened;
use crate::outcome::{Figures, Life, Line, Outcome, Sample, Violation};
use crate::plan::Plan;
use crate::tenure::Tenures;
use crate::trace::Trace;

mod dial;
mod ending;
mod figures;
mod impostor;
mod join;
mod leases;
mod links;
mod notices;
mod outcast;
mod process;
mod rogue;
mod trouble;

use dial::Pairs;
use figures::Spread;
use notices::Grapevine;

/// Virtual microseconds of a millisecond, and of a second.
pub(crate) const MILLI: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// Events after which a run is given up: one that goes on without end is a bug, and must not hang a sweep.
const EVENTS_MAX: u64 = 2_000_000_000;

/// Events between two looks of the watcher.
const WATCH_EVENTS: u64 = 4_096;

/// Samples of lag that a run takes, at equal distances, until it is healed; after that one comes with every look.
const SAMPLES: u64 = 60;

/// Nodes of a plan from which on they share what sets fold to: more would only do the same again, and in smaller meshes
/// each works it out by itself, in the order in which it gets it.
const SHARING_NODES_MIN: usize = 40;

/// What happens at a time.
#[derive(Debug)]
enum Event {
    /// An agent asks for something: the place in the plan.
    Wish(usize),
    /// A fault begins.
    Begin(usize),
    /// A fault ends.
    End(usize),
    /// A frame comes to an end of a link.
    Arrive { link: LinkId, from: usize, bytes: Vec<u8> },
    /// A notice comes to a node.
    Notice { from: u32, to: u32, bytes: Arc<[u8]> },
    /// What a node says about leases comes to another.
    Lease { from: u32, to: u32, bytes: Vec<u8> },
    /// An end of a link learns that it is down.
    Down { link: LinkId, end: usize },
    /// It is looked whether a link that nothing passes is to be given up.
    Watch { link: LinkId, end: usize },
    /// A node tries to reach another.
    Dial { pair: (u32, u32) },
    /// A process takes a batch.
    Turn { node: u32, generation: u32 },
    /// A process has its batch on disk.
    Flush { node: u32, generation: u32 },
    /// A process is woken.
    Wake { node: u32, generation: u32 },
    /// A process that stopped is started again by whoever looks after it.
    Restart { node: u32, generation: u32 },
    /// The power goes, unless the next write came first.
    Dark { node: u32, generation: u32 },
    /// A node tries to be let in.
    Join { node: u32 },
    /// What a node asks to be let in comes to the inviter.
    JoinAsked { inviter: u32, joiner: u32, bytes: Vec<u8> },
    /// The inviter's answer comes to the node.
    JoinAnswered { joiner: u32, bytes: Vec<u8> },
    /// Lag is sampled.
    Sample,
}

/// An event in the heap: the earliest first, and of one time the one made first.
struct Scheduled {
    at_us: u64,
    seq: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.seq) == (other.at_us, other.seq)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.seq).cmp(&(self.at_us, self.seq))
    }
}

/// A mesh in the middle of a run.
pub(crate) struct Mesh<'a> {
    plan: &'a Plan,
    now_us: u64,
    heap: BinaryHeap<Scheduled>,
    scheduled: u64,
    events: u64,
    trace: Trace,
    nodes: Vec<Node>,
    network: Network,
    grapevine: Grapevine,
    pairs: Pairs,
    journal: Journal,
    requests: u64,
    /// Messages about leases that were sent.
    said: u64,
    /// What waits until a machine wakes.
    postponed: BTreeMap<u32, Vec<Event>>,
    /// Stores as they were when a fault began that puts them back, and whether they were damaged then.
    snapshots: BTreeMap<usize, (MemoryKv, bool)>,
    /// The place of the copy that a fault started.
    copies: BTreeMap<usize, u32>,
    /// Frames that rogues have seen themselves send.
    overheard: BTreeMap<u32, Vec<Vec<u8>>>,
    opened: Opened,
    /// The mesh that the founder founded.
    id: MeshId,
    strangers: BTreeSet<NodeId>,
    named: BTreeSet<NodeId>,
    /// Nodes that the founder has made admins.
    promoted: BTreeSet<u32>,
    forked: BTreeSet<NodeId>,
    moved: BTreeSet<NodeId>,
    lost: BTreeSet<NodeId>,
    outlawed: BTreeSet<BeadId>,
    meddled: BTreeSet<BeadId>,
    impostures: BTreeSet<LetterId>,
    /// Leases as true time knows them.
    tenures: Tenures,
    /// Keys whose machines broke what leases rest on, and when first: a store of theirs ran twice or was put back, or
    /// their clock stood still.
    unsound: BTreeMap<NodeId, u64>,
    /// Letters that were sent at a node without a link.
    apart: BTreeSet<LetterId>,
    /// Faults that go on.
    active: BTreeSet<usize>,
    healed_us: Option<u64>,
    spread: Spread,
    coverage: Coverage,
    story: Vec<Line>,
    samples: Vec<Sample>,
    lives: Vec<Life>,
    violations: Vec<Violation>,
    figures: Figures,
}

/// Runs a plan to its end. The watcher hears of virtual milliseconds and may cut the run short.
///
/// # Panics
/// When the plan names a bug that is not planted in this build, which `Plan::check` tells beforehand.
pub fn run(plan: &Plan, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Outcome {
    assert!(planted::set(plan.planted.as_deref().and_then(Bug::parse)), "the bug is not planted in this build");
    let mut mesh = Mesh::new(plan);
    mesh.found();
    let span_us = plan.span_ms * MILLI;
    let cut = mesh.run_until(span_us, watch).is_break() || mesh.settle(watch).is_break();
    mesh.outcome(cut)
}

impl<'a> Mesh<'a> {
    fn new(plan: &'a Plan) -> Self {
        let folds = (plan.nodes.len() > SHARING_NODES_MIN).then(Folds::default);
        let places = (0..).take(plan.nodes.len());
        let nodes: Vec<Node> = places.map(|place| Node::new(plan, place, folds.clone())).collect();
        let network = Network::new(plan.seed, plan.network.clone(), nodes.len());
        let mut mesh = Self {
            plan,
            now_us: 0,
            heap: BinaryHeap::new(),
            scheduled: 0,
            events: 0,
            trace: Trace::default(),
            pairs: Pairs::new(plan.ways()),
            nodes,
            network,
            grapevine: Grapevine::new(plan.seed),
            journal: Journal::default(),
            requests: 0,
            said: 0,
            postponed: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            copies: BTreeMap::new(),
            overheard: BTreeMap::new(),
            opened: Opened::default(),
            id: MeshId::NONE,
            strangers: BTreeSet::new(),
            named: BTreeSet::new(),
            promoted: BTreeSet::new(),
            forked: BTreeSet::new(),
            moved: BTreeSet::new(),
            lost: BTreeSet::new(),
            outlawed: BTreeSet::new(),
            meddled: BTreeSet::new(),
            impostures: BTreeSet::new(),
            tenures: Tenures::default(),
            unsound: BTreeMap::new(),
            apart: BTreeSet::new(),
            active: BTreeSet::new(),
            healed_us: None,
            spread: Spread::default(),
            coverage: Coverage::default(),
            story: Vec::new(),
            samples: Vec::new(),
            lives: Vec::new(),
            violations: Vec::new(),
            figures: Figures::default(),
        };
        for (place, wish) in plan.wishes.iter().enumerate() {
            mesh.schedule(wish.at_ms * MILLI, Event::Wish(place));
        }
        for (place, fault) in plan.faults.iter().enumerate() {
            mesh.schedule(fault.at_ms * MILLI, Event::Begin(place));
        }
        let step = (plan.span_ms * MILLI / SAMPLES).max(1);
        (0..=SAMPLES).for_each(|sample| mesh.schedule(sample * step, Event::Sample));
        mesh
    }

    fn schedule(&mut self, at_us: u64, event: Event) {
        self.scheduled += 1;
        self.heap.push(Scheduled { at_us: at_us.max(self.now_us), seq: self.scheduled, event });
    }

    /// Lets everything happen that is due until a time.
    fn run_until(&mut self, until_us: u64, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> ControlFlow<()> {
        while self.heap.peek().is_some_and(|next| next.at_us <= until_us) {
            let Some(Scheduled { at_us, event, .. }) = self.heap.pop() else { break };
            self.now_us = at_us;
            self.events += 1;
            if self.events.is_multiple_of(WATCH_EVENTS) {
                watch(at_us / MILLI)?;
            }
            if self.events > EVENTS_MAX {
                self.violate("liveness", None, format!("{EVENTS_MAX} events and no end"));
                return ControlFlow::Break(());
            }
            self.happen(event);
        }
        self.now_us = self.now_us.max(until_us);
        ControlFlow::Continue(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wish(wish) => self.on_wish(wish),
            Event::Begin(fault) => self.on_fault_begins(fault),
            Event::End(fault) => self.on_fault_ends(fault),
            Event::Arrive { link, from, bytes } => self.on_arrive(link, from, bytes),
            Event::Notice { from, to, bytes } => self.on_notice(from, to, &bytes),
            Event::Lease { from, to, bytes } => self.on_lease(from, to, &bytes),
            Event::Down { link, end } => self.on_down(link, end),
            Event::Watch { link, end } => self.on_watch(link, end),
            Event::Dial { pair } => self.on_dial(pair),
            Event::Turn { node, generation } => {
                if self.is_for(node, generation, Event::Turn { node, generation }) {
                    self.on_turn(node);
                }
            }
            Event::Flush { node, generation } => {
                if self.is_for(node, generation, Event::Flush { node, generation }) {
                    self.on_flush(node);
                }
            }
            Event::Wake { node, generation } => {
                if self.is_for(node, generation, Event::Wake { node, generation }) {
                    self.on_wake(node);
                }
            }
            Event::Restart { node, generation } => self.on_restart(node, generation),
            Event::Dark { node, generation } => self.on_dark(node, generation),
            Event::Join { node } => self.on_join(node),
            Event::JoinAsked { inviter, joiner, bytes } => self.on_join_asked(inviter, joiner, &bytes),
            Event::JoinAnswered { joiner, bytes } => self.on_join_answered(joiner, &bytes),
            Event::Sample => self.on_sample(),
        }
    }

    /// Returns whether an event is for the process that runs and can be had now; a sleeper gets it when it wakes.
    fn is_for(&mut self, node: u32, generation: u32, event: Event) -> bool {
        let machine = &self.nodes[at(node)];
        if machine.generation != generation || machine.process.is_none() {
            return false;
        }
        if machine.asleep {
            self.postponed.entry(node).or_default().push(event);
            return false;
        }
        true
    }

    fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// Adds a line to the story.
    fn tell(&mut self, node: Option<u32>, what: impl Into<String>) {
        self.story.push(Line { at_ms: self.now_us / MILLI, node, what: what.into() });
    }

    fn violate(&mut self, check: &'static str, node: Option<u32>, what: impl Into<String>) {
        /// Violations of one run: more say nothing new.
        const VIOLATIONS_MAX: usize = 50;
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { check, at_ms: self.now_us / MILLI, node, what: what.into() });
        }
    }
}

/// Returns a place as an index.
fn at(node: u32) -> usize {
    usize::try_from(node).expect("places are small")
}

#[cfg(test)]
mod tests;
