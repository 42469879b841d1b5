//! A document in memory, with the changes that wait for others.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use beadmesh_protocol::bead::Edit;
use beadmesh_protocol::bead::document::{Document, Receipt};
use beadmesh_protocol::bead::edit::EditError;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{BeadId, ChangeHash};
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::reconcile::Summary;

use super::changes::add;
use super::{BeadRecord, view_of};

/// Changes that may wait in memory; of a bead with more, all are folded again when one comes.
const WAITING_MAX: usize = 64;

/// Bytes of a bead's view from which on it is not stored but derived when it is asked for.
const VIEW_BYTES_MAX: usize = 64 * 1024;

/// A document in memory.
#[derive(Debug, Clone)]
pub(crate) struct Warm {
    pub(super) document: Document,
    /// The changes it was made from.
    set: Summary,
    /// What it shows, once that was asked for; nothing while no change has effect.
    shown: OnceLock<Option<Arc<Shown>>>,
    /// Changes that wait for others: where news takes several ways, they often come first.
    waiting: BTreeMap<ChangeHash, Change>,
    /// Whether changes are void, or too many wait, so that the next one needs a fold of all.
    unsettled: bool,
}

/// A bead's view and its stored form.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) record: BeadRecord,
    /// Empty where the view is too large to be stored.
    pub(super) value: Vec<u8>,
}

impl Shown {
    /// Encodes a view.
    pub(super) fn of(record: BeadRecord) -> Self {
        let mut value = postcard::to_stdvec(&record).expect("beads have a postcard form");
        if value.len() > VIEW_BYTES_MAX {
            // Nothing stands for a view that is derived when it is asked for.
            value.clear();
        }
        Self { record, value }
    }
}

impl Warm {
    /// Returns the document of a bead's changes.
    pub(super) fn fold(id: BeadId, changes: Vec<Change>) -> Self {
        let (document, folded) = Document::fold(id, changes.iter().cloned());
        let mut set = Summary::default();
        changes.iter().for_each(|change| add(&mut set, change.hash()));
        let unsettled = !folded.void.is_empty() || folded.waiting.len() > WAITING_MAX;
        let mut waiting = BTreeMap::new();
        if !unsettled {
            let kept = changes.into_iter().filter(|change| folded.waiting.contains_key(&change.hash()));
            waiting.extend(kept.map(|change| (change.hash(), change)));
        }
        Self { document, set, shown: OnceLock::new(), waiting, unsettled }
    }

    /// Returns what names the changes it was made from.
    pub(crate) fn set(&self) -> Summary {
        self.set
    }

    /// Returns what names them together with one more.
    pub(super) fn set_with(&self, change: &Change) -> Summary {
        let mut set = self.set;
        add(&mut set, change.hash());
        set
    }

    /// Returns the bead's view; `None` while genesis alone has effect, which says nothing: changes may all wait, or be
    /// void by now.
    pub(super) fn shown(&self) -> Option<Arc<Shown>> {
        let has_effect = || self.document.changes().nth(1).is_some();
        let shown = || has_effect().then(|| Arc::new(Shown::of(view_of(&self.document))));
        self.shown.get_or_init(shown).clone()
    }

    /// Returns whether some change may wait for that one.
    pub(super) fn may_await(&self, change: ChangeHash) -> bool {
        self.unsettled || self.waiting.values().any(|waiting| waiting.deps().contains(&change))
    }

    /// Edits the document; returns the changes that do it.
    pub(super) fn edit(&mut self, actor: [u8; 8], wall: Wall, edits: &[Edit]) -> Result<Vec<Change>, EditError> {
        let changes = self.document.edit(actor, wall, edits)?;
        self.shown.take();
        changes.iter().for_each(|change| add(&mut self.set, change.hash()));
        Ok(changes)
    }

    /// Takes in a change, and those that waited for it; returns whether the document is still what a fold would be.
    pub(super) fn receive(&mut self, change: &Change) -> bool {
        if self.unsettled {
            return false;
        }
        self.shown.take();
        self.set = self.set_with(change);
        match self.document.receive(change) {
            Receipt::Applied => {}
            Receipt::Waiting(_) if planted::is(Bug::WaitingForgotten) => return true,
            Receipt::Waiting(_) => {
                self.waiting.insert(change.hash(), change.clone());
                return self.waiting.len() <= WAITING_MAX;
            }
            Receipt::Duplicate | Receipt::Void(_) | Receipt::Displaces(_) => return false,
        }
        let mut again = true;
        while again {
            again = false;
            let held = std::mem::take(&mut self.waiting);
            for (hash, change) in held {
                match self.document.receive(&change) {
                    Receipt::Applied => again = true,
                    Receipt::Waiting(_) => {
                        self.waiting.insert(hash, change);
                    }
                    Receipt::Duplicate | Receipt::Void(_) | Receipt::Displaces(_) => return false,
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::bead::{Field, FieldValue};

    use super::*;

    const ID: BeadId = BeadId::from_bytes([7; 16]);

    fn chain(length: u8) -> Vec<Change> {
        let mut document = Document::new(ID);
        let edit = |number: u8| vec![Edit::Set(Field::Title, FieldValue::Text(format!("title {number}")))];
        let made = (0..length).flat_map(|number| document.edit([number; 8], Wall::default(), &edit(number)).unwrap());
        made.collect()
    }

    #[test]
    fn changes_that_come_before_what_they_rest_on_take_effect_after_it() {
        let changes = chain(6);
        let whole = Document::fold(ID, changes.clone()).0;
        let mut warm = Warm::fold(ID, vec![changes[2].clone()]);
        assert_eq!(warm.waiting.len(), 1);
        for place in [5, 4, 1, 3] {
            assert!(warm.receive(&changes[place]));
            assert_eq!(warm.document.bead().title, "");
        }
        assert!(warm.receive(&changes[0]));
        assert!(warm.waiting.is_empty());
        assert_eq!((warm.document.bead(), warm.document.heads()), (whole.bead(), whole.heads()));
    }

    #[test]
    fn more_than_may_wait_call_for_a_fold() {
        let changes = chain(u8::try_from(WAITING_MAX).unwrap() + 2);
        let mut warm = Warm::fold(ID, Vec::new());
        let kept: Vec<bool> = changes[1..].iter().rev().map(|change| warm.receive(change)).collect();
        assert!(kept[..WAITING_MAX].iter().all(|kept| *kept) && !kept[WAITING_MAX]);
        assert!(!Warm::fold(ID, changes[1..].to_vec()).receive(&changes[0]));
    }

    #[test]
    fn a_twin_of_a_change_that_waits_calls_for_a_fold() {
        let base = chain(1).remove(0);
        let after = |text: &str| {
            let mut document = Document::fold(ID, [base.clone()]).0;
            let edit = Edit::Set(Field::Title, FieldValue::Text(text.to_owned()));
            document.edit([9; 8], Wall::default(), &[edit]).unwrap().remove(0)
        };
        let mut twins = [after("one"), after("another")];
        twins.sort_by_key(Change::hash);
        let [lower, higher] = twins;
        let mut warm = Warm::fold(ID, Vec::new());
        assert!(warm.receive(&higher) && warm.receive(&lower));
        assert!(!warm.receive(&base));
    }
}
