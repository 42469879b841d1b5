//! What the search for a character rests on: how all characters fold.

use super::super::super::pattern::fold::{fold, lower, stands_alone};
use super::super::super::pattern::{Class, Token};
use super::{Bite, is_usable, rare};

#[test]
fn a_character_that_stands_alone_folds_to_one_that_does() {
    for char in (char::MIN..=char::MAX).filter(|char| stands_alone(*char)) {
        let small = lower(char);
        assert!(stands_alone(small), "{char:?}");
        assert_eq!(lower(small), small, "{char:?}");
        assert_eq!(fold(&char.to_string()), small.to_string(), "{char:?}");
    }
}

#[test]
fn two_negated_brackets_always_leave_a_character() {
    // More than 512 bytes of brackets can name.
    let block = |low: u32| (char::from_u32(low).unwrap(), char::from_u32(low + 0x27ff).unwrap());
    let ours =
        Class { negated: true, ranges: vec![('a', 'z'), block(0x4e00), block(0x7600), ('\u{9e00}', '\u{d7ff}')] };
    let theirs = Class { negated: true, ranges: vec![('\u{e000}', '\u{ffff}'), ('\u{10000}', '\u{2ffff}')] };
    let char = rare(&ours, &theirs, true).unwrap();
    assert!(ours.contains(char) && theirs.contains(char) && is_usable(char) && lower(char) == char);
}

#[test]
fn a_dot_is_taken_only_where_it_may_be() {
    let token = Token::OneOf(Class { negated: false, ranges: vec![('.', '.'), ('~', '~')] });
    let bite = Bite { tokens: [&token, &Token::AnyChar], our: 1, their: 1 };
    assert_eq!(bite.char(false), Some('.'));
    assert_eq!(bite.char(true), Some('~'));
}
