//! Nodes of one mesh that vote on claims, and how long somebody was told to be alone.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Node, settle, until};

/// How long the voters of a crew keep a promise: as short as may be, so that what is lost is free again soon.
const HOLD: &str = "5s";

/// Makes one mesh of nodes that have not joined any: the first is its owner, and the first `voters` of them vote.
pub(crate) fn crew(nodes: &mut [Node], voters: usize) {
    for node in nodes.iter_mut() {
        node.up();
    }
    let (owner, others) = nodes.split_first().unwrap();
    for node in others {
        node.join(owner);
    }
    settle(&nodes.iter().collect::<Vec<_>>());
    let names: Vec<&str> = nodes[..voters].iter().map(Node::name).collect();
    nodes[0].json(&[&["voters", "set", "--hold", HOLD], names.as_slice()].concat());
    let is_chosen = |body: &Value| {
        let seats: Vec<&str> =
            body["voters"].as_array().unwrap().iter().filter_map(|seat| seat["name"].as_str()).collect();
        names.iter().all(|name| seats.contains(name)) && body["reached"] == voters
    };
    until("the voters to be known", || nodes.iter().all(|node| is_chosen(&node.json(&["voters", "list"]))));
}

/// The time in which somebody may think to be alone, by the clock of the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenure {
    /// Whose it is.
    pub(crate) holder: String,
    /// When the claim was answered with `held`.
    pub(crate) from: Instant,
    /// When it is over at the latest, unless its node is asked again.
    pub(crate) until: Instant,
    /// What fences the work.
    pub(crate) token: u64,
}

impl Tenure {
    /// Reads an answer to a claim that was asked for at `asked_at`; none where it is not held.
    ///
    /// What was left is counted from before the answer was made, so that the true end can only be later.
    pub(crate) fn read(answer: &Value, asked_at: Instant) -> Option<Self> {
        let from = Instant::now();
        let claim = &answer["claim"];
        let left = Duration::from_millis(claim["left_ms"].as_u64()?);
        (claim["state"] == "held").then(|| Self {
            holder: claim["agent"].as_str().unwrap().to_owned(),
            from,
            until: asked_at + left,
            token: claim["token"].as_u64().unwrap(),
        })
    }

    /// Takes note that its holder gives it up at this moment, if it is not over before.
    pub(crate) fn end(&mut self) {
        self.until = self.until.min(Instant::now());
    }

    /// Checks that none began before those before it were over, and that tokens do not fall.
    ///
    /// What is shown of a token is its counter, and two holders may have the same: then their names order them.
    pub(crate) fn assert_apart(mut tenures: Vec<Self>) {
        tenures.sort_by_key(|tenure| tenure.from);
        for pair in tenures.windows(2) {
            let [first, second] = pair else { continue };
            assert!(first.until <= second.from, "two at one time: {first:?} and {second:?}");
            assert!(first.token <= second.token, "the later has the lower token: {first:?} and {second:?}");
        }
    }
}
