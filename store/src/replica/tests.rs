use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::bead::{Bead, Comment, Dep, DepKey, Edit, Field, FieldValue, Target};
use beadmesh_protocol::clock::{Now, Timestamp, Wall};
use beadmesh_protocol::entry::{Content, Entry, RawOp};
use beadmesh_protocol::id::{BeadId, InstanceId, NodeId};
use beadmesh_protocol::invite::{Invite, JoinRefusal};
use beadmesh_protocol::limits::MAP_ITEMS_MAX;
use beadmesh_protocol::op::{Admit, BeadChange, NodeFacts, Op, Role};
use beadmesh_protocol::testing::{Author, MeshFixture};
use beadmesh_protocol::wire::Frame;

use super::{Event, Input, Output, RequestId};
use crate::command::{Action, Answer, Command, CommandError, Filter, NewBead, Prepared, ProjectContext};
use crate::keys;
use crate::membership::Membership;
use crate::memory::{MemoryKv, Refusal, SharedKv};
use crate::open::Origin;
use crate::testing::{Net, bead, create, edit, open, opened};

fn show(bead: &str) -> Command {
    Command::Show(bead.to_owned())
}

/// A record with as many dependencies as there may be.
fn full(alias: &str) -> Prepared {
    let mut bead = Bead::new(BeadId::from_bytes([9; 16]), alias.to_owned(), "is full".to_owned());
    let target = |at: usize| DepKey { kind: "related".to_owned(), target: Target::Alias(format!("x{at}")) };
    bead.deps = (0..MAP_ITEMS_MAX).map(|at| (target(at), Dep::default())).collect();
    prepared(bead)
}

fn prepared(bead: Bead) -> Prepared {
    let changes = import_change(&bead).unwrap();
    Prepared { line: 1, bead, changes, has_created_at: true, has_updated_at: true }
}

#[test]
fn a_bead_that_one_import_names_twice_is_updated() {
    let mut net = Net::joined(2);
    let mut first = Bead::new(BeadId::from_bytes([3; 16]), "one".to_owned(), "before".to_owned());
    first.updated_at = Some("2023-01-01T00:00:00Z".to_owned());
    let mut second = Bead { title: "after".to_owned(), ..first.clone() };
    second.updated_at = Some("2023-02-01T00:00:00Z".to_owned());
    let records = vec![prepared(first), prepared(second.clone()), prepared(second)];
    let Ok(Answer::Imported(report)) = net.ask(0, Command::Import(records)) else { panic!("a report") };
    assert_eq!((report.created, report.updated, report.unchanged), (1, 1, 1));
    net.link(0, 1);
    net.settle();
    assert!(net.export(0)[0].contains("after"));
    assert_eq!(net.export(0), net.export(1));
}

#[test]
fn a_mesh_that_is_founded_is_not_written_before_the_first_flush() {
    let disk = SharedKv::new(MemoryKv::seeded(1));
    disk.lock().refuse_after(0, Refusal::Full);
    // The recovery key is not kept yet when this returns; a mesh on the disk could never be recovered.
    let mut replica = open(&disk, &Author::seeded(1), (0, 0, &Origin::Fresh), Now::default(), None);
    replica.flush().unwrap_err();
}

#[test]
fn nothing_leaves_and_nothing_lasts_before_a_flush() {
    let mut net = Net::alone(1);
    net.handle(0, Input::Command(RequestId(7), create("lost")));
    net.crash(0);
    assert!(matches!(net.ask(0, show("lost")), Err(CommandError::NotFound { .. })));
    net.handle(0, Input::Command(RequestId(8), create("kept")));
    let outputs = net.peers[0].replica.flush().unwrap();
    assert!(outputs.iter().any(|output| matches!(output, Output::Reply(RequestId(8), answer) if answer.is_ok())));
}

#[test]
fn what_was_acknowledged_survives_a_crash_on_either_side() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.settle();
    net.create(0, "kept");
    net.settle();
    assert_eq!(net.seen(0, 1).lag_entries, 0);
    let (digest, export) = (net.status(0).digest, net.export(0));
    for at in [0, 1] {
        net.handle(at, Input::Command(RequestId(7), create("lost")));
        net.crash(at);
        assert_eq!(net.status(at).digest, digest);
        assert_eq!(net.export(at), export);
    }
}

