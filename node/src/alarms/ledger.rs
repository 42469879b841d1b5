//! Where it is kept how much of a budget is spent: a file of the home, over which nothing is written that was not read.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::warn;

use super::rules::{Alarm, Spent};
use crate::home::{Home, HomeError};

/// How long writing is waited for: a disk that hangs does not keep a machine from being stopped.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps what is spent.
#[derive(Debug)]
pub(super) struct Ledger {
    home: Arc<Home>,
    /// Whether it is known what the file says.
    is_read: bool,
    writing: Option<JoinHandle<Result<(), HomeError>>>,
}

impl Ledger {
    pub(super) fn new(home: Arc<Home>) -> Self {
        Self { home, is_read: false, writing: None }
    }

    /// Returns whether it is known what was spent before.
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Returns what was spent before. A file that says something else is moved aside.
    ///
    /// # Errors
    /// The alarm that it is not known; while the file can not be read at all, nothing is written either.
    pub(super) fn read(&mut self) -> Result<Spent, Alarm> {
        match self.home.spent() {
            Ok(kept) => {
                self.is_read = true;
                Ok(kept.unwrap_or_default())
            }
            Err(HomeError::Spent { .. }) => match self.home.set_spent_aside() {
                Ok(aside) => {
                    self.is_read = true;
                    let aside = aside.display();
                    let told =
                        format!("What was spent before can not be read and counts as nothing; it lies in {aside}.");
                    Err(Alarm::SpentUnknown { told })
                }
                Err(error) => Err(unread(&error)),
            },
            Err(error) => Err(unread(&error)),
        }
    }

    /// Writes down what is spent; returns whether that is done.
    pub(super) async fn keep(&mut self, spent: Spent) -> bool {
        if !self.is_read || self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return false;
        }
        let home = Arc::clone(&self.home);
        let mut writing = spawn_blocking(move || home.keep_spent(spent));
        match timeout(PATIENCE, &mut writing).await {
            Ok(Ok(Ok(()))) => true,
            Ok(Ok(Err(error))) => {
                warn!(%error, "what was spent can not be written down");
                false
            }
            Ok(Err(_)) => false,
            Err(_) => {
                warn!("what was spent is not written down yet: the disk does not answer");
                self.writing = Some(writing);
                false
            }
        }
    }
}

fn unread(error: &HomeError) -> Alarm {
    Alarm::SpentUnknown {
        told: format!("What was spent before can not be read, so nothing is written down: {error}; {}.", error.hint()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn private(path: &std::path::Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[tokio::test]
    async fn what_can_not_be_read_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spent");
        let open = || Ledger::new(Arc::new(Home::at(dir.path())));
        private(&file, "7 0 0\n");
        let mut ledger = open();
        let spent = ledger.read().unwrap();
        assert!(ledger.keep(spent).await);
        assert_eq!(fs::read_to_string(&file).unwrap(), "7 0 0\n");
        private(&file, "x");
        let mut ledger = open();
        let told = ledger.read().unwrap_err().sentence();
        assert!(told.contains("spent.damaged"), "{told}");
        assert!(ledger.is_read() && ledger.keep(spent).await);
        assert_eq!(fs::read_to_string(dir.path().join("spent.damaged")).unwrap(), "x");
        assert_eq!(fs::read_to_string(&file).unwrap(), "7 0 0\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let mut ledger = open();
        assert!(ledger.read().is_err() && !ledger.is_read());
        assert!(!ledger.keep(Spent::default()).await);
        assert_eq!(fs::read_to_string(&file).unwrap(), "7 0 0\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(ledger.read(), Ok(spent), "it is read once that can be done");
    }
}
