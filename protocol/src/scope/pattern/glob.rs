//! The inside of one segment: literal characters, `*`, `?` and brackets.

use super::{Problem, lower};
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

/// A set of characters, in the form that is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Whether the set is what the ranges leave out.
    pub negated: bool,
    /// Sorted ranges that neither overlap nor touch, both ends included.
    pub ranges: Vec<(char, char)>,
}

impl Class {
    /// Returns whether the character is in the set.
    pub fn contains(&self, char: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&char)) != self.negated
    }
}

/// Reads a segment that is not `**`; an error carries the character's index within it.
pub(super) fn tokens(part: &str) -> Result<Vec<Token>, (usize, Problem)> {
    let chars: Vec<char> = part.chars().collect();
    let mut tokens = Vec::with_capacity(chars.len());
    let mut literal = String::new();
    let mut at = 0;
    while at < chars.len() {
        let token = match chars[at] {
            '*' if chars.get(at + 1) == Some(&'*') => return Err((at, Problem::DoubleStar)),
            '*' => Token::AnyChars,
            '?' => Token::AnyChar,
            '[' => {
                let (class, end) = class(&chars, at)?;
                at = end;
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
pub(super) fn matches(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut token, mut at) = (0, 0);
    // The last `*` seen and the character up to which it ate: on a mismatch it eats one more.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        let step = match tokens.get(token) {
            Some(Token::AnyChars) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::Char(char)) => *char == name[at],
            Some(Token::AnyChar) => true,
            Some(Token::OneOf(class)) => class.contains(name[at]),
            None => false,
        };
        if step {
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
    tokens.extend(super::fold(literal).chars().map(Token::Char));
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
        ranges.push((low, high));
        ranges.extend(
            (low..=high).map(|char| (lower(char), lower(char))).filter(|(small, _)| !(low..=high).contains(small)),
        );
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
