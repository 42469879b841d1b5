//! Fetching contents from other members: from the node of the letter's author first, then from any that is linked.
//!
//! Nothing that comes is believed: the letter says how long it is and how it hashes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use beadmesh_protocol::blob::{ANSWER_BYTES_MAX, Answer, Request};
use beadmesh_protocol::id::{BlobHash, NodeId};
use beadmesh_protocol::limits::BLOB_PIECE_BYTES_MAX;
use beadmesh_store::blobs::{BlobError, Blobs, Place};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{finished, off_thread, written};
use crate::api::error::chain;
use crate::net::{BlobStreamError, Handle, TransferError};

/// Contents that are fetched at one time.
const FETCHED_MAX: usize = 4;

/// Members that are asked for one content.
const ASKED_MAX: usize = 32;

/// How often a member is asked that is serving others; it lets us wait each time.
const BUSY_TRIES_MAX: usize = 3;

/// How long fetching one content may take, all members together, waiting for a turn included.
const TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// How long one member may take for one content, waiting for its turn there included; more for each piece.
const MEMBER_TIME: Duration = Duration::from_secs(60);

/// Bytes for which a member has one more second.
const MEMBER_PACE: u64 = 64 * 1024;

/// A content that somebody wants, as a letter names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) hash: BlobHash,
    pub(super) bytes: u64,
    /// The node that the letter was written on.
    pub(super) author: NodeId,
}

/// What became of asking the members in reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whether the author's node is linked.
    pub(crate) is_author_linked: bool,
    /// How many were asked.
    pub(crate) members: usize,
    /// What went wrong with those that did not just say that they have none, one a member.
    pub(crate) troubles: Vec<String>,
}

/// Why a content is not had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// It is not here, and without a network there is nobody to ask.
    #[error("the content is not on this machine, and no node is running here that could fetch it")]
    NoNetwork,
    /// None of the members in reach gave it.
    #[error("no node in reach has the content")]
    Nowhere(Asked),
    /// It took too long.
    #[error("fetching the content took more than {} minutes", TIME_MAX.as_secs() / 60)]
    Timeout,
    /// It can not be kept or read here.
    #[error(transparent)]
    Here(#[from] BlobError),
}

/// Why a member did not give a content.
#[derive(Debug, thiserror::Error)]
enum AskError {
    /// It says that it has none.
    #[error("it is not there")]
    Absent,
    /// It serves others.
    #[error("it is busy")]
    Busy,
    /// It sends, but at a pace that keeps others from being asked.
    #[error("it took more than {} s", .0.as_secs())]
    Slow(Duration),
    /// There is no stream to it.
    #[error(transparent)]
    Stream(#[from] BlobStreamError),
    /// The stream did not last.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// What it sent is not what was asked for.
    #[error("it sent something else: {0}")]
    Lie(String),
    /// The disk here takes no more.
    #[error(transparent)]
    Here(BlobError),
}

/// Fetches contents, each once at a time.
#[derive(Debug)]
pub(super) struct Fetcher {
    blobs: Blobs,
    handle: Handle,
    turns: Semaphore,
    /// How long one member may take for so many bytes.
    pub(super) member_time: fn(u64) -> Duration,
    /// What is being fetched: who wants the same waits, and finds it here then.
    underway: Mutex<BTreeMap<BlobHash, Weak<tokio::sync::Mutex<()>>>>,
}

impl Fetcher {
    pub(super) fn new(blobs: Blobs, handle: Handle) -> Self {
        let turns = Semaphore::new(FETCHED_MAX);
        Self { blobs, handle, turns, member_time, underway: Mutex::default() }
    }

    /// Fetches a content, so that it can be opened here.
    pub(super) async fn fetch(&self, wanted: Wanted) -> Result<(), FetchError> {
        let one = self.one_of(wanted.hash);
        let fetching = async {
            let _alone = one.lock().await;
            if self.is_here(wanted.hash).await {
                return Ok(());
            }
            let _turn = self.turns.acquire().await;
            self.ask_all(wanted).await
        };
        timeout(TIME_MAX, fetching).await.map_err(|_| FetchError::Timeout)?
    }

