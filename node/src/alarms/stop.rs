//! Runs what this node's user wants run when an alarm says so: without a shell, and for so long at most.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use futures::FutureExt;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::info;

use crate::config::StopCommand;

/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks whether it has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long it is waited at first before a command that failed is run again, and at most; twice as long each time.
const RETRY_MIN: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(3_600);

/// What asked for a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Causes {
    /// All cards idle.
    pub(super) idle: bool,
    /// The budget is spent.
    pub(super) budget: bool,
}

impl Causes {
    /// Returns whether there is any.
    pub(super) fn any(self) -> bool {
        self.idle || self.budget
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Well.
    Well,
    /// Not well: what had asked for it is not done, and how it failed, in a sentence.
    Failed(Causes, String),
}

/// The command, and how it goes with it.
#[derive(Debug)]
pub(super) struct Stop {
    command: StopCommand,
    running: Option<(Causes, JoinHandle<Result<(), String>>)>,
    /// How long the last wait was, and when it is over.
    wait: Duration,
    retry_at: Instant,
}

impl Stop {
    pub(super) fn new(command: StopCommand) -> Self {
        Self { command, running: None, wait: Duration::ZERO, retry_at: Instant::default() }
    }

    /// Returns whether it may be run: it is not running, and the wait after a failure is over.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.running.is_none() && now >= self.retry_at
    }

    /// Returns whether it failed when it was last run.
    pub(super) fn has_failed(&self) -> bool {
        !self.wait.is_zero()
    }

    /// Waits until a time at least before it is run.
    pub(super) fn postpone(&mut self, until: Instant) {
        self.retry_at = self.retry_at.max(until);
    }

    /// Starts it; its own bound ends it.
    pub(super) fn start(&mut self, causes: Causes) {
        let command = self.command.clone();
        info!(%command, "running watch.stop_command");
        self.running = Some((causes, spawn_blocking(move || run(&command, PATIENCE))));
    }

    /// Returns how it ended, once that is so. One that failed may be run again after a while.
    pub(super) fn ended(&mut self, now: Instant) -> Option<Ended> {
        let (causes, running) = self.running.as_mut()?;
        let (causes, ended) = (*causes, running.now_or_never()?);
        self.running = None;
        let ended = ended.unwrap_or_else(|_| Err("it was given up".to_owned()));
        let Err(problem) = ended else {
            self.wait = Duration::ZERO;
            return Some(Ended::Well);
        };
        self.wait = (self.wait * 2).clamp(RETRY_MIN, RETRY_MAX);
        self.retry_at = now.after(self.wait);
        let minutes = self.wait.as_secs() / 60;
        let told =
            format!("watch.stop_command has failed: {problem}. It is run again after {minutes} min, if need be.");
        Some(Ended::Failed(causes, told))
    }
}

/// Runs the command; returns how it failed, where it did.
fn run(command: &StopCommand, patience: Duration) -> Result<(), String> {
    match ended(command, patience) {
        Ok(Some(status)) if status.success() => {
            info!(%command, "watch.stop_command has ended well");
            Ok(())
        }
        // So ends what runs on a machine that is being stopped.
        Ok(Some(status)) if status.signal() == Some(Signal::TERM.as_raw()) => Ok(()),
        Ok(Some(status)) => Err(format!("{} ended with {status}", command.program())),
        Ok(None) => Err(format!("{} took more than {} s, and was killed", command.program(), patience.as_secs())),
        Err(error) => Err(format!("{} can not be run: {error}", command.program())),
    }
}

/// Runs the command to its end; `None` where it took too long, and was killed with all that it had started.
fn ended(command: &StopCommand, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = Command::new(command.program());
    child.args(command.args()).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    let mut child = child.spawn()?;
    let begin = std::time::Instant::now();
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

    /// Runs it at a time, and waits for its end.
    async fn run_to_end(stop: &mut Stop, now: Instant) -> Ended {
        assert!(stop.is_ready(now));
        stop.start(Causes { budget: true, ..Causes::default() });
        loop {
            match stop.ended(now) {
                Some(ended) => return ended,
                None => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_is_run_again_ever_later_and_one_that_does_not_is_not() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut stop = Stop::new(command(&["false"]));
        let Ended::Failed(causes, told) = run_to_end(&mut stop, at(5)).await else { panic!("it fails") };
        assert_eq!(causes, Causes { idle: false, budget: true });
        assert!(told.contains("false ended with exit status: 1") && told.contains("after 1 min"), "{told}");
        assert!(stop.has_failed() && !stop.is_ready(at(64)) && stop.is_ready(at(65)));
        run_to_end(&mut stop, at(65)).await;
        assert!(!stop.is_ready(at(184)) && stop.is_ready(at(185)));
        let mut stop = Stop::new(command(&["true"]));
        assert_eq!(run_to_end(&mut stop, at(5)).await, Ended::Well);
        assert!(!stop.has_failed());
        let mut stop = Stop::new(command(&["sh", "-c", "kill -TERM $$"]));
        assert_eq!(run_to_end(&mut stop, at(5)).await, Ended::Well, "the machine is being stopped");
    }
}
