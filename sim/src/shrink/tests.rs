use std::ops::ControlFlow;

use beadmesh_protocol::op::Role;

use super::{End, Shrunk, nodes, shrink};
use crate::outcome::Violation;
use crate::plan::{Cut, Fault, Network, Node, Plan, SCHEMA, Trouble, Wish, WishKind};

fn node(ways: &[u32]) -> Node {
    let role = if ways.is_empty() { Role::Admin } else { Role::Member };
    let (drift_ppm, wall_ahead_ms, flush_us) = (7, 9, 500);
    Node { role, joins_ms: 0, ways: ways.to_vec(), drift_ppm, wall_ahead_ms, flush_us, documents_max: 9, rogue: false }
}

/// A chain of nodes, of which each has faults and wishes in turn.
fn plan(nodes: u32, faults: u64, wishes: u64) -> Plan {
    let network = Network {
        latency_min_us: 1,
        latency_mean_us: 1,
        loss_per_mille: 5,
        bytes_per_s: 1_000_000,
        window_bytes: 65_536,
    };
    let turn = |at: u64| u32::try_from(at % u64::from(nodes)).unwrap();
    let fault = |at| Fault { at_ms: at * 100, for_ms: 1_600, trouble: Trouble::Kill { node: turn(at) } };
    let wish = |at| Wish { at_ms: at * 10, node: turn(at), kind: WishKind::Create, salt: at };
    let ways = |at: u32| if at == 0 { vec![] } else { vec![at - 1] };
    Plan {
        schema: SCHEMA,
        seed: 1,
        scenario: "swarm".into(),
        planted: None,
        span_ms: 600_000,
        settle_ms: 60_000,
        network,
        nodes: (0..nodes).map(|at| node(&ways(at))).collect(),
        wishes: (0..wishes).map(wish).collect(),
        faults: (0..faults).map(fault).collect(),
    }
}

fn violation(check: &'static str) -> Violation {
    Violation { check, at_ms: 1, node: None, what: "is wrong".into() }
}

/// Shrinks with a simulation that fails when `fails` says so; every candidate must be a plan.
fn shrunk(plan: &Plan, runs_max: u32, fails: impl Fn(&Plan) -> bool) -> Shrunk {
    shrink(plan, "loss", runs_max, &mut |plan| {
        plan.check().unwrap();
        ControlFlow::Continue(if fails(plan) { vec![violation("other"), violation("loss")] } else { vec![] })
    })
}

fn times(plan: &Plan) -> Vec<u64> {
    plan.faults.iter().map(|fault| fault.at_ms).collect()
}

#[test]
fn two_faults_of_sixty_are_found() {
    let plan = plan(1, 60, 0);
    let shrunk = shrunk(&plan, 500, |plan| [300, 700].iter().all(|at| times(plan).contains(at)));
    assert_eq!((times(&shrunk.plan), shrunk.end), (vec![300, 700], End::Smallest));
    assert!(shrunk.runs < 120, "{}", shrunk.runs);
    assert_eq!(shrunk.violation.unwrap().check, "loss");
}

#[test]
fn everything_that_does_not_matter_goes() {
    let plan = plan(12, 60, 300);
    let shrunk = shrunk(&plan, 2_000, |plan| {
        let is_needed = |fault: &Fault| fault.at_ms == 500 && fault.for_ms >= 300;
        plan.wishes.iter().any(|wish| wish.salt == 77) && plan.faults.iter().any(is_needed)
    });
    let Plan { faults, wishes, nodes, span_ms, network, .. } = shrunk.plan;
    assert_eq!((faults.len(), wishes.len(), nodes.len(), network.loss_per_mille), (1, 1, 2, 0));
    assert_eq!((faults[0].for_ms, wishes[0].node, nodes[1].drift_ppm), (400, 1, 0));
    assert!(span_ms < 2_000, "{span_ms}");
}

#[test]
fn a_violation_of_another_checker_does_not_count() {
    let plan = plan(3, 9, 9);
    let mut first = true;
    let shrunk = shrink(&plan, "loss", 500, &mut |_| {
        let check = if std::mem::take(&mut first) { "loss" } else { "other" };
        ControlFlow::Continue(vec![violation(check)])
    });
    assert_eq!((shrunk.plan.faults.len(), shrunk.plan.wishes.len(), shrunk.plan.nodes.len()), (0, 9, 3));
}

#[test]
fn runs_are_bounded_and_can_be_stopped() {
    let plan = plan(5, 60, 500);
    let spent = shrunk(&plan, 10, |plan| times(plan).iter().sum::<u64>() > 100_000);
    assert_eq!((spent.runs, spent.end), (10, End::Spent));
    let stopped = shrink(&plan, "loss", 10, &mut |_| ControlFlow::Break(()));
    assert_eq!((stopped.runs, stopped.end, stopped.plan), (1, End::Stopped, plan));
}

#[test]
fn wishes_do_not_use_up_the_runs_of_the_nodes() {
    let plan = plan(9, 0, 5_000);
    // Every second wish is needed, which takes more runs to find out than there are.
    let shrunk = shrunk(&plan, 200, |plan| plan.wishes.iter().filter(|wish| wish.node == 0).count() > 500);
    assert_eq!((shrunk.plan.nodes.len(), shrunk.end), (1, End::Spent));
}

#[test]
fn a_node_that_goes_takes_along_what_named_it_alone() {
    let mut plan = plan(4, 4, 8);
    let side = |side: &[u32], bridge| Trouble::Partition { side: side.to_vec(), cut: Cut::Both, bridge };
    for trouble in [side(&[2], None), side(&[1, 2, 3], Some(2)), side(&[1], Some(3))] {
        plan.faults.push(Fault { at_ms: 1, for_ms: 1, trouble });
    }
    nodes::keep(&mut plan, &[0, 1, 3]);
    plan.check().unwrap();
    assert_eq!(plan.wishes.iter().map(|wish| wish.node).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    let troubles: Vec<&Trouble> = plan.faults.iter().skip(3).map(|fault| &fault.trouble).collect();
    assert_eq!(troubles, [&side(&[1, 2], None), &side(&[1], Some(2))]);
}

#[test]
fn a_mesh_does_not_fall_apart_when_nodes_go() {
    let mut chain = plan(6, 0, 0);
    nodes::keep(&mut chain, &[0, 2, 5]);
    assert_eq!(chain.ways().into_iter().collect::<Vec<_>>(), [(0, 1), (1, 2)]);
    let mut star = plan(1, 0, 0);
    star.nodes.extend([node(&[0]), node(&[1]), node(&[1]), node(&[2, 3])]);
    // The ring 1, 2, 3, 4 loses 1, which also led to 0; it holds together by 4.
    nodes::keep(&mut star, &[0, 2, 3, 4]);
    assert_eq!(star.ways().into_iter().collect::<Vec<_>>(), [(0, 1), (1, 3), (2, 3)]);
}
