//! Joining by a ticket that lies in a file, or will: for machines at which nobody sits.
//!
//! Only a node that is alone joins, so a file that stays does nothing once it has served.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beadmesh_store::command::{Answer, Command};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::api::Problem;
use crate::core::Core;
use crate::network::{EnterError, Network};

/// Time between two looks for the file, and between the first two tries to join.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The longest time between two tries: an inviter that is started later is found within it.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Bytes of a ticket that is read; the longest has some hundreds for each address.
const TICKET_BYTES_MAX: u64 = 16 * 1024;

/// Why there is no ticket in the file.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// It can not be read.
    #[error("it can not be read")]
    Io(#[from] io::Error),
    /// Everybody can read it.
    #[error("it has mode {mode:04o}, so everybody can get at it: chmod o= it")]
    TooOpen {
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error("it has more than {TICKET_BYTES_MAX} bytes, and no ticket has")]
    TooLong,
}

/// What comes after a try.
enum Next {
    /// The node is in a mesh with others.
    Done,
    /// There is nothing to be had from this ticket; another may be put there.
    Other,
    /// Later it may go well.
    Again,
}

/// Joins by the ticket in a file once there is one, unless this node is not alone; ends with that or with the node.
pub(crate) async fn run(path: PathBuf, core: Core, network: Network, stop: CancellationToken) {
    let look = async {
        let (mut told, mut refused, mut wait) = (String::new(), None, LOOK_INTERVAL);
        while is_alone(&core).await {
            match read_off_thread(&path).await {
                Ok(ticket) if refused.as_ref() == Some(&ticket) => wait = LOOK_INTERVAL,
                Ok(ticket) => match join(&path, &core, &network, &ticket).await {
                    Next::Done => return,
                    Next::Other => refused = Some(ticket),
                    Next::Again => wait = (wait * 2).min(RETRY_MAX),
                },
                Err(error) => {
                    let text = describe(&error);
                    if told != text {
                        warn!(path = %path.display(), reason = text, "no ticket to join by yet");
                    }
                    (told, wait) = (text, LOOK_INTERVAL);
                }
            }
            sleep(wait).await;
        }
    };
    tokio::select! {
        () = look => {}
        () = stop.cancelled() => {}
    }
}

async fn is_alone(core: &Core) -> bool {
    matches!(core.call(Command::Members).await, Ok(Answer::Members(members, _)) if members.len() <= 1)
}

async fn join(path: &Path, core: &Core, network: &Network, ticket: &str) -> Next {
    let error = match network.join(core, ticket).await {
        Ok(joined) => {
            info!(mesh = joined.name, "joined by the ticket in a file");
            return Next::Done;
        }
        Err(EnterError::Member | EnterError::NotAlone { .. }) => return Next::Done,
        Err(error) => error,
    };
    let next = match error {
        EnterError::Ticket(_) | EnterError::Refused(_) => Next::Other,
        _ => Next::Again,
    };
    let problem = Problem::from(error);
    warn!(path = %path.display(), reason = problem.info.message, hint = problem.info.hint, "not joined by the ticket in a file");
    next
}

async fn read_off_thread(path: &Path) -> Result<Zeroizing<String>, ReadError> {
    let path = path.to_owned();
    match spawn_blocking(move || read(&path)).await {
        Ok(read) => read,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, ReadError> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(ReadError::TooOpen { mode });
    }
    let mut text = Zeroizing::new(String::new());
    if file.take(TICKET_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > TICKET_BYTES_MAX {
        return Err(ReadError::TooLong);
    }
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn describe(error: &ReadError) -> String {
    match error {
        ReadError::Io(source) => format!("{error}: {source}"),
        ReadError::TooOpen { .. } | ReadError::TooLong => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_ticket_that_everybody_can_read_or_that_is_none_is_not_used() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("ticket");
        assert!(matches!(read(&path), Err(ReadError::Io(_))));
        fs::write(&path, "bm1abc\n").unwrap();
        for (mode, is_read) in [(0o600, true), (0o440, true), (0o644, false), (0o602, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).ok().map(|ticket| ticket.to_string()), is_read.then(|| "bm1abc".to_owned()));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, vec![b'x'; 20_000]).unwrap();
        assert!(matches!(read(&path), Err(ReadError::TooLong)));
    }
}
