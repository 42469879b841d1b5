//! The automerge document behind one bead: which changes have effect, and the state they fold to.
//!
//! Effect is a pure function of the set of changes, never of the order they came in. What the state means is said in
//! `view`, how edits become changes in `edit`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use automerge::{Automerge, ObjId, ReadDoc};

use super::actor::Actor;
use super::draft::{Object, Pred};
use super::genesis::{self, Container};
use super::intake::Change;
use crate::id::{BeadId, ChangeHash};

// Cloning one document is several times cheaper than applying genesis to an empty one.
static BLANK: LazyLock<Automerge> = LazyLock::new(|| {
    let mut doc = Automerge::new();
    doc.apply_changes(genesis::change().automerge()).expect("genesis is a constant that automerge accepts");
    doc
});

/// The objects of the containers, in the order of `Container::ALL`.
static OBJECTS: LazyLock<[ObjId; 8]> = LazyLock::new(|| {
    Container::ALL.map(|container| {
        let actor = automerge::ActorId::from(genesis::ACTOR.as_slice());
        ObjId::Id(container.counter(), actor, 0)
    })
});

/// A bead's document with every change that is known of it.
#[derive(Debug, Clone)]
pub struct Document {
    id: BeadId,
    pub(super) doc: Automerge,
    applied: BTreeMap<ChangeHash, Applied>,
    void: BTreeMap<ChangeHash, Void>,
    /// The lowest hash known of every actor and number, whether it has effect or not.
    slots: BTreeMap<(Actor, u64), ChangeHash>,
    pub(super) newest_time: u64,
}

/// What is kept of a change that has effect.
#[derive(Debug, Clone)]
struct Applied {
    deps: Box<[ChangeHash]>,
    max_op: u64,
}

/// What became of a change handed to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It has effect now.
    Applied,
    /// It had effect already.
    Duplicate,
    /// It waits for these dependencies; hand it in again when the first of them has effect or turns void.
    Waiting(Vec<ChangeHash>),
    /// It has no effect, for good.
    Void(Void),
    /// It takes effect away from that change; the document is unchanged and must be folded anew from all changes.
    Displaces(ChangeHash),
}

/// Why a change is without effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Void {
    /// Another change with this actor and number has a lower hash.
    #[error("actor and number are also those of {0}, whose hash is lower")]
    Twin(ChangeHash),
    /// It names no dependency and is not genesis.
    #[error("it does not build on genesis")]
    Rootless,
    /// It builds on a change that is void.
    #[error("it builds on {0}, which is void")]
    Dependency(ChangeHash),
    /// Its first operation is not numbered after the highest of its dependencies.
    #[error("its first operation is numbered {found}, {expected} is needed")]
    StartOp {
        /// The number found.
        found: u64,
        /// 1 + the highest operation of the dependencies.
        expected: u64,
    },
    /// The actor's change before it is not among those it builds on.
    #[error("its actor's change {0} is not among those it builds on")]
    Sequence(u64),
    /// It replaces an operation that did not stand at that key.
    #[error("it replaces operation {0}, which its dependencies do not show at that key")]
    Replaces(u64),
    /// Automerge refused it.
    #[error("automerge refused it")]
    Refused,
}

/// What a fold left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    /// The changes without effect.
    pub void: BTreeMap<ChangeHash, Void>,
    /// The changes that wait, with the dependencies that have no effect yet.
    pub waiting: BTreeMap<ChangeHash, Vec<ChangeHash>>,
}

impl Document {
    /// Returns the document of a bead about which nothing is known: genesis alone.
    pub fn new(id: BeadId) -> Self {
        let genesis = genesis::change();
        Self {
            id,
            doc: BLANK.clone(),
            applied: BTreeMap::from([(genesis.hash(), Applied { deps: Box::default(), max_op: genesis::MAX_OP })]),
            void: BTreeMap::new(),
            slots: BTreeMap::from([((genesis::ACTOR, 1), genesis.hash())]),
            newest_time: 0,
        }
    }

