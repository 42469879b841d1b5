//! Single faults: how long each class lasts, whom it befalls and how bad it is. The ranges are those of the fault
//! catalogue: what other simulators use and what disks, clocks and networks are known to do.

use beadmesh_protocol::op::Role;

use super::budget::{Budget, damaged_max};
use crate::plan::{Cut, Fault, Misdeed, Plan, Trouble};
use crate::random::Stream;
use crate::scenario::Scenario;

/// What an honest rogue would be asked for in vain: all that needs no role of its own.
const MISDEEDS: [Misdeed; 14] = [
    Misdeed::Garbage,
    Misdeed::Mutate,
    Misdeed::Replay,
    Misdeed::Forge,
    Misdeed::Stranger,
    Misdeed::SelfAdmit,
    Misdeed::Future,
    Misdeed::Twins,
    Misdeed::Fork,
    Misdeed::Unknown,
    Misdeed::Bomb,
    Misdeed::Dangling,
    Misdeed::Flood,
    Misdeed::Impostor,
];

const HOUR_MS: u64 = 3_600_000;

/// How far a wall clock is set wrong at most: 30 years.
const WALL_STEP_MS_MAX: u64 = 30 * 365 * 24 * HOUR_MS;

/// A class of faults: a kind of trouble before it befalls anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Partition,
    Clog,
    Rough,
    Narrow,
    Kill,
    PowerCut,
    Pause,
    WallStep,
    DiskFull,
    SyncError,
    SlowDisk,
    Corrupt,
    LoseDisk,
    Restore,
    Clone,
    Rogue,
}

impl Class {
    /// Every class, those first that find the least room in the budget.
    pub(super) const ALL: [Self; 16] = [
        Self::LoseDisk,
        Self::Corrupt,
        Self::Restore,
        Self::Clone,
        Self::DiskFull,
        Self::SyncError,
        Self::PowerCut,
        Self::Pause,
        Self::Kill,
        Self::WallStep,
        Self::SlowDisk,
        Self::Partition,
        Self::Clog,
        Self::Rough,
        Self::Narrow,
        Self::Rogue,
    ];

    /// Returns the name of its stream.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Partition => "fault partition",
            Self::Clog => "fault clog",
            Self::Rough => "fault rough",
            Self::Narrow => "fault narrow",
            Self::Kill => "fault kill",
            Self::PowerCut => "fault power-cut",
            Self::Pause => "fault pause",
            Self::WallStep => "fault wall-step",
            Self::DiskFull => "fault disk-full",
            Self::SyncError => "fault sync-error",
            Self::SlowDisk => "fault slow-disk",
            Self::Corrupt => "fault corrupt",
            Self::LoseDisk => "fault lose-disk",
            Self::Restore => "fault restore",
            Self::Clone => "fault clone",
            Self::Rogue => "fault rogue",
        }
    }

    /// Returns the shortest and longest that such a fault lasts, in milliseconds.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::Partition => (100, 20_000),
            Self::Clog => (100, 10_000),
            Self::Rough | Self::Narrow => (500, 30_000),
            Self::Kill | Self::PowerCut | Self::DiskFull | Self::SyncError | Self::Corrupt | Self::LoseDisk => {
                (1, 15_000)
            }
            Self::Pause => (10, 25_000),
            Self::WallStep => (1_000, 60_000),
            Self::SlowDisk => (500, 20_000),
            Self::Restore => (1_000, 60_000),
            Self::Clone => (3_000, 60_000),
            Self::Rogue => (0, 0),
        }
    }
}

/// What faults are drawn for.
pub(super) struct Setting<'a> {
    pub(super) plan: &'a Plan,
    scenario: Scenario,
    /// The nodes whose disks may be lost or doubled.
    victims: Vec<u32>,
    rogues: Vec<u32>,
    members: Budget<'a>,
}

impl<'a> Setting<'a> {
    pub(super) fn drawn(plan: &'a Plan, scenario: Scenario) -> Self {
        let numbered = || (0_u32..).zip(&plan.nodes);
        let rogues = numbered().filter(|(_, node)| node.rogue).map(|(at, _)| at).collect();
        let mut victims: Vec<u32> = numbered().filter(|(_, node)| !node.rogue).map(|(at, _)| at).collect();
        Stream::keyed(plan.seed, "victims", 0, 0).shuffle(&mut victims);
        victims.truncate(damaged_max(plan.nodes.len()));
        Self { plan, scenario, victims, rogues, members: Budget::new(&plan.nodes, plan.span_ms) }
    }

    /// Draws one fault, or some that come together.
    pub(super) fn faults(&self, class: Class, stream: &mut Stream) -> Vec<Fault> {
        let Some(first) = self.one(class, stream) else { return Vec::new() };
        let others = match class {
            // A rack loses its power, a host its processes.
            Class::PowerCut if stream.chance(150) => self.others(&first, stream),
            Class::Kill if stream.chance(100) && self.scenario != Scenario::VpsRestart => self.others(&first, stream),
            // Swizzle-clogging: some stop one by one and go on in another order (FoundationDB).
            Class::Clog if stream.chance(400) => self.others(&first, stream),
            _ => Vec::new(),
        };
        std::iter::once(first).chain(others).collect()
    }

    /// Draws one fault; nothing where there is nobody that it could befall.
    pub(super) fn one(&self, class: Class, stream: &mut Stream) -> Option<Fault> {
        let span_ms = self.plan.span_ms;
        let at_ms = stream.between(0, span_ms - span_ms / 10);
        let (low, high) = self.lasts(class);
        let trouble = self.trouble(class, at_ms, stream)?;
        let lasts = match &trouble {
            Trouble::Rogue { misdeed: Misdeed::Flood, .. } => stream.between(500, 5_000),
            _ if low == high => low,
            _ => stream.scaled(low, high),
        };
        Some(Fault { at_ms, for_ms: lasts.min(span_ms - at_ms), trouble })
    }

