//! Builders for tests of this crate: a few replicas joined by frames.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use beadmesh_protocol::bead::{Field, FieldValue};
use beadmesh_protocol::clock::{Instant, Now, Wall};
use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::invite::JoinRequest;
use beadmesh_protocol::lease::Message;
use beadmesh_protocol::limits::WIRE_VERSION;
use beadmesh_protocol::notice::Notice;
use beadmesh_protocol::op::Role;
use beadmesh_protocol::sync::WINDOW_BYTES;
use beadmesh_protocol::testing::Author;
use beadmesh_protocol::wire::Frame;
use ed25519_dalek::SigningKey;

use crate::command::{
    Action, Answer, BeadEdit, Command, CommandError, Credential, NewAgent, NewBead, NewInvite, PeerAnswer, StatusAnswer,
};
use crate::membership::Membership;
use crate::memory::{Crash, MemoryKv, SharedKv};
use crate::open::Origin;
use crate::replica::{Config, Event, Input, LinkId, Opened, Output, Replica, RequestId};

/// One replica of a net.
pub(crate) struct Peer {
    pub(crate) replica: Replica,
    pub(crate) disk: SharedKv,
    pub(crate) author: Author,
    /// How far its wall clock runs ahead.
    pub(crate) ahead: Duration,
    pub(crate) events: Vec<Event>,
    /// The recovery key of the mesh that it founded first.
    pub(crate) recovery: Option<SigningKey>,
    opened: u8,
    /// How often its machine was started anew.
    boots: u8,
}

/// A frame on its way: to whom, over which link, its bytes.
type Parcel = (usize, LinkId, Vec<u8>);

/// Replicas joined by frames, on one false clock.
pub(crate) struct Net {
    pub(crate) peers: Vec<Peer>,
    /// Every frame delivered so far.
    pub(crate) delivered: Vec<Parcel>,
    /// Every notice published so far, with by whom; none is delivered by itself.
    pub(crate) notices: Vec<(usize, Vec<u8>)>,
    /// Every link that a replica closed, with the reason.
    pub(crate) closed: Vec<(usize, String)>,
    mono: Instant,
    links: BTreeMap<LinkId, (usize, usize)>,
    wire: VecDeque<Parcel>,
    /// What is said about leases, on its way: to whom, from whom, encoded.
    said: VecDeque<(usize, NodeId, Vec<u8>)>,
    /// Replies that nobody has taken yet.
    replies: BTreeMap<RequestId, Result<Answer, CommandError>>,
    ids: u64,
}

impl Net {
    /// Returns that many replicas, each in a mesh of one.
    pub(crate) fn alone(count: u8) -> Self {
        let mono = Instant::default();
        let peers = (0..count).map(|at| {
            let disk = SharedKv::new(MemoryKv::seeded(at.into()));
            let author = Author::seeded(at + 1);
            let founded = open_or_found(&disk, &author, (0, 0, &Origin::Resumed), clock(mono, Duration::ZERO), None);
            let Opened { replica, recovery } = founded;
            Peer { replica, disk, author, ahead: Duration::ZERO, events: Vec::new(), recovery, opened: 0, boots: 0 }
        });
        let peers = peers.collect();
        let (delivered, notices, closed) = (Vec::new(), Vec::new(), Vec::new());
        let (links, wire, said) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        let replies = BTreeMap::new();
        let mut net = Self { peers, delivered, notices, closed, mono, links, wire, said, replies, ids: 0 };
        (0..net.peers.len()).for_each(|at| net.flush(at));
        net
    }

    /// Returns that many replicas in the mesh of the first, not linked.
    pub(crate) fn joined(count: u8) -> Self {
        let mut net = Self::alone(count);
        (1..usize::from(count)).for_each(|at| net.join(0, at).unwrap());
        net
    }

    /// Lets one replica into the mesh of another, by a ticket.
    pub(crate) fn join(&mut self, inviter: usize, joiner: usize) -> Result<(), CommandError> {
        self.join_as(Role::Member, inviter, joiner)
    }

    /// Lets one replica into the mesh of another in a role.
    pub(crate) fn join_as(&mut self, role: Role, inviter: usize, joiner: usize) -> Result<(), CommandError> {
        let (mesh, request) = self.invite(role, inviter, self.node(joiner))?;
        let decision = self.ask(inviter, Command::Welcome(self.node(joiner), request))?;
        let Answer::JoinDecision(Ok(control)) = decision else { panic!("{decision:?}") };
        self.ask(joiner, Command::Enter(mesh, opened(mesh, control))).map(|_| ())
    }

