//! The published rule as one table, and the graph against a plain reading of the rule.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Edge, Graph, Hold, Node};
use crate::bead::{Bead, Status, Target};
use crate::clock::Wall;
use crate::id::{BeadId, ProjectId};

const NOW: Wall = Wall::from_millis(1_000);
const LATER: Wall = Wall::from_millis(2_000);
const HERE: ProjectId = ProjectId::from_bytes([1; 16]);
const THERE: ProjectId = ProjectId::from_bytes([2; 16]);

fn id(number: u8) -> BeadId {
    BeadId::from_bytes([number; 16])
}

/// Returns an open bead whose alias is its letter, made at its number.
fn bead(letter: char) -> Node {
    let number = u8::try_from(letter).expect("an ASCII letter");
    Node {
        id: id(number),
        alias: letter.to_string(),
        project: Some(HERE),
        status: Status::Open,
        priority: 2,
        created_at: Wall::from_millis(u64::from(number)),
        is_marked: false,
        defer_until: None,
        deps: Vec::new(),
    }
}

impl Node {
    fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    fn until(mut self, date: Wall) -> Self {
        self.defer_until = Some(date);
        self
    }

    fn on(mut self, kind: &str, letter: char, made: u64) -> Self {
        let target = Target::Alias(letter.to_string());
        self.deps.push(Edge { kind: kind.to_owned(), target, created_at: Wall::from_millis(made) });
        self
    }

    fn blocks(self, letter: char) -> Self {
        self.on("blocks", letter, 0)
    }

    fn under(self, letter: char) -> Self {
        self.on("parent-child", letter, 0)
    }
}

fn graph(nodes: impl IntoIterator<Item = Node>) -> Graph {
    let mut graph = Graph::default();
    nodes.into_iter().for_each(|node| graph.upsert(node));
    graph
}

fn letters(ids: impl IntoIterator<Item = BeadId>) -> String {
    ids.into_iter().map(|id| char::from(id.as_bytes()[0])).collect()
}

