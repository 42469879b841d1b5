//! A member that breaks the protocol harms nobody but its own link: the node stays up and holds what it held.

use beadmesh_protocol::{
    bead::{Edit, Field, FieldValue, document::Document},
    clock::Wall,
    entry::Set,
    id::{BeadId, MeshId},
    limits::{FRAME_BYTES_MAX, WIRE_VERSION},
    op::{BeadChange, Op},
    reconcile::Summary,
    testing::{Author, bombs},
    wire::{Frame, Hello, Reconcile},
};
use serde_json::json;

use super::support::{Node, Rogue, check, until};

/// Keys of the node and of the rogue, which has the lower id of both.
const SEEDS: (u8, u8) = (1, 2);

/// A time that both clocks know.
const PAST: Wall = Wall::from_millis(1_750_000_000_000);

/// The first day of 2100.
const FUTURE: Wall = Wall::from_millis(4_102_444_800_000);

/// Memory that a bomb may cost a node.
const BOMB_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One wrong frame.
struct Row {
    what: &'static str,
    /// Whether a sound hello goes before it.
    greets: bool,
    frame: Vec<u8>,
    /// What the node says about it.
    says: &'static str,
}

#[test]
fn a_broken_frame_costs_its_sender_the_link_and_the_node_nothing() {
    let (node, mut rogue) = linked();
    let before = node.status();
    for row in rows(&mut rogue) {
        if row.greets {
            rogue.greet();
        }
        let logged = node.logged().len();
        rogue.send(row.frame);
        rogue.await_end();
        until(&format!("the node's word on {}", row.what), || node.logged()[logged..].contains(row.says));
        let after = node.status();
        assert_eq!((&after["digest"], &after["entries"]), (&before["digest"], &before["entries"]), "{}", row.what);
    }
    let over = u32::try_from(FRAME_BYTES_MAX).unwrap() + 1;
    let lengths = [
        (over, format!("a frame of {over} bytes where {FRAME_BYTES_MAX} are allowed")),
        (u32::MAX, format!("a frame of {} bytes where {FRAME_BYTES_MAX} are allowed", u32::MAX)),
        (0, "a frame of no bytes".to_owned()),
    ];
    for (length, says) in lengths {
        // The node may close one more connection of a member before it listens to it.
        until(&format!("the node's word: {says}"), || {
            rogue.write_raw(&length.to_be_bytes());
            node.logged().contains(&says)
        });
    }
    let after = node.status();
    assert_eq!((&after["digest"], &after["entries"]), (&before["digest"], &before["entries"]));
    node.create(&["After all that"]);
}

#[test]
fn a_forged_entry_is_named_and_an_entry_of_a_stranger_is_not_kept() {
    let (node, mut rogue) = linked();
    let before = node.status();
    let op = create(BeadId::from_bytes([5; 16]));
    let mut forged = Frame::Entries(vec![rogue.entry(PAST, &op)]).encode();
    *forged.last_mut().unwrap() ^= 1;
    rogue.greet();
    rogue.send(forged);
    rogue.await_end();
    until("the node's word on the forgery", || node.logged().contains("is not its author's"));
    assert_eq!(node.status()["refused"]["frame"], 1, "it is counted");

    let stranger = Author::seeded(3).entry(rogue.mesh(), 1, PAST, std::slice::from_ref(&op));
    rogue.greet();
    rogue.send(Frame::Entries(vec![stranger]).encode());
    // What is sound and comes after it is taken: the link has outlived the stranger's entry.
    let sound = rogue.entry(PAST, &op);
    rogue.deliver(&sound);
    let after = node.status();
    assert_eq!(after["entries"], before["entries"].as_u64().unwrap() + 1);
    assert_eq!(after["beads"], before["beads"].as_u64().unwrap() + 1);
}

#[test]
fn an_entry_from_the_future_is_applied_and_reported_and_pulls_no_clock() {
    let (node, mut rogue) = linked();
    assert_eq!(node.doctor(&[])["findings"], json!([]));
    let before = node.status();
    rogue.greet();
    let entry = rogue.entry(FUTURE, &create(BeadId::from_bytes([5; 16])));
    rogue.deliver(&entry);
    let after = node.status();
    assert_eq!(after["entries_from_future"], 1);
    assert_eq!(after["beads"], before["beads"].as_u64().unwrap() + 1);
    let told = node.doctor(&[]);
    assert_eq!((&told["findings"][0]["check"], check(&told, "clock.skew")), (&json!("clock.skew"), "warn"));

    node.create(&["Written afterwards"]);
    let newest = rogue.hear(|frame| match frame {
        Frame::Entries(entries) => entries.last().map(|entry| entry.content().hlc.wall()),
        _ => None,
    });
    assert!(newest > PAST && newest < FUTURE, "{newest}");
}

