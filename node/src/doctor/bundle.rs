//! What is handed on to somebody who helps: never a key, a token, a ticket, a letter or the text of a bead.
//!
//! Texts of beads and letters are not asked for in the first place; what may stand between other words is blotted out.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::home::Home;

/// What secrets begin with: tokens of agents, of the API and of its measures, codes and sessions of browsers, recovery keys, tickets. No id
/// holds a `1`, so none looks like one.
const MARKS: [&str; 7] = ["bma1", "bmt1", "bmm1", "bmc1", "bms1", "bmr1", "bm1"];

/// What stands before a proof, in whatever case: it may be a secret of another program, which has no mark.
const PROOF: &str = "bearer ";

/// Characters after a mark from which on it is a secret.
const SECRET_CHARS_MIN: usize = 8;

/// What stands in the place of a secret.
const BLOT: &str = "[redacted]";

/// Names in a home that are listed at most.
const FILES_MAX: usize = 256;

/// Blots out the secrets in every text of a value.
pub fn redact(value: &mut Value) {
    match value {
        Value::String(text) => *text = redacted(text),
        Value::Array(values) => values.iter_mut().for_each(redact),
        Value::Object(fields) => fields.values_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns a text without the secrets in it, and without what colours it.
pub fn redacted(text: &str) -> String {
    let text = unproven(&uncoloured(text));
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((at, mark)) = next_mark(rest) {
        let secret = &rest[at + mark.len()..];
        let length = secret.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(secret.len());
        out.push_str(&rest[..at + mark.len()]);
        out.push_str(if length >= SECRET_CHARS_MIN { BLOT } else { &secret[..length] });
        rest = &secret[length..];
    }
    out.push_str(rest);
    out
}

/// Returns the first mark, the longest of those that begin at one place.
fn next_mark(text: &str) -> Option<(usize, &'static str)> {
    let found = MARKS.iter().filter_map(|mark| Some((text.find(mark)?, *mark)));
    found.min_by_key(|(at, mark)| (*at, usize::MAX - mark.len()))
}

/// Blots out the word behind each `bearer `.
fn unproven(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in lower.match_indices(PROOF) {
        let begin = at + PROOF.len();
        // A proof may be that very word.
        if begin < done {
            continue;
        }
        let word = &text[begin..];
        let length = word.find(|letter: char| letter.is_whitespace() || "\"&;".contains(letter)).unwrap_or(word.len());
        out.push_str(&text[done..begin]);
        out.push_str(BLOT);
        done = begin + length;
    }
    out.push_str(&text[done..]);
    out
}

/// Takes out the sequences that set colours: an escape, a bracket, and all up to a letter.
fn uncoloured(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            let _ = letters.by_ref().find(|letter| letter.is_ascii_alphabetic());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Lists what lies in a home: names, lengths, modes and owners, and no contents.
pub fn inventory(home: &Home) -> Vec<String> {
    let mut listed = Vec::new();
    let mut open = vec![home.dir().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let path = entry.path();
            let name = path.strip_prefix(home.dir()).unwrap_or(&path).display().to_string();
            listed.push(format!(
                "{name}  {} bytes  mode {:04o}  user {}",
                found.len(),
                found.mode() & 0o7777,
                found.uid()
            ));
            // Contents of attachments are named by what they hold.
            if found.is_dir() && path != home.blobs() && listed.len() < FILES_MAX {
                open.push(path);
            }
        }
    }
    listed.sort_unstable();
    listed.truncate(FILES_MAX);
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blotted_out_wherever_they_stand() {
        let token = "bma1abcdefghijklmnop";
        for (text, left) in [
            (format!("token {token}, then more"), "token bma1[redacted], then more"),
            (format!("{token}{token}"), "bma1[redacted]"),
            ("a ticket:bm1abcdefgh2345;".to_owned(), "a ticket:bm1[redacted];"),
            ("bmr1abcdefgh".to_owned(), "bmr1[redacted]"),
            ("Authorization: Bearer x.y-z\" end".to_owned(), "Authorization: Bearer [redacted]\" end"),
            ("with bmt1abcdefgh".to_owned(), "with bmt1[redacted]"),
            ("with bmm1abcdefgh".to_owned(), "with bmm1[redacted]"),
            ("a BEARER x.y then".to_owned(), "a BEARER [redacted] then"),
            ("at /login#bmc1abcdefgh".to_owned(), "at /login#bmc1[redacted]"),
            ("{\"session\":\"bms1abcdefgh\"}".to_owned(), "{\"session\":\"bms1[redacted]\"}"),
            ("beadmesh_node::net=debug".to_owned(), "beadmesh_node::net=debug"),
            ("the word bm1 alone, and bm1x".to_owned(), "the word bm1 alone, and bm1x"),
            ("\u{1b}[32mINFO\u{1b}[0m up".to_owned(), "INFO up"),
            ("grün".to_owned(), "grün"),
        ] {
            assert_eq!(redacted(&text), left);
        }
        let mut value = serde_json::json!({"a": [token, 7, null], "b": {"c": format!("x {token}")}});
        redact(&mut value);
        assert_eq!(value, serde_json::json!({"a": ["bma1[redacted]", 7, null], "b": {"c": "x bma1[redacted]"}}));
    }
}
