//! Two sessions joined by a perfect link, each over a set in memory.

use proptest::prelude::*;

use super::*;
use crate::clock::Wall;
use crate::id::{BeadId, MeshId};
use crate::op::{BeadChange, Op, ProjectKeys};
use crate::reconcile::{Key, Summary};
use crate::testing::Author;

const MESH: MeshId = MeshId::from_bytes([9; 32]);

struct Peer {
    entries: BTreeMap<EntryId, Entry>,
    session: Session,
    closed: Option<(String, bool)>,
    bytes: usize,
    /// Every entry that came, in order.
    arrived: Vec<EntryId>,
}

/// Numbers from here on are entries of the control set.
const CONTROL: u32 = 10_000;

fn entry(number: u32) -> Entry {
    let op = if number < CONTROL {
        Op::Bead(BeadChange { bead: BeadId::from_bytes([1; 16]), change: number.to_le_bytes().to_vec() })
    } else {
        Op::Project(ProjectKeys { keys: vec![number.to_string()], prefix: None })
    };
    let wall = Wall::from_millis(u64::from(number) * 7);
    Author::seeded(1).entry(MESH, u64::from(number), wall, &[op])
}

fn holdings<'a>(
    entries: &BTreeMap<EntryId, Entry>,
    holds: &'a dyn Fn(EntryId) -> bool,
    snapshot: &'a dyn Fn(Set) -> Snapshot,
) -> Holdings<'a> {
    let summary = |set| Summary::of(entries.values().filter(|entry| entry.set() == set).map(Entry::id));
    let (control, data) = (summary(Set::Control), summary(Set::Data));
    Holdings { hello: Hello { version: WIRE_VERSION, mesh: MESH, control, data }, holds, snapshot }
}

