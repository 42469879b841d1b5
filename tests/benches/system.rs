//! The whole-system bench: real processes, sockets and disks, each figure beside its budget (DESIGN section 13).
//!
//! `cargo bench -p beadmesh-tests --bench system` runs it; after `--`, `--quick` takes small sizes, to see that it runs,
//! `--json` prints JSON, and `--only mail` measures one stage, by a start of its name. It ends with 1 when a row is short. Without `--bench`, which cargo adds, it does nothing.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::{Edit, Field, FieldValue};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{BeadId, MeshId};
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::testing::{Author, bombs};
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "system/api.rs"]
mod api;
#[path = "system/bomb.rs"]
mod bomb;
#[path = "system/lease.rs"]
mod lease;
#[path = "system/mail.rs"]
mod mail;
#[path = "system/node.rs"]
mod node;
#[path = "system/records.rs"]
mod records;
#[path = "system/stranger.rs"]
mod stranger;
#[path = "system/table.rs"]
mod table;
#[path = "system/telemetry.rs"]
mod telemetry;

use api::Api;
use node::{Node, PROJECT};
use table::{Budget, Table, percentile};

/// Beads of an idle node whose memory is looked at.
const IDLE_BEADS: usize = 100;

/// Time two nodes may take to hold the same.
const SYNC_PATIENCE: Duration = Duration::from_secs(600);

/// Time an event may take to reach the other node.
const EVENT_PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks at a node that syncs: rare beside what it does, and short beside what is timed.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How much slower a flat figure may be at the largest size than at the smallest. A guess that leaves room for noise.
const FLAT_RATIO: f64 = 1.5;

type Outcome = Result<(), Box<dyn Error>>;

/// How much is measured.
struct Sizes {
    middle: u64,
    large: u64,
    /// Times that a command, a page or a write is measured.
    samples: usize,
    /// Times that the import is measured, on a new node each.
    imports: usize,
    /// How long strangers are at the door, once while it is closed and once while it is open.
    visit: Duration,
}

const FULL: Sizes = Sizes { middle: 10_000, large: 100_000, samples: 300, imports: 3, visit: Duration::from_secs(30) };
const QUICK: Sizes = Sizes { middle: 1_000, large: 2_000, samples: 20, imports: 1, visit: Duration::from_secs(3) };

/// One run.
struct Bench {
    sizes: Sizes,
    folder: TempDir,
    table: Table,
    /// The start of the name of the stage that is measured alone.
    only: Option<String>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has(bomb::FLAG) {
        return bomb::take();
    }
    if !has("--bench") || has("--test") {
        return ExitCode::SUCCESS;
    }
    let only = args.iter().skip_while(|arg| *arg != "--only").nth(1).cloned();
    match run(has("--quick"), has("--json"), only) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // There is no way to tell of a stderr that is closed.
            let _ = writeln!(stderr(), "Error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(quick: bool, json: bool, only: Option<String>) -> Result<bool, Box<dyn Error>> {
    let sizes = if quick { QUICK } else { FULL };
    let mut bench = Bench { sizes, folder: folder()?, table: Table::new(quick), only };
    if quick {
        writeln!(stderr(), "Small sizes: this shows that the bench runs, and its figures prove nothing.")?;
    }
    bench.stage("bombs", Bench::bombs);
    bench.stage("event sizes", Bench::event_sizes);
    bench.stage("a node without beads", Bench::small);
    bench.stage("a middle node", Bench::middle);
    bench.stage("a large node and its first sync", Bench::large);
    bench.stage("a write seen elsewhere", Bench::visibility);
    bench.stage("mail", Bench::mail);
    bench.stage("leases", Bench::leases);
    bench.stage("strangers", Bench::strangers);
    bench.stage("telemetry", Bench::telemetry);
    bench.flatness();
    let mut out = stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &bench.table)?;
        writeln!(out)?;
    } else {
        bench.table.write(&mut out)?;
    }
    Ok(bench.table.passes())
}

/// Returns a folder on the disk that builds are on: a temporary folder is often in memory, where nothing is durable.
fn folder() -> Result<TempDir, Box<dyn Error>> {
    /// Bytes of the rest of a socket's path; the whole has at most 107.
    const REST_BYTES: usize = 32;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let fits = target.as_os_str().len() + REST_BYTES <= beadmesh_node::home::SOCKET_PATH_BYTES_MAX;
    Ok(if fits { TempDir::new_in(target)? } else { TempDir::new()? })
}

