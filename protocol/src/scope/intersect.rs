//! Whether two patterns share a path, exactly, and which one.
//!
//! A path is a word over names, a pattern an automaton over them: `**` may be skipped or eat a name, any other segment
//! eats one. After the expansion of braces nothing spans a `/`, so two patterns share a path if and only if the product of
//! both automata reaches its end, where a step needs a name that both segments match ([`name`]). The same product answers
//! whether a path is in a pattern: the path is a pattern of literals.
//!
//! Time is the product of both lengths; memory is one bit for each pair of places, on the stack for segments.

use super::pattern::{Segment, Token, glob};
use crate::limits::PATTERN_SEGMENTS_MAX;

mod name;

/// Places in a pattern: before each segment and at the end; one bit of a row each.
const PLACES_MAX: usize = PATTERN_SEGMENTS_MAX + 1;
const _: () = assert!(PLACES_MAX <= u64::BITS as usize, "a row is one word");

/// What the shortest name is when any will do.
const ANY_NAME: &str = "a";

/// What one step in a path may be.
#[derive(Clone, Copy)]
enum Part<'a> {
    Name(&'a str),
    Glob(&'a [Token]),
    AnyDepth,
}

impl<'a> Part<'a> {
    fn of(segment: &'a Segment) -> Self {
        match segment {
            Segment::Literal(name) => Self::Name(name),
            Segment::Glob(tokens) => Self::Glob(tokens),
            Segment::AnyDepth => Self::AnyDepth,
        }
    }

    /// Returns whether one name is both.
    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Name(ours), Self::Name(theirs)) => ours == theirs,
            (Self::Name(name), Self::Glob(tokens)) | (Self::Glob(tokens), Self::Name(name)) => {
                glob::matches(tokens, name)
            }
            (Self::Glob(ours), Self::Glob(theirs)) => name::meets(ours, theirs),
            (Self::AnyDepth, _) | (_, Self::AnyDepth) => true,
        }
    }

    /// Returns a name that is both, of two parts that meet.
    fn shared(self, other: Self) -> String {
        let found = match (self, other) {
            (Self::Name(name), _) | (_, Self::Name(name)) => Some(name.to_owned()),
            (Self::Glob(ours), Self::Glob(theirs)) => name::shared(ours, theirs),
            (Self::Glob(tokens), Self::AnyDepth) | (Self::AnyDepth, Self::Glob(tokens)) => {
                name::shared(tokens, &[Token::AnyChars])
            }
            (Self::AnyDepth, Self::AnyDepth) => Some(ANY_NAME.to_owned()),
        };
        found.expect("parts that meet share a name")
    }
}

/// Returns whether the path, given in the form that is compared, is in the pattern.
pub(super) fn matches(pattern: &[Segment], path: &str) -> bool {
    let mut row = row_at_end(pattern);
    for name in path.rsplit('/') {
        if matches!(name, "" | "." | "..") {
            return false;
        }
        row = row_before(row, pattern, Part::Name(name));
        if row == 0 {
            return false;
        }
    }
    row & 1 != 0
}

/// Returns whether both patterns may touch one path.
pub(super) fn meets(ours: &[Segment], theirs: &[Segment]) -> bool {
    match nested(ours, theirs) {
        Some(nested) => nested.is_some(),
        None => rows(ours, theirs).is_some(),
    }
}

/// Returns a path that both patterns may touch.
pub(super) fn witness(ours: &[Segment], theirs: &[Segment]) -> Option<String> {
    if let Some(nested) = nested(ours, theirs) {
        return nested.map(|path| names(path).collect::<Vec<_>>().join("/"));
    }
    let rows = rows(ours, theirs)?;
    let is_alive = |our: usize, their: usize| rows[their] & (1 << our) != 0;
    let mut path: Vec<String> = Vec::new();
    let (mut our, mut their) = (0, 0);
    // Each turn goes forward in one pattern at least.
    while our < ours.len() || their < theirs.len() {
        let is_depth = |segments: &[Segment], at: usize| segments.get(at).map(|segment| *segment == Segment::AnyDepth);
        match (is_depth(ours, our), is_depth(theirs, their)) {
            (Some(true), _) if is_alive(our + 1, their) => our += 1,
            (_, Some(true)) if is_alive(our, their + 1) => their += 1,
            (Some(our_depth), Some(their_depth)) => {
                path.push(Part::of(&ours[our]).shared(Part::of(&theirs[their])));
                our += usize::from(!our_depth);
                their += usize::from(!their_depth);
            }
            _ => unreachable!("a live place has a step that lives"),
        }
    }
    if path.is_empty() {
        path.push(ANY_NAME.to_owned());
    }
    Some(path.join("/"))
}

/// Decides two literals: `None` if one is not, else the longer if it is the other or below it.
///
/// The one rule beyond common paths: a file can not be at a path and below it.
fn nested<'a>(ours: &'a [Segment], theirs: &'a [Segment]) -> Option<Option<&'a [Segment]>> {
    let is_literal = |segments: &[Segment]| segments.iter().all(|segment| segment.literal().is_some());
    if !is_literal(ours) || !is_literal(theirs) {
        return None;
    }
    let (short, long) = if ours.len() <= theirs.len() { (ours, theirs) } else { (theirs, ours) };
    Some(long.starts_with(short).then_some(long))
}

fn names(segments: &[Segment]) -> impl Iterator<Item = &str> {
    segments.iter().map_while(Segment::literal)
}

/// Returns from which pairs of places the ends are reached, if the pair of starts is among them.
///
/// The bit of a place in `ours` is in the row of a place in `theirs`.
fn rows(ours: &[Segment], theirs: &[Segment]) -> Option<[u64; PLACES_MAX]> {
    if names(ours).zip(names(theirs)).any(|(our, their)| our != their) {
        return None;
    }
    let mut rows = [0; PLACES_MAX];
    let mut row = row_at_end(ours);
    rows[theirs.len()] = row;
    for (at, segment) in theirs.iter().enumerate().rev() {
        row = row_before(row, ours, Part::of(segment));
        if row == 0 {
            return None;
        }
        rows[at] = row;
    }
    (row & 1 != 0).then_some(rows)
}

/// Returns the places of the pattern from which nothing more needs to be eaten.
fn row_at_end(pattern: &[Segment]) -> u64 {
    let skipped = pattern.iter().rev().take_while(|segment| **segment == Segment::AnyDepth).count();
    (pattern.len() - skipped..=pattern.len()).fold(0, |row, at| row | 1 << at)
}

/// Returns the places of the pattern that live before `part`, given those that live after it.
fn row_before(after: u64, pattern: &[Segment], part: Part<'_>) -> u64 {
    let is_depth = matches!(part, Part::AnyDepth);
    // A part `**` may be skipped at any place.
    let mut row = if is_depth { after } else { 0 };
    for (at, segment) in pattern.iter().enumerate().rev() {
        let (here, next) = (1 << at, 1 << (at + 1));
        let lives = match segment {
            // Skipped, or it eats the part and stays.
            Segment::AnyDepth => (row & next != 0) || (after & here != 0),
            // Eaten by the part, which stays.
            _ if is_depth => row & (here | next) != 0,
            _ => after & next != 0 && part.meets(Part::of(segment)),
        };
        if lives {
            row |= here;
        }
    }
    row
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