    fn lasts(&self, class: Class) -> (u64, u64) {
        let span_ms = self.plan.span_ms;
        match (self.scenario, class) {
            (Scenario::Laptop, Class::Partition) => (span_ms / 16, span_ms / 2),
            (Scenario::Laptop, Class::Pause) => (span_ms / 64, span_ms / 4),
            _ => class.lasts(),
        }
    }

    /// Draws the same trouble for some of the other nodes, round the same time.
    fn others(&self, first: &Fault, stream: &mut Stream) -> Vec<Fault> {
        let mut faults = Vec::new();
        for node in self.joined(first.at_ms) {
            if first.trouble.nodes().contains(&node) || stream.chance(400) {
                continue;
            }
            let at_ms = first.at_ms + stream.between(0, 300);
            let for_ms = stream.between(first.for_ms / 2, first.for_ms);
            let trouble = match first.trouble {
                Trouble::PowerCut { .. } => Trouble::PowerCut { node, writing: stream.chance(500) },
                Trouble::Clog { .. } => Trouble::Clog { node },
                _ => Trouble::Kill { node },
            };
            faults.push(Fault { at_ms, for_ms, trouble });
        }
        faults
    }

    /// Returns the nodes that are members by then.
    fn joined(&self, at_ms: u64) -> Vec<u32> {
        let nodes = (0_u32..).zip(&self.plan.nodes).map(|(at, _)| at);
        nodes.filter(|node| self.members.has_joined(*node, at_ms)).collect()
    }

    /// Draws whom a fault befalls.
    fn node(&self, class: Class, at_ms: u64, stream: &mut Stream) -> Option<u32> {
        let joined = self.joined(at_ms);
        let from = match class {
            Class::Corrupt | Class::LoseDisk | Class::Restore | Class::Clone => &self.victims,
            Class::Rogue => &self.rogues,
            _ => &joined,
        };
        let askable: Vec<u32> = from.iter().copied().filter(|node| joined.contains(node)).collect();
        let is_hub = self.scenario == Scenario::VpsRestart && stream.chance(800);
        match askable.as_slice() {
            [] => None,
            _ if is_hub => Some(0),
            askable => Some(*stream.pick(askable)),
        }
    }

    fn trouble(&self, class: Class, at_ms: u64, stream: &mut Stream) -> Option<Trouble> {
        if class == Class::Partition {
            return self.partition(at_ms, stream);
        }
        let node = self.node(class, at_ms, stream)?;
        Some(match class {
            Class::Partition => return None,
            Class::Clog => Trouble::Clog { node },
            Class::Rough => {
                let loss_per_mille = u32::try_from(stream.between(0, 300)).unwrap_or(0);
                Trouble::Rough { node, loss_per_mille, delay_us: stream.scaled(1_000, 3_000_000) }
            }
            Class::Narrow => Trouble::Narrow { node, bytes_per_s: stream.scaled(2_000, 200_000) },
            Class::Kill => Trouble::Kill { node },
            Class::PowerCut => Trouble::PowerCut { node, writing: stream.chance(500) },
            Class::Pause => Trouble::Pause { node, clock_stops: stream.chance(330) },
            Class::WallStep => {
                Trouble::WallStep { node, by_ms: stream.signed(|stream| stream.scaled(1_000, WALL_STEP_MS_MAX)) }
            }
            Class::DiskFull => Trouble::DiskFull { node },
            Class::SyncError => Trouble::SyncError { node },
            Class::SlowDisk => Trouble::SlowDisk { node, flush_us: stream.scaled(2_000, 1_000_000) },
            Class::Corrupt => Trouble::Corrupt { node },
            Class::LoseDisk => Trouble::LoseDisk { node },
            Class::Restore => Trouble::Restore { node },
            Class::Clone => Trouble::Clone { node, moved: stream.chance(500) },
            Class::Rogue => {
                let role = self.plan.nodes[usize::try_from(node).ok()?].role;
                let is_observers = role == Role::Observer && stream.chance(500);
                let misdeed = if is_observers { Misdeed::Observer } else { *stream.pick(&MISDEEDS) };
                Trouble::Rogue { node, misdeed, salt: stream.number() }
            }
        })
    }

    /// Draws a partition of any shape: some nodes, a coin for each, or one alone.
    fn partition(&self, at_ms: u64, stream: &mut Stream) -> Option<Trouble> {
        let mut joined = self.joined(at_ms);
        if joined.len() < 2 {
            return None;
        }
        if self.scenario == Scenario::Laptop {
            // The first node stands for what stays at home.
            let side = vec![*stream.pick(&joined[1..])];
            return Some(Trouble::Partition { side, cut: Cut::Both, bridge: None });
        }
        stream.shuffle(&mut joined);
        let size = match stream.below(3) {
            0 => 1,
            1 => joined[1..].iter().filter(|_| stream.chance(500)).count().max(1),
            _ => 1 + stream.place(joined.len() - 1),
        };
        let others = joined.split_off(size);
        let cut = match stream.below(if self.scenario == Scenario::FlakyWifi { 3 } else { 6 }) {
            0 => Cut::Out,
            1 => Cut::In,
            _ => Cut::Both,
        };
        // A bridge needs somebody on its other side.
        let bridge = (others.len() > 1 && cut == Cut::Both && stream.chance(300)).then(|| *stream.pick(&others));
        joined.sort_unstable();
        Some(Trouble::Partition { side: joined, cut, bridge })
    }
}
