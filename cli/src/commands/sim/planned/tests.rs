use std::fs;
use std::path::Path;
use std::time::Duration;

use beadmesh_sim::plan::Plan;
use beadmesh_sim::scenario::Scenario;

use super::{Promised, command, draw, quoted, read};
use crate::args::PlannedArgs;
use crate::failure::{Exit, Failure};

const TINY: &str = r#"{"schema": 1, "seed": 7, "scenario": "calm", "span_ms": 1000, "settle_ms": 1000,
 "network": {"latency_min_us":1,"latency_mean_us":1,"loss_per_mille":0,"bytes_per_s":1000000},
 "nodes": [
  {"role":"admin","joins_ms":0,"ways":[],"drift_ppm":0,"wall_ahead_ms":0,"flush_us":1,"documents_max":9,"rogue":false}
 ],
 "wishes": [],
 "faults": []}
"#;

/// A plan of one node to which nothing happens.
pub(in crate::commands::sim) fn tiny() -> Plan {
    Plan::parse(TINY).unwrap()
}

fn told(text: &str) -> Failure {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    fs::write(&path, text).unwrap();
    read(&path).unwrap_err()
}

#[test]
fn a_plan_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    Promised::open(&path).unwrap().write(&tiny().text()).unwrap();
    assert_eq!(read(&path).unwrap(), tiny());
}

#[test]
fn a_file_that_is_no_plan_is_told_by_its_field() {
    let failure = told("hello");
    assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Usage, None));
    assert!(failure.message.starts_with("not a plan: ") && failure.hint.is_some());
    let failure = told(&TINY.replace("settle_ms", "settles_ms"));
    assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Usage, Some("settles_ms")));
    let failure = told(&TINY.replace("\"documents_max\":9", "\"documents_max\":0"));
    assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Usage, Some("nodes[0].documents_max")));
    assert_eq!(failure.message, "nodes[0].documents_max is 0: at least 1");
    for missing in ["/nowhere/plan.json", "/"] {
        let failure = read(Path::new(missing)).unwrap_err();
        assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Usage, Some("FILE")), "{missing}");
        assert!(failure.hint.is_some());
    }
}

#[cfg(not(planted))]
#[test]
fn a_bug_that_is_not_planted_is_refused() {
    let failure = told(&TINY.replace("\"span_ms\"", "\"planted\": \"forget\", \"span_ms\""));
    assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Usage, Some("planted")));
    let args = PlannedArgs { planted: Some("forget".into()), ..PlannedArgs::default() };
    assert_eq!(draw(1, Scenario::ALL[0], &args).unwrap_err().exit, Exit::Usage);
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_the_work() {
    let failure = Promised::open(Path::new("/nowhere/plan.json")).err().unwrap();
    assert_eq!(failure.message, "/nowhere/plan.json cannot be written");
}

#[test]
fn a_command_says_all_that_was_wanted() {
    let mut args = PlannedArgs::default();
    let calm = Scenario::ALL[0];
    assert_eq!(command(7, calm, &args), format!("beadmesh sim run --seed 7 --scenario {}", calm.name()));
    args = PlannedArgs { nodes: Some(3), span: Some(Duration::from_secs(90)), edits_per_second: Some(4), ..args };
    args = PlannedArgs { churn_per_minute: Some(5), planted: Some("bug".into()), ..args };
    let told = command(7, calm, &args);
    assert!(told.ends_with(" --nodes 3 --span 90s --edits-per-second 4 --churn-per-minute 5 --planted bug"), "{told}");
}

#[test]
fn a_path_can_be_copied_to_a_shell() {
    let quoted = ["a/b-7.json", "it's here", "-x"].map(|path| quoted(Path::new(path)));
    assert_eq!(quoted, ["a/b-7.json", r"'it'\''s here'", "'./-x'"]);
}
