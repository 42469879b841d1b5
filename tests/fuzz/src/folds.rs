//! Folds of sets: what everybody with the same set must tell alike, whatever the order in which it came.

use std::collections::BTreeMap;

use beadmesh_protocol::bead::document::{Document, Receipt};
use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Bead, Target};
use beadmesh_protocol::claim::Claim;
use beadmesh_protocol::claim::settle::{Open, Settlement, settle as settled};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{AgentId, BeadId, ClaimId, EntryId, NodeId, ProjectId};
use beadmesh_protocol::jsonl::{self, Record};
use beadmesh_protocol::lease::{Attempt, Holder, LaneId, Terms, Token};
use beadmesh_protocol::op::{Admit, NodeFacts, Op, Role};
use beadmesh_protocol::roster::{self, Roster};
use beadmesh_protocol::scope::{Mode, Scope};
use beadmesh_protocol::testing::{Author, MeshFixture};

use crate::tape::Tape;

/// Claims, entries and changes that one input makes at most.
const ITEMS_MAX: usize = 16;

/// Patterns that claims choose from: some pairs meet.
pub(crate) const PATTERNS: [&str; 8] =
    ["src/**", "src/a.rs", "docs/*.md", "docs/[a-c]*", "**/*.rs", "tests/{a,b}/x", "src/net/*", "README.md"];

const BEAD: BeadId = BeadId::from_bytes([5; 16]);
const PROJECT: ProjectId = ProjectId::from_bytes([6; 16]);

/// Returns what a lease or a claim is for, as the tape says.
pub(crate) fn terms(tape: &mut Tape<'_>) -> Terms {
    let (chosen, beads) = (tape.byte(), tape.byte());
    let patterns = PATTERNS.iter().enumerate().filter(|(at, _)| chosen & 1 << at != 0).map(|(_, pattern)| *pattern);
    let beads = (0..4).filter(|bead| beads & 1 << bead != 0).map(|bead| BeadId::from_bytes([bead; 16]));
    let scope = Scope::parse(None, beads, patterns).or_else(|_| Scope::parse(None, [], ["**"]));
    let mode = if beads_are_shared(chosen) { Mode::Shared } else { Mode::Exclusive };
    Terms { scope: scope.expect("what is chosen from is sound"), mode }
}

/// Every fourth choice is shared.
fn beads_are_shared(chosen: u8) -> bool {
    chosen % 4 == 3
}

/// Returns an agent of one of four nodes.
pub(crate) fn holder(tape: &mut Tape<'_>) -> Holder {
    let byte = tape.byte();
    Holder { node: NodeId::from_bytes([1 + byte % 4; 32]), agent: AgentId::from_bytes([1 + byte / 4 % 2; 16]) }
}

/// Takes claims, some of which know of others and some of which have leases.
pub fn settle(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut claims: Vec<(ClaimId, Holder, Claim, Option<Token>)> = Vec::new();
    while !tape.is_over() && claims.len() < ITEMS_MAX {
        let holder = holder(&mut tape);
        let terms = terms(&mut tape);
        let knows = tape.byte();
        let seen = claims.iter().enumerate().filter(|(at, _)| knows & 1 << (at % 8) != 0).map(|(_, claim)| claim.0);
        let (priority, nonce) = (tape.byte() % 5, u64::from(tape.byte() % 4));
        let claim = Claim { agent: holder.agent, terms, priority, until: Wall::default(), nonce, seen: seen.collect() };
        let lane = LaneId { holder, incarnation: 1, lane: claims.len() as u64 };
        let counter = tape.byte();
        let token = Token { counter: counter.into(), attempt: Attempt { lane, seq: 1 } };
        claims.push((claim.id(holder.node), holder, claim, counter.is_multiple_of(3).then_some(token)));
    }
    let open: Vec<Open<'_>> = claims
        .iter()
        .map(|(id, holder, claim, token)| Open { id: *id, holder: *holder, claim, token: *token })
        .collect();
    let settlement = settled(&open);
    let mut turned = open.clone();
    turned.reverse();
    assert_eq!(settled(&turned), settlement, "the order of claims decides");
    turned.rotate_left(open.len() / 3);
    turned.extend_from_slice(&open);
    assert_eq!(settled(&turned), settlement, "the order of claims decides");
    judge(&open, &settlement);
}