    /// Builds the document of a set of changes; their order does not matter.
    pub fn fold(id: BeadId, changes: impl IntoIterator<Item = Change>) -> (Self, Folded) {
        let mut document = Self::new(id);
        let changes: BTreeMap<ChangeHash, Change> = changes.into_iter().map(|change| (change.hash(), change)).collect();
        for change in changes.values().filter(|change| !change.deps().is_empty()) {
            let slot = document.slots.entry((change.actor(), change.seq())).or_insert(change.hash());
            *slot = (*slot).min(change.hash());
        }
        let mut folded = Folded::default();
        let mut waiters: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
        let mut ready: Vec<ChangeHash> = changes.keys().copied().rev().collect();
        while let Some(hash) = ready.pop() {
            let Some(change) = changes.get(&hash) else { continue };
            match document.receive(change) {
                Receipt::Waiting(missing) => {
                    // Under one dependency at a time: under all of them, a change would be woken exponentially often.
                    waiters.entry(missing[0]).or_default().push(hash);
                    folded.waiting.insert(hash, missing);
                    continue;
                }
                Receipt::Void(reason) => {
                    folded.void.insert(hash, reason);
                }
                Receipt::Applied | Receipt::Duplicate => {}
                Receipt::Displaces(_) => unreachable!("every slot was filled with its lowest hash"),
            }
            folded.waiting.remove(&hash);
            ready.extend(waiters.remove(&hash).unwrap_or_default());
        }
        (document, folded)
    }

    /// Takes in one change.
    pub fn receive(&mut self, change: &Change) -> Receipt {
        let hash = change.hash();
        if self.applied.contains_key(&hash) {
            return Receipt::Duplicate;
        }
        if let Some(reason) = self.void.get(&hash) {
            return Receipt::Void(*reason);
        }
        if change.deps().is_empty() {
            // It can not have effect anywhere, so it takes no other change's place.
            return self.refuse(hash, Void::Rootless);
        }
        let slot = (change.actor(), change.seq());
        match self.slots.get(&slot).copied() {
            Some(winner) if winner < hash => return self.refuse(hash, Void::Twin(winner)),
            Some(winner) if winner > hash => {
                if self.applied.contains_key(&winner) {
                    return Receipt::Displaces(winner);
                }
                self.void.insert(winner, Void::Twin(hash));
            }
            _ => {}
        }
        self.slots.insert(slot, hash);
        match self.judge(change) {
            Verdict::Effect => self.apply(change),
            Verdict::Wait(missing) => Receipt::Waiting(missing),
            Verdict::Void(reason) => self.refuse(hash, reason),
        }
    }

    /// Returns the bead this is the document of.
    pub const fn id(&self) -> BeadId {
        self.id
    }

