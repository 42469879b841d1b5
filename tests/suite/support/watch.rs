//! What a node tells of changes while it runs: its stream of events, as a program would follow it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::Value;

use super::{Node, PATIENCE};

/// Events of a node from some moment on.
#[derive(Debug)]
pub(crate) struct Watch(Receiver<Value>);

impl Watch {
    /// Follows the events of a running node from now on.
    pub(crate) fn of(node: &Node) -> Self {
        let mut stream = UnixStream::connect(node.home().join("node.sock")).unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().unwrap().unwrap();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some(data) = line.strip_prefix("data:") else { continue };
                let Ok(event) = serde_json::from_str(data) else { continue };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self(events)
    }

    /// Waits for an event that is of interest.
    pub(crate) fn await_event(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.0.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited in vain for {what}"));
            if is_it(&event) {
                return event;
            }
        }
    }
}
