//! What faults may come together: a plan within the budget leaves the mesh able to keep what is promised.
//!
//! A plan out of it shows nothing but that all copies of a bead can be lost.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::op::Role;

use crate::plan::{Fault, Misdeed, Node, Plan, Trouble};

/// How long after a disk was lost the next may be: its content must have come back.
const LOSS_GAP_MS: u64 = 30_000;

/// How long before and after somebody joins the first node, which lets them in, is left in peace.
const JOIN_CALM_MS: u64 = 20_000;

/// How long a node that joined later is left in peace.
const ENTER_MS: u64 = 5_000;

/// How long a process is left in peace between two faults.
const START_MS: u64 = 1_000;

/// Returns how many of that many nodes may lie: 30 %.
pub fn rogues_max(nodes: usize) -> usize {
    nodes * 3 / 10
}

/// Returns how many of that many nodes may lose or double what is on their disk.
pub fn damaged_max(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 2
}

/// Checks a whole plan.
///
/// # Errors
/// Names the first fault that is over the budget, and why.
pub fn check(plan: &Plan) -> Result<(), OverBudget> {
    let rogues = plan.nodes.iter().filter(|node| node.rogue).count();
    if rogues > rogues_max(plan.nodes.len()) || plan.nodes.first().is_some_and(|node| node.rogue) {
        return Err(OverBudget { at_ms: 0, trouble: "rogue", why: "at most 30 % of the nodes lie, the first never" });
    }
    let mut budget = Budget::new(&plan.nodes, plan.span_ms);
    plan.faults.iter().try_for_each(|fault| budget.take(fault))
}

/// A fault that is over the budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{trouble} at {at_ms} ms is over the budget: {why}")]
pub struct OverBudget {
    /// When it begins.
    pub at_ms: u64,
    /// What it is.
    pub trouble: &'static str,
    /// Why it may not be.
    pub why: &'static str,
}

/// A span of time, both ends included.
type Span = (u64, u64);

/// What faults have been taken so far.
pub(super) struct Budget<'a> {
    nodes: &'a [Node],
    span_ms: u64,
    /// When somebody joins, in order.
    joins: Vec<u64>,
    /// When each process is at fault.
    busy: BTreeMap<u32, Vec<Span>>,
    /// When each node has each kind of trouble.
    kinds: BTreeMap<(u32, &'static str), Vec<Span>>,
    damaged: BTreeSet<u32>,
    losses: Vec<Span>,
}

impl<'a> Budget<'a> {
    pub(super) fn new(nodes: &'a [Node], span_ms: u64) -> Self {
        let mut joins: Vec<u64> = nodes.iter().map(|node| node.joins_ms).filter(|joins_ms| *joins_ms > 0).collect();
        joins.sort_unstable();
        let (busy, kinds) = (BTreeMap::new(), BTreeMap::new());
        Self { nodes, span_ms, joins, busy, kinds, damaged: BTreeSet::new(), losses: Vec::new() }
    }

    /// Takes a fault in, or says why it may not be; then nothing is changed.
    pub(super) fn take(&mut self, fault: &Fault) -> Result<(), OverBudget> {
        let refuse = |why| Err(OverBudget { at_ms: fault.at_ms, trouble: fault.trouble.name(), why });
        if let Some(why) = self.objection(fault) {
            return refuse(why);
        }
        let span = (fault.at_ms, fault.at_ms.saturating_add(fault.for_ms));
        let Some(node) = fault.trouble.single() else { return Ok(()) };
        self.kinds.entry((node, fault.trouble.name())).or_default().push(span);
        if stops(&fault.trouble) {
            self.busy.entry(node).or_default().push(span);
        }
        if damages(&fault.trouble) {
            self.damaged.insert(node);
            if !matches!(fault.trouble, Trouble::Clone { .. }) {
                self.losses.push(span);
            }
        }
        Ok(())
    }

