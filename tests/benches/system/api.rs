//! A client of a node's socket: one connection, one request at a time, every wait bounded.
//!
//! It speaks just the HTTP that a node answers with, so that what is measured is the node and not a client library.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time a request may take; none of those sent here does much.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an answer, far above a page of beads.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Events that wait to be looked at.
const EVENTS_MAX: usize = 4_096;

/// A connection to a node.
#[derive(Debug)]
pub(crate) struct Api {
    stream: BufReader<UnixStream>,
    /// Headers that say who asks.
    caller: String,
}

/// A bead that a node told of, and when it did.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) bead: String,
    pub(crate) at: Instant,
}

impl Api {
    /// Connects to a socket.
    pub(crate) fn connect(socket: &Path) -> Result<Self, Box<dyn Error>> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), caller: String::new() })
    }

    /// Asks as an agent from now on.
    pub(crate) fn act_as(&mut self, name: &str, token: &str) {
        self.caller = format!("\r\nbeadmesh-agent: {name}\r\nauthorization: Bearer {token}");
    }

    /// Asks, and reads the answer as JSON.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_slice(&self.fetch(method, path, body)?)?)
    }

    /// Asks, and returns the answer's bytes.
    pub(crate) fn fetch(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        self.send(method, path, body)?;
        let (status, bytes) = self.head()?;
        if bytes > ANSWER_BYTES_MAX {
            return Err(format!("{method} {path} answers with {bytes} B").into());
        }
        let mut answer = vec![0; bytes];
        self.stream.read_exact(&mut answer)?;
        if !status.starts_with('2') {
            return Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(answer)
    }

    /// Follows the node's events from now on; the thread that reads ends with the node, or when nobody listens.
    pub(crate) fn watch(mut self) -> Result<Receiver<Seen>, Box<dyn Error>> {
        self.send("GET", "/v1/events", "")?;
        let (status, _) = self.head()?;
        if !status.starts_with('2') {
            return Err(format!("GET /v1/events: {status}").into());
        }
        let (sender, receiver) = sync_channel(EVENTS_MAX);
        thread::spawn(move || {
            // The lengths of chunks lie between the lines of events, and are none.
            for line in self.stream.lines() {
                let at = Instant::now();
                let Ok(line) = line else { return };
                let Some(data) = line.strip_prefix("data:") else { continue };
                let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
                let Some(bead) = event["bead"].as_str() else { continue };
                if sender.try_send(Seen { bead: bead.to_owned(), at }).is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Result<(), Box<dyn Error>> {
        let bytes = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json");
        let request = format!("{head}{}\r\ncontent-length: {bytes}\r\n\r\n{body}", self.caller);
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    /// Reads the head of an answer: its status, and the bytes of its body where it says them.
    fn head(&mut self) -> Result<(String, usize), Box<dyn Error>> {
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.1 ").ok_or("the answer is no HTTP/1.1")?.to_owned();
        let mut bytes = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, bytes));
            }
            let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
            if name.eq_ignore_ascii_case("content-length") {
                bytes = value.trim().parse()?;
            }
        }
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the node closed the connection".into());
        }
        Ok(line.trim_end().to_owned())
    }
}
