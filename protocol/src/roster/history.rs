//! The control entries of a mesh in their causal order: each after all that it names as seen.

use std::collections::{BTreeMap, BTreeSet};

use super::ownership::Ownership;
use crate::entry::{Entry, Set};
use crate::id::{EntryId, MeshId, NodeId};
use crate::op::{Naming, Op, Removal, Role};

/// Control entries and who saw what; entries are known here by their place among all, sorted by (hlc, id).
pub(super) struct History<'a> {
    vertices: Vec<Vertex<'a>>,
    /// The entries whose whole past is held, each after its past.
    order: Vec<usize>,
    /// Where each entry stands in `order`; `None` for those that wait.
    places: Vec<Option<usize>>,
}

/// A control entry with what the fold needs of it.
pub(super) struct Vertex<'a> {
    pub(super) entry: &'a Entry,
    /// What it does about nodes.
    pub(super) acts: Vec<Act<'a>>,
    /// Whom it makes the owner of the mesh.
    pub(super) ownership: Option<&'a Ownership>,
    /// Whether its author says something of itself.
    pub(super) is_facts: bool,
    /// The entries it names as seen, as far as they are held.
    pub(super) parents: Vec<usize>,
    /// Whether it names one that is not held.
    is_torn: bool,
}

/// What an operation does about a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act<'a> {
    /// Lets it in, or gives it another role.
    Grant(NodeId, Role),
    /// Takes it out, or leaves it in a lesser role.
    Take(&'a Removal),
    /// Gives it a name.
    Name(&'a Naming),
    /// Gives it the mesh.
    Own(&'a Ownership),
}

impl Act<'_> {
    /// Returns the node that it is about.
    pub(super) fn node(&self) -> NodeId {
        match self {
            Self::Grant(node, _) => *node,
            Self::Take(removal) => removal.node,
            Self::Name(naming) => naming.node,
            Self::Own(ownership) => ownership.node,
        }
    }
}

impl<'a> History<'a> {
    /// Puts the control entries among `entries` in order.
    pub(super) fn of(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut control: Vec<&Entry> = entries.into_iter().filter(|entry| entry.set() == Set::Control).collect();
        control.sort_by_key(|entry| (entry.content().hlc, entry.id()));
        control.dedup_by_key(|entry| entry.id());
        let index: BTreeMap<EntryId, usize> = control.iter().enumerate().map(|(at, entry)| (entry.id(), at)).collect();
        let vertices: Vec<Vertex<'_>> = control.into_iter().map(|entry| Vertex::of(entry, &index)).collect();
        let (order, places) = causal_order(&vertices);
        Self { vertices, order, places }
    }

    /// Returns the place of an entry.
    pub(super) fn find(&self, id: EntryId) -> Option<usize> {
        self.vertices.iter().position(|vertex| vertex.entry.id() == id)
    }

    pub(super) fn founding(&self, mesh: MeshId) -> Option<usize> {
        self.vertices.iter().position(|vertex| MeshId::from(vertex.entry.id()) == mesh)
    }

    pub(super) fn vertex(&self, at: usize) -> &Vertex<'a> {
        &self.vertices[at]
    }

    pub(super) fn vertices(&self) -> &[Vertex<'a>] {
        &self.vertices
    }

    /// Returns the entries whose whole past is held, each after its past.
    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Returns whether the whole past of an entry is held.
    pub(super) fn is_whole(&self, at: usize) -> bool {
        self.places[at].is_some()
    }

    /// Returns those that wait for entries in their past.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Vertex<'a>> {
        self.vertices.iter().zip(&self.places).filter(|(_, place)| place.is_none()).map(|(vertex, _)| vertex)
    }

    /// Returns which of `candidates` are in the past of an entry that does not wait; none of them waits either.
    pub(super) fn seen_of(&self, at: usize, candidates: &[usize]) -> BTreeSet<usize> {
        // What stands before the first candidate can not lead to one.
        let first = candidates.iter().map(|&candidate| self.places[candidate]).min().flatten();
        let mut past = BTreeSet::new();
        let mut open = vec![at];
        while let Some(next) = open.pop() {
            for &parent in &self.vertices[next].parents {
                if self.places[parent] >= first && past.insert(parent) {
                    open.push(parent);
                }
            }
        }
        candidates.iter().copied().filter(|candidate| past.contains(candidate)).collect()
    }

    /// Returns some entries and their pasts, in causal order.
    pub(super) fn past(&self, of: &[usize]) -> Vec<usize> {
        let mut past: BTreeSet<usize> = of.iter().copied().collect();
        let mut open = of.to_vec();
        while let Some(next) = open.pop() {
            open.extend(self.vertices[next].parents.iter().copied().filter(|&parent| past.insert(parent)));
        }
        let mut past: Vec<usize> = past.into_iter().collect();
        past.sort_by_key(|&at| self.places[at]);
        past
    }

    /// Returns which entries have one of some others in their past; those that wait have none.
    pub(super) fn after(&self, sources: &[usize]) -> Vec<bool> {
        let mut is_after = vec![false; self.vertices.len()];
        let mut is_source = is_after.clone();
        sources.iter().for_each(|&source| is_source[source] = true);
        for &at in &self.order {
            is_after[at] = self.vertices[at].parents.iter().any(|&parent| is_after[parent] || is_source[parent]);
        }
        is_after
    }

    /// Returns which entries are in the past of one.
    pub(super) fn before(&self, at: usize) -> Vec<bool> {
        let mut is_before = vec![false; self.vertices.len()];
        let mut open = vec![at];
        while let Some(next) = open.pop() {
            for &parent in &self.vertices[next].parents {
                if !std::mem::replace(&mut is_before[parent], true) {
                    open.push(parent);
                }
            }
        }
        is_before
    }

    /// Returns the head that `tips` names for an entry; one that nothing with authority has seen is its own.
    pub(super) fn tip(&self, at: usize, tips: &[Option<usize>]) -> &'a Entry {
        self.vertices[tips[at].unwrap_or(at)].entry
    }

    /// Returns where an entry stands among all whose whole past is held; others stand last.
    pub(super) fn place(&self, at: usize) -> usize {
        self.places[at].unwrap_or(usize::MAX)
    }
}

