use std::collections::BTreeMap;

use beadmesh_protocol::op::Role;

use super::{COLUMNS, Facts, Row, Story, SweepFacts, run, sweep};
use crate::outcome::{Figures, Life, Line, Outcome, Sample, Violation};
use crate::plan::{Cut, Fault, Misdeed, Network, Node, Plan, SCHEMA, Trouble};
use crate::sweep::{Sweep, Trial};

/// A small run with something of everything.
pub(crate) fn sample(nodes: u32) -> (Plan, Outcome) {
    let node = |at: u32| Node {
        role: if at == 0 { Role::Admin } else { Role::Member },
        joins_ms: if at == 5 { 20_000 } else { 0 },
        ways: at.checked_sub(1).into_iter().collect(),
        drift_ppm: 0,
        wall_ahead_ms: 0,
        flush_us: 500,
        documents_max: 64,
        rogue: at == 4,
    };
    let fault = |at_ms, for_ms, trouble| Fault { at_ms, for_ms, trouble };
    let faults = vec![
        fault(10_000, 35_000, Trouble::Partition { side: vec![2, 3], cut: Cut::Both, bridge: None }),
        fault(12_300, 9_000, Trouble::PowerCut { node: 1, writing: true }),
        fault(30_000, 20_000, Trouble::Rough { node: 0, loss_per_mille: 200, delay_us: 90_000 }),
        fault(40_000, 15_000, Trouble::LoseDisk { node: 5 }),
        fault(62_000, 12_000, Trouble::Pause { node: 3, clock_stops: false }),
        fault(70_000, 0, Trouble::Rogue { node: 4, misdeed: Misdeed::Forge, salt: 1 }),
    ];
    let network = Network {
        latency_min_us: 5,
        latency_mean_us: 30,
        loss_per_mille: 0,
        bytes_per_s: 1_000_000,
        window_bytes: 65_536,
    };
    let plan = Plan {
        schema: SCHEMA,
        seed: 7,
        scenario: "partition".into(),
        planted: None,
        span_ms: 90_000,
        settle_ms: 60_000,
        network,
        nodes: (0..nodes).map(node).collect(),
        wishes: vec![],
        faults,
    };
    let outcome = outcome(&plan);
    (plan, outcome)
}

fn outcome(plan: &Plan) -> Outcome {
    let places = || (0..).zip(&plan.nodes).map(|(place, _): (u32, _)| place);
    let life = |node, from_ms, to_ms| Life { node, from_ms, to_ms };
    let lives = places().flat_map(|node| match node {
        1 => vec![life(1, 0, 12_300), life(1, 21_300, 92_000)],
        5 => vec![life(5, 20_000, 40_000), life(5, 55_000, 92_000)],
        node => vec![life(node, 0, 92_000)],
    });
    let lives: Vec<Life> = lives.collect();
    let lacks = |node: u32, at_ms: u64| {
        let runs = lives.iter().any(|life| life.node == node && life.from_ms <= at_ms && at_ms < life.to_ms);
        let behind = match node {
            2 | 3 if (10_000..46_000).contains(&at_ms) => (at_ms - 10_000) / 80,
            5 if (55_000..57_000).contains(&at_ms) => (57_000 - at_ms) / 2,
            3 if (62_000..74_000).contains(&at_ms) => (at_ms - 62_000) / 90,
            node => (at_ms / 250 + u64::from(node) * 3) % 5,
        };
        runs.then_some(if at_ms > 91_000 { 0 } else { behind })
    };
    let samples = (0..=92_000).step_by(250).map(|at_ms| {
        let lacks = places().map(|node| lacks(node, at_ms)).collect();
        Sample { at_ms, entries: at_ms / 70, lacks }
    });
    let line = |at_ms, node, what: &str| Line { at_ms, node, what: what.into() };
    let story = vec![
        line(10_000, None, "a partition set n2 and n3 apart from the others"),
        line(12_300, Some(1), "lost power while writing"),
        line(
            21_300,
            Some(1),
            "started again over a torn log, and cut off what was half written before it said anything",
        ),
        line(40_000, Some(5), "lost its disk"),
    ];
    let violation =
        Violation { check: "loss", at_ms: 92_000, node: Some(1), what: "the comment \"<b>&\" is gone".into() };
    Outcome {
        digest: 0x9f86_d081_884c_7d65,
        trace: vec![],
        violations: vec![violation],
        nodes: u32::try_from(plan.nodes.len()).unwrap(),
        virtual_us: 92_000_000,
        events: 84_213,
        seen: BTreeMap::new(),
        story,
        samples: samples.collect(),
        lives: lives.clone(),
        figures: Figures {
            acknowledged: 1_234,
            refused: 3,
            entries: 1_300,
            beads: 310,
            frames: 56_120,
            bytes: 12_910_000,
            queue_bytes_max: 70_000,
            stored_bytes: 3_500_000,
            converged_ms: Some(1_400),
            spread_ms: [Some(210), Some(850), None],
            ..Figures::default()
        },
    }
}

