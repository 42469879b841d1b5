//! One run that ends in an outcome whatever the code under test does: a panic in it is a violation like others.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use beadmesh_sim::outcome::{Figures, Outcome, Violation};
use beadmesh_sim::plan::Plan;

thread_local! {
    /// What the last panic of this thread said; none while panics are told as usual.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a plan; returns nothing where `watch` cut it short.
pub(super) fn run(plan: &Plan, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Option<Outcome> {
    run_with(plan, watch, &beadmesh_sim::run)
}

/// Runs a plan in a simulation.
type Simulation<'a> = &'a dyn Fn(&Plan, &mut dyn FnMut(u64) -> ControlFlow<()>) -> Outcome;

fn run_with(plan: &Plan, watch: &mut dyn FnMut(u64) -> ControlFlow<()>, simulation: Simulation<'_>) -> Option<Outcome> {
    hush();
    let (reached_ms, is_cut) = (Cell::new(0), Cell::new(false));
    let mut watched = |at_ms| {
        reached_ms.set(at_ms);
        let flow = watch(at_ms);
        is_cut.set(flow.is_break());
        flow
    };
    CAUGHT.set(Some(String::new()));
    let ran = panic::catch_unwind(AssertUnwindSafe(|| simulation(plan, &mut watched)));
    let told = CAUGHT.take();
    match ran {
        _ if is_cut.get() => None,
        Ok(outcome) => Some(outcome),
        Err(_) => Some(panicked(plan, reached_ms.get(), told.unwrap_or_default())),
    }
}

/// Has panics be kept instead of told on threads that ask for it.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_kept = CAUGHT.with_borrow_mut(|caught| {
                let is_kept = caught.is_some();
                *caught = is_kept.then(|| sentence(info));
                is_kept
            });
            if !is_kept {
                usual(info);
            }
        }));
    });
}

fn sentence(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("nothing was said");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    format!("{message} ({place})")
}

/// Returns what a run came to that panicked.
fn panicked(plan: &Plan, at_ms: u64, what: String) -> Outcome {
    Outcome {
        digest: 0,
        trace: Vec::new(),
        violations: vec![Violation { check: "panic", at_ms, node: None, what }],
        nodes: u32::try_from(plan.nodes.len()).unwrap_or(u32::MAX),
        virtual_us: at_ms.saturating_mul(1_000),
        events: 0,
        seen: BTreeMap::new(),
        story: Vec::new(),
        samples: Vec::new(),
        lives: Vec::new(),
        figures: Figures::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use beadmesh_sim::plan::Plan;

    use super::{panicked, run_with};
    use crate::commands::sim::planned::tests::tiny;

    #[test]
    fn a_panic_is_a_violation() {
        let broken = |_: &Plan, watch: &mut dyn FnMut(u64) -> ControlFlow<()>| {
            let _ = watch(42);
            panic!("an entry {} is gone", 7)
        };
        let outcome = run_with(&tiny(), &mut |_| ControlFlow::Continue(()), &broken).unwrap();
        let violation = &outcome.violations[0];
        assert_eq!((violation.check, violation.at_ms, outcome.violations.len()), ("panic", 42, 1));
        assert!(violation.what.starts_with("an entry 7 is gone (") && violation.what.contains("trial.rs:"));
    }

    #[test]
    fn a_run_that_is_cut_short_has_no_outcome() {
        let simulation = |plan: &Plan, watch: &mut dyn FnMut(u64) -> ControlFlow<()>| {
            let reached = (0..10).find(|at_ms| watch(*at_ms).is_break());
            panicked(plan, reached.unwrap_or(10), String::new())
        };
        let cut = |until| {
            run_with(
                &tiny(),
                &mut |at| if at < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) },
                &simulation,
            )
        };
        assert!(cut(5).is_none());
        assert!(cut(10).is_some_and(|outcome| outcome.virtual_us == 10_000));
    }
}
