//! Whether others can reach this node from anywhere: rules on what was heard about its addresses, without input or
//! output.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use beadmesh_protocol::id::NodeId;
use libp2p::Multiaddr;

use super::address;

/// Addresses that were tried out and are remembered.
const TRIED_MAX: usize = 64;

/// When a node passes on what members that can not reach each other have to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Relaying {
    /// While it can be reached from anywhere.
    #[default]
    Auto,
    /// Always: whoever runs it knows that it can be reached.
    Always,
    /// Never.
    Never,
}

impl Relaying {
    /// Returns the word that people write.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "true",
            Self::Never => "false",
        }
    }
}

/// A text says nothing of when to relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of true, false and auto")]
pub struct RelayingError(pub String);

impl FromStr for Relaying {
    type Err = RelayingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "true" => Ok(Self::Always),
            "false" => Ok(Self::Never),
            _ => Err(RelayingError(text.to_owned())),
        }
    }
}

/// Whether a node can be reached from anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reachability {
    /// Nobody has tried.
    #[default]
    Unknown,
    /// It can.
    Public,
    /// It can not: a NAT or a firewall is in between.
    Private,
}

impl Reachability {
    /// Returns the name that people and scripts read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

impl fmt::Display for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a node stands in the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footing {
    /// Whether it can be reached from anywhere.
    pub reach: Reachability,
    /// Whether it relays for others.
    pub is_relay: bool,
    /// Circuits that lead through it.
    pub circuits: usize,
    /// The relays through which it can be reached.
    pub relays: BTreeSet<NodeId>,
}

/// What was heard about the addresses of this node in the network it is in.
#[derive(Debug)]
pub(super) struct Hearsay {
    relaying: Relaying,
    /// Addresses at which this node is reached by the word of who runs it, in every network.
    stated: BTreeSet<Multiaddr>,
    /// Addresses at which this node was reached from outside.
    confirmed: BTreeSet<Multiaddr>,
    /// Those at which it was not.
    failed: BTreeSet<Multiaddr>,
    /// Those that were confirmed while this node was in other networks; each is tried out only once.
    earlier: BTreeSet<Multiaddr>,
}

impl Hearsay {
    pub(super) fn new(relaying: Relaying, stated: BTreeSet<Multiaddr>) -> Self {
        let [confirmed, failed, earlier] = [const { BTreeSet::new() }; 3];
        Self { relaying, stated, confirmed, failed, earlier }
    }

    /// Returns the addresses at which this node is reached from outside, wherever it listens.
    pub(super) fn outside(&self) -> impl Iterator<Item = &Multiaddr> {
        self.stated.union(&self.confirmed)
    }

    /// Notes what came of trying out an address.
    pub(super) fn on_tried(&mut self, address: &Multiaddr, is_reached: bool) {
        let address = address::bare(address);
        if !address::is_public(&address) || address::is_circuit(&address) {
            return;
        }
        let (set, other) = match is_reached {
            true => (&mut self.confirmed, &mut self.failed),
            false => (&mut self.failed, &mut self.confirmed),
        };
        other.remove(&address);
        if set.len() < TRIED_MAX {
            set.insert(address);
        }
    }

    /// Notes an address at which somebody sees this node; returns whether it is known from an earlier stay to be good.
    pub(super) fn on_seen(&mut self, address: &Multiaddr) -> bool {
        let is_known = self.earlier.remove(&address::bare(address));
        if is_known {
            self.on_tried(address, true);
        }
        is_known
    }

    /// Forgets what was heard in another network; returns what is no longer confirmed.
    pub(super) fn on_moved(&mut self) -> Vec<Multiaddr> {
        self.failed.clear();
        let gone: Vec<_> = std::mem::take(&mut self.confirmed).into_iter().collect();
        self.earlier.extend(gone.iter().take(TRIED_MAX.saturating_sub(self.earlier.len())).cloned());
        gone
    }

    /// Judges whether this node can be reached from anywhere, listening on these addresses.
    ///
    /// A public IPv4 address of its own is believed until somebody has tried it in vain. One of IPv6 is not: most
    /// routers have one for each device, and let nothing in.
    pub(super) fn reach(&self, listened: &BTreeSet<Multiaddr>) -> Reachability {
        let has_failed = |ip| self.failed.iter().any(|failed| address::ip(failed) == Some(ip));
        let is_own = |known: &Multiaddr| {
            let ip = address::ip(known).filter(|_| address::is_public(known) && !address::is_circuit(known));
            ip.is_some_and(|ip| matches!(ip, IpAddr::V4(_)) && !has_failed(ip))
        };
        let is_told = self.relaying == Relaying::Always || self.outside().next().is_some();
        if is_told || listened.iter().any(is_own) {
            Reachability::Public
        } else if self.failed.is_empty() {
            Reachability::Unknown
        } else {
            Reachability::Private
        }
    }

