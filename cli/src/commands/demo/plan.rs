//! The plan that is carried out: the release of a map server, one epic and what it takes.

/// The project, as people name it.
pub(super) const PROJECT: &str = "map-server";

/// The name of the epic; its children are named after it.
pub(super) const EPIC: &str = "rollout";

/// What the epic says.
pub(super) const EPIC_TITLE: &str = "Release map server 2.0";

/// One bead of the plan.
#[derive(Debug)]
pub(super) struct Task {
    /// What is to be done.
    pub(super) title: &'static str,
    /// Its urgency, 0 (first) to 4.
    pub(super) priority: i64,
    /// The paths it touches.
    pub(super) scope: &'static str,
    /// What it waits for, as places in the plan, all before its own.
    pub(super) after: &'static [usize],
    /// What is said of it once it is done.
    pub(super) report: &'static str,
}

/// The place in the plan of what two sides will change at once.
pub(super) const DEPLOY: usize = 12;

/// What the epic takes.
pub(super) const TASKS: [Task; 14] = [
    task("Freeze the release branch", 0, "release/**", &[], "No merge until it is out."),
    task("Write the release notes", 1, "docs/notes/**", &[0], "Two pages, and the upgrade path."),
    task("Build the container image", 0, "image/**", &[0], "Built twice, the same bytes twice."),
    task("Rebuild the tile index", 1, "tiles/index/**", &[0], "Fits one GPU at last."),
    task("Run the load test", 1, "tests/load/**", &[2], "Holds the peak of last August."),
    task("Scan the image for known flaws", 0, "image/scan/**", &[2], "Nothing above low."),
    task("Rehearse the schema change", 1, "db/changes/**", &[0], "Forth and back on a copy."),
    task("Raise the limits of staging", 1, "infra/staging/**", &[], "As large as production now."),
    task("Deploy to staging", 0, "infra/staging/**", &[2, 5, 7], "All probes are green."),
    task("Warm the tile cache", 1, "tiles/cache/**", &[3, 8], "The upper ten levels."),
    task("Go through the alarms", 1, "ops/alarms/**", &[8], "One was mute; it rings now."),
    task("Change the production schema", 0, "db/changes/**", &[6, 8], "No lock was held for long."),
    task("Deploy to production", 0, "infra/production/**", &[4, 9, 10, 11], "One zone at a time."),
    task("Tell the users", 2, "docs/notes/**", &[1, 12], "Notes are out, by letter and feed."),
];

const fn task(
    title: &'static str,
    priority: i64,
    scope: &'static str,
    after: &'static [usize],
    report: &'static str,
) -> Task {
    Task { title, priority, scope, after, report }
}

/// Returns what is said of the task of that title once it is done.
pub(super) fn report(title: &str) -> &'static str {
    TASKS.iter().find(|task| task.title == title).map_or("Done.", |task| task.report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_waits_for_earlier_ones_alone() {
        for (place, task) in TASKS.iter().enumerate() {
            assert!(task.after.iter().all(|before| *before < place), "{}", task.title);
        }
        assert_eq!(TASKS[DEPLOY].title, "Deploy to production");
    }
}
