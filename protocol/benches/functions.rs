//! What single functions cost: `cargo bench -p beadmesh-protocol`. Budgets of the whole are in the system bench.

use std::hint::black_box;

use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Bead, Edit, Field, FieldValue};
use beadmesh_protocol::clock::{Timestamp, Wall};
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::graph::{Graph, Node};
use beadmesh_protocol::id::{BeadId, EntryId, MeshId};
use beadmesh_protocol::jsonl::Record;
use beadmesh_protocol::op::{Admit, BeadChange, NodeFacts, Op, ProjectKeys, Role};
use beadmesh_protocol::reconcile::{Initiator, Key, Responder, Snapshot, Step};
use beadmesh_protocol::roster::Roster;
use beadmesh_protocol::scope::{Index, Mode, Pattern, Scope};
use beadmesh_protocol::testing::{Author, MeshFixture};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const AT: Wall = Wall::from_millis(1_780_000_000_000);

/// One record of the mean size of real ones, 930 bytes.
fn line() -> String {
    format!(
        r#"{{"id":"bm-1","title":"Make the part do what its page says","description":"{}","status":"open","priority":2,
        "issue_type":"task","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T00:00:00Z","labels":["area-1"],
        "dependencies":[{{"issue_id":"bm-1","depends_on_id":"bm-0","type":"blocks"}}]}}"#,
        "so that views stay equal on every node ".repeat(16)
    )
    .replace('\n', "")
}

fn record() -> Bead {
    Record::parse(&line(), None).expect("the line is a record").bead
}

fn beads(c: &mut Criterion) {
    let (line, bead) = (line(), record());
    let change = import_change(&bead).expect("within limits").remove(0);
    let wire = change.to_wire().to_vec();
    let (document, _) = Document::fold(bead.id, [change.clone()]);
    c.bench_function("bead/parse a record", |b| b.iter(|| Record::parse(black_box(&line), None)));
    c.bench_function("bead/make an import change", |b| b.iter(|| import_change(black_box(&bead))));
    c.bench_function("bead/take in a change", |b| b.iter(|| Change::from_wire(black_box(&wire))));
    c.bench_function("bead/view of a first change", |b| b.iter(|| Bead::of_first(bead.id, black_box(&change))));
    c.bench_function("bead/document of a change", |b| b.iter(|| Document::fold(bead.id, [change.clone()])));
    c.bench_function("bead/view of a document", |b| b.iter(|| black_box(&document).bead()));
    c.bench_function("bead/edit a field", |b| {
        let edits = [Edit::Set(Field::Status, FieldValue::Text("in_progress".into()))];
        b.iter_batched_ref(|| document.clone(), |document| document.edit([7; 8], AT, &edits), BatchSize::SmallInput);
    });
}

fn entries(c: &mut Criterion) {
    let (author, mesh) = (Author::seeded(1), MeshId::from_bytes([6; 32]));
    let change = import_change(&record()).expect("within limits").remove(0);
    let op = Op::Bead(BeadChange { bead: BeadId::from_bytes([5; 16]), change: change.to_wire().to_vec() });
    let sealed = author.entry(mesh, 1, AT, std::slice::from_ref(&op)).seal();
    c.bench_function("entry/sign", |b| b.iter(|| author.entry(mesh, 1, AT, std::slice::from_ref(&op))));
    c.bench_function("entry/open and verify", |b| b.iter(|| Entry::open(mesh, black_box(sealed.clone()))));
}

/// Keys of that many entries, a second apart.
fn keys(count: u64) -> Vec<Key> {
    let id = |at: u64| EntryId::from_bytes(*blake3::hash(&at.to_le_bytes()).as_bytes());
    (0..count).map(|at| Key::new(Timestamp::from_wall(Wall::from_millis(at * 1_000)), id(at))).collect()
}

fn reconcile(c: &mut Criterion) {
    const HELD: u64 = 100_000;
    let ours = Snapshot::new(keys(HELD - 1_000));
    let theirs = Snapshot::new(keys(HELD));
    c.bench_function("reconcile/the newest 1,000 of 100,000", |b| {
        b.iter(|| {
            let (mut initiator, mut message) = Initiator::begin(ours.clone()).expect("sorted keys");
            let mut responder = Responder::new(theirs.clone()).expect("sorted keys");
            loop {
                let answer = responder.step(&message).expect("our own message");
                match initiator.step(&answer).expect("our own answer") {
                    Step::Continue(next) => message = next,
                    Step::Done(difference) => break assert_eq!(difference.need.len(), 1_000),
                }
            }
        });
    });
}

fn graph(c: &mut Criterion) {
    const BEADS: u32 = 10_000;
    let node = |at: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&at.to_be_bytes());
        let mut bead = Bead::new(BeadId::from_bytes(id), format!("bm-{at}"), "a part".into());
        bead.created_at = Some("2026-01-01T00:00:00Z".into());
        Node::of(&bead)
    };
    let mut graph = Graph::default();
    (0..BEADS).for_each(|at| graph.upsert(node(at)));
    c.bench_function("graph/change one of 10,000", |b| b.iter(|| graph.upsert(node(black_box(77)))));
    c.bench_function("graph/a page of 50 ready", |b| b.iter(|| graph.ready(None, AT).take(50).count()));
}

