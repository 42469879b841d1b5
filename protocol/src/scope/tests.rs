//! What a scope is, how it travels, when two clash, and what the page about scopes says.

use proptest::prelude::*;

use super::{Clash, Mode, Pattern, Scope, ScopeError, Witness, pairs};
use crate::id::{BeadId, ProjectId};

const PAGE: &str = include_str!("../../../docs/SCOPES.md");

fn project(id: u8) -> Option<ProjectId> {
    Some(ProjectId::from_bytes([id; 16]))
}

fn bead(id: u8) -> BeadId {
    BeadId::from_bytes([id; 16])
}

fn scope(patterns: &[&str]) -> Scope {
    Scope::parse(project(1), [], patterns).unwrap()
}

fn bytes(patterns: &[&str]) -> Vec<u8> {
    postcard::to_stdvec(&(project(1), Vec::<BeadId>::new(), patterns)).unwrap()
}

#[test]
fn order_case_and_repetition_make_no_difference() {
    let one = scope(&["src/{b,a}/", "Docs/*.md", "src/a/**"]);
    assert_eq!(one, scope(&["src/b/**", "docs/*.md", "Docs/*.md", "src/a/"]));
    let texts: Vec<&str> = one.patterns().iter().map(Pattern::as_str).collect();
    assert_eq!(texts, ["Docs/*.md", "src/a/**", "src/b/**"]);
}

#[test]
fn a_scope_travels_in_one_form_alone() {
    let kept = Scope::parse(project(1), [bead(3), bead(2)], ["src/**", "Cargo.toml"]).unwrap();
    let sent = postcard::to_stdvec(&kept).unwrap();
    assert_eq!(postcard::from_bytes::<Scope>(&sent), Ok(kept));
    assert_eq!(postcard::from_bytes::<Scope>(&bytes(&["a", "b/**"])), Ok(scope(&["b/", "a"])));
    for other in
        [&["b", "a"][..], &["a", "a"], &["A", "a"], &["a/"], &["{a,b}"], &["a/**/**"], &["e\u{301}"], &["/a"], &[]]
    {
        assert!(postcard::from_bytes::<Scope>(&bytes(other)).is_err(), "{other:?}");
    }
    let many: Vec<String> = (0..17).map(|at| format!("{at:02}")).collect();
    assert!(postcard::from_bytes::<Scope>(&bytes(&many.iter().map(String::as_str).collect::<Vec<_>>())).is_err());
}

#[test]
fn what_is_no_scope_is_refused_with_field_bound_and_remedy() {
    let refuse =
        |beads: Vec<BeadId>, patterns: &[&str]| Scope::parse(project(1), beads, patterns).unwrap_err().to_string();
    assert_eq!(refuse(vec![], &[]), "scope covers nothing; name a bead or a pattern, `**` is the whole project");
    assert_eq!(
        refuse(vec![], &["src/**", "a//b"]),
        "pattern 2 of the scope: pattern \"a//b\", character 3: `//` leaves a segment empty; write one `/`"
    );
    assert_eq!(
        refuse(vec![], &["{a,b,c,d,e}{1,2,3,4}"]),
        "scope has 20 patterns, alternatives of braces counted, at most 16 are allowed; name whole directories or make \
         several claims"
    );
    assert_eq!(
        refuse((0..17).map(bead).collect(), &[]),
        "scope has 17 beads, at most 16 are allowed; make several claims"
    );
    assert_eq!(Scope::new(None, [], []), Err(ScopeError::Empty));
}

#[test]
fn patterns_clash_within_a_project_and_beads_everywhere() {
    let ours = Scope::parse(project(1), [bead(1)], ["src/**"]).unwrap();
    let elsewhere = Scope::parse(project(2), [bead(2)], ["src/**"]).unwrap();
    let nowhere = Scope::parse(None, [bead(3)], ["src/**"]).unwrap();
    assert_eq!(ours.clash(&elsewhere), None);
    assert_eq!(ours.clash(&nowhere), None);
    assert!(nowhere.clash(&Scope::parse(None, [], ["src/a"]).unwrap()).is_some());
    let same_bead = Scope::new(project(2), [bead(1)], []).unwrap();
    assert_eq!(ours.clash(&same_bead), Some(Witness::Bead(bead(1))));
    assert_eq!(Scope::parse(project(1), [], [format!("bead:{}", bead(1))]).unwrap().clash(&same_bead), None);
}

