//! Many scopes by key, and which of them clash with one more.
//!
//! Patterns lie in a trie of the names that they start with before their first wildcard. Only those can meet a pattern
//! that lie on the way along its own names, or below their end. Exclusive and shared scopes lie in tries of their own,
//! because one that is shared is held up by exclusive ones alone. How many scopes there are is bounded by who keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::{Mode, Pattern, Scope, Witness, fold};
use crate::id::{BeadId, ProjectId};

/// Scopes by key, ready to be asked which of them clash.
#[derive(Debug, Clone)]
pub struct Index<K> {
    held: BTreeMap<K, (Scope, Mode)>,
    beads: BTreeMap<BeadId, BTreeMap<K, Mode>>,
    tries: BTreeMap<(Option<ProjectId>, Mode), Trie<K>>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { held: BTreeMap::new(), beads: BTreeMap::new(), tries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Index<K> {
    /// Puts a scope in under a key, in place of what was there.
    pub fn insert(&mut self, key: K, scope: &Scope, mode: Mode) {
        self.remove(&key);
        for bead in scope.beads() {
            self.beads.entry(*bead).or_default().insert(key.clone(), mode);
        }
        if !scope.patterns().is_empty() {
            let trie = self.tries.entry((scope.project(), mode)).or_default();
            scope.patterns().iter().for_each(|pattern| trie.insert(&key, pattern));
        }
        self.held.insert(key, (scope.clone(), mode));
    }

    /// Takes the scope under a key out.
    pub fn remove(&mut self, key: &K) -> Option<(Scope, Mode)> {
        let (scope, mode) = self.held.remove(key)?;
        for bead in scope.beads() {
            if let Some(keys) = self.beads.get_mut(bead) {
                keys.remove(key);
                if keys.is_empty() {
                    self.beads.remove(bead);
                }
            }
        }
        let place = (scope.project(), mode);
        if let Some(trie) = self.tries.get_mut(&place) {
            scope.patterns().iter().for_each(|pattern| trie.remove(key, pattern.leading()));
            if trie.is_empty() {
                self.tries.remove(&place);
            }
        }
        Some((scope, mode))
    }

    /// Returns the scope under a key, and its mode.
    pub fn get(&self, key: &K) -> Option<(&Scope, Mode)> {
        self.held.get(key).map(|(scope, mode)| (scope, *mode))
    }

    /// Returns how many scopes there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns whether there is no scope.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns the keys of all scopes that clash with this one in modes that exclude each other.
    pub fn clashing(&self, scope: &Scope, mode: Mode) -> BTreeSet<&K> {
        let mut keys = BTreeSet::new();
        let _ = self.visit(scope, mode, &mut |key| {
            keys.insert(key);
            ControlFlow::Continue(())
        });
        keys
    }

    /// Returns the scopes that clash with this one in modes that exclude each other, each with a witness, by key.
    pub fn clashes<'a>(&'a self, scope: &'a Scope, mode: Mode) -> impl Iterator<Item = (&'a K, Witness)> + 'a {
        self.clashing(scope, mode).into_iter().map(|key| (key, self.witness(key, scope)))
    }

    /// Returns one of the scopes that clash with this one in modes that exclude each other, whichever is found first.
    pub fn first_clash(&self, scope: &Scope, mode: Mode) -> Option<(&K, Witness)> {
        let mut first = None;
        let _ = self.visit(scope, mode, &mut |key| {
            first = Some(key);
            ControlFlow::Break(())
        });
        first.map(|key| (key, self.witness(key, scope)))
    }

    /// Returns the keys of all scopes that cover a path of the project, given in any case and normal form.
    pub fn covering(&self, project: Option<ProjectId>, path: &str) -> BTreeSet<&K> {
        let folded = fold(path);
        let mut keys = BTreeSet::new();
        for mode in [Mode::Exclusive, Mode::Shared] {
            if let Some(trie) = self.tries.get(&(project, mode)) {
                trie.covering(&folded, &mut keys);
            }
        }
        keys
    }

    fn witness(&self, key: &K, scope: &Scope) -> Witness {
        let (held, _) = &self.held[key];
        scope.clash(held).expect("scopes whose patterns or beads meet clash")
    }

    /// Shows the keys of all clashing scopes, some of them several times.
    fn visit<'a>(
        &'a self,
        scope: &Scope,
        mode: Mode,
        found: &mut dyn FnMut(&'a K) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let holders = scope.beads().iter().filter_map(|bead| self.beads.get(bead)).flatten();
        for (key, _) in holders.filter(|(_, held)| held.excludes(mode)) {
            found(key)?;
        }
        for held in [Mode::Exclusive, Mode::Shared].into_iter().filter(|held| held.excludes(mode)) {
            let Some(trie) = self.tries.get(&(scope.project(), held)) else { continue };
            scope.patterns().iter().try_for_each(|pattern| trie.visit(pattern, found))?;
        }
        ControlFlow::Continue(())
    }
}

/// The patterns that start with the names on the way to here, and what lies below.
#[derive(Debug, Clone)]
struct Trie<K> {
    /// Patterns whose literal start ends here.
    parked: BTreeMap<K, Vec<Pattern>>,
    below: BTreeMap<String, Self>,
}

impl<K> Default for Trie<K> {
    fn default() -> Self {
        Self { parked: BTreeMap::new(), below: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Trie<K> {
    fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.below.is_empty()
    }

    fn insert(&mut self, key: &K, pattern: &Pattern) {
        let place = pattern.leading().fold(self, |at, name| at.below.entry(name.to_owned()).or_default());
        place.parked.entry(key.clone()).or_default().push(pattern.clone());
    }

    /// Takes what the key has at the end of the names out; no deeper than a pattern has segments.
    fn remove<'n>(&mut self, key: &K, mut names: impl Iterator<Item = &'n str>) {
        let Some(name) = names.next() else {
            self.parked.remove(key);
            return;
        };
        if let Some(below) = self.below.get_mut(name) {
            below.remove(key, names);
            if below.is_empty() {
                self.below.remove(name);
            }
        }
    }

    /// Shows the keys of all patterns that meet this one.
    fn visit<'a>(&'a self, pattern: &Pattern, found: &mut dyn FnMut(&'a K) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut at = self;
        for name in pattern.leading() {
            at.meeting(pattern, found)?;
            let Some(below) = at.below.get(name) else { return ControlFlow::Continue(()) };
            at = below;
        }
        // Not deeper than the longest pattern that was put in; each place is taken once.
        let mut open = vec![at];
        while let Some(place) = open.pop() {
            place.meeting(pattern, found)?;
            open.extend(place.below.values());
        }
        ControlFlow::Continue(())
    }

    fn meeting<'a>(&'a self, pattern: &Pattern, found: &mut dyn FnMut(&'a K) -> ControlFlow<()>) -> ControlFlow<()> {
        for (key, parked) in &self.parked {
            if parked.iter().any(|parked| parked.meets(pattern)) {
                found(key)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Gathers the keys of all patterns that match the path, given in the form that is compared.
    fn covering<'a>(&'a self, folded: &str, keys: &mut BTreeSet<&'a K>) {
        let mut names = folded.split('/');
        let mut next = Some(self);
        while let Some(at) = next {
            for (key, parked) in &at.parked {
                if parked.iter().any(|parked| parked.matches_folded(folded)) {
                    keys.insert(key);
                }
            }
            next = names.next().and_then(|name| at.below.get(name));
        }
    }
}

#[cfg(test)]
mod tests;
