//! Values that people write into fields: checked, and put in the form that is stored. Imports keep what they are given.

use beadmesh_protocol::alias;
use beadmesh_protocol::bead::{Edit, Field, FieldValue};
use beadmesh_protocol::clock::Wall;

use crate::command::CommandError;

/// Characters of a refused value that are shown.
const SHOWN_CHARS_MAX: usize = 80;

/// Makes an edit of a scalar field from what a person wrote; an empty text clears it.
pub(super) fn set(field: Field, value: FieldValue) -> Result<Edit, CommandError> {
    match value {
        FieldValue::Text(text) if !text.is_empty() => keep(field, FieldValue::Text(stored(field, text)?)),
        value => keep(field, value),
    }
}

/// Makes an edit of a scalar field from a value that stands in a document already.
pub(super) fn keep(field: Field, value: FieldValue) -> Result<Edit, CommandError> {
    let value = match value {
        FieldValue::Text(text) if text.is_empty() => FieldValue::Absent,
        value => value,
    };
    let required = matches!(field, Field::Title | Field::Status | Field::Priority | Field::Kind | Field::Alias);
    if required && value == FieldValue::Absent {
        return Err(invalid(field.as_str(), "it can not be empty", "give it a value"));
    }
    Ok(Edit::Set(field, value))
}

/// Returns a text as its field stores it.
fn stored(field: Field, text: String) -> Result<String, CommandError> {
    match field {
        Field::DueAt | Field::DeferUntil => date(field, &text),
        Field::Title => {
            check_line(field.as_str(), &text)?;
            check_direction(field.as_str(), &text)?;
            Ok(text)
        }
        Field::Assignee => check_line(field.as_str(), &text).map(|()| text),
        Field::Alias => check_alias(&text).map(|()| text),
        _ => Ok(text),
    }
}

/// Reads a date; an instant stays as it was written, anything else becomes one in UTC.
fn date(field: Field, text: &str) -> Result<String, CommandError> {
    let instant = Wall::parse_lenient(text).ok_or_else(|| {
        let hint = "write 2027-01-31, 2027-01-31T09:00:00 (both in UTC) or 2027-01-31T09:00:00+01:00";
        invalid(field.as_str(), &format!("{:?} is no date", shown(text)), hint)
    })?;
    Ok(if Wall::parse(text).is_some() { text.trim().to_owned() } else { instant.to_string() })
}

/// Refuses a given alias that is malformed.
pub(super) fn check_alias(text: &str) -> Result<(), CommandError> {
    alias::check(text).map_err(|error| invalid("id", &error.to_string(), "choose another alias"))?;
    check_direction("id", text)
}

/// Refuses a text with control characters, such as the end of a line.
pub(super) fn check_line(field: &str, text: &str) -> Result<(), CommandError> {
    let problem = |char: char| format!("it holds the control character {}", code(char));
    let found = text.chars().find(|char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}'));
    found.map_or(Ok(()), |char| Err(invalid(field, &problem(char), "write it on one line, of visible characters")))
}

/// Refuses characters that show a text in another order than it has (Unicode UAX 9, section 2).
fn check_direction(field: &str, text: &str) -> Result<(), CommandError> {
    let problem = |char: char| format!("it holds {}, which turns the direction of writing", code(char));
    let found = text.chars().find(|char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
    found.map_or(Ok(()), |char| Err(invalid(field, &problem(char), "leave that character out")))
}

/// Says what is wrong with a field.
pub(super) fn invalid(field: &str, problem: &str, hint: &str) -> CommandError {
    CommandError::Invalid { field: field.to_owned(), problem: problem.to_owned(), hint: hint.to_owned() }
}

fn code(char: char) -> String {
    format!("U+{:04X}", u32::from(char))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(field: Field, text: &str) -> Result<String, String> {
        match set(field, FieldValue::Text(text.to_owned())) {
            Ok(Edit::Set(_, FieldValue::Text(text))) => Ok(text),
            Ok(edit) => panic!("{edit:?}"),
            Err(error) => Err(format!("{error}; {}", error.hint())),
        }
    }

    #[test]
    fn dates_are_stored_as_instants() {
        for (written, expected) in [
            ("2027-01-01", "2027-01-01T00:00:00Z"),
            ("2027-01-01T09:30", "2027-01-01T09:30:00Z"),
            ("2027-01-01T09:30:00", "2027-01-01T09:30:00Z"),
            ("2027-01-01T09:30:00+02:00", "2027-01-01T09:30:00+02:00"),
            (" 2027-01-01T09:30:00.000001Z", "2027-01-01T09:30:00.000001Z"),
        ] {
            assert_eq!(stored(Field::DueAt, written).as_deref(), Ok(expected));
            assert_eq!(stored(Field::DeferUntil, written).as_deref(), Ok(expected));
        }
        assert_eq!(
            stored(Field::DueAt, "tomorrow").unwrap_err(),
            "due_at: \"tomorrow\" is no date; \
             write 2027-01-31, 2027-01-31T09:00:00 (both in UTC) or 2027-01-31T09:00:00+01:00"
        );
        assert!(stored(Field::DeferUntil, "2026-13-45").unwrap_err().starts_with("defer_until: "));
        assert!(stored(Field::DueAt, &"x".repeat(100_000)).unwrap_err().len() < 300);
        assert_eq!(set(Field::DueAt, FieldValue::Text(String::new())), Ok(Edit::Set(Field::DueAt, FieldValue::Absent)));
    }

    #[test]
    fn names_are_one_line_and_read_as_they_are_written() {
        assert_eq!(stored(Field::Title, "Ein Titel, zwei Wörter").as_deref(), Ok("Ein Titel, zwei Wörter"));
        assert_eq!(stored(Field::Notes, "two\nlines").as_deref(), Ok("two\nlines"));
        assert_eq!(
            stored(Field::Title, "two\nlines").unwrap_err(),
            "title: it holds the control character U+000A; write it on one line, of visible characters"
        );
        assert!(stored(Field::Title, "a\u{202e}b").unwrap_err().contains("U+202E"));
        assert!(stored(Field::Alias, "a\u{2066}b").unwrap_err().starts_with("id: it holds U+2066"));
        assert!(stored(Field::Alias, "a\u{7}b").is_err());
        assert!(stored(Field::Assignee, "ada\u{1b}[2J").unwrap_err().starts_with("assignee: "));
        assert!(check_line("by", "ada").is_ok());
    }
}