#[test]
fn a_clash_names_what_covers_the_witness_on_either_side() {
    let (ours, theirs) = (scope(&["docs/**", "src/b*.rs"]), scope(&["Cargo.toml", "src/*a.rs"]));
    let clash = ours.clash_between(&theirs).unwrap();
    let witness = Witness::Path("src/ba.rs".to_owned());
    assert_eq!(clash, Clash { ours: "src/b*.rs".into(), theirs: "src/*a.rs".into(), witness: witness.clone() });
    let clash = theirs.clash_between(&ours).unwrap();
    assert_eq!(clash, Clash { ours: "src/*a.rs".into(), theirs: "src/b*.rs".into(), witness });
    assert_eq!(clash.witness.to_string(), "src/ba.rs");
}

#[test]
fn two_shared_modes_alone_do_not_exclude_each_other() {
    assert!(!Mode::Shared.excludes(Mode::Shared));
    assert!(Mode::Shared.excludes(Mode::Exclusive));
    assert!(Mode::Exclusive.excludes(Mode::Shared));
    assert!(Mode::Exclusive.excludes(Mode::Exclusive));
}

/// Returns the cells of the table under a heading of the page, without its head, code marks off.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = section.split("\n## ").next().expect("text before the next heading");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split(" | ").map(cell).collect()).collect()
}

fn cell(text: &str) -> String {
    let text = text.trim();
    let inside = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    // A sentence may begin and end with code.
    inside.filter(|inside| !inside.contains('`')).unwrap_or(text).to_owned()
}

#[test]
fn the_page_says_of_each_pair_what_is_so() {
    let rows = table("Pairs");
    assert!(rows.len() >= 40, "{} pairs", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let [ours, theirs, expected, _why] = &row[..] else { panic!("{row:?}") };
        let witness = scope(&[ours]).clash(&scope(&[theirs])).map(|witness| witness.to_string());
        if witness.as_deref().unwrap_or("no") != expected {
            wrong.push(format!("{ours} and {theirs}: {witness:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_page_says_of_each_path_what_is_so() {
    let rows = table("Paths");
    assert!(rows.len() >= 12, "{} paths", rows.len());
    for row in rows {
        let [pattern, path, expected, _why] = &row[..] else { panic!("{row:?}") };
        assert_eq!(if scope(&[pattern]).matches(path) { "yes" } else { "no" }, expected, "{pattern} on {path}");
    }
}

#[test]
fn the_page_quotes_each_refusal() {
    let rows = table("Refused");
    assert!(rows.len() >= 16, "{} refusals", rows.len());
    for row in rows {
        let [written, message] = &row[..] else { panic!("{row:?}") };
        let pattern = match written.as_str() {
            "nothing" => String::new(),
            "257 letters" => "a".repeat(257),
            "33 segments" => ["a"; 33].join("/"),
            "65 alternatives" => format!("{{{}}}", ["a"; 65].join(",")),
            "a line break" => "a\nb".to_owned(),
            "`*` and a combining accent" => "*\u{301}".to_owned(),
            written => written.to_owned(),
        };
        let error = Pattern::parse(&pattern).expect_err(written).to_string();
        assert_eq!(error.split_once(": ").expect("a place, then what is wrong there").1, message, "{written}");
    }
}

proptest! {
    #[test]
    fn two_scopes_have_one_witness_from_either_side(drafts in prop::collection::vec(pairs::pair(), 1..4)) {
        let read = |drafts: Vec<&pairs::Draft>| {
            let texts: Vec<String> = drafts.into_iter().map(pairs::Draft::text).collect();
            Scope::parse(project(1), [], texts).expect("few patterns")
        };
        let ours = read(drafts.iter().map(|(ours, _)| ours).collect());
        let theirs = read(drafts.iter().map(|(_, theirs)| theirs).collect());
        let witness = ours.clash(&theirs);
        prop_assert_eq!(&witness, &theirs.clash(&ours));
        prop_assert_eq!(witness.is_some(), ours.meets(&theirs));
        let any = ours.patterns().iter().any(|ours| theirs.patterns().iter().any(|theirs| ours.meets(theirs)));
        prop_assert_eq!(witness.is_some(), any);
        if let Some(Witness::Path(path)) = witness {
            prop_assert!(ours.matches(&path) || theirs.matches(&path), "{}", path);
        }
        let sent = postcard::to_stdvec(&ours).expect("it encodes");
        prop_assert_eq!(postcard::from_bytes::<Scope>(&sent), Ok(ours));
    }
}
