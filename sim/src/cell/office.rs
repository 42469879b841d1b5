//! How the voters of a cell are changed: the owner proposes, voters hand over, and each node follows what it knows.

use std::time::Duration;

use beadmesh_protocol::id::MeshId;
use beadmesh_protocol::lease::succession::RECOVERY_STEP;
use beadmesh_protocol::lease::{Epoch, Handover, Proposal, Recovery, Seat, Start, Succession};
use ed25519_dalek::SigningKey;

use super::known::Entry;
use super::{Cell, Message, id};
use crate::cell::plan::Plan;

/// The mesh that a cell is part of.
const MESH: MeshId = MeshId::from_bytes([1; 32]);

/// How long what a voter said of itself is worth anything to who chooses voters.
const HEARD_US: u64 = 3_000_000;

/// Bytes of one part of what a voter hands over: so few that most hand over in several.
const PART_BYTES_MAX: usize = 600;

/// Entries that one message brings: so few that nodes seldom learn all at once.
const ENTRIES_MAX: usize = 4;

/// Returns what a cell begins with.
pub(super) fn beginning(plan: &Plan) -> Succession {
    Succession::beginning(MESH, id(0), recovery_key().verifying_key().to_bytes(), plan.first_epoch())
}

fn recovery_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

impl Cell<'_> {
    /// Answers a node that said which entries it has with some that it lacks.
    pub(super) fn on_have(&mut self, to: usize, from: usize, names: &[u64]) {
        let mut lacked: Vec<Entry> = self.nodes[to].known.beyond(names).cloned().collect();
        self.network.shuffle(&mut lacked);
        lacked.truncate(ENTRIES_MAX);
        if !lacked.is_empty() {
            self.send(to, from, &Message::Entries(lacked));
        }
    }

    pub(super) fn on_entries(&mut self, to: usize, entries: Vec<Entry>) {
        let node = &mut self.nodes[to];
        let news: Vec<Entry> = entries.into_iter().filter(|entry| node.known.add(entry)).collect();
        if !news.is_empty() {
            node.waiting.entries.extend(news.into_iter().map(|entry| (entry, Origin::Other)));
            self.follow(to);
        }
    }

    /// Lets the voter and the claims of a node do what the entries it knows ask for.
    pub(super) fn follow(&mut self, place: usize) {
        let now = self.clock(place);
        let node = &mut self.nodes[place];
        let (epoch, start) = node.known.current().clone();
        let is_news = match &start {
            Start::Founded => false,
            Start::Handed(certificate) => node.voter.activate(now, certificate),
            Start::Recovered => node.voter.recover(now, &epoch),
        };
        if is_news {
            self.checks.on_voter(self.now_us, place, now, &node.voter);
            self.checks.on_epoch(self.now_us, place, &epoch, &start);
            self.fold("epoch", epoch.number, place as u64);
        }
        let node = &mut self.nodes[place];
        node.claims.on_epoch(now, &epoch);
        let seat = Seat { node: id(place), voter: node.voter.id() };
        let handed_over = node.known.handed_over(seat);
        handed_over.iter().for_each(|epoch| node.voter.note_handover(*epoch));
        let has_forgotten = self.replace_if_dead(place);
        self.checks.see("handover-forgotten", has_forgotten);
        let node = &mut self.nodes[place];
        let sealed = node.known.proposed().and_then(|successor| node.voter.seal(now, successor));
        if let Some(sealed) = sealed.filter(|sealed| !handed_over.contains(&sealed.epoch)) {
            let parts = Handover::parts(sealed, PART_BYTES_MAX);
            self.checks.see("handed-over-in-parts", parts.len() > 1);
            for part in parts {
                self.author(place, Entry::Handover(id(place), Box::new(part)));
            }
        }
    }

    /// Writes an entry, which leaves when it is durable.
    fn author(&mut self, place: usize, entry: Entry) {
        let node = &mut self.nodes[place];
        if node.known.add(&entry) {
            node.waiting.entries.push((entry, Origin::Own));
        }
    }

    /// Tells all others what a node has written.
    pub(super) fn publish(&mut self, place: usize, entry: &Entry) {
        for to in (0..self.nodes.len()).filter(|to| *to != place) {
            self.send(place, to, &Message::Entries(vec![entry.clone()]));
        }
    }

    /// Gives up a voter that has found itself turned back; returns whether it had.
    pub(super) fn replace_if_dead(&mut self, place: usize) -> bool {
        let is_dead = self.nodes[place].voter.is_dead();
        if is_dead {
            let fresh = self.network.bytes();
            self.nodes[place].replace_voter(fresh);
        }
        is_dead
    }

    /// Lets the owner see to the voters: other ones that are wanted it proposes, a lost majority it replaces.
    pub(super) fn see_to_voters(&mut self) {
        if !self.majority_is_alive() {
            self.recover();
        } else if self.nodes[0].known.proposed().is_none()
            && let Some((count, hold_ms)) = self.wanted
            && let Some(epoch) = self.choose(1, count, hold_ms)
        {
            self.wanted = None;
            self.author(0, Entry::Proposal(id(0), Proposal { epoch }));
        }
        self.follow(0);
    }

    fn recover(&mut self) {
        let hold_ms = self.plan.hold_ms;
        let Some(epoch) = [3, 1].into_iter().find_map(|count| self.choose(RECOVERY_STEP, count, hold_ms)) else {
            return;
        };
        self.checks.see("recovered", true);
        let recovery = Recovery::sign(epoch, MESH, &recovery_key());
        self.author(0, Entry::Recovery(recovery));
    }

    /// Returns an epoch that far beyond the one in force, of voters that have just said who they are.
    fn choose(&mut self, step: u64, count: u8, hold_ms: u32) -> Option<Epoch> {
        let number = self.nodes[0].known.current().0.number + step;
        let fresh = self.nodes[0].heard.iter().filter(|(_, (at, _))| at + HEARD_US >= self.now_us);
        let mut seats: Vec<Seat> = fresh.map(|(place, (_, voter))| Seat { node: id(*place), voter: *voter }).collect();
        self.network.shuffle(&mut seats);
        seats.truncate(usize::from(count));
        if seats.len() < usize::from(count) {
            return None;
        }
        Epoch::new(number, seats, Duration::from_millis(u64::from(hold_ms))).ok()
    }
}

/// Whose entry waits to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// That of the node itself: all others are told.
    Own,
    /// That of another.
    Other,
}
