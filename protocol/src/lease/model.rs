//! A model of leases: three voters, two claimants, a crash, a change of voters, and the orders in which their messages
//! can arrive. A checker walks through it, the nearest states first, as far as some seconds go.
//!
//! The state machines are the real ones; only their surroundings are small. Clocks run alike here and go on by half of a
//! hold, few messages are late, releases arrive at once, a voter learns of an epoch when it is asked in it, and all that
//! it changes is durable at once: the cell of the simulator is for the rest, and walks at random.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::holder::{Order, Wish};
use super::message::{Acquire, Answer, Ask, Release};
use super::succession::Handover;
use super::testing::{exclusive, holder, node};
use super::voter::{Boot, Record, State};
use super::{Attempt, Claims, Epoch, Holder, LaneId, Seat, Start, Succession, Voter};
use crate::clock::Instant;
use crate::id::{MeshId, VoterId};
use crate::limits::HOLD_MIN;
use crate::planted::{self, Bug};

/// The nodes whose agents claim: the first votes too, and is the older claimant.
const CLAIMANTS: [u8; 2] = [1, 4];

/// The start of all machines.
const BOOT: Boot = [1; 16];

/// The start of a machine that has crashed.
const BOOT_AGAIN: Boot = [2; 16];

/// The voters that seal, a bare majority: the first stays without having sealed, the last goes.
const SEALING: [usize; 2] = [1, 2];

/// States that a walk comes to, again or for the first time: some seconds, and more than each planted bug needs.
const STATES_MAX: usize = 16_000;

/// What may happen at most how often.
#[derive(Debug, Clone, Copy)]
struct Leases {
    /// Starts of a voter's process or machine.
    crashes: u8,
    /// Voters that may seal for the next epoch.
    seals: u8,
    /// How often time goes on, by half of a hold each.
    ticks: u8,
    /// Messages that are late: answers that wait, and asks that time overtakes.
    late: u8,
    bug: Option<Bug>,
}

/// One state of all that there is.
#[derive(Debug, Clone)]
struct World {
    now: Instant,
    /// What may happen still.
    left: Leases,
    posts: Vec<Part<Post>>,
    claims: Vec<Part<Claims>>,
    /// The only claim of each claimant.
    lanes: [LaneId; 2],
    /// The newest ask on its way from a claimant to a voter, and the answer that waits: older ones are lost.
    asks: BTreeMap<(usize, usize), Part<Acquire>>,
    answers: BTreeMap<(usize, usize), Part<Answer>>,
    succession: Part<Succession>,
    /// Which claimants know the next epoch.
    has_renewed: [bool; 2],
    /// Whether a voter has promised beside a promise in force that clashes.
    is_broken: bool,
}

/// What kind of part it is or on whose way, the voter it is on its way to, and its hash.
type Named = (usize, usize, [u8; 32]);

/// A part of the world with the hash of all that it says, which is made anew only when it changes.
#[derive(Debug, Clone)]
struct Part<T> {
    value: Arc<T>,
    name: [u8; 32],
}

/// A voter, what it has on disk, and until when what it promised in this epoch is in force, whatever it remembers.
#[derive(Clone)]
struct Post {
    voter: Voter,
    disk: Disk,
    boot: Boot,
    promised: BTreeMap<Attempt, Instant>,
}

/// What a voter has on disk.
#[derive(Debug, Clone, Default)]
struct Disk {
    state: Option<State>,
    grants: BTreeMap<Attempt, Record>,
    lanes: BTreeMap<Holder, Record>,
}

/// What happens next. Claimants and voters go by their place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Action {
    /// An ask arrives, and its answer at once.
    Ask(usize, usize),
    /// An ask arrives, and its answer waits.
    AskInVain(usize, usize),
    /// An answer that waited arrives.
    Answer(usize, usize),
    Tick,
    /// The process of a voter starts again.
    Restart(usize),
    /// The machine of a voter starts again.
    Boot(usize),
    /// A voter learns that other voters are wanted.
    Seal(usize),
    /// A claimant learns of the next epoch. A voter does so when it is first asked in it.
    Renew(usize),
}

/// Returns the epoch that is to follow the first: one voter goes, another comes.
fn second() -> Epoch {
    seats(2, [1, 2, 4])
}

fn seats(number: u64, nodes: [u8; 3]) -> Epoch {
    let seats = nodes.map(|n| Seat { node: node(n), voter: VoterId::from_bytes([n; 16]) });
    Epoch::new(number, seats.to_vec(), HOLD_MIN).expect("three voters")
}

/// Returns the number of the node at that place.
fn number(place: usize) -> u8 {
    u8::try_from(place + 1).expect("there are few")
}

