//! Addresses: what may be dialled, what may be told to others, and how a path is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tracing::debug;

use super::peer;

/// What an address that leads through a relay has in it.
const CIRCUIT: &str = "/p2p-circuit";

/// Circuits that are told to others however many other addresses there are: TCP and QUIC of two relays.
const CIRCUITS_MIN: usize = 4;

/// How the bytes of a connection travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP with noise and yamux.
    Tcp,
    /// QUIC.
    Quic,
    /// A circuit through a third node.
    Circuit,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::Circuit => "circuit",
        })
    }
}

/// The way a link takes: the other end's address and the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The address of the other end, as a multiaddress without the peer's id; of a circuit, that of its relay.
    pub address: String,
    /// How the bytes travel.
    pub transport: Transport,
    /// The node that a circuit leads through.
    pub relay: Option<NodeId>,
}

impl Path {
    /// Describes the way of a connection; the relay of a circuit may not be known yet.
    pub(super) fn of(endpoint: &ConnectedPoint) -> Self {
        let address = match endpoint {
            ConnectedPoint::Dialer { address, .. } => address,
            // Of a circuit that came to us, only our end says where it leads through.
            ConnectedPoint::Listener { local_addr, .. } if is_circuit(local_addr) => local_addr,
            ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
        };
        if is_circuit(address) {
            let relay = relay_of(address).and_then(|relay| peer::node_id(&relay));
            return Self { address: relay_address(address).to_string(), transport: Transport::Circuit, relay };
        }
        let quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
        let transport = if quic { Transport::Quic } else { Transport::Tcp };
        Self { address: bare(address).to_string(), transport, relay: None }
    }

    /// Returns whether the way leads through a third node.
    pub fn is_relayed(&self) -> bool {
        self.transport == Transport::Circuit
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// Returns the address without a peer id at its end.
pub(super) fn bare(address: &Multiaddr) -> Multiaddr {
    let mut bare = address.clone();
    if let Some(Protocol::P2p(_)) = bare.iter().last() {
        bare.pop();
    }
    bare
}

/// Returns whether an address leads through a relay.
pub(super) fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

/// Returns the relay that an address leads through.
pub(super) fn relay_of(circuit: &Multiaddr) -> Option<PeerId> {
    circuit.iter().take_while(|part| !matches!(part, Protocol::P2pCircuit)).find_map(|part| match part {
        Protocol::P2p(relay) => Some(relay),
        _ => None,
    })
}

/// Returns where the relay of a circuit is.
pub(super) fn relay_address(circuit: &Multiaddr) -> Multiaddr {
    circuit.iter().take_while(|part| !matches!(part, Protocol::P2pCircuit | Protocol::P2p(_))).collect()
}

/// Parts addresses into those of a node's own and circuits, of each relay one.
pub(super) fn by_route(addresses: impl Iterator<Item = Multiaddr>) -> (Vec<Multiaddr>, Vec<Multiaddr>) {
    let (circuits, direct): (Vec<_>, Vec<_>) = addresses.partition(is_circuit);
    let by_relay: BTreeMap<_, _> = circuits.into_iter().rev().map(|circuit| (relay_of(&circuit), circuit)).collect();
    (direct, by_relay.into_values().collect())
}

/// Returns whether an address is one that the whole internet could reach, were there no NAT and no firewall.
///
/// The ranges for documentation count: they are nobody's private network.
pub(super) fn is_public(address: &Multiaddr) -> bool {
    match ip(address).map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => {
            let [first, second, ..] = ip.octets();
            // RFC 6598: what providers put between their customers and their NAT.
            let is_shared = first == 100 && (64..128).contains(&second);
            let is_local = ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared;
            !is_local && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()
        }
        Some(IpAddr::V6(ip)) => {
            let is_local = ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local();
            !is_local && !ip.is_unspecified() && !ip.is_multicast()
        }
        None => false,
    }
}

/// Returns whether an address is of a network with other machines, as opposed to loopback and link-local ones.
pub(super) fn is_routed(address: &Multiaddr) -> bool {
    match ip(address) {
        Some(IpAddr::V4(ip)) => !ip.is_loopback() && !ip.is_link_local(),
        Some(IpAddr::V6(ip)) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        None => false,
    }
}

/// Reads the addresses a node is said to have; what is malformed, too long, of a form that nobody here dials, names another
/// node or leads through `here` is left out.
pub(super) fn dialable(here: NodeId, node: NodeId, texts: &[String]) -> BTreeSet<Multiaddr> {
    let ours = Protocol::P2p(peer::peer_id(node));
    let here = peer::peer_id(here);
    let read = |text: &String| -> Option<Multiaddr> {
        if text.len() > limits::ADDRESS_BYTES_MAX {
            return None;
        }
        let address: Multiaddr = text.parse().ok()?;
        if is_circuit(&address) && relay_of(&address).is_none_or(|relay| relay == here) {
            return None;
        }
        if !is_of_known_form(&address) {
            return None;
        }
        match address.iter().last()? {
            Protocol::P2p(peer) if Protocol::P2p(peer) != ours => None,
            _ => Some(bare(&address)),
        }
    };
    let mut addresses = BTreeSet::new();
    for text in texts.iter().take(limits::ADDRESSES_MAX) {
        match read(text) {
            Some(address) => {
                addresses.insert(address);
            }
            None => debug!(%node, address = %text.chars().take(80).collect::<String>(), "address left out"),
        }
    }
    addresses
}

/// Returns whether an address is of a form that this program dials: there are few, whatever others say.
pub(super) fn is_of_known_form(address: &Multiaddr) -> bool {
    use Protocol::{Dns, Dns4, Dns6, Dnsaddr, Ip4, Ip6, P2p, P2pCircuit, QuicV1, Tcp, Udp};
    let parts: Vec<Protocol> = address.iter().collect();
    let [host, rest @ ..] = &parts[..] else { return false };
    let is_host = matches!(host, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_) | Dnsaddr(_));
    let rest = match rest {
        [Tcp(_), rest @ ..] | [Udp(_), QuicV1, rest @ ..] => rest,
        _ => return false,
    };
    is_host && matches!(rest, [] | [P2p(_)] | [P2p(_), P2pCircuit] | [P2p(_), P2pCircuit, P2p(_)])
}

