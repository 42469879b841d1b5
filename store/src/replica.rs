//! The replica: the state machines of the protocol joined to storage. One door for the node and for the simulator.
//!
//! It only routes. Each part below owns its state and its rules: `entries` the replicated sets, `mesh` the roster and
//! invites, `agents` the tokens of agents, `beads` documents and views, `mail` letters and inboxes, `system` what this node
//! itself tells its agents, `links` the conversations with peers, `notices` what is said to all of them.

use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::id::{EntryId, MeshId};
use beadmesh_protocol::lease::voter::Boot;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::wire::Hello;
use ed25519_dalek::SigningKey;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::command::{Command, CommandError};
use crate::folds::Folds;
use crate::kv::Kv;
use crate::membership::Membership;
use crate::stage::{Stage, StoreError};

mod agents;
mod backup;
mod beads;
mod claims;
mod commands;
mod copies;
mod cuts;
mod door;
mod entries;
mod event;
mod gate;
mod intake;
mod leases;
mod links;
mod mail;
mod mesh;
mod notices;
mod opening;
mod orphans;
mod searches;
mod sessions;
mod system;
mod voting;

pub use door::{Input, LinkId, Output, RequestId};
pub use event::Event;
pub use leases::HeldLease;

use agents::Agents;
use beads::Beads;
pub(crate) use beads::Warm;
use claims::Claims;
use cuts::Cuts;
use entries::Entries;
use leases::Leases;
use links::{COMPARE_INTERVAL, Links};
use mail::Mail;
pub(crate) use mesh::Control;
use mesh::Mesh;
use notices::Notices;
use opening::Begun;
use orphans::Orphans;
use searches::Searches;
use voting::Voting;

/// Entries folded between two commits of a rebuild.
const REBUILD_COMMIT: u64 = 512;

/// What a replica is opened with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's ed25519 secret key.
    pub key: SigningKey,
    /// Seeds everything random in the replica; never the same twice outside simulations.
    pub seed: [u8; 32],
    /// Names the hardware, so that a copied store is noticed.
    pub machine: String,
    /// What people call this node.
    pub node_name: String,
    /// What people call the mesh, should one be founded.
    pub mesh_name: String,
    /// Tells this start of the machine from others, as the operating system does.
    pub boot: Boot,
    /// Whether this process may promise and hold leases: a node does, a single command does not.
    pub votes: bool,
    /// Whether the store was copied or replaced when it was opened: it goes on as a new instance.
    pub renew_instance: bool,
    /// Documents kept in memory.
    pub documents_max: usize,
    /// Bytes of entries sent to one peer ahead of its acknowledgements.
    pub window_bytes: usize,
    /// The mesh that this node is in, should its store have been lost; peers then give back what they hold.
    pub membership: Option<Membership>,
    /// Folds shared with other replicas of this process.
    pub folds: Option<Folds>,
}

/// A replica, and what is told once when its mesh was founded by opening it.
pub struct Opened {
    /// The replica.
    pub replica: Replica,
    /// The secret half of the recovery key of a mesh that was founded just now.
    pub recovery: Option<SigningKey>,
}

/// The store failed; nothing handled since the last flush may leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct FlushError(pub String);

