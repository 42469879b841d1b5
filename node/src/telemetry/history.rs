//! What was measured over time: the last quarter of an hour in memory, a week on disk.
//!
//! It is kept of a bounded number of machines and never stands in the way: what can not be written is left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::NodeId;
use tracing::{info, warn};

use super::metric::Metric;

mod journal;

use journal::Journal;
pub(super) use journal::Row;

/// How far back single samples are kept.
const RECENT: Duration = Duration::from_secs(15 * 60);

/// Samples of one machine that are kept: those of that time at the fastest pace.
const RECENT_MAX: usize = 450;

/// What one row on disk is the mean of.
const SLOT: Duration = Duration::from_secs(5 * 60);

/// Machines of which samples are kept beside this one.
const OTHERS_MAX: usize = 15;

/// Rows that wait to be written while the disk takes its time.
const PENDING_MAX: usize = 1_024;

/// Keeps what was measured, of this machine always.
#[derive(Debug)]
pub(crate) struct History {
    own: NodeId,
    inner: Mutex<Inner>,
    journal: Mutex<Journal>,
}

/// Numbers over time, each with its moment, the oldest first.
pub(crate) type Points = Vec<(Wall, f32)>;

#[derive(Debug, Default)]
struct Inner {
    machines: BTreeMap<NodeId, Ring>,
    pending: Vec<Row>,
    /// Whether the last writing failed, so that it is told once.
    failing: bool,
}

#[derive(Debug, Default)]
struct Ring {
    recent: VecDeque<(Wall, Vec<(Metric, f32)>)>,
    slot: u64,
    /// Sums of the slot that is under way.
    sums: BTreeMap<Metric, (f64, u32)>,
}

impl History {
    /// Keeps what is written in that folder, on a machine of that node.
    pub(crate) fn at(dir: PathBuf, own: NodeId) -> Self {
        Self { own, inner: Mutex::default(), journal: Mutex::new(Journal::at(dir)) }
    }

    /// Takes what was measured on a machine.
    pub(crate) fn record(&self, node: NodeId, at: Wall, values: Vec<(Metric, f32)>) {
        let inner = &mut *lock(&self.inner);
        if node != self.own && !inner.machines.contains_key(&node) {
            let others = inner.machines.keys().filter(|other| **other != self.own).count();
            if others >= OTHERS_MAX {
                return;
            }
        }
        let ring = inner.machines.entry(node).or_default();
        let closed = ring.add(at, values);
        if let Some((slot, values)) = closed.filter(|_| inner.pending.len() < PENDING_MAX) {
            inner.pending.push(Row { node, slot, values });
        }
    }

    /// Forgets in memory who is no member; what is on disk goes with its week.
    pub(crate) fn retain(&self, members: &BTreeSet<NodeId>) {
        lock(&self.inner).machines.retain(|node, _| members.contains(node));
    }

    /// Returns whether something waits to be written.
    pub(crate) fn is_pending(&self) -> bool {
        !lock(&self.inner).pending.is_empty()
    }

