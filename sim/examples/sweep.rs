use beadmesh_sim::{planner, run, scenario::Scenario};
use std::ops::ControlFlow;
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (scenario, first, count): (&str, u64, u64) = (&a[1], a[2].parse().unwrap(), a[3].parse().unwrap());
    let begun = Instant::now();
    let (mut events, mut virt, mut bad) = (0, 0, 0);
    let mut seen = std::collections::BTreeMap::new();
    let mut kinds = std::collections::BTreeMap::<String, u64>::new();
    for seed in first..first + count {
        let sc: Scenario =
            if scenario == "all" { Scenario::ALL[(seed % 12) as usize] } else { scenario.parse().unwrap() };
        let nodes = std::env::var("NODES").ok().map(|n| n.parse().unwrap());
        let span_ms = std::env::var("SPAN").ok().map(|n| n.parse().unwrap());
        let eps = std::env::var("EPS").ok().map(|n| n.parse().unwrap());
        let churn = std::env::var("CHURN").ok().map(|n| n.parse().unwrap());
        let mut plan =
            planner::plan(seed, sc, &planner::Wanted { nodes, span_ms, edits_per_s: eps, churn_per_min: churn })
                .unwrap();
        plan.planted = std::env::var("PLANT").ok();
        let t = Instant::now();
        let out = std::panic::catch_unwind(|| run(&plan, &mut |_| ControlFlow::Continue(())));
        let Ok(out) = out else {
            println!("PANIC seed {seed} {}", sc.name());
            bad += 1;
            continue;
        };
        events += out.events;
        virt += out.virtual_us;
        for (k, v) in &out.seen {
            *seen.entry(*k).or_insert(0) += v;
        }
        if !out.violations.is_empty() {
            bad += 1;
            let v = &out.violations[0];
            for v in &out.violations {
                *kinds.entry(v.check.to_string()).or_default() += 1;
            }
            println!(
                "{} seed {seed}: {} at {} ms {:?}: {} (+{})",
                sc.name(),
                v.check,
                v.at_ms,
                v.node,
                v.what.chars().take(300).collect::<String>(),
                out.violations.len() - 1
            );
        }
        if a.len() > 5 {
            std::fs::write(format!("/tmp/plan-{seed}.json"), plan.text()).unwrap();
            for l in &out.story {
                println!("{:>9} {:?} {}", l.at_ms, l.node, l.what);
            }
            for v in &out.violations {
                println!("  {} {:?} {}", v.check, v.node, v.what);
            }
        }
        if a.len() > 4 {
            println!(
                "{} {seed} nodes {} wishes {} faults {} events {} ms {} conv {:?} ack {} ref {} unanswered {} digest {:x}",
                sc.name(),
                out.nodes,
                plan.wishes.len(),
                plan.faults.len(),
                out.events,
                t.elapsed().as_millis(),
                out.figures.converged_ms,
                out.figures.acknowledged,
                out.figures.refused,
                out.figures.unanswered,
                out.digest
            );
        }
    }
    let s = begun.elapsed();
    println!(
        "{count} seeds, {bad} bad, {events} events, {:?}, {} ms/seed, virtual {} s; {kinds:?}\n{seen:?}",
        s,
        s.as_millis() / count as u128,
        virt / 1_000_000
    );
}
