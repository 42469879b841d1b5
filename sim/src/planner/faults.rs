//! The faults of a plan: which classes, how many of each, and which of them fit the budget.

use super::budget::Budget;
use super::troubles::{Class, Setting};
use crate::plan::{Fault, Misdeed, Plan, Trouble};
use crate::random::Stream;
use crate::scenario::Scenario;

/// Faults of one plan, those of churn aside, unless the mesh is large.
const FAULTS_USUAL: usize = 25;

/// How many of a thousand plans in which members lie have machines that are removed.
const OUTCASTS_PER_MILLE: u32 = 300;

/// How long after a rogue joins it may have the key of a removed machine: by then it has links, as a rule.
const OUTCAST_AFTER_MS: u64 = 5_000;

/// How often a fault is drawn anew that does not fit.
const TRIES_MAX: u64 = 6;

/// Draws the faults, and that many kills of churn.
pub(super) fn drawn(plan: &Plan, scenario: Scenario, kills: u64) -> Vec<Fault> {
    let setting = Setting::drawn(plan, scenario);
    let mut budget = Budget::new(&plan.nodes, plan.span_ms);
    let mut groups = Vec::new();
    for (class, count) in menu(plan, scenario) {
        for at in 0..count {
            groups.extend(group(&setting, &mut budget, class, at));
        }
    }
    // The lots decide what stays of too many, so that no class is the one that always goes.
    groups.sort_by_key(|(lot, _)| *lot);
    let most = if scenario == Scenario::GpuFarm { plan.nodes.len() * 2 } else { FAULTS_USUAL };
    let mut faults: Vec<Fault> = Vec::new();
    for (_, group) in groups {
        if faults.len() + group.len() <= most {
            faults.extend(group);
        }
    }
    faults.extend(churn(&setting, &faults, kills));
    faults.sort_by(|a, b| {
        (a.at_ms, a.trouble.name(), a.trouble.nodes()).cmp(&(b.at_ms, b.trouble.name(), b.trouble.nodes()))
    });
    faults
}

/// Adds to some plans in which members lie that one of them has the key of a machine that is removed.
///
/// This is drawn beside all else, so that what other plans hold does not hang on it.
pub(super) fn add_outcasts(plan: &mut Plan, scenario: Scenario) {
    let mut stream = Stream::keyed(plan.seed, "outcasts", 0, 0);
    if scenario != Scenario::Byzantine || !stream.chance(OUTCASTS_PER_MILLE) {
        return;
    }
    let placed = (0_u32..).zip(&plan.nodes).skip(1);
    let rogues: Vec<(u32, u64)> =
        placed.filter(|(_, node)| node.rogue).map(|(place, node)| (place, node.joins_ms)).collect();
    if rogues.is_empty() {
        return;
    }
    for _ in 0..=stream.below(2) {
        let (node, joins_ms) = *stream.pick(&rogues);
        let from = joins_ms.saturating_add(OUTCAST_AFTER_MS);
        if from >= plan.span_ms {
            continue;
        }
        let trouble = Trouble::Rogue { node, misdeed: Misdeed::Outcast, salt: stream.number() };
        plan.faults.push(Fault { at_ms: stream.between(from, plan.span_ms), for_ms: 0, trouble });
    }
    plan.faults.sort_by_key(|fault| fault.at_ms);
}

/// Draws one fault of a class, or some that come together, with its lot; nothing where none fits.
fn group(setting: &Setting<'_>, budget: &mut Budget<'_>, class: Class, at: u64) -> Option<(u64, Vec<Fault>)> {
    let mut stream = Stream::keyed(setting.plan.seed, class.name(), at, 0);
    let lot = stream.number();
    for attempt in 0..TRIES_MAX {
        let mut stream = Stream::keyed(setting.plan.seed, class.name(), at, attempt + 1);
        let drawn = setting.faults(class, &mut stream);
        let fit: Vec<Fault> = drawn.into_iter().filter(|fault| budget.take(fault).is_ok()).collect();
        if !fit.is_empty() {
            return Some((lot, fit));
        }
    }
    None
}

