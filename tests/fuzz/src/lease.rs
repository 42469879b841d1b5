//! Leases: a voter that is asked anything by anybody, and a cell whose messages come in any order, twice or never.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::{BeadId, EntryId, NodeId, VoterId};
use beadmesh_protocol::lease::holder::{Order, Wish};
use beadmesh_protocol::lease::voter::{Boot, Grant, Lanes, Record, State};
use beadmesh_protocol::lease::{
    Acquire, Answer, Ask, Attempt, Birth, Certificate, Claims, Epoch, Holder, LaneId, Release, Seat, SignedPromise,
    Terms, Token, Voter,
};
use beadmesh_protocol::limits::HOLD_DEFAULT;

use crate::folds::{holder, terms};
use crate::tape::Tape;

/// Steps that one input takes at most.
const STEPS_MAX: usize = 400;

/// Nodes of a cell; each has a voter and an agent or two.
const NODES: u8 = 3;

/// Messages of a cell that are under way at one time; more are lost.
const UNDER_WAY_MAX: usize = 64;

const BOOT: Boot = [1; 16];

fn node(n: u8) -> NodeId {
    NodeId::from_bytes([n; 32])
}

fn epoch(number: u64) -> Epoch {
    let seats = (1..=NODES).map(|n| Seat { node: node(n), voter: VoterId::from_bytes([n; 16]) });
    Epoch::new(number, seats.collect(), HOLD_DEFAULT).expect("three voters are an epoch")
}

/// What of a voter is on disk.
#[derive(Default)]
struct Image {
    state: Option<State>,
    grants: BTreeMap<Attempt, Grant>,
    lanes: BTreeMap<Holder, Lanes>,
    closes: BTreeMap<BeadId, (Token, EntryId)>,
}

impl Image {
    fn keep(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::State(state) => self.state = Some(*state),
                Record::Grant(attempt, Some(grant)) => drop(self.grants.insert(attempt, *grant)),
                Record::Grant(attempt, None) => drop(self.grants.remove(&attempt)),
                Record::Lanes(holder, Some(lanes)) => drop(self.lanes.insert(holder, lanes)),
                Record::Lanes(holder, None) => drop(self.lanes.remove(&holder)),
                Record::Close(bead, Some(close)) => drop(self.closes.insert(bead, close)),
                Record::Close(bead, None) => drop(self.closes.remove(&bead)),
            }
        }
    }

    fn open(&self, node: NodeId, boot: Boot, now: Instant) -> Voter {
        let grants = self.grants.iter().map(|(attempt, grant)| Record::Grant(*attempt, Some(Box::new(grant.clone()))));
        let lanes = self.lanes.iter().map(|(holder, lanes)| Record::Lanes(*holder, Some(lanes.clone())));
        let closes = self.closes.iter().map(|(bead, close)| Record::Close(*bead, Some(*close)));
        let state = self.state.clone().expect("a voter is kept before it is opened");
        Voter::open(node, state, grants.chain(lanes).chain(closes), boot, now)
    }
}

/// A voter and what it has promised, as those it promised to may rely on it.
struct Bench {
    voter: Voter,
    image: Image,
    boot: Boot,
    now: Instant,
    /// By attempt: the token, what it is for, and until when.
    promised: BTreeMap<Attempt, (Token, Terms, Instant)>,
    shown: Vec<SignedPromise>,
}

/// Takes what a voter is asked, when, and when its process or its machine stops.
///
/// Invariants I4 (no two live promises that clash, also after a start), I5 (what is promised is on disk before it is
/// said) and I14 (what is kept is bounded by what is live).
pub fn voter(data: &[u8]) {
    let mut tape = Tape::new(data);
    let voter = Voter::founding(node(1), VoterId::from_bytes([1; 16]), BOOT, epoch(1));
    let now = Instant::from_micros(1_000_000);
    let mut bench =
        Bench { voter, image: Image::default(), boot: BOOT, now, promised: BTreeMap::new(), shown: Vec::new() };
    bench.image.keep(bench.voter.take_records());
    for _ in 0..STEPS_MAX {
        if tape.is_over() {
            break;
        }
        bench.step(&mut tape);
        bench.image.keep(bench.voter.take_records());
        bench.judge();
    }
}

