//! The index gives the answers of asking every scope.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::pairs;
use super::super::{Mode, Pattern, Scope, Witness};
use super::Index;
use crate::id::{BeadId, ProjectId};

fn project(id: u8) -> Option<ProjectId> {
    (id > 0).then(|| ProjectId::from_bytes([id; 16]))
}

fn scope(patterns: &[&str]) -> Scope {
    Scope::parse(project(1), [], patterns).unwrap()
}

fn witnesses(index: &Index<u32>, scope: &Scope, mode: Mode) -> BTreeMap<u32, Witness> {
    index.clashes(scope, mode).map(|(key, witness)| (*key, witness)).collect()
}

#[test]
fn a_path_below_a_held_path_is_found_from_both_sides() {
    let mut index = Index::default();
    index.insert(1, &scope(&["src/main.rs"]), Mode::Exclusive);
    index.insert(2, &scope(&["docs/a/b"]), Mode::Exclusive);
    let path = |path: &str| Witness::Path(path.to_owned());
    let found = witnesses(&index, &scope(&["src/main.rs/x", "docs"]), Mode::Shared);
    assert_eq!(found, BTreeMap::from([(1, path("src/main.rs/x")), (2, path("docs/a/b"))]));
    assert!(witnesses(&index, &scope(&["**/*.toml"]), Mode::Shared).is_empty());
}

#[test]
fn shared_scopes_are_held_up_by_exclusive_ones_alone() {
    let mut index = Index::default();
    index.insert(1, &scope(&["src/**"]), Mode::Shared);
    assert_eq!(index.first_clash(&scope(&["**/*.rs"]), Mode::Shared), None);
    let found = index.first_clash(&scope(&["**/*.rs"]), Mode::Exclusive);
    assert_eq!(found, Some((&1, Witness::Path("src/a.rs".to_owned()))));
}

#[test]
fn a_key_that_is_put_in_again_has_its_last_scope() {
    let mut index = Index::default();
    index.insert(1, &scope(&["src/**", "docs/*"]), Mode::Shared);
    index.insert(1, &scope(&["tests/**"]), Mode::Exclusive);
    assert!(index.clashing(&scope(&["src/a", "docs/b"]), Mode::Exclusive).is_empty());
    assert_eq!(index.get(&1), Some((&scope(&["tests/**"]), Mode::Exclusive)));
    assert_eq!(index.remove(&1), Some((scope(&["tests/**"]), Mode::Exclusive)));
    assert_eq!(index.remove(&1), None);
    assert!(index.is_empty() && index.tries.is_empty() && index.beads.is_empty());
}

/// What is put in under a key: project, beads, patterns, mode.
type Given = (u8, Vec<u8>, Vec<pairs::Draft>, bool);

fn given() -> impl Strategy<Value = Given> {
    (0..3_u8, prop::collection::vec(0..6_u8, 0..2), prop::collection::vec(pairs::draft(), 1..3), any::<bool>())
}

fn read((of, beads, drafts, shared): &Given) -> (Scope, Mode) {
    let patterns = drafts.iter().flat_map(|draft| Pattern::parse(&draft.text()).expect("a pattern"));
    let beads = beads.iter().map(|bead| BeadId::from_bytes([*bead; 16]));
    let mode = if *shared { Mode::Shared } else { Mode::Exclusive };
    (Scope::new(project(*of), beads, patterns).expect("a scope"), mode)
}

proptest! {
    #[test]
    fn the_index_answers_as_asking_every_scope_does(
        held in prop::collection::vec((0..12_u32, given()), 0..24),
        gone in prop::collection::vec(0..12_u32, 0..4),
        asked in given(),
        path in pairs::path(),
    ) {
        let mut index = Index::default();
        let mut all = BTreeMap::new();
        for (key, given) in &held {
            let (scope, mode) = read(given);
            index.insert(*key, &scope, mode);
            all.insert(*key, (scope, mode));
        }
        for key in &gone {
            prop_assert_eq!(index.remove(key), all.remove(key));
        }
        prop_assert_eq!(index.len(), all.len());
        let (scope, mode) = read(&asked);
        let excluding = all.iter().filter(|(_, (_, held))| held.excludes(mode));
        let expected: BTreeMap<u32, Witness> =
            excluding.filter_map(|(key, (held, _))| Some((*key, scope.clash(held)?))).collect();
        prop_assert_eq!(&witnesses(&index, &scope, mode), &expected);
        let first = index.first_clash(&scope, mode).map(|(key, witness)| (*key, witness));
        prop_assert_eq!(first.is_some(), !expected.is_empty());
        prop_assert!(first.is_none_or(|(key, witness)| expected.get(&key) == Some(&witness)));
        let covering: Vec<u32> = index.covering(scope.project(), &path).into_iter().copied().collect();
        let matching = all.iter().filter(|(_, (held, _))| held.project() == scope.project() && held.matches(&path));
        prop_assert_eq!(covering, matching.map(|(key, _)| *key).collect::<Vec<_>>());
        for key in all.keys() {
            index.remove(key);
        }
        prop_assert!(index.is_empty() && index.tries.is_empty() && index.beads.is_empty());
    }
}
