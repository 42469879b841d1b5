//! The answers against automata of regular expressions, and what must hold for any two patterns.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::super::pairs;
use super::super::pattern::{Pattern, Segment, glob};
use super::oracle::Language;
use super::{Part, name};

/// Cases of a property: those of the environment if it asks for more.
fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(usual), ..config }
}

fn parse(text: &str) -> Vec<Pattern> {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn one(text: &str) -> Pattern {
    parse(text).remove(0)
}

fn witness(ours: &str, theirs: &str) -> Option<String> {
    parse(ours).iter().find_map(|ours| parse(theirs).iter().find_map(|theirs| ours.intersect(theirs)))
}

/// Whether the path is the longer of two literals: the one witness that one side does not match.
fn is_below(short: &Pattern, path: &str) -> bool {
    short.literal().is_some_and(|literal| path.starts_with(&format!("{literal}/")))
}

#[test]
fn a_witness_is_short_and_made_of_letters() {
    for (ours, theirs, expected) in [
        ("src/b*.rs", "src/*a.rs", "src/ba.rs"),
        ("src/**", "**/*.rs", "src/a.rs"),
        ("**", "**", "a"),
        ("*", "?", "a"),
        ("[!a-z]x", "?x", "0x"),
        ("[!a-z0-9]", "[!_]", "\u{4e00}"),
        ("*.rs", "?*", "a.rs"),
        (".*", "*.*", ".a"),
        ("**/test/**", "src/**/unit/**", "src/unit/test"),
    ] {
        assert_eq!(witness(ours, theirs).as_deref(), Some(expected), "{ours} and {theirs}");
    }
}

#[test]
fn names_that_no_file_has_are_shared_by_nobody() {
    for (ours, theirs) in [(".?", "?."), ("[.]?", "?[.-0]"), ("[.-0]", "[!.0-9]")] {
        let shared = witness(ours, theirs);
        assert!(shared.as_deref().is_none_or(|path| !path.split('/').any(|name| name == "." || name == "..")));
    }
    assert_eq!(witness(".?", "?."), None);
    assert_eq!(witness("[.-0]", "[!.0-9]"), None, "a slash is part of no name");
    assert_eq!(witness("..?", "?.[.a]"), Some("..a".to_owned()));
}

#[test]
fn two_brackets_meet_in_the_characters_that_folded_names_have() {
    assert_eq!(witness("[A-C]", "[!a-c]"), None, "only lower case is compared");
    assert_eq!(witness("[\u{2f0}-\u{370}]", "[!\u{2f0}-\u{2ff}\u{34f}\u{370}]"), None, "only combining marks are left");
    assert_eq!(witness("[à-è]", "[É-Ê]"), None);
    assert_eq!(witness("[à-é]", "[É-Ê]"), Some("é".to_owned()));
    assert_eq!(witness("[a-m]", "[m-z]"), Some("m".to_owned()));
}

#[test]
fn long_patterns_of_stars_are_decided() {
    let stars = |letter: &str| format!("{letter}*").repeat(100);
    assert_eq!(witness(&stars("a"), &format!("{}b", stars("a"))).map(|path| path.len()), Some(101));
    assert_eq!(witness(&format!("{}b", stars("a")), &format!("{}c", stars("a"))), None);
    let depths = format!("{}b", "**/a/".repeat(15));
    assert_eq!(witness(&depths, &format!("{}c", "a/**/".repeat(15))), None);
    assert!(witness(&depths, &"a/**/".repeat(15)).is_some());
}

#[test]
fn a_path_deeper_than_any_pattern_is_matched() {
    let path = format!("src/{}main.rs", "deep/".repeat(200));
    assert!(one("src/**/*.rs").matches(&path));
    assert!(!one("**/*.toml").matches(&path));
}

#[test]
fn what_is_no_path_is_in_no_pattern() {
    for path in ["", "/", "/a", "a/", "a//b", "./a", "a/.", "../a", "a/../b"] {
        assert!(!one("**").matches(path), "{path}");
        assert!(!one("a/**").matches(path), "{path}");
    }
}

#[test]
fn odd_names_of_files_are_matched_by_wildcards() {
    for name in ["a\\b", "a\nb", "a\u{fffd}b", "a!b", "a{b"] {
        assert!(one("src/a?b").matches(&format!("src/{name}")), "{name:?}");
        assert!(one("src/**").matches(&format!("src/{name}")), "{name:?}");
    }
    let lossy = String::from_utf8_lossy(b"src/caf\xe9.rs");
    assert!(one("src/caf?.rs").matches(&lossy));
    assert!(!one("src/café.rs").matches(&lossy));
}

#[test]
fn answers_are_those_of_the_product_of_automata() {
    let mut runner = TestRunner::new(cases(2_000));
    let (met, total) = (Cell::new(0_u32), Cell::new(0_u32));
    let paths = Language::paths();
    let result = runner.run(&(pairs::pair(), pairs::path()), |((our_draft, their_draft), path)| {
        let (ours, theirs) = (parse(&our_draft.text()), parse(&their_draft.text()));
        let (our_language, their_language) =
            (Language::of(&our_draft.alternatives()), Language::of(&their_draft.alternatives()));
        let expected = our_language.meets(&their_language, &paths);
        let found = ours.iter().flat_map(|ours| theirs.iter().map(move |theirs| (ours, theirs)));
        let found: Vec<(&Pattern, &Pattern)> = found.filter(|(ours, theirs)| ours.meets(theirs)).collect();
        prop_assert_eq!(!found.is_empty(), expected, "{} and {}", our_draft.text(), their_draft.text());
        for patterns in [&ours, &theirs] {
            let language = if std::ptr::eq(patterns, &ours) { &our_language } else { &their_language };
            let matched = patterns.iter().any(|pattern| pattern.matches(&path));
            prop_assert_eq!(matched, language.holds(&path), "{:?} on {}", patterns, path);
        }
        total.set(total.get() + 1);
        met.set(met.get() + u32::from(expected));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}\n{runner}"));
    // A generator of pairs that never meet, or always do, would show nothing.
    let share = met.get() * 100 / total.get();
    assert!((25..=75).contains(&share), "{share} % of {} pairs meet", total.get());
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_witness_is_matched_by_both_and_the_same_from_either_side((ours, theirs) in pairs::pair()) {
        for ours in parse(&ours.text()) {
            for theirs in parse(&theirs.text()) {
                let witness = ours.intersect(&theirs);
                prop_assert_eq!(&witness, &theirs.intersect(&ours));
                prop_assert_eq!(witness.is_some(), ours.meets(&theirs));
                prop_assert_eq!(witness.is_some(), theirs.meets(&ours));
                let Some(path) = witness else { continue };
                prop_assert!(ours.matches(&path) || is_below(&ours, &path), "{} on {}", ours, path);
                prop_assert!(theirs.matches(&path) || is_below(&theirs, &path), "{} on {}", theirs, path);
            }
        }
    }

    #[test]
    fn patterns_that_match_one_path_meet((ours, theirs) in pairs::pair(), paths in prop::collection::vec(pairs::path(), 8)) {
        for ours in parse(&ours.text()) {
            for theirs in parse(&theirs.text()) {
                for path in &paths {
                    prop_assert!(!(ours.matches(path) && theirs.matches(path)) || ours.meets(&theirs));
                }
            }
        }
    }

    #[test]
    fn a_name_is_matched_as_a_glob_of_its_letters_is_met(glob in pairs::draft(), path in pairs::path()) {
        for pattern in parse(&glob.text()) {
            for segment in pattern.segments() {
                let Segment::Glob(tokens) = segment else { continue };
                for name in path.split('/') {
                    let letters: Vec<glob::Token> = name.chars().map(glob::Token::Char).collect();
                    prop_assert_eq!(Part::of(segment).meets(Part::Name(name)), name::meets(tokens, &letters));
                }
            }
        }
    }

    #[test]
    fn any_two_texts_are_decided_with_a_witness_that_both_match(
        ours in "[aeéq가각\u{301}\u{316}\u{11a8}İKſß./*?!\\[\\]{},-]{0,16}|\\PC{0,12}",
        theirs in "[aeéq가각\u{301}\u{316}\u{11a8}İKſß./*?!\\[\\]{},-]{0,16}|(\\PC|[*?/]){0,12}|\\*\\*|(\\*|\\?){1}\\PC{0,3}",
    ) {
        for ours in Pattern::parse(&ours).unwrap_or_default() {
            for theirs in Pattern::parse(&theirs).unwrap_or_default() {
                let Some(path) = ours.intersect(&theirs) else { continue };
                prop_assert!(ours.matches(&path) || is_below(&ours, &path), "{:?} on {:?}", ours, path);
                prop_assert!(theirs.matches(&path) || is_below(&theirs, &path), "{:?} on {:?}", theirs, path);
            }
        }
    }
}
