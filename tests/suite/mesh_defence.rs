//! Who is not let in, who is slowed down and who is kept out by hand: it is counted, and honest members do not feel it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use beadmesh_protocol::{
    bead::{Edit, Field, FieldValue, document::Document},
    clock::Wall,
    entry::Entry,
    id::BeadId,
    invite::JoinRefusal,
    op::{BeadChange, Op},
    wire::Frame,
};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use super::support::{Node, Rogue, settle, until};

/// Entries of a flood: what may come at once, and some seconds of what may come after it.
const FLOOD_ENTRIES: u64 = 10_000;

/// The least time that they take: 4,000 may come at once, and 2,000 a second after that.
const FLOOD_MIN: Duration = Duration::from_millis(2_900);

/// Entries in one of its frames.
const FRAME_ENTRIES: u64 = 100;

/// Connections that are held open and say nothing.
const CONNECTIONS: usize = 300;

/// How long an honest write may take to its peer while others misbehave, on a machine that is busy with tests.
const HONEST_MAX: Duration = Duration::from_secs(15);

/// Returns how often a node has refused something.
fn refused(node: &Node, reason: &str) -> u64 {
    node.status()["refused"][reason].as_u64().unwrap()
}

/// Creates a bead on one node, and waits until the other shows it.
fn assert_honest_write_arrives(from: &Node, to: &Node) {
    let begin = Instant::now();
    let alias = from.create(&["By an honest agent"]);
    until("an honest write", || to.run(&["bead", "show", &alias]).status.success());
    assert!(begin.elapsed() < HONEST_MAX, "it took {:?}", begin.elapsed());
}

#[test]
fn a_stolen_used_ticket_and_a_replayed_proof_let_nobody_in_and_are_counted() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    let ticket = ada.ticket();
    bob.json(&["join", &ticket]);
    settle(&[&ada, &bob]);
    let members = ada.json(&["members"]);
    assert_eq!(Rogue::refused(3, &ticket, None), JoinRefusal::UsedTicket);
    // What bob has proved is of no use to who overheard it.
    let bob_id = ada.status()["peers"][0]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(Rogue::refused(4, &ticket, Some(bob_id)), JoinRefusal::UnknownTicket);
    assert_eq!(refused(&ada, "join"), 2);
    assert_eq!(ada.json(&["members"]), members);
    assert_honest_write_arrives(&bob, &ada);
}

#[test]
fn a_member_that_floods_is_read_more_slowly_and_loses_nothing() {
    let mut ada = Node::keyed("ada", 1);
    ada.up();
    let bob = Node::running("bob");
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let mut rogue = Rogue::joined(2, &ada.ticket());
    until("the rogue's link", || {
        ada.status()["peers"].as_array().unwrap().iter().all(|peer| peer["connected"] == true)
    });
    rogue.greet();
    let before = ada.status()["entries"].as_u64().unwrap();
    let op = create(BeadId::from_bytes([5; 16]));
    let frame = |rogue: &mut Rogue| {
        let entries: Vec<Entry> =
            (0..FRAME_ENTRIES).map(|number| rogue.entry(Wall::from_millis(1_750_000_000_000 + number), &op)).collect();
        Frame::Entries(entries).encode()
    };
    let frames: Vec<Vec<u8>> = (0..FLOOD_ENTRIES / FRAME_ENTRIES).map(|_| frame(&mut rogue)).collect();
    let begin = Instant::now();
    let flood = std::thread::spawn(move || {
        rogue.flood(frames);
        rogue
    });
    for _ in 0..3 {
        assert_honest_write_arrives(&bob, &ada);
        assert_honest_write_arrives(&ada, &bob);
    }
    let mut rogue = flood.join().unwrap();
    until("all that was flooded", || {
        rogue.drain();
        ada.status()["entries"].as_u64().unwrap() >= before + FLOOD_ENTRIES
    });
    // A machine that is slow by itself needs no pace, so how often it was slowed down is not looked at here.
    assert!(begin.elapsed() >= FLOOD_MIN, "it took {:?}", begin.elapsed());
    assert_eq!(refused(&ada, "frame"), 0);
}

#[test]
fn connections_that_say_nothing_leave_room_for_members_and_joiners() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let port = ada.status()["listen"][0].as_str().unwrap().split('/').nth(4).unwrap().parse().unwrap();
    let connect = async {
        let mut held: Vec<TcpStream> = Vec::new();
        for _ in 0..CONNECTIONS {
            let socket = TcpSocket::new_v4().unwrap();
            // Another host, as far as the node can tell.
            socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
            held.extend(socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await);
        }
        held
    };
    let held = runtime.block_on(connect);
    assert!(held.len() > CONNECTIONS / 2);
    assert_honest_write_arrives(&bob, &ada);
    let late = Node::running("late");
    late.join(&ada);
    settle(&[&ada, &bob, &late]);
    until("the refusals", || refused(&ada, "connection_limit") > 0);
    drop(held);
    assert_honest_write_arrives(&ada, &bob);
}

#[test]
fn who_is_kept_out_is_cut_off_at_once_and_comes_back_when_let_in_again() {
    let (mut ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let body = ada.json(&["peers", "ban", "bob"]);
    assert_eq!(body["bans"][0]["name"], "bob");
    until("the end of the link", || bob.status()["peers"][0]["connected"] == false);
    let alias = bob.create(&["While kept out"]);
    until("a dial that is refused", || refused(&ada, "connection_banned") > 0);
    ada.down();
    ada.up();
    assert_eq!(ada.json(&["peers"])["peers"][0]["banned"], true, "it is remembered");
    until("another dial that is refused", || refused(&ada, "connection_banned") > 0);
    assert_eq!(ada.run(&["bead", "show", &alias]).status.code(), Some(5));
    ada.json(&["peers", "unban", "bob"]);
    settle(&[&ada, &bob]);
    assert!(ada.run(&["bead", "show", &alias]).status.success());
    let again = ada.run(&["peers", "unban", "bob", "--json"]);
    assert_eq!(again.status.code(), Some(5));
    ada.json(&["peers", "ban", "bob", "--for", "2s"]);
    settle(&[&ada, &bob]);
    assert_eq!(ada.json(&["peers"])["peers"][0].get("banned"), None);
    let own = ada.run(&["peers", "ban", "ada", "--json"]);
    assert_eq!(own.status.code(), Some(2));
    let unknown = ada.run(&["peers", "ban", "nobody", "--json"]);
    assert_eq!(unknown.status.code(), Some(5));
    assert_eq!(ada.json(&["peers", "ban", "bob", "--for", "1h"])["bans"].as_array().unwrap().len(), 1);
    assert_ne!(ada.status()["refused"], json!({}));
}

/// Returns the operation that makes a bead.
fn create(bead: BeadId) -> Op {
    let title = Edit::Set(Field::Title, FieldValue::Text("By a rogue".to_owned()));
    let changes = Document::new(bead).edit([7; 8], Wall::from_millis(1_750_000_000_000), &[title]).unwrap();
    Op::Bead(BeadChange { bead, change: changes[0].to_wire().to_vec() })
}