/// Why handling stopped: the command's fault, or the store's.
#[derive(Debug)]
pub(crate) enum Failure {
    Command(CommandError),
    Store(StoreError),
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The state machines of one node over its storage.
pub struct Replica {
    config: Config,
    stage: Stage,
    rng: ChaCha20Rng,
    now: Now,
    entries: Entries,
    mesh: Mesh,
    agents: Agents,
    beads: Beads,
    mail: Mail,
    claims: Claims,
    leases: Leases,
    voting: Voting,
    links: Links,
    orphans: Orphans,
    notices: Notices,
    searches: Searches,
    outputs: Vec<Output>,
    /// Entries of ours, staged since the last flush.
    authored: Vec<EntryId>,
    /// Entries of others, staged since the last flush, with the link they came by; a notice comes by none.
    taken: Vec<(EntryId, Option<LinkId>)>,
    compare_at: Instant,
    /// The command that is being carried out, unless it is to be answered later.
    asking: Option<RequestId>,
    /// When the next slice of what is left to do with mail is due.
    mail_at: Instant,
    join_open: bool,
    failed: Option<String>,
}

impl Replica {
    /// Opens the replica of a store, founding a mesh of one if the store is empty.
    ///
    /// A mesh that is founded lasts from the first flush on, so that the caller can keep the recovery key before.
    ///
    /// # Errors
    /// When the store fails or holds what this version cannot read.
    pub fn open(kv: Box<dyn Kv>, config: Config, now: Now) -> Result<Opened, StoreError> {
        let mut stage = Stage::new(kv);
        let mut rng = ChaCha20Rng::from_seed(config.seed);
        let secret = if planted::is(Bug::ActorReused) { config.key.to_bytes() } else { random(&mut rng) };
        let beads = Beads::new(secret, config.documents_max, config.folds.clone());
        let Begun { entries, control, recovery, past } = opening::begin(&mut stage, &mut rng, &config, &beads, now)?;
        let mut mesh = Mesh::of(entries.mesh(), entries.node(), control, config.folds.clone())
            .ok_or(StoreError::Undecodable { key: "of the founding entry".to_owned() })?;
        mesh.open_cuts(&mut stage, &entries)?;
        let window_bytes = config.window_bytes;
        let notices = Notices::new(config.seed);
        let mail = Mail::open(&stage)?;
        let claims = Claims::open(&stage)?;
        let leases = Leases::open(&stage, entries.node(), (now.mono, now.wall))?;
        let voting = opening::voting(&mut stage, &mut rng, (&config, &mesh, past), now)?;
        let mut replica = Self {
            config,
            stage,
            rng,
            now,
            entries,
            mesh,
            agents: Agents::default(),
            beads,
            mail,
            claims,
            leases,
            voting,
            asking: None,
            links: Links::new(window_bytes),
            orphans: Orphans::default(),
            notices,
            searches: Searches::default(),
            outputs: Vec::new(),
            authored: Vec::new(),
            taken: Vec::new(),
            compare_at: now.mono.after(COMPARE_INTERVAL),
            mail_at: now.mono,
            join_open: false,
            failed: None,
        };
        replica.begin()?;
        Ok(Opened { replica, recovery })
    }

    /// Makes ready what was just opened, and orders what does not wait for an input.
    fn begin(&mut self) -> Result<(), StoreError> {
        self.entries.begin(&mut self.stage, self.now.wall);
        if self.beads.needs_rebuild(&self.stage)? {
            self.rebuild()?;
        }
        self.mail.note_awaited(&self.stage)?;
        self.join_open = self.mesh.join_open(&mut self.stage, self.now.wall)?;
        self.outputs.push(Output::Mesh(self.mesh()));
        self.outputs.push(Output::Members(self.mesh.peers()));
        self.outputs.push(Output::JoinOpen(self.join_open));
        Ok(())
    }

    /// Returns the mesh this replica is in; entries and frames are checked against it.
    pub fn mesh(&self) -> MeshId {
        self.entries.mesh()
    }

    /// Says what is held, in the form a link begins with.
    pub fn hello(&self) -> Hello {
        self.entries.hello()
    }

    /// Takes one input at `now`; what follows from it is released by the next `flush`, in order.
    ///
    /// A remote can make this neither fail nor panic: what it breaks closes its link.
    ///
    /// # Panics
    /// When time runs backwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        assert!(now.mono >= self.now.mono, "time ran backwards");
        self.now = now;
        if self.failed.is_some() {
            return;
        }
        let handled = match input {
            Input::Command(request, command) => self.on_command(request, command),
            Input::Frame(link, frame) => self.on_frame(link, frame),
            Input::LinkDown(link) => self.on_link_down(link),
            Input::LinkUp(link, node, path) => self.on_link_up(link, node, path),
            Input::Lease(node, message) => self.on_lease_message(node, message),
            Input::Notice(node, notice) => self.on_notice(node, notice),
            Input::Wakeup => self.on_wakeup(),
        };
        if let Err(error) = handled {
            self.failed = Some(error.to_string());
        }
    }