fn scopes(c: &mut Criterion) {
    let pattern = Pattern::parse("src/{store,net}/**/*.rs").expect("a pattern");
    c.bench_function("scope/parse", |b| b.iter(|| Pattern::parse(black_box("src/{store,net}/**/*.rs"))));
    c.bench_function("scope/match a path", |b| {
        b.iter(|| pattern.iter().any(|pattern| pattern.matches(black_box("src/net/streams/handler.rs"))));
    });
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern").remove(0)
}

/// Pairs of patterns: usual ones, and the most expensive that the limits allow.
fn intersections(c: &mut Criterion) {
    let stars = "a*".repeat(100);
    let depths = |end: &str| format!("[{end}]/{}**", "**/a*/".repeat(14));
    let brackets = "[!b-c]*".repeat(34);
    for (name, ours, theirs) in [
        ("two files", "src/store/keys.rs".to_owned(), "src/store/kv.rs".to_owned()),
        ("a tree and an ending", "crates/store/**".to_owned(), "**/*.rs".to_owned()),
        ("a prefix and a suffix", "src/b*.rs".to_owned(), "src/*a.rs".to_owned()),
        ("200 characters of stars", stars.clone(), format!("{stars}b")),
        ("200 characters of stars, apart", format!("{stars}?b?"), format!("{stars}?c?")),
        ("238 characters of brackets", brackets.clone(), format!("{}?", &brackets)),
        ("30 segments, half of them `**`", depths("xy"), depths("vw")),
    ] {
        let (ours, theirs) = (pattern(&ours), pattern(&theirs));
        c.bench_function(&format!("scope/meet: {name}"), |b| b.iter(|| black_box(&ours).meets(black_box(&theirs))));
        c.bench_function(&format!("scope/witness: {name}"), |b| {
            b.iter(|| black_box(&ours).intersect(black_box(&theirs)));
        });
    }
    // No pair of the 256 clashes, and none is decided by its ends.
    let scope = |middle: &str| {
        let texts = (0..16).map(|at| format!("{}?{middle}{at:02}?", "a*".repeat(100)));
        Scope::parse(None, [], texts).expect("16 patterns")
    };
    let (ours, theirs) = (scope("b"), scope("c"));
    c.bench_function("scope/16 against 16 of the worst", |b| b.iter(|| black_box(&ours).clash(black_box(&theirs))));
}

/// 10,000 exclusive scopes of a file each, in 100 crates of 10 directories.
fn index(c: &mut Criterion) {
    let scope = |text: &str| Scope::parse(None, [], [text]).expect("a scope");
    let held: Vec<Scope> =
        (0..10_000).map(|at| scope(&format!("crate{}/src/dir{}/file{at}.rs", at % 100, at / 100 % 10))).collect();
    let fill = || {
        let mut index = Index::default();
        for (key, scope) in held.iter().enumerate() {
            assert!(index.first_clash(scope, Mode::Exclusive).is_none());
            index.insert(key, scope, Mode::Exclusive);
        }
        index
    };
    c.bench_function("scope/index 10,000, each checked", |b| b.iter(fill));
    let full = fill();
    for text in ["crate7/src/dir3/new.rs", "crate7/src/dir3/**", "crate7/**/*.rs", "crate7/**/*.toml", "**/*.toml"] {
        let asked = scope(text);
        c.bench_function(&format!("scope/ask 10,000 for {text}"), |b| {
            b.iter(|| full.clashing(black_box(&asked), Mode::Exclusive).len());
        });
    }
}

/// Control entries of a mesh of 200 nodes with 8 admins, as they come in years: admissions, addresses, projects.
fn roster(c: &mut Criterion) {
    let mut mesh = MeshFixture::founded();
    let authors: Vec<Author> = (0..200).map(Author::seeded).collect();
    let (mut seen, mut before) = (vec![mesh.entries[0].id()], vec![Vec::new(); authors.len()]);
    for at in 0..10_000_usize {
        let op = match at {
            0..200 => {
                let role = if at < 8 { Role::Admin } else { Role::Member };
                let node = authors[(at + 2) % 200].node();
                Op::Admit(Admit { seen: seen.clone(), node, name: "node".into(), role, invite: None })
            }
            _ if at % 3 == 0 => Op::Project(ProjectKeys { keys: vec![format!("name:p{at}")], prefix: None }),
            _ => {
                let seen = before[at % 200].iter().chain(&seen).copied().collect();
                Op::Node(NodeFacts { seen, name: "node".into(), addresses: vec!["/ip4/10.0.0.1/tcp/7117".into(); 4] })
            }
        };
        // The first lets in all; the founder has seed 1.
        let author = &authors[if at < 200 { 1 } else { at % 200 }];
        let id = mesh.push(author, AT.as_millis(), op);
        if at < 200 { seen = vec![id] } else { before[at % 200] = vec![id] }
    }
    c.bench_function("roster/fold 10,000 control entries", |b| {
        b.iter(|| Roster::fold(mesh.mesh, black_box(&mesh.entries)));
    });
}

criterion_group!(benches, beads, entries, reconcile, graph, roster, scopes, intersections, index);
criterion_main!(benches);