impl Bench {
    fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.byte() % 16 {
            0..=7 => self.acquire(tape),
            8 | 9 => self.release(tape),
            10 => self.now = self.now.after(Duration::from_millis(tape.count() % 200_000)),
            11 => self.now = self.now.after(Duration::from_secs(tape.byte().into())),
            12 => self.voter = self.image.open(node(1), self.boot, self.now),
            13 => self.restart(),
            14 => {
                if let Some(shown) = self.shown.get(tape.below(self.shown.len())) {
                    self.voter.heed(shown);
                    assert!(!self.voter.is_dead(), "a voter takes its own promise for one of a copy");
                }
            }
            _ => self.next_epoch(tape),
        }
    }

    /// Starts the machine anew: its clock begins at 0.
    fn restart(&mut self) {
        let before = std::mem::replace(&mut self.now, Instant::from_micros(1));
        self.boot[0] = self.boot[0].wrapping_add(1);
        self.voter = self.image.open(node(1), self.boot, self.now);
        for (_, _, until) in self.promised.values_mut() {
            *until = self.now.after(until.since(before));
        }
        // The ledger holds what holders rely on; a promise that has lapsed has no place in it.
        self.promised.retain(|_, (_, _, until)| *until > Instant::from_micros(1));
    }

    /// Seals, and starts the next epoch with what was handed over, if it comes to that.
    fn next_epoch(&mut self, tape: &mut Tape<'_>) {
        let number = self.voter.here().epoch + 1 + u64::from(tape.byte() % 8 == 7);
        let sealed = self.voter.seal(self.now, &epoch(number));
        self.image.keep(self.voter.take_records());
        if let Some(sealed) = sealed.filter(|_| tape.byte() % 4 != 3) {
            assert!(self.voter.activate(self.now, &Certificate { epoch: sealed.successor, dump: sealed.dump }));
        }
    }

    fn attempt(tape: &mut Tape<'_>) -> Attempt {
        let holder = holder(tape);
        let (incarnation, lane, seq) = (1 + u64::from(tape.byte() % 3), tape.count().max(1), tape.count().max(1));
        Attempt { lane: LaneId { holder, incarnation, lane }, seq }
    }

    fn acquire(&mut self, tape: &mut Tape<'_>) {
        let attempt = Self::attempt(tape);
        let mut counter = tape.count();
        if tape.byte().is_multiple_of(2) {
            counter = self.voter.here().counter.saturating_add(1 + counter % 4);
        }
        let token = Token { counter, attempt };
        let held_by = self.shown.get(tape.below(self.shown.len() + 8)).cloned().into_iter().collect();
        let lanes_from =
            attempt.lane.lane.saturating_sub(u64::from(tape.byte() % 4)).saturating_add(u64::from(tape.byte() == 255));
        let birth = Birth { counter: tape.count(), holder: attempt.lane.holder };
        let epoch = self.voter.here().epoch.saturating_add(u64::from(tape.byte() == 255));
        let ask = Acquire { token, lanes_from, round: tape.count(), epoch, terms: terms(tape), birth, held_by };
        let from = if tape.byte() == 255 { node(9) } else { attempt.lane.holder.node };
        let answer = self.voter.acquire(self.now, from, &ask);
        self.image.keep(self.voter.take_records());
        if from == attempt.lane.holder.node && attempt.lane.lane >= lanes_from {
            self.forget(attempt, lanes_from);
        }
        let Some(answer) = answer else { return };
        let Answer::Granted { promise, .. } = answer else {
            if let Answer::Busy { blockers, .. } = answer {
                assert!(!blockers.is_empty(), "somebody is in the way");
            }
            return;
        };
        assert_eq!(from, attempt.lane.holder.node, "a node speaks for its own agents");
        let kept = self.image.grants.get(&attempt).expect("I5: a promise is on disk");
        assert!(kept.is_live(self.now) && kept.token(attempt) == token && kept.terms == ask.terms, "I5: {kept:?}");
        let serial = self.image.state.as_ref().map_or(0, |state| state.serial);
        assert!(promise.promise.serial <= serial, "I5: the number of a promise is on disk");
        assert_eq!(
            (promise.promise.token, promise.promise.terms, promise.promise.round),
            (token, ask.terms.name(), ask.round)
        );
        for (other, (_, terms, until)) in &self.promised {
            let is_other = other.lane.holder != attempt.lane.holder;
            assert!(!(is_other && *until > self.now && terms.excludes(&ask.terms)), "I4: {other:?} and {attempt:?}");
        }
        self.promised.insert(attempt, (token, ask.terms, self.now.after(HOLD_DEFAULT)));
        self.shown.truncate(16);
        self.shown.push(promise);
    }

    fn release(&mut self, tape: &mut Tape<'_>) {
        let known = self.promised.values().nth(tape.below(self.promised.len().max(1))).map(|(token, ..)| *token);
        let token = known.unwrap_or_else(|| Token { counter: tape.count(), attempt: Self::attempt(tape) });
        let close = (tape.byte().is_multiple_of(2))
            .then(|| (BeadId::from_bytes([tape.byte() % 4; 16]), EntryId::from_bytes([1; 32])));
        let lanes_from = token.attempt.lane.lane.saturating_sub(u64::from(tape.byte() % 4));
        let from = if tape.byte() == 255 { node(9) } else { token.attempt.lane.holder.node };
        self.voter.release(from, &Release { token, lanes_from, close });
        if from == token.attempt.lane.holder.node {
            self.forget(token.attempt, lanes_from);
            self.promised.remove(&token.attempt);
        }
    }

    /// Strikes out what a holder relies on no more once it has asked for an attempt: older starts, lower lanes, and the
    /// attempts of the lane before it.
    fn forget(&mut self, by: Attempt, lanes_from: u64) {
        self.promised.retain(|other, _| {
            let (lane, of) = (other.lane, by.lane);
            let is_over = lane.incarnation < of.incarnation
                || (lane.incarnation == of.incarnation && lane.lane < lanes_from)
                || (lane == of && other.seq < by.seq);
            lane.holder != of.holder || !is_over
        });
    }

    fn judge(&self) {
        let live: Vec<(Token, &Grant)> = self.voter.live(self.now).collect();
        assert!(self.voter.records() <= live.len() + 2 * STEPS_MAX, "I14");
        if self.voter.quiet_until(self.now).is_some() {
            // After a start of the machine those that had lapsed count again, because nobody can tell; all of them have
            // lapsed once it grants again.
            return;
        }
        for (at, (token, grant)) in live.iter().enumerate() {
            for (other, other_grant) in &live[at + 1..] {
                let is_other = token.attempt.lane.holder != other.attempt.lane.holder;
                assert!(!(is_other && grant.terms.excludes(&other_grant.terms)), "I4: {token:?} and {other:?}");
            }
        }
    }
}

