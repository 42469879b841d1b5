//! The network of a node: links to members, as ordered streams of frames; lease messages, notices and blobs among them;
//! and joins of strangers.
//!
//! It moves bytes and knows nothing of entries. One task drives the libp2p swarm, three more run each link; the rest of
//! the node talks to them through a [`Handle`] that never blocks, one bounded queue of [`Event`]s, and one of lease
//! messages.

mod address;
mod behaviour;
mod blob;
mod dialer;
mod driver;
mod event;
mod footing;
mod frame;
mod gate;
mod gossip;
mod handle;
mod join;
mod lease;
mod link;
mod listen;
mod notice;
mod pace;
mod peer;
mod probe;
mod reach;
mod refused;
mod relay;
mod streams;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::refusals::Refusals;

pub use address::{Path, Transport};
pub use blob::{BlobStream, BlobStreamError, TransferError};
pub use event::{Event, Events, FRAME_ROOM_MIN, Room};
pub use footing::{Footing, Reachability, Relaying, RelayingError};
pub use handle::{Handle, PublishError, SendError, Way};
pub use join::{JoinError, JoinStream, MESSAGE_BYTES_MAX, MessageError};
pub use lease::{LEASE_ROOM_MIN, LeaseMessage, LeaseMessages, LeaseSendError};
pub use link::{DownReason, LinkId};
pub use listen::{Listen, PORT_DEFAULT, listen_address, listen_defaults};
pub use notice::{Judge, NoticeCounts, Verdict};
pub(crate) use pace::{Pace, Tokens};
pub use reach::{Reach, reach};

/// Bytes of frames read from one link that may wait, unless it is configured: as much as an honest peer has of entries
/// unacknowledged.
pub const LINK_IN_BYTES: usize = 2 * 1024 * 1024;

/// What a node's network is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The ed25519 secret of the node; the copy in here is wiped once the network has its own.
    pub key: Zeroizing<[u8; 32]>,
    /// Where to listen.
    pub listen: Listen,
    /// Whether members are looked for on the local network.
    pub mdns: bool,
    /// When this node relays for others.
    pub relaying: Relaying,
    /// Multiaddresses at which others reach this node, though it does not listen on them itself: its provider's or its
    /// router's.
    pub external: Vec<String>,
    /// What identify tells a peer about this program; it names neither user, machine nor mesh.
    pub agent_version: String,
    /// How long things may take.
    pub timing: Timing,
    /// How much may wait.
    pub queue: Queue,
    /// Counts what is refused.
    pub refusals: Arc<Refusals>,
}

impl Config {
    /// Returns the defaults for a node with this secret.
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            key: Zeroizing::new(key),
            listen: Listen::Default { saved_port: None },
            mdns: true,
            relaying: Relaying::default(),
            external: Vec::new(),
            agent_version: concat!("beadmesh/", env!("CARGO_PKG_VERSION")).to_owned(),
            timing: Timing::default(),
            queue: Queue::default(),
            refusals: Arc::default(),
        }
    }
}

/// How long things on the network may take.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Time between two pings of a connection.
    pub ping_interval: Duration,
    /// Time a ping may take. libp2p forgives the first failure, so a dead link is noticed after two.
    pub ping_timeout: Duration,
    /// The first wait before a member is dialled again.
    pub retry_min: Duration,
    /// The longest wait before a member is dialled again.
    pub retry_max: Duration,
    /// How long a link must have lived for the next wait to start at `retry_min` again.
    pub settle_time: Duration,
    /// How much earlier a member is dialled at its own addresses than through relays.
    pub head_start: Duration,
    /// How long an older connection has to prove itself alive once the peer made a newer one.
    pub spare_grace: Duration,
    /// How long a connection to a member may stand without a link, where the peer is the one to open it.
    pub link_wait: Duration,
    /// How long writing to a link may stand still before the link is given up.
    pub write_stall: Duration,
    /// How long a link that is closed on purpose may take to hand over what is queued.
    pub linger: Duration,
    /// How long reading or writing one message of a blob may stand still before the stream is given up.
    pub blob_stall: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(8),
            retry_min: Duration::from_millis(250),
            retry_max: Duration::from_secs(60),
            settle_time: Duration::from_secs(10),
            head_start: Duration::from_millis(500),
            spare_grace: Duration::from_secs(10),
            link_wait: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            linger: Duration::from_secs(1),
            blob_stall: Duration::from_secs(30),
        }
    }
}

/// How much may wait on the network, in both directions.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Frames that may wait to be written to one link.
    pub out_frames: usize,
    /// Bytes that may wait to be written to one link; a single frame always fits an empty queue.
    pub out_bytes: usize,
    /// Bytes of frames read from all links that may wait to be handed on, at least one frame of the largest size; a
    /// frame counts for [`FRAME_ROOM_MIN`] at least.
    pub in_bytes: usize,
    /// The same of one link.
    pub link_in_bytes: usize,
    /// Lease messages that may wait to be written to one member.
    pub lease_out: usize,
    /// Bytes of them.
    pub lease_out_bytes: usize,
    /// Bytes of lease messages read from one member that may wait to be handled, at least one of the largest size; a
    /// message counts for [`LEASE_ROOM_MIN`] at least.
    pub lease_in_bytes: usize,
    /// Lease messages that may wait in [`LeaseMessages`].
    pub leases: usize,
    /// Events that may wait in [`Events`].
    pub events: usize,
    /// Notices that may wait to be published, and on their way to each peer.
    pub notices_out: usize,
    /// Notices that came and may wait to be judged.
    pub notices_in: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            out_frames: 1_024,
            out_bytes: 4 * 1024 * 1024,
            in_bytes: 16 * 1024 * 1024,
            link_in_bytes: LINK_IN_BYTES,
            lease_out: 1_024,
            lease_out_bytes: 1024 * 1024,
            lease_in_bytes: 128 * 1024,
            leases: 1_024,
            events: 1_024,
            notices_out: 64,
            notices_in: 32,
        }
    }
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A listen address is not a multiaddress.
    #[error("listen address {address:?} is not a multiaddress")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        source: libp2p::multiaddr::Error,
    },
    /// A listen address is a multiaddress that no node listens on.
    #[error("listen address {address:?} is neither TCP nor QUIC on an IP address")]
    Kind {
        /// The address as given.
        address: String,
    },
    /// A listen address can not be listened on.
    #[error("can not listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Encryption could not be set up from the node's key.
    #[error("can not set up encryption")]
    Noise(#[source] libp2p::noise::Error),
    /// The name resolver of the system could not be set up.
    #[error("can not read the resolver's configuration")]
    Dns(#[source] io::Error),
    /// The system gave no random numbers.
    #[error("the system has no random numbers")]
    Random(#[source] getrandom::Error),
}

/// Starts the network: one swarm task and three tasks a link, on the tokio runtime this is called in.
///
/// # Errors
///
/// Fails when a listen address that was given explicitly is malformed or can not be had, naming it.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn start(config: Config) -> Result<(Handle, Events), NetError> {
    driver::start(config)
}

#[cfg(test)]
mod tests;
