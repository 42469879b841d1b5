//! The query string of the route that names a free card.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{QueryError, number, once, write};

/// Which card is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PickQuery {
    /// Memory that must be free on it, such as `20GiB`.
    pub vram: Option<String>,
    /// How busy it may be, in percent; as it likes when absent.
    pub max_busy: Option<u8>,
    /// A label that its machine must bear.
    pub label: Option<String>,
}

impl PickQuery {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// Names the key that is unknown, repeated or has a value it can not have.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "vram" => once(&mut query.vram, &key, value)?,
                "max_busy" => once(&mut query.max_busy, &key, number(&key, &value)?)?,
                "label" => once(&mut query.label, &key, value)?,
                _ => return Err(QueryError::UnknownKey { key }),
            }
        }
        Ok(query)
    }

    /// Writes the query with its question mark, or nothing when it asks for nothing.
    pub fn to_query(&self) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        pairs.extend(self.vram.iter().map(|value| ("vram", value.clone())));
        pairs.extend(self.max_busy.iter().map(|value| ("max_busy", value.to_string())));
        pairs.extend(self.label.iter().map(|value| ("label", value.clone())));
        write(&pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_for_a_card_reads_back_as_it_was_written() {
        let query = PickQuery { vram: Some("20GiB".into()), max_busy: Some(30), label: Some("site/x".into()) };
        let text = query.to_query();
        assert_eq!(text, "?vram=20GiB&max_busy=30&label=site%2Fx");
        let uri: axum::http::Uri = format!("/v1/gpus/pick{text}").parse().unwrap();
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap().0;
        assert_eq!(PickQuery::from_pairs(pairs), Ok(query));
        assert_eq!(PickQuery::from_pairs(vec![("max_busy".into(), "-1".into())]).unwrap_err().key(), "max_busy");
    }
}