/// A message of a cell.
#[derive(Clone)]
enum Message {
    Ask(Ask),
    Answer(Answer),
}

/// Three nodes, each with a voter and claims, and what is under way between them.
struct Cell {
    now: Instant,
    voters: BTreeMap<NodeId, (Voter, Image)>,
    claims: BTreeMap<NodeId, Claims>,
    under_way: Vec<(NodeId, NodeId, Message)>,
    lanes: Vec<(LaneId, Terms)>,
    held: Vec<(Token, Terms)>,
}

/// Takes what agents of three nodes claim, and how their messages come, get lost and come twice.
///
/// Invariants I1 (no two clashing leases are valid at once) and I2 (a later one has a higher token).
pub fn cell(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut cell = Cell::founded();
    for _ in 0..STEPS_MAX {
        if tape.is_over() {
            break;
        }
        cell.step(&mut tape);
        cell.take_orders();
        cell.judge();
    }
}

impl Cell {
    fn founded() -> Self {
        let now = Instant::from_micros(1_000_000);
        let (mut voters, mut claims) = (BTreeMap::new(), BTreeMap::new());
        for n in 1..=NODES {
            let mut voter = Voter::founding(node(n), VoterId::from_bytes([n; 16]), BOOT, epoch(1));
            let mut image = Image::default();
            image.keep(voter.take_records());
            voters.insert(node(n), (voter, image));
            let mut own = Claims::new(node(n), 1);
            (1..=NODES).for_each(|other| own.on_reach(node(other), true));
            own.on_epoch(now, &epoch(1));
            claims.insert(node(n), own);
        }
        Self { now, voters, claims, under_way: Vec::new(), lanes: Vec::new(), held: Vec::new() }
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.byte() % 16 {
            0..=7 => self.deliver(tape),
            8 => {
                let at = tape.below(self.under_way.len());
                if at < self.under_way.len() {
                    self.under_way.swap_remove(at);
                }
            }
            9 => self.under_way.extend(self.under_way.get(tape.below(self.under_way.len())).cloned()),
            10 | 11 => self.claim(tape),
            12 => {
                let at = tape.below(self.lanes.len());
                if at < self.lanes.len() {
                    let (lane, _) = self.lanes.swap_remove(at);
                    self.claims.get_mut(&lane.holder.node).expect("a node of the cell").release(lane, None);
                }
            }
            13 => {
                let node = node(1 + tape.byte() % NODES);
                let (voter, image) = self.voters.get_mut(&node).expect("a node of the cell");
                *voter = image.open(node, BOOT, self.now);
            }
            _ => {
                let span = Duration::from_millis([50, 400, 5_000, 40_000][tape.below(4)]);
                self.now = self.now.after(span);
                self.claims.values_mut().for_each(|claims| claims.on_wakeup(self.now));
            }
        }
    }

