use super::*;
use crate::plan::{Fault, Network, Node as PlanNode, Trouble, Wish, WishKind};
use beadmesh_protocol::op::Role;

fn plan(nodes: u32, faults: Vec<Fault>) -> Plan {
    let node = |place| PlanNode {
        role: if place == 0 { Role::Admin } else { Role::Member },
        joins_ms: 0,
        ways: (0..nodes).collect(),
        drift_ppm: 0,
        wall_ahead_ms: 0,
        flush_us: 500,
        documents_max: 8,
        rogue: false,
    };
    Plan {
        schema: 1,
        seed: 7,
        scenario: "calm".into(),
        planted: None,
        span_ms: 60_000,
        settle_ms: 600_000,
        network: Network { latency_min_us: 1_000, latency_mean_us: 10_000, loss_per_mille: 0, bytes_per_s: 10_000_000 },
        nodes: (0..nodes).map(node).collect(),
        wishes: (0..100)
            .map(|n| Wish { at_ms: n * 500, node: (n % u64::from(nodes)) as u32, kind: WishKind::Create, salt: n })
            .collect(),
        faults,
    }
}

#[test]
fn a_calm_mesh_converges() {
    let plan = plan(
        5,
        vec![
            Fault { at_ms: 5_000, for_ms: 10_000, trouble: Trouble::Kill { node: 2 } },
            Fault { at_ms: 7_000, for_ms: 10_000, trouble: Trouble::PowerCut { node: 3, writing: true } },
            Fault {
                at_ms: 20_000,
                for_ms: 20_000,
                trouble: Trouble::Partition { side: vec![0, 1], cut: crate::plan::Cut::Both, bridge: None },
            },
            Fault { at_ms: 30_000, for_ms: 20_000, trouble: Trouble::LoseDisk { node: 4 } },
        ],
    );
    let outcome = run(&plan, &mut |_| ControlFlow::Continue(()));
    for line in &outcome.story {
        println!("{:>8} {:?} {}", line.at_ms, line.node, line.what);
    }
    println!(
        "{:#?} {:?} events {} digest {:x} seen {:?}",
        outcome.figures, outcome.violations, outcome.events, outcome.digest, outcome.seen
    );
    let again = run(&plan, &mut |_| ControlFlow::Continue(()));
    assert_eq!(outcome.trace, again.trace);
    assert_eq!(outcome.digest, again.digest);
    assert!(outcome.violations.is_empty());
}
