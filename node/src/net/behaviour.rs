//! The libp2p swarm of a node: its transports, its behaviours and their settings.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::{Duration, Instant};

use beadmesh_protocol::limits::NODES_MAX;
use libp2p::autonat::v2::server;
use libp2p::metrics::Registry;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Swarm, SwarmBuilder, connection_limits, dcutr, identify, mdns, memory_connection_limits, noise, ping, relay, tcp,
    yamux,
};
use tracing::warn;

use super::gate::STRANGERS_MAX;
use super::relay::{Permits, bounds};
use super::{Config, NetError, gossip, peer, probe, streams};

/// What identify calls our family of protocols.
const PROTOCOL_VERSION: &str = "/beadmesh/1";

/// Time a connection may be unused; links keep theirs in use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Time after which QUIC takes a silent connection for dead, in milliseconds.
const QUIC_IDLE_MILLIS: u32 = 30_000;

/// Time the QUIC handshake may take.
const QUIC_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that making a connection may take in all. AutoNAT gives its answer up after 10 s, and must not do so while the
/// dial it is about has not failed.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(8);

/// Connections to us that may be in their handshake at one time.
const PENDING_INBOUND_MAX: u32 = 64;

/// Dials of ours that may be under way: what the driver begins at one time, and joins.
const PENDING_OUTBOUND_MAX: u32 = 64;

/// Connections that others may have made to us: two of each member, and strangers. The gate lets in nobody else; this holds
/// should it ever err.
const ESTABLISHED_INBOUND_MAX: u32 = 2_064;
const _: () = assert!(ESTABLISHED_INBOUND_MAX as usize >= 2 * NODES_MAX + STRANGERS_MAX);

/// The part of the machine's memory beyond which no connection is made or taken: far above what a node uses.
const MEMORY_SHARE_MAX: f64 = 0.5;

/// Connections that one peer may have: two dials that crossed, the same through relays, and as many again when it came
/// back.
const CONNECTIONS_PER_PEER_MAX: u32 = 8;

/// Addresses of one peer that are tried at one time.
const DIAL_CONCURRENCY: NonZeroU8 = NonZeroU8::new(8).expect("not zero");

/// Streams that may be in negotiation on one connection.
const NEGOTIATING_STREAMS_MAX: usize = 16;

/// Orders that may wait for one connection.
const ORDERS_MAX: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");

/// All behaviours; the limits and the gate come first, so that nothing else keeps a connection they refuse. Gossip is
/// asked before the gate and keeps nothing when asked; so that who becomes a member may speak before it may open a link.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub(super) gossip: gossip::Behaviour,
    pub(super) streams: streams::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    /// Asks others whether they reach us, and tells others whether we reach them.
    probe: probe::Behaviour,
    answer: server::Behaviour,
    /// Relays for others, and is relayed by others.
    pub(super) relay: relay::Behaviour,
    relayed: relay::client::Behaviour,
    /// Meets a peer without the relay through which both are connected.
    punch: dcutr::Behaviour,
}

/// Builds the swarm; it listens nowhere yet. The registry shows how many bytes go over its connections.
pub(super) fn swarm(config: &Config, permits: &Permits, registry: &mut Registry) -> Result<Swarm<Behaviour>, NetError> {
    let keypair = peer::keypair(&config.key);
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::new().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(NetError::Noise)?
        .with_quic_config(|mut quic| {
            quic.max_idle_timeout = QUIC_IDLE_MILLIS;
            quic.handshake_timeout = QUIC_HANDSHAKE_TIMEOUT;
            quic
        })
        .with_dns()
        .map_err(NetError::Dns)?
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .map_err(NetError::Noise)?
        .with_bandwidth_metrics(registry)
        .with_behaviour(|key, relayed| behaviour(config, permits, key, relayed))
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(|swarm| {
            swarm
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_dial_concurrency_factor(DIAL_CONCURRENCY)
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX)
                .with_notify_handler_buffer_size(ORDERS_MAX)
        })
        .with_connection_timeout(CONNECTION_TIMEOUT)
        .build();
    Ok(swarm)
}

fn behaviour(
    config: &Config,
    permits: &Permits,
    key: &libp2p::identity::Keypair,
    relayed: relay::client::Behaviour,
) -> Behaviour {
    let local = key.public().to_peer_id();
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_INBOUND_MAX))
        .with_max_pending_outgoing(Some(PENDING_OUTBOUND_MAX))
        .with_max_established_incoming(Some(ESTABLISHED_INBOUND_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
    // Members learn addresses from the roster, so identify need not tell those listened on to whoever connects.
    let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), key.public())
        .with_agent_version(config.agent_version.clone())
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(config.timing.ping_interval).with_timeout(config.timing.ping_timeout);
    let mdns = config.mdns.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), local));
    let mdns = mdns.and_then(|mdns| {
        mdns.inspect_err(|error| warn!(%error, "looking for members on the local network is not possible")).ok()
    });
    let mut relay = relay::Behaviour::new(local, bounds(permits));
    // The driver says when.
    relay.set_status(Some(relay::Status::Disable));
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
        gossip: gossip::Behaviour::new(key, config.queue.notices_out),
        streams: streams::Behaviour::new(Instant::now(), permits.clone()),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping),
        mdns: Toggle::from(mdns),
        probe: probe::Behaviour::new(),
        answer: server::Behaviour::default(),
        relay,
        relayed,
        punch: dcutr::Behaviour::new(local),
    }
}
