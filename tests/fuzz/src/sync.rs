//! Links: reconciliation between sets, and a session with a peer that says anything.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use beadmesh_protocol::clock::{Instant, Timestamp, Wall};
use beadmesh_protocol::entry::{Entry, Set};
use beadmesh_protocol::id::{BeadId, EntryId};
use beadmesh_protocol::limits::WIRE_VERSION;
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::reconcile::{Initiator, Key, Responder, Snapshot, Step, Summary};
use beadmesh_protocol::sync::{Holdings, Order, Session, Side};
use beadmesh_protocol::testing::Author;
use beadmesh_protocol::wire::{Frame, Hello, Reconcile, Reconciled};

use crate::decode::mesh;
use crate::tape::Tape;

/// Messages that a peer says in one input at most.
const MESSAGES_MAX: usize = 64;

/// Bytes of entries that a session sends ahead.
const WINDOW_BYTES: usize = 64 * 1024;

/// Takes how, and then two sets, or what a peer says in the place of a reconciliation.
pub fn reconcile(data: &[u8]) {
    let mut tape = Tape::new(data);
    if tape.byte().is_multiple_of(2) { honest(&mut tape) } else { hostile(&mut tape) }
}

fn key(number: u32) -> Key {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.wrapping_mul(2_654_435_769).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    Key::new(Timestamp::from_wall(Wall::from_millis((number / 4).into())), EntryId::from_bytes(id))
}

fn snapshot(numbers: &BTreeSet<u32>) -> Snapshot {
    let mut keys: Vec<Key> = numbers.iter().copied().map(key).collect();
    keys.sort_unstable();
    Snapshot::new(keys)
}

/// Two honest sides find exactly what they lack of each other.
fn honest(tape: &mut Tape<'_>) {
    let shared = u32::from(tape.byte()) * 4;
    let (mut ours, mut theirs): (BTreeSet<u32>, BTreeSet<u32>) = ((0..shared).collect(), (0..shared).collect());
    while !tape.is_over() {
        let number = u32::from(tape.byte()) << 8 | u32::from(tape.byte());
        match tape.byte() % 4 {
            0 => drop(ours.insert(number)),
            1 => drop(theirs.insert(number)),
            2 => drop(ours.remove(&number)),
            _ => drop(theirs.remove(&number)),
        }
    }
    let (mut initiator, mut message) = Initiator::begin(snapshot(&ours)).expect("a snapshot in order");
    let mut responder = Responder::new(snapshot(&theirs)).expect("a snapshot in order");
    let difference = loop {
        let answer = responder.step(&message).expect("an honest side is answered");
        match initiator.step(&answer).expect("an honest side is answered") {
            Step::Continue(next) => message = next,
            Step::Done(difference) => break difference,
        }
    };
    let ids = |one: &BTreeSet<u32>, other: &BTreeSet<u32>| -> BTreeSet<EntryId> {
        one.difference(other).map(|number| key(*number).id()).collect()
    };
    assert_eq!(difference.have.iter().copied().collect::<BTreeSet<_>>(), ids(&ours, &theirs));
    assert_eq!(difference.need.iter().copied().collect::<BTreeSet<_>>(), ids(&theirs, &ours));
    assert!(difference.whole);
}

/// Whatever is said ends in an error or a difference, soon.
fn hostile(tape: &mut Tape<'_>) {
    let held = snapshot(&(0..200).collect());
    let (mut initiator, _) = Initiator::begin(held.clone()).expect("a snapshot in order");
    let mut responder = Responder::new(held).expect("a snapshot in order");
    let mut goes_on = [true, true];
    for _ in 0..MESSAGES_MAX {
        if tape.is_over() {
            break;
        }
        let message = tape.piece();
        if goes_on[0] {
            goes_on[0] = matches!(initiator.step(message), Ok(Step::Continue(_)));
        }
        if goes_on[1] {
            goes_on[1] = responder.step(message).is_ok();
        }
    }
}

