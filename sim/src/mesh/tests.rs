use beadmesh_protocol::op::Role;

use super::*;
use crate::plan::{Cut, Fault, Misdeed, Network as PlanNetwork, Node as PlanNode, SCHEMA, Trouble, Wish, WishKind};

/// A plan of nodes that all know each other, on a good network: half a minute, in which nothing is wished.
fn quiet(nodes: u32) -> Plan {
    let node = |place| PlanNode {
        role: if place == 0 { Role::Admin } else { Role::Member },
        joins_ms: 0,
        ways: (0..place).collect(),
        drift_ppm: 0,
        wall_ahead_ms: 0,
        flush_us: 500,
        documents_max: 8,
        rogue: false,
    };
    let network = PlanNetwork {
        latency_min_us: 1_000,
        latency_mean_us: 5_000,
        loss_per_mille: 0,
        bytes_per_s: 10_000_000,
        window_bytes: 65_536,
    };
    Plan {
        schema: SCHEMA,
        seed: 7,
        scenario: "swarm".into(),
        planted: None,
        span_ms: 30_000,
        settle_ms: 120_000,
        network,
        nodes: (0..nodes).map(node).collect(),
        wishes: Vec::new(),
        faults: Vec::new(),
    }
}

/// The same with ten beads created a second, at each node in turn.
fn busy(nodes: u32) -> Plan {
    let turn = |at: u64| u32::try_from(at % u64::from(nodes)).unwrap();
    let wish = |at| Wish { at_ms: at * 100, node: turn(at), kind: WishKind::Create, salt: at };
    Plan { wishes: (10..250).map(wish).collect(), ..quiet(nodes) }
}

fn fault(at_ms: u64, for_ms: u64, trouble: Trouble) -> Fault {
    Fault { at_ms, for_ms, trouble }
}

/// Runs a plan to its end.
fn ran(plan: &Plan) -> Outcome {
    plan.check().unwrap();
    run(plan, &mut |_| ControlFlow::Continue(()))
}

/// Runs a plan that must end well.
fn well(plan: &Plan) -> Outcome {
    let outcome = ran(plan);
    assert_eq!(outcome.violations, []);
    assert!(outcome.figures.converged_ms.is_some());
    outcome
}

/// Returns when a node ran, from and to.
fn lives(outcome: &Outcome, node: u32) -> Vec<(u64, u64)> {
    let lives = outcome.lives.iter().filter(|life| life.node == node);
    lives.map(|life| (life.from_ms, life.to_ms)).collect()
}

#[test]
fn one_plan_has_one_digest_and_one_trace() {
    let mut plan = busy(3);
    plan.network.loss_per_mille = 50;
    plan.faults = vec![
        fault(4_000, 3_000, Trouble::PowerCut { node: 1, writing: true }),
        fault(9_000, 3_000, Trouble::Clone { node: 2, moved: false }),
        fault(15_000, 8_000, Trouble::Rough { node: 0, loss_per_mille: 300, delay_us: 100_000 }),
    ];
    let [one, other] = [ran(&plan), ran(&plan)];
    assert!(!one.trace.is_empty());
    assert_eq!((one.digest, one.trace, one.story), (other.digest, other.trace, other.story));
    assert_ne!(one.digest, ran(&Plan { seed: 8, ..plan }).digest);
}

#[test]
fn whatever_befell_them_all_hold_the_same_in_the_end() {
    let mut plan = busy(5);
    let partition = Trouble::Partition { side: vec![0, 1], cut: Cut::Both, bridge: None };
    plan.faults = vec![
        fault(3_000, 5_000, Trouble::Kill { node: 2 }),
        fault(5_000, 5_000, Trouble::PowerCut { node: 3, writing: true }),
        fault(12_000, 9_000, partition),
        fault(14_000, 4_000, Trouble::SyncError { node: 1 }),
        fault(20_000, 5_000, Trouble::LoseDisk { node: 4 }),
    ];
    let outcome = well(&plan);
    assert!(outcome.figures.beads > 150, "{:?}", outcome.figures);
    for name in ["crash-while-writing", "store-copied", "disk-lost-and-recovered", "frame-held-by-partition"] {
        assert!(outcome.seen.contains_key(name), "{name}: {:?}", outcome.seen);
    }
}

#[test]
fn a_run_that_its_watcher_cuts_short_ends_there_unjudged() {
    let plan = busy(5);
    let mut looks = Vec::new();
    let outcome = run(&plan, &mut |at_ms| {
        looks.push(at_ms);
        ControlFlow::Break(())
    });
    assert_eq!(looks, [outcome.virtual_us / MILLI]);
    assert!(outcome.virtual_us / MILLI < plan.span_ms, "{looks:?}");
    assert_eq!((outcome.figures.converged_ms, outcome.violations.len()), (None, 0));
    assert_ne!(outcome.digest, ran(&plan).digest);
}

