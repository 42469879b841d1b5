//! Leases: what a claim costs with three voters, beside a bulk sync, and among many leases.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use beadmesh_protocol::limits::LEASES_MAX;
use serde_json::{Value, json};

use crate::api::Api;
use crate::node::{Node, PROJECT};
use crate::table::{Budget, percentile};
use crate::{Bench, LOOK_INTERVAL, Outcome, SYNC_PATIENCE, rate, repeat, sync};

/// Nodes that vote, by name; the first is the owner.
const VOTERS: [&str; 3] = ["desk", "rack", "shelf"];

/// Claims that one agent may hold at one time.
const CLAIMS_EACH: usize = 50;

/// Paths of a change as it is checked before a commit.
const CHANGED_PATHS: usize = 100;

/// An agent of a node, connected as itself.
struct Agent(Api);

impl Agent {
    fn register(node: &Node, name: &str) -> Result<Self, Box<dyn Error>> {
        let mut api = node.api()?;
        let answer = api.ask("POST", "/v1/agents", &json!({ "name": name }).to_string())?;
        api.act_as(name, answer["token"].as_str().ok_or("an agent without a token")?);
        Ok(Self(api))
    }

    /// Claims a pattern; returns the claim and the time from the question to the answer.
    fn take(&mut self, pattern: &str) -> Result<(String, Duration), Box<dyn Error>> {
        let wish = json!({ "project": { "keys": [PROJECT] }, "scopes": [pattern] }).to_string();
        let started = Instant::now();
        let answer = self.0.ask("POST", "/v1/claims", &wish)?;
        let took = started.elapsed();
        if answer["claim"]["state"] != "held" {
            return Err(format!("{pattern} is not held: {answer}").into());
        }
        Ok((answer["claim"]["id"].as_str().ok_or("a claim without an id")?.to_owned(), took))
    }

    fn release(&mut self, claim: &str) -> Outcome {
        self.0.fetch("POST", &format!("/v1/claims/{claim}/release"), "{}").map(drop)
    }

    /// Claims a pattern and lets it go; returns the time that the claim took.
    fn turn(&mut self, pattern: &str) -> Result<Duration, Box<dyn Error>> {
        let (claim, took) = self.take(pattern)?;
        self.release(&claim)?;
        Ok(took)
    }

    /// Asks what stands in the way of paths, all of which must be in somebody else's hands, or none.
    fn check(&mut self, paths: &[String], taken: usize) -> Result<Duration, Box<dyn Error>> {
        let wish = json!({ "project": { "keys": [PROJECT] }, "paths": paths }).to_string();
        let started = Instant::now();
        let answer = self.0.ask("POST", "/v1/claims/check", &wish)?;
        let took = started.elapsed();
        let problems = answer["problems"].as_array().map_or(0, Vec::len);
        if problems == taken { Ok(took) } else { Err(format!("{problems} paths of {taken} are taken").into()) }
    }
}

impl Bench {
    /// Measures claims of a calm mesh, then beside a first sync of many beads, then among many leases.
    pub(crate) fn leases(&mut self) -> Outcome {
        let nodes = self.voters()?;
        let [desk, rack, _] = &nodes;
        for (node, whose) in [(desk, "of the owner"), (rack, "of another voter")] {
            let mut agent = Agent::register(node, "Calm")?;
            let mut times = repeat(self.sizes.samples, || agent.turn("src/"))?;
            self.claim_rows(whose, &mut times);
        }
        self.bead_claims(desk)?;
        self.crowd(&nodes)?;
        self.claims_beside_sync(&nodes)
    }

    /// Starts a mesh of three nodes, all of which vote.
    fn voters(&self) -> Result<[Node; 3], Box<dyn Error>> {
        let [desk, rack, shelf] = VOTERS.map(|name| Node::start(self.folder.path(), name));
        let nodes = [desk?, rack?, shelf?];
        for other in &nodes[1..] {
            sync(&nodes[0], other)?;
        }
        let mut owner = nodes[0].api()?;
        await_reply(&mut owner, "/v1/status", |status| {
            status["peers"].as_array().is_some_and(|peers| peers.iter().all(|peer| peer["connected"] == true))
        })?;
        owner.ask("POST", "/v1/voters", &json!({ "nodes": VOTERS }).to_string())?;
        for node in &nodes {
            await_reply(&mut node.api()?, "/v1/voters", |voters| voters["reached"] == VOTERS.len())?;
        }
        Ok(nodes)
    }

    fn claim_rows(&mut self, whose: &str, times: &mut [Duration]) {
        let high = percentile(times, 99);
        self.table.add_median(&format!("claim {whose}, p50"), times, Budget::AtMost(5.0));
        let note = format!("of {}", times.len());
        self.table.add(&format!("claim {whose}, p99"), high, "ms", Budget::AtMost(25.0), note);
    }

