//! The roster: who is in the mesh, with which role. A pure fold over the control entries, in whatever order they came.
//!
//! Control operations name the control heads their author saw; authority is judged at that causal position. Removal
//! and role changes come with their own issue; what is here already keeps their rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::entry::{Entry, Set};
use crate::id::{EntryId, MeshId, NodeId};
use crate::limits::CONTROL_HEADS_MAX;
use crate::op::{Op, Role};

/// Who is in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The mesh.
    pub mesh: MeshId,
    /// What people call the mesh.
    pub name: String,
    /// The node that founded the mesh and owns it.
    pub owner: NodeId,
    /// The public half of the recovery key.
    pub recovery: [u8; 32],
    /// The members, the owner included.
    pub members: BTreeMap<NodeId, Member>,
    /// Every node that any storable admission names, void or not: entries of these authors are storable.
    pub known: BTreeSet<NodeId>,
    /// Control entries that no other names as seen; the next control operation names these.
    pub heads: Vec<EntryId>,
    /// Control entries without effect, with the reason.
    pub void: BTreeMap<EntryId, VoidReason>,
}

/// One node of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Who let it in; the owner let itself in.
    pub admitted_by: NodeId,
    /// When it was let in.
    pub admitted_at: Timestamp,
    /// Where it says it can be reached, as multiaddresses.
    pub addresses: Vec<String>,
}

/// Why a control operation has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// Its author was no admin at the operation's causal position.
    #[error("its author was no admin then")]
    NoAuthority,
    /// It names a control entry that has not arrived.
    #[error("it rests on an entry that has not arrived")]
    MissingDependency,
}

/// A control entry with what the fold needs of it.
struct Vertex {
    id: EntryId,
    author: NodeId,
    hlc: Timestamp,
    ops: Vec<Op>,
    seen: BTreeSet<EntryId>,
}

/// The ancestors of a vertex as a bit set over vertex indices.
type Ancestors = Vec<u64>;