impl Bench {
    /// Measures some rows; what goes wrong becomes a row, and the other stages go on.
    fn stage(&mut self, name: &str, measure: fn(&mut Self) -> Outcome) {
        if self.only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            return;
        }
        // Progress for whoever waits; a closed stderr changes no figure.
        let _ = writeln!(stderr(), "Measuring {name}.");
        if let Err(error) = measure(self) {
            self.table.fail(name, &error.to_string());
        }
    }

    /// Takes in every change that is small on the wire and would be large if it were expanded, each in a process of
    /// its own.
    fn bombs(&mut self) -> Outcome {
        let mut corpus = bombs::corpus();
        corpus.push(("the heaviest change", bombs::heaviest()));
        let (mut worst, mut largest) = ((0, ""), (0, ""));
        for (what, bytes) in corpus {
            let (micros, peak) = bomb::taken_apart(&bytes)?;
            worst = worst.max((micros, what));
            largest = largest.max((peak, what));
        }
        let millis = f64::from(worst.0) / 1e3;
        self.table.add("bomb intake, worst", millis, "ms", Budget::AtMost(50.0), worst.1.to_owned());
        let megabytes = f64::from(largest.0) / 1e3;
        let note = format!("all of the process, {}", largest.1);
        self.table.add("bomb intake, memory", megabytes, "MB", Budget::AtMost(64.0), note);
        Ok(())
    }

    /// Counts the bytes of a change of one field, without a process.
    fn event_sizes(&mut self) -> Outcome {
        let author = Author::seeded(1);
        let (bead, mesh) = (BeadId::from_bytes([5; 16]), MeshId::from_bytes([6; 32]));
        let at = Wall::from_millis(1_780_000_000_000);
        let mut document = Document::new(bead);
        let text = |text: &str| FieldValue::Text(text.to_owned());
        let create = [Edit::Set(Field::Title, text("A bead")), Edit::Set(Field::Priority, FieldValue::Number(2))];
        document.edit([7; 8], at, &create)?;
        let changes = document.edit([8; 8], at, &[Edit::Set(Field::Status, text("in_progress"))])?;
        let [change] = changes.as_slice() else { return Err("one edit made several changes".into()) };
        let op = Op::Bead(BeadChange { bead, change: change.to_wire().to_vec() });
        let one = author.entry(mesh, 1_000, at, std::slice::from_ref(&op));
        let two = author.entry(mesh, 1_000, at, &[op.clone(), op]);
        let op_bytes = bytes(two.bytes_len() - one.bytes_len());
        let whole = one.seal();
        self.table.add("one-field change, operation", op_bytes, "B", Budget::AtMost(150.0), String::new());
        let entry_bytes = bytes(whole.bytes.len());
        self.table.add("one-field change, entry unsigned", entry_bytes, "B", Budget::Free, String::new());
        let signed_bytes = bytes(whole.bytes.len() + whole.signature.len());
        self.table.add("one-field change, entry signed", signed_bytes, "B", Budget::Free, String::new());
        Ok(())
    }

    /// Measures creates on a new node, then its memory.
    fn small(&mut self) -> Outcome {
        let node = Node::start(self.folder.path(), "small")?;
        let mut syncs = self.syncs()?;
        self.table.add_median("disk, fdatasync of 4 KiB", &mut syncs, Budget::Free);
        let mut floor = repeat(self.sizes.samples, || node.run(&["--version"]))?;
        self.table.add_median("CLI, a process that asks nothing", &mut floor, Budget::Free);
        // One create more is not counted.
        let samples = self.sizes.samples.min(IDLE_BEADS - 1);
        self.creates(&node, 0, samples)?;
        let mut api = node.api()?;
        for number in samples + 1..IDLE_BEADS {
            create(&mut api, number)?;
        }
        self.memory(&node, &format!("memory, {IDLE_BEADS} beads, idle"), 60.0);
        Ok(())
    }

    /// Measures the import, then what a node with its beads does.
    fn middle(&mut self) -> Outcome {
        let count = self.sizes.middle;
        let file = self.records(count)?;
        let mut times = Vec::new();
        let mut node = None;
        for turn in 0..self.sizes.imports {
            // The node before this one stops first: two would share the cores.
            drop(node.take());
            let fresh = Node::start(self.folder.path(), &format!("middle{turn}"))?;
            times.push(import(&fresh, &file, count)?);
            node = Some(fresh);
        }
        let seconds = percentile(&mut times, 50) / 1e3;
        let note = format!("median of {}", times.len());
        self.table.add(&format!("import of {count} records"), seconds, "s", Budget::AtMost(1.0), note);
        let node = node.ok_or("no import was asked for")?;
        self.reads(&node, count)?;
        self.creates(&node, count, self.sizes.samples)
    }

    /// Measures what a node with many beads does, then how a new node takes them all in.
    fn large(&mut self) -> Outcome {
        let count = self.sizes.large;
        let file = self.records(count)?;
        let source = Node::start(self.folder.path(), "large")?;
        let took = import(&source, &file, count)?.as_secs_f64();
        let note = format!("{:.0} records/s", rate(count, took));
        self.table.add(&format!("import of {count} records"), took, "s", Budget::Free, note);
        self.reads(&source, count)?;
        self.creates(&source, count, self.sizes.samples)?;
        self.memory(&source, &format!("memory, {count} beads imported"), 250.0);
        let target = Node::start(self.folder.path(), "target")?;
        let (beads, took) = sync(&source, &target)?;
        let note = format!("{beads} beads in {took:.2} s");
        let name = format!("first sync of {count} beads");
        self.table.add(&name, rate(beads, took), "beads/s", Budget::AtLeast(8_000.0), note);
        self.memory(&target, &format!("memory, {count} beads synced"), 250.0);
        self.memory(&source, &format!("memory, {count} beads handed on"), 250.0);
        Ok(())
    }

    /// Measures the time from a write's beginning here to its event there, with a durable commit on both between.
    fn visibility(&mut self) -> Outcome {
        let source = Node::start(self.folder.path(), "writer")?;
        let target = Node::start(self.folder.path(), "reader")?;
        create(&mut source.api()?, 0)?;
        sync(&source, &target)?;
        let mut times = times_until_seen(&source, &target, self.sizes.samples)?;
        self.visibility_rows("write seen elsewhere", &mut times);
        Ok(())
    }

    fn visibility_rows(&mut self, name: &str, times: &mut [Duration]) {
        let high = percentile(times, 99);
        self.table.add_median(&format!("{name}, p50"), times, Budget::AtMost(3.0));
        self.table.add(&format!("{name}, p99"), high, "ms", Budget::AtMost(15.0), format!("of {}", times.len()));
    }

    /// Compares figures that must not grow with the number of beads or letters.
    fn flatness(&mut self) {
        let Sizes { middle, large, .. } = self.sizes;
        let pairs = [
            ("CLI create", 0),
            ("API ready", middle),
            ("API list", middle),
            ("CLI ready", middle),
            ("CLI list", middle),
            ("API inbox", middle),
            ("API unread", middle),
            ("API unread count", middle),
        ];
        for (name, least) in pairs {
            let value = |count: u64| self.table.value(&format!("{name} at {count}"));
            if let (Some(small), Some(great)) = (value(least), value(large)) {
                let note = format!("{large} over {least}");
                self.table.add(&format!("{name}, growth"), great / small, "x", Budget::AtMost(FLAT_RATIO), note);
            }
        }
    }

    /// Measures creates by the command line.
    fn creates(&mut self, node: &Node, beads: u64, samples: usize) -> Outcome {
        let mut times = repeat(samples, || node.run(&["bead", "create", "Measure a create", "-p", "1"]))?;
        self.table.add_median(&format!("CLI create at {beads}"), &mut times, Budget::AtMost(5.0));
        Ok(())
    }

    /// Measures pages of 50 beads, by the API and by the command line.
    fn reads(&mut self, node: &Node, beads: u64) -> Outcome {
        let mut api = node.api()?;
        for (name, path) in [("ready", "/v1/ready"), ("list", "/v1/beads")] {
            let path = format!("{path}?project={PROJECT}&limit=50");
            let found = api.ask("GET", &path, "")?["beads"].as_array().map_or(0, Vec::len);
            if found != 50 {
                return Err(format!("{name} shows {found} beads of 50").into());
            }
            let mut times = repeat(self.sizes.samples, || {
                let started = Instant::now();
                api.fetch("GET", &path, "")?;
                Ok(started.elapsed())
            })?;
            self.table.add_median(&format!("API {name} at {beads}"), &mut times, Budget::AtMost(5.0));
            let mut times = repeat(self.sizes.samples, || node.run(&["bead", name, "-n", "50"]))?;
            self.table.add_median(&format!("CLI {name} at {beads}"), &mut times, Budget::AtMost(10.0));
        }
        Ok(())
    }

    fn memory(&mut self, node: &Node, name: &str, most: f64) {
        let megabytes = |figure: &str| u32::try_from(node.memory(figure)? / 1_000).ok().map(|kb| f64::from(kb) / 1e3);
        match (megabytes("VmRSS"), megabytes("VmHWM")) {
            (Some(now), Some(peak)) => {
                self.table.add(name, now, "MB", Budget::AtMost(most), format!("peak {peak:.0} MB"));
            }
            _ => self.table.fail(name, "there is no /proc/PID/status here"),
        }
    }

    /// Writes a file of records.
    fn records(&self, count: u64) -> Result<PathBuf, Box<dyn Error>> {
        let path = self.folder.path().join(format!("{count}.jsonl"));
        records::write(&mut BufWriter::new(File::create(&path)?), count)?;
        Ok(path)
    }

    /// Measures the disk itself, which bounds every durable write.
    fn syncs(&self) -> Result<Vec<Duration>, Box<dyn Error>> {
        let mut file = File::create(self.folder.path().join("disk"))?;
        repeat(self.sizes.samples, || {
            let started = Instant::now();
            file.write_all(&[7; 4_096])?;
            file.sync_data()?;
            Ok(started.elapsed())
        })
    }
}