    /// Makes everything handled since the last flush durable, then returns what may leave.
    ///
    /// # Errors
    /// When the store failed; nothing leaves, and the replica takes no further input.
    pub fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        if let Some(failed) = &self.failed {
            return Err(FlushError(failed.clone()));
        }
        let flushed = self.try_flush();
        if planted::is(Bug::RepliesDespiteFailure) && flushed.is_err() {
            return Ok(std::mem::take(&mut self.outputs));
        }
        flushed.map_err(|error| {
            self.failed = Some(error.to_string());
            FlushError(error.to_string())
        })
    }

    /// Says when `Input::Wakeup` is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        if planted::is(Bug::TimersForgotten) {
            return None;
        }
        let compare = (self.links.len() > 0 || self.join_open).then_some(self.compare_at);
        let notices = self.notices.next_wakeup().filter(|_| self.links.len() > 0);
        // By the clock as it stood last: whatever comes before looks at it again.
        let overdue = self.mail.overdue_at().map(|at| self.now.mono.after(self.now.wall.until(at)));
        let mail = self.is_mail_left().then_some(self.mail_at);
        let leases = [self.leases.next_wakeup(), self.seals_at()];
        [compare, notices, overdue, self.links.next_wakeup(), mail].into_iter().chain(leases).flatten().min()
    }

    fn try_flush(&mut self) -> Result<Vec<Output>, StoreError> {
        self.settle_views()?;
        for (bead, alias, author) in self.beads.take_changed(&self.stage, &self.mesh)? {
            self.outputs.push(Output::Event(Event::Bead { bead, alias, author }));
        }
        let (events, system) = self.mail.take_gained(&self.stage, &self.mesh)?;
        self.outputs.extend(events.into_iter().map(Output::Event));
        for letter in system {
            let event = self.system_event(letter)?;
            self.outputs.extend(event.map(Output::Event));
        }
        self.stage.commit()?;
        for id in self.authored.drain(..) {
            self.links.push(id);
            self.notices.note(id);
        }
        let frames = self.links.acknowledgements(&self.taken);
        self.taken.clear();
        self.outputs.extend(frames.into_iter().map(|(link, frame)| Output::Frame(link, frame)));
        let (entries, stage) = (&self.entries, &self.stage);
        let mut failed = None;
        let frames = self.links.entries(self.now.mono, &mut |id| match entries.load(stage, id) {
            Ok(entry) => entry,
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        self.outputs.extend(frames.into_iter().map(|(link, frame)| Output::Frame(link, frame)));
        self.publish_news()?;
        let settled = self.links.newly_settled();
        self.outputs.extend(settled.into_iter().map(|node| Output::Event(Event::PeerSettled(node))));
        failed.map_or(Ok(std::mem::take(&mut self.outputs)), Err)
    }

    fn on_command(&mut self, request: RequestId, command: Command) -> Result<(), StoreError> {
        self.settle_views()?;
        let search = command.search();
        self.asking = Some(request);
        let reply = match self.obey(command) {
            Ok(answer) => Ok(answer),
            Err(Failure::Command(error)) => Err(error),
            Err(Failure::Store(error)) => return Err(error),
        };
        // What is to be answered later has taken the request.
        if let Some(request) = self.asking.take() {
            self.reply(request, search, reply);
        }
        Ok(())
    }

    fn on_wakeup(&mut self) -> Result<(), StoreError> {
        let now = self.now.mono;
        for link in self.links.ids() {
            let orders = self.with_session(link, |session, holdings| session.on_wakeup(now, holdings))?;
            self.follow(link, orders)?;
        }
        self.on_notices_due()?;
        self.on_mail_due()?;
        self.on_leases_due()?;
        if now >= self.compare_at {
            self.compare_at = now.after(COMPARE_INTERVAL);
            self.update_join_open()?;
            let pushed = self.pushed();
            self.links.remember(&mut self.stage, pushed, self.now.wall)?;
            let links = self.links.ids();
            if !links.is_empty() && !planted::is(Bug::NotPassedOn) {
                let chosen = links[usize::try_from(self.rng.next_u32()).unwrap_or(0) % links.len()];
                let orders = self.with_session(chosen, |session, holdings| session.compare(holdings))?;
                self.follow(chosen, orders)?;
            }
        }
        Ok(())
    }

    fn update_join_open(&mut self) -> Result<(), StoreError> {
        let open = self.mesh.join_open(&mut self.stage, self.now.wall)?;
        if open != self.join_open {
            self.join_open = open;
            self.outputs.push(Output::JoinOpen(open));
        }
        Ok(())
    }

    /// Derives every view anew from the entries; returns how many entries were folded.
    fn rebuild(&mut self) -> Result<u64, StoreError> {
        let ids = self.entries.data_ids();
        Cuts::clear(&mut self.stage)?;
        self.mesh.open_cuts(&mut self.stage, &self.entries)?;
        self.beads.clear(&mut self.stage)?;
        let gained = self.mail.clear(&mut self.stage)?;
        self.claims.clear(&mut self.stage)?;
        self.entries.copies_mut().clear(&mut self.stage);
        for entry in self.entries.load_control(&self.stage)? {
            self.entries.copies_mut().note(&mut self.stage, &entry);
        }
        self.stage.commit()?;
        let mut folded = 0;
        for id in ids {
            if let Some(entry) = self.entries.load(&self.stage, id)? {
                self.entries.copies_mut().note(&mut self.stage, &entry);
                self.apply_data(&entry)?;
                folded += 1;
            }
            if folded % REBUILD_COMMIT == 0 {
                self.beads.catch_up(&mut self.stage, &self.mesh)?;
                self.stage.commit()?;
            }
        }
        self.settle_views()?;
        self.tell_leases_again()?;
        self.mail.finish_overdue(&mut self.stage, &self.mesh, self.now.wall)?;
        self.beads.mark_built(&mut self.stage);
        self.mail.forget_gained(gained);
        Ok(folded)
    }
}

fn random<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
