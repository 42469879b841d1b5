use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::genesis;
use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Bead, Edit, Field, FieldValue};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::op::{Admit, BeadChange, Op, Role};
use beadmesh_protocol::wire::Frame;

use crate::command::{Answer, Command, CommandError, Filter, ImportReport, Prepared};
use crate::replica::LinkId;
use crate::testing::Net;

const ID: BeadId = BeadId::from_bytes([4; 16]);

/// A record whose import is one change.
fn small() -> Prepared {
    let mut bead = Bead::new(ID, "record".to_owned(), "a title".to_owned());
    bead.updated_at = Some("2023-01-01T00:00:00Z".to_owned());
    prepared(bead)
}

/// A record whose import is a chain of changes.
fn large() -> Prepared {
    let long = Some("x".repeat(40_000));
    let record = prepared(Bead { description: long.clone(), design: long, ..small().bead });
    assert!(record.changes.len() > 1);
    record
}

fn prepared(bead: Bead) -> Prepared {
    let changes = import_change(&bead).unwrap();
    Prepared { line: 1, bead, changes, has_created_at: true, has_updated_at: true }
}

/// Two replicas that are linked to the founder, the first of them in a role.
fn met(role: Role) -> (Net, [LinkId; 2]) {
    let mut net = Net::alone(3);
    net.join_as(role, 0, 1).unwrap();
    net.join(0, 2).unwrap();
    let links = [net.link(0, 1), net.link(0, 2)];
    net.settle();
    (net, links)
}

/// Has the first joined replica send an entry to the founder that no replica would write.
fn send(net: &mut Net, link: LinkId, changes: &[Change]) {
    let ops: Vec<Op> =
        changes.iter().map(|change| Op::Bead(BeadChange { bead: ID, change: change.to_wire().to_vec() })).collect();
    let n = 1_000 + net.status(0).entries;
    let entry = net.peers[1].author.entry(net.peers[0].replica.mesh(), n, net.now(0).wall, &ops);
    net.deliver(0, link, &Frame::Entries(vec![entry]).encode());
    net.settle();
}

fn import(net: &mut Net, at: usize, record: &Prepared) -> ImportReport {
    match net.ask(at, Command::Import(vec![record.clone()])) {
        Ok(Answer::Imported(report)) => report,
        other => panic!("{other:?}"),
    }
}

fn created() -> ImportReport {
    ImportReport { created: 1, ..ImportReport::default() }
}

fn unchanged() -> ImportReport {
    ImportReport { unchanged: 1, ..ImportReport::default() }
}

fn title(net: &mut Net, at: usize) -> Option<String> {
    let by_id = net.ask(at, Command::Show(ID.to_string()));
    let Ok(Answer::Beads(listed)) = net.ask(at, Command::List(Filter::default())) else { panic!("a list") };
    assert_eq!(listed.beads.len(), usize::from(by_id.is_ok()));
    match by_id {
        Ok(Answer::Bead(bead)) => Some(bead.bead.title),
        Err(CommandError::NotFound { .. }) => None,
        other => panic!("{other:?}"),
    }
}

/// Asserts that nothing derived of a replica changes when it is opened again or derived anew.
fn assert_lasting(net: &mut Net, at: usize) {
    let export = net.export(at);
    assert_eq!(export.len(), 1);
    net.crash(at);
    assert_eq!(net.export(at), export);
    net.ask(at, Command::Rebuild).unwrap();
    assert_eq!(net.export(at), export);
    let Ok(Answer::Checked(mut findings)) = net.ask(at, Command::Check) else { panic!("findings") };
    // Whoever sees entries that `send` wrote in its name takes them for those of a copy.
    findings.retain(|finding| finding.check != "store.cloned");
    assert_eq!(findings, []);
}

#[test]
fn a_record_that_only_an_observer_brought_in_is_created_by_who_imports_it_first() {
    for record in [small(), large()] {
        let (mut net, links) = met(Role::Observer);
        send(&mut net, links[0], &record.changes);
        for at in 0..3 {
            assert_eq!(title(&mut net, at), None);
        }
        assert_eq!(net.status(0).digest, net.status(2).digest);
        assert_eq!(import(&mut net, 0, &record), created());
        net.settle();
        for at in 0..3 {
            assert_eq!(title(&mut net, at).as_deref(), Some("a title"));
        }
        let entries = net.status(2).entries;
        assert_eq!(import(&mut net, 2, &record), unchanged());
        assert_eq!(import(&mut net, 0, &record), unchanged());
        assert_eq!(net.status(2).entries, entries);
        assert_eq!((net.export(0), net.export(1)), (net.export(2), net.export(2)));
        (0..3).for_each(|at| assert_lasting(&mut net, at));
    }
}

