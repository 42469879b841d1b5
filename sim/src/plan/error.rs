//! What is wrong with a plan.

use std::fmt::Display;

/// Why a plan can not be run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The text does not have the form of a plan.
    #[error("not a plan: {0}")]
    Form(#[from] serde_json::Error),
    /// A field breaks its bound.
    #[error("{field} is {value}: {bound}")]
    Bound {
        /// The field.
        field: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        bound: String,
    },
    /// The plan has a planted bug, and this program none.
    #[error("the bug {0:?} is not planted in this build: build with RUSTFLAGS=\"--cfg planted\"")]
    NotPlanted(String),
}

impl PlanError {
    pub(crate) fn bound(field: &str, value: impl Display, bound: impl Into<String>) -> Self {
        Self::Bound { field: field.to_owned(), value: value.to_string(), bound: bound.into() }
    }
}