    /// Returns the changes that no other builds on, sorted.
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.doc.get_heads().into_iter().map(|hash| ChangeHash::from_bytes(hash.0)).collect()
    }

    /// Returns the changes that have effect, genesis among them, in the order of their hashes.
    pub fn changes(&self) -> impl Iterator<Item = ChangeHash> {
        self.applied.keys().copied()
    }

    /// Returns whether a change has effect.
    pub fn contains(&self, change: &ChangeHash) -> bool {
        self.applied.contains_key(change)
    }

    /// Returns the heads, sorted, each with the counter of its last operation.
    pub(super) fn heads_with_max_op(&self) -> Vec<(ChangeHash, u64)> {
        let mut heads: Vec<_> = self.heads().into_iter().map(|hash| (hash, self.applied[&hash].max_op)).collect();
        heads.sort_unstable();
        heads
    }

    /// Returns the number that the actor's next change has, or nothing when that number was given already.
    pub(super) fn next_seq(&self, actor: Actor) -> Option<u64> {
        let mut slots = self.slots.range((actor, 0)..=(actor, u64::MAX)).rev();
        match slots.next() {
            None => Some(1),
            Some(((_, seq), hash)) => self.applied.contains_key(hash).then_some(seq + 1),
        }
    }

    /// Returns the operations that stand at a key, in automerge's order, the shown one last.
    pub(super) fn standing(&self, object: Object, key: &str) -> Vec<(automerge::Value<'_>, Pred)> {
        let standing = self.doc.get_all(object_id(object), key).expect("the root and the containers are maps");
        standing.into_iter().filter_map(|(value, id)| Some((value, pred_of(&id)?))).collect()
    }

    fn judge(&self, change: &Change) -> Verdict {
        if let Some(dep) = change.deps().iter().find(|dep| self.void.contains_key(dep)) {
            return Verdict::Void(Void::Dependency(*dep));
        }
        let missing: Vec<ChangeHash> =
            change.deps().iter().filter(|dep| !self.applied.contains_key(dep)).copied().collect();
        if !missing.is_empty() {
            return Verdict::Wait(missing);
        }
        let highest = change.deps().iter().map(|dep| self.applied[dep].max_op).max();
        let expected = 1 + highest.expect("a change that has effect has dependencies");
        if change.start_op() != expected {
            return Verdict::Void(Void::StartOp { found: change.start_op(), expected });
        }
        if change.seq() > 1 && !self.follows(change) {
            return Verdict::Void(Void::Sequence(change.seq() - 1));
        }
        match self.replaced_out_of_place(change) {
            Some(counter) => Verdict::Void(Void::Replaces(counter)),
            None => Verdict::Effect,
        }
    }

    /// Tells whether the actor's change before this one is among those it builds on.
    fn follows(&self, change: &Change) -> bool {
        let Some(before) = self.slots.get(&(change.actor(), change.seq() - 1)) else { return false };
        let Some(floor) = self.applied.get(before).map(|applied| applied.max_op) else { return false };
        let mut seen = std::collections::BTreeSet::new();
        let mut open: Vec<ChangeHash> = change.deps().to_vec();
        while let Some(hash) = open.pop() {
            if hash == *before {
                return true;
            }
            // Operation numbers never fall along dependencies, so nothing below the floor leads back to it.
            let applied = &self.applied[&hash];
            if applied.max_op >= floor && seen.insert(hash) {
                open.extend(applied.deps.iter());
            }
        }
        false
    }

    /// Returns the counter of the first operation that the change replaces although it did not stand there.
    fn replaced_out_of_place(&self, change: &Change) -> Option<u64> {
        if change.replaces().is_empty() {
            return None;
        }
        let deps: Vec<automerge::ChangeHash> =
            change.deps().iter().map(|dep| automerge::ChangeHash(*dep.as_bytes())).collect();
        let current = self.doc.get_heads() == deps;
        for replaced in change.replaces() {
            let object = object_id(replaced.object);
            let standing = if current {
                self.doc.get_all(object, replaced.key.as_str())
            } else {
                self.doc.get_all_at(object, replaced.key.as_str(), &deps)
            };
            let standing = standing.expect("the root and the containers are maps");
            let stands = |pred: &Pred| standing.iter().any(|(_, id)| pred_of(id).as_ref() == Some(pred));
            if let Some(pred) = replaced.preds.iter().find(|pred| !stands(pred)) {
                return Some(pred.counter);
            }
        }
        None
    }

    fn apply(&mut self, change: &Change) -> Receipt {
        let Some(inner) = change.automerge() else { return self.refuse(change.hash(), Void::Refused) };
        if self.doc.apply_changes([inner]).is_err() {
            return self.refuse(change.hash(), Void::Refused);
        }
        let applied = Applied { deps: change.deps().into(), max_op: change.max_op() };
        self.applied.insert(change.hash(), applied);
        self.newest_time = self.newest_time.max(change.time());
        Receipt::Applied
    }

    fn refuse(&mut self, hash: ChangeHash, reason: Void) -> Receipt {
        self.void.insert(hash, reason);
        Receipt::Void(reason)
    }
}

/// What the rules say of a change.
enum Verdict {
    Effect,
    Wait(Vec<ChangeHash>),
    Void(Void),
}

/// Returns the automerge object behind ours.
pub(super) fn object_id(object: Object) -> &'static ObjId {
    match object {
        Object::Root => &automerge::ROOT,
        Object::In(container) => &OBJECTS[container as usize - 1],
    }
}

/// Returns the operation that an automerge id names.
pub(super) fn pred_of(id: &ObjId) -> Option<Pred> {
    match id {
        ObjId::Root => None,
        ObjId::Id(counter, actor, _) => {
            Actor::from_slice(actor.to_bytes()).map(|actor| Pred { counter: *counter, actor })
        }
    }
}

#[cfg(test)]
mod tests;
