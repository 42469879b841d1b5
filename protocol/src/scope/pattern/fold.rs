//! The form in which paths are compared: NFC and lower case, the same on every platform.
//!
//! A pattern is compared character by character, a path is folded as a whole. Both agree because no wildcard ends inside
//! what NFC would join: brackets hold only characters that stand alone, and only such follow a wildcard.

use std::iter;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

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
pub(in crate::scope) fn lower(char: char) -> char {
    let mut lower = char.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => char,
    }
}

/// Returns whether NFC never joins the character to what stands before it, nor replaces it.
pub(in crate::scope) fn stands_alone(char: char) -> bool {
    char.is_ascii() || (canonical_combining_class(char) == 0 && is_nfc_quick(iter::once(char)) == IsNormalized::Yes)
}
