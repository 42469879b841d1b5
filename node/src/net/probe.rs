//! AutoNAT's client, kept to what it can find out: whether a public address of this node is reached from outside.
//!
//! Neighbours in a private network see private addresses, and behind the same NAT they can not tell what the world
//! sees; so neither those addresses are tried out, nor are they asked.

use std::collections::{BTreeSet, VecDeque};
use std::task::{Context, Poll};

use libp2p::autonat::v2::client;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::{FromSwarm, NewExternalAddrCandidate, NewListenAddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::address;

/// Addresses of the other transport that are derived.
const TWINS_MAX: usize = 64;

/// AutoNAT's client behind these rules.
///
/// What a peer sees on a TCP connection also holds for QUIC, and the other way round: most NATs keep the port of a host.
/// Two nodes that want to meet need addresses of one transport, whichever each has used so far.
pub(super) struct Behaviour {
    inner: client::Behaviour,
    /// Ports listened on, by transport.
    tcp: BTreeSet<u16>,
    quic: BTreeSet<u16>,
    /// What was derived, and what of it is not told yet.
    twins: BTreeSet<Multiaddr>,
    untold: VecDeque<Multiaddr>,
}

impl Behaviour {
    pub(super) fn new() -> Self {
        let inner = client::Behaviour::default();
        let (tcp, quic, twins) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { inner, tcp, quic, twins, untold: VecDeque::new() }
    }

    fn on_listening(&mut self, address: &Multiaddr) {
        if address::is_circuit(address) {
            return;
        }
        match port(address) {
            Some(Port::Tcp(port)) => drop(self.tcp.insert(port)),
            Some(Port::Quic(port)) => drop(self.quic.insert(port)),
            None => {}
        }
    }

    /// Derives the addresses of the other transport from one at which a peer sees this node.
    fn on_seen(&mut self, address: &Multiaddr) {
        let Some(ip) = address.iter().next() else { return };
        let base = Multiaddr::empty().with(ip);
        let twins: Vec<_> = match port(address) {
            Some(Port::Tcp(seen)) if self.tcp.contains(&seen) => {
                self.quic.iter().map(|port| base.clone().with(Protocol::Udp(*port)).with(Protocol::QuicV1)).collect()
            }
            Some(Port::Quic(seen)) if self.quic.contains(&seen) => {
                self.tcp.iter().map(|port| base.clone().with(Protocol::Tcp(*port))).collect()
            }
            _ => return,
        };
        // The twin of a twin is nothing new.
        let known = self.twins.len() < TWINS_MAX && !self.twins.insert(address.clone());
        for twin in twins.into_iter().filter(|_| !known) {
            if self.twins.len() < TWINS_MAX && self.twins.insert(twin.clone()) {
                self.untold.push_back(twin);
            }
        }
    }
}

/// A port of a transport.
enum Port {
    Tcp(u16),
    Quic(u16),
}

/// Returns the port of an address of a node's own.
fn port(address: &Multiaddr) -> Option<Port> {
    match address.iter().nth(1)? {
        Protocol::Tcp(port) => Some(Port::Tcp(port)),
        Protocol::Udp(port) if address.iter().any(|part| matches!(part, Protocol::QuicV1)) => Some(Port::Quic(port)),
        _ => None,
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = <client::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = client::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if address::is_public(remote) && !address::is_circuit(remote) {
            return self.inner.handle_established_outbound_connection(connection, peer, remote, role, port);
        }
        // On a connection that came to us, nothing is asked; here as well.
        self.inner.handle_established_inbound_connection(connection, peer, remote, remote)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr })
                if !address::is_public(addr) || address::is_circuit(addr) => {}
            event => {
                match event {
                    FromSwarm::NewListenAddr(NewListenAddr { addr, .. }) => self.on_listening(addr),
                    FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }) => self.on_seen(addr),
                    _ => {}
                }
                self.inner.on_swarm_event(event);
            }
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(twin) = self.untold.pop_front() {
            return Poll::Ready(ToSwarm::NewExternalAddrCandidate(twin));
        }
        self.inner.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_by_one_transport_is_tried_by_the_other_too_once() {
        let mut behaviour = Behaviour::new();
        let address = |text: &str| -> Multiaddr { text.parse().unwrap() };
        behaviour.on_listening(&address("/ip4/192.168.1.5/tcp/7117"));
        behaviour.on_listening(&address("/ip4/192.168.1.5/udp/7118/quic-v1"));
        for seen in ["/ip4/203.0.113.7/tcp/7117", "/ip4/203.0.113.7/tcp/9", "/ip4/203.0.113.7/udp/7118/quic-v1"] {
            behaviour.on_seen(&address(seen));
        }
        assert_eq!(behaviour.untold, [address("/ip4/203.0.113.7/udp/7118/quic-v1")]);
    }
}
