//! Patterns for tests: few characters, and pairs of which one is a changed copy of the other.
//!
//! Independent patterns hardly ever share a path; copies with a few changes do about as often as not.

use proptest::prelude::*;

/// What one character of a segment may be.
const ATOMS: [&str; 22] = [
    "a", "b", "c", "A", "B", ".", "_", "é", "É", "1", "*", "*", "?", "[ab]", "[!a]", "[a-c]", "[A-B_]", "[!b-é]",
    "[.-a]", "[!.1]", "[b]", "[É-é]",
];

/// All characters that names of the tests are made of, in lower case; the last stands for those that no pattern names.
pub(super) const ALPHABET: &str = "abcz19._-éëß☃";

/// A pattern as a list of segments, each a list of atoms; one place may have a second version.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    segments: Vec<Vec<String>>,
    /// A segment and what else may stand for it, as the other alternative of braces.
    second: Option<(usize, Vec<Vec<String>>)>,
}

impl Draft {
    /// Returns the text, with braces if there is a second version.
    pub(super) fn text(&self) -> String {
        let mut parts = texts(&self.segments);
        if let Some((at, segments)) = &self.second {
            parts[*at] = format!("{{{},{}}}", parts[*at], texts(segments).join("/"));
        }
        parts.join("/")
    }

    /// Returns the texts without braces: one, or two.
    pub(super) fn alternatives(&self) -> Vec<String> {
        let mut all = vec![texts(&self.segments).join("/")];
        if let Some((at, segments)) = &self.second {
            let mut parts = texts(&self.segments);
            parts.splice(at..=at, texts(segments));
            all.push(parts.join("/"));
        }
        all
    }

    fn change(&mut self, change: &Change) {
        let at = change.at % self.segments.len();
        let inside = change.inside % self.segments[at].len();
        match change.kind {
            0 => self.segments[at] = vec!["*".to_owned()],
            1 => self.segments[at] = vec!["**".to_owned()],
            2 => self.segments.insert(at, vec!["**".to_owned()]),
            3 => self.segments.insert(at, vec![change.atom.clone()]),
            4 if self.segments.len() > 1 => {
                self.segments.remove(at);
            }
            5 => self.segments[at].insert(inside, change.atom.clone()),
            6 => self.segments[at].insert(inside, "*".to_owned()),
            7 => self.segments[at][inside] = "?".to_owned(),
            8 if self.segments[at].len() > 1 => {
                self.segments[at].remove(inside);
            }
            _ => self.segments[at][inside] = change.atom.clone(),
        }
    }
}

#[derive(Debug, Clone)]
struct Change {
    kind: usize,
    at: usize,
    inside: usize,
    atom: String,
}

/// Writes segments, repaired where changes left the grammar.
fn texts(segments: &[Vec<String>]) -> Vec<String> {
    let text = |segment: &Vec<String>| {
        let mut atoms: Vec<&str> = segment.iter().map(String::as_str).collect();
        if atoms.len() > 1 {
            atoms.iter_mut().filter(|atom| **atom == "**").for_each(|atom| *atom = "*");
        }
        atoms.dedup_by(|later, earlier| *later == "*" && *earlier == "*");
        if atoms.iter().all(|atom| *atom == ".") {
            atoms.push("a");
        }
        atoms.concat()
    };
    segments.iter().map(text).collect()
}

fn atom() -> impl Strategy<Value = String> {
    prop::sample::select(&ATOMS[..]).prop_map(str::to_owned)
}

fn segments(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<String>>> {
    let segment = prop_oneof![
        1 => Just(vec!["**".to_owned()]),
        6 => prop::collection::vec(atom(), 1..5),
    ];
    prop::collection::vec(segment, count)
}

/// Draws one pattern.
pub(super) fn draft() -> impl Strategy<Value = Draft> {
    let second = prop::option::weighted(0.2, (any::<prop::sample::Index>(), segments(1..3)));
    (segments(1..5), second).prop_map(|(segments, second)| {
        let second = second.map(|(at, other)| (at.index(segments.len()), other));
        Draft { segments, second }
    })
}

/// Draws two patterns: mostly one and a changed copy of it.
pub(super) fn pair() -> impl Strategy<Value = (Draft, Draft)> {
    let change = || {
        (0..11_usize, 0..8_usize, 0..8_usize, atom()).prop_map(|(kind, at, inside, atom)| Change {
            kind,
            at,
            inside,
            atom,
        })
    };
    let changes = || prop::collection::vec(change(), 0..5);
    let close = (draft(), changes(), changes()).prop_map(|(base, ours, theirs)| {
        let copy = |changes: &[Change]| {
            let mut copy = Draft { second: None, ..base.clone() };
            changes.iter().for_each(|change| copy.change(change));
            copy.second = base.second.clone().map(|(at, segments)| (at % copy.segments.len(), segments));
            copy
        };
        (copy(&ours), Draft { second: None, ..copy(&theirs) })
    });
    prop_oneof![9 => close, 1 => (draft(), draft())]
}

/// Draws a path in lower case, of the characters that patterns name and one more.
pub(super) fn path() -> impl Strategy<Value = String> {
    let letter = prop::sample::select(ALPHABET.chars().collect::<Vec<_>>());
    let name = prop::collection::vec(letter, 1..5).prop_map(|name| name.into_iter().collect::<String>());
    let name = name.prop_filter("names of a path", |name| name != "." && name != "..");
    prop::collection::vec(name, 1..5).prop_map(|names| names.join("/"))
}
