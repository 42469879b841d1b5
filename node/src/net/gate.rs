//! Who may be connected: members always, strangers only to join and only while an invite is open.
//!
//! It decides and counts; it holds no connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use super::address;
use crate::pace::{Pace, Taken};

/// Strangers that may be connected at one time.
pub(super) const STRANGERS_MAX: usize = 8;

/// Strangers of one source that may be connected at one time: one host leaves room for others.
const SOURCE_STRANGERS_MAX: usize = STRANGERS_MAX / 2;

/// Connections of one source that may be in their handshake at one time, members' too, who are not told apart yet: one host
/// leaves room for others.
pub(super) const SOURCE_HANDSHAKES_MAX: usize = 16;

/// How fast strangers of one source may come.
const SOURCE_PACE: Pace = Pace { burst: 8, refill: Duration::from_secs(2), gain: 1 };

/// How fast strangers of all sources may come: far more than one source alone, and a bound on the sources that are
/// remembered, since each is full again within `burst` times `refill` of its own.
const ALL_PACE: Pace = Pace { burst: 64, refill: Duration::from_millis(250), gain: 1 };

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grade {
    /// The peer is a member: sync, and joining again while an invite is open.
    Member,
    /// The peer was a member; a link that ends hands over its last frames, and nothing else comes of it.
    Parting,
    /// The peer is a stranger who came while an invite was open, here or at a member we relay for: joining only.
    Stranger,
    /// We are the stranger; the peer is asked to let us join.
    Inviter,
    /// We are the stranger; the peer relays to the one that is asked.
    Relay,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The peer is kept out by hand.
    #[error("kept out by hand")]
    Banned,
    /// As many connections of one source as are allowed are in their handshake.
    #[error("too many connections from one place at one time")]
    Handshakes,
    /// The peer is no member, and no invite is open.
    #[error("not a member")]
    NotMember,
    /// As many strangers as are allowed are connected.
    #[error("too many strangers at one time")]
    Crowded,
    /// Strangers come too fast.
    #[error("too many strangers in a short time")]
    Hurried,
}

/// Where a stranger comes from, as far as that costs something to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A circuit; its relay alone knows who is behind it.
    Circuit,
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address: one host commonly has all that follow.
    V6([u8; 8]),
    /// Anything else, taken together.
    Elsewhere,
}

impl Source {
    /// Returns the source of a connection from that address to that one of ours.
    pub(super) fn between(remote: &Multiaddr, local: &Multiaddr) -> Self {
        if address::is_circuit(local) { Self::Circuit } else { Self::of(remote) }
    }

    /// Returns the source of a connection from that address.
    pub(super) fn of(address: &Multiaddr) -> Self {
        if address::is_circuit(address) {
            return Self::Circuit;
        }
        match address::ip(address).map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => Self::V4(ip.octets()),
            Some(IpAddr::V6(ip)) => {
                let [network @ .., _, _, _, _, _, _, _, _] = ip.octets();
                Self::V6(network)
            }
            None => Self::Elsewhere,
        }
    }
}

/// The strangers that are connected.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowd {
    /// How many in all.
    pub(super) all: usize,
    /// How many of the same source.
    pub(super) same: usize,
}

/// The rules and what they count.
#[derive(Debug)]
pub(super) struct Gate {
    members: BTreeSet<PeerId>,
    inviters: BTreeSet<PeerId>,
    /// Relays to inviters, and where each is.
    relays: BTreeMap<PeerId, BTreeSet<Multiaddr>>,
    banned: BTreeSet<PeerId>,
    join_open: bool,
    /// Whether strangers may come for circuits to members that have an invite open.
    hosts_open: bool,
    /// What strangers have taken, all together.
    taken: Taken,
    /// Sources that have come lately.
    sources: BTreeMap<Source, Taken>,
}