    /// Writes what waits; as long as the disk takes.
    pub(crate) fn write(&self) {
        let rows = std::mem::take(&mut lock(&self.inner).pending);
        let written = lock(&self.journal).append(&rows);
        let mut inner = lock(&self.inner);
        match written {
            Ok(()) if inner.failing => {
                inner.failing = false;
                info!("measurements are written again");
            }
            Err(error) if !inner.failing => {
                inner.failing = true;
                warn!(%error, "measurements are not written until there is room");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Returns what was measured on a machine in the last quarter of an hour.
    pub(crate) fn recent(&self, node: NodeId, metric: Metric) -> Points {
        let inner = lock(&self.inner);
        let Some(ring) = inner.machines.get(&node) else { return Points::new() };
        let value =
            |values: &[(Metric, f32)]| values.iter().find(|(found, _)| *found == metric).map(|(_, value)| *value);
        ring.recent.iter().filter_map(|(at, values)| Some((*at, value(values)?))).collect()
    }

    /// Reads means of five minutes each from the last week; as long as the disk takes.
    pub(crate) fn week(&self, node: NodeId, metric: Metric, now: Wall) -> Points {
        let journal = lock(&self.journal).reader();
        let mut points = Points::new();
        journal.read(slot_of(now), |row| {
            if row.node != node {
                return;
            }
            let value = row.values.iter().find(|(found, _)| *found == metric);
            points.extend(value.map(|(_, value)| (start_of(row.slot), *value)));
        });
        points.sort_by_key(|(at, _)| *at);
        points
    }

    /// Returns what is kept of a machine in memory.
    pub(crate) fn metrics(&self, node: NodeId) -> Vec<Metric> {
        let inner = lock(&self.inner);
        let rows = inner.machines.get(&node).into_iter().flat_map(|ring| &ring.recent);
        let metrics: BTreeSet<Metric> = rows.flat_map(|(_, values)| values).map(|(metric, _)| *metric).collect();
        metrics.into_iter().collect()
    }
}

impl Ring {
    /// Takes numbers; returns the means of the slot that they end, if they do.
    fn add(&mut self, at: Wall, values: Vec<(Metric, f32)>) -> Option<(u64, Vec<(Metric, f32)>)> {
        let slot = slot_of(at);
        let ended = (slot != self.slot && !self.sums.is_empty()).then(|| {
            let sums = std::mem::take(&mut self.sums);
            #[expect(clippy::cast_possible_truncation, reason = "a mean of such numbers is one")]
            let mean = |(sum, count): (f64, u32)| (sum / f64::from(count)) as f32;
            (self.slot, sums.into_iter().map(|(metric, sum)| (metric, mean(sum))).collect())
        });
        self.slot = slot;
        for (metric, value) in &values {
            let (sum, count) = self.sums.entry(*metric).or_default();
            *sum += f64::from(*value);
            *count += 1;
        }
        self.recent.push_back((at, values));
        while self.recent.len() > RECENT_MAX || self.recent.front().is_some_and(|(then, _)| then.until(at) > RECENT) {
            self.recent.pop_front();
        }
        ended
    }
}

fn slot_of(at: Wall) -> u64 {
    at.as_millis() / slot_ms()
}

fn start_of(slot: u64) -> Wall {
    Wall::from_millis(slot.saturating_mul(slot_ms()))
}

fn slot_ms() -> u64 {
    u64::try_from(SLOT.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: NodeId = NodeId::from_bytes([1; 32]);
    const BOB: NodeId = NodeId::from_bytes([2; 32]);
    const START: Wall = Wall::from_millis(1_800_000_000_000);

    fn after(seconds: u64) -> Wall {
        START.after(Duration::from_secs(seconds))
    }

    fn history() -> (tempfile::TempDir, History) {
        let dir = tempfile::tempdir().unwrap();
        let history = History::at(dir.path().join("telemetry"), ADA);
        (dir, history)
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_sample_by_sample() {
        let (_dir, history) = history();
        for at in 0..1_000 {
            history.record(ADA, after(at * 2), vec![(Metric::Cpu, 7.0), (Metric::Load, 1.0)]);
        }
        let recent = history.recent(ADA, Metric::Cpu);
        assert_eq!(
            (recent.len(), recent.first().unwrap().0, recent.last().unwrap().0),
            (450, after(1_100), after(1_998))
        );
        assert_eq!(history.recent(ADA, Metric::Disk), []);
        assert_eq!(history.recent(BOB, Metric::Cpu), []);
        assert_eq!(history.metrics(ADA), [Metric::Cpu, Metric::Load]);
    }

    #[test]
    fn five_minutes_become_one_mean_that_outlives_the_process() {
        let (dir, history) = history();
        for at in 0..310 {
            history.record(ADA, after(at * 2), vec![(Metric::Cpu, if at < 150 { 10.0 } else { 30.0 })]);
        }
        history.record(BOB, after(0), vec![(Metric::Cpu, 50.0)]);
        assert!(history.is_pending());
        history.write();
        assert!(!history.is_pending());
        drop(history);
        let history = History::at(dir.path().join("telemetry"), ADA);
        assert_eq!(history.week(ADA, Metric::Cpu, after(620)), [(START, 10.0), (after(300), 30.0)]);
        assert_eq!(history.week(BOB, Metric::Cpu, after(620)), [], "its five minutes are not over");
        assert_eq!(history.week(ADA, Metric::Cpu, after(8 * 24 * 3_600)), [], "a week is over");
    }

    #[test]
    fn machines_beyond_the_bound_are_not_kept_but_this_one_is_and_former_members_make_room() {
        let (_dir, history) = history();
        let node = |at: u8| NodeId::from_bytes([at; 32]);
        for at in (2..=17).chain([1]) {
            history.record(node(at), START, vec![(Metric::Cpu, 1.0)]);
        }
        let kept = |at: u8| !history.recent(node(at), Metric::Cpu).is_empty();
        assert!(kept(16) && !kept(17) && node(1) == ADA && kept(1));
        history.retain(&[node(17)].into());
        history.record(node(17), START, vec![(Metric::Cpu, 1.0)]);
        assert!(kept(17) && !kept(16));
    }
}
