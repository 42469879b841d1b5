//! Runs what this node's user wants run when an alarm says so: without a shell, and for so long at most.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tracing::{info, warn};

use crate::config::StopCommand;

/// How long the command may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks whether it has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the command and logs how it ended.
pub(super) fn run(command: &StopCommand, patience: Duration) {
    match ended(command, patience) {
        Ok(Some(status)) if status.success() => info!(%command, "watch.stop_command has ended well"),
        Ok(Some(status)) => warn!(%command, %status, "watch.stop_command has failed"),
        Ok(None) => {
            warn!(%command, patience_s = patience.as_secs(), "watch.stop_command took too long, and was killed");
        }
        Err(error) => warn!(%command, %error, "watch.stop_command can not be run"),
    }
}

/// Runs the command to its end; `None` where it took too long, and was killed with all that it had started.
fn ended(command: &StopCommand, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = Command::new(command.program());
    child.args(command.args()).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    let mut child = child.spawn()?;
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() >= patience {
            // It may end just now, which is as well.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            child.wait()?;
            return Ok(None);
        }
        sleep(LOOK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> StopCommand {
        StopCommand::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap()
    }

    #[test]
    fn a_command_ends_as_it_does_and_no_shell_reads_its_words() {
        let patience = Duration::from_secs(60);
        assert_eq!(ended(&command(&["false"]), patience).unwrap().unwrap().code(), Some(1));
        assert_eq!(ended(&command(&["test", "$HOME", "=", "$HOME"]), patience).unwrap().unwrap().code(), Some(0));
        assert!(ended(&command(&["/there/is/no/such/program"]), patience).is_err());
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed() {
        assert!(ended(&command(&["tail", "-f", "/dev/null"]), Duration::ZERO).unwrap().is_none());
    }
}