#[test]
#[rustfmt::skip]
#[allow(clippy::too_many_lines, reason = "one row for each case of the published rule")]
fn the_published_rule_of_ready() {
    use Status::{Blocked, Closed, Custom, Deferred, Hooked, InProgress, Pinned, Tombstone};
    let [a, b, c] = ['a', 'b', 'c'].map(|letter| move || bead(letter));
    let rows: Vec<(&str, Vec<Node>, &str)> = vec![
        ("an open bead that depends on nothing is ready", vec![a()], "a"),
        ("only the status open is ready", [InProgress, Blocked, Hooked, Pinned, Deferred, Closed, Tombstone, Custom("triage".to_owned())].into_iter().zip('a'..).map(|(status, letter)| bead(letter).status(status)).collect(), ""),
        ("a bead waits for what blocks it", vec![a().blocks('b'), b()], "b"),
        ("a blocker in progress blocks", vec![a().blocks('b'), b().status(InProgress)], ""),
        ("a deferred blocker blocks", vec![a().blocks('b'), b().status(Deferred)], ""),
        ("a blocker of a custom status blocks", vec![a().blocks('b'), b().status(Custom("triage".to_owned()))], ""),
        ("a pinned blocker blocks", vec![a().blocks('b'), b().status(Pinned)], ""),
        ("a closed blocker does not block", vec![a().blocks('b'), b().status(Closed)], "a"),
        ("a deleted blocker does not block", vec![a().blocks('b'), b().status(Tombstone)], "a"),
        ("a missing blocker does not block", vec![a().blocks('z')], "a"),
        ("one open blocker among closed ones blocks", vec![a().blocks('b').blocks('c'), b().status(Closed), c()], "c"),
        ("blocking goes one step: a ready blocker of a blocker is ready", vec![a().blocks('b'), b().blocks('c'), c()], "c"),
        ("waits-for and conditional-blocks block too", vec![a().on("waits-for", 'c', 0), b().on("conditional-blocks", 'c', 0), c()], "c"),
        ("other types do not block", vec![a().on("related", 'c', 0).on("discovered-from", 'c', 0).on("replies-to", 'c', 0).on("x", 'c', 0), c().status(InProgress)], "a"),
        ("an open parent does not block its child", vec![a().under('b'), b()], "ab"),
        ("an open child does not block its parent", vec![a(), b().under('a')], "ab"),
        ("a child waits with a parent that is blocked by a bead", vec![a().under('b'), b().blocks('c'), c()], "c"),
        ("a child waits with a parent whose status is blocked", vec![a().under('b'), b().status(Blocked)], ""),
        ("a child waits with a deferred parent", vec![a().under('b'), b().status(Deferred)], ""),
        ("a child waits with a grandparent", vec![a().under('b'), b().under('c'), c().status(Deferred)], ""),
        ("a child does not wait with a parent in progress", vec![a().under('b'), b().status(InProgress)], "a"),
        ("a closed parent holds nobody up, even with an open blocker", vec![a().under('b'), b().blocks('c').status(Closed), c()], "ac"),
        ("a deferred grandparent holds through a closed parent", vec![a().under('b'), b().under('c').status(Closed), c().status(Deferred)], ""),
        ("a deleted parent is no parent", vec![a().under('b'), b().under('c').status(Tombstone), c().status(Deferred)], "a"),
        ("a missing parent is no parent", vec![a().under('z')], "a"),
        ("two parents: one that is held up is enough", vec![a().under('b').under('c'), b(), c().status(Blocked)], "b"),
        ("a date ahead puts a bead off", vec![a().until(LATER)], ""),
        ("a date that has come does not", vec![a().until(NOW)], "a"),
        ("a date ahead puts children off", vec![a().under('b'), b().until(LATER)], ""),
        ("a closed parent's date puts nobody off", vec![a().under('b'), b().until(LATER).status(Closed)], "a"),
        ("a marked bead is not ready", vec![Node { is_marked: true, ..a() }], ""),
        ("a marked parent does not hold its child", vec![a().under('b'), Node { is_marked: true, ..b() }], "a"),
        ("the most urgent comes first, then the oldest", vec![a(), b(), Node { priority: 0, ..c() }], "cab"),
        ("in a cycle the youngest edge is ignored", vec![a().on("blocks", 'b', 1), b().on("blocks", 'a', 2)], "b"),
        ("a bead that blocks itself is not held up", vec![a().blocks('a')], "a"),
        ("a cycle through a parent counts as one", vec![a().on("parent-child", 'b', 1), b().on("blocks", 'a', 2)], "ab"),
        ("of two equal dates the higher source is ignored", vec![a().on("blocks", 'b', 1), b().on("blocks", 'a', 1)], "b"),
        ("the edge kept out by a cycle counts once the cycle is broken", vec![a().on("blocks", 'b', 1).status(Tombstone), b().on("blocks", 'a', 2), c().blocks('b')], "b"),
    ];
    for (rule, nodes, expected) in rows {
        assert_eq!(letters(graph(nodes.clone()).ready(None, NOW)), expected, "{rule}");
        assert_eq!(graph(nodes.clone()).ready_count(NOW), expected.len(), "{rule}");
        assert_eq!(letters(graph(nodes.into_iter().rev()).ready(None, NOW)), expected, "{rule}, the other way round");
    }
}

#[test]
fn a_change_moves_readiness_at_once() {
    let mut graph = graph([bead('a').blocks('b'), bead('b'), bead('c').under('a')]);
    assert_eq!(letters(graph.ready(None, NOW)), "b");
    graph.upsert(bead('b').status(Status::Closed));
    assert_eq!(letters(graph.ready(None, NOW)), "ac");
    graph.remove(id(b'b'));
    assert_eq!(letters(graph.ready(None, NOW)), "ac");
    graph.upsert(bead('b'));
    assert_eq!(letters(graph.ready(None, NOW)), "b");
    graph.upsert(bead('a').until(LATER));
    assert_eq!(letters(graph.ready(None, NOW)), "b");
    assert_eq!(letters(graph.ready(None, LATER)), "abc");
    assert!(graph.is_ready(id(b'c'), LATER) && !graph.is_ready(id(b'c'), NOW));
}

