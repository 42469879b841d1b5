//! Gossip among members: notices go from peer to peer, without a link's order and without its promise.
//!
//! Gossipsub does the talking. It hears of a connection only once the peer is a member here, and opens a stream only once
//! the peer takes us for one; so a stranger who came to join sees neither protocol nor topic.

mod handler;
mod settings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::gossipsub::{self, IdentTopic, MaxCountSubscriptionFilter, MessageAcceptance, MessageId, PublishError};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::{AddressChange, ConnectionClosed, ConnectionEstablished, FromSwarm};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tracing::{debug, warn};

use handler::{Handler, Order};
use settings::OnlyTopic;

/// Gossipsub as we use it.
type Inner = gossipsub::Behaviour<OnlyTopic, MaxCountSubscriptionFilter<OnlyTopic>>;

/// A connection that stands.
#[derive(Debug)]
struct Standing {
    peer: PeerId,
    endpoint: ConnectedPoint,
    /// Whether gossipsub knows of it.
    begun: bool,
}

/// Gossipsub, behind the roster.
pub(super) struct Behaviour {
    inner: Inner,
    only: OnlyTopic,
    topic: Option<IdentTopic>,
    members: BTreeSet<PeerId>,
    standing: BTreeMap<ConnectionId, Standing>,
    orders: VecDeque<ToSwarm<gossipsub::Event, Order>>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// Sets gossip up on no topic, with places for so many notices on their way to each peer.
    pub(super) fn new(key: &Keypair, places: usize) -> Self {
        let only = OnlyTopic::default();
        Self {
            inner: settings::gossipsub(key, only.clone(), places),
            only,
            topic: None,
            members: BTreeSet::new(),
            standing: BTreeMap::new(),
            orders: VecDeque::new(),
            waker: None,
        }
    }

    /// Leaves the topic there was, if any, for this one.
    pub(super) fn set_topic(&mut self, name: &str) {
        let topic = IdentTopic::new(name);
        if let Some(before) = &self.topic {
            if before.hash() == topic.hash() {
                return;
            }
            self.inner.unsubscribe(before);
        }
        self.only.set(&topic);
        if let Err(error) = self.inner.set_topic_params(topic.clone(), settings::topic_score()) {
            warn!(error, "peers are not judged by their notices");
        }
        if let Err(error) = self.inner.subscribe(&topic) {
            warn!(%error, "no notices are heard");
        }
        self.topic = Some(topic);
    }

    /// Sets who is a member; the connections of who is one now are let in.
    pub(super) fn set_members(&mut self, members: BTreeSet<PeerId>) {
        self.members = members;
        let new = self.standing.iter().filter(|(_, it)| !it.begun && self.members.contains(&it.peer));
        let new: Vec<_> = new.map(|(connection, _)| *connection).collect();
        new.into_iter().for_each(|connection| self.begin(connection));
    }

    /// Speaks on a connection from now on: its peer has shown that it takes us for a member.
    pub(super) fn speak(&mut self, connection: ConnectionId) {
        if let Some(standing) = self.standing.get(&connection) {
            self.notify(standing.peer, connection, Order::Speak);
        }
    }

    /// Publishes a notice to whoever hears.
    pub(super) fn publish(&mut self, notice: Vec<u8>) -> Result<(), PublishError> {
        let topic = self.topic.as_ref().ok_or(PublishError::NoPeersSubscribedToTopic)?;
        self.inner.publish(topic.hash(), notice).map(|_| ())
    }

    /// Says what is to become of a notice that came, and of the opinion of who brought it.
    pub(super) fn judge(&mut self, id: &MessageId, bearer: &PeerId, acceptance: MessageAcceptance) {
        if !self.inner.report_message_validation_result(id, bearer, acceptance) {
            debug!(%id, "a notice was judged too late to be passed on");
        }
    }

    /// Lets gossipsub know of a connection, as if it had come up just now.
    fn begin(&mut self, connection: ConnectionId) {
        let Some(Standing { peer, endpoint, .. }) = self.standing.get(&connection) else { return };
        let (peer, endpoint) = (*peer, endpoint.clone());
        let other_established = self.begun(&peer);
        let handler = match &endpoint {
            ConnectedPoint::Dialer { address, role_override, port_use } => {
                self.inner.handle_established_outbound_connection(connection, peer, address, *role_override, *port_use)
            }
            ConnectedPoint::Listener { local_addr, send_back_addr } => {
                self.inner.handle_established_inbound_connection(connection, peer, local_addr, send_back_addr)
            }
        };
        let Ok(handler) = handler else { return };
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: connection,
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established,
        }));
        if let Some(standing) = self.standing.get_mut(&connection) {
            standing.begun = true;
        }
        self.notify(peer, connection, Order::Begin(Box::new(handler)));
    }

    /// Counts the connections of a peer that gossipsub knows of.
    fn begun(&self, peer: &PeerId) -> usize {
        self.standing.values().filter(|standing| standing.begun && standing.peer == *peer).count()
    }

    fn notify(&mut self, peer_id: PeerId, connection: ConnectionId, event: Order) {
        self.orders.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn on_closed(&mut self, closed: ConnectionClosed<'_>) {
        let Some(standing) = self.standing.remove(&closed.connection_id).filter(|standing| standing.begun) else {
            return;
        };
        let remaining_established = self.begun(&standing.peer);
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed { remaining_established, ..closed }));
    }

    fn on_moved(&mut self, change: AddressChange<'_>) {
        let Some(standing) = self.standing.get_mut(&change.connection_id) else { return };
        standing.endpoint = change.new.clone();
        if standing.begun {
            self.inner.on_swarm_event(FromSwarm::AddressChange(change));
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = gossipsub::Event;

    // Nothing is kept of a connection here: whoever is asked next may still refuse it.
    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                let standing = Standing { peer: peer_id, endpoint: endpoint.clone(), begun: false };
                self.standing.insert(connection_id, standing);
                if self.members.contains(&peer_id) {
                    self.begin(connection_id);
                }
            }
            FromSwarm::ConnectionClosed(closed) => self.on_closed(closed),
            FromSwarm::AddressChange(change) => self.on_moved(change),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Ours first: what gossipsub wants of a connection comes after its beginning.
        if let Some(order) = self.orders.pop_front() {
            return Poll::Ready(order);
        }
        self.waker = Some(context.waker().clone());
        self.inner.poll(context).map(|order| order.map_in(Order::Inner))
    }
}
