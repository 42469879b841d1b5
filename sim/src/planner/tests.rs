use std::collections::BTreeSet;

use beadmesh_protocol::op::Role;

use super::budget::check;
use super::*;
use crate::plan::{Cut, Fault, Misdeed, Trouble, WishKind};

fn usual(seed: u64, scenario: Scenario) -> Plan {
    plan(seed, scenario, &Wanted::default()).unwrap()
}

/// Returns whether every node is reached by ways from the first.
fn is_connected(plan: &Plan) -> bool {
    let ways = plan.ways();
    let mut reached = BTreeSet::from([0]);
    loop {
        let beside = ways.iter().filter(|(a, b)| reached.contains(a) != reached.contains(b));
        let next: Vec<u32> = beside.flat_map(|(a, b)| [*a, *b]).collect();
        if next.is_empty() {
            return reached.len() == plan.nodes.len();
        }
        reached.extend(next);
    }
}

#[test]
fn every_plan_keeps_its_bounds_and_its_budget() {
    for scenario in Scenario::ALL {
        for seed in 0..200 {
            let plan = usual(seed, scenario);
            let place = format!("{scenario}, seed {seed}");
            plan.check().unwrap_or_else(|error| panic!("{place}: {error}"));
            check(&plan).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(is_connected(&plan), "{place}");
            assert!(plan.wishes.is_sorted_by_key(|wish| wish.at_ms), "{place}");
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at_ms), "{place}");
            assert_eq!(plan, usual(seed, scenario), "{place}");
        }
    }
}

#[test]
fn a_plan_is_read_back_as_it_was_written() {
    for scenario in Scenario::ALL {
        for seed in 0..200 {
            let plan = usual(seed, scenario);
            assert_eq!(Plan::parse(&plan.text()).unwrap(), plan, "{scenario}, seed {seed}");
        }
    }
}

#[test]
fn everything_that_can_happen_is_in_some_plan() {
    let (mut troubles, mut kinds, mut misdeeds) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut cuts, mut bridged, mut roles) = (BTreeSet::new(), 0, BTreeSet::new());
    for scenario in [Scenario::Swarm, Scenario::Byzantine, Scenario::Clone, Scenario::Rollback] {
        for seed in 0..500 {
            let plan = usual(seed, scenario);
            kinds.extend(plan.wishes.iter().map(|wish| wish.kind));
            roles.extend(plan.nodes.iter().map(|node| node.role));
            for fault in &plan.faults {
                troubles.insert(fault.trouble.name());
                match &fault.trouble {
                    Trouble::Rogue { misdeed, .. } => {
                        misdeeds.insert(*misdeed);
                    }
                    Trouble::Partition { cut, bridge, .. } => {
                        cuts.insert(*cut);
                        bridged += usize::from(bridge.is_some());
                    }
                    _ => {}
                }
            }
        }
    }
    assert_eq!((troubles.len(), kinds.len(), misdeeds.len()), (16, 34, 16), "{troubles:?} {kinds:?} {misdeeds:?}");
    assert!(kinds.contains(&WishKind::Rebuild) && misdeeds.contains(&Misdeed::Observer));
    assert_eq!((cuts, roles.len()), (BTreeSet::from([Cut::Both, Cut::Out, Cut::In]), 3));
    assert!(bridged > 0);
}