#[test]
fn what_holds_a_bead_up_is_named() {
    let graph = graph([
        bead('a').blocks('b'),
        bead('b'),
        bead('c').under('a').on("waits-for", 'b', 0),
        bead('d').status(Status::Blocked),
        bead('e').status(Status::InProgress).blocks('b'),
    ]);
    let held: Vec<_> = graph.blocked(None).map(|(bead, holds)| (letters([bead]), holds)).collect();
    let b = id(b'b');
    assert_eq!(
        held,
        [
            ("a".to_owned(), vec![Hold::Blocker { bead: b, kind: "blocks" }]),
            ("c".to_owned(), vec![Hold::Blocker { bead: b, kind: "waits-for" }, Hold::Ancestor(id(b'a'))]),
            ("d".to_owned(), vec![Hold::Status]),
            ("e".to_owned(), vec![Hold::Blocker { bead: b, kind: "blocks" }]),
        ]
    );
    assert_eq!(graph.blockers(id(b'a')), [(b, "blocks")]);
    assert_eq!(letters(graph.children(id(b'a'))), "c");
    assert_eq!(graph.parent(id(b'c')), Some(id(b'a')));
    assert_eq!(graph.dependents(b).len(), 3);
}

#[test]
fn a_cycle_is_foretold_with_its_path_and_reported_once_there() {
    let mut graph = graph([bead('a').blocks('b'), bead('b').blocks('c'), bead('c')]);
    let cycle = graph.would_cycle(id(b'c'), id(b'a'), "parent-child");
    assert_eq!(cycle.map(letters).as_deref(), Some("cabc"));
    assert_eq!(graph.would_cycle(id(b'c'), id(b'a'), "related"), None);
    assert_eq!(graph.would_cycle(id(b'a'), id(b'c'), "blocks"), None);
    assert_eq!(graph.would_cycle(id(b'z'), id(b'z'), "blocks").map(letters).as_deref(), Some("zz"));
    graph.upsert(bead('c').on("blocks", 'a', 5));
    assert_eq!(graph.ignored_edges(), BTreeSet::from([(id(b'c'), "blocks", id(b'a'))]));
    assert_eq!(letters(graph.ready(None, NOW)), "c");
    graph.upsert(bead('b'));
    assert!(graph.ignored_edges().is_empty());
    assert_eq!(letters(graph.ready(None, NOW)), "b");
}

#[test]
fn an_alias_means_the_bead_of_the_same_project_else_the_oldest() {
    let twin = |letter, project| Node { alias: "x".to_owned(), project, ..bead(letter) };
    let mut graph = graph([bead('a'), twin('b', Some(THERE)), twin('c', Some(HERE)), twin('d', None)]);
    let resolve = |graph: &Graph, text: &str| graph.resolve(&Target::parse(text), id(b'a')).map(|id| letters([id]));
    assert_eq!(resolve(&graph, "x").as_deref(), Some("c"));
    graph.remove(id(b'c'));
    assert_eq!(resolve(&graph, "x").as_deref(), Some("b"));
    let suffix = &id(b'd').to_string()[..4];
    assert_eq!(resolve(&graph, &format!("x~{suffix}")).as_deref(), Some("d"));
    assert_eq!(resolve(&graph, &format!("bead:{}", id(b'd'))).as_deref(), Some("d"));
    assert_eq!(resolve(&graph, "y"), None);
}

#[test]
fn beads_of_one_age_go_by_alias() {
    let named = |letter, alias: &str| Node { alias: alias.to_owned(), created_at: NOW, ..bead(letter) };
    let mut graph = graph([named('a', "x-3"), named('b', "x-1"), named('c', "x-2")]);
    assert_eq!(letters(graph.ready(None, NOW)), "bca");
    graph.upsert(named('b', "x-4"));
    assert_eq!(letters(graph.ready(Some(HERE), NOW)), "cab");
    graph.upsert(bead('d'));
    graph.upsert(named('a', "x-3").under('d'));
    graph.upsert(named('c', "x-2").under('d'));
    assert_eq!(letters(graph.children(id(b'd'))), "ca");
}

#[test]
fn a_list_goes_on_after_a_bead_that_has_left_it() {
    let mut graph = graph([bead('a'), bead('b'), bead('c'), bead('d').blocks('a'), bead('e').blocks('a')]);
    let ready = |graph: &Graph, after| letters(graph.ready_after(Some(HERE), Some(id(after)), NOW));
    let blocked = |graph: &Graph, after| letters(graph.blocked_after(None, Some(id(after))));
    assert_eq!((ready(&graph, b'a'), blocked(&graph, b'd')), ("bc".to_owned(), "e".to_owned()));
    graph.upsert(bead('b').status(Status::Closed));
    graph.upsert(bead('d').status(Status::Closed));
    assert_eq!((ready(&graph, b'b'), blocked(&graph, b'd')), ("c".to_owned(), "e".to_owned()));
    graph.remove(id(b'b'));
    assert_eq!(ready(&graph, b'b'), "", "nobody knows where that was");
}