    /// Returns what whoever fetches this content holds meanwhile.
    fn one_of(&self, hash: BlobHash) -> Arc<tokio::sync::Mutex<()>> {
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        underway.retain(|_, one| one.strong_count() > 0);
        if let Some(one) = underway.get(&hash).and_then(Weak::upgrade) {
            return one;
        }
        let one = Arc::default();
        underway.insert(hash, Arc::downgrade(&one));
        one
    }

    async fn is_here(&self, hash: BlobHash) -> bool {
        let blobs = self.blobs.clone();
        off_thread(move || blobs.open(hash, crate::clock::wall()).is_ok()).await
    }

    async fn ask_all(&self, wanted: Wanted) -> Result<(), FetchError> {
        let linked = self.handle.linked();
        let is_author_linked = linked.contains(&wanted.author);
        let others = linked.into_iter().filter(|node| *node != wanted.author);
        let order = is_author_linked.then_some(wanted.author).into_iter().chain(others).take(ASKED_MAX);
        let mut asked = Asked { is_author_linked, members: 0, troubles: Vec::new() };
        for node in order {
            asked.members += 1;
            let peer = node.short();
            let time = (self.member_time)(wanted.bytes);
            match timeout(time, self.ask_patiently(node, wanted)).await.unwrap_or(Err(AskError::Slow(time))) {
                Ok(()) => {
                    info!(peer, blob = %wanted.hash.short(), bytes = wanted.bytes, "an attachment was fetched");
                    return Ok(());
                }
                Err(AskError::Here(error)) => return Err(error.into()),
                Err(AskError::Absent) => debug!(peer, "has not got the attachment"),
                Err(error) => {
                    warn!(peer, error = chain(&error), "an attachment was not given");
                    asked.troubles.push(format!("{peer}: {}", chain(&error)));
                }
            }
        }
        Err(FetchError::Nowhere(asked))
    }

    async fn ask_patiently(&self, node: NodeId, wanted: Wanted) -> Result<(), AskError> {
        for _ in 1..BUSY_TRIES_MAX {
            match self.ask(node, wanted).await {
                Err(AskError::Busy) => {}
                other => return other,
            }
        }
        self.ask(node, wanted).await
    }

    /// Asks one member, and keeps what it gives if it is what was asked for.
    async fn ask(&self, node: NodeId, wanted: Wanted) -> Result<(), AskError> {
        let Wanted { hash, bytes, author } = wanted;
        let mut stream = self.handle.blob(node).await?;
        stream.write(&Request { hash }.encode()).await?;
        let answer = stream.read(ANSWER_BYTES_MAX).await?;
        match Answer::decode(&answer) {
            Ok(Answer::Here { bytes: said }) if said == bytes => {}
            Ok(Answer::Here { bytes: said }) => return Err(AskError::Lie(format!("{said} bytes instead of {bytes}"))),
            Ok(Answer::Absent) => return Err(AskError::Absent),
            Ok(Answer::Busy) => return Err(AskError::Busy),
            Err(error) => return Err(AskError::Lie(error.to_string())),
        }
        // What this node has written is kept for good, as it would be had it not been lost.
        let place = if author == self.handle.local_node_id() { Place::Own } else { Place::Fetched };
        let blobs = self.blobs.clone();
        let mut incoming = off_thread(move || blobs.receive(hash, bytes, place)).await.map_err(AskError::Here)?;
        let mut left = bytes;
        while left > 0 {
            let piece = stream.read(BLOB_PIECE_BYTES_MAX).await?;
            let more = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            left = left.checked_sub(more).ok_or_else(|| AskError::Lie(format!("more than {bytes} bytes")))?;
            incoming = written(incoming, piece).await.map_err(AskError::of)?;
        }
        finished(incoming).await.map(drop).map_err(AskError::of)
    }
}

impl AskError {
    /// Tells what is wrong with the bytes that came from what is wrong with the disk.
    fn of(error: BlobError) -> Self {
        match error {
            BlobError::TooLong { .. } | BlobError::TooShort { .. } | BlobError::Other { .. } => {
                Self::Lie(error.to_string())
            }
            other => Self::Here(other),
        }
    }
}

fn member_time(bytes: u64) -> Duration {
    MEMBER_TIME + Duration::from_secs(bytes / MEMBER_PACE)
}
