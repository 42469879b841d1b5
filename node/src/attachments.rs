//! The contents of attachments: taken from people, given to them, and fetched from other nodes when somebody wants them.
//!
//! What is right and what is left of a file is said by [`Blobs`]; here the disk is kept off the async threads, and the
//! replica is asked who carries what.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use beadmesh_protocol::id::{BlobHash, NodeId};
use beadmesh_protocol::mail::Attachment;
use beadmesh_store::blobs::{BlobError, Blobs, Content, Incoming};
use beadmesh_store::command::{Answer, BlobUse, Command};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock;
use crate::config::ByteSize;
use crate::core::Core;
use crate::home::Home;
use crate::net::Handle;

mod fetch;
mod serve;

pub(crate) use fetch::FetchError;
use fetch::{Fetcher, Wanted};
pub(crate) use serve::Server;

/// Time between two looks for uploads that are in no letter.
const SETTLE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Blobs of which the replica is asked at one time who carries them.
const ASKED_MAX: usize = 256;

/// Bytes of a piece that is read from a file at one time.
const PIECE_BYTES: usize = 64 * 1024;

/// The contents of attachments; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Attachments {
    blobs: Blobs,
    core: Core,
    /// Absent where there is no network.
    fetcher: Option<Arc<Fetcher>>,
}

impl Attachments {
    /// Returns those of a home, which is the caller's alone.
    ///
    /// With a network, what other nodes have is fetched, and may take so much room.
    pub(crate) fn new(home: &Home, core: Core, network: Option<(Handle, ByteSize)>) -> Self {
        let mut room = beadmesh_store::blobs::Config::default();
        if let Some((_, fetched_max)) = &network {
            room.fetched_bytes_max = fetched_max.get();
        }
        let blobs = Blobs::at(&home.blobs(), room);
        let fetcher = network.map(|(handle, _)| Arc::new(Fetcher::new(blobs.clone(), handle)));
        Self { blobs, core, fetcher }
    }

    /// Returns what answers other nodes.
    pub(crate) fn server(&self) -> Server {
        Server::new(self.blobs.clone(), self.core.clone())
    }

    /// Begins to take a content of unknown name.
    pub(crate) async fn upload(&self) -> Result<Incoming, BlobError> {
        if self.fetcher.is_none() {
            // No node looks after them here from time to time.
            self.settle().await;
        }
        let blobs = self.blobs.clone();
        off_thread(move || blobs.upload()).await
    }

    /// Makes sure that contents are whole and durable here, and will be when a letter carries them; returns what the
    /// letter says of them.
    pub(crate) async fn claim(&self, named: Vec<(BlobHash, String)>) -> Result<Vec<Attachment>, (BlobHash, BlobError)> {
        let mut claimed = Vec::with_capacity(named.len());
        for (hash, name) in named {
            let blobs = self.blobs.clone();
            let bytes = off_thread(move || past_damaged(|| blobs.claim(hash, clock::wall()))).await;
            claimed.push(Attachment { hash, name, bytes: bytes.map_err(|error| (hash, error))? });
        }
        Ok(claimed)
    }

    /// Keeps what a letter of this node carries by now.
    pub(crate) async fn keep(&self, attachments: &[Attachment]) {
        for Attachment { hash, .. } in attachments {
            let (hash, blobs) = (*hash, self.blobs.clone());
            if let Err(error) = off_thread(move || blobs.keep(hash)).await {
                // It is durable where it is, and the next look at what waits keeps it.
                warn!(%error, "an attachment is not in its place yet");
            }
        }
    }

    /// Opens the content of an attachment, fetched from another node where it is not here.
    pub(crate) async fn open(&self, attachment: &Attachment, author: NodeId) -> Result<Content, FetchError> {
        let hash = attachment.hash;
        match self.open_here(hash).await {
            Err(BlobError::Missing { .. }) => {}
            opened => return Ok(opened?),
        }
        let Some(fetcher) = &self.fetcher else { return Err(FetchError::NoNetwork) };
        fetcher.fetch(Wanted { hash, bytes: attachment.bytes, author }).await?;
        Ok(self.open_here(hash).await?)
    }

    async fn open_here(&self, hash: BlobHash) -> Result<Content, BlobError> {
        let blobs = self.blobs.clone();
        off_thread(move || past_damaged(|| blobs.open(hash, clock::wall()))).await
    }

    /// Removes what was being written when the process before ended; nothing may be under way yet.
    pub(crate) async fn sweep(&self) {
        let blobs = self.blobs.clone();
        match off_thread(move || blobs.sweep_unfinished()).await {
            Ok(0) => {}
            Ok(files) => info!(files, "unfinished attachments are removed"),
            Err(error) => warn!(%error, "unfinished attachments are not looked for"),
        }
    }

    /// Looks from time to time after what was uploaded for nothing, until the node stops.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            self.settle().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SETTLE_INTERVAL) => {}
            }
        }
    }

    /// Keeps what was uploaded and is in a letter of this node, and removes what has been in none for too long.
    async fn settle(&self) {
        if let Err(error) = self.settle_once().await {
            warn!(%error, "uploads that are in no letter are not looked after");
        }
    }

    async fn settle_once(&self) -> Result<(), BlobError> {
        let blobs = self.blobs.clone();
        let uploaded = off_thread(move || blobs.uploaded()).await?;
        for part in uploaded.chunks(ASKED_MAX) {
            // A replica that has ended looks after nothing; the next start does.
            let Ok(Answer::BlobUses(uses)) = self.core.call(Command::BlobUses(part.to_vec())).await else { break };
            for (hash, carried) in part.iter().copied().zip(uses) {
                let blobs = self.blobs.clone();
                let settled = off_thread(move || match carried {
                    BlobUse::Ours => blobs.keep(hash),
                    BlobUse::Theirs | BlobUse::Nobodys => blobs.drop_stale(hash, clock::wall()).map(drop),
                });
                if let Err(error) = settled.await {
                    // The others do not wait for it; the next look finds it again.
                    warn!(%error, blob = %hash.short(), "an upload is neither kept nor removed");
                }
            }
        }
        Ok(())
    }
}

/// Writes a piece of what comes, and hands the file back.
pub(crate) async fn written(
    mut incoming: Incoming,
    bytes: impl AsRef<[u8]> + Send + 'static,
) -> Result<Incoming, BlobError> {
    off_thread(move || incoming.write(bytes.as_ref()).map(|()| incoming)).await
}

/// Makes what came durable under its name.
pub(crate) async fn finished(incoming: Incoming) -> Result<(BlobHash, u64), BlobError> {
    off_thread(move || incoming.finish()).await
}

/// Reads the next piece of a content; an empty one at its end.
pub(crate) async fn next_piece(mut content: Content) -> std::io::Result<(Vec<u8>, Content)> {
    off_thread(move || {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        content.file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        Ok((piece, content))
    })
    .await
}

/// Tells of each damaged file that is found, and tries again without it.
fn past_damaged<T>(mut attempt: impl FnMut() -> Result<T, BlobError>) -> Result<T, BlobError> {
    loop {
        match attempt() {
            // Each that is found is out of the way then; there are as many as places.
            Err(BlobError::Damaged { hash, kept }) => {
                warn!(blob = %hash.short(), kept = %kept.display(), "an attachment was damaged and is set aside");
            }
            other => return other,
        }
    }
}

/// Does what waits for the disk beside the async threads.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;
