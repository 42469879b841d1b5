//! One simulated machine: its key, disk and clocks, and the process on it, which is down at times.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use beadmesh_protocol::id::{BeadId, MeshId, NodeId};
use beadmesh_protocol::invite::Ticket;
use beadmesh_protocol::lease::voter::Boot;
use beadmesh_protocol::op::Role;
use beadmesh_store::folds::Folds;
use beadmesh_store::memory::{Crash, MemoryKv, SharedKv};
use beadmesh_store::open::Origin;
use beadmesh_store::replica::{Config, Input, Replica, RequestId};
use beadmesh_store::{Membership, StoreError};
use ed25519_dalek::SigningKey;

use crate::clock::Clock;
use crate::desk::{Brought, Desk};
use crate::plan::Plan;
use crate::random::Stream;

/// Inputs that one batch takes at most, and their bytes: the node's own bounds.
const BATCH_INPUTS_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// A machine.
pub(crate) struct Node {
    /// Which one it is; copies of machines come after those of the plan.
    pub(crate) place: u32,
    /// The node whose store and key it began with, where it is a copy.
    pub(crate) copy_of: Option<u32>,
    pub(crate) id: NodeId,
    pub(crate) key: SigningKey,
    pub(crate) role: Role,
    pub(crate) rogue: bool,
    pub(crate) clock: Clock,
    pub(crate) disk: SharedKv,
    /// What lies beside the store: by this a node whose store is lost finds its mesh.
    pub(crate) membership: Option<Vec<u8>>,
    pub(crate) process: Option<Process>,
    /// Counts starts and stops; what was meant for an earlier process is dropped.
    pub(crate) generation: u32,
    /// Whether it has been let into the mesh.
    pub(crate) joined: bool,
    /// The nodes it takes for members.
    pub(crate) members: BTreeSet<NodeId>,
    /// The beads that its agents have heard of.
    pub(crate) known: BTreeSet<BeadId>,
    /// What its agents have kept, and know of each other.
    pub(crate) desk: Desk,
    /// How long a flush takes while its disk is slow.
    pub(crate) slow_us: Option<u64>,
    /// Whether it sleeps.
    pub(crate) asleep: bool,
    /// What will happen to its next write.
    pub(crate) armed: Option<Armed>,
    /// What the next start finds of what was not flushed.
    pub(crate) crash: Crash,
    /// Whether something on its disk is damaged.
    pub(crate) damaged: bool,
    /// Whether its owner has switched it off for good.
    pub(crate) retired: bool,
    /// The invite that was opened for it.
    pub(crate) ticket: Option<(u32, Ticket)>,
    /// Whether it has asked to be let in by that.
    pub(crate) has_asked: bool,
    /// Since when its process runs.
    pub(crate) started_us: u64,
    pub(crate) stream: Stream,
    machine: String,
    /// Tells this start of the machine from others.
    boot: Boot,
    boots: u64,
    flush_us: u64,
    documents_max: usize,
    window_bytes: usize,
    folds: Option<Folds>,
    seed: u64,
    opened: u64,
}

/// What is to happen to the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Armed {
    /// The power goes.
    PowerCut,
    /// It is refused, and after it a crash leaves so much of what was not flushed.
    Refusal(Crash),
}

/// A process: the replica and what waits for it.
pub(crate) struct Process {
    pub(crate) replica: Replica,
    pub(crate) inbox: VecDeque<(Input, usize)>,
    /// Whether a batch is handled or flushed.
    pub(crate) busy: bool,
    /// When it is to be woken next.
    pub(crate) wake_us: Option<u64>,
    pub(crate) asked: BTreeMap<RequestId, Purpose>,
    /// Mail that was handled since the last flush, as entries brought it.
    pub(crate) brought: Brought,
}

/// Who asked something of a replica, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An agent, for a deed of the journal.
    Deed(usize),
    /// The machine, for what is kept beside the store.
    Membership,
    /// The agents of the machine, for who there is to write to.
    Agents,
    /// The machine, to say where it can be reached.
    Announce,
    /// A person, for an invite of that node.
    Invite(u32),
    /// That node, to be let in.
    Welcome(u32),
    /// A person, to let in a machine that waits.
    Approve,
    /// A person, to enter the mesh.
    Enter,
}

impl Node {
    /// Returns a machine of the plan, switched off and with an empty disk.
    pub(crate) fn new(plan: &Plan, place: u32, folds: Option<Folds>) -> Self {
        let (seed, window_bytes) = (plan.seed, plan.network.window_bytes);
        let plan = &plan.nodes[usize::try_from(place).expect("places are small")];
        let mut stream = Stream::keyed(seed, "node", place.into(), 0);
        let key = SigningKey::from_bytes(&stream.bytes());
        let id = NodeId::from_bytes(key.verifying_key().to_bytes());
        Self {
            place,
            copy_of: None,
            id,
            key,
            role: plan.role,
            rogue: plan.rogue,
            clock: Clock::new(plan.drift_ppm, plan.wall_ahead_ms),
            disk: SharedKv::new(MemoryKv::seeded(seed ^ u64::from(place))),
            membership: None,
            process: None,
            generation: 0,
            joined: false,
            members: BTreeSet::new(),
            known: BTreeSet::new(),
            desk: Desk::new(id),
            slow_us: None,
            asleep: false,
            armed: None,
            crash: Crash::LoseAll,
            damaged: false,
            retired: false,
            ticket: None,
            has_asked: false,
            started_us: 0,
            stream,
            machine: format!("machine {place}"),
            boot: boot(seed, place, 0),
            boots: 0,
            flush_us: plan.flush_us,
            documents_max: plan.documents_max,
            window_bytes,
            folds,
            seed,
            opened: 0,
        }
    }

