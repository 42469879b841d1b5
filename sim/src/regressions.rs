//! Plans that failed once, each shrunk to what mattered and named for it: `sim/regressions/*.json`.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::plan::Plan;

fn plans() -> Vec<(PathBuf, Plan)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let plan = Plan::parse(&fs::read_to_string(&path).unwrap());
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, plan)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_plan_that_once_failed_passes() {
    let plans = plans();
    assert!(!plans.is_empty());
    for (path, plan) in plans {
        let outcome = crate::run(&plan, &mut |_| ControlFlow::Continue(()));
        let path = path.display();
        assert_eq!(outcome.violations, [], "beadmesh sim replay {path}");
    }
}
