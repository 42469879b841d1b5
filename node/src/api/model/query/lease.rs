//! The query string of the route that lists claims.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{QueryError, flag, once, write};

/// Which claims to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ClaimsQuery {
    /// Keys of the project, strongest first; all projects without any.
    #[serde(default)]
    pub project: Vec<String>,
    /// The agent, by name or address.
    pub agent: Option<String>,
    /// Also those that are over, as far as they are remembered.
    #[serde(default)]
    pub all: bool,
}

impl ClaimsQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown, repeated or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "project" => query.project.push(value),
                "agent" => once(&mut query.agent, &key, value)?,
                "all" => query.all = flag(&key, &value)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for nothing.
    pub fn to_query(&self) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        pairs.extend(self.project.iter().map(|value| ("project", value.clone())));
        pairs.extend(self.agent.iter().map(|value| ("agent", value.clone())));
        pairs.extend(self.all.then(|| ("all", "true".to_owned())));
        write(&pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_for_claims_reads_back_as_it_was_written() {
        let query = ClaimsQuery { project: vec!["name:a b".into()], agent: Some("Ada@box".into()), all: true };
        let text = query.to_query();
        assert_eq!(text, "?project=name%3Aa%20b&agent=Ada%40box&all=true");
        let uri: axum::http::Uri = format!("/v1/claims{text}").parse().unwrap();
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap().0;
        assert_eq!(ClaimsQuery::from_pairs(pairs), Ok(query));
        let wrong = |key: &str, value: &str| ClaimsQuery::from_pairs(vec![(key.into(), value.into())]).unwrap_err();
        assert_eq!(wrong("status", "open").key(), "status");
        assert_eq!(wrong("all", "yes").key(), "all");
    }
}