impl Gate {
    pub(super) fn new(now: Instant) -> Self {
        let (members, inviters, banned) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (taken, sources, relays) = (Taken::nothing(now), BTreeMap::new(), BTreeMap::new());
        Self { members, inviters, relays, banned, join_open: false, hosts_open: false, taken, sources }
    }

    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.members.contains(peer)
    }

    pub(super) fn is_join_open(&self) -> bool {
        self.join_open
    }

    pub(super) fn set_members(&mut self, members: BTreeSet<PeerId>) {
        self.members = members;
    }

    /// Sets who is kept out, whatever else it is.
    pub(super) fn set_banned(&mut self, banned: BTreeSet<PeerId>) {
        self.banned = banned;
    }

    pub(super) fn is_banned(&self, peer: &PeerId) -> bool {
        self.banned.contains(peer)
    }

    pub(super) fn set_join_open(&mut self, open: bool) {
        self.join_open = open;
    }

    /// Sets whether strangers may come for circuits to members that have an invite open.
    pub(super) fn set_hosts_open(&mut self, open: bool) {
        self.hosts_open = open;
    }

    /// Allows dialling a peer that is no member, to join through it, and the relays that lead to it.
    pub(super) fn expect_inviter(&mut self, peer: PeerId, addresses: &BTreeSet<Multiaddr>) {
        self.inviters.insert(peer);
        for circuit in addresses.iter().filter(|address| address::is_circuit(address)) {
            if let Some(relay) = address::relay_of(circuit) {
                self.relays.entry(relay).or_default().insert(address::relay_address(circuit));
            }
        }
    }

    /// Takes back what `expect_inviter` allowed.
    pub(super) fn forget_inviter(&mut self, peer: &PeerId) {
        self.inviters.remove(peer);
        if self.inviters.is_empty() {
            self.relays.clear();
        }
    }

    /// Returns where a relay to an inviter is.
    pub(super) fn relay_addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.relays.get(peer).into_iter().flatten().cloned().collect()
    }

    /// Decides on a connection that a peer made to us from a source, while a crowd of strangers is connected.
    pub(super) fn admit_inbound(
        &mut self,
        peer: &PeerId,
        source: Source,
        crowd: Crowd,
        now: Instant,
    ) -> Result<Grade, Refusal> {
        if self.banned.contains(peer) {
            return Err(Refusal::Banned);
        }
        if self.members.contains(peer) {
            return Ok(Grade::Member);
        }
        if !self.join_open && !self.hosts_open {
            return Err(Refusal::NotMember);
        }
        if crowd.all >= STRANGERS_MAX || crowd.same >= SOURCE_STRANGERS_MAX {
            return Err(Refusal::Crowded);
        }
        self.sources.retain(|_, taken| !taken.is_nothing(now));
        let mut of_source = self.sources.get(&source).copied().unwrap_or(Taken::nothing(now));
        // Nothing is taken of the one when there is nothing left of the other.
        if !of_source.take(&SOURCE_PACE, now) || !self.taken.take(&ALL_PACE, now) {
            return Err(Refusal::Hurried);
        }
        self.sources.insert(source, of_source);
        Ok(Grade::Stranger)
    }

    /// Decides on a connection that we make.
    pub(super) fn admit_outbound(&self, peer: &PeerId) -> Result<Grade, Refusal> {
        if self.banned.contains(peer) {
            Err(Refusal::Banned)
        } else if self.members.contains(peer) {
            Ok(Grade::Member)
        } else if self.inviters.contains(peer) {
            Ok(Grade::Inviter)
        } else if self.relays.contains_key(peer) {
            Ok(Grade::Relay)
        } else {
            Err(Refusal::NotMember)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Source = Source::V4([10, 0, 0, 1]);
    const NOBODY: Crowd = Crowd { all: 0, same: 0 };

    fn open(now: Instant) -> Gate {
        let mut gate = Gate::new(now);
        gate.set_join_open(true);
        gate
    }

    fn source(at: u8) -> Source {
        Source::V4([10, 0, 1, at])
    }

    #[test]
    fn a_stranger_passes_only_while_an_invite_is_open() {
        let now = Instant::now();
        let mut gate = Gate::new(now);
        let (member, stranger) = (PeerId::random(), PeerId::random());
        gate.set_members([member].into());
        assert_eq!(gate.admit_inbound(&member, HERE, NOBODY, now), Ok(Grade::Member));
        assert_eq!(gate.admit_inbound(&stranger, HERE, NOBODY, now), Err(Refusal::NotMember));
        gate.set_hosts_open(true);
        assert_eq!(gate.admit_inbound(&stranger, HERE, NOBODY, now), Ok(Grade::Stranger));
        gate.set_hosts_open(false);
        assert_eq!(gate.admit_inbound(&stranger, HERE, NOBODY, now), Err(Refusal::NotMember));
        gate.set_join_open(true);
        assert_eq!(gate.admit_inbound(&stranger, HERE, NOBODY, now), Ok(Grade::Stranger));
        for crowd in [Crowd { all: STRANGERS_MAX, same: 0 }, Crowd { all: 4, same: SOURCE_STRANGERS_MAX }] {
            assert_eq!(gate.admit_inbound(&stranger, HERE, crowd, now), Err(Refusal::Crowded));
            assert_eq!(gate.admit_inbound(&member, HERE, crowd, now), Ok(Grade::Member));
        }
    }

    #[test]
    fn who_is_kept_out_comes_in_neither_as_a_member_nor_as_a_stranger_and_is_not_dialled() {
        let now = Instant::now();
        let mut gate = open(now);
        let peer = PeerId::random();
        gate.set_members([peer].into());
        gate.set_banned([peer].into());
        assert_eq!(gate.admit_inbound(&peer, HERE, NOBODY, now), Err(Refusal::Banned));
        assert_eq!(gate.admit_outbound(&peer), Err(Refusal::Banned));
        gate.set_members(BTreeSet::new());
        assert_eq!(gate.admit_inbound(&peer, HERE, NOBODY, now), Err(Refusal::Banned));
        gate.set_banned(BTreeSet::new());
        assert_eq!(gate.admit_inbound(&peer, HERE, NOBODY, now), Ok(Grade::Stranger));
    }

    #[test]
    fn strangers_of_one_source_are_slowed_down_after_a_burst_and_those_of_others_are_not() {
        let now = Instant::now();
        let mut gate = open(now);
        let mut come = |source, now| gate.admit_inbound(&PeerId::random(), source, NOBODY, now);
        for _ in 0..SOURCE_PACE.burst {
            assert_eq!(come(HERE, now), Ok(Grade::Stranger));
        }
        for _ in 0..1_000 {
            assert_eq!(come(HERE, now), Err(Refusal::Hurried));
        }
        assert_eq!(come(source(1), now), Ok(Grade::Stranger));
        assert_eq!(come(HERE, now + SOURCE_PACE.refill), Ok(Grade::Stranger));
        assert_eq!(come(HERE, now + SOURCE_PACE.refill), Err(Refusal::Hurried));
    }

    #[test]
    fn strangers_of_many_sources_are_slowed_down_in_all_and_forgotten() {
        let now = Instant::now();
        let mut gate = open(now);
        let mut come = |at: u8, now| gate.admit_inbound(&PeerId::random(), source(at), NOBODY, now);
        let admitted = (0..100).filter(|at| come(*at, now).is_ok()).count();
        assert_eq!(admitted, 64);
        assert_eq!(come(200, now + ALL_PACE.refill), Ok(Grade::Stranger));
        assert_eq!(come(201, now + SOURCE_PACE.refill * 2), Ok(Grade::Stranger));
        assert_eq!(gate.sources.len(), 1);
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |address: &str| Source::of(&address.parse().unwrap());
        assert_eq!(of("/ip4/10.0.0.1/tcp/1"), HERE);
        assert_eq!(of("/ip6/::ffff:10.0.0.1/udp/9/quic-v1"), HERE);
        assert_eq!(of("/ip6/2001:db8::1/tcp/1"), of("/ip6/2001:db8::ffff:2/tcp/2"));
        assert_ne!(of("/ip6/2001:db8::1/tcp/1"), of("/ip6/2001:db8:0:1::1/tcp/1"));
        assert_eq!(of("/dns/example.org/tcp/1"), Source::Elsewhere);
        let (remote, local) = (format!("/p2p/{}", PeerId::random()), "/ip4/10.0.0.1/tcp/1/p2p-circuit");
        let (remote, local) = (remote.parse().unwrap(), local.parse().unwrap());
        assert_eq!(Source::between(&remote, &local), Source::Circuit);
    }

    #[test]
    fn only_members_and_inviters_are_dialled() {
        let mut gate = Gate::new(Instant::now());
        let peer = PeerId::random();
        assert_eq!(gate.admit_outbound(&peer), Err(Refusal::NotMember));
        let relay = PeerId::random();
        let circuit = format!("/ip4/203.0.113.7/tcp/1/p2p/{relay}/p2p-circuit").parse().unwrap();
        gate.expect_inviter(peer, &[circuit].into());
        assert_eq!(gate.admit_outbound(&peer), Ok(Grade::Inviter));
        assert_eq!(gate.admit_outbound(&relay), Ok(Grade::Relay));
        assert_eq!(gate.relay_addresses(&relay), ["/ip4/203.0.113.7/tcp/1".parse().unwrap()]);
        gate.forget_inviter(&peer);
        assert_eq!(gate.admit_outbound(&relay), Err(Refusal::NotMember));
        gate.set_members([peer].into());
        assert_eq!(gate.admit_outbound(&peer), Ok(Grade::Member));
    }
}