/// Measures something several times, after one time that does not count.
fn repeat(
    samples: usize,
    mut measure: impl FnMut() -> Result<Duration, Box<dyn Error>>,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    measure()?;
    (0..samples).map(|_| measure()).collect()
}

/// Creates beads on one node, and returns the times until the other one told of each.
fn times_until_seen(source: &Node, target: &Node, samples: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let seen = target.api()?.watch()?;
    let mut api = source.api()?;
    let mut number = 0;
    repeat(samples, || {
        number += 1;
        let started = Instant::now();
        let bead = create(&mut api, number)?;
        let deadline = started + EVENT_PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = seen.recv_timeout(left).map_err(|_| format!("bead {bead} does not arrive"))?;
            if event.bead == bead {
                return Ok(event.at.saturating_duration_since(started));
            }
        }
    })
}

/// Imports a file, and checks that all of it is there.
fn import(node: &Node, file: &Path, count: u64) -> Result<Duration, Box<dyn Error>> {
    let took = node.run(&["bead", "import", file.to_str().ok_or("a path that is no text")?])?;
    let beads = status(&mut node.api()?)?.0;
    if beads == count { Ok(took) } else { Err(format!("{beads} beads of {count} are there").into()) }
}

/// Creates a bead through the API, and returns its id.
fn create(api: &mut Api, number: usize) -> Result<String, Box<dyn Error>> {
    let wish = json!({ "project": { "keys": [PROJECT] }, "title": format!("Bead {number}"), "by": "bench" });
    let answer = api.ask("POST", "/v1/beads", &wish.to_string())?;
    Ok(answer["bead"]["id"].as_str().ok_or("a bead without an id")?.to_owned())
}

