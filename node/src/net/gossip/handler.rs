//! The part of gossip that lives with one connection: nothing at all, until the peer is a member.

use std::fmt;
use std::task::{Context, Poll};

use libp2p::core::upgrade::DeniedUpgrade;
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
};

use super::Inner;

/// Gossipsub's own part.
type InnerHandler = THandler<Inner>;

/// What gossipsub answers a stream with.
type Inbound = <InnerHandler as ConnectionHandler>::InboundProtocol;

/// What gossipsub opens a stream with.
type Outbound = <InnerHandler as ConnectionHandler>::OutboundProtocol;

/// What the behaviour wants of a connection.
pub(in crate::net) enum Order {
    /// Let the peer speak: it is a member.
    Begin(Box<InnerHandler>),
    /// Speak: the peer takes us for a member, too.
    Speak,
    /// Something of gossipsub's own.
    Inner(THandlerInEvent<Inner>),
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(_) => f.write_str("Begin"),
            Self::Speak => f.write_str("Speak"),
            Self::Inner(inner) => f.debug_tuple("Inner").field(inner).finish(),
        }
    }
}

/// Gossipsub on one connection, once it has begun.
#[derive(Default)]
pub(in crate::net) struct Handler {
    inner: Option<Box<InnerHandler>>,
    speaks: bool,
    /// A stream that gossipsub wants to open before it may: the peer would refuse it, and gossipsub gives a peer up that
    /// has refused once.
    held: Option<SubstreamProtocol<Outbound, ()>>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = THandlerOutEvent<Inner>;
    type InboundProtocol = Inbound;
    type OutboundProtocol = Outbound;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Inbound> {
        match &self.inner {
            Some(inner) => inner.listen_protocol(),
            None => SubstreamProtocol::new(Either::Right(DeniedUpgrade), ()),
        }
    }

    // The link keeps its connection; gossip keeps none by itself.
    fn connection_keep_alive(&self) -> bool {
        false
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Begin(inner) => self.inner = Some(inner),
            Order::Speak => self.speaks = true,
            Order::Inner(event) => {
                if let Some(inner) = &mut self.inner {
                    inner.on_behaviour_event(event);
                }
            }
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Inbound, Outbound>) {
        if let Some(inner) = &mut self.inner {
            inner.on_connection_event(event);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Outbound, (), Self::ToBehaviour>> {
        if let Some(protocol) = self.held.take_if(|_| self.speaks) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        let Some(inner) = &mut self.inner else { return Poll::Pending };
        loop {
            match inner.poll(context) {
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol }) if !self.speaks => {
                    self.held = Some(protocol);
                }
                polled => return polled,
            }
        }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.as_mut().map_or(Poll::Ready(None), |inner| inner.poll_close(context))
    }
}
