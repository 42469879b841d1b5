//! Streams of our own protocols, opened on and accepted from one named connection, behind the gate.
//!
//! A connection offers only what its grade allows, so a stranger's sync stream fails in negotiation. The ready-made
//! stream behaviour of libp2p picks a random connection of a peer and offers everything to everyone.

mod handler;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, DialFailure, FromSwarm, ListenFailure};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};

use super::gate::{Crowd, Gate, Grade, Refusal, SOURCE_HANDSHAKES_MAX, Source};
use super::relay::Permits;
use handler::{Handler, Offers, Order, Outcome};

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The frames of a link.
    Sync,
    /// The messages of a join.
    Join,
    /// A blob.
    Blob,
    /// Lease messages, of who opened it.
    Lease,
    /// Nothing but its opening, which says that who opened it is in another network now.
    Roam,
}

impl Kind {
    pub(super) const fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Self::Sync => "/beadmesh/sync/1",
            Self::Join => "/beadmesh/join/1",
            Self::Blob => "/beadmesh/blob/1",
            Self::Lease => "/beadmesh/lease/1",
            Self::Roam => "/beadmesh/roam/1",
        })
    }
}

/// Who opened a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

/// A stream was opened, or one we asked for was not.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) kind: Kind,
    pub(super) side: Side,
    pub(super) result: Result<Stream, String>,
}

/// A connection that passed the gate.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    peer: PeerId,
    grade: Grade,
    source: Source,
}

/// The gate and the streams of every connection that passed it.
pub(super) struct Behaviour {
    gate: Gate,
    /// What the relay is told of the gate.
    permits: Permits,
    admitted: BTreeMap<ConnectionId, Admitted>,
    /// Connections to us that are in their handshake.
    shaking: BTreeMap<ConnectionId, Source>,
    orders: VecDeque<ToSwarm<Opened, Order>>,
    waker: Option<Waker>,
}

impl Behaviour {
    pub(super) fn new(now: Instant, permits: Permits) -> Self {
        let (admitted, shaking) = (BTreeMap::new(), BTreeMap::new());
        Self { gate: Gate::new(now), permits, admitted, shaking, orders: VecDeque::new(), waker: None }
    }

    /// Returns what a connection may be used for, if it stands.
    pub(super) fn grade(&self, connection: ConnectionId) -> Option<Grade> {
        self.admitted.get(&connection).map(|admitted| admitted.grade)
    }

    /// Opens a stream; the outcome comes as [`Opened`].
    pub(super) fn open(&mut self, peer: PeerId, connection: ConnectionId, kind: Kind) {
        self.notify(peer, connection, Order::Open(kind));
    }

    /// Sets who is a member; connections of who is none any more are closed, but for those on which a link is `parting`.
    pub(super) fn set_members(&mut self, members: BTreeSet<PeerId>, parting: &BTreeSet<ConnectionId>) {
        self.permits.set_members(&members, Instant::now());
        self.gate.set_members(members);
        for (connection, Admitted { peer, grade, .. }) in &mut self.admitted {
            if self.gate.is_member(peer) {
                *grade = Grade::Member;
            } else if *grade == Grade::Member && parting.contains(connection) {
                *grade = Grade::Parting;
            } else if *grade == Grade::Member {
                self.orders.push_back(ToSwarm::CloseConnection {
                    peer_id: *peer,
                    connection: CloseConnection::One(*connection),
                });
            }
        }
        self.offer_again();
    }

    /// Sets who is kept out; connections of who is are closed.
    pub(super) fn set_banned(&mut self, banned: BTreeSet<PeerId>) {
        self.gate.set_banned(banned);
        for (connection, Admitted { peer, .. }) in &self.admitted {
            if self.gate.is_banned(peer) {
                self.orders.push_back(ToSwarm::CloseConnection {
                    peer_id: *peer,
                    connection: CloseConnection::One(*connection),
                });
            }
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Sets whether strangers may come to join.
    pub(super) fn set_join_open(&mut self, open: bool) {
        if self.gate.is_join_open() != open {
            self.gate.set_join_open(open);
            self.offer_again();
        }
    }

    /// Sets whether strangers may come for circuits to members that have an invite open.
    pub(super) fn set_hosts_open(&mut self, open: bool) {
        self.gate.set_hosts_open(open);
    }

    /// Allows dialling a peer that is no member, to join through it, and the relays that lead to it.
    pub(super) fn expect_inviter(&mut self, peer: PeerId, addresses: &BTreeSet<Multiaddr>) {
        self.gate.expect_inviter(peer, addresses);
    }

    /// Takes back what `expect_inviter` allowed.
    pub(super) fn forget_inviter(&mut self, peer: &PeerId) {
        self.gate.forget_inviter(peer);
    }

    fn crowd(&self, source: Source) -> Crowd {
        let strangers = self.admitted.values().filter(|admitted| admitted.grade == Grade::Stranger);
        strangers.fold(Crowd::default(), |crowd, stranger| Crowd {
            all: crowd.all + 1,
            same: crowd.same + usize::from(stranger.source == source),
        })
    }

    fn offers(&self, grade: Grade) -> Offers {
        let may_join = matches!(grade, Grade::Member | Grade::Stranger);
        Offers { member: grade == Grade::Member, join: may_join && self.gate.is_join_open() }
    }

    fn offer_again(&mut self) {
        let offer = |(connection, of): (&ConnectionId, &Admitted)| (of.peer, *connection, self.offers(of.grade));
        let offers: Vec<_> = self.admitted.iter().map(offer).collect();
        for (peer, connection, offers) in offers {
            self.notify(peer, connection, Order::Offer(offers));
        }
    }

    fn notify(&mut self, peer_id: PeerId, connection: ConnectionId, event: Order) {
        self.orders.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn enter(&mut self, connection: ConnectionId, admitted: Admitted) -> Handler {
        self.admitted.insert(connection, admitted);
        Handler::new(self.offers(admitted.grade))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Opened;

    /// Refuses to dial who would not be let in, before anything is sent: other behaviours dial what peers ask for.
    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let Some(peer) = peer else { return Err(ConnectionDenied::new(Refusal::NotMember)) };
        self.gate.admit_outbound(&peer).map_err(ConnectionDenied::new)?;
        Ok(self.gate.relay_addresses(&peer))
    }

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let source = Source::between(remote, local);
        if self.shaking.values().filter(|other| **other == source).count() >= SOURCE_HANDSHAKES_MAX {
            return Err(ConnectionDenied::new(Refusal::Handshakes));
        }
        self.shaking.insert(connection, source);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.shaking.remove(&connection);
        let source = Source::between(remote, local);
        let (crowd, now) = (self.crowd(source), Instant::now());
        let grade = self.gate.admit_inbound(&peer, source, crowd, now).map_err(ConnectionDenied::new)?;
        Ok(self.enter(connection, Admitted { peer, grade, source }))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let grade = self.gate.admit_outbound(&peer).map_err(ConnectionDenied::new)?;
        Ok(self.enter(connection, Admitted { peer, grade, source: Source::of(remote) }))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::DialFailure(DialFailure { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.admitted.remove(&connection_id);
                self.shaking.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        let Outcome { kind, side, result } = event;
        let opened = Opened { peer, connection, kind, side, result };
        self.orders.push_back(ToSwarm::GenerateEvent(opened));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(order) = self.orders.pop_front() {
            return Poll::Ready(order);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
