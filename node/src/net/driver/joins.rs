//! How the driver lets strangers in to join, and goes out to join itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{PeerId, Stream};
use tokio::sync::oneshot;
use tracing::debug;

use super::{Driver, Ended};
use crate::net::event::Event;
use crate::net::gate::{Grade, STRANGERS_MAX};
use crate::net::handle::Request;
use crate::net::join::{JoinError, JoinStream};
use crate::net::link::DownReason;
use crate::net::streams::Kind;
use crate::net::{address, driver, peer};

/// Time a stranger has to open the stream it came for.
const STRANGER_PATIENCE: Duration = Duration::from_secs(10);

/// Time a whole join may take on one connection.
const JOIN_TIME: Duration = Duration::from_secs(60);

/// Time between the end of a join and the end of its connection, in which last bytes arrive and the joiner becomes a
/// member.
const PARTING_TIME: Duration = Duration::from_secs(5);

/// Joins that this node may have under way.
const OUTGOING_MAX: usize = 4;

/// The joins under way, in both directions.
#[derive(Debug, Default)]
pub(super) struct Joins {
    outgoing: BTreeMap<NodeId, Outgoing>,
    /// Connections that are no member's, and when they are closed.
    visits: BTreeMap<ConnectionId, Visit>,
}

#[derive(Debug)]
struct Outgoing {
    reply: oneshot::Sender<Result<JoinStream, JoinError>>,
    dial: Option<ConnectionId>,
    opening: Option<ConnectionId>,
}

#[derive(Debug, Clone, Copy)]
struct Visit {
    came: Instant,
    ends: Instant,
    joining: bool,
}

impl Visit {
    fn new(came: Instant, patience: Duration) -> Self {
        Self { came, ends: came + patience, joining: false }
    }

    /// Puts the end off to that of a join begun now, as far as one join since it came could last: whoever begins
    /// another each minute would stay for good.
    fn stay_for_join(&mut self, now: Instant) {
        self.ends = self.ends.max(now + JOIN_TIME).min(self.came + JOIN_TIME + PARTING_TIME);
    }
}

impl Joins {
    /// Takes note of a connection that is no member's.
    fn come(&mut self, connection: ConnectionId, patience: Duration, now: Instant) {
        self.visits.insert(connection, Visit::new(now, patience));
    }

    /// Lets those of some connections stay for a join that are visits.
    fn stay(&mut self, connections: impl IntoIterator<Item = ConnectionId>, now: Instant) {
        for connection in connections {
            if let Some(visit) = self.visits.get_mut(&connection) {
                visit.stay_for_join(now);
            }
        }
    }

    /// Takes note that a join was asked for on a connection; returns whether there is a place for it.
    fn ask(&mut self, connection: ConnectionId, now: Instant) -> bool {
        if self.visits.values().filter(|visit| visit.joining).count() >= STRANGERS_MAX {
            return false;
        }
        // A member that was removed a moment ago asks on a connection that was no visit.
        let visit = self.visits.entry(connection).or_insert(Visit::new(now, JOIN_TIME));
        if visit.joining {
            return false;
        }
        visit.stay_for_join(now);
        visit.joining = true;
        true
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.visits.values().map(|visit| visit.ends).min()
    }
}

impl Driver {
    pub(super) fn on_join_request(&mut self, request: Request) {
        let Request { inviter, addresses, reply } = request;
        let full = self.joins.outgoing.len() >= OUTGOING_MAX;
        if full || self.joins.outgoing.contains_key(&inviter) || inviter == self.local {
            let _ = reply.send(Err(JoinError::Busy { inviter }));
            return;
        }
        let peer_id = peer::peer_id(inviter);
        let addresses = address::dialable(self.local, inviter, &addresses);
        self.swarm.behaviour_mut().streams.expect_inviter(peer_id, &addresses);
        let standing = self.connections.iter().rev().find(|(_, known)| known.node == inviter).map(|(id, _)| *id);
        if let Some(connection) = standing {
            let outgoing = Outgoing { reply, dial: None, opening: Some(connection) };
            self.joins.outgoing.insert(inviter, outgoing);
            self.swarm.behaviour_mut().streams.open(peer_id, connection, Kind::Join);
            return;
        }
        // Few are dialled at one time, and addresses of another network are silent for long.
        let (direct, circuits) = address::by_route(addresses.into_iter());
        let targets: Vec<_> = circuits.into_iter().chain(direct).collect();
        if targets.is_empty() {
            self.swarm.behaviour_mut().streams.forget_inviter(&peer_id);
            let _ = reply.send(Err(JoinError::Addresses { inviter }));
            return;
        }
        let dial =
            DialOpts::peer_id(peer_id).addresses(targets).condition(PeerCondition::Always).allocate_new_port().build();
        let connection = dial.connection_id();
        self.joins.outgoing.insert(inviter, Outgoing { reply, dial: Some(connection), opening: None });
        if let Err(error) = self.swarm.dial(dial) {
            let reason = driver::swarm::reason(&error);
            self.join_on_dial_error(inviter, connection, &reason);
        }
    }

    pub(super) fn join_on_connected(&mut self, node: NodeId, connection: ConnectionId, now: Instant) {
        let grade = self.swarm.behaviour().streams.grade(connection);
        if grade != Some(Grade::Member) {
            let time = if grade == Some(Grade::Stranger) { STRANGER_PATIENCE } else { JOIN_TIME };
            self.joins.come(connection, time, now);
        }
        if let Some(outgoing) = self.joins.outgoing.get_mut(&node)
            && outgoing.opening.is_none()
        {
            outgoing.opening = Some(connection);
            self.swarm.behaviour_mut().streams.open(peer::peer_id(node), connection, Kind::Join);
        }
    }

