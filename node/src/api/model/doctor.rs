//! What a check of a node finds, as the API shows it.

use beadmesh_store::command;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rebuilt;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoctorBody {
    /// What is wrong in the records, one by one; empty when all is well there.
    pub findings: Vec<Finding>,
    /// Every check with what it found, one row for each stable id.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The worst of all rows.
    #[serde(default)]
    pub grade: Grade,
    /// What was derived anew; absent when that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Rebuilt>,
    /// The node's last lines of log, without secrets; absent when they were not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Vec<String>>,
    /// What lies in the home, by name, with lengths and modes; absent when the logs were not asked for either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// All is well.
    #[default]
    Ok,
    /// It works, and something had better be done.
    Warn,
    /// Something does not work, or is not safe.
    Fail,
}

/// One check with what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// A stable id, such as `disk.space`.
    pub id: String,
    /// How it went.
    pub grade: Grade,
    /// What was found, as a sentence.
    pub found: String,
    /// What to do about it; absent where all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(id: &str, found: impl Into<String>) -> Self {
        Self { id: id.to_owned(), grade: Grade::Ok, found: found.into(), remedy: None }
    }

    /// It works, and something had better be done.
    pub fn warn(id: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { id: id.to_owned(), grade: Grade::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something does not work, or is not safe.
    pub fn fail(id: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, ..Self::warn(id, found, remedy) }
    }
}

/// One finding in the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// A stable id, such as `store.checksum`.
    pub check: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl From<command::Finding> for Finding {
    fn from(finding: command::Finding) -> Self {
        Self { check: finding.check.to_owned(), message: finding.message, remedy: finding.remedy }
    }
}
