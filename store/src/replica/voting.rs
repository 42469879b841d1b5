//! This node's voter as its store keeps it: opened, asked, sealed and replaced, with every promise durable before it leaves.

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{MeshId, NodeId, VoterId};
use beadmesh_protocol::lease::message::Here;
use beadmesh_protocol::lease::voter::{Boot, Grant, Lanes, Record, State};
use beadmesh_protocol::lease::{
    Answer, Ask, Attempt, Epoch, Handover, Holder, Message, Seat, SignedPromise, Start, Voter,
};
use beadmesh_protocol::limits::HANDOVER_BYTES_MAX;
use beadmesh_protocol::op::Op;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Event, Output, Replica, random};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// How a store came to what it holds, as far as a voter has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// What was written last is there, on the machine that wrote it.
    Whole,
    /// It began empty, or was copied, or a write failed: what its voter promised may not be known.
    Broken,
}

/// The voter of this node, if this process may vote.
#[derive(Debug)]
pub(super) struct Voting {
    voter: Option<Voter>,
    boot: Boot,
}

impl Voting {
    /// Opens the voter, or makes one; the founder's store makes the voter of the first epoch.
    ///
    /// Where what was promised may not be known, the voter is given up, whether this process votes or not.
    pub(super) fn open(
        stage: &mut Stage,
        (node, first): (NodeId, Option<Epoch>),
        (boot, past, votes): (Boot, Past, Votes),
        fresh: VoterId,
        now: Instant,
    ) -> Result<Self, StoreError> {
        let kept: Option<State> = stage.record(keys::VOTER_STATE)?;
        let mut voter = match (kept, past) {
            (Some(state), Past::Whole) if votes == Votes::Yes => {
                Voter::open(node, state, kept_records(stage)?, boot, now)
            }
            (_, Past::Whole) if votes == Votes::No => return Ok(Self { voter: None, boot }),
            (None, Past::Whole) => match first {
                // A store without a voter's state has never promised anything.
                Some(first) => Voter::founding(node, first.seat(node).map_or(fresh, |seat| seat.voter), boot, first),
                None => Voter::new(node, fresh, boot),
            },
            (_, Past::Whole | Past::Broken) => {
                clear(stage)?;
                Voter::new(node, fresh, boot)
            }
        };
        write(stage, &mut voter);
        Ok(Self { voter: Some(voter).filter(|_| votes == Votes::Yes), boot })
    }

    /// Makes a voter that has promised nothing in place of the one there was.
    pub(super) fn replace(&mut self, stage: &mut Stage, node: NodeId, fresh: VoterId) -> Result<(), StoreError> {
        clear(stage)?;
        let mut voter = Voter::new(node, fresh, self.boot);
        write(stage, &mut voter);
        if self.voter.is_some() {
            self.voter = Some(voter);
        }
        Ok(())
    }

    pub(super) fn voter(&self) -> Option<&Voter> {
        self.voter.as_ref()
    }

    /// Lets the voter act, and stages what it has to keep.
    fn act<R>(&mut self, stage: &mut Stage, act: impl FnOnce(&mut Voter) -> R) -> Option<R> {
        let voter = self.voter.as_mut()?;
        let result = act(voter);
        write(stage, voter);
        Some(result)
    }

    /// Returns when the voter grants again after a start.
    pub(super) fn quiet_until(&self, now: Instant) -> Option<Instant> {
        self.voter.as_ref().and_then(|voter| voter.quiet_until(now))
    }
}

/// Whether a process may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Votes {
    Yes,
    No,
}

impl Replica {
    /// Asks this node's voter, for itself or for a member; what it answers may leave after the next flush.
    pub(super) fn vote(&mut self, from: NodeId, ask: Ask) -> Result<Option<Answer>, StoreError> {
        let now = self.now.mono;
        if !self.may_ask(from, &ask) {
            // A node is asked again by who has been heard of by then.
            return Ok(None);
        }
        let answer = match ask {
            Ask::Acquire(ask) => {
                self.heed(&ask.held_by)?;
                self.voting.act(&mut self.stage, |voter| voter.acquire(now, from, &ask)).flatten()
            }
            Ask::Release(release) => {
                self.voting.act(&mut self.stage, |voter| voter.release(from, &release));
                None
            }
            Ask::Probe => self.voting.voter().map(|voter| Answer::Here(voter.here())),
        };
        let (mesh, key) = (self.entries.mesh(), &self.config.key);
        Ok(answer.map(|answer| match answer {
            Answer::Granted { promise, closes, counter } => {
                Answer::Granted { promise: promise.promise.sign(mesh, key), closes, counter }
            }
            other => other,
        }))
    }

