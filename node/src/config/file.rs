//! The file: TOML in tables, each key with the line it stands on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use beadmesh_protocol::near;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Place};
use super::reader::Raw;
use super::{KEYS, Key};

/// Bytes of a file that is read; all keys with a sentence each take two thousand.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file that was read.
pub(super) struct File {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// What it sets, known or not, by key, each with its line.
    values: BTreeMap<String, (usize, Raw)>,
}

/// Reads a file that somebody named.
pub(super) fn read(path: &Path) -> Result<File, Mistake> {
    let error = |source| Mistake::Unreadable { path: path.to_owned(), source };
    let path = std::path::absolute(path).map_err(error)?;
    let unreadable = |source| Mistake::Unreadable { path: path.clone(), source };
    let file = fs::File::open(&path).map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > FILE_BYTES_MAX {
        let bytes = fs::metadata(&path).map_err(unreadable)?.len().max(read as u64);
        return Err(Mistake::TooLong { path, bytes, bytes_max: FILE_BYTES_MAX });
    }
    let values = parse(&path, &text)?;
    Ok(File { path, values })
}

/// Reads a file that may be missing.
pub(super) fn read_if_there(path: &Path) -> Result<Option<File>, Mistake> {
    match read(path) {
        Ok(file) => Ok(Some(file)),
        Err(Mistake::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(mistake) => Err(mistake),
    }
}

impl File {
    /// Returns what is set for a key, and where.
    pub(super) fn value(&self, key: &str) -> Option<(Place, Raw)> {
        let (line, raw) = self.values.get(key)?;
        Some((self.place(*line), raw.clone()))
    }

    /// Returns the keys that there are not.
    pub(super) fn unknown_keys(&self) -> Vec<Mistake> {
        let unknown = self.values.iter().filter(|(key, _)| !KEYS.iter().any(|known| known.name == *key));
        let mut unknown: Vec<(usize, &String)> = unknown.map(|(key, (line, _))| (*line, key)).collect();
        unknown.sort_unstable();
        let mistake = |(line, key): (usize, &String)| Mistake::Unknown {
            place: self.place(line),
            key: key.clone(),
            near: meant(key),
        };
        unknown.into_iter().map(mistake).collect()
    }

    fn place(&self, line: usize) -> Place {
        Place::File { path: self.path.clone(), line }
    }
}

/// Returns the key that was probably meant: by its whole name, or by its last word in another table.
fn meant(written: &str) -> Option<&'static str> {
    let names = || KEYS.iter().map(|key: &Key| key.name);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let same = names().find(|name| last(name) == last(written));
    same.or_else(|| nearest(written, names(), |name| name))
}

/// Returns the known name that is nearest to one that was written, if any is near.
pub(super) fn nearest(
    written: &str,
    known: impl Iterator<Item = &'static str>,
    compared: impl Fn(&'static str) -> &'static str,
) -> Option<&'static str> {
    let near = known.filter(|name| near::is_near(written, compared(name)));
    near.min_by_key(|name| near::distance(written.as_bytes(), compared(name).as_bytes()))
}

fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, (usize, Raw)>, Mistake> {
    let line = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let line = line(error.span().map_or(0, |span| span.start));
        let place = Place::File { path: path.to_owned(), line };
        Mistake::Syntax { place, problem: error.message().replace('\n', ", ") }
    })?;
    let mut values = BTreeMap::new();
    let mut open = vec![(String::new(), table.get_ref())];
    while let Some((prefix, table)) = open.pop() {
        for (key, value) in table {
            let name =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            match value.get_ref() {
                // A key that is known has no parts, so that a table there is a wrong value.
                DeValue::Table(table) if !table.is_empty() && !KEYS.iter().any(|key| key.name == name) => {
                    open.push((name, table));
                }
                DeValue::Table(table) if table.is_empty() && KEYS.iter().any(|key| within(key.name, &name)) => {}
                other => {
                    values.insert(name, (line(key.span().start), raw(other, &text[value.span()])));
                }
            }
        }
    }
    Ok(values)
}

/// Returns whether a key stands in a table.
fn within(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

fn raw(value: &DeValue<'_>, written: &str) -> Raw {
    let other = || Raw::Other(written.lines().next().unwrap_or_default().to_owned());
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(switch) => Raw::Switch(*switch),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| value.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map_or_else(other, Raw::List)
        }
        _ => other(),
    }
}
