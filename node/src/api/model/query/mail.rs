//! Query strings of the routes on agents and letters.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{QueryError, flag, number, once, write};

/// Which agents to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AgentsQuery {
    /// Also those that are retired.
    #[serde(default)]
    pub all: bool,
}

/// Which letters of an inbox to list, and which page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InboxQuery {
    /// Only what was not read.
    #[serde(default)]
    pub unread: bool,
    /// Only what is of high importance or urgent.
    #[serde(default)]
    pub urgent: bool,
    /// Only what was written then or later: a day, a time or an RFC 3339 instant.
    pub since: Option<String>,
    /// The letter that the page before ended with: its id, or the start of it.
    pub after: Option<String>,
    /// How many to list, 20 when absent; 0 or more than 1,000 lists 1,000.
    pub limit: Option<usize>,
}

/// Which letters to find, and which page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LettersQuery {
    /// Words, each of which a letter must hold.
    #[serde(default)]
    pub query: String,
    /// The letter that the page before ended with: its id, or the start of it.
    pub after: Option<String>,
    /// How many to list, 20 when absent; 0 or more than 1,000 lists 1,000.
    pub limit: Option<usize>,
}

/// How to show a letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ShowQuery {
    /// Without noting that it was read.
    #[serde(default)]
    pub peek: bool,
}

/// Which page of a thread to show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ThreadQuery {
    /// The letter that the page before ended with: its id, or the start of it.
    pub after: Option<String>,
    /// How many to show; 100 when absent, 0 or more than that.
    pub limit: Option<usize>,
}

impl AgentsQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "all" => query.all = flag(&key, &value)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for nothing.
    pub fn to_query(&self) -> String {
        write(&set("all", self.all))
    }
}

impl InboxQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown, repeated or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "unread" => query.unread = flag(&key, &value)?,
                "urgent" => query.urgent = flag(&key, &value)?,
                "since" => once(&mut query.since, &key, value)?,
                "after" => once(&mut query.after, &key, value)?,
                "limit" => once(&mut query.limit, &key, number(&key, &value)?)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for nothing.
    pub fn to_query(&self) -> String {
        let mut pairs = set("unread", self.unread);
        pairs.extend(set("urgent", self.urgent));
        pairs.extend(self.since.iter().map(|value| ("since", value.clone())));
        pairs.extend(page(self.after.as_ref(), self.limit));
        write(&pairs)
    }
}

impl LettersQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown, repeated or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        let mut words = None;
        for (key, value) in pairs {
            match key.as_str() {
                "query" => once(&mut words, &key, value)?,
                "after" => once(&mut query.after, &key, value)?,
                "limit" => once(&mut query.limit, &key, number(&key, &value)?)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        query.query = words.unwrap_or_default();
        Ok(query)
    }

    /// Writes the query with its question mark.
    pub fn to_query(&self) -> String {
        let mut pairs = vec![("query", self.query.clone())];
        pairs.extend(page(self.after.as_ref(), self.limit));
        write(&pairs)
    }
}

impl ShowQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "peek" => query.peek = flag(&key, &value)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for nothing.
    pub fn to_query(&self) -> String {
        write(&set("peek", self.peek))
    }
}

impl ThreadQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown, repeated or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "after" => once(&mut query.after, &key, value)?,
                "limit" => once(&mut query.limit, &key, number(&key, &value)?)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for nothing.
    pub fn to_query(&self) -> String {
        write(&page(self.after.as_ref(), self.limit))
    }
}

fn set(key: &'static str, is_set: bool) -> Vec<(&'static str, String)> {
    if is_set { vec![(key, "true".to_owned())] } else { Vec::new() }
}

fn page(after: Option<&String>, limit: Option<usize>) -> Vec<(&'static str, String)> {
    let after = after.map(|value| ("after", value.clone()));
    after.into_iter().chain(limit.map(|value| ("limit", value.to_string()))).collect()
}