    /// Opens an invite, and returns its mesh and what a node that was given the ticket asks.
    pub(crate) fn invite(
        &mut self,
        role: Role,
        inviter: usize,
        joiner: NodeId,
    ) -> Result<(MeshId, JoinRequest), CommandError> {
        let new = NewInvite { ttl: Duration::from_secs(3_600), uses: 1, role, approval: false, addresses: Vec::new() };
        let Answer::Invited(ticket) = self.ask(inviter, Command::Invite(new))? else { panic!("a ticket") };
        let request = JoinRequest {
            version: WIRE_VERSION,
            invite: ticket.secret.invite(),
            proof: ticket.secret.prove(ticket.mesh, ticket.inviter, joiner),
            name: "joined".to_owned(),
        };
        Ok((ticket.mesh, request))
    }

    /// Hands a command in, flushes, and returns the reply.
    pub(crate) fn ask(&mut self, at: usize, command: Command) -> Result<Answer, CommandError> {
        let id = self.begin(at, command);
        self.reply(id).expect("it is answered at once")
    }

    /// Hands a command in and flushes; it may be answered later.
    pub(crate) fn begin(&mut self, at: usize, command: Command) -> RequestId {
        self.ids += 1;
        let id = RequestId(self.ids);
        self.handle(at, Input::Command(id, command));
        self.flush(at);
        id
    }

    /// Takes the reply to a command, if there is one by now.
    pub(crate) fn reply(&mut self, id: RequestId) -> Option<Result<Answer, CommandError>> {
        self.replies.remove(&id)
    }

    /// Hands an input in without a flush.
    pub(crate) fn handle(&mut self, at: usize, input: Input) {
        let now = self.now(at);
        self.peers[at].replica.handle(now, input);
    }

    /// Flushes and does what is ordered.
    pub(crate) fn flush(&mut self, at: usize) {
        let outputs = self.peers[at].replica.flush().unwrap();
        self.obey(at, outputs);
    }

    pub(crate) fn now(&self, at: usize) -> Now {
        clock(self.mono, self.peers[at].ahead)
    }

    pub(crate) fn node(&self, at: usize) -> NodeId {
        self.peers[at].author.node()
    }

    /// Links two replicas and returns the link, without delivering anything.
    pub(crate) fn link(&mut self, source: usize, target: usize) -> LinkId {
        self.ids += 1;
        let link = LinkId(self.ids);
        self.links.insert(link, (source, target));
        for (at, other) in [(source, target), (target, source)] {
            let input = Input::LinkUp(link, self.node(other), "/memory".to_owned());
            self.handle(at, input);
            self.flush(at);
        }
        link
    }

    /// Cuts a link; what was on its way is lost.
    pub(crate) fn cut(&mut self, link: LinkId) {
        let Some((source, target)) = self.links.remove(&link) else { return };
        self.wire.retain(|(_, on, _)| *on != link);
        for at in [source, target] {
            self.handle(at, Input::LinkDown(link));
            self.flush(at);
        }
    }

    /// Hands one encoded frame to a replica.
    pub(crate) fn deliver(&mut self, at: usize, link: LinkId, bytes: &[u8]) {
        let frame = Frame::decode(self.peers[at].replica.mesh(), bytes).unwrap();
        self.handle(at, Input::Frame(link, frame));
        self.flush(at);
    }

    /// Hands one encoded notice of a node to a replica.
    pub(crate) fn publish(&mut self, at: usize, from: NodeId, bytes: &[u8]) {
        let notice = Notice::decode(self.peers[at].replica.mesh(), from, bytes).unwrap();
        self.handle(at, Input::Notice(from, notice));
        self.flush(at);
    }

    /// Wakes every replica that is due.
    pub(crate) fn wake(&mut self) {
        for at in 0..self.peers.len() {
            if self.peers[at].replica.next_wakeup().is_some_and(|due| due <= self.mono) {
                self.handle(at, Input::Wakeup);
                self.flush(at);
            }
        }
    }

    /// Lets time pass in which nothing happens.
    pub(crate) fn elapse(&mut self, span: Duration) {
        self.mono = self.mono.after(span);
    }

    /// Delivers until nothing is on its way and no announced entry is waited for.
    pub(crate) fn settle(&mut self) {
        self.deliver_all();
        for _ in 0..4 {
            self.mono = self.mono.after(Duration::from_secs(2));
            self.wake();
            self.deliver_all();
        }
    }

    /// Delivers what is on its way, without letting time pass.
    pub(crate) fn settle_now(&mut self) {
        self.deliver_all();
    }

    /// Returns which replicas a link joins, if it is up.
    pub(crate) fn ends(&self, link: LinkId) -> Option<(usize, usize)> {
        self.links.get(&link).copied()
    }