    /// Returns whether a node may have its way with a voter: for its agents, if what it writes has effect.
    fn may_ask(&self, from: NodeId, ask: &Ask) -> bool {
        let holder = match ask {
            Ask::Acquire(ask) => ask.token.attempt.lane.holder,
            Ask::Release(release) => release.token.attempt.lane.holder,
            Ask::Probe => return true,
        };
        let agent = self.mesh.directory().agent(holder.agent).filter(|agent| agent.node == from);
        agent.is_some_and(|agent| !agent.retired || matches!(ask, Ask::Release(_)))
    }

    /// Looks whether promises that an entry shows prove that this voter was turned back.
    pub(super) fn heed_fences(&mut self, entry: &Entry) -> Result<(), StoreError> {
        for raw in entry.content().ops.iter().filter(|raw| Op::is_claim(raw)) {
            if let Ok(Op::Fence(fence)) = Op::decode(raw) {
                self.heed(&fence.proof)?;
            }
        }
        Ok(())
    }

    /// Looks whether promises that are shown prove that this voter was turned back; then another takes its place.
    fn heed(&mut self, shown: &[SignedPromise]) -> Result<(), StoreError> {
        let (mesh, here) = (self.entries.mesh(), self.entries.node());
        let Some((id, serial)) = self.voting.voter().map(|voter| (voter.id(), voter.serial())) else { return Ok(()) };
        let is_news = |shown: &&SignedPromise| shown.promise.voter == id && shown.promise.serial > serial;
        for shown in shown.iter().filter(is_news).filter(|shown| shown.is_by(mesh, here)) {
            self.voting.act(&mut self.stage, |voter| voter.heed(shown));
        }
        self.replace_dead_voter()
    }

    /// Makes another voter where this one has turned out to have forgotten promises.
    fn replace_dead_voter(&mut self) -> Result<(), StoreError> {
        if self.voting.voter().is_none_or(|voter| !voter.is_dead()) {
            return Ok(());
        }
        let fresh = VoterId::from_bytes(random(&mut self.rng));
        self.voting.replace(&mut self.stage, self.entries.node(), fresh)?;
        self.outputs.push(Output::Event(Event::Voters));
        Ok(())
    }

    /// Takes what another voter says of itself.
    pub(super) fn learn_from_voter(&mut self, from: NodeId, here: &Here) {
        self.voting.act(&mut self.stage, |voter| voter.learn(from, here));
    }

    /// Goes over to the epoch in force, and seals it where another is proposed.
    pub(super) fn follow_epochs(&mut self) -> Result<(), StoreError> {
        let (now, node) = (self.now.mono, self.entries.node());
        let (epoch, start) = self.mesh.epoch();
        let news = self.voting.act(&mut self.stage, |voter| match start {
            // Only the founder's first voter begins with the mesh, and it was made so.
            Start::Founded => false,
            Start::Handed(certificate) => voter.activate(now, certificate),
            Start::Recovered => voter.recover(now, epoch),
        });
        let epoch = epoch.clone();
        if news == Some(true) {
            self.outputs.push(Output::Event(Event::Voters));
        }
        self.seal(node, &epoch)?;
        self.on_epoch(&epoch)
    }

