//! What the grammar takes, what it refuses with which words, and what a pattern matches.

use proptest::prelude::*;

use super::{Pattern, Problem, Segment, fold};

fn one(text: &str) -> Pattern {
    let mut patterns = Pattern::parse(text).expect("the pattern is in the grammar");
    assert_eq!(patterns.len(), 1, "{text} has no braces");
    patterns.remove(0)
}

fn texts(text: &str) -> Vec<String> {
    let patterns = Pattern::parse(text).expect("the pattern is in the grammar");
    patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect()
}

fn problem(text: &str) -> (usize, Problem) {
    let error = Pattern::parse(text).expect_err("the pattern is outside the grammar");
    (error.at, error.problem)
}

#[test]
fn a_directory_is_its_subtree_and_itself() {
    let pattern = one("src/store/");
    assert_eq!(pattern.as_str(), "src/store/**");
    for path in ["src/store", "src/store/a.rs", "SRC/Store/deep/b.rs"] {
        assert!(pattern.matches(path), "{path}");
    }
    assert!(!pattern.matches("src/storehouse"));
    assert!(!pattern.matches("src"));
}

#[test]
fn braces_expand_in_order_and_may_contain_a_slash() {
    assert_eq!(texts("a/{b,c/d}/{x,y}.rs"), ["a/b/x.rs", "a/b/y.rs", "a/c/d/x.rs", "a/c/d/y.rs"]);
    assert_eq!(texts("src{,/lib}/"), ["src/**", "src/lib/**"]);
    assert_eq!(texts("{a,a}"), ["a"]);
    assert_eq!(texts("E{\u{301},x}"), ["É", "Ex"]);
    assert_eq!(texts("x[{,}]"), ["x[{,}]"]);
}

#[test]
fn the_text_keeps_its_case_and_the_comparison_does_not() {
    let pattern = one("Docs/RE\u{301}ADME.md");
    assert_eq!(pattern.as_str(), "Docs/RÉADME.md");
    assert!(pattern.matches("docs/ré\u{41}dme.MD"));
    assert_eq!(pattern.literal().as_deref(), Some("docs/réadme.md"));
}

#[test]
fn globs_stay_within_their_segment() {
    for (pattern, path, expected) in [
        ("**", "any/thing", true),
        ("**/*.rs", "lib.rs", true),
        ("**/*.rs", "a/b/lib.rs", true),
        ("src/*.rs", "src/a/b.rs", false),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a/**/z", "a/b/c", false),
        ("docs/runbooks/p0-*.md", "docs/runbooks/p0-disk.md", true),
        ("?.rs", "ab.rs", false),
        ("[A-C]x", "bx", true),
        ("[!a-c]x", "Bx", false),
        ("[!a-c]x", "dx", true),
        ("[Z-_]x", "zx", true),
        ("a[*]b", "a*b", true),
        ("a[*]b", "aXb", false),
        ("a[-]b", "a-b", true),
        ("*a*b*c*", "xxaxxbxxcxx", true),
        ("*a*b*c*", "xxaxxcxxbxx", false),
        ("src/main.rs", "src/main.rs/x.toml", false),
    ] {
        assert_eq!(one(pattern).matches(path), expected, "{pattern} on {path}");
    }
}

#[test]
fn neighbouring_double_stars_are_one() {
    assert_eq!(one("a/**/**/").as_str(), "a/**");
    assert_eq!(one("a/**/**/").segments(), [Segment::Literal("a".to_owned()), Segment::AnyDepth]);
}

#[test]
fn brackets_round_one_character_are_that_character() {
    assert_eq!(one("a[*]/[B]").literal().as_deref(), Some("a*/b"));
    assert_eq!(one("a[*]/[B]").as_str(), "a[*]/[B]");
    assert_eq!(one("[bB]").segments(), [Segment::Literal("b".to_owned())]);
    assert_eq!(one("[!a]").literal(), None);
    assert_eq!(one("\u{301}a").literal().as_deref(), Some("\u{301}a"), "a mark may begin a name");
}

#[test]
fn each_fault_is_named_with_its_place_and_bound() {
    assert_eq!(problem(""), (1, Problem::Empty));
    assert_eq!(problem("/etc"), (1, Problem::Absolute));
    assert_eq!(problem("a//b"), (3, Problem::EmptySegment));
    assert_eq!(problem("a/../b"), (3, Problem::Dots));
    assert_eq!(problem("./a"), (1, Problem::Dots));
    assert_eq!(problem("a\\b"), (2, Problem::Character('\\')));
    assert_eq!(problem("a/b\n"), (4, Problem::Character('\n')));
    assert_eq!(problem("!a"), (1, Problem::Character('!')));
    assert_eq!(problem("a/b**"), (4, Problem::DoubleStar));
    assert_eq!(problem("a/[b"), (3, Problem::OpenClass));
    assert_eq!(problem("a/[b/c]"), (3, Problem::OpenClass));
    assert_eq!(problem("a/[.]"), (3, Problem::Dots));
    assert_eq!(problem("a/*\u{301}"), (4, Problem::Combining('\u{301}')));
    assert_eq!(problem("[e]\u{301}"), (4, Problem::Combining('\u{301}')));
    assert_eq!(problem("[ab\u{301}]"), (4, Problem::Combining('\u{301}')));
    assert_eq!(problem("[]"), (2, Problem::EmptyClass));
    assert_eq!(problem("[^a]"), (2, Problem::Caret));
    assert_eq!(problem("a]"), (2, Problem::Unopened(']')));
    assert_eq!(problem("a}"), (2, Problem::Unopened('}')));
    assert_eq!(problem("[z-a]"), (2, Problem::Backwards('z', 'a')));
    assert_eq!(problem("[a-\u{ffff}]").0, 2);
    assert_eq!(problem("a{b,c"), (2, Problem::OpenBrace));
    assert_eq!(problem("{a,{b,c}}"), (4, Problem::NestedBrace));
    assert_eq!(problem("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"), (1, Problem::Alternatives(128)));
    assert_eq!(problem(&"a".repeat(257)), (1, Problem::Bytes(257)));
    assert_eq!(problem(&"a/".repeat(32)), (1, Problem::Segments(33)));
    let error = Pattern::parse(&"a".repeat(300)).expect_err("300 bytes are over the bound");
    assert!(
        error.to_string().ends_with("character 1: has 300 bytes, at most 256 are allowed; shorten it with `*`"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_its_canonical_form_reads_back(text in "[aAbZ/*?!{},.\\[\\]^İÉ\u{301}\\-_ ]{0,24}") {
        for pattern in Pattern::parse(&text).unwrap_or_default() {
            prop_assert_eq!(Pattern::parse(pattern.as_str()), Ok(vec![pattern.clone()]), "{}", text);
        }
    }

    #[test]
    fn folding_twice_is_folding_once(text in "\\PC{0,40}") {
        prop_assert_eq!(fold(&fold(&text)), fold(&text));
    }

    #[test]
    fn a_path_in_brackets_matches_itself_in_any_case(path in "[a-zA-Z*?{}]{1,8}(/[a-zA-Z*?{}]{1,8}){0,3}") {
        let quoted: String = path.chars().map(|char| match char {
            '/' => "/".to_owned(),
            char => format!("[{char}]"),
        }).collect();
        let pattern = one(&quoted);
        prop_assert!(pattern.matches(&path));
        prop_assert!(pattern.matches(&path.to_uppercase()));
    }
}
