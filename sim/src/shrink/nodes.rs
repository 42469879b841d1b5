//! Takes nodes out of a plan: the others move up, and what named only those that went goes too.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Plan, Trouble};

/// Leaves the nodes at `kept`, which are in order and begin with the first, in the plan.
///
/// Whoever had a way to each other through those that went has one again: a mesh that falls apart fails in ways that
/// say nothing.
pub(super) fn keep(plan: &mut Plan, kept: &[usize]) {
    let places: BTreeMap<u32, u32> = kept.iter().zip(0..).map(|(old, new)| (place(*old), new)).collect();
    let ways = ways(plan, &places);
    plan.nodes = kept.iter().map(|at| plan.nodes[*at].clone()).collect();
    for (node, ways) in plan.nodes.iter_mut().zip(ways) {
        node.ways = ways.into_iter().collect();
    }
    plan.wishes.retain_mut(|wish| moved(&places, &mut wish.node));
    plan.faults.retain_mut(|fault| befalls(&mut fault.trouble, &places));
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a plan has few nodes")
}

/// Returns the ways of the nodes that stay, by their new places.
fn ways(plan: &Plan, places: &BTreeMap<u32, u32>) -> Vec<BTreeSet<u32>> {
    let mut ways = vec![BTreeSet::new(); places.len()];
    let mut roots: Vec<u32> = (0..).take(places.len()).collect();
    for (old, new) in places {
        let at = usize::try_from(*new).expect("places are small");
        for way in
            plan.nodes[usize::try_from(*old).expect("places are small")].ways.iter().filter_map(|way| places.get(way))
        {
            ways[at].insert(*way);
            join(&mut roots, *new, *way);
        }
    }
    for neighbours in around_gone(plan, places) {
        let mut neighbours = neighbours.into_iter();
        let Some(heir) = neighbours.next() else { continue };
        for other in neighbours {
            if join(&mut roots, heir, other) {
                ways[usize::try_from(heir).expect("places are small")].insert(other);
            }
        }
    }
    ways
}

/// Returns, for each group of nodes that go together, those around it that stay, by their new places.
fn around_gone(plan: &Plan, places: &BTreeMap<u32, u32>) -> Vec<BTreeSet<u32>> {
    let mut beside: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (low, high) in plan.ways() {
        beside.entry(low).or_default().push(high);
        beside.entry(high).or_default().push(low);
    }
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    for start in (0..).take(plan.nodes.len()).filter(|node| !places.contains_key(node)) {
        let (mut around, mut waiting) = (BTreeSet::new(), vec![start]);
        while let Some(node) = waiting.pop() {
            if let Some(stays) = places.get(&node) {
                around.insert(*stays);
            } else if seen.insert(node) {
                waiting.extend(beside.get(&node).into_iter().flatten());
            }
        }
        groups.push(around);
    }
    groups
}

/// Joins the groups of two nodes; says whether they were apart.
fn join(roots: &mut [u32], one: u32, other: u32) -> bool {
    let root = |mut node: u32| loop {
        let up = roots[usize::try_from(node).expect("places are small")];
        if up == node {
            break node;
        }
        node = up;
    };
    let (one, other) = (root(one), root(other));
    roots[usize::try_from(one.max(other)).expect("places are small")] = one.min(other);
    one != other
}

/// Moves a node to its new place; says whether it has one.
fn moved(places: &BTreeMap<u32, u32>, node: &mut u32) -> bool {
    let new = places.get(node);
    *node = *new.unwrap_or(node);
    new.is_some()
}

/// Moves the nodes of a trouble to their new places; says whether it still befalls any.
fn befalls(trouble: &mut Trouble, places: &BTreeMap<u32, u32>) -> bool {
    match trouble {
        Trouble::Partition { side, bridge, .. } => {
            *bridge = bridge.and_then(|node| places.get(&node).copied());
            side.retain_mut(|node| moved(places, node));
            !side.is_empty()
        }
        Trouble::Clog { node }
        | Trouble::Rough { node, .. }
        | Trouble::Narrow { node, .. }
        | Trouble::Kill { node }
        | Trouble::PowerCut { node, .. }
        | Trouble::Pause { node, .. }
        | Trouble::WallStep { node, .. }
        | Trouble::DiskFull { node }
        | Trouble::SyncError { node }
        | Trouble::SlowDisk { node, .. }
        | Trouble::Corrupt { node }
        | Trouble::LoseDisk { node }
        | Trouble::Restore { node }
        | Trouble::Clone { node, .. }
        | Trouble::Rogue { node, .. } => moved(places, node),
    }
}