fn entries() -> Vec<Entry> {
    thread_local! {
        static MADE: Vec<Entry> = (0..12)
            .map(|number| {
                let op = Op::Bead(BeadChange { bead: BeadId::from_bytes([1; 16]), change: vec![number] });
                Author::seeded(1).entry(mesh(), u64::from(number) + 1, Wall::from_millis(u64::from(number) * 7), &[op])
            })
            .collect();
    }
    MADE.with(Vec::clone)
}

/// Takes frames and how long after each other they come, for a session of a node that holds some entries.
pub fn session(data: &[u8]) {
    let mut tape = Tape::new(data);
    let all = entries();
    let held: RefCell<BTreeMap<EntryId, Entry>> =
        RefCell::new(all.iter().take(6).map(|entry| (entry.id(), entry.clone())).collect());
    let holds = |id| held.borrow().contains_key(&id);
    let snapshot = |set| {
        let held = held.borrow();
        let of_set = held.values().filter(|entry| entry.set() == set);
        let mut keys: Vec<Key> = of_set.map(|entry| Key::new(entry.content().hlc, entry.id())).collect();
        keys.sort_unstable();
        Snapshot::new(keys)
    };
    let holdings = || {
        let data = Summary::of(held.borrow().keys().copied());
        let hello = Hello { version: WIRE_VERSION, mesh: mesh(), control: Summary::default(), data };
        Holdings { hello, holds: &holds, snapshot: &snapshot }
    };
    let side = if tape.byte().is_multiple_of(2) { Side::Lower } else { Side::Higher };
    let mut now = Instant::from_micros(1);
    let (mut session, _) = Session::open(side, now, WINDOW_BYTES, &holdings());
    for _ in 0..MESSAGES_MAX {
        if tape.is_over() {
            break;
        }
        now = now.after(Duration::from_millis(u64::from(tape.byte()) * u64::from(tape.byte())));
        let orders = match frame(&mut tape, &all) {
            Some(frame) => session.on_frame(now, frame, &holdings()),
            None => session.on_wakeup(now, &holdings()),
        };
        let mut stored = false;
        for order in orders {
            match order {
                Order::Store(entries) => {
                    stored = true;
                    held.borrow_mut().extend(entries.into_iter().map(|entry| (entry.id(), entry)));
                }
                Order::Send(frame) => drop(frame.encode()),
                Order::Close { reason, .. } => {
                    assert!(!reason.is_empty());
                    return;
                }
            }
        }
        if stored && session.after_store(now, &holdings()).iter().any(|order| matches!(order, Order::Close { .. })) {
            return;
        }
        let mut sent = 0;
        while session.next_entries(now, &mut |id| held.borrow().get(&id).cloned()).is_some() {
            sent += 1;
            assert!(sent < 1_000, "a session sends without end");
        }
    }
}

/// Returns what the peer says next, if it says anything.
fn frame(tape: &mut Tape<'_>, all: &[Entry]) -> Option<Frame> {
    let id = |tape: &mut Tape<'_>| {
        let at = tape.byte();
        all.get(usize::from(at % 16)).map_or(EntryId::from_bytes([at; 32]), Entry::id)
    };
    let ids = |tape: &mut Tape<'_>| (0..tape.below(16)).map(|_| id(tape)).collect();
    let set = |tape: &mut Tape<'_>| if tape.byte().is_multiple_of(2) { Set::Data } else { Set::Control };
    let summary = |tape: &mut Tape<'_>| Summary { count: tape.count(), sum: [tape.byte(); 32] };
    Some(match tape.byte() % 8 {
        0 => Frame::Hello(Hello { version: WIRE_VERSION, mesh: mesh(), control: summary(tape), data: summary(tape) }),
        1 => Frame::Reconcile(Reconcile {
            set: set(tape),
            first: tape.byte().is_multiple_of(2),
            message: tape.piece().to_vec(),
        }),
        2 => Frame::Reconciled(Reconciled { set: set(tape), lacking: tape.count(), coming: tape.count() }),
        3 => Frame::Want(ids(tape)),
        4 => Frame::Entries((0..tape.below(8)).filter_map(|_| all.get(tape.below(16)).cloned()).collect()),
        5 => Frame::Ack(ids(tape)),
        6 => Frame::decode_by(tape.piece(), &mut |sealed| Entry::open_trusted(mesh(), sealed)).ok()?,
        _ => return None,
    })
}
