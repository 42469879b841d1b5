//! How nodes get into the mesh: the founder and those who are members from the start at once, the others by messages.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::MeshId;
use beadmesh_protocol::invite::{JoinAnswer, JoinRefusal, JoinRequest, Ticket};
use beadmesh_protocol::limits::WIRE_VERSION;
use beadmesh_protocol::op::Role;
use beadmesh_store::command::{Answer, Command, NewInvite};
use beadmesh_store::open::Origin;

use super::{Event, MILLI, Mesh, SECOND, at};
use crate::node::Purpose;
use crate::random::Stream;
use crate::reference;
use crate::sometimes;

/// How long a node waits for an answer before it asks again.
const PATIENCE_US: u64 = 5 * SECOND;

/// How long an invite is open.
const INVITE_TTL: Duration = Duration::from_secs(24 * 3_600);

/// How long one is that somebody opened in too much of a hurry.
const INVITE_TTL_SHORT: Duration = Duration::from_secs(1);

impl Mesh<'_> {
    /// Starts every machine, and lets in at once those that are members from the beginning.
    pub(super) fn found(&mut self) {
        let plan = self.plan;
        for node in 0..self.nodes.len() {
            let machine = &mut self.nodes[node];
            let opened = machine.start(&Origin::Fresh, 0);
            opened.expect("an empty store opens");
        }
        self.nodes[0].joined = true;
        self.id = self.nodes[0].mesh().expect("it runs");
        self.ask_now(0, Command::Membership).expect("a mesh of one has a membership");
        for (place, node) in (0..).zip(&plan.nodes).skip(1) {
            if node.joins_ms == 0 {
                self.let_in_now(place, node.role);
            } else {
                self.schedule(node.joins_ms * MILLI, Event::Join { node: place });
            }
        }
        let places = 0..u32::try_from(self.nodes.len()).expect("nodes are bounded");
        for node in places.clone() {
            let address = format!("/ip4/10.0.0.{}/tcp/4001", node % 250);
            // Nobody has a way to anybody yet, so nothing is sent.
            let _ = self.ask_now(node, Command::Announce(vec![address]));
        }
        self.introduce();
        for node in places {
            self.keep_membership(node);
            self.begin(node);
        }
    }

    fn let_in_now(&mut self, node: u32, role: Role) {
        let ticket = match self.ask_now(0, Command::Invite(invite(role))) {
            Ok(Answer::Invited(ticket)) => ticket,
            other => return self.violate("refusal", Some(0), format!("no invite: {other:?}")),
        };
        let id = self.nodes[at(node)].id;
        let request = request(&ticket, self.nodes[at(node)].id, node);
        match self.ask_now(0, Command::Welcome(id, request)) {
            Ok(Answer::JoinDecision(Ok(control))) => {
                let Some(control) = self.open_all(node, ticket.mesh, control) else { return };
                let entered = self.ask_now(node, Command::Enter(ticket.mesh, control));
                if let Err(error) = entered {
                    return self.violate("refusal", Some(node), format!("it can not enter: {error}"));
                }
                self.nodes[at(node)].joined = true;
            }
            other => self.violate("refusal", Some(0), format!("node {node} is not let in: {other:?}")),
        }
    }

    /// Makes those who are members from the beginning know each other, as after some days together.
    ///
    /// Nodes that know each other only by a third can not link before they have heard of each other.
    fn introduce(&mut self) {
        let Some(mesh) = self.nodes[0].mesh() else { return };
        let mut control = BTreeMap::new();
        for node in 0..self.nodes.len() {
            if !self.nodes[node].joined {
                continue;
            }
            let place = u32::try_from(node).expect("nodes are bounded");
            let Ok(Answer::Membership(membership)) = self.ask_now(place, Command::Membership) else { return };
            for sealed in membership.control {
                control.entry(sealed.signature).or_insert(sealed);
            }
        }
        let Some(control) = self.open_all(0, mesh, control.into_values().collect()) else { return };
        for node in 0..self.nodes.len() {
            if !self.nodes[node].joined {
                continue;
            }
            // Some other member hands it all over; who, makes no difference.
            let mut others = self.nodes.iter().filter(|other| other.joined && other.id != self.nodes[node].id);
            let Some(from) = others.next().map(|other| other.id) else { continue };
            let now = self.nodes[node].clock.read(0);
            let Some(process) = &mut self.nodes[node].process else { continue };
            match reference::hand_over(&mut process.replica, now, (mesh, from), control.clone()) {
                Ok(Some(members)) => self.nodes[node].members = members,
                Ok(None) => {}
                Err(error) => self.violate("refusal", u32::try_from(node).ok(), error),
            }
        }
    }

    /// Has a node asked in: an invite is opened where it has a way to an admin, and it asks with the ticket.
    pub(super) fn on_join(&mut self, node: u32) {
        let machine = &self.nodes[at(node)];
        if machine.joined || machine.retired {
            return;
        }
        self.schedule(self.now_us + PATIENCE_US, Event::Join { node });
        let machine = &self.nodes[at(node)];
        if !machine.is_awake() {
            return;
        }
        if let Some((inviter, ticket)) = machine.ticket.clone() {
            let reaches = self.network.passes(node, inviter) && self.nodes[at(inviter)].is_awake();
            if !reaches {
                return;
            }
            let bytes = request(&ticket, machine.id, node).encode();
            let again = std::mem::replace(&mut self.nodes[at(node)].has_asked, true);
            sometimes!(self.coverage, "join-again", again);
            let delay = self.delay(node, inviter);
            self.schedule(self.now_us + delay, Event::JoinAsked { inviter, joiner: node, bytes });
            return;
        }
        let inviter = self.pairs.of(node).into_iter().find(|other| {
            let other = &self.nodes[at(*other)];
            other.role == Role::Admin && other.joined && other.is_awake() && !other.rogue && other.copy_of.is_none()
        });
        // The founder can hand a ticket over by other means, and be reached some way or other.
        let inviter = inviter.unwrap_or(0);
        if self.nodes[at(inviter)].is_awake() && self.nodes[at(inviter)].joined {
            let role = self.plan.nodes[at(node)].role;
            let mut stream = Stream::keyed(self.plan.seed, "invite", node.into(), self.now_us);
            // It is gone before anybody asks by it.
            let ttl = if stream.chance(30) { INVITE_TTL_SHORT } else { INVITE_TTL };
            let new = NewInvite { ttl, approval: stream.chance(300), ..invite(role) };
            self.ask(inviter, Command::Invite(new), Purpose::Invite(node));
        }
    }

    pub(super) fn on_ticket(&mut self, inviter: u32, joiner: u32, ticket: &Ticket) {
        // A ticket goes from hand to hand as text.
        match ticket.to_string().parse() {
            Ok(ticket) => self.nodes[at(joiner)].ticket = Some((inviter, ticket)),
            Err(error) => self.violate("refusal", Some(inviter), format!("its ticket does not read: {error}")),
        }
    }

    pub(super) fn on_join_asked(&mut self, inviter: u32, joiner: u32, bytes: &[u8]) {
        self.trace.fold_bytes(6, self.now_us, joiner.into(), bytes);
        let id = self.nodes[at(joiner)].id;
        match JoinRequest::decode(bytes) {
            Ok(request) if self.nodes[at(inviter)].is_awake() => {
                self.ask(inviter, Command::Welcome(id, request), Purpose::Welcome(joiner));
            }
            Ok(_) => {}
            Err(error) => self.violate("refusal", Some(joiner), format!("its request does not read: {error}")),
        }
    }

    pub(super) fn on_join_decided(&mut self, inviter: u32, joiner: u32, decision: Result<Vec<Sealed>, JoinRefusal>) {
        let answer = match decision {
            Ok(control) => JoinAnswer::Welcome(control),
            Err(refusal) => JoinAnswer::Refused(refusal),
        };
        // An answer is one packet or so, and nobody sends it again by itself.
        let mut stream = Stream::keyed(self.plan.seed, "join answer", joiner.into(), self.now_us);
        let is_lost = stream.chance(self.plan.network.loss_per_mille);
        if !is_lost && self.network.passes(inviter, joiner) {
            let delay = self.delay(inviter, joiner);
            self.schedule(self.now_us + delay, Event::JoinAnswered { joiner, bytes: answer.encode() });
        }
    }

    pub(super) fn on_join_answered(&mut self, joiner: u32, bytes: &[u8]) {
        self.trace.fold_bytes(7, self.now_us, joiner.into(), bytes);
        let machine = &self.nodes[at(joiner)];
        let Some((_, ticket)) = machine.ticket.clone() else { return };
        if machine.joined || !machine.is_awake() {
            return;
        }
        match JoinAnswer::decode(bytes) {
            Ok(JoinAnswer::Welcome(control)) => {
                let Some(control) = self.open_all(joiner, ticket.mesh, control) else { return };
                self.ask(joiner, Command::Enter(ticket.mesh, control), Purpose::Enter);
            }
            // It asks again by and by.
            Ok(JoinAnswer::Refused(JoinRefusal::Pending)) => {}
            Ok(JoinAnswer::Refused(refusal)) => {
                sometimes!(self.coverage, "join-refused", true);
                self.tell(Some(joiner), format!("was not let in: {refusal}"));
                // Whoever invited it opens another invite.
                (self.nodes[at(joiner)].ticket, self.nodes[at(joiner)].has_asked) = (None, false);
            }
            Err(error) => self.violate("refusal", Some(joiner), format!("what it was answered does not read: {error}")),
        }
    }

    pub(super) fn on_entered(&mut self, node: u32) {
        sometimes!(self.coverage, "joined-while-running", true);
        self.nodes[at(node)].joined = true;
        self.tell(Some(node), "joined");
        let address = format!("/ip4/10.0.0.{}/tcp/4001", node % 250);
        self.ask(node, Command::Announce(vec![address]), Purpose::Announce);
        self.ask(node, Command::Membership, Purpose::Membership);
        self.hurry(node);
    }

    /// Opens the entries that a node was answered.
    fn open_all(&mut self, node: u32, mesh: MeshId, control: Vec<Sealed>) -> Option<Vec<Entry>> {
        let opened = control.into_iter().map(|sealed| self.opened.open(mesh, sealed));
        let opened: Result<Vec<Entry>, _> = opened.collect();
        opened
            .map_err(|error| self.violate("refusal", Some(node), format!("it was sent what does not open: {error}")))
            .ok()
    }

    fn delay(&mut self, from: u32, to: u32) -> u64 {
        let Self { network, nodes, .. } = self;
        network.latency([from, to], &mut nodes[at(from)].stream)
    }
}

pub(super) fn invite(role: Role) -> NewInvite {
    NewInvite { ttl: INVITE_TTL, uses: 1, role, approval: false, addresses: vec!["/ip4/10.0.0.1/tcp/4001".to_owned()] }
}

pub(super) fn request(ticket: &Ticket, id: beadmesh_protocol::id::NodeId, place: u32) -> JoinRequest {
    JoinRequest {
        version: WIRE_VERSION,
        invite: ticket.secret.invite(),
        proof: ticket.secret.prove(ticket.mesh, ticket.inviter, id),
        name: format!("n{place}"),
    }
}
