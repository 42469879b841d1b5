use std::sync::mpsc;

use beadmesh_protocol::clock::{Instant as Ours, Now};
use beadmesh_protocol::id::MeshId;
use beadmesh_store::replica::{FlushError, Input, Output};

use super::*;
use crate::core::{Machine, Queue};

/// A replica that hangs until it is let go, and then answers.
struct Wedged {
    go: mpsc::Receiver<()>,
    out: Vec<Output>,
}

impl Machine for Wedged {
    fn handle(&mut self, _: Now, input: Input) {
        let Input::Command(request, _) = input else { return };
        let _ = self.go.recv();
        self.out.push(Output::Reply(request, Box::new(Ok(Answer::Done))));
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        Ok(std::mem::take(&mut self.out))
    }

    fn next_wakeup(&self) -> Option<Ours> {
        None
    }
}

#[tokio::test]
async fn a_node_is_healthy_only_while_its_replica_answers() {
    let (let_go, go) = mpsc::channel();
    let core = Core::start(Wedged { go, out: Vec::new() }, MeshId::NONE, &Queue::default(), Box::new(drop)).unwrap();
    assert!(!answers(&core, Duration::from_millis(50)).await);
    // Dropped, it lets everything go.
    drop(let_go);
    assert!(answers(&core, Duration::from_secs(60)).await);
    core.stop().await;
    assert!(!answers(&core, Duration::from_secs(60)).await);
}

#[test]
fn folders_are_measured_as_deep_as_they_are_looked_into() {
    let temp = tempfile::tempdir().unwrap();
    let deep = temp.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(temp.path().join("one"), [0; 5]).unwrap();
    fs::write(deep.join("two"), [0; 7]).unwrap();
    assert_eq!([0, 1, 2].map(|levels| bytes_below(temp.path(), levels)), [5, 5, 12]);
    assert_eq!(bytes_below(&temp.path().join("none"), 1), 0);
}

#[test]
fn openmetrics_is_shown_to_who_names_it_and_does_not_prefer_plain_text() {
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, format) in [
        (prometheus, Format::Open),
        ("application/openmetrics-text", Format::Open),
        ("text/plain;q=0.3, Application/OpenMetrics-Text; version=1.0.0; Q=0.5", Format::Open),
        ("*/*", Format::Classic),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Classic),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", Format::Classic),
        ("application/openmetrics-text;q=0", Format::Classic),
        ("application/openmetrics-text;q=often", Format::Classic),
        ("", Format::Classic),
    ] {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        assert_eq!(wanted(&headers), format, "{accept}");
    }
    assert_eq!(wanted(&HeaderMap::new()), Format::Classic);
}
