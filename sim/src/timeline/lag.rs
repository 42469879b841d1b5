//! How far nodes were behind, as an area.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use super::axis::{Axis, tenths};
use crate::outcome::{Outcome, Sample};

/// Returns the most entries that any node lacked at a time.
pub(super) fn most(outcome: &Outcome) -> u64 {
    outcome.samples.iter().flat_map(|sample| sample.lacks.iter().flatten()).copied().max().unwrap_or(0)
}

/// Returns the outline of how many entries the node among `nodes` lacked that lacked most; `height` says how high that
/// is, in tenths from the top. Where none of them ran there is nothing.
pub(super) fn path(outcome: &Outcome, axis: &Axis, nodes: Range<usize>, height: impl Fn(u64) -> u64) -> String {
    let mut path = String::new();
    let base = tenths(height(0));
    for stretch in stretches(&outcome.samples, axis, &nodes) {
        let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { continue };
        // What is equal all the time has no area.
        if stretch.iter().all(|(_, lacks)| *lacks == 0) {
            continue;
        }
        write!(path, "M{} {base}", tenths(first.0)).expect("a text takes all that is written");
        for (x, lacks) in &stretch {
            write!(path, "L{} {}", tenths(*x), tenths(height(*lacks))).expect("a text takes all that is written");
        }
        write!(path, "L{} {base}Z", tenths(last.0)).expect("a text takes all that is written");
    }
    path
}

/// Returns the most that was lacked at each place of the picture, in stretches in which any of the nodes ran.
///
/// Samples that share a place are one there; so is the picture of a long run as small as that of a short one.
fn stretches(samples: &[Sample], axis: &Axis, nodes: &Range<usize>) -> Vec<Vec<(u64, u64)>> {
    let mut places: BTreeMap<u64, (u64, Option<u64>)> = BTreeMap::new();
    for sample in samples {
        let lacks = sample.lacks.iter().skip(nodes.start).take(nodes.len()).flatten().copied().max();
        let x = axis.tenths(sample.at_ms);
        let (_, most) = places.entry(x / 15).or_insert((x, None));
        *most = (*most).max(lacks);
    }
    let mut stretches = vec![Vec::new()];
    for (x, lacks) in places.into_values() {
        match (lacks, stretches.last_mut()) {
            (Some(lacks), Some(stretch)) => stretch.push((x, lacks)),
            _ => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}
