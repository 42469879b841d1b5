//! What a run came to: violations, figures, and the story that a report tells.

use std::collections::BTreeMap;

use serde::Serialize;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The checker that found it; shrinking asks for the same one again.
    pub check: &'static str,
    /// The virtual millisecond.
    pub at_ms: u64,
    /// The node it was found at, where there is one.
    pub node: Option<u32>,
    /// What was found, as a sentence.
    pub what: String,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The digest of what happened, in order, and of the sets at the end; equal runs have equal digests.
    pub digest: u64,
    /// The digest after every `TRACE_STEP` things that were folded into it: it tells where two runs of one plan part.
    pub trace: Vec<u64>,
    /// What must not be, found by the checkers.
    pub violations: Vec<Violation>,
    /// Nodes that ran, copies of nodes included.
    pub nodes: u32,
    /// Virtual microseconds from the first event to the last.
    pub virtual_us: u64,
    /// Events handled.
    pub events: u64,
    /// How often each thing happened that a sweep should see sometimes.
    pub seen: BTreeMap<&'static str, u64>,
    /// What happened, in order.
    pub story: Vec<Line>,
    /// Samples of how far nodes were behind, by time.
    pub samples: Vec<Sample>,
    /// When each node ran.
    pub lives: Vec<Life>,
    /// The figures of the run.
    pub figures: Figures,
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The virtual millisecond.
    pub at_ms: u64,
    /// The node it is about, where there is one.
    pub node: Option<u32>,
    /// What happened, as a clause.
    pub what: String,
}

/// How far nodes were behind at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The virtual millisecond.
    pub at_ms: u64,
    /// Entries that any node holds.
    pub entries: u64,
    /// Entries that each node lacks, by place; absent for those that do not run.
    pub lacks: Vec<Option<u64>>,
}

/// A span in which a node ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Life {
    /// The node.
    pub node: u32,
    /// From.
    pub from_ms: u64,
    /// Until.
    pub to_ms: u64,
}

/// The figures of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Wishes that were carried out, and acknowledged.
    pub acknowledged: u64,
    /// Wishes that were refused, with a reason.
    pub refused: u64,
    /// Wishes of which nobody heard again: the node stopped.
    pub unanswered: u64,
    /// Wishes that found no node running.
    pub unasked: u64,
    /// Entries in the union of all sets at the end.
    pub entries: u64,
    /// Beads in it.
    pub beads: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Claims that the mesh was told of.
    pub claims: u64,
    /// Leases that were held.
    pub leases: u64,
    /// Messages about leases delivered.
    pub lease_messages: u64,
    /// Most bytes that waited in one direction of a link.
    pub queue_bytes_max: u64,
    /// Bytes that all stores took at the end.
    pub stored_bytes: u64,
    /// Virtual milliseconds from healing until all were equal; absent when they never were.
    pub converged_ms: Option<u64>,
    /// Virtual milliseconds until a new bead was known to 50, 99 and 100 % of the nodes that were members by then,
    /// copies aside: the median over beads made while nothing was wrong, absent where no bead got that far.
    pub spread_ms: [Option<u64>; 3],
}