#[test]
fn one_project_is_listed_by_itself() {
    let graph = graph([bead('a'), Node { project: Some(THERE), ..bead('b') }, Node { project: None, ..bead('c') }]);
    assert_eq!(letters(graph.ready(Some(THERE), NOW)), "b");
    assert_eq!(letters(graph.ready(None, NOW)), "abc");
}

#[test]
fn a_node_takes_marks_and_dates_from_its_bead() {
    let mut bead = Bead::new(id(1), "x".to_owned(), "t".to_owned());
    assert_eq!(Node::of(&bead).created_at, Wall::from_millis(u64::MAX));
    bead.extra.insert("ephemeral".to_owned(), "false".to_owned());
    assert!(!Node::of(&bead).is_marked);
    bead.extra.insert("is_template".to_owned(), "true".to_owned());
    bead.defer_until = Some("1970-01-01T00:00:02Z".to_owned());
    let node = Node::of(&bead);
    assert!(node.is_marked);
    assert_eq!(node.defer_until, Some(LATER));
    bead.defer_until = Some("1970-01-02".to_owned());
    assert_eq!(Node::of(&bead).defer_until, Some(Wall::from_millis(86_400_000)));
}

/// The rule read plainly over the whole set, for comparison.
struct Plain {
    nodes: BTreeMap<BeadId, Node>,
    counted: Vec<(BeadId, String, BeadId)>,
    ignored: BTreeSet<(BeadId, String, BeadId)>,
}

impl Plain {
    fn new(nodes: BTreeMap<BeadId, Node>) -> Self {
        let mut edges = Vec::new();
        for node in nodes.values().filter(|node| node.status != Status::Tombstone) {
            for dep in &node.deps {
                let found = resolve(&nodes, &dep.target, node.project);
                let Some(target) = found.filter(|id| nodes[id].status != Status::Tombstone) else { continue };
                if ["blocks", "waits-for", "conditional-blocks", "parent-child"].contains(&dep.kind.as_str()) {
                    edges.push((dep.created_at, node.id, dep.kind.clone(), dep.target.clone(), target));
                }
            }
        }
        edges.sort();
        let mut plain = Self { nodes, counted: Vec::new(), ignored: BTreeSet::new() };
        for (_, source, kind, _, target) in edges {
            if plain.leads(target, source) {
                plain.ignored.insert((source, kind, target));
            } else {
                plain.counted.push((source, kind, target));
            }
        }
        plain
    }

    fn leads(&self, from: BeadId, to: BeadId) -> bool {
        let mut seen = BTreeSet::from([from]);
        loop {
            let new = self.counted.iter().filter(|edge| seen.contains(&edge.0)).map(|edge| edge.2);
            let new: Vec<_> = new.filter(|id| !seen.contains(id)).collect();
            if new.is_empty() {
                return seen.contains(&to);
            }
            seen.extend(new);
        }
    }

    fn is_blocked(&self, id: BeadId) -> bool {
        let blocks = |edge: &&(BeadId, String, BeadId)| edge.0 == id && edge.1 != "parent-child";
        self.counted.iter().filter(blocks).any(|edge| !self.nodes[&edge.2].status.is_done())
    }

    fn is_deferred(&self, id: BeadId, now: Wall) -> bool {
        let node = &self.nodes[&id];
        node.status == Status::Deferred || node.defer_until.is_some_and(|date| date > now)
    }

    fn is_under_held(&self, id: BeadId, now: Wall) -> bool {
        let parents = self.counted.iter().filter(|edge| edge.0 == id && edge.1 == "parent-child");
        parents.map(|edge| edge.2).any(|parent| {
            let node = &self.nodes[&parent];
            let held = self.is_blocked(parent) || self.is_deferred(parent, now) || node.status == Status::Blocked;
            (held && !node.status.is_done()) || self.is_under_held(parent, now)
        })
    }

