//! What the program promises about power cuts: a node killed under creates, on a disk that forgets what was never
//! synced (`tests/power-loss`), comes up as the same node of the same mesh with every bead it acknowledged.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::Process;

/// Disks that are cut at the same time.
const DISKS: usize = 5;

/// Cuts in a row on one disk; each finds what the one before has left.
const CUTS_EACH: usize = 10;

/// What came of some cuts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Losses {
    cuts: usize,
    /// Cuts after which an acknowledged bead was missing.
    losing: usize,
    /// Cuts after which the node was another one, or of another mesh, or its recovery key was gone.
    estranging: usize,
    /// Cuts after which the node did not come up.
    unreadable: usize,
}

/// A machine whose disk keeps only what was synced.
struct Machine {
    folder: TempDir,
    env: Vec<(&'static str, String)>,
    starts: usize,
    /// Aliases that were acknowledged.
    acknowledged: BTreeSet<String>,
    /// Node and mesh, once a greeting named them.
    identity: Option<(Value, Value)>,
}

#[test]
fn acknowledged_beads_survive_fifty_power_cuts() {
    let (losses, acknowledged) = cut_disks(&|_| Vec::new());
    assert_eq!(losses, Losses { cuts: DISKS * CUTS_EACH, ..Losses::default() });
    assert!(acknowledged >= DISKS * CUTS_EACH, "{acknowledged} beads are too few");
}

#[test]
fn acknowledged_beads_survive_when_other_pages_reach_the_disk_early() {
    let (losses, _) = cut_disks(&|disk| vec![("POWER_LOSS_SEED", disk.to_string())]);
    assert_eq!(losses, Losses { cuts: DISKS * CUTS_EACH, ..Losses::default() });
}

#[test]
fn without_fdatasync_power_cuts_lose_beads_so_the_tests_above_can_fail() {
    for mode in ["noop", "skip"] {
        let mut losses = Losses::default();
        let mut machine = Machine::new(Vec::new());
        // The node is founded on a good disk, so that what gets lost are beads.
        machine.cut(3, &mut losses);
        machine.check(&mut losses);
        assert_eq!(losses, Losses { cuts: 1, ..Losses::default() });
        machine.env = vec![("POWER_LOSS_FDATASYNC", mode.to_owned())];
        for cut in 0..CUTS_EACH {
            machine.cut(2 + cut % 3, &mut losses);
        }
        machine.check(&mut losses);
        report(mode, &losses, machine.acknowledged.len());
        assert!(losses.losing >= CUTS_EACH / 2, "{mode}: {losses:?}");
    }
}

/// Cuts the power of some disks, and returns the sum of their losses and how many beads were acknowledged.
fn cut_disks(env: &(dyn Fn(usize) -> Vec<(&'static str, String)> + Sync)) -> (Losses, usize) {
    let of_disk = |disk: usize| {
        let mut losses = Losses::default();
        let mut machine = Machine::new(env(disk));
        for cut in 0..CUTS_EACH {
            machine.cut((disk * 3 + cut * 5) % 8, &mut losses);
        }
        machine.check(&mut losses);
        (losses, machine.acknowledged.len())
    };
    thread::scope(|scope| {
        let disks: Vec<_> = (0..DISKS).map(|disk| scope.spawn(move || of_disk(disk))).collect();
        let mut sum = (Losses::default(), 0);
        for disk in disks {
            let (losses, acknowledged) = disk.join().unwrap();
            sum.0.cuts += losses.cuts;
            sum.0.losing += losses.losing;
            sum.0.estranging += losses.estranging;
            sum.0.unreadable += losses.unreadable;
            sum.1 += acknowledged;
        }
        report("in all", &sum.0, sum.1);
        sum
    })
}

#[allow(clippy::print_stderr, reason = "the figures are worth reading when the test passes, too")]
fn report(what: &str, losses: &Losses, acknowledged: usize) {
    eprintln!("{what}: {losses:?}, {acknowledged} beads left to hold");
}

impl Machine {
    fn new(env: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder, env, starts: 0, acknowledged: BTreeSet::new(), identity: None }
    }

    /// Starts the node, sees what it has kept, and cuts the power after `count` more creates with one under way.
    fn cut(&mut self, count: usize, losses: &mut Losses) {
        self.starts += 1;
        let mirror = self.folder.path().join(format!("mirror-{}", self.starts));
        if self.starts.is_multiple_of(4) {
            self.cut_while_starting(&mirror, self.starts as u64 * 7);
        }
        let (process, stdout) = self.up(Some(&mirror));
        if self.examine(stdout, losses) {
            let socket = UnixStream::connect(self.home().join("node.sock")).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut replies = BufReader::new(&socket);
            for number in 0..count {
                send_create(&socket, number);
                self.acknowledged.insert(alias(&mut replies).unwrap());
            }
            send_create(&socket, count);
            thread::sleep(Duration::from_micros((self.starts * 977 % 5000) as u64));
            drop(process);
            // What the node said before it died counts too.
            self.acknowledged.extend(alias(&mut replies));
        } else {
            drop(process);
        }
        restore(&mirror, &self.home());
        losses.cuts += 1;
    }

    /// Cuts the power some time after the start, wherever the node is then; it has promised nothing new.
    fn cut_while_starting(&self, mirror: &Path, millis: u64) {
        let mirror = mirror.with_added_extension("early");
        let started = self.up(Some(&mirror));
        thread::sleep(Duration::from_millis(millis));
        drop(started);
        // The double may not have seen a single call yet, and then the disk is as it was.
        if mirror.exists() {
            restore(&mirror, &self.home());
        }
    }

    /// Examines what the last cut has left, with a running node and without one.
    fn check(&mut self, losses: &mut Losses) {
        let (process, stdout) = self.up(None);
        let is_up = self.examine(stdout, losses);
        drop(process);
        if is_up {
            let output = self.command(&["bead", "export"]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout.lines().count() >= self.acknowledged.len());
        }
    }

    /// Compares a node that comes up with what it has promised, and tells whether it does come up.
    ///
    /// What is found missing is noted once.
    fn examine(&mut self, stdout: ChildStdout, losses: &mut Losses) -> bool {
        let mut greeting = String::new();
        BufReader::new(stdout).read_line(&mut greeting).unwrap();
        let Ok(status) = serde_json::from_str::<Value>(&greeting) else {
            losses.unreadable += 1;
            fs::remove_dir_all(self.home()).unwrap();
            (self.identity, self.acknowledged) = (None, BTreeSet::new());
            return false;
        };
        let found = (status["node"]["id"].clone(), status["mesh"]["id"].clone());
        assert!(found.0.is_string() && found.1.is_string(), "{status}");
        let is_same = self.identity.as_ref().is_none_or(|identity| *identity == found);
        losses.estranging += usize::from(!is_same || !self.home().join("recovery.key").exists());
        self.identity = Some(found);
        let output = self.command(&["bead", "list", "--all", "--limit", "0", "--json"]).output().unwrap();
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        let alias = |bead: &Value| bead["alias"].as_str().unwrap().to_owned();
        let held: BTreeSet<String> = list["beads"].as_array().unwrap().iter().map(alias).collect();
        losses.losing += usize::from(!self.acknowledged.is_subset(&held));
        self.acknowledged.retain(|alias| held.contains(alias));
        true
    }

    /// Starts the node, on the disk that forgets if there is a `mirror`.
    fn up(&self, mirror: Option<&Path>) -> (Process, ChildStdout) {
        let mut command = self.command(&["up", "--json", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        if let Some(mirror) = mirror {
            let double = std::env::current_exe().unwrap().with_file_name("libpower_loss.so");
            assert!(double.exists(), "there is no {}", double.display());
            command.env("LD_PRELOAD", double).env("POWER_LOSS_FROM", self.home()).env("POWER_LOSS_TO", mirror);
            command.envs(self.env.iter().map(|(name, value)| (name, value)));
        }
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        (Process(child), stdout)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beadmesh-tested"));
        command.args(args).current_dir(self.folder.path().join("work")).stdin(Stdio::null());
        command.env("BEADMESH_HOME", self.home()).env("BEADMESH_NODE_NAME", "ada").env("NO_COLOR", "1");
        command.env_remove("BEADMESH_PROJECT").env_remove("BEADMESH_AGENT");
        command
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
}

impl Drop for Machine {
    #[allow(clippy::print_stderr, reason = "what the node said explains why the test failed")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

fn send_create(mut socket: &UnixStream, number: usize) {
    let body = json!({ "title": format!("Bead {number}"), "by": "ada" }).to_string();
    let head = "POST /v1/beads HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length";
    socket.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
}

/// Reads the answer to a create; `None` if the node died before it was whole.
fn alias(replies: &mut BufReader<&UnixStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if replies.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let bytes = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; bytes.parse().unwrap()];
    replies.read_exact(&mut body).ok()?;
    assert!(head.starts_with("HTTP/1.1 2"), "{head}{}", String::from_utf8_lossy(&body));
    let body: Value = serde_json::from_slice(&body).unwrap();
    Some(body["bead"]["alias"].as_str().unwrap().to_owned())
}

/// Makes `home` hold what `mirror` does, in place: as after a power cut, directories that were kept are the same ones.
fn restore(mirror: &Path, home: &Path) {
    fs::create_dir_all(home).unwrap();
    // The double does not keep permissions.
    fs::set_permissions(home, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(home).unwrap().map(Result::unwrap) {
        let is_dir = entry.file_type().unwrap().is_dir();
        match is_dir {
            true if mirror.join(entry.file_name()).is_dir() => {}
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    let Ok(entries) = fs::read_dir(mirror) else { return };
    for entry in entries.map(Result::unwrap) {
        let target = home.join(entry.file_name());
        if entry.path().is_dir() {
            restore(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        }
    }
}