    fn deliver_all(&mut self) {
        let bound = self.delivered.len() + 10_000;
        loop {
            if let Some((at, from, bytes)) = self.said.pop_front() {
                let message = Message::decode(&bytes).unwrap();
                self.handle(at, Input::Lease(from, message));
                self.flush(at);
                continue;
            }
            let Some((at, link, bytes)) = self.wire.pop_front() else { return };
            self.deliver(at, link, &bytes);
            self.delivered.push((at, link, bytes));
            assert!(self.delivered.len() < bound, "the net does not settle");
        }
    }

    /// Cuts the power of one replica, losing everything unflushed, and opens it again.
    pub(crate) fn crash(&mut self, at: usize) {
        self.unplug(at);
        let now = self.now(at);
        let peer = &mut self.peers[at];
        let origin = peer.disk.lock().crash(Crash::LoseAll);
        peer.opened += 1;
        peer.replica = open(&peer.disk, &peer.author, (peer.opened, peer.boots, &origin), now, None);
        self.flush(at);
    }

    /// Starts a replica's machine anew: what was flushed is there, and the clock of before means nothing.
    pub(crate) fn reboot(&mut self, at: usize) {
        self.peers[at].boots += 1;
        self.crash(at);
    }

    /// Takes a replica's disk away and opens it on an empty one, with what was kept beside its store.
    pub(crate) fn lose_disk(&mut self, at: usize) {
        let Ok(Answer::Membership(membership)) = self.ask(at, Command::Membership) else { panic!("a membership") };
        let membership = Membership::decode(&membership.encode());
        self.unplug(at);
        let now = self.now(at);
        let peer = &mut self.peers[at];
        peer.disk = SharedKv::new(MemoryKv::seeded(99));
        peer.opened += 1;
        peer.replica = open(&peer.disk, &peer.author, (peer.opened, peer.boots, &Origin::Fresh), now, membership);
        self.flush(at);
    }

    /// Returns a copy of a replica's disk as it is now.
    pub(crate) fn saved(&self, at: usize) -> SharedKv {
        SharedKv::new(self.peers[at].disk.lock().snapshot())
    }

    /// Puts another disk under a replica and opens it as what it is.
    pub(crate) fn put_back(&mut self, at: usize, disk: SharedKv, origin: &Origin) {
        self.unplug(at);
        let now = self.now(at);
        let peer = &mut self.peers[at];
        peer.disk = disk;
        peer.opened += 1;
        peer.replica = open(&peer.disk, &peer.author, (peer.opened, peer.boots, origin), now, None);
        self.flush(at);
    }

    /// Opens a copy of a replica's disk as one more replica with its key, and returns its place.
    pub(crate) fn copy(&mut self, at: usize, origin: &Origin) -> usize {
        let (disk, now) = (self.saved(at), self.now(at));
        let Peer { author, ahead, .. } = &self.peers[at];
        let (author, ahead, opened) = (author.clone(), *ahead, 100);
        let replica = open(&disk, &author, (opened, 0, origin), now, None);
        let (events, recovery) = (Vec::new(), None);
        self.peers.push(Peer { replica, disk, author, ahead, events, recovery, opened, boots: 0 });
        let copy = self.peers.len() - 1;
        self.flush(copy);
        copy
    }

    /// Returns the stable ids of what a replica finds, each with its message.
    pub(crate) fn findings(&mut self, at: usize) -> Vec<(&'static str, String)> {
        let Ok(Answer::Checked(findings)) = self.ask(at, Command::Check) else { panic!("findings") };
        findings.into_iter().map(|finding| (finding.check, finding.message)).collect()
    }

    /// Cuts every link of a replica, which itself does not hear of it.
    fn unplug(&mut self, at: usize) {
        let cut: Vec<LinkId> =
            self.links.iter().filter(|(_, (a, b))| [*a, *b].contains(&at)).map(|(l, _)| *l).collect();
        for link in cut {
            let (source, target) = self.links.remove(&link).unwrap();
            self.wire.retain(|(_, on, _)| *on != link);
            let other = if source == at { target } else { source };
            self.handle(other, Input::LinkDown(link));
            self.flush(other);
        }
    }

    pub(crate) fn status(&mut self, at: usize) -> StatusAnswer {
        let Ok(Answer::Status(status)) = self.ask(at, Command::Status) else { panic!("a status") };
        *status
    }

    /// Returns how a replica sees another.
    pub(crate) fn seen(&mut self, at: usize, other: usize) -> PeerAnswer {
        let node = self.node(other);
        self.status(at).peers.into_iter().find(|peer| peer.node == node).unwrap()
    }

    /// Returns every bead as an export writes it.
    pub(crate) fn export(&mut self, at: usize) -> Vec<String> {
        let Ok(Answer::ExportIndex(ids)) = self.ask(at, Command::ExportIndex(None)) else { panic!("ids") };
        let Ok(Answer::Lines(lines)) = self.ask(at, Command::ExportLines(ids)) else { panic!("lines") };
        lines
    }