/// Draws kills all through the plan, beside the faults there are.
fn churn(setting: &Setting<'_>, faults: &[Fault], kills: u64) -> Vec<Fault> {
    let mut budget = Budget::new(&setting.plan.nodes, setting.plan.span_ms);
    for fault in faults {
        budget.take(fault).expect("part of what fits the budget fits it too");
    }
    let mut churn = Vec::new();
    for at in 0..kills {
        let fault = (0..TRIES_MAX).find_map(|attempt| {
            let mut stream = Stream::keyed(setting.plan.seed, "churn", at, attempt);
            let fault = setting.one(Class::Kill, &mut stream)?;
            budget.take(&fault).is_ok().then_some(fault)
        });
        churn.extend(fault);
    }
    churn
}

/// Draws how many faults of each class a plan has.
fn menu(plan: &Plan, scenario: Scenario) -> Vec<(Class, u64)> {
    if scenario == Scenario::Swarm {
        return swarm(plan);
    }
    let nodes = u64::try_from(plan.nodes.len()).unwrap_or(u64::MAX);
    let ranges: &[(Class, u64, u64)] = match scenario {
        Scenario::Calm | Scenario::Swarm => &[],
        Scenario::Partition => &[(Class::Partition, 3, 10), (Class::Kill, 0, 1)],
        Scenario::Laptop => {
            &[(Class::Partition, 2, 8), (Class::Pause, 0, 3), (Class::WallStep, 0, 2), (Class::Kill, 0, 2)]
        }
        Scenario::VpsRestart => &[(Class::Kill, 3, 8), (Class::PowerCut, 0, 2), (Class::Pause, 0, 1)],
        Scenario::GpuFarm => &[
            (Class::SlowDisk, 3, 10),
            (Class::Kill, nodes / 4, nodes / 2),
            (Class::PowerCut, 0, 1),
            (Class::Pause, 0, 4),
        ],
        Scenario::FlakyWifi => {
            &[(Class::Rough, 2, 6), (Class::Clog, 1, 5), (Class::Narrow, 1, 5), (Class::Partition, 1, 5)]
        }
        Scenario::FlashCrowd => &[(Class::Narrow, 0, 2), (Class::Kill, 0, 2), (Class::Rough, 0, 2)],
        Scenario::Clone => &[(Class::Clone, 1, 3), (Class::Kill, 0, 3), (Class::Partition, 0, 2)],
        Scenario::Rollback => &[
            (Class::Restore, 1, 3),
            (Class::LoseDisk, 0, 2),
            (Class::Corrupt, 0, 2),
            (Class::Kill, 0, 2),
            (Class::Partition, 0, 2),
        ],
        Scenario::PowerCut => {
            &[(Class::PowerCut, 3, 10), (Class::SyncError, 0, 3), (Class::DiskFull, 0, 3), (Class::SlowDisk, 0, 2)]
        }
        Scenario::Byzantine => &[
            (Class::Rogue, 4, 18),
            (Class::Kill, 0, 2),
            (Class::Partition, 0, 2),
            (Class::Clog, 0, 1),
            (Class::Pause, 0, 1),
        ],
    };
    let count = |(class, low, high): &(Class, u64, u64)| {
        (*class, Stream::keyed(plan.seed, class.name(), 0, u64::MAX).between(*low, *high))
    };
    ranges.iter().map(count).collect()
}

/// Draws how many faults of each class a swarm has: of half of the classes none (Groce et al., ISSTA 2012).
fn swarm(plan: &Plan) -> Vec<(Class, u64)> {
    let mut stream = Stream::keyed(plan.seed, "intensity", 0, 0);
    let intensity = stream.between(0, 4);
    let count = |class: Class| {
        let mut stream = Stream::keyed(plan.seed, class.name(), 0, u64::MAX);
        let count = match stream.below(64) {
            // Now and then one class is nearly all there is.
            0 => stream.between(5, 20),
            1..32 => stream.between(u64::from(intensity > 1), intensity),
            _ => 0,
        };
        // Who has rogues has them do something, and not just once.
        (class, if class == Class::Rogue { count * 3 } else { count })
    };
    Class::ALL.into_iter().map(count).collect()
}
