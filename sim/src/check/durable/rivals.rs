//! Which deeds may have undone another.
//!
//! Commands of one node are obeyed in the order they are asked. A deed that was answered before another was asked can
//! not have seen it, and automerge keeps what a change has not seen: the value that loses stands as a conflict, and of
//! a put and a removal of one item the put stays. What is left is a wish that found things as it wanted them and so
//! changed nothing: it is undone with the older change that it found.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::id::BeadId;

use super::super::Ending;
use crate::journal::{Deed, Effect, Fate};
use crate::workload;

/// What an effect is about: only effects on one topic of one bead can undo each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic<'a> {
    /// Status, date and reason of closing, which are written together.
    Closing,
    Field(&'a str),
    Label(&'a str),
    Scope(&'a str),
    Dep(BeadId),
}

impl<'a> Topic<'a> {
    fn of(effect: &'a Effect) -> Option<Self> {
        match effect {
            Effect::Created { .. } | Effect::Imported { .. } | Effect::Comment { .. } | Effect::Worked { .. } => None,
            Effect::Field { field: "status" | "closed_at" | "close_reason", .. } => Some(Self::Closing),
            Effect::Field { field, .. } => Some(Self::Field(field)),
            Effect::Label { label, .. } => Some(Self::Label(label)),
            Effect::Scope { pattern, .. } => Some(Self::Scope(pattern)),
            Effect::Dep { target, .. } => Some(Self::Dep(*target)),
        }
    }
}

/// Every effect of deeds that were done or may have been, by what it is about.
pub(super) struct Rivals<'a> {
    ending: &'a Ending<'a>,
    by_topic: BTreeMap<(BeadId, Topic<'a>), Vec<(usize, &'a Effect)>>,
    /// Beads whose creation is in the journal, with all that was set by it.
    created: BTreeSet<BeadId>,
    imported: BTreeSet<BeadId>,
    /// Beads that agents have claimed.
    worked: BTreeSet<BeadId>,
}

impl<'a> Rivals<'a> {
    pub(super) fn of(ending: &'a Ending<'a>) -> Self {
        let (by_topic, created, imported) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut rivals = Self { ending, by_topic, created, imported, worked: BTreeSet::new() };
        for (at, deed) in ending.journal.deeds.iter().enumerate() {
            if matches!(deed.fate, Fate::Refused(_)) || !ending.may_write(deed.node) {
                continue;
            }
            for effect in &deed.effects {
                match (effect, Topic::of(effect)) {
                    (Effect::Created { bead, .. }, _) => {
                        rivals.created.insert(*bead);
                    }
                    (Effect::Worked { bead }, _) => {
                        rivals.worked.insert(*bead);
                    }
                    (Effect::Imported { bead }, _) => {
                        rivals.imported.insert(*bead);
                    }
                    (_, Some(topic)) => rivals.by_topic.entry((effect.bead(), topic)).or_default().push((at, effect)),
                    (_, None) => {}
                }
            }
        }
        rivals
    }

    /// Returns whether an effect of an acknowledged deed may rightly not hold any more; the bead is there.
    pub(super) fn may_have_undone(&self, at: usize, effect: &Effect) -> bool {
        let bead = effect.bead();
        if self.ending.meddled.contains(&bead) {
            return true;
        }
        let Some(topic) = Topic::of(effect) else { return false };
        // An import sets every field and removes what the record lacks.
        if self.imported.contains(&bead) {
            return true;
        }
        if self.worked.contains(&bead) && matches!(topic, Topic::Closing | Topic::Field("assignee")) {
            return true;
        }
        let deed = self.deed(at);
        let others = || self.by_topic.get(&(bead, topic.clone())).into_iter().flatten();
        let others = || others().filter(|(other, _)| *other != at).map(|(other, theirs)| (self.deed(*other), *theirs));
        let rivals = others().filter(|(_, theirs)| opposes(effect, theirs));
        let mut may_change_nothing = None;
        for (other, _) in rivals {
            let is_same_store = other.node == deed.node && self.ending.is_steady(deed.node);
            if !is_before(other, deed, is_same_store) {
                return true;
            }
            if is_same_store {
                continue;
            }
            let undoes = match effect {
                // It may never have been seen here.
                Effect::Label { present: false, .. }
                | Effect::Scope { present: false, .. }
                | Effect::Dep { present: false, .. }
                // These are shown only beside the status that they were written with.
                | Effect::Field { field: "closed_at" | "close_reason", .. } => true,
                _ => *may_change_nothing.get_or_insert_with(|| self.may_change_nothing(deed, effect, others())),
            };
            if undoes {
                return true;
            }
        }
        false
    }

    /// Returns whether a deed may have found its effect there already, so that it wrote nothing.
    fn may_change_nothing<'b>(
        &self,
        deed: &Deed,
        effect: &Effect,
        others: impl Iterator<Item = (&'b Deed, &'b Effect)>,
    ) -> bool {
        let text = match effect {
            Effect::Field { value, .. } => value.as_deref(),
            Effect::Label { label, .. } => Some(label.as_str()),
            Effect::Scope { pattern, .. } => Some(pattern.as_str()),
            _ => None,
        };
        if text.is_some_and(|text| text.contains(&workload::mark(deed.wish))) {
            return false;
        }
        // Of a bead whose creation was never answered nobody knows what was set by it.
        let is_known = self.created.contains(&effect.bead());
        let Fate::Done(done_us) = deed.fate else { return true };
        !is_known
            || is_default(effect)
            || others.into_iter().any(|(other, theirs)| other.asked_us <= done_us && effect == theirs)
    }

    fn deed(&self, at: usize) -> &'a Deed {
        &self.ending.journal.deeds[at]
    }
}

/// Returns whether a deed was over, if it was done at all, when another was asked for.
fn is_before(other: &Deed, deed: &Deed, is_same_store: bool) -> bool {
    match other.fate {
        Fate::Done(done_us) => done_us < deed.asked_us || (is_same_store && other.asked_us < deed.asked_us),
        // It went down with its process, and the next one found what there was of it.
        Fate::Unknown => is_same_store && other.asked_us < deed.asked_us,
        Fate::Refused(_) => true,
    }
}

/// Returns whether one effect says something that the other can not be true beside.
fn opposes(effect: &Effect, theirs: &Effect) -> bool {
    match (effect, theirs) {
        (Effect::Field { field: "status", .. }, Effect::Field { field, .. }) if *field != "status" => false,
        (Effect::Field { .. }, Effect::Field { .. }) => effect != theirs,
        (Effect::Label { present, .. }, Effect::Label { present: theirs, .. })
        | (Effect::Scope { present, .. }, Effect::Scope { present: theirs, .. }) => present != theirs,
        (Effect::Dep { kind, present, .. }, Effect::Dep { kind: other, present: theirs, .. }) => {
            present != theirs && (kind.is_none() || other.is_none() || kind == other)
        }
        _ => false,
    }
}

/// Returns whether a bead is created so without a word.
fn is_default(effect: &Effect) -> bool {
    let Effect::Field { field, value, .. } = effect else { return false };
    let default = match *field {
        "status" => Some("open"),
        "priority" => Some("2"),
        "type" => Some("task"),
        _ => None,
    };
    value.as_deref() == default
}