    /// Creates a bead under a given alias.
    pub(crate) fn create(&mut self, at: usize, alias: &str) {
        self.ask(at, create(alias)).unwrap();
    }

    /// Sets a text field of a bead.
    pub(crate) fn set(&mut self, at: usize, bead: &str, field: Field, text: &str) {
        self.ask(at, edit(bead, Action::Set(vec![(field, FieldValue::Text(text.to_owned()))]))).unwrap();
    }

    /// Registers an agent and returns what it proves itself with.
    pub(crate) fn register(&mut self, at: usize, name: &str) -> Credential {
        let new = NewAgent { name: Some(name.to_owned()), ..NewAgent::default() };
        let answer = self.ask(at, Command::AgentRegister(new)).unwrap();
        let Answer::Registered { agent, token } = answer else { panic!("an agent") };
        Credential { name: agent.name, token }
    }

    /// Hands a command in as an agent, and returns the reply.
    pub(crate) fn ask_as(
        &mut self,
        at: usize,
        credential: &Credential,
        command: Command,
    ) -> Result<Answer, CommandError> {
        self.ask(at, Command::As(credential.clone(), Box::new(command)))
    }

    fn obey(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Reply(id, answer) => drop(self.replies.insert(id, *answer)),
                Output::Frame(link, frame) => {
                    let Some((source, target)) = self.links.get(&link) else { continue };
                    let to = if *source == at { *target } else { *source };
                    self.wire.push_back((to, link, frame.encode()));
                }
                Output::Notice(bytes) => self.notices.push((at, bytes)),
                Output::Lease(node, message) => {
                    let to = self.links.values().filter_map(|(source, target)| {
                        let to = if *source == at { *target } else { *source };
                        ([source, target].contains(&&at) && self.node(to) == node).then_some(to)
                    });
                    if let Some(to) = to.into_iter().next() {
                        self.said.push_back((to, self.node(at), message.encode()));
                    }
                }
                Output::Close { reason, .. } => self.closed.push((at, reason)),
                Output::Event(event) => self.peers[at].events.push(event),
                Output::Mesh(_) | Output::Members(_) | Output::JoinOpen(_) => {}
            }
        }
    }
}

/// A wish to create a bead under a given alias.
pub(crate) fn create(alias: &str) -> Command {
    Command::Create(Box::new(bead(alias)))
}

/// A bead to be, under a given alias.
pub(crate) fn bead(alias: &str) -> NewBead {
    let fields = vec![(Field::Title, FieldValue::Text(format!("title of {alias}")))];
    let (alias, by) = (Some(alias.to_owned()), "ada".to_owned());
    NewBead { alias, fields, by, ..NewBead::default() }
}

/// A wish to change a bead.
pub(crate) fn edit(bead: &str, action: Action) -> Command {
    Command::Edit(BeadEdit { bead: bead.to_owned(), action, by: "ada".to_owned() })
}

fn clock(mono: Instant, ahead: Duration) -> Now {
    let wall = Wall::from_millis(1_700_000_000_000 + mono.as_micros() / 1_000);
    Now { mono, wall: wall.after(ahead) }
}

/// Opens the replica of a disk for the given time.
pub(crate) fn open(
    disk: &SharedKv,
    author: &Author,
    (opened, boots, origin): (u8, u8, &Origin),
    now: Now,
    membership: Option<Membership>,
) -> Replica {
    open_or_found(disk, author, (opened, boots, origin), now, membership).replica
}

/// Opens the replica of a disk for the given time; returns the recovery key too where it founds a mesh.
fn open_or_found(
    disk: &SharedKv,
    author: &Author,
    (opened, boots, origin): (u8, u8, &Origin),
    now: Now,
    membership: Option<Membership>,
) -> Opened {
    let config = Config {
        key: author.key.clone(),
        seed: [author.node().as_bytes()[0] ^ opened; 32],
        machine: "machine".to_owned(),
        node_name: "node".to_owned(),
        mesh_name: "mesh".to_owned(),
        boot: [boots; 16],
        votes: true,
        renew_instance: matches!(origin, Origin::Copied { .. }),
        documents_max: 16,
        window_bytes: WINDOW_BYTES,
        membership,
        folds: None,
    };
    Replica::open(Box::new(disk.clone()), config, now).unwrap()
}

/// Opens what an inviter answered.
pub(crate) fn opened(mesh: MeshId, control: Vec<Sealed>) -> Vec<Entry> {
    control.into_iter().map(|sealed| Entry::open(mesh, sealed).expect("an inviter sends sound entries")).collect()
}
