//! Addresses: what may be dialled, what may be told to others, and how a path is shown.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tracing::debug;

use super::peer;

/// How the bytes of a connection travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP with noise and yamux.
    Tcp,
    /// QUIC.
    Quic,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        })
    }
}

/// The way a link takes: the other end's address and the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The address of the other end, as a multiaddress without the peer's id.
    pub address: String,
    /// How the bytes travel.
    pub transport: Transport,
}

impl Path {
    pub(super) fn of(address: &Multiaddr) -> Self {
        let quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
        let transport = if quic { Transport::Quic } else { Transport::Tcp };
        Self { address: bare(address).to_string(), transport }
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

/// Reads the addresses a node is said to have; what is malformed, too long or names another node is left out.
pub(super) fn dialable(node: NodeId, texts: &[String]) -> BTreeSet<Multiaddr> {
    let ours = Protocol::P2p(peer::peer_id(node));
    let read = |text: &String| -> Option<Multiaddr> {
        if text.len() > limits::ADDRESS_BYTES_MAX {
            return None;
        }
        let address: Multiaddr = text.parse().ok()?;
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
    far.truncate(limits::ADDRESSES_MAX);
    far
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
    fn an_address_of_another_node_is_left_out() {
        let (ours, other) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let texts = [
            "/ip4/10.0.0.1/tcp/7117".to_owned(),
            format!("/ip4/10.0.0.2/tcp/7117/p2p/{}", peer::peer_id(ours)),
            format!("/ip4/10.0.0.3/tcp/7117/p2p/{}", peer::peer_id(other)),
            "10.0.0.4:7117".to_owned(),
        ];
        assert_eq!(dialable(ours, &texts), set(&["/ip4/10.0.0.1/tcp/7117", "/ip4/10.0.0.2/tcp/7117"]));
    }
}