    /// Judges whether this node relays for others.
    pub(super) fn is_relay(&self, reach: Reachability) -> bool {
        self.relaying != Relaying::Never && reach == Reachability::Public
    }

    /// Returns the addresses at which a relay is to be found, of all that it has.
    ///
    /// Who always relays may do so in a private network.
    pub(super) fn served(&self, listened: &BTreeSet<Multiaddr>) -> BTreeSet<Multiaddr> {
        let is_served = |known: &&Multiaddr| {
            let is_wanted = self.relaying == Relaying::Always || address::is_public(known);
            is_wanted && !address::is_circuit(known)
        };
        listened.iter().filter(is_served).chain(self.outside()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> BTreeSet<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_public_ipv4_address_is_believed_until_it_was_tried_in_vain() {
        let mut hearsay = Hearsay::new(Relaying::Auto, BTreeSet::new());
        let own = set(&["/ip4/10.0.0.5/tcp/1", "/ip4/203.0.113.7/tcp/1", "/ip6/2001:db8::1/tcp/1"]);
        assert_eq!(hearsay.reach(&own), Reachability::Public);
        assert_eq!(hearsay.served(&own), set(&["/ip4/203.0.113.7/tcp/1", "/ip6/2001:db8::1/tcp/1"]));
        hearsay.on_tried(&"/ip4/203.0.113.7/udp/1/quic-v1".parse().unwrap(), false);
        assert_eq!(hearsay.reach(&own), Reachability::Private);
        hearsay.on_tried(&"/ip4/203.0.113.7/tcp/1".parse().unwrap(), true);
        assert_eq!(hearsay.reach(&own), Reachability::Public);
    }

    #[test]
    fn behind_a_nat_only_the_word_of_others_makes_a_node_public() {
        let mut hearsay = Hearsay::new(Relaying::Auto, BTreeSet::new());
        let own = set(&["/ip4/192.168.1.5/tcp/1", "/ip6/2001:db8::1/tcp/1"]);
        assert_eq!(hearsay.reach(&own), Reachability::Unknown);
        hearsay.on_tried(&"/ip4/192.168.1.5/tcp/1".parse().unwrap(), true);
        assert_eq!(hearsay.reach(&own), Reachability::Unknown, "what a neighbour reaches is not public");
        let outside: Multiaddr = "/ip4/203.0.113.7/tcp/1".parse().unwrap();
        hearsay.on_tried(&outside, true);
        assert_eq!(hearsay.reach(&own), Reachability::Public);
        assert_eq!(hearsay.on_moved(), std::slice::from_ref(&outside));
        assert_eq!(hearsay.reach(&own), Reachability::Unknown);
        assert!(hearsay.on_seen(&outside) && !hearsay.on_seen(&outside));
        assert_eq!(hearsay.reach(&own), Reachability::Public, "back in a network it was in before");
    }

    #[test]
    fn an_address_that_was_stated_counts_in_every_network() {
        let stated = set(&["/ip4/203.0.113.7/tcp/1"]);
        let mut hearsay = Hearsay::new(Relaying::Auto, stated.clone());
        let own = set(&["/ip4/10.0.0.5/tcp/1"]);
        hearsay.on_tried(stated.first().unwrap(), false);
        assert_eq!(hearsay.on_moved(), []);
        assert_eq!((hearsay.reach(&own), hearsay.served(&own)), (Reachability::Public, stated));
    }

    #[test]
    fn who_always_relays_is_taken_at_their_word_and_who_never_does_is_not_asked() {
        let own = set(&["/ip4/192.168.1.5/tcp/1"]);
        let always = Hearsay::new(Relaying::Always, BTreeSet::new());
        assert_eq!(always.reach(&own), Reachability::Public);
        assert!(always.is_relay(Reachability::Public));
        assert_eq!(always.served(&own), own);
        let never = Hearsay::new(Relaying::Never, BTreeSet::new());
        assert!(!never.is_relay(Reachability::Public));
        assert_eq!("auto".parse(), Ok(Relaying::Auto));
        assert_eq!("yes".parse::<Relaying>(), Err(RelayingError("yes".to_owned())));
    }
}