#[test]
fn a_bomb_is_stored_without_effect_and_costs_at_most_64_mib() {
    let (mut node, mut rogue) = linked();
    let bead: BeadId = node.show(&node.create(&["Target"]))["id"].as_str().unwrap().parse().unwrap();
    rogue.greet();
    let (entries, export) = (node.status()["entries"].as_u64().unwrap(), node.export());
    let corpus = bombs::corpus();
    let count = u64::try_from(corpus.len()).unwrap();
    for (what, change) in corpus {
        deliver_cheaply(what, &node, &mut rogue, BeadChange { bead, change });
        assert_eq!(node.export(), export, "{what}");
    }
    assert_eq!(node.status()["entries"], entries + count);
    assert_eq!(node.doctor(&[])["findings"], json!([]));
    node.down();
    node.up();
    assert_eq!(node.export(), export);
}

#[test]
fn the_heaviest_change_that_is_no_bomb_costs_at_most_64_mib() {
    let (node, mut rogue) = linked();
    rogue.greet();
    let bead = BeadId::from_bytes([5; 16]);
    deliver_cheaply("the heaviest change", &node, &mut rogue, BeadChange { bead, change: bombs::heaviest() });
    assert_eq!(node.show(&bead.to_string())["labels"].as_array().unwrap().len(), 4_096);
}

/// Starts a node with one bead, and a rogue that is in its mesh.
fn linked() -> (Node, Rogue) {
    let mut node = Node::keyed("ada", SEEDS.0);
    node.up();
    node.create(&["Before"]);
    let rogue = Rogue::joined(SEEDS.1, &node.ticket());
    // What the rogue's coming writes is written before anything is compared.
    until("the rogue's link", || node.status()["peers"][0]["connected"] == true);
    (node, rogue)
}

/// Delivers a change, and checks what that costs the node in memory.
fn deliver_cheaply(what: &str, node: &Node, rogue: &mut Rogue, change: BeadChange) {
    let held = node.memory("VmRSS");
    let entry = rogue.entry(PAST, &Op::Bead(change));
    rogue.deliver(&entry);
    let cost = node.memory("VmHWM").saturating_sub(held);
    assert!(cost <= BOMB_BYTES_MAX, "{what}: {cost} bytes");
}

fn rows(rogue: &mut Rogue) -> Vec<Row> {
    let row = |what, greets, frame, says| Row { what, greets, frame, says };
    let hello = |version, mesh| {
        Frame::Hello(Hello { version, mesh, control: Summary::default(), data: Summary::default() }).encode()
    };
    let mesh = rogue.mesh();
    let entry = rogue.entry(PAST, &create(BeadId::from_bytes([6; 16])));
    let trailing = [Frame::Ack(Vec::new()).encode(), vec![0]].concat();
    let message = vec![0xff; 64];
    let reconcile = Frame::Reconcile(Reconcile { set: Set::Data, first: true, message }).encode();
    // The tag of a list, then its length, which is 2^60.
    let endless = |tag: u8| [&[tag], [0x80; 8].as_slice(), &[0x10]].concat();
    let malformed = "frame does not decode";
    vec![
        row("garbage", false, vec![0xa5; 4_096], malformed),
        row("the largest garbage", false, vec![0xa5; FRAME_BYTES_MAX], malformed),
        row("a byte too many", false, trailing, malformed),
        row("a list of 2^60 ids", false, endless(3), malformed),
        row("a list of 2^60 entries", false, endless(4), malformed),
        row("entries before a hello", false, Frame::Entries(vec![entry]).encode(), "first frame on a link is a hello"),
        row("a hello of another mesh", false, hello(WIRE_VERSION, MeshId::from_bytes([9; 32])), "in another mesh"),
        row("a hello of another version", false, hello(99, mesh), "wire version 1, the peer 99"),
        row("a message that compares nothing", true, reconcile, "reconcil"),
    ]
}

/// Returns the operation that makes a bead.
fn create(bead: BeadId) -> Op {
    let title = Edit::Set(Field::Title, FieldValue::Text("By a rogue".to_owned()));
    let changes = Document::new(bead).edit([7; 8], PAST, &[title]).unwrap();
    Op::Bead(BeadChange { bead, change: changes[0].to_wire().to_vec() })
}
