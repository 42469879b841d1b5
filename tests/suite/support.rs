//! Real nodes for tests: the program itself, each with a home and a working directory of its own.
//!
//! Every wait is bounded, and a node ends with the test that started it.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

mod cable;
mod crew;
mod disk;
mod driver;
mod lab;
mod rogue;
mod terminal;
mod watch;

pub(crate) use cable::{Cable, Place};
pub(crate) use crew::{Tenure, crew};
pub(crate) use disk::Disk;
pub(crate) use driver::Driver;
pub(crate) use lab::{Host, Lab, Nat, Net};
pub(crate) use rogue::Rogue;
pub(crate) use terminal::Terminal;
pub(crate) use watch::Watch;

/// How long anything may take before a test gives it up.
const PATIENCE: Duration = Duration::from_secs(90);

/// Time between two looks at what is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// An address of this machine, with a port that the system picks.
const ANY_PORT: &str = "/ip4/127.0.0.1/tcp/0";

/// One machine: its folder, and the node that runs on it at times.
#[derive(Debug)]
pub(crate) struct Node {
    folder: TempDir,
    name: &'static str,
    /// Where the node listens once it has been up; a peer finds it there again. On a host of a lab it listens
    /// everywhere, as nodes of users do.
    listen: Option<String>,
    /// Whether it looks for members on the local network.
    is_looking: bool,
    process: Option<Process>,
    /// Whether a variable says what it is called.
    is_named: bool,
    /// The network namespace it runs in, if not that of the test.
    namespace: Option<String>,
}

