//! Query strings, read and written: keys that repeat, and keys that are not known, which are refused.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

mod lease;
mod machines;
mod mail;
mod pick;

pub use lease::ClaimsQuery;
pub use machines::MachinesQuery;
pub use mail::{AgentsQuery, InboxQuery, LettersQuery, ShowQuery, ThreadQuery};
pub use pick::PickQuery;

/// Which beads to list, and which page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Keys of the project, strongest first; all projects without any.
    #[serde(default)]
    pub project: Vec<String>,
    /// Statuses; without any, all that are not done.
    #[serde(default)]
    pub status: Vec<String>,
    /// Also what is closed or deleted.
    #[serde(default)]
    pub all: bool,
    /// Priorities.
    #[serde(default)]
    pub priority: Vec<u8>,
    /// Types.
    #[serde(default, rename = "type")]
    #[param(rename = "type")]
    pub kind: Vec<String>,
    /// Labels, all of which a bead must carry.
    #[serde(default)]
    pub label: Vec<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// The bead whose children are wanted.
    pub parent: Option<String>,
    /// The bead that the page before ended with: its id, its alias or another name of it.
    pub after: Option<String>,
    /// Of ready beads also those that need what this machine lacks.
    #[serde(default)]
    pub anywhere: bool,
    /// How many to list, 100 when absent; 0 or more than 1,000 lists 1,000.
    pub limit: Option<usize>,
}

/// The project that an import or export is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProjectQuery {
    /// Keys of the project, strongest first.
    #[serde(default)]
    pub project: Vec<String>,
    /// What minted aliases begin with.
    pub prefix: Option<String>,
}

/// Why a query is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The key is not one of this route.
    #[error("query key {key:?} is not known here")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The key can be given once.
    #[error("query key {key} is given twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// The value is not of the kind that the key takes.
    #[error("query key {key}: expected {expected}, found {value:?}")]
    Value {
        /// The key.
        key: String,
        /// What may stand there.
        expected: &'static str,
        /// What stands there, cut to 80 characters.
        value: String,
    },
}

impl QueryError {
    /// Returns the key that is to blame.
    pub fn key(&self) -> &str {
        match self {
            Self::UnknownKey { key } | Self::Twice { key } | Self::Value { key, .. } => key,
        }
    }
}

impl ListQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown, repeated or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "project" => query.project.push(value),
                "status" => query.status.push(value),
                "all" => query.all = flag(&key, &value)?,
                "priority" => query.priority.push(number(&key, &value)?),
                "type" => query.kind.push(value),
                "label" => query.label.push(value),
                "assignee" => once(&mut query.assignee, &key, value)?,
                "parent" => once(&mut query.parent, &key, value)?,
                "after" => once(&mut query.after, &key, value)?,
                "anywhere" => query.anywhere = flag(&key, &value)?,
                "limit" => once(&mut query.limit, &key, number(&key, &value)?)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for nothing.
    pub fn to_query(&self) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        pairs.extend(self.project.iter().map(|value| ("project", value.clone())));
        pairs.extend(self.status.iter().map(|value| ("status", value.clone())));
        pairs.extend(self.all.then(|| ("all", "true".to_owned())));
        pairs.extend(self.priority.iter().map(|value| ("priority", value.to_string())));
        pairs.extend(self.kind.iter().map(|value| ("type", value.clone())));
        pairs.extend(self.label.iter().map(|value| ("label", value.clone())));
        pairs.extend(self.assignee.iter().map(|value| ("assignee", value.clone())));
        pairs.extend(self.parent.iter().map(|value| ("parent", value.clone())));
        pairs.extend(self.after.iter().map(|value| ("after", value.clone())));
        pairs.extend(self.anywhere.then(|| ("anywhere", "true".to_owned())));
        pairs.extend(self.limit.iter().map(|value| ("limit", value.to_string())));
        write(&pairs)
    }
}

impl ProjectQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown or repeated.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "project" => query.project.push(value),
                "prefix" => once(&mut query.prefix, &key, value)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it says nothing.
    pub fn to_query(&self) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        pairs.extend(self.project.iter().map(|value| ("project", value.clone())));
        pairs.extend(self.prefix.iter().map(|value| ("prefix", value.clone())));
        write(&pairs)
    }
}

/// Writes a text so that it is one segment of a path or one value of a query, whatever it holds.
pub fn encode_segment(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
    out
}

fn write(pairs: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (key, value) in pairs {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(key);
        out.push('=');
        out.push_str(&encode_segment(value));
    }
    out
}

fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), QueryError> {
    if slot.replace(value).is_some() { Err(QueryError::Twice { key: key.to_owned() }) } else { Ok(()) }
}

fn flag(key: &str, value: &str) -> Result<bool, QueryError> {
    value.parse().map_err(|_| wrong(key, "true or false", value))
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, QueryError> {
    value.parse().map_err(|_| wrong(key, "a whole number", value))
}

fn wrong(key: &str, expected: &'static str, value: &str) -> QueryError {
    QueryError::Value { key: key.to_owned(), expected, value: value.chars().take(80).collect() }
}