/// Returns how many beads a node has, and the digest of all it knows.
fn status(api: &mut Api) -> Result<(u64, String), Box<dyn Error>> {
    let status: Value = api.ask("GET", "/v1/status", "")?;
    let beads = status["beads"].as_u64().ok_or("a status without beads")?;
    Ok((beads, status["digest"].as_str().ok_or("a status without a digest")?.to_owned()))
}

/// Lets `target` join `source`; returns the beads, and the seconds from the join to the same count on both.
fn sync(source: &Node, target: &Node) -> Result<(u64, f64), Box<dyn Error>> {
    let (mut here, mut there) = (source.api()?, target.api()?);
    let beads = status(&mut here)?.0;
    let invite = here.ask("POST", "/v1/invites", "{}")?;
    let wish = json!({ "ticket": invite["ticket"] }).to_string();
    let started = Instant::now();
    there.ask("POST", "/v1/join", &wish)?;
    let deadline = started + SYNC_PATIENCE;
    let mut took = None;
    while Instant::now() < deadline {
        let theirs = status(&mut there)?;
        if took.is_none() && theirs.0 == beads {
            took = Some(started.elapsed().as_secs_f64());
        }
        // Equal counts may hide a difference; equal digests can not.
        if let Some(took) = took
            && status(&mut here)? == theirs
        {
            return Ok((beads, took));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Err(format!("{} beads of {beads} arrived within {} s", status(&mut there)?.0, SYNC_PATIENCE.as_secs()).into())
}

fn rate(count: u64, seconds: f64) -> f64 {
    u32::try_from(count).map_or(f64::NAN, f64::from) / seconds
}

fn bytes(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::NAN, f64::from)
}
