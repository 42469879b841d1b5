//! Whose turn it is in a home: a running node's, which is asked, or ours, once we hold the lock.

use std::time::Duration;

use beadmesh_store::{KvError, Lock};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::home::Home;

/// How long a command waits for another one that holds the lock.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Time between two tries; a command holds the lock for some tens of milliseconds.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Who may act in a home now.
#[derive(Debug)]
pub enum Turn {
    /// A node is running; this is a connection to it.
    Node(UnixStream),
    /// Nobody else is at work, and nobody will be while the lock is held.
    Ours(Lock),
}

/// Why nobody may act.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Another process holds the lock and does not answer.
    #[error("process {holder} holds {} and answers nothing", path.display())]
    Locked {
        /// The lock.
        path: std::path::PathBuf,
        /// The process that says it holds it.
        holder: String,
    },
    /// The lock can not be used.
    #[error("the lock can not be taken")]
    Lock(#[from] KvError),
}

impl TurnError {
    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "store_locked",
            Self::Lock(KvError::ReadOnly { .. }) => "read_only",
            Self::Lock(KvError::Full { .. }) => "disk_full",
            Self::Lock(_) => "internal",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Locked { holder, .. } => format!("wait for process {holder} to end, or look what it does"),
            Self::Lock(_) => "the home must be on a local disk that can be written".to_owned(),
        }
    }
}

/// Connects to the node that runs in a home, or takes the lock; while neither is possible, tries again.
///
/// # Errors
/// When `patience` is over, or the lock can not be used at all.
pub async fn take(home: &Home, patience: Duration) -> Result<Turn, TurnError> {
    let deadline = Instant::now() + patience;
    loop {
        if let Ok(stream) = UnixStream::connect(home.socket()).await {
            return Ok(Turn::Node(stream));
        }
        if let Some(lock) = Lock::try_acquire(&home.lock())? {
            return Ok(Turn::Ours(lock));
        }
        if Instant::now() >= deadline {
            return Err(TurnError::Locked { path: home.lock(), holder: home.holder() });
        }
        sleep(RETRY_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_running_node_is_asked_and_a_free_home_is_ours() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::open(temp.path()).unwrap();
        let lock = match take(&home, Duration::ZERO).await.unwrap() {
            Turn::Ours(lock) => lock,
            Turn::Node(_) => panic!("nobody listens"),
        };
        let error = take(&home, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.code(), "store_locked");
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        let listener = tokio::net::UnixListener::bind(home.socket()).unwrap();
        assert!(matches!(take(&home, Duration::ZERO).await, Ok(Turn::Node(_))));
        drop((listener, lock));
    }

    #[tokio::test]
    async fn a_lock_that_is_let_go_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::open(temp.path()).unwrap();
        let lock = Lock::try_acquire(&home.lock()).unwrap();
        let waiting = tokio::spawn({
            let home = home.clone();
            async move { take(&home, PATIENCE).await }
        });
        tokio::task::yield_now().await;
        drop(lock);
        assert!(matches!(waiting.await.unwrap(), Ok(Turn::Ours(_))));
    }
}