    fn claim(&mut self, tape: &mut Tape<'_>) {
        let mut holder = holder(tape);
        holder.node = node(1 + tape.byte() % NODES);
        let (terms, patience) = (terms(tape), Duration::from_secs(u64::from(tape.byte() % 2) * 30));
        let wish = Wish { holder, terms: terms.clone(), patience, term: Duration::from_secs(600) };
        let lane = self.claims.get_mut(&holder.node).expect("a node of the cell").claim(self.now, wish);
        self.lanes.push((lane, terms));
    }

    fn deliver(&mut self, tape: &mut Tape<'_>) {
        if self.under_way.is_empty() {
            return;
        }
        let (from, to, message) = self.under_way.remove(tape.below(self.under_way.len()));
        match message {
            Message::Answer(answer) => {
                self.claims.get_mut(&to).expect("a node of the cell").on_answer(self.now, from, answer);
            }
            Message::Ask(ask) => {
                let (voter, image) = self.voters.get_mut(&to).expect("a node of the cell");
                let answer = match &ask {
                    Ask::Acquire(ask) => voter.acquire(self.now, from, ask),
                    Ask::Release(release) => {
                        voter.release(from, release);
                        None
                    }
                    Ask::Probe => Some(Answer::Here(voter.here())),
                };
                image.keep(voter.take_records());
                self.under_way.extend(answer.map(|answer| (to, from, Message::Answer(answer))));
            }
        }
    }

    fn take_orders(&mut self) {
        for (node, claims) in &mut self.claims {
            for order in claims.take_orders() {
                match order {
                    Order::Send(to, ask) => self.under_way.push((*node, to, Message::Ask(ask))),
                    Order::Held(held) => {
                        let Some((_, terms)) = self.lanes.iter().find(|(lane, _)| *lane == held.lane) else { continue };
                        for (token, other) in &self.held {
                            let is_other = token.attempt.lane.holder != held.token.attempt.lane.holder;
                            let rises = token.counter < held.token.counter;
                            assert!(!is_other || rises || !other.excludes(terms), "I2: {token:?} and {:?}", held.token);
                        }
                        self.held.push((held.token, terms.clone()));
                    }
                    Order::Outdated(_) => panic!("no store was turned back"),
                    Order::Renewed { .. } | Order::Ended { .. } | Order::Catch(_) => {}
                }
            }
        }
        self.under_way.truncate(UNDER_WAY_MAX);
    }

    fn judge(&self) {
        let valid = |lane: &LaneId| self.claims[&lane.holder.node].valid(self.now, *lane).is_some();
        let valid: Vec<&(LaneId, Terms)> = self.lanes.iter().filter(|(lane, _)| valid(lane)).collect();
        for (at, (lane, terms)) in valid.iter().enumerate() {
            for (other, other_terms) in &valid[at + 1..] {
                assert!(lane.holder == other.holder || !terms.excludes(other_terms), "I1: {lane:?} and {other:?}");
            }
        }
    }
}