/// Checks what was settled against what the claims say.
fn judge(open: &[Open<'_>], settlement: &Settlement) {
    let mut claims: BTreeMap<ClaimId, Open<'_>> = BTreeMap::new();
    for one in open {
        let known = claims.entry(one.id).or_insert(*one);
        known.token = known.token.max(one.token);
    }
    let mut contests = BTreeMap::new();
    for contest in &settlement.contests {
        let pair = (contest.ahead.min(contest.behind), contest.ahead.max(contest.behind));
        assert!(contests.insert(pair, contest).is_none(), "two claims are in contest twice");
    }
    for (id, one) in &claims {
        for (other_id, other) in claims.range(id..).skip(1) {
            let clashes = one.holder != other.holder && one.claim.terms.excludes(&other.claim.terms);
            let contest = contests.get(&(*id, *other_id));
            assert_eq!(contest.is_some(), clashes, "each clash is a contest");
            let Some(contest) = contest else { continue };
            assert!(!(settlement.winners.contains(id) && settlement.winners.contains(other_id)), "two winners clash");
            let (ahead, behind) = (&claims[&contest.ahead], &claims[&contest.behind]);
            assert!(behind.token.is_none() || ahead.token > behind.token, "a lease loses to less");
            let knew = ahead.token.is_none() && behind.token.is_none() && ahead.claim.seen.contains(&behind.id);
            assert!(!knew, "who knew goes first");
        }
        let is_beaten = settlement
            .contests
            .iter()
            .any(|contest| contest.behind == *id && settlement.winners.contains(&contest.ahead));
        assert_ne!(settlement.winners.contains(id), is_beaten, "a claim stands unless one that stands is ahead of it");
    }
}

/// Takes admissions and names by six nodes, each having seen some of those before.
pub fn roster(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut fixture = MeshFixture::founded();
    let authors: Vec<Author> = (1..=6).map(Author::seeded).collect();
    let mut ids: Vec<EntryId> = vec![fixture.entries[0].id()];
    while !tape.is_over() && ids.len() < ITEMS_MAX {
        let (by, of) = (&authors[tape.below(6)], &authors[tape.below(6)]);
        let (knows, what) = (tape.byte(), tape.byte());
        let mut seen: Vec<EntryId> =
            ids.iter().rev().enumerate().filter(|(at, _)| knows & 1 << (at % 8) != 0).map(|(_, id)| *id).collect();
        if what & 0x80 != 0 {
            seen.push(EntryId::from_bytes([what; 32]));
        }
        let name = ["a", "b", "box"][usize::from(what >> 4) % 3].to_owned();
        let role = [Role::Observer, Role::Member, Role::Admin][usize::from(what) % 3];
        let op = match what % 4 {
            0 => Op::Node(NodeFacts { seen, name, addresses: Vec::new() }),
            _ => Op::Admit(Admit { seen, node: of.node(), name, role, invite: None }),
        };
        ids.push(fixture.push(by, 1_600_000_000_000 + u64::from(tape.byte()), op));
    }
    let MeshFixture { mesh, founder, entries } = &fixture;
    let folded = Roster::fold(*mesh, entries).expect("the founding entry is there");
    let mut turned: Vec<&Entry> = entries.iter().rev().collect();
    assert_eq!(Roster::fold(*mesh, turned.iter().copied()).as_ref(), Some(&folded), "the order of entries decides");
    turned.rotate_left(entries.len() / 2);
    turned.extend(entries);
    assert_eq!(Roster::fold(*mesh, turned.iter().copied()).as_ref(), Some(&folded), "the order of entries decides");
    assert_eq!(folded.role(founder.node()), Some(Role::Admin), "an owner stays");
    assert_eq!(Roster::fold(*mesh, &entries[1..]), None);
    let mut storable: Vec<EntryId> = roster::storable(*mesh, entries.iter().cloned()).iter().map(Entry::id).collect();
    let mut again: Vec<EntryId> = roster::storable(*mesh, turned.into_iter().cloned()).iter().map(Entry::id).collect();
    storable.sort_unstable();
    again.sort_unstable();
    again.dedup();
    assert_eq!(storable, again);
}

/// Takes how, and then one change, or some changes with their lengths before them.
pub fn change(data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else { return };
    let mut changes = Vec::new();
    match how % 3 {
        0 => changes.extend(Change::from_wire(bytes).inspect(|change| assert_eq!(change.to_wire(), bytes))),
        1 => changes.extend(Change::parse(bytes).inspect(|change| assert_eq!(change.bytes(), bytes))),
        _ => {
            let mut tape = Tape::new(bytes);
            while !tape.is_over() && changes.len() < ITEMS_MAX {
                changes.extend(Change::from_wire(tape.piece()));
            }
        }
    }
    for change in &changes {
        let again = Change::parse(change.bytes()).expect("what was taken is taken again");
        assert_eq!(again.hash(), change.hash());
        if let Some(first) = Bead::of_first(BEAD, change) {
            let mut document = Document::new(BEAD);
            if document.receive(change) == Receipt::Applied {
                assert_eq!(first, document.bead(), "a first change shows what its document does");
            }
        }
    }
    let (document, folded) = Document::fold(BEAD, changes.iter().cloned());
    let (_, turned) = Document::fold(BEAD, changes.iter().rev().cloned());
    assert_eq!(turned, folded);
    let _ = document.conflicts();
    agrees(&document, &changes);
}

/// Takes the changes in one by one, as they come from peers, and compares with the fold of all.
fn agrees(document: &Document, changes: &[Change]) {
    let mut one_by_one = Document::new(BEAD);
    for at in 0..changes.len() {
        if let Receipt::Displaces(_) = one_by_one.receive(&changes[at]) {
            one_by_one = Document::fold(BEAD, changes[..=at].iter().cloned()).0;
        }
        // Those that waited are handed in again.
        while changes[..at].iter().any(|change| one_by_one.receive(change) == Receipt::Applied) {}
    }
    assert!(one_by_one.changes().eq(document.changes()), "the order of changes decides");
    assert_eq!(one_by_one.bead(), document.bead());
}

/// Takes one line of JSONL.
pub fn record(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    for project in [None, Some(PROJECT)] {
        let Ok(record) = Record::parse(line, project) else { continue };
        let written = jsonl::write(&record.bead, &record.bead.alias, Target::to_string);
        let again = Record::parse(&written, project).map(|record| record.bead);
        assert_eq!(again.as_ref(), Ok(&record.bead), "a record is read as it is written");
        let Ok(changes) = import_change(&record.bead) else { continue };
        for change in &changes {
            assert_eq!(Change::from_wire(change.to_wire()).map(|again| again.hash()), Ok(change.hash()));
        }
        let (document, folded) = Document::fold(record.bead.id, changes);
        assert!(folded.void.is_empty() && folded.waiting.is_empty(), "an import has effect");
        assert_eq!(document.bead().title, record.bead.title);
    }
}
