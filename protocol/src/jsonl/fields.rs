//! The keys of one JSON object, taken one by one, each checked for kind and bound.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::json::Json;
use super::{MAP_ITEMS_MAX, RecordError, TEXT_BYTES_MAX, WORD_BYTES_MAX};

/// What is left of an object; `null` and the empty text count as absent for the keys that are taken.
pub(super) struct Fields<'a> {
    /// Where the object stands, empty for the record itself, else `dependencies[3].`.
    place: String,
    items: BTreeMap<Cow<'a, str>, Json<'a>>,
}

impl<'a> Fields<'a> {
    /// Reads a line that is one object.
    pub(super) fn read(line: &'a str) -> Result<Self, RecordError> {
        Self::new(String::new(), Json::parse(line).map_err(RecordError::Json)?)
    }

    /// Opens an object that stands at `place`, such as `dependencies[3]`.
    pub(super) fn inside(place: &str, value: Json<'a>) -> Result<Self, RecordError> {
        Self::new(format!("{place}."), value)
    }

    fn new(place: String, value: Json<'a>) -> Result<Self, RecordError> {
        match value {
            Json::Object(items) => Ok(Self { place, items }),
            other => {
                let name = if place.is_empty() { "record" } else { place.trim_end_matches('.') };
                Err(RecordError::kind(name, "an object", &other))
            }
        }
    }

    /// Returns the full name of a key.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.place)
    }

    /// Takes a key's value, whatever it is; `null` is absent.
    pub(super) fn take(&mut self, key: &str) -> Option<Json<'a>> {
        self.items.remove(key).filter(|value| *value != Json::Null)
    }

    /// Puts back what was taken.
    pub(super) fn put(&mut self, key: &str, value: Json<'a>) {
        self.items.insert(Cow::Owned(key.to_owned()), value);
    }

    /// Takes a text of at most `bound` bytes.
    pub(super) fn text(&mut self, key: &str, bound: usize) -> Result<Option<String>, RecordError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let text = text(&self.place, key, value, bound)?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Takes a whole number from 0 to `bound`.
    pub(super) fn number(&mut self, key: &str, bound: u64) -> Result<Option<u64>, RecordError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Json::Number(digits) = value else {
            return Err(RecordError::kind(&self.name(key), "a whole number", &value));
        };
        if digits.contains(['.', 'e', 'E']) {
            return Err(RecordError::kind(&self.name(key), "a whole number", &value));
        }
        match digits.parse::<u64>() {
            Ok(number) if number <= bound => Ok(Some(number)),
            _ => Err(RecordError::Range { field: self.name(key), value: digits.chars().take(80).collect(), bound }),
        }
    }

    /// Takes a list of at most `MAP_ITEMS_MAX` items; an absent one is empty.
    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Json<'a>>, RecordError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Json::List(items)) => {
                check_items(&self.place, key, items.len())?;
                Ok(items)
            }
            Some(other) => Err(RecordError::kind(&self.name(key), "a list", &other)),
        }
    }

    /// Takes a list of texts of at most `bound` bytes, without the empty ones.
    pub(super) fn texts(&mut self, key: &str, bound: usize) -> Result<Vec<String>, RecordError> {
        let mut texts = Vec::new();
        for (index, item) in self.list(key)?.into_iter().enumerate() {
            let text = text(&self.place, &format!("{key}[{index}]"), item, bound)?;
            if !text.is_empty() {
                texts.push(text);
            }
        }
        Ok(texts)
    }

    /// Takes an object; an absent one is empty.
    pub(super) fn object(&mut self, key: &str) -> Result<Self, RecordError> {
        match self.take(key) {
            None => Ok(Self { place: format!("{}{key}.", self.place), items: BTreeMap::new() }),
            Some(value) => Self::inside(&self.name(key), value),
        }
    }

    /// Returns the keys that are left.
    pub(super) fn keys(&self) -> Vec<String> {
        self.items.keys().map(|key| key.clone().into_owned()).collect()
    }

    /// Returns what is left, each value as canonical JSON text.
    pub(super) fn rest(self) -> Result<BTreeMap<String, String>, RecordError> {
        check_items("", self.place.trim_end_matches('.'), self.items.len())?;
        let mut rest = BTreeMap::new();
        for (key, value) in self.items {
            check_bytes(&self.place, &key, key.len(), WORD_BYTES_MAX)?;
            let value = value.canonical();
            check_bytes(&self.place, &key, value.len(), TEXT_BYTES_MAX)?;
            rest.insert(key.into_owned(), value);
        }
        Ok(rest)
    }
}

fn text(place: &str, key: &str, value: Json<'_>, bound: usize) -> Result<String, RecordError> {
    match value {
        Json::Text(text) => {
            check_bytes(place, key, text.len(), bound)?;
            Ok(text.into_owned())
        }
        other => Err(RecordError::kind(&format!("{place}{key}"), "a text", &other)),
    }
}

pub(super) fn check_bytes(place: &str, key: &str, bytes: usize, bound: usize) -> Result<(), RecordError> {
    if bytes > bound {
        let field = format!("{place}{key}").chars().take(160).collect();
        return Err(RecordError::Bytes { field, bytes, bound });
    }
    Ok(())
}

fn check_items(place: &str, key: &str, items: usize) -> Result<(), RecordError> {
    if items > MAP_ITEMS_MAX {
        let field = if key.is_empty() { "record".to_owned() } else { format!("{place}{key}") };
        return Err(RecordError::Items { field, items, bound: MAP_ITEMS_MAX });
    }
    Ok(())
}
