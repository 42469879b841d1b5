//! Opening a home's store: key, store and replica, under the lock, up to a running core.

use std::path::PathBuf;

use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::sync::WINDOW_BYTES;
use beadmesh_store::open::{OpenError, Origin};
use beadmesh_store::replica::{Config, FlushError, Input, Output, Replica};
use beadmesh_store::{KvError, Lock, StoreError};
use tokio::task::spawn_blocking;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::api::model::SecretText;
use crate::clock;
use crate::core::Machine;
use crate::home::{Home, HomeError, Names};

/// Documents of beads that are kept in memory: a page of a list, some times over.
const DOCUMENTS_MAX: usize = 512;

/// What came of opening a home.
pub(crate) struct Opened {
    /// The replica, with the lock it lives under.
    pub(crate) machine: Housed,
    /// The mesh.
    pub(crate) mesh: MeshId,
    /// The node's secret key.
    pub(crate) key: Zeroizing<[u8; 32]>,
    /// What the node is called.
    pub(crate) names: Names,
    /// The recovery key of the mesh, if it was founded just now.
    pub(crate) recovery: Option<SecretText>,
    /// Whether the store was lost, and with it what no peer can give back, such as what proves tokens.
    pub(crate) lost: bool,
}

/// A replica with the lock of its home, which is let go only after the store is closed.
pub(crate) struct Housed {
    // Fields are dropped in this order.
    replica: Replica,
    _lock: Lock,
}

impl Machine for Housed {
    fn handle(&mut self, now: Now, input: Input) {
        self.replica.handle(now, input);
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        self.replica.flush()
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.replica.next_wakeup()
    }
}

/// Why a home's store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// The home can not be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store can not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What the store holds can not be read.
    #[error("the store can not be read")]
    Replica(#[from] StoreError),
    /// The store is damaged; its files are kept.
    #[error("the store in {} is damaged: {reason}", kept.display())]
    Damaged {
        /// The damaged files.
        kept: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The system gives no thread.
    #[error("the system gives no thread for the replica")]
    Thread(#[source] std::io::Error),
}

impl OpeningError {
    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Home(error) => error.code(),
            Self::Store(OpenError::NewerSchema { .. }) => "newer_schema",
            Self::Store(OpenError::Kv(error)) | Self::Replica(StoreError::Kv(error)) => kv_code(error),
            Self::Replica(_) => "store_failed",
            Self::Damaged { .. } => "store_damaged",
            Self::Thread(_) => "internal",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Home(error) => error.hint(),
            Self::Store(OpenError::NewerSchema { .. }) => "use the newer beadmesh".to_owned(),
            Self::Store(OpenError::Kv(error)) | Self::Replica(StoreError::Kv(error)) => match error {
                KvError::Full { .. } => "free space, then try again; nothing acknowledged is lost",
                KvError::ReadOnly { .. } => "the home must be on a disk that can be written",
                _ => "see to the disk, then try again; nothing acknowledged is lost",
            }
            .to_owned(),
            Self::Replica(_) => "use the beadmesh that wrote the store".to_owned(),
            Self::Damaged { .. } => {
                "`beadmesh up` gets back what peers hold; a node that is alone in its mesh needs a backup of its home"
                    .to_owned()
            }
            Self::Thread(_) => "end other programs, or raise the limit on processes".to_owned(),
        }
    }
}

pub(crate) fn kv_code(error: &KvError) -> &'static str {
    match error {
        KvError::Full { .. } => "disk_full",
        KvError::ReadOnly { .. } => "read_only",
        _ => "store_failed",
    }
}

/// Who opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opener {
    /// A node: it votes, and where the store is damaged beyond use it goes on in its mesh as a new instance and has peers
    /// give back what they hold.
    Node,
    /// A single command: without a network there is nobody to ask.
    Command,
}

/// Opens the store of a home off the async threads; founds a mesh of one where there is none.
pub(crate) async fn open(home: &Home, names: Names, lock: Lock, opener: Opener) -> Result<Opened, OpeningError> {
    let home = home.clone();
    match spawn_blocking(move || open_now(&home, names, lock, opener)).await {
        Ok(opened) => opened,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn open_now(home: &Home, names: Names, lock: Lock, opener: Opener) -> Result<Opened, OpeningError> {
    home.check_whole()?;
    let key = home.key()?;
    let machine = home.machine()?;
    let opened = beadmesh_store::open(&home.store())?;
    let mut membership = None;
    let renew_instance = match &opened.origin {
        Origin::Fresh | Origin::Resumed => false,
        Origin::Copied { kept } => {
            warn!(kept = %kept.display(), "a write had failed: the store was copied and goes on as a new instance");
            true
        }
        Origin::Replaced { kept, reason } => {
            let node = NodeId::from_bytes(key.verifying_key().to_bytes());
            let known = home.membership()?.filter(|known| known.has_others(node));
            let Some(known) = known.filter(|_| opener == Opener::Node) else {
                // An empty store would found a mesh of its own; that must never happen behind anybody's back.
                return Err(OpeningError::Damaged { kept: kept.clone(), reason: reason.clone() });
            };
            let kept = kept.display();
            warn!(%kept, reason, "the store is damaged: a new instance gets back from peers what they hold");
            membership = Some(known);
            true
        }
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| HomeError::Random)?;
    let config = Config {
        key: key.clone(),
        seed,
        machine,
        node_name: names.node.clone(),
        mesh_name: names.mesh.clone(),
        boot: clock::boot().map_err(|_| HomeError::Random)?,
        votes: opener == Opener::Node,
        renew_instance,
        documents_max: DOCUMENTS_MAX,
        window_bytes: WINDOW_BYTES,
        membership,
        folds: None,
    };
    let lost = config.membership.is_some();
    let opened = Replica::open(Box::new(opened.kv), config, clock::now())?;
    // Kept before the first flush makes the mesh durable: there is no mesh without a recovery key.
    let recovery = opened.recovery.as_ref().map(|key| home.keep_recovery(key)).transpose()?;
    let mesh = opened.replica.mesh();
    if recovery.is_some() {
        info!(%mesh, name = names.mesh, "founded a mesh");
    }
    let machine = Housed { replica: opened.replica, _lock: lock };
    Ok(Opened { machine, mesh, key: Zeroizing::new(key.to_bytes()), names, recovery, lost })
}