/// Picks what may be told to others among the addresses listened on.
///
/// Loopback is told only where nothing else is left or where it was asked for; link-local addresses mean nothing
/// without an interface.
pub(super) fn announced(listened: &BTreeSet<Multiaddr>, explicit: &BTreeSet<Multiaddr>) -> Vec<String> {
    let asked_loopback = explicit.iter().filter_map(ip).any(|ip| ip.is_loopback());
    let usable = |address: &&Multiaddr| match ip(address) {
        Some(IpAddr::V6(ip)) => !ip.is_unicast_link_local() && !ip.is_unspecified(),
        Some(IpAddr::V4(ip)) => !ip.is_link_local() && !ip.is_unspecified(),
        None => true,
    };
    let loopback = |address: &&Multiaddr| ip(address).is_some_and(|ip| ip.is_loopback());
    let mut far: Vec<String> = listened
        .iter()
        .filter(usable)
        .filter(|address| asked_loopback || !loopback(address))
        .map(Multiaddr::to_string)
        .collect();
    if far.is_empty() {
        far = listened.iter().filter(usable).map(Multiaddr::to_string).collect();
    }
    // Where there are too many, a circuit is worth more than one more way of the last kind: each relay has several.
    let (circuits, mut direct): (Vec<_>, Vec<_>) = far.into_iter().partition(|address| address.contains(CIRCUIT));
    direct.truncate(limits::ADDRESSES_MAX - circuits.len().min(CIRCUITS_MIN));
    direct.extend(circuits);
    direct.truncate(limits::ADDRESSES_MAX);
    direct
}