impl Node {
    /// Makes a machine on which no node has run.
    pub(crate) fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        let listen = Some(ANY_PORT.to_owned());
        Self { folder, name, listen, is_looking: false, process: None, is_named: true, namespace: None }
    }

    /// Makes a machine whose node will have the key of a seed.
    pub(crate) fn keyed(name: &'static str, seed: u8) -> Self {
        let node = Self::new(name);
        let home = node.home();
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        fs::write(home.join("node.key"), [seed; 32]).unwrap();
        fs::set_permissions(home.join("node.key"), Permissions::from_mode(0o600)).unwrap();
        node
    }

    /// Makes a machine at one end of a cable.
    pub(crate) fn placed(name: &'static str, place: Place) -> Self {
        let mut node = Self::new(name);
        node.listen = Some(format!("/ip4/{}/tcp/0", place.address));
        node.namespace = Some(place.namespace);
        node
    }

    /// Leaves it to other places than a variable to say what the node is called.
    pub(crate) fn forget_name(&mut self) {
        self.is_named = false;
    }

    /// Makes a machine that is a host of a lab.
    pub(crate) fn hosted(name: &'static str, host: &Host) -> Self {
        let mut node = Self::new(name);
        node.listen = None;
        node.namespace = Some(host.namespace.clone());
        node
    }

    /// Lets the node look for members on the local network.
    pub(crate) fn looking(mut self) -> Self {
        self.is_looking = true;
        self
    }

    /// Makes a machine and starts its node.
    pub(crate) fn running(name: &'static str) -> Self {
        let mut node = Self::new(name);
        node.up();
        node
    }

    /// Starts the node and waits for its greeting; it listens where it did before.
    pub(crate) fn up(&mut self) {
        self.start(&[], &[]);
    }

    /// Starts the node so that it dies by itself once a file is at `last`: with what it made durable next, and before it
    /// can say so to anybody.
    pub(crate) fn up_until(&mut self, last: &Path) {
        let double = std::env::current_exe().unwrap().with_file_name("libpower_loss.so");
        assert!(double.exists(), "there is no {}", double.display());
        let mirror = self.folder.path().join("mirror");
        let variables = [
            ("LD_PRELOAD", double.as_path()),
            ("POWER_LOSS_FROM", &self.home()),
            ("POWER_LOSS_TO", &mirror),
            ("POWER_LOSS_LAST", last),
        ];
        self.start(&[], &variables);
    }

    /// Starts the node with more flags.
    pub(crate) fn up_with(&mut self, args: &[&str]) {
        self.start(args, &[]);
    }

    /// Does the same with more variables.
    pub(crate) fn up_in(&mut self, variables: &[(&str, &str)]) {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, Path::new(*value))).collect();
        self.start(&[], &variables);
    }

    fn start(&mut self, args: &[&str], variables: &[(&str, &Path)]) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command(&["up", "--json"]);
        command.args((!self.is_looking).then_some("--no-mdns"));
        command.args(self.listen.iter().flat_map(|listen| ["--listen", listen]));
        command.args(args).envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        self.process = Some(Process(child));
        let (sender, greeting) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let greeting = greeting.recv_timeout(PATIENCE);
        let greeting = greeting.unwrap_or_else(|error| panic!("{} is not up: {error}\n{}", self.name, self.logged()));
        let status: Value = serde_json::from_str(&greeting).unwrap();
        if let Some(listen) = &mut self.listen {
            let address = status["listen"][0].as_str().unwrap();
            *listen = address.split("/p2p/").next().unwrap().to_owned();
        }
    }

    /// Starts the node at another address than before.
    pub(crate) fn up_elsewhere(&mut self) {
        self.listen = Some(ANY_PORT.to_owned());
        self.up();
    }

    /// Stops the node as a user does.
    pub(crate) fn down(&mut self) {
        self.json(&["down"]);
        assert_eq!(self.ended(), Some(0), "{}", self.logged());
    }

    /// Waits until the node has ended by itself, and returns its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut process = self.process();
        until(&format!("the end of {}", self.name), || process.0.try_wait().unwrap().is_some());
        process.0.wait().unwrap().code()
    }

    /// Ends the node with SIGKILL.
    pub(crate) fn kill(&mut self) {
        drop(self.process());
    }

    /// Stops the node where it stands, as a laptop does that falls asleep; nobody is told.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets the node go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().unwrap();
        kill_process(Pid::from_child(&process.0), signal).unwrap();
    }

    /// Hands out the process of the node, which is killed when it is dropped.
    pub(crate) fn process(&mut self) -> Process {
        self.process.take().unwrap()
    }

    /// Returns a figure of the running node in `/proc/PID/status`, in bytes.
    pub(crate) fn memory(&self, figure: &str) -> u64 {
        let pid = self.process.as_ref().unwrap().0.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kibibytes = status.lines().find_map(|line| {
            line.strip_prefix(figure)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        });
        kibibytes.unwrap() * 1_024
    }

    /// Runs the program on this machine and returns how it ended.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Does the same and gives it something to read.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Output {
        fed(self.command(args), input)
    }

    /// Runs the program with these variables.
    pub(crate) fn run_with_env(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(args).envs(variables.iter().copied()).output().unwrap()
    }

    /// Runs the program under a name, with a token or none.
    pub(crate) fn run_as(&self, name: &str, token: Option<&str>, args: &[&str]) -> Output {
        let variables: Vec<_> =
            [("BEADMESH_AGENT", name)].into_iter().chain(token.map(|token| ("BEADMESH_TOKEN", token))).collect();
        self.run_with_env(args, &variables)
    }

    /// Runs the program as an agent that proves itself, and gives it something to read.
    pub(crate) fn run_with_as(&self, agent: &Agent, args: &[&str], input: &str) -> Output {
        fed(self.command_as(agent, args), input)
    }

    /// Runs a command as an agent that proves itself; it must succeed, and its answer is returned.
    pub(crate) fn json_as(&self, agent: &Agent, args: &[&str]) -> Value {
        answer(args, &self.command_as(agent, &with_json(args)).output().unwrap())
    }

    /// Runs a command as an agent that proves itself; returns its answer, or the error that it ends with.
    ///
    /// # Errors
    /// The error as the program tells it, with its exit code beside it.
    pub(crate) fn try_as(&self, agent: &Agent, args: &[&str]) -> Result<Value, Value> {
        let output = self.command_as(agent, &with_json(args)).output().unwrap();
        if output.status.success() {
            return Ok(answer(args, &output));
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().last().unwrap_or_else(|| panic!("{args:?}: nothing on stderr"));
        let mut body: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{args:?}: {error}: {stderr}"));
        let mut error = body["error"].take();
        error["exit"] = output.status.code().into();
        Err(error)
    }

    /// Returns the program as an agent that proves itself would run it.
    pub(crate) fn command_as(&self, agent: &Agent, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.env("BEADMESH_AGENT", &agent.name).env("BEADMESH_TOKEN", &agent.token);
        command
    }

    /// Registers an agent.
    pub(crate) fn register(&self, name: &str) -> Agent {
        let body = self.json(&["agent", "register", name]);
        Agent { name: name.to_owned(), token: body["token"].as_str().unwrap().to_owned() }
    }

    /// Runs a command that must succeed, and returns its answer.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        answer(args, &self.run(&with_json(args)))
    }

    /// Runs the doctor, which ends as the worst that it finds, and returns what it says.
    pub(crate) fn doctor(&self, args: &[&str]) -> Value {
        let output = self.run(&with_json(&[&["doctor"], args].concat()));
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let worst = ["ok", "warn", "fail"].iter().position(|grade| told["grade"] == *grade);
        assert_eq!(output.status.code(), worst.and_then(|worst| i32::try_from(worst).ok()), "{told}");
        told
    }

    /// Imports JSONL that has no bad line, and returns the report.
    pub(crate) fn import(&self, jsonl: &str) -> Value {
        answer(&["bead", "import"], &self.run_with(&["bead", "import", "-", "--json"], jsonl))
    }

    /// Returns the export, byte for byte.
    pub(crate) fn export(&self) -> String {
        let output = self.run(&["bead", "export"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Creates a bead and returns what it is called.
    pub(crate) fn create(&self, args: &[&str]) -> String {
        let body = self.json(&[&["bead", "create"], args].concat());
        body["bead"]["alias"].as_str().unwrap().to_owned()
    }

    /// Returns a bead in full.
    pub(crate) fn show(&self, bead: &str) -> Value {
        self.json(&["bead", "show", bead])["bead"].take()
    }

    /// Returns how the link to another node stands, by what that one is called.
    pub(crate) fn peer(&self, name: &str) -> Value {
        let peers = self.status()["peers"].take();
        let found = peers.as_array().unwrap().iter().find(|peer| peer["name"] == name);
        found.cloned().unwrap_or_else(|| panic!("{name} is no peer of {}: {peers}", self.name))
    }

    /// Returns how the node stands.
    pub(crate) fn status(&self) -> Value {
        self.json(&["status"])
    }

    /// Writes a ticket for one other node.
    pub(crate) fn ticket(&self) -> String {
        self.json(&["invite"])["ticket"].as_str().unwrap().to_owned()
    }

    /// Joins the mesh of `inviter`.
    pub(crate) fn join(&self, inviter: &Self) {
        self.json(&["join", &inviter.ticket()]);
    }

    /// Returns what the node has logged.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Returns the directory in which commands run.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Returns what it is called.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the node's home, which the first command makes.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_beadmesh-tested");
        let mut command = match &self.namespace {
            None => Command::new(binary),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, binary]);
                command
            }
        };
        command.args(args).current_dir(self.work()).stdin(Stdio::null());
        command.env("BEADMESH_HOME", self.home());
        if self.is_named {
            command.env("BEADMESH_NODE_NAME", self.name);
        }
        command.env_remove("BEADMESH_PROJECT").env_remove("BEADMESH_AGENT").env("NO_COLOR", "1");
        command.env_remove("BEADMESH_TOKEN").env("USER", "keeper");
        command
    }
}

