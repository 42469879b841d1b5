//! Reading keys one after another: the first source that sets a key wins, and what is wrong in any source is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::Key;
use super::error::{Mistake, Mistakes, Place};
use super::file::File;
use super::value::Wrong;

/// What a source says of a key, before it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// Yes or no.
    Switch(bool),
    /// Something of a kind that no key has, as it is written.
    Other(String),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(texts) => write!(f, "{texts:?}"),
            Self::Switch(switch) => write!(f, "{switch}"),
            Self::Other(written) => f.write_str(written),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// Somebody has, there.
    Set(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Set(place) => place.fmt(f),
        }
    }
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Key,
    /// The value as it is written; none where there is none.
    pub text: Option<String>,
    /// The value for programs, a quantity in `unit`.
    pub json: serde_json::Value,
    /// The unit of `json`; empty for what is no quantity.
    pub unit: &'static str,
    /// Where it comes from.
    pub origin: Origin,
}

/// A value that can be listed.
pub(super) trait Shown {
    /// Returns it as it is written.
    fn text(&self) -> String;

    /// Returns it for programs.
    fn json(&self) -> serde_json::Value {
        self.text().into()
    }

    /// Returns the unit of `json`.
    fn unit(&self) -> &'static str {
        ""
    }
}

/// Reads keys.
pub(super) struct Reader<'a> {
    file: Option<File>,
    variables: &'a BTreeMap<String, String>,
    flags: BTreeMap<&'static str, Raw>,
    rows: Vec<Row>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        file: Option<File>,
        variables: &'a BTreeMap<String, String>,
        flags: BTreeMap<&'static str, Raw>,
    ) -> Self {
        let mistakes = file.as_ref().map(File::unknown_keys).unwrap_or_default();
        Self { file, variables, flags, rows: Vec::new(), mistakes }
    }

    /// Returns the file that is read.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|file| file.path.clone())
    }

    /// Reads a key that always has a value.
    pub(super) fn read<T: Shown>(
        &mut self,
        key: &Key,
        understand: impl Fn(&Raw) -> Result<T, Wrong>,
        default: impl FnOnce() -> T,
    ) -> T {
        let (value, origin) = match self.first(key, understand) {
            Some((value, place)) => (value, Origin::Set(place)),
            None => (default(), Origin::Default),
        };
        self.note(key, Some(&value), origin);
        value
    }

    /// Reads a key that may have none.
    pub(super) fn read_optional<T: Shown>(
        &mut self,
        key: &Key,
        understand: impl Fn(&Raw) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (value, origin) = match self.first(key, understand) {
            Some((value, place)) => (Some(value), Origin::Set(place)),
            None => (None, Origin::Default),
        };
        self.note(key, value.as_ref(), origin);
        value
    }

    /// Returns what was read, unless something was wrong.
    pub(super) fn finish(self) -> Result<Vec<Row>, Mistakes> {
        match Mistakes::new(self.mistakes) {
            Some(mistakes) => Err(mistakes),
            None => Ok(self.rows),
        }
    }

    /// Returns the value of the first source that has one. Those behind it are read too: a mistake must not lie in wait
    /// until the variable before it is unset.
    fn first<T>(&mut self, key: &Key, understand: impl Fn(&Raw) -> Result<T, Wrong>) -> Option<(T, Place)> {
        let mut given: Vec<(Place, Raw)> = Vec::new();
        given.extend(self.flags.remove(key.name).map(|raw| (Place::Flag(key.flag), raw)));
        let variable = key.variables.iter().find_map(|name| Some((*name, self.variables.get(*name)?)));
        given.extend(variable.map(|(name, value)| (Place::Variable(name), Raw::Text(value.clone()))));
        given.extend(self.file.as_ref().and_then(|file| file.value(key.name)));
        let mut first = None;
        for (place, raw) in given {
            match understand(&raw) {
                Ok(value) => first = first.or(Some((value, place))),
                Err(Wrong { problem, remedy }) => {
                    self.mistakes.push(Mistake::Wrong { place, key: key.name, problem, remedy });
                }
            }
        }
        first
    }

    fn note(&mut self, key: &Key, value: Option<&impl Shown>, origin: Origin) {
        let (text, unit) = (value.map(Shown::text), value.map_or("", Shown::unit));
        let json = value.map_or(serde_json::Value::Null, Shown::json);
        self.rows.push(Row { key: *key, text, json, unit, origin });
    }
}
