//! One machine of a cell: its clock, its disk, its voter and the claims of its agents.

use std::collections::BTreeMap;

use beadmesh_protocol::id::VoterId;
use beadmesh_protocol::lease::change::{Certificate, Dump};
use beadmesh_protocol::lease::holder::incarnation_after;
use beadmesh_protocol::lease::message::Answer;
use beadmesh_protocol::lease::voter::{Boot, Record, State};
use beadmesh_protocol::lease::{Attempt, Claims, Holder, Start, Succession, Voter};
use beadmesh_protocol::planted::{self, Bug};

use super::id;
use super::known::{Entry, Known};
use super::office::Origin;
use super::plan::{Disk as Kept, Plan, first_voter};
use crate::clock::Clock;
use crate::random::Stream;

/// One machine.
#[derive(Debug)]
pub(super) struct Node {
    place: usize,
    pub(super) clock: Clock,
    pub(super) is_up: bool,
    /// How often the process has started: what was due in an earlier life is not due in this one.
    pub(super) start: u64,
    boot: u64,
    pub(super) paused_until: Option<u64>,
    pub(super) wakeup: Option<u64>,
    pub(super) is_flushing: bool,
    /// What goes with the next flush.
    pub(super) waiting: Flushed,
    pub(super) voter: Voter,
    pub(super) claims: Claims,
    /// The entries it has.
    pub(super) known: Known,
    /// What it knows of epochs without any.
    beginning: Succession,
    /// Answers that wait for a flush.
    pub(super) answers: Vec<(usize, Answer)>,
    /// Which voters have said who they are, and when.
    pub(super) heard: BTreeMap<usize, (u64, VoterId)>,
    pub(super) disk: Disk,
    /// What the disk held some time ago.
    older: Option<Disk>,
    stream: Stream,
}

/// What is durable at a node.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    state: State,
    grants: BTreeMap<Attempt, Record>,
    lanes: BTreeMap<Holder, Record>,
    starts: u64,
    entries: Vec<Entry>,
}

/// What one flush makes durable, and what may leave then.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// The voter whose records these are.
    pub(super) voter: Option<VoterId>,
    pub(super) records: Vec<Record>,
    pub(super) entries: Vec<(Entry, Origin)>,
    pub(super) answers: Vec<(usize, Answer)>,
}

impl Node {
    /// Makes a node that runs since the beginning.
    pub(super) fn new(plan: &Plan, place: usize, beginning: &Succession) -> Self {
        let known = Known::new(beginning, []);
        let first = &known.current().0;
        let mut voter = match first.seat(id(place)) {
            Some(seat) => Voter::founding(id(place), seat.voter, boot(0), first.clone()),
            None => Voter::new(id(place), first_voter(place), boot(0)),
        };
        let mut disk = None;
        for record in voter.take_records() {
            if let Record::State(state) = record {
                disk = Some(Disk::of(*state));
            }
        }
        let mut node = Self {
            place,
            clock: Clock::new(plan.drifts_ppm[place], 0),
            is_up: true,
            start: 0,
            boot: 0,
            paused_until: None,
            wakeup: None,
            is_flushing: false,
            waiting: Flushed::default(),
            voter,
            claims: Claims::new(id(place), 1),
            known,
            beginning: beginning.clone(),
            answers: Vec::new(),
            heard: BTreeMap::new(),
            disk: disk.expect("a new voter has a record"),
            older: None,
            stream: Stream::keyed(plan.seed, "cell node", u64::try_from(place).expect("few"), 0),
        };
        node.join_epoch();
        node
    }

    /// Stops the process. What was not flushed is gone.
    pub(super) fn stop(&mut self) {
        (self.is_up, self.paused_until, self.wakeup) = (false, None, None);
        self.answers.clear();
        (self.is_flushing, self.waiting) = (false, Flushed::default());
        self.known = Known::new(&self.beginning, self.disk.entries.clone());
        self.start += 1;
    }

    /// Starts the process again over what the disk holds.
    pub(super) fn begin(&mut self, now_us: u64) {
        self.is_up = true;
        self.known = Known::new(&self.beginning, self.disk.entries.clone());
        self.disk.starts = incarnation_after(self.disk.starts, self.clock.read(now_us).wall);
        let kept = self.disk.grants.values().chain(self.disk.lanes.values()).cloned();
        let now = self.clock.read(now_us).mono;
        self.voter = Voter::open(id(self.place), self.disk.state.clone(), kept, boot(self.boot), now);
        self.begin_claims(self.disk.starts);
    }

    /// Makes a new table of claims; the number of the start is durable at once.
    pub(super) fn begin_claims(&mut self, starts: u64) {
        self.disk.starts = starts;
        self.claims = Claims::new(id(self.place), starts);
        self.join_epoch();
    }

