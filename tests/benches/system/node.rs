//! A node as a process of its own, on a home of its own, and the command line that talks to it.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::api::Api;

/// The command line under test.
const BINARY: &str = env!("CARGO_BIN_EXE_beadmesh-tested");

/// The project that every bead goes into, by its key, as the API wants it.
pub(crate) const PROJECT: &str = "name:bench";

/// Time a node may take to start.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Time a node may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Time a command may take; an import of 100k records in a debug build takes the longest.
const COMMAND_PATIENCE: Duration = Duration::from_secs(900);

/// Time between two looks at a process that is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A node that runs; it is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) home: PathBuf,
    child: Child,
}

impl Node {
    /// Starts a node on an empty home under `folder`, and waits until it says that it is up.
    pub(crate) fn start(folder: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        Self::start_in(folder, name, &[])
    }

    /// Does the same with these variables.
    pub(crate) fn start_in(folder: &Path, name: &str, variables: &[(&str, &Path)]) -> Result<Self, Box<dyn Error>> {
        let home = folder.join(name);
        let log = File::create(folder.join(format!("{name}.log")))?;
        let mut command = command(&home);
        command.args(["up", "--json", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        command.env("BEADMESH_NODE_NAME", name).env("BEADMESH_LOG", "warn");
        command.envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut node = Self { home, child };
        let stdout = node.child.stdout.take().ok_or("a node without stdout")?;
        let (sender, receiver) = sync_channel(1);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Only the first line is waited for; the rest is read so that the node can write it.
                let _ = sender.try_send(line);
            }
        });
        let greeting = receiver.recv_timeout(START_PATIENCE).map_err(|_| {
            let log = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
            format!("node {name} does not start: {log}")
        })?;
        serde_json::from_str::<Value>(&greeting)?;
        Ok(node)
    }

    /// Connects to the node's API.
    pub(crate) fn api(&self) -> Result<Api, Box<dyn Error>> {
        Api::connect(&self.home.join("node.sock"))
    }

    /// Runs a command of the command line on this node, and returns the time from its start to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Result<Duration, Box<dyn Error>> {
        timed(command(&self.home), args)
    }

    /// Runs a command as an agent of this node, and returns the time from its start to its end.
    pub(crate) fn run_as(&self, name: &str, token: &str, args: &[&str]) -> Result<Duration, Box<dyn Error>> {
        let mut command = command(&self.home);
        command.env("BEADMESH_AGENT", name).env("BEADMESH_TOKEN", token);
        timed(command, args)
    }

    /// Returns a figure of the node's `/proc/PID/status` in bytes.
    pub(crate) fn memory(&self, figure: &str) -> Option<u64> {
        memory(&self.child.id().to_string(), figure)
    }
}

/// Returns a figure of a process in `/proc/PID/status` in bytes; nothing where there is no such file.
pub(crate) fn memory(pid: &str, figure: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        // It had its time. Nobody is left to tell when even this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills a process that outlives its time, so that waiting for it needs no polling and adds nothing to what is timed.
struct Watchdog {
    done: std::sync::mpsc::SyncSender<()>,
    dog: thread::JoinHandle<bool>,
}

impl Watchdog {
    fn over(child: &Child, patience: Duration) -> Self {
        let pid = Pid::from_child(child);
        let (done, wait) = sync_channel(1);
        let dog = thread::spawn(move || {
            let late = wait.recv_timeout(patience).is_err();
            if late {
                let _ = kill_process(pid, Signal::KILL);
            }
            late
        });
        Self { done, dog }
    }

    /// Waits for the process; nothing when it had to be killed.
    fn wait(self, child: &mut Child) -> Result<Option<std::process::ExitStatus>, Box<dyn Error>> {
        let end = child.wait()?;
        let _ = self.done.send(());
        let late = self.dog.join().map_err(|_| "the watchdog panicked")?;
        Ok((!late).then_some(end))
    }
}

/// Runs a command to its end.
fn timed(mut command: Command, args: &[&str]) -> Result<Duration, Box<dyn Error>> {
    command.args(["--project", PROJECT, "--json"]).args(args);
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let Some(end) = Watchdog::over(&child, COMMAND_PATIENCE).wait(&mut child)? else {
        return Err(format!("{args:?} took longer than {} s", COMMAND_PATIENCE.as_secs()).into());
    };
    let took = started.elapsed();
    if end.success() { Ok(took) } else { Err(format!("{args:?} ended with {end}").into()) }
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.env("BEADMESH_HOME", home).env("BEADMESH_AGENT", "bench").env_remove("BEADMESH_PROJECT");
    command.current_dir(home.parent().unwrap_or(home));
    command
}