/// Returns the first IP address of a multiaddress.
pub(super) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> BTreeSet<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_is_told_only_when_nothing_else_is_there() {
        let both = set(&["/ip4/127.0.0.1/tcp/1", "/ip4/10.1.2.3/tcp/1", "/ip6/fe80::1/tcp/1"]);
        assert_eq!(announced(&both, &set(&["/ip4/0.0.0.0/tcp/1"])), ["/ip4/10.1.2.3/tcp/1"]);
        let alone = set(&["/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(announced(&alone, &set(&["/ip4/0.0.0.0/tcp/1"])), ["/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(announced(&both, &set(&["/ip4/127.0.0.1/tcp/0"])).len(), 2);
    }

    #[test]
    fn an_address_of_another_node_or_of_a_form_that_nobody_dials_is_left_out() {
        let (ours, other) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let texts = [
            "/ip4/10.0.0.1/tcp/7117".to_owned(),
            format!("/ip4/10.0.0.2/tcp/7117/p2p/{}", peer::peer_id(ours)),
            format!("/ip4/10.0.0.3/tcp/7117/p2p/{}", peer::peer_id(other)),
            "10.0.0.4:7117".to_owned(),
            "/ip4/10.0.0.5/tcp/7117/ws".to_owned(),
            "/ip4/10.0.0.6/tcp/7117/tls/tls/tls".to_owned(),
            "/ip4/10.0.0.7/udp/7117".to_owned(),
            "/memory/8".to_owned(),
            format!("/p2p/{}", peer::peer_id(ours)),
        ];
        let here = NodeId::from_bytes([3; 32]);
        assert_eq!(dialable(here, ours, &texts), set(&["/ip4/10.0.0.1/tcp/7117", "/ip4/10.0.0.2/tcp/7117"]));
    }

    #[test]
    fn a_circuit_through_this_node_or_through_nobody_is_left_out() {
        let [ours, relay, here] = [1, 2, 3].map(|byte| NodeId::from_bytes([byte; 32]));
        let through = |relay| format!("/ip4/203.0.113.7/tcp/7117/p2p/{}/p2p-circuit", peer::peer_id(relay));
        let texts = [
            format!("{}/p2p/{}", through(relay), peer::peer_id(ours)),
            through(here),
            "/ip4/203.0.113.7/tcp/7117/p2p-circuit".to_owned(),
            format!("{}/p2p/{}", through(relay), peer::peer_id(here)),
        ];
        assert_eq!(dialable(here, ours, &texts), set(&[&through(relay)]));
        let circuit = through(relay).parse().unwrap();
        assert_eq!(relay_of(&circuit), Some(peer::peer_id(relay)));
        assert_eq!(relay_address(&circuit).to_string(), "/ip4/203.0.113.7/tcp/7117");
    }

    #[test]
    fn circuits_are_told_even_where_there_are_many_other_addresses() {
        let direct = (0..40).map(|host| format!("/ip4/10.0.0.{host}/tcp/1"));
        let relay = peer::peer_id(NodeId::from_bytes([2; 32]));
        let circuits = (0..2).map(|host| format!("/ip4/203.0.113.{host}/tcp/1/p2p/{relay}/p2p-circuit"));
        let texts: Vec<String> = direct.chain(circuits).collect();
        let told = announced(&set(&texts.iter().map(String::as_str).collect::<Vec<_>>()), &BTreeSet::new());
        assert_eq!(told.len(), limits::ADDRESSES_MAX);
        assert_eq!(told.iter().filter(|address| address.contains(CIRCUIT)).count(), 2);
    }

    #[test]
    fn private_and_local_addresses_are_not_public() {
        let public = |text: &str| is_public(&text.parse().unwrap());
        for local in ["10.1.2.3", "192.168.1.4", "172.16.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0"] {
            assert!(!public(&format!("/ip4/{local}/tcp/7117")), "{local}");
        }
        for local in ["fe80::1", "fd00::1", "::1", "::ffff:10.0.0.1"] {
            assert!(!public(&format!("/ip6/{local}/tcp/7117")), "{local}");
        }
        assert!(public("/ip4/203.0.113.7/tcp/7117") && public("/ip6/2001:db8::1/udp/1/quic-v1"));
        assert!(!public("/dns4/box/tcp/7117"));
    }
}