/// Runs `act` with what the peer holds at hand.
fn with<R>(peer: &mut Peer, act: impl FnOnce(&mut Session, &Holdings<'_>) -> R) -> R {
    let entries = &peer.entries;
    let holds = |id| entries.contains_key(&id);
    let snapshot = |set| {
        let of_set = entries.values().filter(|entry| entry.set() == set);
        let mut keys: Vec<Key> = of_set.map(|entry| Key::new(entry.content().hlc, entry.id())).collect();
        keys.sort_unstable();
        Snapshot::new(keys)
    };
    act(&mut peer.session, &holdings(entries, &holds, &snapshot))
}

/// Obeys orders and returns the frames to deliver.
fn obey(peer: &mut Peer, now: Instant, orders: Vec<Order>) -> Vec<Frame> {
    let mut frames = Vec::new();
    for order in orders {
        match order {
            Order::Send(frame) => frames.push(frame),
            Order::Close { reason, violation } => peer.closed = Some((reason, violation)),
            Order::Store(entries) => {
                peer.arrived.extend(entries.iter().map(Entry::id));
                frames.push(Frame::Ack(entries.iter().map(Entry::id).collect()));
                peer.entries.extend(entries.into_iter().map(|entry| (entry.id(), entry)));
                let orders = with(peer, |session, holdings| session.after_store(now, holdings));
                frames.extend(obey(peer, now, orders));
            }
        }
    }
    frames
}

struct Pair {
    now: Instant,
    peers: [Peer; 2],
}

impl Pair {
    fn joined(left: impl IntoIterator<Item = u32>, right: impl IntoIterator<Item = u32>) -> Self {
        let (lower, higher) = (peer(Side::Lower, left), peer(Side::Higher, right));
        let mut pair = Self { now: Instant::default(), peers: [lower, higher] };
        let orders = with(&mut pair.peers[0], |session, holdings| session.compare(holdings));
        pair.run(0, orders);
        pair
    }

    /// Delivers the frames of `orders`, and all that follows from them.
    fn run(&mut self, from: usize, orders: Vec<Order>) {
        let mut wire: VecDeque<(usize, Frame)> = VecDeque::new();
        let frames = obey(&mut self.peers[from], self.now, orders);
        wire.extend(frames.into_iter().map(|frame| (from, frame)));
        loop {
            for side in 0..2 {
                let Peer { entries, session, .. } = &mut self.peers[side];
                while let Some(frame) = session.next_entries(self.now, &mut |id| entries.get(&id).cloned()) {
                    wire.push_back((side, frame));
                }
            }
            let Some((from, frame)) = wire.pop_front() else { break };
            let bytes = frame.encode();
            let to = &mut self.peers[1 - from];
            to.bytes += bytes.len();
            let frame = Frame::decode(MESH, &bytes).expect("sessions send sound frames");
            let now = self.now;
            let orders = with(to, |session, holdings| session.on_frame(now, frame, holdings));
            let frames = obey(to, now, orders);
            wire.extend(frames.into_iter().map(|frame| (1 - from, frame)));
        }
    }

    fn wake(&mut self, side: usize) {
        let now = self.now;
        let orders = with(&mut self.peers[side], |session, holdings| session.on_wakeup(now, holdings));
        self.run(side, orders);
    }

    fn assert_settled(&self) {
        let [lower, higher] = &self.peers;
        assert_eq!(lower.entries.keys().collect::<Vec<_>>(), higher.entries.keys().collect::<Vec<_>>());
        for peer in &self.peers {
            assert_eq!(peer.closed, None);
            assert!(peer.session.is_settled(), "{:?}", peer.session);
        }
    }
}

fn peer(side: Side, numbers: impl IntoIterator<Item = u32>) -> Peer {
    let entries: BTreeMap<EntryId, Entry> =
        numbers.into_iter().map(|n| (entry(n), ())).map(|(e, ())| (e.id(), e)).collect();
    let (session, _) = Session::open(
        side,
        Instant::default(),
        WINDOW_BYTES,
        &holdings(&entries, &|_| false, &|_| Snapshot::default()),
    );
    Peer { entries, session, closed: None, bytes: 0, arrived: Vec::new() }
}

#[test]
fn equal_sets_cost_two_hellos() {
    let pair = Pair::joined(0..50, 0..50);
    pair.assert_settled();
    assert!(pair.peers[0].bytes + pair.peers[1].bytes <= 353, "{} bytes", pair.peers[0].bytes + pair.peers[1].bytes);
}

#[test]
fn a_fresh_node_gets_everything() {
    Pair::joined(0..2_000, []).assert_settled();
    Pair::joined([], 0..2_000).assert_settled();
}

#[test]
fn what_is_missing_comes_oldest_first() {
    let oldest_first = |numbers: std::ops::Range<u32>| numbers.map(|number| entry(number).id()).collect::<Vec<_>>();
    assert_eq!(Pair::joined([], 0..2_000).peers[0].arrived, oldest_first(0..2_000));
    assert_eq!(Pair::joined(0..2_000, []).peers[1].arrived, oldest_first(0..2_000));
    let mut pair = Pair::joined(0..10, 0..10);
    pair.peers[0].entries.extend((100..200).map(|number| (entry(number).id(), entry(number))));
    pair.run(0, vec![Order::Send(Frame::Ack(oldest_first(100..200)))]);
    pair.now = pair.now.after(ANNOUNCE_DELAY);
    pair.wake(1);
    assert_eq!(pair.peers[1].arrived, oldest_first(100..200));
}

#[test]
fn control_entries_that_only_one_side_holds_reach_the_other_whoever_begins() {
    let control = CONTROL..CONTROL + 3;
    Pair::joined(control.clone().chain(0..5), 0..5).assert_settled();
    Pair::joined(0..5, control.clone().chain(0..5)).assert_settled();
    Pair::joined(control, CONTROL..CONTROL + 1).assert_settled();
}

#[test]
fn lag_counts_what_the_peer_has_not_acknowledged() {
    let mut pair = Pair::joined(0..10, 0..10);
    let fresh = entry(100);
    pair.peers[0].entries.insert(fresh.id(), fresh.clone());
    pair.peers[0].session.push(fresh.id());
    assert_eq!(pair.peers[0].session.lag(), Some(1));
    pair.run(0, vec![]);
    assert_eq!(pair.peers[0].session.lag(), Some(0));
    pair.assert_settled();
}

/// Two that greet each other, the higher holding one entry more, and what the lower orders then.
///
/// That entry comes to the lower by another link once `frames` are delivered: its greeting, or the answer too.
fn meeting_while_one_entry_comes(frames: usize) -> (Pair, Vec<Order>) {
    let mut pair = Pair { now: Instant::default(), peers: [peer(Side::Lower, 0..5), peer(Side::Higher, 0..6)] };
    let mut orders = with(&mut pair.peers[0], |session, holdings| session.compare(holdings));
    let (now, late) = (pair.now, entry(5));
    for (delivered, to) in [(1, 1), (2, 0)] {
        let [Order::Send(frame)] = &orders[..] else { panic!("{orders:?}") };
        orders = with(&mut pair.peers[to], |session, holdings| session.on_frame(now, frame.clone(), holdings));
        if delivered == frames {
            pair.peers[0].entries.insert(late.id(), late.clone());
        }
    }
    (pair, orders)
}

#[test]
fn lag_falls_when_what_was_found_missing_has_come_by_another_link() {
    let (mut pair, orders) = meeting_while_one_entry_comes(2);
    assert!(matches!(orders[..], [Order::Send(Frame::Reconcile(_))]));
    pair.run(0, orders);
    assert_eq!(pair.peers[1].session.lag(), Some(0));
    assert_eq!(pair.peers[0].arrived, []);
    pair.assert_settled();
}

#[test]
fn lag_falls_when_what_a_greeting_lacked_comes_before_the_answer() {
    let (mut pair, orders) = meeting_while_one_entry_comes(1);
    assert!(matches!(orders[..], [Order::Send(Frame::Hello(_))]));
    pair.run(0, orders);
    assert_eq!(pair.peers[1].session.lag(), Some(0));
    assert_eq!(pair.peers[0].arrived, []);
    pair.assert_settled();
}

#[test]
fn a_peer_may_say_that_it_lacks_any_number() {
    let mut higher = peer(Side::Higher, 0..5);
    (higher.session.greeted, higher.session.compared) = (true, true);
    higher.session.answering = Some((Set::Data, Responder::new(Snapshot::default()).unwrap()));
    higher.session.push(entry(1).id());
    let found = Frame::Reconciled(Reconciled { set: Set::Data, lacking: u64::MAX, coming: u64::MAX });
    with(&mut higher, |session, holdings| session.on_frame(Instant::default(), found, holdings));
    assert_eq!(higher.session.lag(), Some(u64::MAX));
}

#[test]
fn an_announced_entry_is_fetched_when_it_does_not_come_by_itself() {
    let mut pair = Pair::joined(0..10, 0..10);
    let relayed = entry(100);
    pair.peers[0].entries.insert(relayed.id(), relayed.clone());
    pair.run(0, vec![Order::Send(Frame::Ack(vec![relayed.id()]))]);
    assert!(!pair.peers[1].entries.contains_key(&relayed.id()));
    let due = pair.peers[1].session.next_wakeup().expect("the announcement sets a timer");
    assert_eq!(due.since(pair.now), ANNOUNCE_DELAY);
    pair.now = due;
    pair.wake(1);
    assert!(pair.peers[1].entries.contains_key(&relayed.id()));
}

#[test]
fn what_breaks_the_protocol_closes_the_link() {
    let cases = [
        Frame::Reconcile(Reconcile { set: Set::Data, first: false, message: vec![0x61] }),
        Frame::Reconcile(Reconcile { set: Set::Data, first: true, message: vec![0x30] }),
        Frame::Reconciled(Reconciled { set: Set::Data, lacking: 1, coming: 1 }),
    ];
    for frame in cases {
        let mut pair = Pair::joined(0..5, 0..5);
        pair.run(0, vec![Order::Send(frame.clone())]);
        assert!(matches!(pair.peers[1].closed, Some((_, true))), "{frame:?}");
    }
    let mut early = peer(Side::Higher, 0..5);
    let orders =
        with(&mut early, |session, holdings| session.on_frame(Instant::default(), Frame::Want(vec![]), holdings));
    assert!(matches!(orders[..], [Order::Close { violation: true, .. }]));
}

#[test]
fn another_mesh_or_version_is_refused_in_words() {
    let mut stranger = peer(Side::Higher, 0..5);
    let hello = |version, mesh| Hello { version, mesh, control: Summary::default(), data: Summary::default() };
    let orders = with(&mut stranger, |session, holdings| {
        session.on_frame(Instant::default(), Frame::Hello(hello(WIRE_VERSION, MeshId::NONE)), holdings)
    });
    assert_eq!(orders, [Order::Close { reason: "the peer is in another mesh".into(), violation: true }]);
    let orders = with(&mut stranger, |session, holdings| {
        session.on_frame(Instant::default(), Frame::Hello(hello(7, MESH)), holdings)
    });
    assert_eq!(orders, [Order::Close { reason: "we speak wire version 1, the peer 7".into(), violation: false }]);
}

#[test]
fn a_peer_that_goes_quiet_is_given_up() {
    let mut pair = Pair::joined(0..5, 0..5);
    let fresh = entry(100);
    pair.peers[0].entries.insert(fresh.id(), fresh.clone());
    pair.peers[0].session.push(fresh.id());
    let Peer { entries, session, .. } = &mut pair.peers[0];
    assert!(session.next_entries(pair.now, &mut |id| entries.get(&id).cloned()).is_some());
    pair.now = pair.peers[0].session.next_wakeup().expect("an unacknowledged entry sets a timer");
    pair.wake(0);
    let reason = "the peer acknowledged nothing for 60 s".to_owned();
    assert_eq!(pair.peers[0].closed, Some((reason, false)));
}

#[test]
fn a_peer_that_leaves_a_comparison_is_given_up() {
    let mut lower = peer(Side::Lower, 0..5);
    let hello = Hello { version: WIRE_VERSION, mesh: MESH, control: Summary::default(), data: Summary::default() };
    let orders =
        with(&mut lower, |session, holdings| session.on_frame(Instant::default(), Frame::Hello(hello), holdings));
    assert!(matches!(orders[..], [Order::Send(Frame::Reconcile(_))]));
    let due = lower.session.next_wakeup().expect("an unanswered question sets a timer");
    let orders = with(&mut lower, |session, holdings| session.on_wakeup(due, holdings));
    let reason = "the peer said nothing in a comparison for 60 s".to_owned();
    assert_eq!(orders, [Order::Close { reason, violation: false }]);
}

#[test]
fn a_comparison_asked_for_too_soon_begins_a_second_later() {
    let mut pair = Pair::joined(0..5, 0..6);
    let late = entry(100);
    pair.peers[1].entries.insert(late.id(), late.clone());
    let orders = with(&mut pair.peers[1], |session, holdings| session.compare(holdings));
    pair.run(1, orders);
    assert!(!pair.peers[0].entries.contains_key(&late.id()));
    assert!(!pair.peers[0].session.is_settled());
    let due = pair.peers[0].session.next_wakeup().expect("what waits sets a timer");
    assert_eq!(due.since(pair.now), BEGIN_PAUSE);
    pair.now = due;
    pair.wake(0);
    pair.assert_settled();
}

#[test]
fn a_question_that_comes_too_soon_is_answered_a_second_after_the_last() {
    let mut higher = peer(Side::Higher, 0..50);
    higher.session.greeted = true;
    let mut ask = |now: Instant| {
        let (_, message) = Initiator::begin(Snapshot::default()).unwrap();
        let question = Frame::Reconcile(Reconcile { set: Set::Data, first: true, message });
        with(&mut higher, |session, holdings| session.on_frame(now, question, holdings))
    };
    let start = Instant::default();
    assert_eq!(ask(start).len(), 1);
    for _ in 0..3 {
        assert_eq!(ask(start), []);
    }
    let due = start.after(BEGIN_PAUSE);
    assert_eq!(higher.session.next_wakeup(), Some(due));
    let orders = with(&mut higher, |session, holdings| session.on_wakeup(due, holdings));
    assert!(matches!(orders[..], [Order::Send(Frame::Reconcile(Reconcile { first: false, .. }))]));
    assert_eq!(higher.session.next_wakeup(), None);
}

#[test]
fn an_entry_is_sent_to_who_wants_it_twice_and_then_after_the_next_comparison() {
    let mut pair = Pair::joined(0..5, 0..5);
    let sent = |pair: &mut Pair| {
        let Peer { entries, session, .. } = &mut pair.peers[0];
        let frame = session.next_entries(pair.now, &mut |id| entries.get(&id).cloned());
        frame.map_or(0, |frame| if let Frame::Entries(entries) = frame { entries.len() } else { 0 })
    };
    let want = |pair: &mut Pair| {
        let (now, frame) = (pair.now, Frame::Want(vec![entry(3).id()]));
        with(&mut pair.peers[0], |session, holdings| session.on_frame(now, frame, holdings));
    };
    for expected in [1, 1, 0, 0] {
        want(&mut pair);
        assert_eq!(sent(&mut pair), expected);
        assert_eq!(pair.peers[0].session.unacked_bytes, entry(3).bytes_len());
    }
    let now = pair.now;
    with(&mut pair.peers[0], |session, holdings| session.begin(now, Set::Data, holdings));
    want(&mut pair);
    assert_eq!(sent(&mut pair), 1);
}

#[test]
fn what_a_peer_says_it_holds_waits_within_bounds_and_the_rest_is_compared_for() {
    let mut pair = Pair::joined(0..5, 0..5);
    for wave in 0..4u64 {
        let invented = |at: u64| EntryId::from_bytes(*blake3::hash(&(wave << 32 | at).to_le_bytes()).as_bytes());
        let ids = (0..ASKED_MAX as u64).map(invented).collect();
        let now = pair.now;
        with(&mut pair.peers[1], |session, holdings| session.on_frame(now, Frame::Ack(ids), holdings));
        pair.now = pair.now.after(ANNOUNCE_DELAY);
        let now = pair.now;
        with(&mut pair.peers[1], |session, holdings| session.on_wakeup(now, holdings));
        let session = &pair.peers[1].session;
        assert!(session.need.len() <= ASKED_MAX && session.asked.len() <= ASKED_MAX);
    }
    assert!(pair.peers[1].session.again);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_two_sets_become_their_union(
        left in proptest::collection::btree_set(CONTROL - 300..CONTROL + 100, 0..200),
        right in proptest::collection::btree_set(CONTROL - 300..CONTROL + 100, 0..200),
    ) {
        let union: BTreeSet<EntryId> = left.union(&right).map(|&number| entry(number).id()).collect();
        let pair = Pair::joined(left, right);
        pair.assert_settled();
        prop_assert!(pair.peers[0].entries.keys().eq(union.iter()));
    }
}
