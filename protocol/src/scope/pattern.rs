//! One path pattern: its grammar, its canonical text and which paths it matches.
//!
//! It is not gitignore. A pattern is repo-relative with `/` between segments; `**` stands alone in a segment for any
//! number of segments, none included; `*`, `?`, `[..]` and `[!..]` stay within one segment; `{a,b}` is expanded when
//! the pattern is read, so it may contain `/` but no braces; `dir/` is `dir/**`, which includes `dir` itself. A literal
//! is exactly that path. To match one of `*?[{` itself, put it in brackets; brackets round one character are that
//! character. Brackets hold no combining mark, and none may follow a wildcard: it would join what the wildcard matched.
//!
//! Two forms are kept. The text is NFC in the case it was written in, because people and git read it. What is compared
//! is NFC and lower case, on every platform, so that every machine gives the same answer.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::intersect;
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_SEGMENTS_MAX};

mod braces;
mod error;
pub(super) mod fold;
pub(super) mod glob;

pub use error::{PatternError, Problem};
pub use fold::fold;
pub use glob::{Class, Token};

/// A set of paths in the strict grammar of scopes, without braces.
///
/// Two patterns are equal when their canonical texts are; `segments` tells whether they match the same way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

impl Pattern {
    /// Reads a pattern; braces make several, in the order written and each once.
    ///
    /// # Errors
    ///
    /// Refuses what is outside the grammar or over a limit, naming the place and the bound.
    pub fn parse(text: &str) -> Result<Vec<Self>, PatternError> {
        check_bytes(text)?;
        let canonical: String = text.nfc().collect();
        check_bytes(&canonical)?;
        check_characters(&canonical)?;
        let mut patterns: Vec<Self> = Vec::new();
        for alternative in braces::expand(&canonical)? {
            // Joining can bring a letter and its accent together.
            let pattern = Self::parse_plain(&alternative.nfc().collect::<String>())?;
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        Ok(patterns)
    }

    /// Returns the canonical text: NFC, in the case as written, without braces, `dir/` as `dir/**`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the parts between slashes, in the form that is compared; two `**` never stand side by side.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the path itself if the pattern is one, in the form that is compared.
    pub fn literal(&self) -> Option<String> {
        let mut path = String::new();
        for segment in &self.segments {
            let name = segment.literal()?;
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
        }
        Some(path)
    }

    /// Returns the names that the pattern starts with before its first wildcard, in the form that is compared.
    pub fn leading(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map_while(Segment::literal)
    }

    /// Returns whether the pattern is one path.
    pub fn is_literal(&self) -> bool {
        self.segments.iter().all(|segment| segment.literal().is_some())
    }

    /// Returns whether the repo-relative path, in any case and normal form, is in the set.
    ///
    /// What is no path of a repository is in no set: nothing, a leading `/`, `//`, a trailing `/`, a segment `.` or `..`.
    pub fn matches(&self, path: &str) -> bool {
        self.matches_folded(&fold(path))
    }

    /// Returns whether the path, given in the form that is compared, is in the set.
    pub(super) fn matches_folded(&self, folded: &str) -> bool {
        intersect::matches(&self.segments, folded)
    }

    /// Returns whether both patterns may touch one path; see [`Pattern::intersect`].
    pub fn meets(&self, other: &Self) -> bool {
        intersect::meets(&self.segments, &other.segments)
    }

    /// Returns a path that both patterns match, the same whichever of the two is asked.
    ///
    /// One more pair meets: a path and a path below it, because the one can not be a file while the other is. The path
    /// below is then returned, though only one of the patterns matches it.
    pub fn intersect(&self, other: &Self) -> Option<String> {
        let (first, second) = if self.segments <= other.segments { (self, other) } else { (other, self) };
        intersect::witness(&first.segments, &second.segments)
    }

    /// Reads one alternative, free of braces and in NFC.
    fn parse_plain(alternative: &str) -> Result<Self, PatternError> {
        let fail = |at, problem| Err(PatternError::new(alternative, at, problem));
        if alternative.is_empty() {
            return fail(1, Problem::Empty);
        }
        let mut text = String::with_capacity(alternative.len());
        let mut segments: Vec<Segment> = Vec::new();
        let mut at = 1;
        let parts: Vec<&str> = alternative.split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            let part = match *part {
                "" if last && index > 0 => "**",
                "" if index == 0 => return fail(at, Problem::Absolute),
                "" => return fail(at, Problem::EmptySegment),
                "." | ".." => return fail(at, Problem::Dots),
                part => part,
            };
            let segment = Segment::parse(part)
                .map_err(|(inside, problem)| PatternError::new(alternative, at + inside, problem))?;
            if segment != Segment::AnyDepth || segments.last() != Some(&Segment::AnyDepth) {
                if !text.is_empty() {
                    text.push('/');
                }
                text.push_str(part);
                segments.push(segment);
            }
            at += part.chars().count() + 1;
        }
        if segments.len() > PATTERN_SEGMENTS_MAX {
            return fail(1, Problem::Segments(segments.len()));
        }
        check_bytes(&text)?;
        Ok(Self { text, segments })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

/// What stands between two slashes of a pattern, in the form that is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Exactly this name.
    Literal(String),
    /// Names that the tokens spell.
    Glob(Vec<Token>),
    /// `**`: any number of names, none included.
    AnyDepth,
}

impl Segment {
    /// Returns the name if the segment is exactly one.
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            _ => None,
        }
    }

    fn parse(part: &str) -> Result<Self, (usize, Problem)> {
        if part == "**" {
            return Ok(Self::AnyDepth);
        }
        let tokens = glob::tokens(part)?;
        let literal = tokens.iter().map(|token| match token {
            Token::Char(char) => Some(*char),
            _ => None,
        });
        match literal.collect::<Option<String>>() {
            // Brackets round single characters spell a name as well.
            Some(name) if name == "." || name == ".." => Err((0, Problem::Dots)),
            Some(name) => Ok(Self::Literal(name)),
            None => Ok(Self::Glob(tokens)),
        }
    }
}

fn check_bytes(text: &str) -> Result<(), PatternError> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::new(text, 1, Problem::Bytes(text.len())));
    }
    Ok(())
}

/// Refuses characters that no pattern may contain, wherever they stand.
fn check_characters(text: &str) -> Result<(), PatternError> {
    for (index, char) in text.chars().enumerate() {
        if char == '\\' || char.is_control() {
            return Err(PatternError::new(text, index + 1, Problem::Character(char)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
