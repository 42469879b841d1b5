//! One path pattern: its grammar, its canonical text and which paths it matches.
//!
//! It is not gitignore. A pattern is repo-relative with `/` between segments; `**` stands alone in a segment for any
//! number of segments, none included; `*`, `?`, `[..]` and `[!..]` stay within one segment; `{a,b}` is expanded when
//! the pattern is read, so it may contain `/` but no braces; `dir/` is `dir/**`, which includes `dir` itself. A literal
//! is exactly that path. To match one of `*?[{` itself, put it in brackets.
//!
//! Two forms are kept. The text is NFC in the case it was written in, because people and git read it. What is compared
//! is NFC and lower case, on every platform, so that every machine gives the same answer.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::limits::{PATTERN_ALTERNATIVES_MAX, PATTERN_BYTES_MAX, PATTERN_RANGE_MAX, PATTERN_SEGMENTS_MAX};

mod braces;
mod glob;

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
            let Segment::Literal(text) = segment else { return None };
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(text);
        }
        Some(path)
    }

    /// Returns whether the repo-relative path, in any case and normal form, is in the set.
    pub fn matches(&self, path: &str) -> bool {
        let folded = fold(path);
        let parts: Vec<&str> = folded.split('/').collect();
        // reached[j]: the segments so far match the first j parts.
        let mut reached = vec![false; parts.len() + 1];
        reached[0] = true;
        for segment in &self.segments {
            let mut next = vec![false; parts.len() + 1];
            for at in 0..=parts.len() {
                next[at] = match segment {
                    Segment::AnyDepth => reached[at] || (at > 0 && next[at - 1]),
                    _ => at > 0 && reached[at - 1] && segment.matches(parts[at - 1]),
                };
            }
            reached = next;
        }
        reached[parts.len()]
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
    /// Returns whether the segment matches one name, given in the form that is compared.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Literal(text) => text == name,
            Self::Glob(tokens) => glob::matches(tokens, name),
            Self::AnyDepth => true,
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
        Ok(literal.collect::<Option<String>>().map_or(Self::Glob(tokens), Self::Literal))
    }
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?}, character {at}: {problem}")]
pub struct PatternError {
    /// The pattern, or the alternative of its braces, cut to 80 characters.
    pub pattern: String,
    /// The character where the problem starts, counted from 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

impl PatternError {
    fn new(pattern: &str, at: usize, problem: Problem) -> Self {
        Self { pattern: pattern.chars().take(80).collect(), at, problem }
    }
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing stands there.
    #[error("is empty; `**` is the whole project")]
    Empty,
    /// More bytes than allowed.
    #[error("has {0} bytes, at most {PATTERN_BYTES_MAX} are allowed")]
    Bytes(usize),
    /// More segments than allowed.
    #[error("has {0} segments, at most {PATTERN_SEGMENTS_MAX} are allowed")]
    Segments(usize),
    /// The braces make more patterns than allowed.
    #[error("braces expand to {0} alternatives, at most {PATTERN_ALTERNATIVES_MAX} are allowed")]
    Alternatives(usize),
    /// The pattern starts with a slash.
    #[error("starts with `/`; patterns are relative to the repository")]
    Absolute,
    /// Two slashes stand side by side.
    #[error("`//` leaves a segment empty")]
    EmptySegment,
    /// A segment is `.` or `..`.
    #[error("`.` and `..` are not allowed as segments")]
    Dots,
    /// A character that no pattern may contain.
    #[error("{0:?} is not allowed")]
    Character(char),
    /// `**` with something beside it.
    #[error("`**` must be a whole segment")]
    DoubleStar,
    /// Brackets are not closed before the segment ends.
    #[error("`[` is not closed in its segment")]
    OpenClass,
    /// Nothing stands between the brackets.
    #[error("brackets are empty")]
    EmptyClass,
    /// `[^`, which other tools read in two ways.
    #[error("`[^` is not allowed; write `[!` to leave characters out")]
    Caret,
    /// A closing bracket or brace without its opening one.
    #[error("{0:?} closes nothing")]
    Unopened(char),
    /// A range runs backwards.
    #[error("range {0}-{1} runs backwards")]
    Backwards(char, char),
    /// A range spans more characters than allowed.
    #[error("range spans {0} characters, at most {PATTERN_RANGE_MAX} are allowed")]
    Range(u32),
    /// Braces are not closed.
    #[error("`{{` is not closed")]
    OpenBrace,
    /// Braces stand inside braces.
    #[error("braces inside braces are not allowed")]
    NestedBrace,
}

/// Returns the form in which paths are compared: NFC and lower case, one character at a time.
///
/// A character whose lower case is several characters stays as it is, so that no rule depends on its neighbours.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower: String = text.nfc().map(lower).collect();
    lower.nfc().collect()
}

/// Returns the lower case of a character if that is one character, else the character.
fn lower(char: char) -> char {
    let mut lower = char.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => char,
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
