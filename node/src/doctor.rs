//! The checks of `doctor`: what can be seen of a home without its store, of its records, and of its mesh.
//!
//! Each check has a stable id, one row, and a remedy where it is not well.

use crate::api::model::{Check, Finding, Grade};
use crate::config::{Config, Mistakes};
use crate::home::Home;

mod bundle;
mod cards;
mod machine;
mod mesh;

pub use bundle::{inventory, redact, redacted};
pub(crate) use cards::check as cards;
pub(crate) use mesh::{Mesh, checks as mesh_checks};

/// What is looked for in the records, how bad it is, and what is said where there is nothing of it.
const RECORDS: [(&str, Grade, &str); 7] = [
    ("store.checksum", Grade::Fail, "Every entry can be read."),
    ("store.mail", Grade::Fail, "Every letter is listed as the entries say."),
    ("store.views", Grade::Fail, "Every bead is shown as the changes say."),
    ("store.cloned", Grade::Warn, "Nobody else writes with the key of a member."),
    ("store.restored", Grade::Warn, "The store is as new as what this node has written."),
    ("clock.skew", Grade::Warn, "No entry comes from the future."),
    ("beads.cycle", Grade::Warn, "No dependencies close a cycle."),
];

/// Findings of one id whose sentences are put into its row; the others are counted.
const TOLD_MAX: usize = 3;

/// Checks what can be seen without the store: the home, its disk, what is set, the service.
pub fn local(home: &Home, config: &Result<Config, Mistakes>) -> Vec<Check> {
    machine::checks(home, config)
}

/// Returns a row for each id that records are checked for.
pub(crate) fn records(findings: &[Finding]) -> Vec<Check> {
    let mut rows: Vec<Check> = RECORDS.iter().map(|(id, grade, well)| record(id, *grade, well, findings)).collect();
    if let Some(behind) = machine::clock() {
        rows.retain(|row| row.id != behind.id);
        rows.push(behind);
    }
    let known = |finding: &&Finding| RECORDS.iter().any(|(id, ..)| *id == finding.check);
    // A check that this table does not know yet is still told.
    let others = findings.iter().filter(|finding| !known(finding));
    rows.extend(others.map(|other| Check::warn(&other.check, &other.message, &other.remedy)));
    rows
}

/// Returns the worst of some rows.
pub fn worst(checks: &[Check]) -> Grade {
    checks.iter().map(|check| check.grade).max().unwrap_or_default()
}

fn record(id: &str, grade: Grade, well: &str, findings: &[Finding]) -> Check {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.check == id).collect();
    let [first, ..] = &found[..] else { return Check::ok(id, well) };
    let mut told: Vec<String> = found.iter().take(TOLD_MAX).map(|finding| finding.message.clone()).collect();
    if found.len() > TOLD_MAX {
        told.push(format!("There are {} more.", found.len() - TOLD_MAX));
    }
    let found = told.join(" ");
    Check { id: id.to_owned(), grade, found, remedy: Some(first.remedy.clone()) }
}

#[cfg(test)]
mod tests;