impl<'a> Vertex<'a> {
    fn of(entry: &'a Entry, index: &BTreeMap<EntryId, usize>) -> Self {
        let mut acts = Vec::new();
        let mut seen: BTreeSet<&EntryId> = BTreeSet::new();
        let (mut is_facts, mut ownership) = (false, None);
        for op in entry.control_ops() {
            match op {
                Op::Admit(admit) => {
                    acts.push(Act::Grant(admit.node, admit.role));
                    seen.extend(&admit.seen);
                }
                Op::Remove(removal) => {
                    acts.push(Act::Take(removal));
                    seen.extend(&removal.seen);
                }
                Op::Name(naming) => {
                    acts.push(Act::Name(naming));
                    seen.extend(&naming.seen);
                }
                // One entry gives the mesh away once.
                Op::Own(given) if ownership.is_none() => {
                    ownership = Some(given);
                    acts.push(Act::Own(given));
                    seen.extend(given.seen.iter().chain([&given.before]));
                }
                Op::Node(facts) => {
                    is_facts = true;
                    seen.extend(&facts.seen);
                }
                _ => {}
            }
        }
        if entry.is_founding() {
            // Nothing is before it, whatever it says.
            seen.clear();
        }
        let parents: Vec<usize> = seen.iter().filter_map(|&id| index.get(id).copied()).collect();
        let is_torn = parents.len() < seen.len();
        Self { entry, acts, ownership, is_facts, parents, is_torn }
    }

    pub(super) fn author(&self) -> NodeId {
        self.entry.content().author
    }
}

/// Returns the entries whose whole past is held, parents first, and where each entry stands among them.
fn causal_order(vertices: &[Vertex<'_>]) -> (Vec<usize>, Vec<Option<usize>>) {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); vertices.len()];
    for (child, vertex) in vertices.iter().enumerate() {
        vertex.parents.iter().for_each(|&parent| children[parent].push(child));
    }
    // A parent that has not arrived is never counted down, so its descendants wait.
    let mut parents_left: Vec<usize> =
        vertices.iter().map(|vertex| vertex.parents.len() + usize::from(vertex.is_torn)).collect();
    let mut order: Vec<usize> = (0..vertices.len()).filter(|&at| parents_left[at] == 0).collect();
    let mut next = 0;
    while let Some(&parent) = order.get(next) {
        next += 1;
        for &child in &children[parent] {
            parents_left[child] -= 1;
            if parents_left[child] == 0 {
                order.push(child);
            }
        }
    }
    let mut places = vec![None; vertices.len()];
    order.iter().enumerate().for_each(|(place, &at)| places[at] = Some(place));
    (order, places)
}