fn text(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\n", row.text)).collect()
}

#[test]
fn a_report_tells_a_run() {
    let (plan, outcome) = sample(6);
    let replay = "beadmesh sim run --seed 7 --scenario partition";
    let facts = Facts { plan: &plan, outcome: &outcome, real_ms: 1_234, replay, story: Story::Short };
    let rows = run(&facts);
    assert!(rows.iter().all(|row| row.text.chars().count() <= COLUMNS));
    let expected = include_str!("tests/run.txt");
    assert_eq!(text(&rows), expected);
}

#[test]
fn a_report_of_a_plan_that_never_became_whole_says_so() {
    let (plan, mut outcome) = sample(1_000);
    outcome.figures.converged_ms = None;
    outcome.story = (0..100).map(|at_ms| Line { at_ms, node: None, what: format!("thing {at_ms}") }).collect();
    outcome.violations = vec![outcome.violations[0].clone(); 30];
    let facts = Facts { plan: &plan, outcome: &outcome, real_ms: 0, replay: "again", story: Story::Short };
    let short = text(&run(&facts));
    for wanted in ["never became equal", "60 lines more with --trace", "30 violations", "and 20 more"] {
        assert!(short.contains(wanted), "{wanted} in {short}");
    }
    let whole = text(&run(&Facts { story: Story::Whole, ..facts }));
    assert!(whole.contains("thing 57") && !whole.contains("--trace"));
}

#[test]
fn a_report_tells_a_sweep() {
    let mut told = Sweep::new();
    told.seen = BTreeMap::new();
    for seed in 0..24_u64 {
        let (scenario, violations) =
            (crate::sweep::turn(seed).name(), if seed == 7 { sample(6).1.violations } else { vec![] });
        let seen = BTreeMap::from([("a partition healed", seed % 3), ("a torn write was cut off", 0)]);
        let replay = format!("beadmesh sim run --seed {seed} --scenario {scenario}");
        let (digest, plan) = (seed, Some("plans/seed-7.json".to_owned()));
        told.add(Trial {
            seed,
            scenario,
            digest,
            violations,
            events: 84_213,
            virtual_us: 92_000_000,
            seen,
            replay,
            plan,
        });
    }
    told.seen.insert("a torn write was cut off", crate::sweep::Sight::default());
    let facts = SweepFacts { sweep: &told, first: 0, seeds: 24, real_ms: 12_345, threads: 2 };
    let rows = sweep(&facts);
    assert!(rows.iter().all(|row| row.text.chars().count() <= COLUMNS));
    let text = text(&rows);
    let wanted = [
        "24 seeds from 0: 1 failed.\n",
        "It took 12.3 s on 2 threads: 1 seed a second, 178 times as fast as life.\n",
        "all                   24       1         2,021,112       36 min 48 s\n",
        "  a partition healed                                   24   in 66 % of the seeds\n",
        "What was never seen\n  a torn write was cut off\n",
        "  seed 7, ",
        "    loss, 92.0 s at n1:\n      the comment \"<b>&\" is gone\n    Plan:  plans/seed-7.json\n    Again: beadmesh sim run --seed 7",
    ];
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    let part = super::sweep(&SweepFacts { seeds: 100, ..facts });
    assert!(part[0].text.starts_with("24 of 100 seeds from 0: 1 failed."), "{}", part[0].text);
}