impl<T: Debug + Clone> Part<T> {
    fn new(value: T) -> Self {
        let name = *blake3::hash(format!("{value:?}").as_bytes()).as_bytes();
        Self { value: Arc::new(value), name }
    }

    /// Changes it.
    fn edit<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = (*self.value).clone();
        let result = change(&mut value);
        *self = Self::new(value);
        result
    }
}

impl Debug for Post {
    /// Leaves out the disk, which says what the voter says.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Post").field(&self.voter).field(&self.promised).finish()
    }
}

impl Post {
    fn new(voter: Voter) -> Self {
        let mut post = Self { voter, disk: Disk::default(), boot: BOOT, promised: BTreeMap::new() };
        post.flush();
        post
    }

    /// Answers an ask, and says whether the answer is a promise that clashes with one in force.
    fn acquire(&mut self, now: Instant, ask: &Acquire) -> (Option<Answer>, bool) {
        ask.held_by.iter().for_each(|shown| self.voter.heed(shown));
        let holder = ask.token.attempt.lane.holder;
        let answer = self.voter.acquire(now, holder.node, ask);
        self.flush();
        let is_granted = matches!(answer, Some(Answer::Granted { .. }));
        let mut others = self.promised.iter().filter(|(attempt, _)| attempt.lane.holder != holder);
        let clashes = is_granted && others.any(|(_, until)| *until > now);
        if is_granted {
            self.promised.insert(ask.token.attempt, now.after(HOLD_MIN));
        }
        (answer, clashes)
    }

    fn release(&mut self, release: &Release) {
        let lane = release.token.attempt.lane;
        self.voter.release(lane.holder.node, release);
        self.flush();
        self.promised.retain(|attempt, _| attempt.lane != lane || attempt.seq > release.token.attempt.seq);
    }

    /// Ends the process and starts it again, perhaps with the machine.
    fn open(&mut self, place: usize, boot: Boot, now: Instant) {
        self.boot = boot;
        let Disk { state, grants, lanes } = self.disk.clone();
        let kept = grants.into_values().chain(lanes.into_values());
        self.voter = Voter::open(node(number(place)), state.expect("it was flushed"), kept, boot, now);
        self.flush();
    }

    fn flush(&mut self) {
        for record in self.voter.take_records() {
            match record {
                Record::State(state) => self.disk.state = Some(*state),
                Record::Grant(attempt, Some(_)) => drop(self.disk.grants.insert(attempt, record)),
                Record::Grant(attempt, None) => drop(self.disk.grants.remove(&attempt)),
                Record::Lanes(holder, Some(_)) => drop(self.disk.lanes.insert(holder, record)),
                Record::Lanes(holder, None) => drop(self.disk.lanes.remove(&holder)),
                Record::Close(..) => {}
            }
        }
    }

    fn epoch_number(&self) -> u64 {
        self.voter.epoch().0.map_or(0, |epoch| epoch.number)
    }
}

impl World {
    /// Begins when both claimants have learned where counters stand, and have asked all voters.
    fn begin(leases: Leases) -> Self {
        let now = Instant::from_micros(1_000_000);
        let first = seats(1, [1, 2, 3]);
        let founding = |n| Voter::founding(node(n), VoterId::from_bytes([n; 16]), BOOT, first.clone());
        let mut voters: Vec<Voter> = (1..=3).map(founding).collect();
        let here = Answer::Here(voters[0].here());
        voters.push(Voter::new(node(4), VoterId::from_bytes([4; 16]), BOOT));
        let begun = CLAIMANTS.map(|n| {
            let mut claims = Claims::new(node(n), 1);
            (1..=4).for_each(|other| claims.on_reach(node(other), true));
            claims.on_epoch(now, &first);
            let hour = Duration::from_secs(3_600);
            let wish = Wish { holder: holder(n, n), terms: exclusive(&["src/**"]), patience: hour, term: hour };
            let lane = claims.claim(now, wish);
            claims.take_orders();
            claims.on_answer(now, node(1), here.clone());
            (Part::new(claims), lane)
        });
        let lanes = [begun[0].1, begun[1].1];
        let succession = Succession::beginning(MeshId::from_bytes([1; 32]), node(1), [0; 32], first);
        let mut world = Self {
            now,
            left: leases,
            posts: voters.into_iter().map(|voter| Part::new(Post::new(voter))).collect(),
            claims: begun.into_iter().map(|(claims, _)| claims).collect(),
            lanes,
            asks: BTreeMap::new(),
            answers: BTreeMap::new(),
            succession: Part::new(succession),
            has_renewed: [false; 2],
            is_broken: false,
        };
        (0..CLAIMANTS.len()).for_each(|claimant| world.change(claimant, |_| ()));
        world
    }