#[test]
fn what_several_brought_in_has_effect_while_one_of_them_may_write() {
    let (mut net, links) = met(Role::Observer);
    send(&mut net, links[0], &small().changes);
    assert_eq!(import(&mut net, 2, &small()), created());
    net.settle();
    let founder = net.node(0);
    let seen = net.peers[0].replica.mesh.roster().seen_by(founder);
    let swapped = [(1, Role::Member), (2, Role::Observer)].map(|(at, role)| {
        Op::Admit(Admit { seen: seen.clone(), node: net.node(at), name: "swapped".to_owned(), role, invite: None })
    });
    let entry = net.peers[0].author.entry(net.peers[0].replica.mesh(), 1_000, net.now(0).wall, &swapped);
    for (at, link) in [(1, links[0]), (2, links[1])] {
        net.deliver(at, link, &Frame::Entries(vec![entry.clone()]).encode());
    }
    net.settle();
    let expected = [Role::Admin, Role::Member, Role::Observer];
    for (at, role) in expected.into_iter().enumerate() {
        assert_eq!(net.status(at).role, role);
        assert_eq!(title(&mut net, at).as_deref(), Some("a title"));
        assert_lasting(&mut net, at);
    }
}

#[test]
fn a_record_is_created_although_a_change_of_its_bead_waits() {
    for record in [small(), large()] {
        let retitle = [Edit::Set(Field::Title, FieldValue::Text("edited".to_owned()))];
        let mut document = Document::fold(ID, record.changes.clone()).0;
        let edited = document.edit([7; 8], Wall::from_millis(1), &retitle).unwrap();
        let mut elsewhere = Document::new(ID);
        let withheld = elsewhere.edit([8; 8], Wall::from_millis(1), &retitle).unwrap();
        let again = [Edit::Set(Field::Title, FieldValue::Text("edited again".to_owned()))];
        let orphaned = elsewhere.edit([8; 8], Wall::from_millis(2), &again).unwrap();
        for (waiting, shown, missing) in [(edited, "edited", Vec::new()), (orphaned, "a title", withheld)] {
            let (mut net, links) = met(Role::Member);
            send(&mut net, links[0], &waiting);
            assert_eq!(title(&mut net, 0), None);
            assert_eq!(import(&mut net, 0, &record), created());
            assert_eq!(title(&mut net, 0).as_deref(), Some(shown));
            net.settle();
            assert_eq!((net.export(0), net.export(1)), (net.export(2), net.export(2)));
            if !missing.is_empty() {
                send(&mut net, links[0], &missing);
            }
            assert_eq!((net.export(0), net.export(1)), (net.export(2), net.export(2)));
            (0..3).for_each(|at| assert_lasting(&mut net, at));
        }
    }
}

#[test]
fn a_record_whose_change_another_displaces_is_created_by_an_edit() {
    let record = small();
    // The same actor's first change once more, of a lower hash, on top of one that nobody has.
    let wire = record.changes[0].to_wire();
    let root = genesis::change().hash();
    let place = wire.windows(32).position(|bytes| bytes == root.as_bytes()).unwrap();
    let twin = (0..).find_map(|number: u32| {
        let mut wire = wire.to_vec();
        wire[place..place + 4].copy_from_slice(&number.to_be_bytes());
        Change::from_wire(&wire).ok().filter(|twin| twin.hash() < record.changes[0].hash())
    });
    let (mut net, links) = met(Role::Member);
    send(&mut net, links[0], &[twin.unwrap()]);
    assert_eq!(title(&mut net, 0), None);
    assert_eq!(import(&mut net, 0, &record), created());
    net.settle();
    assert_eq!(import(&mut net, 2, &record), unchanged());
    for at in 0..3 {
        assert_eq!(title(&mut net, at).as_deref(), Some("a title"));
        assert!(net.export(at)[0].contains("2023-01-01T00:00:00Z"));
        assert_lasting(&mut net, at);
    }
}