#[test]
fn a_failed_flush_releases_nothing_and_ends_the_taking_of_input() {
    for writes in [0, 1] {
        let mut net = Net::alone(1);
        net.create(0, "kept");
        let digest = net.status(0).digest;
        net.peers[0].disk.lock().refuse_after(writes, Refusal::Full);
        net.handle(0, Input::Command(RequestId(7), create("lost")));
        let error = net.peers[0].replica.flush().unwrap_err();
        net.handle(0, Input::Command(RequestId(8), Command::Status));
        assert_eq!(net.peers[0].replica.flush().unwrap_err(), error);
        net.crash(0);
        assert_eq!(net.status(0).digest, digest);
        net.create(0, "lost");
    }
}

#[test]
fn two_that_join_by_ticket_end_with_equal_digests_and_beads() {
    let mut net = Net::alone(2);
    net.create(0, "of-inviter");
    net.create(1, "of-joiner");
    net.join(0, 1).unwrap();
    net.link(0, 1);
    net.settle();
    let (here, there) = (net.status(0), net.status(1));
    assert_eq!((here.mesh, &here.digest, here.entries), (there.mesh, &there.digest, there.entries));
    assert_eq!(net.export(0).len(), 2);
    assert_eq!(net.export(0), net.export(1));
    let settled = Event::PeerSettled(net.node(1));
    assert!(net.peers[0].events.contains(&settled));
    assert_eq!(net.closed, []);
}

#[test]
fn an_entry_is_relayed_along_a_line() {
    let mut net = Net::joined(3);
    net.link(0, 1);
    net.settle();
    net.link(1, 2);
    net.settle();
    net.create(0, "relayed");
    net.settle();
    net.ask(2, show("relayed")).unwrap();
    assert_eq!(net.status(0).digest, net.status(2).digest);
    assert_eq!(net.closed, []);
}

#[test]
fn news_is_passed_on_over_no_link_before_the_peer_has_greeted() {
    // The lower of two greets first, so the higher might speak before; the relay is each of them once.
    for (relay, other) in [(1, 2), (2, 1)] {
        let mut net = Net::joined(3);
        let known = net.link(0, other);
        let bearer = net.link(0, relay);
        net.settle();
        net.cut(known);
        net.link(relay, other);
        let facts = NodeFacts { seen: Vec::new(), name: "news".to_owned(), addresses: Vec::new() };
        let (mesh, wall) = (net.peers[0].replica.mesh(), net.now(0).wall);
        let entry = net.peers[0].author.entry(mesh, 1_000, wall, &[Op::Node(facts)]);
        net.deliver(relay, bearer, &Frame::Entries(vec![entry]).encode());
        net.settle();
        assert_eq!(net.closed, []);
        assert_eq!(net.status(relay).digest, net.status(other).digest);
        assert_eq!(net.seen(relay, other).lag_entries, 0);
    }
}

#[test]
fn a_duplicate_delivery_changes_nothing() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.settle();
    net.create(0, "once");
    net.settle();
    let before = (net.status(0).digest, net.export(0), net.export(1));
    for (at, link, bytes) in std::mem::take(&mut net.delivered) {
        if matches!(Frame::decode(net.peers[at].replica.mesh(), &bytes), Ok(Frame::Entries(_))) {
            net.deliver(at, link, &bytes);
        }
    }
    net.settle();
    assert_eq!(net.status(1).digest, before.0);
    assert_eq!((net.status(0).digest, net.export(0), net.export(1)), before);
    assert_eq!(net.closed, []);
}

#[test]
fn an_entry_of_a_stranger_is_not_stored_and_does_not_close_the_link() {
    let mut net = Net::joined(2);
    let link = net.link(0, 1);
    net.settle();
    let before = net.status(0);
    let stranger = Author::seeded(99);
    let content = Content {
        author: stranger.node(),
        instance: InstanceId::from_bytes([1; 8]),
        n: 1,
        prev: None,
        hlc: Timestamp::from_wall(net.now(0).wall),
        ops: vec![RawOp { kind: 64, body: vec![1] }],
    };
    let entry = content.sign(net.peers[0].replica.mesh(), &stranger.key).unwrap();
    net.deliver(0, link, &Frame::Entries(vec![entry]).encode());
    net.settle();
    let after = net.status(0);
    assert_eq!((after.digest, after.entries), (before.digest, before.entries));
    assert!(net.seen(0, 1).connected);
    assert_eq!(net.closed, []);
}

