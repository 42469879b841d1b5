//! How the items of a bead's maps are written as a key and a text.
//!
//! Every value is one text, so that concurrent writers of one item never mix halves of two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Comment, Criterion, Dep, DepKey, Target};
use crate::id::base32;

/// Bytes of the hash that names a criterion or a comment.
const KEY_HASH_BYTES: usize = 16;

#[derive(Serialize, Deserialize)]
struct DepValue {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct CriterionValue {
    order: u32,
    text: String,
}

// The fields stand in alphabetical order, which is the order they are written in.
#[derive(Serialize, Deserialize)]
struct CommentValue {
    author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<String, String>,
    text: String,
}

/// Writes the key of a dependency.
pub(super) fn dep_key(key: &DepKey) -> String {
    format!("{}|{}", key.kind, key.target)
}

/// Reads the key of a dependency.
pub(super) fn parse_dep_key(text: &str) -> Option<DepKey> {
    let (kind, target) = text.split_once('|')?;
    Some(DepKey { kind: kind.to_owned(), target: Target::parse(target) })
}

/// Writes what is known about a dependency: nothing as an empty text.
pub(super) fn dep_value(dep: &Dep) -> String {
    if *dep == Dep::default() {
        return String::new();
    }
    let Dep { created_at, created_by, extra } = dep.clone();
    json(&DepValue { created_at, created_by, extra })
}

/// Reads what is known about a dependency; what can not be read is nothing.
pub(super) fn parse_dep_value(text: &str) -> Dep {
    let value = serde_json::from_str(text).ok();
    value.map_or_else(Dep::default, |DepValue { created_at, created_by, extra }| Dep { created_at, created_by, extra })
}

/// Returns the key of the criterion with that text.
pub(super) fn criterion_key(text: &str) -> String {
    base32(&blake3::hash(text.as_bytes()).as_bytes()[..KEY_HASH_BYTES])
}

/// Writes a criterion.
pub(super) fn criterion_value(criterion: &Criterion) -> String {
    json(&CriterionValue { order: criterion.order, text: criterion.text.clone() })
}

/// Reads a criterion.
pub(super) fn parse_criterion(text: &str) -> Option<Criterion> {
    let CriterionValue { order, text } = serde_json::from_str(text).ok()?;
    Some(Criterion { order, text })
}

/// Returns the key of a comment: the hash of author, date and text, each with its length before it.
pub(super) fn comment_key(comment: &Comment) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [&comment.author, comment.created_at.as_deref().unwrap_or_default(), &comment.text] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    base32(&hasher.finalize().as_bytes()[..KEY_HASH_BYTES])
}

/// Writes a comment.
pub(super) fn comment_value(comment: &Comment) -> String {
    let Comment { author, created_at, text, extra } = comment.clone();
    json(&CommentValue { author, created_at, extra, text })
}

/// Reads a comment.
pub(super) fn parse_comment(text: &str) -> Option<Comment> {
    let CommentValue { author, created_at, extra, text } = serde_json::from_str(text).ok()?;
    Some(Comment { author, created_at, text, extra })
}

/// Puts comments in the order in which they are shown: by date, undated ones first, then by author and text.
pub(crate) fn sort_comments(comments: &mut [Comment]) {
    let instant = |comment: &Comment| comment.created_at.as_deref()?.parse::<jiff::Timestamp>().ok();
    comments.sort_by_cached_key(|comment| {
        let Comment { author, created_at, text, extra } = comment.clone();
        (instant(comment), created_at, author, text, extra)
    });
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and maps keyed by text are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_reads_back() {
        let dep = Dep {
            created_at: Some("2026-01-01T00:00:00Z".into()),
            created_by: None,
            extra: BTreeMap::from([("thread".into(), "\"t\"".into())]),
        };
        assert_eq!(dep_value(&dep), r#"{"created_at":"2026-01-01T00:00:00Z","extra":{"thread":"\"t\""}}"#);
        assert_eq!(parse_dep_value(&dep_value(&dep)), dep);
        assert_eq!(parse_dep_value(&dep_value(&Dep::default())), Dep::default());
        let criterion = Criterion { order: 3, text: "it \"holds\"".into() };
        assert_eq!(parse_criterion(&criterion_value(&criterion)), Some(criterion));
        let comment = Comment { author: "ada".into(), created_at: None, text: "x\ny".into(), extra: BTreeMap::new() };
        assert_eq!(parse_comment(&comment_value(&comment)), Some(comment));
    }

    #[test]
    fn a_comment_is_named_by_where_its_parts_end() {
        let comment = |author: &str, text: &str| Comment {
            author: author.into(),
            created_at: None,
            text: text.into(),
            extra: BTreeMap::new(),
        };
        assert_ne!(comment_key(&comment("ab", "c")), comment_key(&comment("a", "bc")));
    }
}