    /// Measures claims of beads, which say besides who works on them.
    fn bead_claims(&mut self, node: &Node) -> Outcome {
        let mut api = node.api()?;
        let mut agent = Agent::register(node, "Worker")?;
        // One more is claimed first, which does not count; all are made before, so that no create is measured.
        let beads = (0..=self.sizes.samples).map(|number| crate::create(&mut api, number));
        let mut beads = beads.collect::<Result<Vec<_>, _>>()?;
        let mut times = repeat(self.sizes.samples, || {
            let bead = beads.pop().ok_or("there are too few beads")?;
            let started = Instant::now();
            let answer = agent.0.ask("POST", "/v1/claims", &json!({ "bead": bead }).to_string())?;
            let took = started.elapsed();
            if answer["claim"]["state"] != "held" {
                return Err(format!("a bead is not held: {answer}").into());
            }
            agent.release(answer["claim"]["id"].as_str().ok_or("a claim without an id")?)?;
            Ok(took)
        })?;
        self.claim_rows("of a bead", &mut times);
        Ok(())
    }

    /// Makes many leases, and measures claims and checks among them.
    fn crowd(&mut self, nodes: &[Node; 3]) -> Outcome {
        // The voters take one more than these, which is the one that is measured.
        let leases = usize::try_from(self.sizes.middle)?.min(LEASES_MAX) - 1;
        let started = Instant::now();
        for first in (0..leases).step_by(CLAIMS_EACH) {
            let number = first / CLAIMS_EACH;
            let mut agent = Agent::register(&nodes[number % nodes.len()], &format!("Crowd{number}"))?;
            for lease in first..leases.min(first + CLAIMS_EACH) {
                agent.take(&path(lease))?;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let note = format!("{:.0} leases/s, one after another", rate(u64::try_from(leases)?, seconds));
        self.table.add(&format!("making {leases} leases"), seconds, "s", Budget::Free, note);
        // The last of them rest on a majority already, and on this voter soon.
        await_reply(&mut nodes[0].api()?, "/v1/voters", |voters| voters["leases"] == leases)?;
        let mut agent = Agent::register(&nodes[0], "Latecomer")?;
        let mut times = repeat(self.sizes.samples, || agent.turn("docs/"))?;
        self.claim_rows(&format!("among {leases} leases"), &mut times);
        let taken: Vec<String> = (0..leases).step_by(leases / CHANGED_PATHS).map(path).collect();
        let free: Vec<String> = (0..CHANGED_PATHS).map(|number| format!("docs/{number}.md")).collect();
        let budget = Budget::AtMost(20.0);
        for (what, paths, count) in [("one free path", &free[..1], 0), ("one taken path", &taken[..1], 1)] {
            let mut times = repeat(self.sizes.samples, || agent.check(paths, count))?;
            self.table.add_median(&format!("check of {what} among {leases} leases"), &mut times, budget);
        }
        for (what, paths, count) in [("free", &free, 0), ("taken", &taken, taken.len())] {
            let mut times = repeat(self.sizes.samples, || agent.check(paths, count))?;
            let name = format!("check of {} {what} paths among {leases} leases", paths.len());
            self.table.add_median(&name, &mut times, budget);
        }
        self.memory(&nodes[0], &format!("memory, {leases} leases"), 250.0);
        Ok(())
    }

    /// Measures claims while many beads are imported, and then while a new node takes them all in.
    fn claims_beside_sync(&mut self, nodes: &[Node; 3]) -> Outcome {
        let (count, before) = (self.sizes.large, crate::status(&mut nodes[0].api()?)?.0);
        let file = self.records(count)?;
        let newcomer = Node::start(self.folder.path(), "newcomer")?;
        let mut agent = Agent::register(&nodes[0], "Busy")?;
        let path = file.to_str().ok_or("a path that is no text")?;
        self.claims_beside(&format!("beside an import of {count} beads"), &mut agent, || {
            nodes[0].run(&["bead", "import", path])?;
            nodes.iter().try_for_each(|node| {
                await_reply(&mut node.api()?, "/v1/status", |status| status["beads"] == count + before)
            })
        })?;
        self.claims_beside(&format!("beside a sync of {count} beads"), &mut agent, || {
            sync(&nodes[0], &newcomer).map(drop)
        })
    }

    /// Measures claims while something else is done.
    fn claims_beside(&mut self, what: &str, agent: &mut Agent, work: impl FnOnce() -> Outcome) -> Outcome {
        let is_over = AtomicBool::new(false);
        let mut times = thread::scope(|scope| {
            let claims = scope.spawn(|| {
                let mut times = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    times.push(agent.turn("lib/").map_err(|error| error.to_string())?);
                }
                Ok::<_, String>(times)
            });
            let worked = work();
            is_over.store(true, Ordering::Relaxed);
            let times = claims.join().map_err(|_| "the claims panicked")??;
            worked?;
            Ok::<_, Box<dyn Error>>(times)
        })?;
        self.claim_rows(what, &mut times);
        Ok(())
    }
}

/// Returns the path that one of many leases is on.
fn path(number: usize) -> String {
    format!("crates/part{}/src/module{number}.rs", number / 100)
}

/// Asks until an answer is as it is to be.
fn await_reply(api: &mut Api, path: &str, is_so: impl Fn(&Value) -> bool) -> Outcome {
    let deadline = Instant::now() + SYNC_PATIENCE;
    while Instant::now() < deadline {
        if is_so(&api.ask("GET", path, "")?) {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Err(format!("{path} does not come to what is awaited").into())
}
