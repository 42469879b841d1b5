//! Once healed, the mesh comes to rest: all equal in time, nothing owed to anybody, no node unwell.

use std::time::Duration;

use beadmesh_protocol::limits::CLOCK_SKEW_MAX;
use beadmesh_store::command::Finding;

use super::report::{self, Report};
use super::{Ending, cycles};
use crate::outcome::Violation;
use crate::plan::{Misdeed, Trouble};
use crate::view::View;

/// Finds nodes that did not become equal in time, owe their peers entries, or find something wrong with themselves.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("liveness", ending);
    if !ending.converged {
        let mut sizes: Vec<u64> = ending.glances.iter().map(|glance| glance.entries).collect();
        sizes.sort_unstable();
        let (least, most) = (sizes.first().unwrap_or(&0), sizes.last().unwrap_or(&0));
        let what = format!(
            "{} nodes were not equal {} ms after healing: they hold {least} to {most} entries.",
            ending.glances.len(),
            ending.plan.settle_ms
        );
        report.note(None, what);
    }
    for view in ending.views {
        check_peers(ending, view, &mut report);
        for finding in view.findings.iter().filter(|finding| !is_expected(ending, view, finding)) {
            let what = format!("{} finds {}: {}", report::viewer(view), finding.check, finding.message);
            report.note(view.place, what);
        }
    }
    report.finish()
}

/// Entries that a linked peer is not known to hold are none; a rogue may say of itself what it likes.
fn check_peers(ending: &Ending<'_>, view: &View, report: &mut Report) {
    for peer in view.peers.iter().filter(|peer| peer.connected && peer.lag_entries > 0) {
        if ending.place(peer.node).is_none_or(|place| ending.is_rogue(place)) {
            continue;
        }
        let (who, peer_name) = (report::viewer(view), report::author(ending, peer.node));
        let what = format!("{who} says that {peer_name} lacks {} entries, and it is linked.", peer.lag_entries);
        report.note(view.place, what);
    }
}

/// Returns whether what was planned explains a finding.
fn is_expected(ending: &Ending<'_>, view: &View, finding: &Finding) -> bool {
    match finding.check {
        "clock.skew" => may_clocks_differ(ending),
        "beads.cycle" => cycles::may_have_cycle(view),
        // Two stores of one key are told by whom they concern, and by whoever holds numbers that were given twice.
        "store.cloned" | "store.restored" => {
            [ending.forked, ending.moved, ending.lost].iter().any(|keys| !keys.is_empty())
        }
        _ => false,
    }
}

/// Returns whether the plan lets some clock run so far ahead of another that it is to be reported.
fn may_clocks_differ(ending: &Ending<'_>) -> bool {
    let is_wrong = |trouble: &Trouble| {
        matches!(
            trouble,
            Trouble::WallStep { .. }
                | Trouble::Pause { clock_stops: true, .. }
                | Trouble::Rogue { misdeed: Misdeed::Future, .. }
        )
    };
    if ending.plan.faults.iter().any(|fault| is_wrong(&fault.trouble)) {
        return true;
    }
    let ahead = |node: &crate::plan::Node| {
        let run_ms = i128::from(ending.at_ms);
        i128::from(node.wall_ahead_ms) + run_ms * i128::from(node.drift_ppm) / 1_000_000
    };
    let starts = || ending.plan.nodes.iter().map(|node| i128::from(node.wall_ahead_ms));
    let ends = || ending.plan.nodes.iter().map(ahead);
    let most = starts().chain(ends()).max().unwrap_or(0);
    let least = starts().chain(ends()).min().unwrap_or(0);
    // Some slack for what a clock is off by in between.
    let allowed = CLOCK_SKEW_MAX - Duration::from_secs(10);
    most - least > i128::try_from(allowed.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Scene, bead_id, told};
    use crate::plan::Fault;

    fn finding(check: &'static str) -> Finding {
        Finding { check, message: "Something.".to_owned(), remedy: String::new() }
    }

    /// Returns what is said of a scene in which node 0 finds that.
    fn of_finding(check_name: &'static str, spoil: impl Fn(&mut Scene)) -> Vec<String> {
        let mut scene = Scene::sound();
        scene.views[0].findings.push(finding(check_name));
        spoil(&mut scene);
        told(check, &scene)
    }

    #[test]
    fn a_mesh_at_rest_is_in_order() {
        assert_eq!(told(check, &Scene::sound()), [""; 0]);
    }

    #[test]
    fn a_mesh_that_did_not_become_equal_in_time_is_told() {
        let mut scene = Scene::sound();
        scene.converged = false;
        scene.glances[1].entries = 1;
        assert_eq!(told(check, &scene), ["3 nodes were not equal 60000 ms after healing: they hold 1 to 4 entries."]);
    }

    #[test]
    fn a_linked_peer_that_is_owed_entries_is_told() {
        let mut scene = Scene::sound();
        scene.views[1].peers[0].lag_entries = 3;
        assert_eq!(told(check, &scene), ["node 1 says that node 0 lacks 3 entries, and it is linked."]);
        scene.plan.nodes[0].rogue = true;
        assert_eq!(told(check, &scene), [""; 0]);
        scene.plan.nodes[0].rogue = false;
        scene.views[1].peers[0].connected = false;
        assert_eq!(told(check, &scene), [""; 0]);
    }

    #[test]
    fn findings_are_told_unless_the_plan_explains_them() {
        for check in ["store.checksum", "store.views", "clock.skew", "beads.cycle", "store.cloned", "store.restored"] {
            assert_eq!(of_finding(check, |_| {}), [format!("node 0 finds {check}: Something.")]);
        }
        let cycle = |scene: &mut Scene| scene.change_all(|view| cycles::tests::depend(view, bead_id(1), bead_id(1)));
        assert_eq!(of_finding("beads.cycle", cycle), [""; 0]);
        let forked = |scene: &mut Scene| {
            scene.forked.insert(scene.keys[&1]);
        };
        assert_eq!(of_finding("store.cloned", forked), [""; 0]);
    }

    #[test]
    fn clocks_are_reported_where_the_plan_sets_them_wrong() {
        let ahead = |ms| move |scene: &mut Scene| scene.plan.nodes[1].wall_ahead_ms = ms;
        assert_eq!(of_finding("clock.skew", ahead(300_000)), [""; 0]);
        assert_eq!(of_finding("clock.skew", ahead(-300_000)), [""; 0]);
        assert_eq!(of_finding("clock.skew", ahead(60_000)).len(), 1);
        for trouble in [
            Trouble::WallStep { node: 1, by_ms: 1 },
            Trouble::Pause { node: 1, clock_stops: true },
            Trouble::Rogue { node: 1, misdeed: Misdeed::Future, salt: 0 },
        ] {
            let fault = Fault { at_ms: 0, for_ms: 0, trouble };
            assert_eq!(of_finding("clock.skew", |scene| scene.plan.faults.push(fault.clone())), [""; 0]);
        }
    }
}