#[test]
fn swarms_are_small_as_a_rule_and_leave_kinds_out() {
    let plans: Vec<Plan> = (0..500).map(|seed| usual(seed, Scenario::Swarm)).collect();
    let mut wishes: Vec<usize> = plans.iter().map(|plan| plan.wishes.len()).collect();
    wishes.sort_unstable();
    assert!((30..=70).contains(&wishes[250]), "{}", wishes[250]);
    assert!(wishes[0] >= 15 && wishes[499] > 150);
    let mut faults: Vec<usize> = plans.iter().map(|plan| plan.faults.len()).collect();
    faults.sort_unstable();
    assert!(faults[0] == 0 && faults[499] <= 25 && (6..=18).contains(&faults[250]), "{}", faults[250]);
    for kind in [WishKind::Import, WishKind::Set, WishKind::Delete] {
        let with = plans.iter().filter(|plan| plan.wishes.iter().any(|wish| wish.kind == kind)).count();
        assert!((170..=330).contains(&with), "{kind:?} in {with} of 500");
    }
    let drifts = plans.iter().filter(|plan| plan.nodes.iter().all(|node| node.drift_ppm.abs() == 10_000)).count();
    assert!(drifts > 10, "{drifts}");
    for plan in &plans {
        let writes = |kind| !matches!(kind, WishKind::Read | WishKind::Rebuild);
        for wish in plan.wishes.iter().filter(|wish| writes(wish.kind)) {
            let node = &plan.nodes[wish.node as usize];
            assert!(!node.rogue && node.role != Role::Observer && wish.at_ms >= node.joins_ms.min(plan.span_ms));
        }
    }
}

#[test]
fn each_scenario_is_about_what_it_says() {
    for seed in 0..200 {
        assert_eq!(usual(seed, Scenario::Calm).faults, []);
        let hub = usual(seed, Scenario::VpsRestart);
        assert!(hub.nodes.iter().skip(1).all(|node| node.ways.contains(&0)));
        let farm = usual(seed, Scenario::GpuFarm).nodes.len();
        assert!((8..=16).contains(&farm));
        let crowd = usual(seed, Scenario::FlashCrowd);
        let late: Vec<u64> = crowd.nodes.iter().map(|node| node.joins_ms).filter(|joins| *joins > 0).collect();
        assert!(late.len() * 2 > crowd.nodes.len() && late.iter().max().unwrap() - late.iter().min().unwrap() < 3_000);
        let rogues = usual(seed, Scenario::Byzantine).nodes.iter().filter(|node| node.rogue).count();
        assert!(rogues > 0);
        let laptop = usual(seed, Scenario::Laptop);
        let offline = |fault: &Fault| matches!(fault.trouble, Trouble::Partition { .. }) && fault.for_ms >= 300_000;
        assert!(laptop.span_ms >= 7_200_000 && laptop.faults.iter().any(offline), "seed {seed}");
    }
    let count = |scenario, wanted: fn(&Trouble) -> bool| {
        (0..200).filter(|seed| usual(*seed, scenario).faults.iter().any(|fault| wanted(&fault.trouble))).count()
    };
    assert!(count(Scenario::Clone, |trouble| matches!(trouble, Trouble::Clone { .. })) > 190);
    assert!(count(Scenario::Rollback, |trouble| matches!(trouble, Trouble::Restore { .. })) > 180);
    assert!(count(Scenario::VpsRestart, |trouble| matches!(trouble, Trouble::Kill { node: 0 })) > 190);
    assert_eq!(count(Scenario::PowerCut, |trouble| matches!(trouble, Trouble::PowerCut { .. })), 200);
}

#[test]
fn what_is_asked_for_is_planned() {
    let wanted = Wanted { nodes: Some(1_000), span_ms: Some(600_000), edits_per_s: Some(10), churn_per_min: Some(5) };
    let plan = plan(7, Scenario::Calm, &wanted).unwrap();
    check(&plan).unwrap();
    assert_eq!((plan.nodes.len(), plan.span_ms, plan.wishes.len()), (1_000, 600_000, 6_000));
    assert!(is_connected(&plan));
    let ways = plan.ways().len() * 2;
    assert!((6_000..=8_500).contains(&ways), "{ways}");
    assert_eq!(plan.faults.len(), 50);
    assert!(plan.faults.iter().all(|fault| matches!(fault.trouble, Trouble::Kill { .. })));
    for nodes in 1..=40 {
        for scenario in Scenario::ALL {
            let wanted = Wanted { nodes: Some(nodes), span_ms: Some(5_000), ..Wanted::default() };
            let plan = super::plan(nodes as u64, scenario, &wanted).unwrap();
            assert!(check(&plan).is_ok() && is_connected(&plan), "{scenario}, {nodes} nodes");
        }
    }
}

