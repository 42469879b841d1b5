//! The expansion of `{a,b}` into one text for each alternative.

use super::{PatternError, Problem};
use crate::limits::PATTERN_ALTERNATIVES_MAX;

/// Returns the texts that the braces stand for, the leftmost brace varying slowest.
///
/// Brackets hide braces and commas, so `[{]` is the character itself.
pub(super) fn expand(text: &str) -> Result<Vec<String>, PatternError> {
    let mut texts = vec![String::new()];
    for part in parts(text)? {
        match part {
            Part::Plain(plain) => texts.iter_mut().for_each(|text| text.push_str(plain)),
            Part::Choice(choices) => {
                let count = texts.len() * choices.len();
                if count > PATTERN_ALTERNATIVES_MAX {
                    return Err(PatternError::new(text, 1, Problem::Alternatives(count)));
                }
                texts =
                    texts.iter().flat_map(|text| choices.iter().map(move |choice| format!("{text}{choice}"))).collect();
            }
        }
    }
    Ok(texts)
}

enum Part<'a> {
    Plain(&'a str),
    Choice(Vec<&'a str>),
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, PatternError> {
    let mut parts = Vec::new();
    let mut choices: Option<Vec<&str>> = None;
    let mut opened_at = 0;
    let mut in_class = false;
    let mut start = 0;
    for (count, (index, char)) in text.char_indices().enumerate() {
        let fail = |problem| Err(PatternError::new(text, count + 1, problem));
        match (char, in_class) {
            ('[', false) => in_class = true,
            (']' | '/', true) => in_class = false,
            ('{', false) if choices.is_some() => return fail(Problem::NestedBrace),
            ('{', false) => {
                parts.push(Part::Plain(&text[start..index]));
                choices = Some(Vec::new());
                opened_at = count + 1;
                start = index + 1;
            }
            (',' | '}', false) => {
                let Some(mut list) = choices.take() else {
                    if char == '}' {
                        return fail(Problem::Unopened('}'));
                    }
                    continue;
                };
                list.push(&text[start..index]);
                start = index + 1;
                if char == '}' {
                    parts.push(Part::Choice(list));
                } else {
                    choices = Some(list);
                }
            }
            _ => {}
        }
    }
    if choices.is_some() {
        return Err(PatternError::new(text, opened_at, Problem::OpenBrace));
    }
    parts.push(Part::Plain(&text[start..]));
    Ok(parts)
}