impl Drop for Node {
    #[allow(clippy::print_stderr, reason = "what the node said explains why the test failed")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.name, self.logged());
        }
    }
}

/// An agent of a node, with what proves it.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// Its name.
    pub(crate) name: String,
    /// Its token.
    pub(crate) token: String,
}

/// The process of a node; it does not outlive its handle.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes what only root can have, such as a disk; where it is denied, the test is left out and says why.
///
/// # Panics
/// When it is denied under `CI=true`, where no test may be left out.
pub(crate) fn granted<T>(wish: Result<T, String>) -> Option<T> {
    wish.inspect_err(|error| {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{error}");
        left_out(error);
    })
    .ok()
}

/// Says why a test is left out.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn left_out(why: &str) {
    eprintln!("This test is left out: {why}");
}

/// Returns how a check of the doctor went.
pub(crate) fn check<'a>(told: &'a Value, id: &str) -> &'a str {
    let row = told["checks"].as_array().unwrap().iter().find(|row| row["id"] == id);
    row.unwrap_or_else(|| panic!("no row {id}: {told}"))["grade"].as_str().unwrap()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "waited {} s in vain for {what}", PATIENCE.as_secs());
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Waits until all nodes hold the same, see each other, and know that nothing is missing.
pub(crate) fn settle(nodes: &[&Node]) {
    until("the nodes to settle", || {
        let told: Vec<Value> = nodes.iter().map(|node| node.status()).collect();
        let is_caught_up = |peer: &Value| peer["connected"] == true && peer["lag_entries"] == 0;
        told.iter().all(|status| {
            let peers = status["peers"].as_array().unwrap();
            status["digest"] == told[0]["digest"] && peers.len() + 1 == nodes.len() && peers.iter().all(is_caught_up)
        })
    });
}

/// Returns the records of an export by their ids.
pub(crate) fn records(jsonl: &str) -> std::collections::BTreeMap<String, Value> {
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    jsonl.lines().map(read).map(|record| (record["id"].as_str().unwrap().to_owned(), record)).collect()
}

/// Returns `records` as JSONL.
pub(crate) fn jsonl<'a>(records: impl IntoIterator<Item = &'a Value>) -> String {
    records.into_iter().map(|record| format!("{record}\n")).collect()
}

/// Runs a program and gives it something to read.
fn fed(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that stops early breaks the pipe, which is no fault of the test.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn with_json<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--json"]].concat()
}

fn answer(args: &[&str], output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {}\n{stderr}", output.status);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["schema"], 1, "{args:?}");
    answer
}
