//! What is counted and sampled while a run goes on.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::id::{BeadId, EntryId};
use beadmesh_store::command::{Answer, ClaimState, CommandError};

use super::{MILLI, Mesh};
use crate::disk;
use crate::outcome::Sample;
use crate::sometimes;

/// Nodes up to which the union of all sets is taken for each sample; beyond, the largest set stands for it.
const UNION_NODES_MAX: usize = 40;

/// How far new beads have spread.
#[derive(Debug, Default)]
pub(super) struct Spread {
    beads: BTreeMap<BeadId, Reach>,
}

/// How far one bead has spread.
#[derive(Debug)]
struct Reach {
    born_us: u64,
    /// Whether nothing was wrong when it was made.
    calm: bool,
    heard: u64,
    /// When 50, 99 and 100 % of the nodes had heard of it that were members then.
    reached_us: [Option<u64>; 3],
}

impl Spread {
    pub(super) fn born(&mut self, bead: BeadId, now_us: u64, calm: bool) {
        let reach = self.beads.entry(bead).or_insert(Reach { born_us: now_us, calm, heard: 0, reached_us: [None; 3] });
        (reach.born_us, reach.calm) = (now_us, calm);
    }

    /// Notes that one more node has heard of a bead, of so many members; copies do not count.
    pub(super) fn heard(&mut self, bead: BeadId, now_us: u64, members: u64) {
        let unborn = Reach { born_us: now_us, calm: false, heard: 0, reached_us: [None; 3] };
        let reach = self.beads.entry(bead).or_insert(unborn);
        reach.heard += 1;
        for (reached, percent) in reach.reached_us.iter_mut().zip([50, 99, 100]) {
            if reached.is_none() && reach.heard * 100 >= members * percent {
                *reached = Some(now_us);
            }
        }
    }

    /// Returns the median times in virtual milliseconds.
    pub(super) fn medians(&self) -> [Option<u64>; 3] {
        [0, 1, 2].map(|mark| {
            let calm = self.beads.values().filter(|reach| reach.calm);
            let spans = calm.filter_map(|reach| Some(reach.reached_us[mark]?.saturating_sub(reach.born_us)));
            let mut spans: Vec<u64> = spans.collect();
            spans.sort_unstable();
            spans.get(spans.len() / 2).map(|span| span / MILLI)
        })
    }
}

impl Mesh<'_> {
    pub(super) fn on_sample(&mut self) {
        let held: Vec<Option<u64>> = self
            .nodes
            .iter()
            .map(|node| {
                let hello = node.process.as_ref().filter(|_| node.joined)?.replica.hello();
                Some(hello.control.count + hello.data.count)
            })
            .collect();
        let most = held.iter().flatten().max().copied().unwrap_or(0);
        let entries = if self.nodes.len() <= UNION_NODES_MAX { self.union().len() as u64 } else { most };
        let lacks = held.iter().map(|held| held.map(|held| entries.saturating_sub(held))).collect();
        self.samples.push(Sample { at_ms: self.now_us / MILLI, entries, lacks });
    }

    /// Returns every entry that lies on the disk of a member.
    fn union(&self) -> BTreeSet<EntryId> {
        let mut union = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| node.joined && !node.retired && !node.damaged) {
            union.extend(disk::ids(&node.disk.lock()));
        }
        union
    }

    /// Notes what an answer shows to be sometimes so.
    pub(super) fn note_answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Bead(bead) => {
                sometimes!(self.coverage, "conflict-shown", !bead.conflicts.is_empty());
                sometimes!(self.coverage, "alias-shared", bead.alias.contains('~'));
            }
            Answer::Imported(report) => {
                sometimes!(self.coverage, "import-equal-twice", report.unchanged > 0);
                sometimes!(self.coverage, "import-older-kept", !report.older.is_empty());
                sometimes!(self.coverage, "import-conflicting", !report.conflicting.is_empty());
            }
            Answer::Claim(claim) => {
                sometimes!(self.coverage, "claim-held", matches!(claim.state, ClaimState::Held { .. }));
                sometimes!(self.coverage, "claim-tentative", matches!(claim.state, ClaimState::Tentative { .. }));
            }
            Answer::Status(status) => {
                sometimes!(self.coverage, "entry-from-future", status.entries_from_future > 0);
            }
            _ => {}
        }
    }

    /// Notes what a refusal shows to be sometimes so.
    pub(super) fn note_refusal(&mut self, error: &CommandError) {
        sometimes!(self.coverage, "command-refused", true);
        sometimes!(self.coverage, "cycle-refused", matches!(error, CommandError::Cycle { .. }));
        sometimes!(self.coverage, "claim-refused", matches!(error, CommandError::Held { .. }));
        sometimes!(self.coverage, "command-ambiguous", matches!(error, CommandError::Ambiguous { .. }));
    }
}
