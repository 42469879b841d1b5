//! The nodes of a plan: who they are, when they join, whom they have a way to, and what their clocks and disks are like.

use beadmesh_protocol::op::Role;
use beadmesh_protocol::sync::WINDOW_BYTES;

use crate::plan::{Network, Node};
use crate::random::Stream;
use crate::scenario::Scenario;

/// Up to how many nodes each may have a way to every other.
const FULL_NODES_MAX: usize = 12;

/// Up to how many nodes there is room for many documents at each.
const ROOMY_NODES_MAX: usize = 40;

/// The drift of a clock that is as wrong as clocks get: 1 %.
const DRIFT_PPM_MAX: i32 = 10_000;

const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// Draws the network as it is when nothing is wrong with it.
pub(super) fn network(seed: u64, scenario: Scenario) -> Network {
    let mut stream = Stream::keyed(seed, "network", 0, 0);
    let latency_min_us = stream.between(0, 30_000);
    let latency_mean_us = stream.scaled(500, 100_000);
    let loss_per_mille = if stream.chance(500) { 0 } else { stream.between(1, 50) };
    let bytes_per_s =
        if stream.chance(125) { stream.scaled(30_000, 1_000_000) } else { stream.scaled(1_000_000, 1 << 30) };
    // The window that nodes really have is never full here; a small one is.
    let window_bytes = *Stream::keyed(seed, "window", 0, 0).pick(&[2 * 1024, 64 * 1024, WINDOW_BYTES]);
    match scenario {
        // One switch.
        Scenario::GpuFarm => {
            let (latency_min_us, latency_mean_us, loss_per_mille, bytes_per_s) = (50, 200, 0, 1_000_000_000);
            Network { latency_min_us, latency_mean_us, loss_per_mille, bytes_per_s, window_bytes }
        }
        _ => {
            let loss_per_mille = u32::try_from(loss_per_mille).unwrap_or(0);
            Network { latency_min_us, latency_mean_us, loss_per_mille, bytes_per_s, window_bytes }
        }
    }
}

/// Draws the nodes.
pub(super) fn nodes(seed: u64, scenario: Scenario, count: usize, span_ms: u64) -> Vec<Node> {
    let joins = joins(seed, scenario, count, span_ms);
    let mut ways = ways(seed, scenario, count);
    for (at, joins_ms) in joins.iter().enumerate() {
        // Whoever joins later knows where the first node is: from it comes the ticket.
        if *joins_ms > 0 && !ways[at].contains(&0) {
            ways[at].push(0);
        }
    }
    connect_founders(&joins, &mut ways);
    let clocks = Clocks::drawn(seed, scenario);
    let disks = Disks::drawn(seed, scenario, count);
    let (roles, rogues) = (roles(seed, scenario, count), rogues(seed, scenario, count));
    let node = |(at, mut ways): (usize, Vec<u32>)| {
        let mut stream = Stream::keyed(seed, "node", numbered(at), 0);
        ways.sort_unstable();
        ways.dedup();
        let (drift_ppm, wall_ahead_ms) = clocks.of(&mut stream);
        let (flush_us, documents_max) = disks.of(&mut stream);
        let rogue = rogues[at];
        // A rogue that may admit others would break no rule by doing so.
        let role = match (rogue, stream.chance(300)) {
            (true, true) => Role::Observer,
            (true, false) => Role::Member,
            (false, _) => roles[at],
        };
        Node { role, joins_ms: joins[at], ways, drift_ppm, wall_ahead_ms, flush_us, documents_max, rogue }
    };
    ways.into_iter().enumerate().map(node).collect()
}

/// Adds ways until those who are members from the beginning reach each other without anybody who joins later: nodes
/// that have not heard of each other can not link, so a late one is no bridge between two that only know the founder.
fn connect_founders(joins: &[u64], ways: &mut [Vec<u32>]) {
    let founders: Vec<usize> = (0..joins.len()).filter(|at| joins[*at] == 0).collect();
    loop {
        let reached = super::budget::reached(&founders, ways);
        let Some(lone) = founders.iter().position(|at| !reached.contains(at)) else { return };
        ways[founders[lone]].push(u32::try_from(founders[lone - 1]).expect("at most a thousand nodes"));
    }
}

/// Draws when each node joins: at 0 as a rule.
fn joins(seed: u64, scenario: Scenario, count: usize, span_ms: u64) -> Vec<u64> {
    let mut stream = Stream::keyed(seed, "joins", 0, 0);
    let crowd_ms = stream.between(span_ms / 20, span_ms / 3);
    let is_late_seed = stream.chance(330);
    let mut joins = vec![0; count];
    for (at, joins_ms) in joins.iter_mut().enumerate().skip(1) {
        let mut stream = Stream::keyed(seed, "joins", numbered(at), 1);
        let late = match scenario {
            Scenario::FlashCrowd => at >= count.div_ceil(5),
            Scenario::Swarm => is_late_seed && stream.chance(330),
            _ => false,
        };
        if late {
            *joins_ms = match scenario {
                Scenario::FlashCrowd => crowd_ms + stream.below(3_000),
                _ => stream.between(span_ms / 20, span_ms / 2),
            };
            *joins_ms = (*joins_ms).clamp(1, span_ms);
        }
    }
    joins
}