    /// Seals for the epoch that the owner proposes, and hands over what this voter keeps.
    fn seal(&mut self, node: NodeId, epoch: &Epoch) -> Result<(), StoreError> {
        let now = self.now.mono;
        let Some(voter) = self.voting.voter().filter(|voter| voter.epoch().1) else { return Ok(()) };
        let seat = Seat { node, voter: voter.id() };
        let is_in_force = voter.epoch().0.is_some_and(|known| known.number == epoch.number);
        if !is_in_force || !epoch.seats.contains(&seat) {
            return Ok(());
        }
        let has_sealed = voter.here().sealed_for.is_some();
        if self.mesh.succession().has_handed_over(seat, epoch.number) {
            if !has_sealed {
                // Its own entry says what it does not remember: its store was turned back.
                self.voting.act(&mut self.stage, |voter| voter.note_handover(epoch.number));
                self.replace_dead_voter()?;
            }
            return Ok(());
        }
        let Some(successor) = self.mesh.succession().proposed(epoch).cloned() else { return Ok(()) };
        let sealed = self.voting.act(&mut self.stage, |voter| voter.seal(now, &successor)).flatten();
        let Some(sealed) = sealed else { return Ok(()) };
        let parts = Handover::parts(sealed, HANDOVER_BYTES_MAX);
        let ops = parts.into_iter().map(|part| Op::Handover(Box::new(part)).encode());
        self.author(ops.collect()).map(|_| ())
    }

    /// Returns when this voter will have started, where a proposal waits for that.
    pub(super) fn seals_at(&self) -> Option<Instant> {
        self.mesh.succession().proposed(self.mesh.epoch().0)?;
        self.voting.quiet_until(self.now.mono)
    }

    /// Says something about leases to a member, if it is linked.
    pub(super) fn say(&mut self, node: NodeId, message: Message) {
        if self.links.of(node).is_some() {
            self.outputs.push(Output::Lease(node, message));
        }
    }
}

/// Returns the epoch that a mesh begins with.
pub(super) fn first_epoch(mesh: MeshId, founder: NodeId) -> Epoch {
    // The recovery key plays no part in it.
    beadmesh_protocol::lease::Succession::new(mesh, founder, [0; 32]).current().0
}

/// Stages what a voter has to keep.
fn write(stage: &mut Stage, voter: &mut Voter) {
    for record in voter.take_records() {
        match record {
            Record::State(state) => stage.put_record(keys::VOTER_STATE.to_vec(), &*state),
            Record::Grant(attempt, grant) => put_or_delete(stage, keyed(keys::GRANTS, &attempt), grant.as_deref()),
            Record::Lanes(holder, lanes) => put_or_delete(stage, keyed(keys::LANES, &holder), lanes.as_ref()),
            Record::Close(bead, close) => put_or_delete(stage, keyed(keys::CLOSES, &bead), close.as_ref()),
        }
    }
}

fn put_or_delete<T: Serialize>(stage: &mut Stage, key: Vec<u8>, value: Option<&T>) {
    match value {
        Some(value) => stage.put_record(key, value),
        None => stage.delete(key),
    }
}

/// Reads what a voter has kept, but for its state.
fn kept_records(stage: &Stage) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    for (key, grant) in stage.records::<Grant>(keys::GRANTS)? {
        records.push(Record::Grant(named::<Attempt>(keys::GRANTS, &key)?, Some(Box::new(grant))));
    }
    for (key, lanes) in stage.records::<Lanes>(keys::LANES)? {
        records.push(Record::Lanes(named::<Holder>(keys::LANES, &key)?, Some(lanes)));
    }
    for (key, close) in stage.records(keys::CLOSES)? {
        records.push(Record::Close(named(keys::CLOSES, &key)?, Some(close)));
    }
    Ok(records)
}

fn clear(stage: &mut Stage) -> Result<(), StoreError> {
    for key in stage.keys(keys::VOTER)? {
        stage.delete(key);
    }
    Ok(())
}

fn keyed<T: Serialize>(prefix: &[u8], name: &T) -> Vec<u8> {
    [prefix, &postcard::to_stdvec(name).expect("names have a postcard form")].concat()
}

fn named<T: DeserializeOwned>(prefix: &[u8], key: &[u8]) -> Result<T, StoreError> {
    let undecodable = |_| StoreError::Undecodable { key: beadmesh_protocol::id::base32(key) };
    postcard::from_bytes(&key[prefix.len()..]).map_err(undecodable)
}