#[test]
fn an_entry_of_the_far_future_is_stored_and_counted_and_does_not_pull_our_clock() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.settle();
    net.peers[1].ahead = Duration::from_secs(86_400);
    net.create(1, "ahead");
    net.settle();
    net.ask(0, show("ahead")).unwrap();
    assert!(net.status(0).entries_from_future > 0);
    net.create(0, "here");
    let (node, wall) = (net.node(0), net.now(0).wall);
    let replica = &mut net.peers[0].replica;
    let ids = replica.entries.data_ids();
    let entries = ids.into_iter().map(|id| replica.entries.load(&replica.stage, id).unwrap().unwrap());
    let ours: Vec<_> = entries.filter(|entry| entry.content().author == node).collect();
    assert!(!ours.is_empty());
    assert!(ours.iter().all(|entry| entry.content().hlc.wall() <= wall));
}

#[test]
fn our_entries_follow_what_was_seen_before_a_restart() {
    let mut net = Net::joined(2);
    net.peers[1].ahead = Duration::from_secs(60);
    net.link(0, 1);
    net.settle();
    net.create(1, "seen");
    net.settle();
    net.ask(0, show("seen")).unwrap();
    net.crash(0);
    net.create(0, "later");
    let node = net.node(0);
    let replica = &mut net.peers[0].replica;
    let ids = replica.entries.data_ids();
    let entries = ids.into_iter().map(|id| replica.entries.load(&replica.stage, id).unwrap().unwrap());
    let last = entries.max_by_key(|entry| entry.content().hlc).unwrap();
    assert_eq!(last.content().author, node);
}

#[test]
fn beads_of_two_projects_found_to_be_one_are_listed_together() {
    let mut net = Net::joined(2);
    let context = |keys: &[&str]| ProjectContext {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        prefix: Some("eng".to_owned()),
    };
    let listed = |net: &mut Net, at: usize, keys: &[&str]| {
        let filter = Filter { project: Some(context(keys)), limit: 0, ..Filter::default() };
        let Ok(Answer::Beads(listed)) = net.ask(at, Command::List(filter.clone())) else { panic!("a list") };
        let Ok(Answer::Beads(ready)) = net.ask(at, Command::Ready(filter)) else { panic!("a list") };
        assert_eq!(listed.beads.len(), ready.beads.len());
        listed.beads.len()
    };
    for (alias, key) in [("old", "name:engine"), ("new", "github.com/ada/engine")] {
        net.ask(0, Command::Create(Box::new(NewBead { project: context(&[key]), ..bead(alias) }))).unwrap();
    }
    net.link(0, 1);
    net.settle();
    assert_eq!(listed(&mut net, 1, &["name:engine"]), 1);
    net.ask(0, Command::Unite(context(&["github.com/ada/engine", "name:engine"]))).unwrap();
    net.settle();
    for at in 0..2 {
        assert_eq!(listed(&mut net, at, &["name:engine"]), 2);
        assert_eq!(listed(&mut net, at, &["github.com/ada/engine"]), 2);
    }
}

#[test]
fn a_node_that_lost_its_disk_gets_back_from_a_peer_what_it_had_sent() {
    let mut net = Net::joined(2);
    let link = net.link(0, 1);
    net.settle();
    net.create(1, "sent");
    net.settle();
    net.cut(link);
    let before = net.status(0);
    net.lose_disk(1);
    assert_eq!((net.status(1).mesh, net.status(1).beads), (before.mesh, 0));
    net.link(0, 1);
    net.settle();
    assert_eq!((net.status(1).digest, net.export(1)), (before.digest, net.export(0)));
    net.set(1, "sent", Field::Title, "written by the new instance");
    net.settle();
    assert!(net.export(0)[0].contains("new instance"));
}

#[test]
fn a_bead_too_large_to_store_as_shown_is_shown_all_the_same() {
    let mut net = Net::joined(2);
    let link = net.link(0, 1);
    net.create(0, "large");
    net.settle();
    net.cut(link);
    for at in 0..2 {
        for number in 0..4 {
            let text = format!("{at}{number}").repeat(25_000);
            net.ask(at, edit("large", Action::Comment(text))).unwrap();
        }
    }
    net.link(0, 1);
    net.settle();
    let export = net.export(0);
    assert!((0..2).all(|at| (0..4).all(|number| export[0].contains(&format!("{at}{number}{at}{number}")))));
    assert_eq!(net.export(1), export);
    net.crash(0);
    assert_eq!(net.export(0), export);
    let Ok(Answer::Checked(findings)) = net.ask(0, Command::Check) else { panic!("findings") };
    assert_eq!(findings, []);
}

