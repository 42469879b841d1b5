//! Whether somebody answers at an address: for people who look for what keeps two nodes apart.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Addresses of one node that are tried at most.
const TRIED_MAX: usize = 8;

/// What came of dialling a node by TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It has no address that can be dialled by TCP.
    Nowhere,
    /// Somebody answers there.
    Answers {
        /// Where.
        address: String,
    },
    /// Nobody answers anywhere.
    Fails {
        /// The last address that was tried.
        address: String,
        /// What the system said.
        reason: String,
    },
}

/// Dials the TCP addresses among these one after another, each for so long at most; says nothing, and hangs up.
pub async fn reach(addresses: &[String], patience: Duration) -> Reach {
    let mut reach = Reach::Nowhere;
    for (address, target) in addresses.iter().filter_map(|text| Some((text, socket_address(text)?))).take(TRIED_MAX) {
        let address = address.clone();
        reach = match timeout(patience, TcpStream::connect(target)).await {
            Ok(Ok(_)) => return Reach::Answers { address },
            Ok(Err(error)) => Reach::Fails { address, reason: reason(&error) },
            Err(_) => Reach::Fails { address, reason: format!("no answer within {} s", patience.as_secs()) },
        };
    }
    reach
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "the connection is refused".to_owned(),
        _ => error.to_string(),
    }
}

/// Returns where a multiaddress leads by TCP; none for other transports, and for ways through other nodes.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let address: Multiaddr = text.parse().ok()?;
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    let is_direct = address.iter().all(|part| !matches!(part, Protocol::P2pCircuit));
    is_direct.then(|| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_direct_ways_by_tcp_lead_somewhere() {
        let leads = |text: &str| socket_address(text).map(|address| address.to_string());
        assert_eq!(leads("/ip4/10.0.0.5/tcp/7117").as_deref(), Some("10.0.0.5:7117"));
        assert_eq!(leads("/ip6/::1/tcp/7117").as_deref(), Some("[::1]:7117"));
        for other in ["/ip4/10.0.0.5/udp/7117/quic-v1", "/ip4/10.0.0.5/tcp/7117/p2p-circuit", "garbage", ""] {
            assert_eq!(leads(other), None, "{other}");
        }
    }
}