#[test]
fn what_can_not_be_planned_is_refused_by_name() {
    let refused = |wanted: &Wanted| match plan(1, Scenario::Calm, wanted) {
        Err(PlanError::Bound { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let none = Wanted::default();
    assert_eq!(refused(&Wanted { nodes: Some(0), ..none.clone() }), "nodes");
    assert_eq!(refused(&Wanted { nodes: Some(1_001), ..none.clone() }), "nodes");
    assert_eq!(refused(&Wanted { span_ms: Some(0), ..none.clone() }), "span_ms");
    assert_eq!(refused(&Wanted { edits_per_s: Some(u32::MAX), ..none.clone() }), "edits_per_s");
    assert_eq!(refused(&Wanted { churn_per_min: Some(1_001), ..none.clone() }), "churn_per_min");
    let error = plan(1, Scenario::Swarm, &Wanted { nodes: Some(0), ..none }).unwrap_err();
    assert_eq!(error.to_string(), "nodes is 0: 1 to 1000");
}

#[test]
fn a_plan_over_the_budget_is_found_out() {
    let wanted = Wanted { nodes: Some(5), span_ms: Some(200_000), ..Wanted::default() };
    let mut base = plan(1, Scenario::Byzantine, &wanted).unwrap();
    base.faults.clear();
    let fault = |at_ms, for_ms, trouble| Fault { at_ms, for_ms, trouble };
    let why = |base: &Plan, faults: Vec<Fault>| check(&Plan { faults, ..base.clone() }).map_err(|over| over.why).err();
    let rogue = (0..).zip(&base.nodes).find(|(_, node)| node.rogue).map(|(at, _)| at).unwrap();
    let honest: Vec<u32> = (0..5).filter(|node| *node != rogue).collect();
    let [first, second, third, fourth] = honest[..] else { panic!("one rogue of five") };
    let lose = |node, at_ms| fault(at_ms, 100, Trouble::LoseDisk { node });
    assert_eq!(why(&base, vec![lose(second, 0), lose(third, 40_000), lose(second, 80_000)]), None);
    assert!(why(&base, vec![lose(second, 0), lose(third, 20_000)]).unwrap().contains("just before"));
    let three = vec![lose(second, 0), lose(third, 40_000), lose(fourth, 80_000)];
    assert!(why(&base, three).unwrap().contains("most disks"));
    assert!(why(&base, vec![lose(rogue, 0)]).unwrap().contains("rogue"));
    let overlap = vec![fault(0, 5_000, Trouble::Kill { node: second }), lose(second, 4_000)];
    assert!(why(&base, overlap).unwrap().contains("process is at fault"));
    assert!(why(&base, vec![lose(second, 199_950)]).unwrap().contains("after span_ms"));
    let misdeed = |node, misdeed| vec![fault(0, 0, Trouble::Rogue { node, misdeed, salt: 1 })];
    assert!(why(&base, misdeed(second, Misdeed::Garbage)).unwrap().contains("honest"));
    base.nodes[rogue as usize].role = Role::Member;
    assert!(why(&base, misdeed(rogue, Misdeed::Observer)).unwrap().contains("no observer"));
    assert_eq!(why(&base, misdeed(rogue, Misdeed::Garbage)), None);
    base.nodes[fourth as usize].joins_ms = 50_000;
    assert!(why(&base, vec![fault(40_000, 1_000, Trouble::Clog { node: fourth })]).unwrap().contains("not joined"));
    assert_eq!(first, 0);
    assert!(why(&base, vec![fault(40_000, 1_000, Trouble::Kill { node: 0 })]).unwrap().contains("joins by the first"));
    assert!(why(&base, vec![lose(0, 1_000)]).unwrap().contains("yet to join"));
    base.nodes[0].rogue = true;
    assert!(why(&base, Vec::new()).unwrap().contains("first never"));
}