    /// Lets a claimant act, and puts what it orders on its way; releases arrive at once.
    fn change(&mut self, claimant: usize, act: impl FnOnce(&mut Claims)) {
        let orders = self.claims[claimant].edit(|claims| {
            act(claims);
            claims.take_orders()
        });
        // All voters are asked the same.
        let mut asked = None;
        for order in orders {
            let Order::Send(to, ask) = order else { continue };
            let place = usize::from(to.as_bytes()[0]) - 1;
            match ask {
                Ask::Acquire(ask) => {
                    let ask = asked.get_or_insert_with(|| Part::new(*ask)).clone();
                    self.asks.insert((claimant, place), ask);
                }
                Ask::Release(release) => self.posts[place].edit(|post| post.release(&release)),
                Ask::Probe => {}
            }
        }
    }

    fn ask(&mut self, claimant: usize, voter: usize) -> Option<Answer> {
        let ask = self.asks.remove(&(claimant, voter))?;
        if ask.value.epoch > self.posts[voter].value.epoch_number() {
            self.follow(voter);
        }
        let now = self.now;
        let (answer, clashes) = self.posts[voter].edit(|post| post.acquire(now, &ask.value));
        self.is_broken |= clashes;
        answer
    }

    fn answer(&mut self, claimant: usize, voter: usize, answer: Option<Answer>) {
        let now = self.now;
        // A refusal is as good as no answer while there is patience left.
        if let Some(answer) = answer.filter(|answer| !matches!(answer, Answer::Refused { .. })) {
            self.change(claimant, |claims| claims.on_answer(now, node(number(voter)), answer));
        }
    }

    fn tick(&mut self) {
        self.left.ticks -= 1;
        self.left.late -= u8::try_from(self.asks.len()).expect("there are few");
        self.asks = BTreeMap::new();
        let now = self.now.after(HOLD_MIN / 2);
        self.now = now;
        (0..CLAIMANTS.len()).for_each(|claimant| self.change(claimant, |claims| claims.on_wakeup(now)));
    }

    fn open(&mut self, voter: usize, boot: Boot) {
        self.left.crashes -= 1;
        let now = self.now;
        self.posts[voter].edit(|post| post.open(voter, boot, now));
    }

    fn seal(&mut self, voter: usize) {
        self.left.seals -= 1;
        let now = self.now;
        let sealed = self.posts[voter].edit(|post| {
            let sealed = post.voter.seal(now, &second());
            post.flush();
            sealed
        });
        let parts = sealed.map_or_else(Vec::new, |sealed| Handover::parts(sealed, 1 << 20));
        self.succession.edit(|succession| {
            parts.into_iter().for_each(|part| succession.on_handover(node(number(voter)), part));
        });
    }

    fn follow(&mut self, voter: usize) {
        let now = self.now;
        if let (_, Start::Handed(certificate)) = self.succession.value.current() {
            self.posts[voter].edit(|post| {
                post.voter.activate(now, &certificate);
                post.flush();
                // What it alone had promised in the epoch before is no part of a lease.
                post.promised.clear();
            });
        }
    }

    fn holds(&self, claimant: usize) -> bool {
        self.claims[claimant].value.valid(self.now, self.lanes[claimant]).is_some()
    }

