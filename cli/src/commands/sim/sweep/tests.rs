use std::time::Duration;

use beadmesh_sim::outcome::Violation;
use beadmesh_sim::scenario::Scenario;
use beadmesh_sim::sweep::{Sweep, Trial};

use super::{Field, Interrupt, verdict};
use crate::args::{Global, PlannedArgs, SweepArgs};
use crate::failure::Exit;
use crate::output::Printer;
use crate::output::progress::Progress;

fn args(seeds: u64, threads: u16) -> SweepArgs {
    let planned = PlannedArgs { nodes: Some(2), span: Some(Duration::from_secs(2)), ..PlannedArgs::default() };
    SweepArgs { seeds, seed: 0, scenario: Some(Scenario::ALL[0]), planned, threads: Some(threads), keep: None }
}

fn swept(field: &Field, interrupt: &Interrupt) -> Sweep {
    let global = Global {
        json: true,
        home: None,
        project: None,
        all_projects: false,
        agent: None,
        quiet: true,
        color: crate::args::Color::Never,
    };
    field.sweep(interrupt, &Progress::steps(&Printer::new(&global), "Sweeping", 1)).unwrap()
}

fn trial(seed: u64, violations: Vec<Violation>) -> Trial {
    let (scenario, replay) = (Scenario::ALL[0].name(), String::new());
    let seen = std::collections::BTreeMap::new();
    Trial { seed, scenario, digest: 0, violations, events: 0, virtual_us: 0, seen, replay, plan: None }
}

#[test]
fn the_number_of_threads_makes_no_difference() {
    let [one, three] = [1, 3].map(|threads| swept(&Field::new(args(12, threads)).unwrap(), &Interrupt::default()));
    assert_eq!((one.total(), one.digest()), (three.total(), three.digest()));
    assert_eq!((one.total().seeds, one.failed.len()), (12, 0), "{:?}", one.failed);
}

#[test]
fn a_sweep_that_is_interrupted_says_how_far_it_came() {
    let interrupt = Interrupt::default();
    interrupt.raise();
    let sweep = swept(&Field::new(args(12, 2)).unwrap(), &interrupt);
    let failure = verdict(&sweep, 12, false).unwrap_err();
    assert_eq!((failure.exit, failure.message.as_str()), (Exit::Failed, "stopped after 0 of 12 seeds"));
}

#[test]
fn failures_and_gaps_end_a_sweep_badly() {
    let mut sweep = Sweep::new();
    sweep.add(trial(1, vec![]));
    assert!(verdict(&sweep, 1, true).is_ok());
    assert_eq!(&*verdict(&sweep, 2, true).unwrap_err().code, "interrupted");
    (2..=600).for_each(|seed| sweep.add(trial(seed, vec![])));
    assert_eq!(&*verdict(&sweep, 600, true).unwrap_err().code, "never_seen");
    assert!(verdict(&sweep, 600, false).is_ok());
    sweep.add(trial(601, vec![Violation { check: "loss", at_ms: 1, node: None, what: "is gone".into() }]));
    assert_eq!(verdict(&sweep, 700, true).unwrap_err().message, "stopped after 601 of 700 seeds; 1 seed failed");
}

#[test]
fn seeds_end_somewhere_and_folders_must_be_writable() {
    let failure = Field::new(SweepArgs { seed: u64::MAX, ..args(2, 1) }).err().unwrap();
    assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Usage, Some("--seeds")));
    let failure = Field::new(SweepArgs { keep: Some("/dev/null/plans".into()), ..args(2, 1) }).err().unwrap();
    assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Failed, Some("--keep")));
}
