//! Where a node listens: on what it was told, or on its own port, or on whatever port is free.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm, TransportError};
use tracing::{debug, info, warn};

use super::NetError;
use super::behaviour::Behaviour;

/// The port of a node, where it is free.
pub const PORT_DEFAULT: u16 = 7117;

/// Ports of the system's choice that are tried until one is free for both TCP and UDP.
const PORT_TRIES: usize = 8;

/// Where to listen.
#[derive(Debug, Clone)]
pub enum Listen {
    /// On every interface, by TCP and QUIC; what is not possible there (IPv6, a taken port) is worked around.
    Default {
        /// The port used last time, so that addresses given to others stay true.
        saved_port: Option<u16>,
    },
    /// On exactly these multiaddresses; one that is not possible is an error. None at all means only dialling.
    Explicit(Vec<String>),
}

/// Returns the addresses that a node listens on by default: TCP and QUIC on every interface, at the port used last
/// time, else at [`PORT_DEFAULT`], else at a free one.
pub fn listen_defaults(saved_port: Option<u16>) -> Vec<Multiaddr> {
    let wanted = saved_port.filter(|port| *port != 0).unwrap_or(PORT_DEFAULT);
    let port = if is_free(wanted) {
        wanted
    } else {
        let chosen = free_port();
        info!(wanted, chosen, "the port is taken");
        chosen
    };
    let ips = [Protocol::Ip4(Ipv4Addr::UNSPECIFIED), Protocol::Ip6(Ipv6Addr::UNSPECIFIED)];
    let both = |ip: Protocol<'static>| {
        let base = Multiaddr::empty().with(ip);
        let tcp = base.clone().with(Protocol::Tcp(port));
        [tcp, base.with(Protocol::Udp(port)).with(Protocol::QuicV1)]
    };
    ips.into_iter().flat_map(both).collect()
}

/// Reads a multiaddress that a node may be told to listen on: TCP or QUIC on an IP address.
///
/// # Errors
/// When it is no multiaddress, or one of another kind.
pub fn listen_address(text: &str) -> Result<Multiaddr, NetError> {
    let address: Multiaddr = text.parse().map_err(|source| NetError::Address { address: text.to_owned(), source })?;
    let mut parts = address.iter();
    let is_ip = matches!(parts.next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)));
    let is_ours = match parts.next() {
        Some(Protocol::Tcp(_)) => true,
        Some(Protocol::Udp(_)) => matches!(parts.next(), Some(Protocol::QuicV1)),
        _ => false,
    };
    if is_ip && is_ours && matches!(parts.next(), None | Some(Protocol::P2p(_))) {
        return Ok(address);
    }
    Err(NetError::Kind { address: text.to_owned() })
}

/// Starts listening; returns what was asked for explicitly.
pub(super) fn open(swarm: &mut Swarm<Behaviour>, listen: &Listen) -> Result<BTreeSet<Multiaddr>, NetError> {
    match listen {
        Listen::Default { saved_port } => {
            let mut refused = None;
            let mut opened = 0;
            for address in listen_defaults(*saved_port) {
                match swarm.listen_on(address.clone()) {
                    Ok(_) => opened += 1,
                    Err(error) => {
                        debug!(%address, %error, "not listening here");
                        refused = Some((address, error));
                    }
                }
            }
            match refused {
                Some((address, error)) if opened == 0 => Err(refusal(&address, error)),
                Some((address, error)) => {
                    warn!(%address, %error, "not listening on every default address");
                    Ok(BTreeSet::new())
                }
                None => Ok(BTreeSet::new()),
            }
        }
        Listen::Explicit(texts) => {
            let mut explicit = BTreeSet::new();
            for text in texts {
                let address = listen_address(text)?;
                probe(&address).map_err(|source| NetError::Listen { address: text.clone(), source })?;
                swarm.listen_on(address.clone()).map_err(|error| refusal(&address, error))?;
                explicit.insert(address);
            }
            Ok(explicit)
        }
    }
}

fn refusal(address: &Multiaddr, error: TransportError<io::Error>) -> NetError {
    let source = match error {
        TransportError::Other(source) => source,
        TransportError::MultiaddrNotSupported(_) => {
            io::Error::new(io::ErrorKind::Unsupported, "neither a TCP nor a QUIC address of this machine")
        }
    };
    NetError::Listen { address: address.to_string(), source }
}

/// Fails when the port of an address is taken.
///
/// libp2p listens with SO_REUSEPORT, so that a second node of the same user would silently share the first one's port.
fn probe(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => TcpListener::bind(SocketAddr::new(ip, port)).map(drop),
        Some(Protocol::Udp(port)) if port != 0 => UdpSocket::bind(SocketAddr::new(ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn is_free(port: u16) -> bool {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok()
}

/// Returns a port that is free for TCP and UDP, or 0 (each gets its own) where none was found.
fn free_port() -> u16 {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    (0..PORT_TRIES)
        .filter_map(|_| TcpListener::bind(any).and_then(|socket| socket.local_addr()).ok())
        .map(|address| address.port())
        .find(|port| is_free(*port))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_tcp_or_quic_on_an_ip() {
        for good in ["/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/7117/quic-v1", "/ip4/10.0.0.5/tcp/7117"] {
            assert_eq!(listen_address(good).unwrap().to_string(), good);
        }
        assert!(matches!(listen_address("garbage"), Err(NetError::Address { .. })));
        for other in ["/dns4/box/tcp/1", "/ip4/10.0.0.5", "/ip4/10.0.0.5/udp/1", "/ip4/10.0.0.5/tcp/1/ws", ""] {
            assert!(matches!(listen_address(other), Err(NetError::Kind { .. } | NetError::Address { .. })), "{other}");
        }
    }

    #[test]
    fn a_taken_port_is_worked_around() {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let taken = TcpListener::bind(any).unwrap();
        let port = taken.local_addr().unwrap().port();
        let addresses = listen_defaults(Some(port));
        assert_eq!(addresses.len(), 4);
        assert!(addresses.iter().all(|address| !address.iter().any(|part| part == Protocol::Tcp(port))));
        assert!(probe(&format!("/ip4/0.0.0.0/tcp/{port}").parse().unwrap()).is_err());
    }
}
