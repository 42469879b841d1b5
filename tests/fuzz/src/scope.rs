//! Scopes: what two of them touch in common, and what an index of many says of one more.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::scope::{Index, Mode, Pattern, Scope, Witness};

/// Scopes that an index is made of at most.
const SCOPES_MAX: usize = 24;

/// Takes two lists of patterns, a line each with a tab between patterns, and a path.
pub fn pair(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut scope = || Scope::parse(None, [], lines.next().unwrap_or_default().split('\t')).ok();
    let (one, other) = (scope(), scope());
    let path = lines.next().unwrap_or_default();
    for scope in [&one, &other].into_iter().flatten() {
        let texts = scope.patterns().iter().map(Pattern::as_str);
        assert_eq!(Scope::parse(None, [], texts).as_ref(), Ok(scope), "a scope is read as it is written");
    }
    let (Some(one), Some(other)) = (one, other) else { return };
    assert_eq!(one.meets(&other), other.meets(&one));
    let clash = one.clash(&other);
    assert_eq!(clash, other.clash(&one), "either scope names the same witness");
    assert_eq!(clash.is_some(), one.meets(&other));
    if let Some(Witness::Path(witness)) = clash {
        let touches = |scope: &Scope| scope.matches(&witness) || above(&witness).any(|path| scope.matches(path));
        assert!(one.matches(&witness) || other.matches(&witness), "{witness} is in neither");
        assert!(touches(&one) && touches(&other), "{witness} is not in both");
    }
    if one.matches(path) && other.matches(path) {
        assert!(one.meets(&other), "{path} is in both");
    }
    for ours in one.patterns() {
        assert!(ours.meets(ours) && ours.intersect(ours).is_some(), "{ours} matches nothing");
        for theirs in other.patterns() {
            let witness = ours.intersect(theirs);
            assert_eq!(witness, theirs.intersect(ours));
            assert_eq!(witness.is_some(), ours.meets(theirs));
            if ours.matches(path) && theirs.matches(path) {
                assert!(witness.is_some(), "{path} is in {ours} and {theirs}");
            }
        }
    }
}

/// Returns the folders that a path lies in.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Takes scopes, a line each, shared ones with `!` before them; the last is asked about and its first pattern is a path.
pub fn index(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parse = |line: &str| {
        let (mode, patterns) = line.strip_prefix('!').map_or((Mode::Exclusive, line), |rest| (Mode::Shared, rest));
        Scope::parse(None, [], patterns.split('\t')).ok().map(|scope| (scope, mode))
    };
    let scopes: Vec<(Scope, Mode)> = text.lines().take(SCOPES_MAX).filter_map(parse).collect();
    let Some((asked, held)) = scopes.split_last() else { return };
    let path = text.lines().last().and_then(|line| line.split('\t').next()).unwrap_or_default();
    let mut index: Index<usize> = Index::default();
    let mut kept: BTreeMap<usize, &(Scope, Mode)> = BTreeMap::new();
    for (key, scope) in held.iter().enumerate() {
        // Some keys are given twice.
        index.insert(key / 2, &scope.0, scope.1);
        kept.insert(key / 2, scope);
    }
    agrees(&index, &kept, asked, path);
    for key in (0..held.len()).step_by(3) {
        assert_eq!(index.remove(&key).as_ref(), kept.remove(&key));
    }
    agrees(&index, &kept, asked, path);
}

/// Compares what an index says with a look at every scope.
fn agrees(index: &Index<usize>, kept: &BTreeMap<usize, &(Scope, Mode)>, asked: &(Scope, Mode), path: &str) {
    assert_eq!(index.len(), kept.len());
    let (scope, mode) = asked;
    let clashing = kept.iter().filter(|(_, (other, other_mode))| mode.excludes(*other_mode) && scope.meets(other));
    let clashing: BTreeSet<&usize> = clashing.map(|(key, _)| key).collect();
    assert_eq!(index.clashing(scope, *mode), clashing);
    assert_eq!(index.first_clash(scope, *mode).is_some(), !clashing.is_empty());
    for (key, witness) in index.clashes(scope, *mode) {
        assert_eq!(scope.clash(&kept[key].0), Some(witness));
    }
    let covering: BTreeSet<&usize> =
        kept.iter().filter(|(_, (other, _))| other.matches(path)).map(|(key, _)| key).collect();
    assert_eq!(index.covering(None, path), covering);
}