    fn objection(&self, fault: &Fault) -> Option<&'static str> {
        let span = (fault.at_ms, fault.at_ms.saturating_add(fault.for_ms));
        if span.1 > self.span_ms {
            return Some("it ends after span_ms");
        }
        if fault.trouble.nodes().into_iter().any(|node| !self.has_joined(node, fault.at_ms)) {
            return Some("the node has not joined yet");
        }
        let node = fault.trouble.single()?;
        let spans = |spans: Option<&Vec<Span>>, gap| spans.is_some_and(|spans| meets(spans, span, gap));
        if !matches!(fault.trouble, Trouble::Rogue { .. }) && spans(self.kinds.get(&(node, fault.trouble.name())), 0) {
            return Some("the node has the same trouble then");
        }
        if stops(&fault.trouble) {
            if spans(self.busy.get(&node), START_MS) {
                return Some("the node's process is at fault then");
            }
            if node == 0 && self.joins.iter().any(|joins_ms| near(*joins_ms, span, JOIN_CALM_MS)) {
                return Some("somebody joins by the first node then");
            }
        }
        if damages(&fault.trouble) {
            return self.damage_objection(node, span, &fault.trouble);
        }
        match fault.trouble {
            Trouble::Rogue { misdeed, .. } => self.rogue_objection(node, misdeed),
            _ => None,
        }
    }

    fn damage_objection(&self, node: u32, span: Span, trouble: &Trouble) -> Option<&'static str> {
        if !self.damaged.contains(&node) && self.damaged.len() >= damaged_max(self.nodes.len()) {
            return Some("most disks must stay sound");
        }
        if node == 0 && self.joins.last().is_some_and(|joins_ms| *joins_ms >= span.0) {
            return Some("somebody is yet to join by the first node");
        }
        if self.node(node).is_none_or(|node| node.rogue) {
            return Some("a rogue's disk is its own affair");
        }
        let is_loss = !matches!(trouble, Trouble::Clone { .. });
        (is_loss && meets(&self.losses, span, LOSS_GAP_MS)).then_some("another disk was lost just before")
    }

    fn rogue_objection(&self, node: u32, misdeed: Misdeed) -> Option<&'static str> {
        match self.node(node) {
            Some(node) if !node.rogue => Some("the node is honest"),
            Some(node) if misdeed == Misdeed::Observer && node.role != Role::Observer => {
                Some("the node is no observer")
            }
            Some(_) => None,
            None => Some("there is no such node"),
        }
    }

    /// Returns whether a node is a member by then, and has had time to settle in.
    pub(super) fn has_joined(&self, node: u32, at_ms: u64) -> bool {
        self.node(node).is_some_and(|node| node.joins_ms == 0 || node.joins_ms.saturating_add(ENTER_MS) <= at_ms)
    }

    fn node(&self, node: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(node).ok()?)
    }
}

/// Returns whether a fault stops or doubles a process: of those a node has one at a time.
fn stops(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Kill { .. }
            | Trouble::PowerCut { .. }
            | Trouble::Pause { .. }
            | Trouble::DiskFull { .. }
            | Trouble::SyncError { .. }
    ) || damages(trouble)
}

/// Returns whether a fault loses or doubles what is on a disk.
fn damages(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Corrupt { .. } | Trouble::LoseDisk { .. } | Trouble::Restore { .. } | Trouble::Clone { .. }
    )
}

fn meets(spans: &[Span], span: Span, gap: u64) -> bool {
    spans.iter().any(|(from, to)| *from <= span.1.saturating_add(gap) && span.0 <= to.saturating_add(gap))
}

fn near(moment: u64, span: Span, gap: u64) -> bool {
    meets(&[(moment, moment)], span, gap)
}

impl Trouble {
    /// Returns the node it befalls, where it befalls just one.
    fn single(&self) -> Option<u32> {
        match self {
            Self::Partition { .. } => None,
            other => other.nodes().first().copied(),
        }
    }
}

/// Returns the nodes among some that the first of all reaches over them alone.
pub(super) fn reached(among: &[usize], ways: &[Vec<u32>]) -> BTreeSet<usize> {
    let among: BTreeSet<usize> = among.iter().copied().collect();
    let linked = |from: usize, to: usize| {
        let names = |ways: &[u32], place: usize| ways.iter().any(|way| usize::try_from(*way) == Ok(place));
        names(&ways[from], to) || names(&ways[to], from)
    };
    let mut reached = BTreeSet::from([0]);
    let mut ahead = vec![0];
    while let Some(from) = ahead.pop() {
        for to in &among {
            if !reached.contains(to) && linked(from, *to) {
                reached.insert(*to);
                ahead.push(*to);
            }
        }
    }
    reached
}
