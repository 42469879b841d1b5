//! The inside of one segment: literal characters, `*`, `?` and brackets.

use super::Problem;
use super::fold::{fold, lower, stands_alone};
use crate::limits::PATTERN_RANGE_MAX;

/// One step of a glob, in the form that is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// This character.
    Char(char),
    /// `?`: any one character.
    AnyChar,
    /// `*`: any characters, none included.
    AnyChars,
    /// `[..]` or `[!..]`: one character out of a set.
    OneOf(Class),
}

impl Token {
    /// Returns whether the character, given in the form that is compared, may stand here.
    pub fn takes(&self, char: char) -> bool {
        match self {
            Self::Char(own) => *own == char,
            Self::AnyChar | Self::AnyChars => true,
            Self::OneOf(class) => class.contains(char),
        }
    }
}

/// A set of characters, in the form that is compared; never a combining mark nor `/`, and never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Whether the set is what the ranges leave out.
    pub negated: bool,
    /// Sorted ranges that neither overlap nor touch, both ends included; if not negated, all of their characters occur in
    /// folded names.
    pub ranges: Vec<(char, char)>,
}

impl Class {
    /// Returns whether the character is in the set.
    pub fn contains(&self, char: char) -> bool {
        let at = self.ranges.partition_point(|(_, high)| *high < char);
        let listed = self.ranges.get(at).is_some_and(|(low, _)| *low <= char);
        if self.negated { !listed && is_usable(char) } else { listed }
    }

    /// Returns the character if the set has just one.
    fn single(&self) -> Option<char> {
        match self.ranges.as_slice() {
            [(low, high)] if low == high && !self.negated => Some(*low),
            _ => None,
        }
    }
}

/// Returns whether brackets may hold the character: it stands alone and is part of a name.
pub(in crate::scope) fn is_usable(char: char) -> bool {
    char != '/' && stands_alone(char)
}

/// Reads a segment that is not `**`; an error carries the character's index within it.
pub(super) fn tokens(part: &str) -> Result<Vec<Token>, (usize, Problem)> {
    let chars: Vec<char> = part.chars().collect();
    let mut tokens = Vec::with_capacity(chars.len());
    let mut literal = String::new();
    let mut at = 0;
    // Whether what stands before is not one fixed character.
    let mut open = false;
    while at < chars.len() {
        if open && !stands_alone(chars[at]) {
            return Err((at, Problem::Combining(chars[at])));
        }
        open = matches!(chars[at], '*' | '?' | '[');
        let token = match chars[at] {
            '*' if chars.get(at + 1) == Some(&'*') => return Err((at, Problem::DoubleStar)),
            '*' => Token::AnyChars,
            '?' => Token::AnyChar,
            '[' => {
                let (class, end) = class(&chars, at)?;
                at = end;
                if let Some(char) = class.single() {
                    literal.push(char);
                    at += 1;
                    continue;
                }
                Token::OneOf(class)
            }
            ']' => return Err((at, Problem::Unopened(']'))),
            '!' => return Err((at, Problem::Character('!'))),
            char => {
                literal.push(char);
                at += 1;
                continue;
            }
        };
        push_literal(&mut tokens, &mut literal);
        tokens.push(token);
        at += 1;
    }
    push_literal(&mut tokens, &mut literal);
    Ok(tokens)
}

/// Returns whether the tokens spell the whole name, in time proportional to both lengths.
pub(in crate::scope) fn matches(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut token, mut at) = (0, 0);
    // The last `*` seen and the character up to which it ate: on a mismatch it eats one more.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        if tokens.get(token) == Some(&Token::AnyChars) {
            star = Some((token, at));
            token += 1;
            continue;
        }
        if tokens.get(token).is_some_and(|token| token.takes(name[at])) {
            token += 1;
            at += 1;
        } else if let Some((star_token, eaten)) = star {
            star = Some((star_token, eaten + 1));
            token = star_token + 1;
            at = eaten + 1;
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|token| *token == Token::AnyChars)
}

/// Appends the characters gathered so far, folded as one text.
fn push_literal(tokens: &mut Vec<Token>, literal: &mut String) {
    tokens.extend(fold(literal).chars().map(Token::Char));
    literal.clear();
}

/// Reads brackets that open at `start`; returns them with the index of the closing one.
fn class(chars: &[char], start: usize) -> Result<(Class, usize), (usize, Problem)> {
    let mut at = start + 1;
    let negated = chars.get(at) == Some(&'!');
    if negated {
        at += 1;
    }
    match chars.get(at) {
        Some('^') => return Err((at, Problem::Caret)),
        Some(']') => return Err((at, Problem::EmptyClass)),
        _ => {}
    }
    let mut ranges = Vec::new();
    loop {
        let low = *chars.get(at).ok_or((start, Problem::OpenClass))?;
        if low == ']' {
            return Ok((Class { negated, ranges: merged(ranges) }, at));
        }
        let (high, width) = match (chars.get(at + 1), chars.get(at + 2)) {
            (Some('-'), Some(high)) if *high != ']' => (*high, 3),
            _ => (low, 1),
        };
        if low > high {
            return Err((at, Problem::Backwards(low, high)));
        }
        let span = u32::from(high) - u32::from(low) + 1;
        if span > PATTERN_RANGE_MAX {
            return Err((at, Problem::Range(span)));
        }
        if let Some(mark) = [low, high].into_iter().find(|char| !stands_alone(*char)) {
            return Err((at, Problem::Combining(mark)));
        }
        if negated {
            ranges.push((low, high));
        }
        // Of a set that is not negated only characters stay that a folded name can have.
        ranges.extend((low..=high).map(lower).filter(|char| is_usable(*char)).map(|char| (char, char)));
        at += width;
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn merged(mut ranges: Vec<(char, char)>) -> Vec<(char, char)> {
    ranges.sort_unstable();
    let mut joined: Vec<(char, char)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match joined.last_mut() {
            Some(last) if u32::from(low) <= u32::from(last.1) + 1 => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    joined
}
