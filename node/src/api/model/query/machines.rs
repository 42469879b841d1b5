//! The query string of routes that tell of machines.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{QueryError, once, write};

/// Whose machines are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MachinesQuery {
    /// One member: its name, its id, or the start of its id; all without it.
    pub node: Option<String>,
}

impl MachinesQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown or repeated.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "node" => once(&mut query.node, &key, value)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for all.
    pub fn to_query(&self) -> String {
        let pairs: Vec<(&str, String)> = self.node.iter().map(|node| ("node", node.clone())).collect();
        write(&pairs)
    }
}