    /// Returns what tells it from other states: every part of it, and what may happen still.
    fn key(&self) -> (Instant, [u8; 4], bool, Vec<Named>) {
        let Leases { crashes, seals, ticks, late, bug: _ } = self.left;
        let asks = self.asks.iter().map(|((claimant, voter), ask)| (1 + claimant, *voter, ask.name));
        let answers = self.answers.iter().map(|((claimant, voter), answer)| (3 + claimant, *voter, answer.name));
        let names = self.posts.iter().map(|post| post.name).chain(self.claims.iter().map(|claims| claims.name));
        let names = names.chain([self.succession.name]).map(|name| (0, 0, name));
        (self.now, [crashes, seals, ticks, late], self.is_broken, names.chain(asks).chain(answers).collect())
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Model for Leases {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::begin(*self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let left = world.left;
        actions.extend(world.answers.keys().map(|&(claimant, voter)| Action::Answer(claimant, voter)));
        actions.extend(world.asks.keys().map(|&(claimant, voter)| Action::Ask(claimant, voter)));
        if left.late > 0 && left.ticks > 0 {
            actions.extend(world.asks.keys().map(|&(claimant, voter)| Action::AskInVain(claimant, voter)));
        }
        if left.ticks > 0 && world.asks.len() <= usize::from(left.late) {
            actions.push(Action::Tick);
        }
        let (epoch, _) = world.succession.value.current();
        for (place, post) in world.posts.iter().enumerate() {
            // Who has promised nothing has nothing to forget.
            if left.crashes > 0 && !post.value.promised.is_empty() {
                actions.extend([Action::Restart(place), Action::Boot(place)]);
            }
            let here = post.value.voter.here();
            if left.seals > 0 && SEALING.contains(&place) && here.active && here.epoch == 1 && here.sealed_for.is_none()
            {
                actions.push(Action::Seal(place));
            }
        }
        if epoch.number > 1 {
            let in_time = (0..CLAIMANTS.len()).filter(|claimant| !world.has_renewed[*claimant]);
            actions.extend(in_time.map(Action::Renew));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        assert!(planted::set(self.bug), "a bug needs a build with bugs");
        let mut next = world.clone();
        match action {
            Action::Ask(claimant, voter) => {
                let answer = next.ask(claimant, voter);
                next.answer(claimant, voter, answer);
            }
            Action::AskInVain(claimant, voter) => {
                next.left.late -= 1;
                let answer = next.ask(claimant, voter)?;
                next.answers.insert((claimant, voter), Part::new(answer));
            }
            Action::Answer(claimant, voter) => {
                let answer = next.answers.remove(&(claimant, voter))?;
                next.answer(claimant, voter, Some((*answer.value).clone()));
            }
            Action::Tick => next.tick(),
            Action::Restart(voter) => next.open(voter, world.posts[voter].value.boot),
            Action::Boot(voter) => next.open(voter, BOOT_AGAIN),
            Action::Seal(voter) => next.seal(voter),
            Action::Renew(claimant) => {
                let (epoch, _) = next.succession.value.current();
                let now = next.now;
                // What it asked for in the epoch before is lost.
                next.has_renewed[claimant] = true;
                next.asks.retain(|(by, _), _| *by != claimant);
                next.change(claimant, |claims| claims.on_epoch(now, &epoch));
            }
        }
        assert!(planted::set(None), "none can always be planted");
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("exclusion", |_, world: &World| !(world.holds(0) && world.holds(1))),
            Property::always("voter", |_, world: &World| !world.is_broken),
            Property::sometimes("the older holds", |_, world: &World| world.holds(0)),
            Property::sometimes("the younger holds", |_, world: &World| world.holds(1)),
            Property::sometimes("a voter of the next epoch promises", |_, world: &World| {
                world.posts.iter().any(|post| post.value.epoch_number() == 2 && !post.value.promised.is_empty())
            }),
        ]
    }
}

/// Walks through a model, the nearest states first, to its bound or a failure; returns the names of what was found.
fn walk(leases: Leases) -> Vec<&'static str> {
    let checker = leases.checker().target_state_count(STATES_MAX).finish_when(HasDiscoveries::AnyFailures);
    let mut found: Vec<&str> = checker.spawn_bfs().join().discoveries().into_keys().collect();
    found.sort_unstable();
    found
}

/// One voter starts again at any time, and time goes on.
const CRASH: Leases = Leases { crashes: 1, seals: 0, ticks: 1, late: 0, bug: None };

/// The voters change at any time.
const CHANGE: Leases = Leases { crashes: 0, seals: 2, ticks: 0, late: 0, bug: None };

#[test]
fn no_two_hold_whatever_the_order_when_a_voter_starts_again() {
    assert_eq!(walk(CRASH), ["the older holds", "the younger holds"]);
}

#[test]
fn no_two_hold_whatever_the_order_when_voters_change() {
    let found = walk(CHANGE);
    assert_eq!(found, ["a voter of the next epoch promises", "the older holds", "the younger holds"]);
}

#[test]
fn no_two_hold_when_a_voter_starts_again_while_voters_change_and_a_message_is_late() {
    let found = walk(Leases { crashes: 1, ticks: 1, late: 1, ..CHANGE });
    assert!(found.contains(&"the older holds") && found.contains(&"the younger holds"), "{found:?}");
    assert!(!found.contains(&"exclusion") && !found.contains(&"voter"), "{found:?}");
}

#[cfg(planted)]
#[test]
fn planted_bugs_are_found_on_the_walk() {
    for (leases, bug, check) in [
        (CRASH, Bug::HalfIsEnough, "exclusion"),
        (CRASH, Bug::ForgottenPromises, "voter"),
        (CHANGE, Bug::ImportsNothing, "exclusion"),
        (CHANGE, Bug::GrantsSealed, "exclusion"),
    ] {
        let found = walk(Leases { bug: Some(bug), ..leases });
        assert!(found.contains(&check), "{}: {found:?}", bug.name());
    }
}
