//! The control entries of a mesh in their causal order: each after all that it names as seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::{Entry, Set};
use crate::id::{EntryId, MeshId, NodeId};
use crate::op::{Op, Role};

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
    /// Whom it lets in, and as what.
    pub(super) admits: Vec<(NodeId, Role)>,
    /// Whether its author says something of itself.
    pub(super) is_facts: bool,
    /// The entries it names as seen, as far as they are held.
    pub(super) parents: Vec<usize>,
    /// Whether it names one that is not held.
    is_torn: bool,
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

    /// Returns an entry's past and the entry, in causal order.
    pub(super) fn past(&self, at: usize) -> Vec<usize> {
        let mut past = BTreeSet::from([at]);
        let mut open = vec![at];
        while let Some(next) = open.pop() {
            open.extend(self.vertices[next].parents.iter().copied().filter(|&parent| past.insert(parent)));
        }
        let mut past: Vec<usize> = past.into_iter().collect();
        past.sort_by_key(|&at| self.places[at]);
        past
    }

    /// Numbers the nodes whose admissions may have effect: they write some, and a chain of them, causes aside, makes
    /// them admins. Admissions by nobody of these are void whatever they saw.
    pub(super) fn admitting(&self, owner: NodeId) -> BTreeMap<NodeId, usize> {
        let mut by_author: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for vertex in self.vertices.iter().filter(|vertex| !vertex.admits.is_empty()) {
            let admins = vertex.admits.iter().filter(|(_, role)| *role == Role::Admin).map(|(node, _)| *node);
            by_author.entry(vertex.author()).or_default().extend(admins);
        }
        let mut found = BTreeMap::new();
        let mut open = vec![owner];
        while let Some(author) = open.pop() {
            let Some(admins) = by_author.remove(&author) else { continue };
            found.insert(author, found.len());
            open.extend(admins);
        }
        found
    }
}

impl<'a> Vertex<'a> {
    fn of(entry: &'a Entry, index: &BTreeMap<EntryId, usize>) -> Self {
        let mut admits = Vec::new();
        let mut seen: BTreeSet<&EntryId> = BTreeSet::new();
        let mut is_facts = false;
        for op in entry.control_ops() {
            match op {
                Op::Admit(admit) => {
                    admits.push((admit.node, admit.role));
                    seen.extend(&admit.seen);
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
        Self { entry, admits, is_facts, parents, is_torn }
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