    fn join_epoch(&mut self) {
        for place in 0..16 {
            self.claims.on_reach(id(place), true);
        }
        self.claims.on_epoch(self.clock.read(0).mono, &self.known.current().0);
    }

    /// Ends the machine: its clock begins at zero when it starts again.
    pub(super) fn reboot(&mut self, now_us: u64, kept: Kept) {
        self.boot += 1;
        self.clock.boot(now_us);
        match kept {
            Kept::Kept => {}
            Kept::Lost => {
                let same = planted::is(Bug::LostVoterReturns);
                let voter = if same { self.voter.id() } else { VoterId::from_bytes(self.stream.bytes()) };
                let mut fresh = Voter::new(id(self.place), voter, boot(self.boot));
                let mut entries = std::mem::take(&mut self.disk.entries);
                if same && let (epoch, Start::Handed(_)) = self.known.current() {
                    let nothing = Certificate { epoch: epoch.clone(), dump: Dump::default() };
                    fresh.activate(self.clock.read(now_us).mono, &nothing);
                } else {
                    entries.clear();
                }
                self.take_disk_of(fresh);
                self.disk.entries = entries;
            }
            Kept::TurnedBack => {
                if let Some(older) = self.older.clone() {
                    self.disk = older;
                }
            }
        }
    }

    /// Keeps a copy of the disk, to which it may be turned back.
    pub(super) fn copy_disk(&mut self) {
        self.older = Some(self.disk.clone());
    }

    /// Gives up a voter of whose promises not all are known, and makes another.
    pub(super) fn replace_voter(&mut self, fresh: [u8; 16]) {
        let (starts, entries) = (self.disk.starts, std::mem::take(&mut self.disk.entries));
        self.take_disk_of(Voter::new(id(self.place), VoterId::from_bytes(fresh), boot(self.boot)));
        (self.disk.starts, self.disk.entries) = (starts, entries);
        // Promises of the old voter that wait for a flush must not leave, nor its records follow the new one's.
        self.answers.clear();
        (self.waiting.records, self.waiting.answers) = (Vec::new(), Vec::new());
        let now = beadmesh_protocol::clock::Instant::default();
        self.voter = Voter::open(id(self.place), self.disk.state.clone(), [], boot(self.boot), now);
    }

    /// Writes a new voter over what the disk held.
    fn take_disk_of(&mut self, mut voter: Voter) {
        let starts = self.disk.starts;
        for record in voter.take_records() {
            if let Record::State(state) = record {
                self.disk = Disk::of(*state);
            }
        }
        // A voter that is gone stays gone.
        self.older = None;
        // The number of starts is of the whole store; a lost disk loses it too.
        self.disk.starts = if planted::is(Bug::LostVoterReturns) { starts } else { 0 };
    }

    /// Draws how long a flush takes; nothing to write takes no time.
    pub(super) fn flush_delay(&mut self, plan: &Plan, flushed: &Flushed) -> u64 {
        if flushed.records.is_empty() && flushed.entries.is_empty() {
            1
        } else {
            1 + self.stream.exponential_us(plan.flush_mean_us).min(2_000_000)
        }
    }
}

impl Disk {
    fn of(state: State) -> Self {
        Self { state, grants: BTreeMap::new(), lanes: BTreeMap::new(), starts: 1, entries: Vec::new() }
    }

    /// Takes records as one batch.
    pub(super) fn keep(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::State(state) => self.state = *state,
                Record::Grant(attempt, Some(_)) => drop(self.grants.insert(attempt, record)),
                Record::Grant(attempt, None) => drop(self.grants.remove(&attempt)),
                Record::Lanes(holder, Some(_)) => drop(self.lanes.insert(holder, record)),
                Record::Lanes(holder, None) => drop(self.lanes.remove(&holder)),
                Record::Close(..) => {}
            }
        }
    }

    /// Takes entries, in the same batch.
    pub(super) fn keep_entries<'a>(&mut self, entries: impl IntoIterator<Item = &'a (Entry, Origin)>) {
        self.entries.extend(entries.into_iter().map(|(entry, _)| entry.clone()));
    }

    /// Returns whether it says that a promise was given.
    pub(super) fn knows(&self, promise: &beadmesh_protocol::lease::Promise) -> bool {
        // A later record may have ended or dropped it; what was given first is covered by the serial number.
        let is_kept = self.grants.contains_key(&promise.token.attempt) || self.state.floor >= Some(promise.token);
        self.state.voter == promise.voter
            && self.state.serial >= promise.serial
            && (is_kept || self.state.epoch_number() > promise.epoch)
    }
}

fn boot(count: u64) -> Boot {
    let mut boot = [0; 16];
    boot[..8].copy_from_slice(&count.to_le_bytes());
    boot
}