    fn ready(&self, project: Option<ProjectId>, now: Wall) -> Vec<BeadId> {
        let ready = self.nodes.values().filter(|node| {
            node.status == Status::Open
                && !node.is_marked
                && (project.is_none() || node.project == project)
                && !self.is_deferred(node.id, now)
                && !self.is_blocked(node.id)
                && !self.is_under_held(node.id, now)
        });
        let mut ready: Vec<_> = ready.map(|node| (node.priority, node.created_at, &node.alias, node.id)).collect();
        ready.sort();
        ready.into_iter().map(|(.., id)| id).collect()
    }
}

fn resolve(nodes: &BTreeMap<BeadId, Node>, target: &Target, project: Option<ProjectId>) -> Option<BeadId> {
    match target {
        Target::Id(id) => nodes.contains_key(id).then_some(*id),
        Target::Alias(text) => {
            let (alias, suffix) = crate::alias::split(text);
            let bearers = nodes.values().filter(|node| node.alias == alias);
            let fitting = bearers.filter(|node| suffix.is_none_or(|start| node.id.to_string().starts_with(start)));
            fitting.map(|node| (node.project != project, node.created_at, node.id)).min().map(|(_, _, id)| id)
        }
    }
}

fn any_node() -> impl Strategy<Value = Node> {
    let status = prop::sample::select(vec![
        Status::Open,
        Status::Open,
        Status::Open,
        Status::InProgress,
        Status::Blocked,
        Status::Deferred,
        Status::Closed,
        Status::Tombstone,
    ]);
    let kind = prop::sample::select(vec!["blocks", "blocks", "waits-for", "parent-child", "parent-child", "related"]);
    let target = prop_oneof![
        (0..9_u8).prop_map(|number| Target::Id(id(number))),
        (0..6_u8).prop_map(|number| Target::Alias(format!("n{number}"))),
        (0..6_u8, 0..9_u8)
            .prop_map(|(number, bearer)| Target::Alias(format!("n{number}~{}", &id(bearer).to_string()[..4]))),
    ];
    let dep = (kind, target, 0..4_u64).prop_map(|(kind, target, made)| Edge {
        kind: kind.to_owned(),
        target,
        created_at: Wall::from_millis(made),
    });
    let project = prop::sample::select(vec![None, Some(HERE), Some(THERE)]);
    let date = prop::option::weighted(0.2, prop::sample::select(vec![NOW, LATER]));
    let scalars = (0..8_u8, 0..6_u8, project, status, 0..3_u8, 0..4_u64, prop::bool::weighted(0.1), date);
    (scalars, prop::collection::vec(dep, 0..4)).prop_map(|(scalars, deps)| {
        let (number, name, project, status, priority, made, is_marked, defer_until) = scalars;
        Node {
            id: id(number),
            alias: format!("n{name}"),
            project,
            status,
            priority,
            created_at: Wall::from_millis(made),
            is_marked,
            defer_until,
            deps,
        }
    })
}

/// Returns the first node with its duplicates of one edge merged as the graph merges them.
fn merged(mut node: Node) -> Node {
    node.sort_deps();
    node
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_history_gives_what_the_set_of_beads_gives(
        steps in prop::collection::vec((any_node(), prop::bool::weighted(0.15)), 0..24)
    ) {
        let mut graph = Graph::default();
        let mut nodes = BTreeMap::new();
        for (node, is_removal) in steps {
            if is_removal {
                graph.remove(node.id);
                nodes.remove(&node.id);
            } else {
                graph.upsert(node.clone());
                nodes.insert(node.id, merged(node));
            }
        }
        let plain = Plain::new(nodes);
        let ignored = graph.ignored_edges();
        let ignored: BTreeSet<_> = ignored.into_iter().map(|(source, kind, target)| (source, kind.to_owned(), target)).collect();
        prop_assert_eq!(ignored, plain.ignored.clone());
        for now in [NOW, LATER] {
            for project in [None, Some(HERE), Some(THERE)] {
                prop_assert_eq!(graph.ready(project, now).collect::<Vec<_>>(), plain.ready(project, now));
            }
        }
        for id in plain.nodes.keys() {
            prop_assert_eq!(!graph.blockers(*id).is_empty(), plain.is_blocked(*id));
        }
        prop_assert_eq!(graph.len(), plain.nodes.len());
        for id in plain.nodes.keys() {
            graph.remove(*id);
        }
        prop_assert!(graph.by_id.is_empty() && graph.deferred.is_empty(), "nothing is left behind");
    }
}