/// Draws whom each node has a way to; together they always reach each other.
fn ways(seed: u64, scenario: Scenario, count: usize) -> Vec<Vec<u32>> {
    let mut stream = Stream::keyed(seed, "ways", 0, 0);
    let mut ways: Vec<Vec<u32>> = vec![Vec::new(); count];
    let place = |at: usize| u32::try_from(at).expect("at most a thousand nodes");
    if scenario == Scenario::VpsRestart {
        for (at, ways) in ways.iter_mut().enumerate().skip(1) {
            ways.push(0);
            // Some of those at home find each other too.
            if at > 1 && stream.chance(200) {
                ways.push(place(at - 1));
            }
        }
        return ways;
    }
    let form = stream.below(10);
    if count <= FULL_NODES_MAX && form < 6 {
        for (at, ways) in ways.iter_mut().enumerate() {
            ways.extend((0..at).map(place));
        }
        return ways;
    }
    // A line, a ring, or a ring with chords: with three chords a node there are about eight ways each.
    let is_line = count <= FULL_NODES_MAX && form == 6;
    let chords = match form {
        _ if count > FULL_NODES_MAX => 2 + form % 2,
        6 | 7 => 0,
        _ => 1,
    };
    for (at, ways) in ways.iter_mut().enumerate() {
        if at + 1 < count || (count > 2 && !is_line) {
            ways.push(place((at + 1) % count));
        }
        for _ in 0..chords {
            let far = stream.place(count);
            if far != at {
                ways.push(place(far));
            }
        }
    }
    ways
}

/// Draws what each node may do.
fn roles(seed: u64, scenario: Scenario, count: usize) -> Vec<Role> {
    let mut stream = Stream::keyed(seed, "roles", 0, 0);
    let admins = if stream.chance(300) { 250 } else { 0 };
    let observers = if scenario != Scenario::Calm && stream.chance(300) { 200 } else { 0 };
    let role = |at| {
        let mut stream = Stream::keyed(seed, "roles", numbered(at), 1);
        match (at, stream.chance(admins), stream.chance(observers)) {
            (0, ..) | (_, true, _) => Role::Admin,
            (_, false, true) => Role::Observer,
            _ => Role::Member,
        }
    };
    (0..count).map(role).collect()
}

/// Draws who is a rogue: at most 30 % of the nodes, never the first.
fn rogues(seed: u64, scenario: Scenario, count: usize) -> Vec<bool> {
    let mut stream = Stream::keyed(seed, "rogues", 0, 0);
    let on = match scenario {
        Scenario::Byzantine => true,
        Scenario::Swarm => stream.chance(500),
        _ => false,
    };
    let mut rogues = vec![false; count];
    let max = super::budget::rogues_max(count);
    if on && max > 0 {
        let wanted = stream.between(1, numbered(max));
        let mut others: Vec<usize> = (1..count).collect();
        stream.shuffle(&mut others);
        for at in others.into_iter().take(usize::try_from(wanted).unwrap_or(max)) {
            rogues[at] = true;
        }
    }
    rogues
}

/// What is the same of all clocks of a seed.
struct Clocks {
    drift: u64,
    wall: u64,
    calm: bool,
}

impl Clocks {
    fn drawn(seed: u64, scenario: Scenario) -> Self {
        let mut stream = Stream::keyed(seed, "clocks", 0, 0);
        Self { drift: stream.below(16), wall: stream.below(16), calm: scenario == Scenario::Calm }
    }

    /// Draws one clock: parts in a million that it is too fast, and milliseconds that its wall clock is ahead.
    fn of(&self, stream: &mut Stream) -> (i32, i64) {
        let far = i64::from(DRIFT_PPM_MAX);
        let drift = match self.drift {
            _ if self.calm => stream.either_way(50),
            // Every clock is as wrong as can be, one way or the other.
            0 => stream.signed(|_| far.unsigned_abs()),
            1 => far,
            2..9 => 0,
            _ => stream.either_way(far.unsigned_abs()),
        };
        let wall = match self.wall {
            _ if self.calm => stream.either_way(500),
            0 => stream.signed(|stream| stream.scaled(YEAR_MS / 100, 10 * YEAR_MS)),
            1..4 => stream.signed(|stream| stream.scaled(100, 600_000)),
            4..9 => stream.either_way(2_000),
            _ => 0,
        };
        (i32::try_from(drift).unwrap_or(0), wall)
    }
}

/// What is the same of all disks of a seed.
struct Disks {
    slow_per_mille: u32,
    documents: u64,
    documents_max: u64,
}

impl Disks {
    fn drawn(seed: u64, scenario: Scenario, count: usize) -> Self {
        let mut stream = Stream::keyed(seed, "disks", 0, 0);
        let slow_per_mille = match (scenario, stream.below(8)) {
            (Scenario::GpuFarm, _) => 800,
            (Scenario::Calm, _) | (_, 2..) => 0,
            (_, 0) => 1_000,
            (_, 1) => 300,
        };
        let documents_max = if count <= ROOMY_NODES_MAX { 64 } else { 8 };
        Self { slow_per_mille, documents: stream.below(8), documents_max }
    }

    /// Draws one disk: microseconds that a flush takes, and documents kept in memory.
    fn of(&self, stream: &mut Stream) -> (u64, usize) {
        let flush_us = if stream.chance(self.slow_per_mille) { 50_000 } else { stream.between(200, 2_000) };
        let documents = match self.documents {
            0 => 1,
            1 => stream.between(1, 8),
            // Folding documents anew is most of a run's work, and thousands of nodes have no room for many.
            _ => self.documents_max,
        };
        (flush_us, usize::try_from(documents).unwrap_or(8))
    }
}

fn numbered(at: usize) -> u64 {
    u64::try_from(at).expect("at most a thousand nodes")
}