impl Roster {
    /// Folds the control entries of one mesh; `None` while the founding entry is not among them.
    pub fn fold<'a>(mesh: MeshId, entries: impl IntoIterator<Item = &'a Entry>) -> Option<Self> {
        let mut vertices: Vec<Vertex> =
            entries.into_iter().filter(|entry| entry.set() == Set::Control).map(Vertex::of).collect();
        vertices.sort_by_key(|vertex| (vertex.hlc, vertex.id));
        vertices.dedup_by_key(|vertex| vertex.id);
        let founding = vertices.iter().find(|vertex| MeshId::from(vertex.id) == mesh)?;
        let Some(Op::Found(found)) = founding.ops.first() else { return None };
        let mut roster = Self {
            mesh,
            name: found.name.clone(),
            owner: founding.author,
            recovery: found.recovery,
            members: BTreeMap::new(),
            known: BTreeSet::from([founding.author]),
            heads: Vec::new(),
            void: BTreeMap::new(),
        };
        let owner = Member {
            name: found.node_name.clone(),
            role: Role::Admin,
            admitted_by: founding.author,
            admitted_at: founding.hlc,
            addresses: Vec::new(),
        };
        roster.members.insert(founding.author, owner);
        roster.judge(&vertices);
        Some(roster)
    }

    /// Returns the role of a node, `None` for strangers.
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.members.get(&node).map(|member| member.role)
    }

    /// Returns whether what the node writes to the data set has effect.
    pub fn may_write(&self, node: NodeId) -> bool {
        self.role(node).is_some_and(|role| role >= Role::Member)
    }

    /// Returns the name shown for a node: its own, with the start of its id where two members share it.
    pub fn display_name(&self, node: NodeId) -> String {
        let Some(member) = self.members.get(&node) else { return node.short() };
        let shared = self.members.iter().any(|(id, other)| *id != node && other.name == member.name);
        if shared { format!("{}~{}", member.name, &node.to_string()[..4]) } else { member.name.clone() }
    }

    /// Walks the vertices in causal order and gives effect to what its author had authority for.
    fn judge(&mut self, vertices: &[Vertex]) {
        let (order, ancestors) = self.causal_order(vertices);
        let mut admissions: Vec<(usize, NodeId, Role)> = Vec::new();
        let mut latest: BTreeMap<(NodeId, Register), usize> = BTreeMap::new();
        for &index in &order {
            let vertex = &vertices[index];
            for op in &vertex.ops {
                match op {
                    Op::Admit(admit) if self.is_admin_at(vertex.author, &ancestors[index], &admissions) => {
                        admissions.push((index, admit.node, admit.role));
                        replace_latest(&mut latest, (admit.node, Register::Admission), index, vertices, &ancestors);
                    }
                    Op::Admit(_) => {
                        self.void.insert(vertex.id, VoidReason::NoAuthority);
                    }
                    Op::Node(_) => {
                        replace_latest(&mut latest, (vertex.author, Register::Facts), index, vertices, &ancestors);
                    }
                    Op::Found(_) | Op::Project(_) | Op::Bead(_) => {}
                }
            }
        }
        self.settle(vertices, &latest);
        let seen: BTreeSet<EntryId> = vertices.iter().flat_map(|vertex| vertex.seen.iter().copied()).collect();
        let heads = order.iter().map(|&index| vertices[index].id).filter(|id| !seen.contains(id));
        self.heads = heads.collect::<BTreeSet<_>>().into_iter().take(CONTROL_HEADS_MAX).collect();
    }

    /// Sets members to what the last operation on each of their registers says.
    fn settle(&mut self, vertices: &[Vertex], latest: &BTreeMap<(NodeId, Register), usize>) {
        for (&(node, register), &index) in latest {
            let vertex = &vertices[index];
            for op in &vertex.ops {
                match op {
                    Op::Admit(admit) if register == Register::Admission && admit.node == node && node != self.owner => {
                        let member = Member {
                            name: admit.name.clone(),
                            role: admit.role,
                            admitted_by: vertex.author,
                            admitted_at: vertex.hlc,
                            addresses: Vec::new(),
                        };
                        self.members.insert(node, member);
                    }
                    Op::Node(facts) if register == Register::Facts => {
                        if let Some(member) = self.members.get_mut(&node) {
                            member.name.clone_from(&facts.name);
                            member.addresses.clone_from(&facts.addresses);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Returns the vertices whose whole past is known, parents first, and the ancestors of each.
    fn causal_order(&mut self, vertices: &[Vertex]) -> (Vec<usize>, Vec<Ancestors>) {
        for vertex in vertices {
            self.known.extend(vertex.ops.iter().filter_map(|op| match op {
                Op::Admit(admit) => Some(admit.node),
                _ => None,
            }));
        }
        let index: BTreeMap<EntryId, usize> =
            vertices.iter().enumerate().map(|(index, vertex)| (vertex.id, index)).collect();
        let words = vertices.len().div_ceil(64);
        let mut ancestors = vec![Ancestors::new(); vertices.len()];
        let mut order = Vec::with_capacity(vertices.len());
        let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut parents_left: Vec<usize> = Vec::with_capacity(vertices.len());
        for (child, vertex) in vertices.iter().enumerate() {
            for parent in &vertex.seen {
                if let Some(&parent) = index.get(parent) {
                    children.entry(parent).or_default().push(child);
                }
            }
            // A parent that has not arrived is never counted down, so its descendants stay without effect.
            parents_left.push(vertex.seen.len());
        }
        let mut ready: BTreeSet<usize> = (0..vertices.len()).filter(|&vertex| parents_left[vertex] == 0).collect();
        while let Some(next) = ready.pop_first() {
            let mut past = vec![0; words];
            for parent in vertices[next].seen.iter().filter_map(|id| index.get(id)) {
                past.iter_mut().zip(&ancestors[*parent]).for_each(|(word, more)| *word |= more);
                past[parent / 64] |= 1 << (parent % 64);
            }
            ancestors[next] = past;
            order.push(next);
            for &child in children.get(&next).into_iter().flatten() {
                parents_left[child] -= 1;
                if parents_left[child] == 0 {
                    ready.insert(child);
                }
            }
        }
        let waiting = (0..vertices.len()).filter(|&vertex| parents_left[vertex] > 0);
        self.void.extend(waiting.map(|vertex| (vertices[vertex].id, VoidReason::MissingDependency)));
        (order, ancestors)
    }

    /// Returns whether the node was an admin as seen from a causal position.
    fn is_admin_at(&self, node: NodeId, past: &Ancestors, admissions: &[(usize, NodeId, Role)]) -> bool {
        let admitted = |&&(index, admitted, role): &&(usize, NodeId, Role)| {
            admitted == node && role == Role::Admin && contains(past, index)
        };
        node == self.owner || admissions.iter().any(|admission| admitted(&admission))
    }
}

/// What of a node a control operation sets; the last word on each counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Register {
    Admission,
    Facts,
}

impl Vertex {
    fn of(entry: &Entry) -> Self {
        let content = entry.content();
        let ops: Vec<Op> = content.ops.iter().filter_map(|raw| Op::decode(raw).ok()).collect();
        let seen = ops.iter().flat_map(|op| match op {
            Op::Admit(admit) => admit.seen.clone(),
            Op::Node(facts) => facts.seen.clone(),
            Op::Found(_) | Op::Project(_) | Op::Bead(_) => Vec::new(),
        });
        Self { id: entry.id(), author: content.author, hlc: content.hlc, seen: seen.collect(), ops }
    }
}

fn contains(past: &Ancestors, index: usize) -> bool {
    past.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
}

/// Makes `index` the last word on a register unless the present one has seen it, or is concurrent and later.
fn replace_latest(
    latest: &mut BTreeMap<(NodeId, Register), usize>,
    register: (NodeId, Register),
    index: usize,
    vertices: &[Vertex],
    ancestors: &[Ancestors],
) {
    let stamp = |index: usize| (vertices[index].hlc, vertices[index].id);
    let present = latest.entry(register).or_insert(index);
    let newer = contains(&ancestors[index], *present)
        || (!contains(&ancestors[*present], index) && stamp(index) > stamp(*present));
    if newer {
        *present = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Author, MeshFixture};

    #[test]
    fn the_founder_is_the_owner_and_the_first_member() {
        let mesh = MeshFixture::founded();
        let roster = mesh.roster();
        assert_eq!(roster.owner, mesh.founder.node());
        assert_eq!(roster.role(roster.owner), Some(Role::Admin));
        assert_eq!(roster.heads.len(), 1);
    }

    #[test]
    fn an_admission_by_an_admin_has_effect_and_one_by_a_member_has_none() {
        let mut mesh = MeshFixture::founded();
        let (bob, cid) = (Author::seeded(2), Author::seeded(3));
        mesh.admit(&mesh.founder.clone(), &bob, Role::Member);
        let void = mesh.admit(&bob, &cid, Role::Member);
        let roster = mesh.roster();
        assert_eq!(roster.role(bob.node()), Some(Role::Member));
        assert_eq!(roster.role(cid.node()), None);
        assert_eq!(roster.void.get(&void), Some(&VoidReason::NoAuthority));
        assert!(roster.known.contains(&cid.node()), "a void admission still makes its entries storable");
    }

    #[test]
    fn authority_is_judged_where_the_operation_stood() {
        let mut mesh = MeshFixture::founded();
        let (bob, cid) = (Author::seeded(2), Author::seeded(3));
        let before = mesh.roster().heads;
        mesh.admit(&mesh.founder.clone(), &bob, Role::Admin);
        mesh.admit_seeing(&bob, &cid, Role::Member, before);
        assert_eq!(mesh.roster().role(cid.node()), None, "bob had not seen his own admission");
        mesh.admit(&bob, &cid, Role::Member);
        assert_eq!(mesh.roster().role(cid.node()), Some(Role::Member));
    }

    #[test]
    fn an_operation_waits_for_what_it_saw() {
        let mut mesh = MeshFixture::founded();
        let (bob, cid) = (Author::seeded(2), Author::seeded(3));
        mesh.admit(&mesh.founder.clone(), &bob, Role::Admin);
        mesh.admit(&bob, &cid, Role::Member);
        let without_bob: Vec<&Entry> =
            mesh.entries.iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, entry)| entry).collect();
        let roster = Roster::fold(mesh.mesh, without_bob).unwrap();
        assert_eq!(roster.role(cid.node()), None);
        assert_eq!(roster.void.values().next(), Some(&VoidReason::MissingDependency));
    }

    #[test]
    fn the_last_word_goes_by_what_was_seen_before_clocks() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        mesh.facts(&founder, "later-clock", 2_000_000_000_000);
        mesh.facts(&founder, "saw-the-other", 1_000_000_000_000);
        assert_eq!(mesh.roster().members[&founder.node()].name, "saw-the-other");
    }

    #[test]
    fn the_fold_does_not_depend_on_order() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        for seed in 2..9 {
            let author = Author::seeded(seed);
            let role = if seed % 2 == 0 { Role::Admin } else { Role::Observer };
            mesh.admit(&founder, &author, role);
            mesh.facts(&author, "twin", 1_700_000_000_000 + u64::from(seed));
        }
        let forward = mesh.roster();
        mesh.entries.reverse();
        assert_eq!(mesh.roster(), forward);
        let name = forward.display_name(Author::seeded(2).node());
        assert!(name.starts_with("twin~"), "{name}");
    }
}
