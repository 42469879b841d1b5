//! The replica: the state machines of the protocol joined to storage. One door for the node and for the simulator.
//!
//! It only routes. Each part below owns its state and its rules: `entries` the replicated sets, `mesh` the roster and
//! invites, `agents` the tokens of agents, `beads` documents and views, `mail` letters and inboxes, `system` what this node
//! itself tells its agents, `links` the conversations with peers, `notices` what is said to all of them.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::entry::{Entry, RawOp, Set};
use beadmesh_protocol::id::{EntryId, InstanceId, MeshId, NodeId};
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::roster::Roster;
use beadmesh_protocol::sync::{Holdings, Order, Session};
use beadmesh_protocol::wire::{Frame, Hello};
use ed25519_dalek::SigningKey;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::command::{Command, CommandError};
use crate::folds::Folds;
use crate::keys;
use crate::kv::Kv;
use crate::membership::Membership;
use crate::stage::{Stage, StoreError};

mod agents;
mod backup;
mod beads;
mod commands;
mod copies;
mod door;
mod entries;
mod event;
mod links;
mod mail;
mod mesh;
mod notices;
mod opening;
mod orphans;
mod searches;
mod system;

pub use door::{Input, LinkId, Output, RequestId};
pub use event::Event;

use agents::Agents;
use beads::Beads;
pub(crate) use beads::Warm;
use entries::{Entries, Identity, Taken};
use links::{COMPARE_INTERVAL, Links};
use mail::Mail;
pub(crate) use mesh::Control;
use mesh::{Learned, Mesh};
use notices::Notices;
use orphans::Orphans;
use searches::Searches;

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
        let (entries, control, recovery) = match stage.record::<Identity>(keys::IDENTITY)? {
            Some(identity) => {
                let moved = config.renew_instance || identity.machine != config.machine;
                let moved = moved && !planted::is(Bug::InstanceKept);
                let mut entries = Entries::open(&stage, config.key.clone(), identity, now.wall)?;
                if moved {
                    let instance = InstanceId::from_bytes(random(&mut rng));
                    entries.renew_instance(&mut stage, instance, config.machine.clone());
                }
                let control = entries.load_control(&stage)?;
                (entries, control, None)
            }
            None => {
                // Views of nothing are built; building them would commit the mesh before its first flush.
                beads.mark_built(&mut stage);
                match &config.membership {
                    Some(membership) => opening::rejoin(&mut stage, &mut rng, &config, membership, now)?,
                    None => opening::found(&mut stage, &mut rng, &config, now),
                }
            }
        };
        let mesh = Mesh::of(entries.mesh(), entries.node(), control, config.folds.clone())
            .ok_or(StoreError::Undecodable { key: "of the founding entry".to_owned() })?;
        let window_bytes = config.window_bytes;
        let notices = Notices::new(config.seed);
        let mail = Mail::open(&stage)?;
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
        replica.entries.begin(&mut replica.stage, now.wall);
        if replica.beads.needs_rebuild(&replica.stage)? {
            replica.rebuild()?;
        }
        replica.mail.note_awaited(&replica.stage)?;
        replica.join_open = replica.mesh.join_open(&mut replica.stage, now.wall)?;
        replica.outputs.push(Output::Mesh(replica.mesh()));
        replica.outputs.push(Output::Members(replica.mesh.peers()));
        replica.outputs.push(Output::JoinOpen(replica.join_open));
        Ok(Opened { replica, recovery })
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
        [compare, notices, overdue, self.links.next_wakeup(), mail].into_iter().flatten().min()
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
        let reply = match self.obey(command) {
            Ok(answer) => Ok(answer),
            Err(Failure::Command(error)) => Err(error),
            Err(Failure::Store(error)) => return Err(error),
        };
        self.reply(request, search, reply);
        Ok(())
    }

    fn on_link_up(&mut self, link: LinkId, node: NodeId, path: String) -> Result<(), StoreError> {
        if !self.mesh.roster().members.contains_key(&node) {
            self.outputs.push(Output::Close { link, reason: "not a member".to_owned(), violation: false });
            return Ok(());
        }
        if self.links.len() == 0 {
            self.expect_presence();
        }
        let (here, now) = (self.entries.node(), self.now.mono);
        let orders = with_holdings(&self.entries, &self.stage, |holdings| {
            self.links.open(now, link, (here, node), path, holdings)
        })?;
        self.outputs.push(Output::Event(Event::PeerUp(node)));
        self.follow(link, orders)
    }

    fn on_link_down(&mut self, link: LinkId) -> Result<(), StoreError> {
        let pushed = self.pushed();
        if let Some(node) = self.links.close(&mut self.stage, link, pushed, self.now.wall)? {
            self.outputs.push(Output::Event(Event::PeerDown(node)));
        }
        self.orphans.forget(link);
        Ok(())
    }

    /// Returns how many entries are here, apart from those that sessions hear of once they are durable.
    ///
    /// A session does not count those as lag yet, so a peer would be remembered to hold them.
    fn pushed(&self) -> u64 {
        let hello = self.entries.hello();
        let waiting = u64::try_from(self.authored.len()).unwrap_or(u64::MAX);
        (hello.control.count + hello.data.count).saturating_sub(waiting)
    }

    fn on_frame(&mut self, link: LinkId, frame: Frame) -> Result<(), StoreError> {
        let now = self.now.mono;
        let orders = self.with_session(link, |session, holdings| session.on_frame(now, frame, holdings))?;
        self.follow(link, orders)
    }

    fn on_wakeup(&mut self) -> Result<(), StoreError> {
        let now = self.now.mono;
        for link in self.links.ids() {
            let orders = self.with_session(link, |session, holdings| session.on_wakeup(now, holdings))?;
            self.follow(link, orders)?;
        }
        self.on_notices_due()?;
        self.on_mail_due()?;
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

    /// Does what a session orders.
    fn follow(&mut self, link: LinkId, orders: Vec<Order>) -> Result<(), StoreError> {
        let mut orders = VecDeque::from(orders);
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Send(frame) => self.outputs.push(Output::Frame(link, frame)),
                Order::Store(entries) => {
                    let strangers = self.take(Some(link), entries)?;
                    let now = self.now.mono;
                    let mut next = self.with_session(link, |session, holdings| session.after_store(now, holdings))?;
                    if strangers {
                        next.extend(
                            self.with_session(link, |session, holdings| session.on_unknown_author(now, holdings))?,
                        );
                    }
                    orders.extend(next);
                }
                Order::Close { reason, violation } => {
                    self.outputs.push(Output::Frame(link, Frame::Bye(reason.clone())));
                    self.outputs.push(Output::Close { link, reason, violation });
                    self.on_link_down(link)?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn with_session(
        &mut self,
        link: LinkId,
        act: impl FnOnce(&mut Session, &Holdings<'_>) -> Vec<Order>,
    ) -> Result<Vec<Order>, StoreError> {
        let Some(session) = self.links.session(link) else { return Ok(Vec::new()) };
        with_holdings(&self.entries, &self.stage, |holdings| act(session, holdings))
    }

    /// Takes entries that came over a link or by a notice; returns whether some are of authors not known here.
    fn take(&mut self, link: Option<LinkId>, arrived: Vec<Entry>) -> Result<bool, StoreError> {
        let (control, data): (Vec<Entry>, Vec<Entry>) =
            arrived.into_iter().partition(|entry| entry.set() == Set::Control);
        let mut strangers = self.take_known(link, control)?;
        strangers |= self.take_known(link, data)?;
        Ok(strangers)
    }

    /// Stores the entries whose authors are known, and keeps the others of a link for a while.
    fn take_known(&mut self, link: Option<LinkId>, mut arrived: Vec<Entry>) -> Result<bool, StoreError> {
        let (mut strangers, mut refused) = (false, false);
        // New control entries may make authors known, so what was kept is tried again until nothing changes.
        loop {
            let mut control = Vec::new();
            for entry in arrived.drain(..) {
                if !self.is_storable(&entry) {
                    strangers = true;
                    refused |= link.is_some_and(|link| !self.orphans.keep(link, entry));
                    continue;
                }
                let taken = self.entries.take(&mut self.stage, self.now.wall, &entry)?;
                link.inspect(|link| self.links.owe(*link, entry.id()));
                if taken == Taken::Known {
                    continue;
                }
                self.taken.push((entry.id(), link));
                match entry.set() {
                    Set::Control => control.push(entry),
                    Set::Data => self.apply_data(&entry)?,
                }
            }
            if control.is_empty() {
                return Ok(strangers);
            }
            self.learn(control)?;
            let Some(link) = link else { return Ok(strangers) };
            arrived = self.orphans.take(link, &self.mesh.roster().known);
            strangers = refused || self.orphans.has(link);
        }
    }

    /// Gives effect to a stored data entry: to its operations on beads, and to its letters and receipts.
    fn apply_data(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.beads.apply_entry(&mut self.stage, &self.mesh, entry)?;
        self.mail.apply_entry(&mut self.stage, &self.mesh, entry)
    }

    /// Returns whether an entry's author is known here, or need not be.
    fn is_storable(&self, entry: &Entry) -> bool {
        let admits = planted::is(Bug::AnyoneAdmits) && entry.set() == Set::Control;
        let is_let_in = admits || planted::is(Bug::StrangersStored);
        is_let_in || entry.is_founding() || self.mesh.roster().known.contains(&entry.content().author)
    }

    /// Folds new control entries into the roster, and acts on what changes.
    fn learn(&mut self, control: Vec<Entry>) -> Result<(), StoreError> {
        let Learned { before, renamed, turned: agents, agents: is_told, assignable } = self.mesh.extend(control);
        let (before, after) = (&before.roster, self.mesh.roster());
        let roles =
            |roster: &Roster| roster.members.iter().map(|(node, member)| (*node, member.role)).collect::<Vec<_>>();
        let mut turned = BTreeSet::new();
        if roles(before) != roles(after) {
            // Nothing is stored yet of a node that was not known before.
            let known = before.known.iter().copied();
            turned.extend(known.filter(|node| before.may_write(*node) != after.may_write(*node)));
        }
        let has_moved = self.mesh.names_other_peers(before);
        self.beads.on_writers_changed(&self.stage, &turned)?;
        if renamed {
            self.beads.forget_index();
        }
        if assignable {
            self.beads.stir(&self.stage, &self.mesh)?;
        } else if renamed {
            self.beads.stir_waiting(&self.stage)?;
        }
        self.mail.on_agents_turned(&mut self.stage, &self.mesh, &agents)?;
        if is_told {
            self.outputs.push(Output::Event(Event::Agents));
        }
        if has_moved {
            self.outputs.push(Output::Members(self.mesh.peers()));
            self.outputs.push(Output::Event(Event::Roster));
        }
        self.notices.retain(self.mesh.roster());
        for link in self.links.strangers(self.mesh.roster()) {
            self.outputs.push(Output::Close { link, reason: "no longer a member".to_owned(), violation: false });
        }
        Ok(())
    }

    /// Writes operations as entries of ours: control operations take effect at once, those on beads have had it.
    fn author(&mut self, ops: Vec<RawOp>) -> Result<(), StoreError> {
        if ops.is_empty() {
            return Ok(());
        }
        let entries = self.entries.author(&mut self.stage, self.now.wall, ops);
        self.authored.extend(entries.iter().map(Entry::id));
        let (control, data): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.set() == Set::Control);
        for entry in &data {
            self.beads.note_entry(&mut self.stage, entry)?;
            self.mail.apply_entry(&mut self.stage, &self.mesh, entry)?;
        }
        if control.is_empty() { Ok(()) } else { self.learn(control) }
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
        self.beads.clear(&mut self.stage)?;
        let gained = self.mail.clear(&mut self.stage)?;
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
        self.mail.finish_overdue(&mut self.stage, &self.mesh, self.now.wall)?;
        self.beads.mark_built(&mut self.stage);
        self.mail.forget_gained(gained);
        Ok(folded)
    }
}

/// Lends a session what the replica holds.
fn with_holdings<R>(entries: &Entries, stage: &Stage, act: impl FnOnce(&Holdings<'_>) -> R) -> Result<R, StoreError> {
    let failed = RefCell::new(None);
    let holds = |id| {
        entries.holds(stage, id).unwrap_or_else(|error| {
            failed.replace(Some(error));
            false
        })
    };
    let snapshot = |set| entries.snapshot(set);
    let result = act(&Holdings { hello: entries.hello(), holds: &holds, snapshot: &snapshot });
    failed.into_inner().map_or(Ok(result), Err)
}

fn random<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
