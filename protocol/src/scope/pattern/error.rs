//! Why a text is not a pattern: the place, the bound, and what to write instead.

use crate::limits::{PATTERN_ALTERNATIVES_MAX, PATTERN_BYTES_MAX, PATTERN_RANGE_MAX, PATTERN_SEGMENTS_MAX};

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
    pub(super) fn new(pattern: &str, at: usize, problem: Problem) -> Self {
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
    #[error("has {0} bytes, at most {PATTERN_BYTES_MAX} are allowed; shorten it with `*`")]
    Bytes(usize),
    /// More segments than allowed.
    #[error("has {0} segments, at most {PATTERN_SEGMENTS_MAX} are allowed; put `**` for some of them")]
    Segments(usize),
    /// The braces make more patterns than allowed.
    #[error(
        "braces expand to {0} alternatives, at most {PATTERN_ALTERNATIVES_MAX} are allowed; put `*` for some of them"
    )]
    Alternatives(usize),
    /// The pattern starts with a slash.
    #[error("starts with `/`; patterns are relative to the repository")]
    Absolute,
    /// Two slashes stand side by side.
    #[error("`//` leaves a segment empty; write one `/`")]
    EmptySegment,
    /// A segment is `.` or `..`.
    #[error("`.` and `..` are not allowed as segments; write the path from the root of the repository")]
    Dots,
    /// A character that no pattern may contain.
    #[error("{0:?} is not allowed; {instead}", instead = instead(*.0))]
    Character(char),
    /// A combining mark where it would join whatever a wildcard matched.
    #[error("{0:?} joins the character before it, which is not fixed here; put `?` or `*` for both")]
    Combining(char),
    /// `**` with something beside it.
    #[error("`**` must be a whole segment; within one, write `*`")]
    DoubleStar,
    /// Brackets are not closed before the segment ends.
    #[error("`[` is not closed in its segment; the character itself is `[[]`")]
    OpenClass,
    /// Nothing stands between the brackets.
    #[error("brackets are empty; put at least one character between them")]
    EmptyClass,
    /// `[^`, which other tools read in two ways.
    #[error("`[^` is not allowed; write `[!` to leave characters out")]
    Caret,
    /// A closing bracket or brace without its opening one.
    #[error("{0:?} closes nothing; put `?` to match the character itself")]
    Unopened(char),
    /// A range runs backwards.
    #[error("range {0}-{1} runs backwards; swap its ends")]
    Backwards(char, char),
    /// A range spans more characters than allowed.
    #[error("range spans {0} characters, at most {PATTERN_RANGE_MAX} are allowed; put `?` for any character")]
    Range(u32),
    /// Braces are not closed.
    #[error("`{{` is not closed; the character itself is `[{{]`")]
    OpenBrace,
    /// Braces stand inside braces.
    #[error("braces inside braces are not allowed; write the alternatives out")]
    NestedBrace,
}

/// Returns what to write in place of a character that no pattern may contain.
fn instead(char: char) -> &'static str {
    match char {
        '\\' => "separate segments with `/`",
        '!' => "a pattern can not leave paths out",
        _ => "put `?` to match it",
    }
}
