//! Mail: letters sent by several at once, and what a node with many letters does.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::Api;
use crate::node::Node;
use crate::table::{Budget, percentile};
use crate::{Bench, LOOK_INTERVAL, Outcome, SYNC_PATIENCE, rate, records, repeat, sync};

/// Who send at once, in turn.
const CLIENTS: [usize; 4] = [1, 2, 4, 8];

/// Who write the letters that a node is filled with, at once: one flush then serves many.
const FILLERS: u64 = 64;

/// Letters of a page.
const PAGE_LETTERS: usize = 20;

/// One letter in so many holds the rare word.
const RARE: u64 = 1_000;

/// An agent of a node, and what it proves itself with.
struct Agent {
    name: String,
    token: String,
}

impl Agent {
    fn register(node: &Node, name: &str) -> Result<Self, Box<dyn Error>> {
        let answer = node.api()?.ask("POST", "/v1/agents", &json!({ "name": name }).to_string())?;
        let token = answer["token"].as_str().ok_or("an agent without a token")?.to_owned();
        Ok(Self { name: name.to_owned(), token })
    }

    /// Connects to a node as the agent.
    fn api(&self, node: &Node) -> Result<Api, Box<dyn Error>> {
        let mut api = node.api()?;
        api.act_as(&self.name, &self.token);
        Ok(api)
    }
}

impl Bench {
    /// Measures letters on their way to another node, then a node with many letters of its own.
    pub(crate) fn mail(&mut self) -> Outcome {
        let source = Node::start(self.folder.path(), "sender")?;
        let target = Node::start(self.folder.path(), "mailbox")?;
        sync(&source, &target)?;
        Agent::register(&target, "Reader")?;
        let writer = Agent::register(&source, "Writer")?;
        let boss = Agent::register(&source, "Boss")?;
        await_agent(&source, "Reader@mailbox")?;
        for clients in CLIENTS {
            self.sends(&source, &writer, clients)?;
        }
        let args = ["mail", "send", "--to", "Reader@mailbox", "--subject", "By hand", "A letter by the command line."];
        let mut times = repeat(self.sizes.samples, || source.run_as(&writer.name, &writer.token, &args))?;
        self.table.add_median("CLI send", &mut times, Budget::AtMost(10.0));
        drop(target);
        let (middle, large) = (self.sizes.middle, self.sizes.large);
        fill(&source, &writer, 0..middle)?;
        self.inbox(&source, &boss, middle)?;
        let took = fill(&source, &writer, middle..large)?;
        let note = format!("{} letters by {FILLERS} at once", large - middle);
        self.table.add("letters written, each durable", rate(large - middle, took), "letters/s", Budget::Free, note);
        self.inbox(&source, &boss, large)?;
        self.searches(&source, (&writer, &boss), large)
    }

    /// Measures sends to an agent of the other node by so many at once.
    fn sends(&mut self, node: &Node, writer: &Agent, clients: usize) -> Outcome {
        let samples = self.sizes.samples;
        let results: Vec<Result<Vec<Duration>, String>> = thread::scope(|scope| {
            let senders = (0..clients).map(|_| scope.spawn(|| sent(node, writer, samples).map_err(|e| e.to_string())));
            let senders: Vec<_> = senders.collect();
            senders.into_iter().map(|it| it.join().unwrap_or_else(|_| Err("a sender panicked".to_owned()))).collect()
        });
        let mut times = Vec::new();
        for result in results {
            times.extend(result?);
        }
        let high = percentile(&mut times, 99);
        self.table.add_median(&format!("API send, {clients} at once, p50"), &mut times, Budget::AtMost(5.0));
        let note = format!("of {}", times.len());
        self.table.add(&format!("API send, {clients} at once, p99"), high, "ms", Budget::AtMost(25.0), note);
        Ok(())
    }

    /// Measures the first page of an inbox with that many letters, and the count of what is unread.
    fn inbox(&mut self, node: &Node, boss: &Agent, letters: u64) -> Outcome {
        let mut api = boss.api(node)?;
        let unread = api.ask("GET", "/v1/status", "")?["unread"].as_u64();
        if unread != Some(letters) {
            return Err(format!("{unread:?} letters of {letters} are unread").into());
        }
        for (name, path) in [("inbox", "/v1/inbox?limit=20"), ("unread", "/v1/inbox?unread=true&limit=20")] {
            let found = api.ask("GET", path, "")?["letters"].as_array().map_or(0, Vec::len);
            if found != PAGE_LETTERS {
                return Err(format!("{name} shows {found} letters of {PAGE_LETTERS}").into());
            }
            let mut times = self.fetches(&mut api, path)?;
            self.table.add_median(&format!("API {name} at {letters}"), &mut times, Budget::AtMost(5.0));
        }
        let mut times = self.fetches(&mut api, "/v1/status")?;
        self.table.add_median(&format!("API unread count at {letters}"), &mut times, Budget::AtMost(5.0));
        Ok(())
    }