    /// Returns a copy of the machine at another place, as a copied disk makes it; `moved` puts it on other hardware.
    pub(crate) fn copied(&self, place: u32, moved: bool) -> Self {
        let mut disk = self.disk.lock().snapshot();
        disk.reseed(self.seed ^ u64::from(place));
        Self {
            place,
            copy_of: Some(self.copy_of.unwrap_or(self.place)),
            id: self.id,
            key: self.key.clone(),
            role: self.role,
            rogue: self.rogue,
            clock: self.clock.clone(),
            disk: SharedKv::new(disk),
            membership: self.membership.clone(),
            process: None,
            generation: 0,
            joined: self.joined,
            members: BTreeSet::new(),
            known: self.known.clone(),
            desk: self.desk.clone(),
            slow_us: None,
            asleep: false,
            armed: None,
            crash: Crash::LoseAll,
            damaged: false,
            retired: false,
            ticket: None,
            has_asked: false,
            started_us: 0,
            stream: Stream::keyed(self.seed, "node", place.into(), 0),
            machine: if moved { format!("machine {place}") } else { self.machine.clone() },
            boot: if moved { boot(self.seed, place, 0) } else { self.boot },
            boots: 0,
            flush_us: self.flush_us,
            documents_max: self.documents_max,
            window_bytes: self.window_bytes,
            folds: self.folds.clone(),
            seed: self.seed,
            opened: 0,
        }
    }

    /// Starts the process over the disk.
    ///
    /// # Errors
    /// When the store can not be read; the machine then stays down.
    pub(crate) fn start(&mut self, origin: &Origin, now_us: u64) -> Result<(), StoreError> {
        self.opened += 1;
        let mut entropy = Stream::keyed(self.seed, "replica", self.place.into(), self.opened);
        let lost = matches!(origin, Origin::Replaced { .. });
        let known = self.membership.as_deref().and_then(Membership::decode);
        let config = Config {
            key: self.key.clone(),
            seed: entropy.bytes(),
            machine: self.machine.clone(),
            node_name: format!("n{}", self.copy_of.unwrap_or(self.place)),
            mesh_name: "sim".to_owned(),
            boot: self.boot,
            votes: true,
            renew_instance: matches!(origin, Origin::Copied { .. } | Origin::Replaced { .. }),
            documents_max: self.documents_max,
            window_bytes: self.window_bytes,
            membership: known.filter(|known| lost && known.has_others(self.id)),
            folds: self.folds.clone(),
        };
        let opened = Replica::open(Box::new(self.disk.clone()), config, self.clock.read(now_us))?;
        self.generation += 1;
        self.started_us = now_us;
        self.process = Some(Process {
            replica: opened.replica,
            inbox: VecDeque::new(),
            busy: false,
            wake_us: None,
            asked: BTreeMap::new(),
            brought: Brought::default(),
        });
        Ok(())
    }

    /// Starts the machine anew: its clock begins at zero, and it is another start of the operating system.
    pub(crate) fn reboot(&mut self, now_us: u64) {
        self.clock.boot(now_us);
        self.boots += 1;
        self.boot = boot(self.seed, self.place, self.boots);
    }

    /// Ends the process; what it had not made durable is not on the disk yet.
    pub(crate) fn stop(&mut self) -> Option<Process> {
        self.generation += 1;
        self.asleep = false;
        self.process.take()
    }

    /// Returns the mesh that it is in, if its process runs.
    pub(crate) fn mesh(&self) -> Option<MeshId> {
        self.process.as_ref().map(|process| process.replica.mesh())
    }

    /// Returns whether its process runs and its machine is awake.
    pub(crate) fn is_awake(&self) -> bool {
        self.process.is_some() && !self.asleep
    }

    /// Returns how long a flush takes now.
    pub(crate) fn flush_us(&mut self) -> u64 {
        let mean = self.slow_us.unwrap_or(self.flush_us);
        mean / 2 + self.stream.exponential_us(mean / 2)
    }
}

impl Process {
    /// Hands one batch of what waits to the replica; returns how many inputs that were.
    pub(crate) fn turn(&mut self, clock: &Clock, now_us: u64) -> usize {
        let now = clock.read(now_us);
        let (mut inputs, mut bytes) = (0, 0);
        while inputs < BATCH_INPUTS_MAX && bytes < BATCH_BYTES_MAX {
            let Some((input, size)) = self.inbox.pop_front() else { break };
            self.brought.take(&input);
            self.replica.handle(now, input);
            inputs += 1;
            bytes += size;
        }
        inputs
    }
}

/// Returns what the operating system names a start of a machine by.
fn boot(seed: u64, place: u32, boots: u64) -> Boot {
    Stream::keyed(seed, "boot", place.into(), boots).bytes()
}
