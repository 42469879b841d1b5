//! Why a line is not a record.

use super::json::JsonError;
use crate::alias::AliasError;
use crate::id::ParseIdError;
use crate::scope::PatternError;

/// Why a line is not a record; a field inside a list is written `dependencies[3].type`, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The line is longer than any record can be.
    #[error("line has {bytes} bytes, at most {bound} are allowed")]
    LineBytes {
        /// Its length.
        bytes: usize,
        /// The limit.
        bound: usize,
    },
    /// The line is not JSON, or gives one key twice.
    #[error("not JSON that can be kept")]
    Json(#[source] JsonError),
    /// A field that every record has is not there, or empty.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: String,
    },
    /// A field holds another kind of value.
    #[error("{field}: expected {expected}, found {found}")]
    Kind {
        /// The field.
        field: String,
        /// What may stand there.
        expected: &'static str,
        /// What stands there, cut to 80 characters.
        found: String,
    },
    /// A text is too long.
    #[error("{field} has {bytes} bytes, at most {bound} are allowed")]
    Bytes {
        /// The field.
        field: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        bound: usize,
    },
    /// A list or object is too long.
    #[error("{field} has {items} items, at most {bound} are allowed")]
    Items {
        /// The field.
        field: String,
        /// Its length.
        items: usize,
        /// The limit.
        bound: usize,
    },
    /// A number is too large or too small.
    #[error("{field} is {value}, outside 0 to {bound}")]
    Range {
        /// The field.
        field: String,
        /// The number as written, cut to 80 characters.
        value: String,
        /// The highest that is allowed.
        bound: u64,
    },
    /// A word holds a character that would end it elsewhere.
    #[error("{field} can not contain {character:?}")]
    Character {
        /// The field.
        field: String,
        /// The character.
        character: char,
    },
    /// Two fields mean the same and both are given.
    #[error("{field} and {other} say the same thing, only one can be given")]
    Twice {
        /// The one field.
        field: &'static str,
        /// The other field.
        other: &'static str,
    },
    /// The id can not be an alias.
    #[error("{field} can not be an alias")]
    Alias {
        /// The field.
        field: String,
        /// Why.
        source: AliasError,
    },
    /// A bead's id does not parse.
    #[error("{field} is no bead id")]
    Id {
        /// The field.
        field: String,
        /// Why.
        source: ParseIdError,
    },
    /// A scope is outside the grammar of patterns.
    #[error("{field} is no path pattern")]
    Scope {
        /// The field.
        field: String,
        /// Why.
        source: PatternError,
    },
}

impl RecordError {
    pub(super) fn missing(field: &str) -> Self {
        Self::Missing { field: field.to_owned() }
    }

    pub(super) fn kind(field: &str, expected: &'static str, found: &super::Json<'_>) -> Self {
        let found = match found {
            super::Json::Object(_) => "an object".to_owned(),
            super::Json::List(_) => "a list".to_owned(),
            other => other.canonical().chars().take(80).collect(),
        };
        Self::Kind { field: field.to_owned(), expected, found }
    }
}