    /// Measures the first search, what others wait for meanwhile, and searches after it.
    fn searches(&mut self, node: &Node, (writer, boss): (&Agent, &Agent), letters: u64) -> Outcome {
        self.memory(node, &format!("memory, {letters} letters"), 250.0);
        let mut api = boss.api(node)?;
        let (first, mut meanwhile) = thread::scope(|scope| {
            let search = scope.spawn(|| {
                let started = Instant::now();
                let found = api.ask("GET", "/v1/letters?query=lantern&limit=20", "").map_err(|e| e.to_string())?;
                Ok::<_, String>((started.elapsed(), found))
            });
            let mut times = Vec::new();
            let mut sender = writer.api(node)?;
            while !search.is_finished() {
                times.push(send(&mut sender, "Reader@mailbox", 0)?);
            }
            let found = search.join().map_err(|_| "a search panicked")??;
            Ok::<_, Box<dyn Error>>((found, times))
        })?;
        let (took, found) = first;
        if found["letters"].as_array().map_or(0, Vec::len) != PAGE_LETTERS || found["settling"] == true {
            return Err("the first search does not find what is there".into());
        }
        let note = if found["truncated"] == true { "the oldest left out" } else { "all letters" };
        let millis = took.as_secs_f64() * 1e3;
        self.table.add(&format!("API first search at {letters}"), millis, "ms", Budget::Free, note.to_owned());
        let high = percentile(&mut meanwhile, 99);
        let note = format!("p99 of {}", meanwhile.len());
        self.table.add("API send during the first search", high, "ms", Budget::AtMost(25.0), note);
        for (name, word) in [("a word of each letter", "lantern"), ("a rare word", "rarity")] {
            let mut times = self.fetches(&mut boss.api(node)?, &format!("/v1/letters?query={word}&limit=20"))?;
            self.table.add_median(&format!("API search at {letters}, {name}"), &mut times, Budget::AtMost(10.0));
        }
        self.memory(node, &format!("memory, {letters} letters searched"), 250.0);
        Ok(())
    }

    fn fetches(&self, api: &mut Api, path: &str) -> Result<Vec<Duration>, Box<dyn Error>> {
        repeat(self.sizes.samples, || {
            let started = Instant::now();
            api.fetch("GET", path, "")?;
            Ok(started.elapsed())
        })
    }
}

/// Waits until a node knows an agent of another node.
fn await_agent(node: &Node, address: &str) -> Outcome {
    let mut api = node.api()?;
    let deadline = Instant::now() + SYNC_PATIENCE;
    while Instant::now() < deadline {
        let known: Value = api.ask("GET", "/v1/agents", "")?;
        if known["agents"].as_array().is_some_and(|agents| agents.iter().any(|agent| agent["address"] == address)) {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Err(format!("{address} does not become known").into())
}

/// Sends letters one after another, and returns how long each took.
fn sent(node: &Node, writer: &Agent, samples: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut api = writer.api(node)?;
    let mut number = 0;
    repeat(samples, || {
        number += 1;
        send(&mut api, "Reader@mailbox", number)
    })
}

/// Sends letters of these numbers to the node's own inbox, by many at once; returns the seconds that took.
fn fill(node: &Node, writer: &Agent, numbers: std::ops::Range<u64>) -> Result<f64, Box<dyn Error>> {
    let started = Instant::now();
    let results: Vec<Result<(), String>> = thread::scope(|scope| {
        let fillers = (0..FILLERS).map(|filler| {
            let numbers = numbers.clone();
            scope.spawn(move || {
                let mut api = writer.api(node).map_err(|e| e.to_string())?;
                for number in numbers.filter(|number| number % FILLERS == filler) {
                    send(&mut api, "Boss", number).map_err(|e| e.to_string())?;
                }
                Ok(())
            })
        });
        let fillers: Vec<_> = fillers.collect();
        fillers.into_iter().map(|it| it.join().unwrap_or_else(|_| Err("a filler panicked".to_owned()))).collect()
    });
    results.into_iter().collect::<Result<Vec<()>, String>>()?;
    Ok(started.elapsed().as_secs_f64())
}

/// Sends one letter.
fn send(api: &mut Api, to: &str, number: u64) -> Result<Duration, Box<dyn Error>> {
    let rare = if number.is_multiple_of(RARE) { "rarity" } else { "" };
    let body = format!("By the light of a lantern: {} {rare}", records::text(number));
    let wish = json!({ "to": [to], "subject": format!("Part {number} is done"), "body": body }).to_string();
    let started = Instant::now();
    api.fetch("POST", "/v1/letters", &wish)?;
    Ok(started.elapsed())
}