#[test]
fn a_bead_that_arrives_before_anybody_asked_for_a_list_is_told_of() {
    let mut net = Net::joined(2);
    net.create(0, "late");
    let author = net.node(0);
    let told = |net: &mut Net, bead: &str| {
        let events = std::mem::take(&mut net.peers[1].events);
        let of_beads = events.into_iter().filter(|event| matches!(event, Event::Bead { .. }));
        let Ok(Answer::Bead(answer)) = net.ask(1, show(bead)) else { panic!("{bead} is not here") };
        let (bead, alias) = (answer.bead.id, answer.alias);
        assert_eq!(of_beads.collect::<Vec<_>>(), [Event::Bead { bead, alias, author }]);
    };
    // Whoever joins has counted its beads, which makes an index; opening makes none.
    net.crash(1);
    net.link(0, 1);
    net.settle();
    told(&mut net, "late");
    net.peers[1].replica.beads.forget_index();
    net.create(0, "later");
    net.settle();
    told(&mut net, "later");
    for text in ["a", "b"] {
        net.peers[1].replica.beads.forget_index();
        net.ask(0, edit("late", Action::Comment(text.repeat(50_000)))).unwrap();
        net.settle();
        told(&mut net, "late");
    }
}

#[test]
fn an_importer_shows_what_everybody_else_shows() {
    let mut net = Net::joined(2);
    let records = (0..20).map(|at| {
        let mut bead = Bead::new(BeadId::from_bytes([at; 16]), format!("c-{at}"), "has comments".to_owned());
        bead.comments = ["2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]
            .map(|date| Comment {
                author: format!("{}", at % 3),
                created_at: Some(date.to_owned()),
                text: format!("at {date}"),
                extra: BTreeMap::new(),
            })
            .to_vec();
        prepared(bead)
    });
    net.ask(0, Command::Import(records.collect())).unwrap();
    net.link(0, 1);
    net.settle();
    assert_eq!(net.export(0), net.export(1));
    for at in 0..2 {
        let Ok(Answer::Checked(findings)) = net.ask(at, Command::Check) else { panic!("findings") };
        assert_eq!(findings, []);
    }
}

#[test]
fn a_bead_whose_only_change_turns_void_is_shown_by_nobody() {
    let bead = BeadId::from_bytes([4; 16]);
    let title = |text: String| [Edit::Set(Field::Title, FieldValue::Text(text))];
    let first = Document::new(bead).edit([7; 8], Wall::from_millis(1), &title("first".to_owned())).unwrap().remove(0);
    // The same actor's first change once more, of a lower hash, on top of one that nobody has.
    let twin = (0..).find_map(|number| {
        let mut document = Document::new(bead);
        document.edit([8; 8], Wall::from_millis(1), &title("withheld".to_owned())).unwrap();
        let twin = document.edit([7; 8], Wall::from_millis(1), &title(format!("twin {number}"))).unwrap().remove(0);
        (twin.hash() < first.hash()).then_some(twin)
    });
    let changes = [first, twin.unwrap()];
    for order in [[0, 1], [1, 0]] {
        let mut net = Net::joined(2);
        let link = net.link(0, 1);
        net.settle();
        let (mesh, author) = (net.peers[0].replica.mesh(), net.peers[1].author.clone());
        for (n, at) in (1..).zip(order) {
            let op = Op::Bead(BeadChange { bead, change: changes[at].to_wire().to_vec() });
            let entry = author.entry(mesh, n, net.now(0).wall, &[op]);
            net.deliver(0, link, &Frame::Entries(vec![entry]).encode());
            assert_eq!(net.status(0).beads, u64::from(order[0] == 0 && n == 1));
        }
        assert_eq!(net.export(0), Vec::<String>::new());
    }
}

#[test]
fn lag_rises_while_a_link_is_down_and_falls_to_nothing() {
    let mut net = Net::joined(2);
    let link = net.link(0, 1);
    net.settle();
    net.create(0, "first");
    net.settle();
    assert_eq!(net.seen(0, 1).lag_entries, 0);
    net.cut(link);
    assert_eq!(net.seen(0, 1).lag_entries, 0);
    net.create(0, "second");
    net.create(0, "third");
    assert_eq!(net.seen(0, 1).lag_entries, 2);
    net.crash(0);
    assert_eq!(net.seen(0, 1).lag_entries, 2);
    net.link(0, 1);
    net.settle();
    assert_eq!(net.seen(0, 1).lag_entries, 0);
    assert_eq!(net.status(0).digest, net.status(1).digest);
}

#[test]
fn a_command_that_fails_has_changed_nothing() {
    let mut net = Net::alone(1);
    net.create(0, "one");
    net.create(0, "two");
    net.ask(0, edit("one", Action::AddDep("blocks".to_owned(), "two".to_owned()))).unwrap();
    net.ask(0, Command::Import(vec![full("full")])).unwrap();
    let before = (net.status(0), net.export(0));
    let elsewhere = ProjectContext { keys: vec!["name:elsewhere".to_owned()], prefix: None };
    let crowded = (0..=MAP_ITEMS_MAX).map(|at| format!("l{at}")).collect();
    let blocks = vec!["one".to_owned(), "full".to_owned()];
    let failing = [
        Command::Create(Box::new(NewBead { blocks, project: elsewhere.clone(), ..bead("blocker") })),
        Command::Create(Box::new(NewBead { labels: crowded, project: elsewhere, ..bead("crowded") })),
        create("one"),
        create("no good alias"),
        edit("none", Action::Reopen),
        edit("one", Action::Comment(" ".to_owned())),
        edit("one", Action::Resolve(Field::Title, None)),
        edit("two", Action::AddDep("blocks".to_owned(), "one".to_owned())),
        edit("two", Action::RemoveDep(None, "one".to_owned())),
        edit("two", Action::Labels { add: vec!["x".repeat(100_000)], remove: Vec::new() }),
    ];
    for command in failing {
        let name = format!("{command:?}").chars().take(120).collect::<String>();
        assert!(net.ask(0, command).is_err(), "{name}");
        assert!(net.peers[0].replica.authored.is_empty(), "{name}");
        assert_eq!((net.status(0), net.export(0)), before, "{name}");
    }
    net.crash(0);
    assert_eq!((net.status(0), net.export(0)), before);
}

#[test]
fn divergent_edits_converge_in_any_order_of_links() {
    let mut exports = Vec::new();
    for order in [[(0, 1), (1, 2), (0, 2)], [(0, 2), (1, 2), (0, 1)], [(1, 2), (0, 1), (0, 2)]] {
        let mut net = Net::alone(3);
        net.create(0, "shared");
        (1..3).for_each(|at| net.join(0, at).unwrap());
        for at in [1, 2] {
            let link = net.link(0, at);
            net.settle();
            net.cut(link);
        }
        for at in 0..3 {
            net.set(at, "shared", Field::Title, &format!("title of {at}"));
            net.ask(at, edit("shared", Action::Labels { add: vec![format!("l{at}")], remove: Vec::new() })).unwrap();
        }
        for (source, target) in order {
            net.link(source, target);
            net.settle();
        }
        let export = net.export(0);
        assert!((0..3).all(|at| export[0].contains(&format!("l{at}"))));
        assert_eq!(net.export(1), export);
        assert_eq!(net.export(2), export);
        assert_eq!(net.status(1).digest, net.status(2).digest);
        exports.push(export);
    }
    assert!(exports.iter().all(|export| *export == exports[0]));
}

#[test]
fn a_node_in_a_mesh_of_two_can_not_enter_another() {
    let mut net = Net::alone(3);
    net.join(0, 1).unwrap();
    let before = net.status(1);
    assert!(matches!(net.join(2, 1), Err(CommandError::Refused { .. })));
    assert_eq!(net.status(1), before);
}

#[test]
fn an_admin_with_many_projects_lets_nodes_in() {
    let mut net = Net::alone(3);
    net.join_as(Role::Admin, 0, 1).unwrap();
    for at in 0..100 {
        let context = ProjectContext { keys: vec![format!("name:project{at}")], prefix: None };
        net.ask(1, Command::Project(context)).unwrap();
    }
    net.join(1, 2).unwrap();
    net.link(0, 1);
    net.settle();
    let node = net.node(2);
    assert_eq!(net.peers[0].replica.mesh.roster().role(node), Some(Role::Member));
}

#[test]
fn a_joiner_is_given_neither_projects_nor_stale_addresses_and_gets_them_by_a_link() {
    let mut net = Net::alone(2);
    for at in 0..10 {
        let context = ProjectContext { keys: vec![format!("name:project{at}")], prefix: None };
        net.ask(0, Command::Project(context)).unwrap();
        net.ask(0, Command::Announce(vec![format!("/ip4/10.0.0.{at}/tcp/7117")])).unwrap();
    }
    let node = net.node(1);
    let (mesh, request) = net.invite(Role::Member, 0, node).unwrap();
    let Ok(Answer::JoinDecision(Ok(control))) = net.ask(0, Command::Welcome(node, request)) else { panic!("let in") };
    assert_eq!(control.len(), 3, "the founding entry, the admission and the latest addresses");
    net.ask(1, Command::Enter(mesh, opened(mesh, control))).unwrap();
    let peers = net.peers[1].replica.mesh.peers();
    assert_eq!(peers, [(net.node(0), vec!["/ip4/10.0.0.9/tcp/7117".to_owned()])]);
    net.link(0, 1);
    net.settle();
    assert_eq!(net.status(0).digest, net.status(1).digest);
}

#[test]
fn an_inviter_can_not_plant_entries_of_strangers() {
    let mut net = Net::alone(2);
    let node = net.node(1);
    let (mesh, request) = net.invite(Role::Member, 0, node).unwrap();
    let Ok(Answer::JoinDecision(Ok(mut control))) = net.ask(0, Command::Welcome(node, request)) else {
        panic!("let in")
    };
    let sent = control.len();
    let stranger = Author::seeded(99);
    let facts = NodeFacts { seen: Vec::new(), name: "stranger".to_owned(), addresses: Vec::new() };
    control.push(stranger.entry(mesh, 1, net.now(0).wall, &[Op::Node(facts)]).seal());
    net.ask(1, Command::Enter(mesh, opened(mesh, control))).unwrap();
    let held = usize::try_from(net.status(1).entries).unwrap();
    assert_eq!(held, sent);
}

#[test]
fn a_join_that_does_not_fit_its_answer_takes_no_use_and_admits_nobody() {
    let (disk, founder) = (SharedKv::new(MemoryKv::seeded(1)), Author::seeded(1));
    let mut fixture = MeshFixture::founded();
    for at in 0..900_u16 {
        let node = NodeId::from_bytes(std::array::from_fn(|byte| at.to_be_bytes()[byte % 2]));
        let seen = fixture.entries.iter().rev().take(40).map(Entry::id).collect();
        let admit = Admit { seen, node, name: "x".repeat(64), role: Role::Member, invite: None };
        let wall = Wall::from_millis(1_700_000_000_000);
        fixture.entries.push(founder.entry(fixture.mesh, at.into(), wall, &[Op::Admit(admit)]));
    }
    let membership = Membership { mesh: fixture.mesh, control: fixture.entries.iter().map(Entry::seal).collect() };
    let mut net = Net::alone(1);
    net.peers[0].replica = open(&disk, &founder, (0, 0, &Origin::Fresh), net.now(0), Some(membership));
    net.flush(0);
    let joiner = Author::seeded(7).node();
    let (_, request) = net.invite(Role::Member, 0, joiner).unwrap();
    let invite = keys::invite(request.invite);
    let before = net.status(0);
    let answer = net.ask(0, Command::Welcome(joiner, request));
    assert!(matches!(answer, Ok(Answer::JoinDecision(Err(JoinRefusal::TooLong)))), "{answer:?}");
    assert_eq!(net.status(0), before);
    let kept: Option<Invite> = net.peers[0].replica.stage.record(&invite).unwrap();
    assert_eq!(kept.map(|invite| invite.uses_left), Some(1));
}

#[test]
fn the_door_closes_some_time_after_the_last_use_of_an_invite() {
    let mut net = Net::alone(2);
    net.join(0, 1).unwrap();
    let is_open = |net: &mut Net| {
        let wall = net.now(0).wall;
        let replica = &mut net.peers[0].replica;
        replica.mesh.join_open(&mut replica.stage, wall).unwrap()
    };
    net.peers[0].ahead = Duration::from_secs(9 * 60);
    assert!(is_open(&mut net));
    net.peers[0].ahead = Duration::from_secs(11 * 60);
    assert!(!is_open(&mut net));
}
