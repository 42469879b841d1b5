//! The part of the streams behaviour that lives with one connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};

use super::{Kind, Side};

/// Time that agreeing on a stream's protocol may take.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);

/// The protocols that the peer of this connection may open.
#[derive(Debug, Clone, Copy)]
pub(in crate::net) struct Offers {
    /// Those that are for members alone.
    pub(super) member: bool,
    pub(super) join: bool,
}

/// What the behaviour wants of a connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::net) enum Order {
    Open(Kind),
    Offer(Offers),
}

/// What became of a stream.
#[derive(Debug)]
pub(in crate::net) struct Outcome {
    pub(super) kind: Kind,
    pub(super) side: Side,
    pub(super) result: Result<Stream, String>,
}

/// Offers and opens the streams of one connection.
pub(in crate::net) struct Handler {
    offers: Offers,
    requests: VecDeque<Kind>,
    outcomes: VecDeque<Outcome>,
}

impl Handler {
    pub(super) fn new(offers: Offers) -> Self {
        Self { offers, requests: VecDeque::new(), outcomes: VecDeque::new() }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = Outcome;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Kind;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        let Offers { member, join } = self.offers;
        let for_members = [Kind::Sync, Kind::Blob, Kind::Lease, Kind::Roam].map(|kind| (member, kind));
        let offered = for_members.into_iter().chain([(join, Kind::Join)]);
        let kinds = offered.filter(|(is_offered, _)| *is_offered).map(|(_, kind)| kind).collect();
        SubstreamProtocol::new(Offer(kinds), ()).with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Open(kind) => self.requests.push_back(kind),
            Order::Offer(offers) => self.offers = offers,
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Kind>) {
        let outcome = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: (stream, kind), .. }) => {
                Outcome { kind, side: Side::Theirs, result: Ok(stream) }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: (stream, kind), .. }) => {
                Outcome { kind, side: Side::Ours, result: Ok(stream) }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: kind, error }) => {
                let reason = match error {
                    StreamUpgradeError::Timeout => "the peer did not answer in time".to_owned(),
                    StreamUpgradeError::NegotiationFailed => format!("the peer does not offer {}", kind.protocol()),
                    StreamUpgradeError::Io(error) => error.to_string(),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                Outcome { kind, side: Side::Ours, result: Err(reason) }
            }
            _ => return,
        };
        self.outcomes.push_back(outcome);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, Kind, Outcome>> {
        if let Some(outcome) = self.outcomes.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome));
        }
        if let Some(kind) = self.requests.pop_front() {
            let protocol = SubstreamProtocol::new(Offer(vec![kind]), kind).with_timeout(NEGOTIATION_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }
}

/// Agrees on one of some protocols and hands the bare stream over.
#[derive(Debug, Clone)]
pub(in crate::net) struct Offer(Vec<Kind>);

/// A protocol by name that remembers what it is for.
#[derive(Debug, Clone)]
pub(in crate::net) struct Name(StreamProtocol, Kind);

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0.as_ref()
    }
}

impl UpgradeInfo for Offer {
    type Info = Name;
    type InfoIter = std::vec::IntoIter<Name>;

    fn protocol_info(&self) -> Self::InfoIter {
        let names: Vec<_> = self.0.iter().map(|kind| Name(kind.protocol(), *kind)).collect();
        names.into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, Kind);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((stream, name.1)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, Kind);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((stream, name.1)))
    }
}