#[test]
fn a_held_frame_comes_when_the_cut_is_mended() {
    let mut plan = quiet(2);
    plan.wishes = vec![Wish { at_ms: 3_000, node: 0, kind: WishKind::Create, salt: 1 }];
    // Shorter than the silence after which a link is given up.
    plan.faults = vec![fault(2_500, 4_000, Trouble::Partition { side: vec![0], cut: Cut::Out, bridge: None })];
    let mut mesh = Mesh::new(&plan);
    mesh.found();
    let mut until = |at_ms: u64| {
        assert!(mesh.run_until(at_ms * MILLI, &mut |_| ControlFlow::Continue(())).is_continue());
        let links: Vec<(LinkId, usize)> =
            mesh.network.links.iter().map(|(link, state)| (*link, state.directions[0].held.len())).collect();
        (links, mesh.nodes[1].known.len())
    };
    let (before, _) = until(2_000);
    let (held, heard) = until(6_000);
    assert_eq!((before[0].0, before[0].1, heard), (held[0].0, 0, 0));
    assert!(held[0].1 > 0, "{held:?}");
    assert_eq!(until(7_000), (before, 1));
}

#[test]
fn the_power_goes_when_its_fault_ends_where_no_write_came_before() {
    let mut plan = quiet(2);
    plan.faults = vec![fault(10_000, 300, Trouble::PowerCut { node: 1, writing: true })];
    let lives = lives(&well(&plan), 1);
    assert_eq!(lives[..1], [(0, 10_300)]);
    assert_eq!((lives.len(), lives[1].0), (2, 10_300));
}

#[test]
fn a_sleeper_that_is_stopped_leaves_no_clog() {
    let mut plan = busy(3);
    plan.faults = vec![
        fault(5_000, 10_000, Trouble::Pause { node: 2, clock_stops: true }),
        fault(8_000, 2_000, Trouble::Kill { node: 2 }),
    ];
    let mut mesh = Mesh::new(&plan);
    mesh.found();
    for (at_ms, passes) in [(7_000, false), (9_000, true), (11_000, true), (16_000, true)] {
        assert!(mesh.run_until(at_ms * MILLI, &mut |_| ControlFlow::Continue(())).is_continue());
        assert_eq!(mesh.network.passes(2, 0), passes, "at {at_ms} ms");
    }
    well(&plan);
}

#[test]
fn a_copy_that_moved_excuses_no_number_given_twice() {
    let copied = |moved| {
        let mut plan = busy(3);
        plan.faults = vec![fault(5_000, 15_000, Trouble::Clone { node: 1, moved })];
        let mut mesh = Mesh::new(&plan);
        mesh.found();
        assert!(mesh.run_until(6_000 * MILLI, &mut |_| ControlFlow::Continue(())).is_continue());
        let key = mesh.nodes[1].id;
        assert_eq!((mesh.nodes[3].copy_of, mesh.nodes[3].id), (Some(1), key));
        well(&plan);
        (mesh.forked.contains(&key), mesh.moved.contains(&key))
    };
    assert_eq!((copied(false), copied(true)), ((true, false), (false, true)));
}

#[test]
fn beads_spread_to_all_members_whoever_joins_or_is_copied() {
    let mut plan = busy(4);
    plan.nodes[3].joins_ms = 20_000;
    plan.faults = vec![fault(1_000, 1_000, Trouble::Clone { node: 1, moved: true })];
    let spread = well(&plan).figures.spread_ms;
    assert!(spread.iter().all(|reached| reached.is_some_and(|ms| ms < 1_000)), "{spread:?}");
}

#[test]
fn what_a_rogue_forges_is_refused_and_breaks_nothing() {
    let mut plan = busy(4);
    plan.nodes[3].rogue = true;
    plan.faults = [Misdeed::Forge, Misdeed::Garbage, Misdeed::Stranger, Misdeed::Fork]
        .into_iter()
        .zip(1..)
        .map(|(misdeed, at)| fault(at * 5_000, 0, Trouble::Rogue { node: 3, misdeed, salt: at }))
        .collect();
    let seen = well(&plan).seen;
    for name in ["forged-refused", "garbage-refused", "stranger-ignored", "fork-entry"] {
        assert!(seen.contains_key(name), "{name}: {seen:?}");
    }
}
