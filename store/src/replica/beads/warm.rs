//! A document in memory, with the changes that wait for others.

use std::collections::BTreeMap;

use beadmesh_protocol::bead::document::{Document, Receipt};
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::id::{BeadId, ChangeHash};
use beadmesh_protocol::planted::{self, Bug};

/// Changes that may wait in memory; of a bead with more, all are folded again when one comes.
const WAITING_MAX: usize = 64;

/// A document in memory.
#[derive(Debug, Clone)]
pub(super) struct Warm {
    pub(super) document: Document,
    /// Changes that wait for others: where news takes several ways, they often come first.
    waiting: BTreeMap<ChangeHash, Change>,
    /// Whether changes are void, or too many wait, so that the next one needs a fold of all.
    unsettled: bool,
    /// When it was used last, counted in uses.
    pub(super) used: u64,
}

impl Warm {
    /// Returns the document of a bead's changes.
    pub(super) fn fold(id: BeadId, changes: Vec<Change>) -> Self {
        let (document, folded) = Document::fold(id, changes.iter().cloned());
        let unsettled = !folded.void.is_empty() || folded.waiting.len() > WAITING_MAX;
        let mut waiting = BTreeMap::new();
        if !unsettled {
            let kept = changes.into_iter().filter(|change| folded.waiting.contains_key(&change.hash()));
            waiting.extend(kept.map(|change| (change.hash(), change)));
        }
        Self { document, waiting, unsettled, used: 0 }
    }

    /// Takes in a change, and those that waited for it; returns whether the document is still what a fold would be.
    pub(super) fn receive(&mut self, change: &Change) -> bool {
        if self.unsettled {
            return false;
        }
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
    use beadmesh_protocol::bead::{Edit, Field, FieldValue};
    use beadmesh_protocol::clock::Wall;

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