    /// Lets a stranger stay that has a circuit to whoever invited it.
    pub(super) fn join_on_circuit(&mut self, source: &PeerId) {
        let Some(node) = peer::node_id(source) else { return };
        let theirs = self.connections.iter().filter(|(_, connection)| connection.node == node).map(|(id, _)| *id);
        self.joins.stay(theirs, Instant::now());
    }

    pub(super) fn join_on_disconnected(&mut self, node: NodeId, connection: ConnectionId, cause: &str) {
        self.joins.visits.remove(&connection);
        if self.joins.outgoing.get(&node).is_some_and(|outgoing| outgoing.opening == Some(connection)) {
            let reason = format!("it hung up ({cause})");
            self.answer(node, Err(JoinError::Refused { inviter: node, reason }));
        }
    }

    pub(super) fn join_on_dial_error(&mut self, node: NodeId, connection: ConnectionId, reason: &str) {
        let ours = |outgoing: &Outgoing| outgoing.dial == Some(connection) && outgoing.opening.is_none();
        if self.joins.outgoing.get(&node).is_some_and(ours) {
            self.answer(node, Err(JoinError::Unreachable { inviter: node, reason: reason.to_owned() }));
        }
    }

    pub(super) fn on_join_opened(&mut self, node: NodeId, connection: ConnectionId, result: Result<Stream, String>) {
        if self.joins.outgoing.get(&node).is_none_or(|outgoing| outgoing.opening != Some(connection)) {
            return;
        }
        match result {
            Ok(stream) => {
                let stream = self.watch(connection, stream);
                self.answer(node, Ok(stream));
            }
            Err(reason) => {
                self.answer(node, Err(JoinError::Refused { inviter: node, reason }));
                self.part_soon(connection, Instant::now());
            }
        }
    }

    pub(super) fn on_join_asked(&mut self, node: NodeId, connection: ConnectionId, stream: Stream) {
        if !self.joins.ask(connection, Instant::now()) {
            debug!(peer = %node.short(), "dropped a join stream that is one too many");
            return;
        }
        debug!(peer = %node.short(), "asks to join");
        let stream = self.watch(connection, stream);
        self.tell(Event::JoinAsked { node, stream });
    }

    pub(super) fn on_join_ended(&mut self, connection: ConnectionId) {
        self.part_soon(connection, Instant::now());
    }

    /// Closes what visited for too long, and forgets joins nobody waits for.
    pub(super) fn sweep_joins(&mut self, now: Instant) {
        let due: Vec<_> = self
            .joins
            .visits
            .iter()
            .filter(|(_, visit)| visit.ends <= now)
            .map(|(connection, _)| *connection)
            .collect();
        for connection in due {
            self.joins.visits.remove(&connection);
            // Who became a member meanwhile stays.
            if self.swarm.behaviour().streams.grade(connection) != Some(Grade::Member) {
                self.end_connection(connection, &DownReason::Removed);
            }
        }
        let given_up: Vec<_> =
            self.joins.outgoing.iter().filter(|(_, outgoing)| outgoing.reply.is_closed()).map(|(n, _)| *n).collect();
        for node in given_up {
            self.answer(node, Err(JoinError::Timeout { inviter: node }));
        }
    }

    fn answer(&mut self, node: NodeId, result: Result<JoinStream, JoinError>) {
        self.swarm.behaviour_mut().streams.forget_inviter(&peer::peer_id(node));
        if let Some(outgoing) = self.joins.outgoing.remove(&node) {
            // Who gave up waiting drops the stream, which ends the exchange.
            let _ = outgoing.reply.send(result);
        }
    }

    fn watch(&mut self, connection: ConnectionId, stream: Stream) -> JoinStream {
        let (stream, dropped) = JoinStream::new(stream);
        self.tasks.spawn(async move {
            let _ = dropped.await;
            Ended::Join(connection)
        });
        stream
    }

    fn part_soon(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(visit) = self.joins.visits.get_mut(&connection) {
            visit.ends = visit.ends.min(now + PARTING_TIME);
            visit.joining = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_circuits_or_joins_again_and_again_stays_no_longer_than_one_join() {
        let (came, visitor) = (Instant::now(), ConnectionId::new_unchecked(1));
        let mut joins = Joins::default();
        joins.come(visitor, STRANGER_PATIENCE, came);
        assert_eq!(joins.next_deadline(), Some(came + STRANGER_PATIENCE));
        joins.stay([visitor, ConnectionId::new_unchecked(2)], came + Duration::from_secs(3));
        assert_eq!(joins.next_deadline(), Some(came + Duration::from_secs(3) + JOIN_TIME), "a join has its minute");
        for at in 4..64 {
            joins.stay([visitor], came + Duration::from_secs(at));
            joins.ask(visitor, came + Duration::from_secs(at));
            joins.visits.get_mut(&visitor).unwrap().joining = false;
        }
        assert_eq!(joins.next_deadline(), Some(came + JOIN_TIME + PARTING_TIME));
        assert_eq!(joins.visits.len(), 1, "who is no visitor becomes none");
    }

    #[test]
    fn one_join_is_under_way_on_a_connection_and_so_many_in_all() {
        let (now, mut joins) = (Instant::now(), Joins::default());
        let connection = ConnectionId::new_unchecked;
        assert!(joins.ask(connection(0), now) && !joins.ask(connection(0), now));
        assert!((1..STRANGERS_MAX).all(|at| joins.ask(connection(at), now)));
        assert!(!joins.ask(connection(STRANGERS_MAX), now));
    }
}
