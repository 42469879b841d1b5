//! One link's conversation: compare the sets, fetch and send what is missing, then push what is new.
//!
//! A session holds no entries and reads no store: the replica hands in what it holds, takes entries that arrive, and
//! is asked for bytes when there is room to send. Nothing here is trusted beyond form; whether an entry is stored is
//! the replica's business.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::Instant;
use crate::entry::{Entry, Set};
use crate::id::EntryId;
use crate::limits::{FRAME_IDS_MAX, WIRE_VERSION};
use crate::planted::{self, Bug};
use crate::reconcile::{Initiator, ReconcileError, Responder, Snapshot, Step};
use crate::wire::{Frame, Hello, Reconcile, Reconciled};

/// Bytes of entries in one frame: small enough that handling one delays nothing else by more than a few milliseconds.
const ENTRIES_FRAME_BYTES: usize = 64 * 1024;

/// Bytes of entries sent and not yet acknowledged, as is usual: covers 100 ms of a 160 Mbit/s path.
pub const WINDOW_BYTES: usize = 2 * 1024 * 1024;

/// Ids asked for at one time; more are asked when these have come.
const ASKED_MAX: usize = FRAME_IDS_MAX;

/// Ids that may wait to be sent to one peer, 32 MB; beyond it a later comparison finds them again.
const QUEUE_MAX: usize = 1 << 20;

/// How long an entry that a peer says it holds may still come from its author before we ask that peer.
const ANNOUNCE_DELAY: Duration = Duration::from_millis(50);

/// How long a peer may leave entries unacknowledged, or what it was asked for unsent, before the link is given up.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Time between the beginnings of two comparisons of one set on a link: each goes over the whole set, and a frame of 60
/// bytes or a hello asks for one. What comes sooner waits, so that nobody honest is blamed for being quick.
const BEGIN_PAUSE: Duration = Duration::from_secs(1);

/// How soon after a comparison an entry of an unknown author may set off another.
const UNKNOWN_AUTHOR_PAUSE: Duration = Duration::from_secs(2);

/// Which end of the link this is: the lower node id begins comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Has the lower node id; begins comparisons.
    Lower,
    /// Has the higher node id; asks for a comparison by a hello.
    Higher,
}

/// What the replica holds, as a session may ask.
pub struct Holdings<'a> {
    /// Says what we hold of both sets now.
    pub hello: Hello,
    /// Returns whether an entry is stored here.
    pub holds: &'a dyn Fn(EntryId) -> bool,
    /// Freezes the keys of a set.
    pub snapshot: &'a dyn Fn(Set) -> Snapshot,
}

/// What the replica is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Send a frame.
    Send(Frame),
    /// Store these entries if they may be stored; they came from the peer.
    Store(Vec<Entry>),
    /// Close the link, for this reason; `violation` says whether the peer broke the protocol.
    Close {
        /// Why, in words.
        reason: String,
        /// Whether the peer broke the protocol.
        violation: bool,
    },
}

/// How far a first sync or a catch-up has come, in entries received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries received of those found missing.
    pub done: u64,
    /// Entries found missing.
    pub total: u64,
}

/// A comparison this side has begun.
#[derive(Debug)]
enum Phase {
    /// Nothing is being compared.
    Quiet,
    /// Messages go back and forth.
    Comparing(Set, Initiator),
    /// The difference of the set is known, and what we lack is coming.
    Fetching(Set),
}

/// The state of one link.
#[derive(Debug)]
pub struct Session {
    side: Side,
    /// Bytes of entries that may be sent ahead of acknowledgements; the last entry may reach beyond.
    window_bytes: usize,
    greeted: bool,
    /// What we last said that we hold.
    told: Hello,
    phase: Phase,
    /// When the peer was last heard of in the comparison we began.
    comparing_since: Instant,
    answering: Option<(Set, Responder)>,
    /// When a comparison of each set last began here.
    begun: BTreeMap<Set, Instant>,
    /// A question that came too soon, with when to answer it.
    held_back: Option<(Instant, Reconcile)>,
    /// When to ask for the comparison that a hello called for too soon.
    compare_at: Option<Instant>,
    /// Entries we lack and the peer holds, not asked for yet.
    need: VecDeque<EntryId>,
    /// Entries asked for and not come yet.
    asked: BTreeSet<EntryId>,
    /// When the peer last sent something asked for, or was first asked.
    asked_since: Instant,
    /// Entries to send: what is new first, what a comparison found after it.
    fresh: VecDeque<EntryId>,
    missing: VecDeque<EntryId>,
    /// Entries sent and not acknowledged, with their bytes.
    unacked: BTreeMap<EntryId, usize>,
    unacked_bytes: usize,
    unacked_since: Instant,
    /// Entries that the peer has wanted since the last comparison began, and those it has wanted twice.
    wanted: BTreeSet<EntryId>,
    wanted_again: BTreeSet<EntryId>,
    /// Entries that the peer has said it lacks and will name later.
    unnamed: u64,
    /// Whether the sets have been compared on this link.
    compared: bool,
    /// Entries the peer says it holds and we lack, with when to ask for them and in which order they were named.
    announced: BTreeMap<EntryId, (Instant, u64)>,
    announcements: u64,
    unknown_author_at: Option<Instant>,
    again: bool,
    progress: Progress,
}

impl Session {
    /// Opens a session that sends at most `window_bytes` of entries ahead of acknowledgements; the lower side greets first.
    pub fn open(side: Side, now: Instant, window_bytes: usize, holdings: &Holdings<'_>) -> (Self, Vec<Order>) {
        let session = Self {
            side,
            window_bytes,
            greeted: false,
            told: holdings.hello.clone(),
            phase: Phase::Quiet,
            comparing_since: now,
            answering: None,
            begun: BTreeMap::new(),
            held_back: None,
            compare_at: None,
            need: VecDeque::new(),
            asked: BTreeSet::new(),
            asked_since: now,
            fresh: VecDeque::new(),
            missing: VecDeque::new(),
            unacked: BTreeMap::new(),
            unacked_bytes: 0,
            unacked_since: now,
            wanted: BTreeSet::new(),
            wanted_again: BTreeSet::new(),
            unnamed: 0,
            compared: false,
            announced: BTreeMap::new(),
            announcements: 0,
            unknown_author_at: None,
            again: false,
            progress: Progress::default(),
        };
        let orders = match side {
            Side::Lower => vec![Order::Send(Frame::Hello(holdings.hello.clone()))],
            Side::Higher => Vec::new(),
        };
        (session, orders)
    }

    /// Takes one frame of the peer. The peer can make this neither fail nor panic: what it breaks closes the link.
    pub fn on_frame(&mut self, now: Instant, frame: Frame, holdings: &Holdings<'_>) -> Vec<Order> {
        if !self.greeted && !matches!(frame, Frame::Hello(_) | Frame::Bye(_)) {
            return violation("the first frame on a link is a hello");
        }
        match frame {
            Frame::Hello(hello) => self.on_hello(now, &hello, holdings),
            Frame::Reconcile(message) => self.on_reconcile(now, message, holdings),
            Frame::Reconciled(found) => self.on_reconciled(found),
            Frame::Want(ids) => {
                self.on_want(&ids, holdings);
                Vec::new()
            }
            Frame::Entries(entries) => self.on_entries(now, entries),
            Frame::Ack(ids) => {
                self.on_ack(now, &ids, holdings);
                Vec::new()
            }
            Frame::Bye(reason) => vec![Order::Close { reason, violation: false }],
        }
    }

    /// Asks for a comparison, now or when the present one is done.
    pub fn compare(&mut self, holdings: &Holdings<'_>) -> Vec<Order> {
        if matches!(self.phase, Phase::Quiet) {
            vec![self.greet(holdings)]
        } else {
            self.again = true;
            Vec::new()
        }
    }

    /// Takes note that the peer sent entries of an author we do not know: its control set has something we lack.
    pub fn on_unknown_author(&mut self, now: Instant, holdings: &Holdings<'_>) -> Vec<Order> {
        let recent = self.unknown_author_at.is_some_and(|at| now.since(at) < UNKNOWN_AUTHOR_PAUSE);
        if recent {
            return Vec::new();
        }
        self.unknown_author_at = Some(now);
        self.compare(holdings)
    }

    /// Queues a new durable entry for the peer.
    pub fn push(&mut self, id: EntryId) {
        if self.fresh.len() < QUEUE_MAX {
            self.fresh.push_back(id);
        }
    }

    /// Returns whether the peer has greeted: before, nothing but a greeting may be sent.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Returns the next frame of entries, while the window has room; `load` reads an entry that is stored here.
    pub fn next_entries(&mut self, now: Instant, load: &mut dyn FnMut(EntryId) -> Option<Entry>) -> Option<Frame> {
        if !self.greeted {
            return None;
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        let window = if planted::is(Bug::WindowIgnored) { usize::MAX } else { self.window_bytes };
        while bytes < ENTRIES_FRAME_BYTES && self.unacked_bytes < window {
            let Some(id) = self.fresh.pop_front().or_else(|| self.missing.pop_front()) else { break };
            if self.unacked.contains_key(&id) {
                continue;
            }
            let Some(entry) = load(id) else { continue };
            if self.unacked.is_empty() {
                self.unacked_since = now;
            }
            bytes += entry.bytes_len();
            self.unacked_bytes += entry.bytes_len();
            self.unacked.insert(id, entry.bytes_len());
            entries.push(entry);
        }
        if entries.is_empty() { None } else { Some(Frame::Entries(entries)) }
    }

    /// Asks for what is due: the next entries found missing, and announced ones that did not come by themselves.
    pub fn on_wakeup(&mut self, now: Instant, holdings: &Holdings<'_>) -> Vec<Order> {
        if !self.unacked.is_empty() && now.since(self.unacked_since) > STALL_MAX {
            return stalled("acknowledged nothing");
        }
        if !self.asked.is_empty() && now.since(self.asked_since) > STALL_MAX {
            return stalled("sent nothing it was asked for");
        }
        if matches!(self.phase, Phase::Comparing(..)) && now.since(self.comparing_since) > STALL_MAX {
            return stalled("said nothing in a comparison");
        }
        let mut orders = Vec::new();
        if let Some((_, message)) = self.held_back.take_if(|(due, _)| *due <= now) {
            orders.extend(self.on_question(now, message, holdings));
        }
        if self.compare_at.take_if(|due| *due <= now).is_some() {
            orders.extend(self.compare(holdings));
        }
        self.need_announced(now, holdings);
        orders.extend(self.ask(now, holdings));
        orders
    }

    /// Moves announced entries that did not come by themselves to those we need, in the order they were named.
    fn need_announced(&mut self, now: Instant, holdings: &Holdings<'_>) {
        let due = self.announced.iter().filter(|(_, (due, _))| *due <= now);
        let mut due: Vec<(u64, EntryId)> = due.map(|(&id, &(_, order))| (order, id)).collect();
        due.sort_unstable();
        for (_, id) in due {
            self.announced.remove(&id);
            if self.asked.contains(&id) || (holdings.holds)(id) {
                continue;
            }
            if self.need.len() < ASKED_MAX {
                self.need.push_back(id);
            } else {
                self.again = true;
            }
        }
    }

    /// Says when `on_wakeup` is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let stall = |since: Instant| since.after(STALL_MAX + Duration::from_secs(1));
        let announced = self.announced.values().map(|&(due, _)| due).min();
        let unacked = (!self.unacked.is_empty()).then(|| stall(self.unacked_since));
        let asked = (!self.asked.is_empty()).then(|| stall(self.asked_since));
        let comparing = matches!(self.phase, Phase::Comparing(..)).then(|| stall(self.comparing_since));
        let held_back = self.held_back.as_ref().map(|&(due, _)| due);
        [announced, unacked, asked, comparing, held_back, self.compare_at].into_iter().flatten().min()
    }

    /// Returns how many entries we hold that the peer is not known to hold; `None` before the first comparison.
    pub fn lag(&self) -> Option<u64> {
        let queued = self.fresh.len() + self.missing.len() + self.unacked.len();
        self.compared.then(|| self.unnamed.saturating_add(count(queued)))
    }

    /// Returns how far catching up has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Returns whether we lack nothing the peer was found to hold, and it lacks nothing of ours.
    pub fn is_settled(&self) -> bool {
        let idle = matches!(self.phase, Phase::Quiet) && self.compare_at.is_none() && self.held_back.is_none();
        idle && self.need.is_empty() && self.asked.is_empty() && self.lag() == Some(0)
    }

    fn on_hello(&mut self, now: Instant, theirs: &Hello, holdings: &Holdings<'_>) -> Vec<Order> {
        let ours = &holdings.hello;
        if theirs.version != WIRE_VERSION {
            let versions = format!("we speak wire version {WIRE_VERSION}, the peer {}", theirs.version);
            return vec![Order::Close { reason: versions, violation: false }];
        }
        if theirs.mesh != ours.mesh {
            return vec![Order::Close { reason: "the peer is in another mesh".to_owned(), violation: true }];
        }
        self.greeted = true;
        let control = theirs.control == ours.control;
        let as_many = planted::is(Bug::EqualCounts) && theirs.data.count == ours.data.count;
        let equal = control && (theirs.data == ours.data || as_many);
        if equal {
            self.compared = true;
            self.unnamed = 0;
        }
        if self.side == Side::Higher || (equal && planted::is(Bug::HelloEcho)) {
            return vec![self.greet(holdings)];
        }
        if equal && self.told != *ours {
            // What we said before made the peer believe that we lack something.
            return vec![self.greet(holdings)];
        }
        if equal || !matches!(self.phase, Phase::Quiet) {
            return Vec::new();
        }
        let set = if control { Set::Data } else { Set::Control };
        self.compare_at = self.too_soon(now, set);
        if self.compare_at.is_some() { Vec::new() } else { self.begin(now, set, holdings) }
    }

    fn greet(&mut self, holdings: &Holdings<'_>) -> Order {
        self.told = holdings.hello.clone();
        Order::Send(Frame::Hello(self.told.clone()))
    }

    /// Returns when a comparison of a set may begin, if that is not now.
    fn too_soon(&self, now: Instant, set: Set) -> Option<Instant> {
        self.begun.get(&set).map(|begun| begun.after(BEGIN_PAUSE)).filter(|&due| due > now)
    }

    fn begin(&mut self, now: Instant, set: Set, holdings: &Holdings<'_>) -> Vec<Order> {
        match Initiator::begin((holdings.snapshot)(set)) {
            Ok((initiator, message)) => {
                self.phase = Phase::Comparing(set, initiator);
                self.comparing_since = now;
                self.on_begun(now, set);
                vec![Order::Send(Frame::Reconcile(Reconcile { set, first: true, message }))]
            }
            Err(error) => broken(&error),
        }
    }

    /// Drops what was queued by earlier comparisons: the one that begins finds it again. What the peer wanted stays, for
    /// it waits for that.
    fn on_begun(&mut self, now: Instant, set: Set) {
        self.begun.insert(set, now);
        let queued = self.missing.iter().filter(|id| self.wanted.contains(id));
        self.wanted = queued.copied().collect();
        self.wanted_again.retain(|id| self.wanted.contains(id));
        if set == Set::Data {
            self.missing.retain(|id| self.wanted.contains(id));
            self.unacked.clear();
            self.unacked_bytes = 0;
            self.unnamed = 0;
        }
    }

    fn on_reconcile(&mut self, now: Instant, message: Reconcile, holdings: &Holdings<'_>) -> Vec<Order> {
        match self.side {
            Side::Lower => self.on_answer(now, &message, holdings),
            Side::Higher => self.on_question(now, message, holdings),
        }
    }

    fn on_question(&mut self, now: Instant, message: Reconcile, holdings: &Holdings<'_>) -> Vec<Order> {
        let set = message.set;
        if message.first {
            (self.answering, self.held_back) = (None, None);
            if let Some(due) = self.too_soon(now, set) {
                self.held_back = Some((due, message));
                return Vec::new();
            }
            match Responder::new((holdings.snapshot)(set)) {
                Ok(responder) => self.answering = Some((set, responder)),
                Err(error) => return broken(&error),
            }
            self.on_begun(now, set);
        }
        let Some((answering, responder)) = &mut self.answering else {
            return violation("a reconciliation message belongs to none that was begun");
        };
        if *answering != set {
            return violation("a reconciliation message names the wrong set");
        }
        match responder.step(&message.message) {
            Ok(message) => vec![Order::Send(Frame::Reconcile(Reconcile { set, first: false, message }))],
            Err(error) => broken(&error),
        }
    }

    fn on_answer(&mut self, now: Instant, message: &Reconcile, holdings: &Holdings<'_>) -> Vec<Order> {
        let Phase::Comparing(set, initiator) = &mut self.phase else {
            return violation("a reconciliation answer belongs to no question");
        };
        let set = *set;
        if set != message.set {
            return violation("a reconciliation answer names the wrong set");
        }
        self.comparing_since = now;
        match initiator.step(&message.message) {
            Ok(Step::Continue(message)) => {
                vec![Order::Send(Frame::Reconcile(Reconcile { set, first: false, message }))]
            }
            Ok(Step::Done(difference)) => {
                let found =
                    Reconciled { set, lacking: count(difference.need.len()), coming: count(difference.have.len()) };
                self.progress = Progress { done: 0, total: found.lacking };
                self.compared |= set == Set::Data;
                // The comparison of the data set, which may follow at once, forgets what is missing of data only.
                let keeps = set == Set::Control && !planted::is(Bug::ControlQueueCleared);
                let queue = if keeps { &mut self.fresh } else { &mut self.missing };
                queue.extend(difference.have.into_iter().take(QUEUE_MAX.saturating_sub(queue.len())));
                self.again |= !difference.whole || difference.need.len() > QUEUE_MAX - self.need.len();
                self.need.extend(difference.need.into_iter().take(QUEUE_MAX - self.need.len()));
                self.phase = Phase::Fetching(set);
                let mut orders = vec![Order::Send(Frame::Reconciled(found))];
                orders.extend(self.ask(now, holdings));
                orders
            }
            Err(error) => broken(&error),
        }
    }

    fn on_reconciled(&mut self, found: Reconciled) -> Vec<Order> {
        let answered = self.answering.take().is_some_and(|(set, _)| set == found.set);
        if self.side == Side::Lower || !answered {
            return violation("a reconciliation ends that was not begun");
        }
        self.progress = Progress { done: 0, total: found.coming };
        if found.set == Set::Data {
            self.compared = true;
            self.unnamed = found.lacking;
        }
        Vec::new()
    }

    fn on_want(&mut self, ids: &[EntryId], holdings: &Holdings<'_>) {
        self.unnamed = self.unnamed.saturating_sub(count(ids.len()));
        for &id in ids {
            if self.missing.len() >= QUEUE_MAX || self.wanted_again.contains(&id) || !(holdings.holds)(id) {
                continue;
            }
            if !self.wanted.insert(id) {
                self.wanted_again.insert(id);
            }
            // Wanted although sent: the peer could not keep it the first time.
            if let Some(bytes) = self.unacked.remove(&id) {
                self.unacked_bytes -= bytes;
            }
            self.missing.push_back(id);
        }
    }

    fn on_entries(&mut self, now: Instant, entries: Vec<Entry>) -> Vec<Order> {
        for entry in &entries {
            if self.asked.remove(&entry.id()) {
                self.asked_since = now;
            }
            self.announced.remove(&entry.id());
            self.progress.done = (self.progress.done + 1).min(self.progress.total);
        }
        vec![Order::Store(entries)]
    }

    /// Continues after the replica has taken entries: asks for more, or goes on to the data set.
    pub fn after_store(&mut self, now: Instant, holdings: &Holdings<'_>) -> Vec<Order> {
        self.ask(now, holdings)
    }

    fn on_ack(&mut self, now: Instant, ids: &[EntryId], holdings: &Holdings<'_>) {
        for &id in ids {
            if let Some(bytes) = self.unacked.remove(&id) {
                self.unacked_bytes -= bytes;
                self.unacked_since = now;
            } else if self.announced.len() < ASKED_MAX && !self.asked.contains(&id) && !(holdings.holds)(id) {
                let order = self.announcements;
                self.announcements += 1;
                self.announced.entry(id).or_insert((now.after(ANNOUNCE_DELAY), order));
            }
        }
    }

    /// Asks for the next entries we lack; when none are left of the control set, compares the data set.
    fn ask(&mut self, now: Instant, holdings: &Holdings<'_>) -> Vec<Order> {
        // Half a window of asked ids is refilled at a time, so that frames of ids stay few.
        if self.asked.len() <= ASKED_MAX / 2 && !self.need.is_empty() {
            let mut ids = Vec::new();
            while self.asked.len() + ids.len() < ASKED_MAX {
                let Some(id) = self.need.pop_front() else { break };
                if (holdings.holds)(id) {
                    self.progress.done = (self.progress.done + 1).min(self.progress.total);
                    // It came by another link, and the peer would wait for it to be wanted: greeting again tells it.
                    self.again = true;
                } else {
                    ids.push(id);
                }
            }
            if !ids.is_empty() {
                if self.asked.is_empty() {
                    self.asked_since = now;
                }
                self.asked.extend(&ids);
                return vec![Order::Send(Frame::Want(ids))];
            }
        }
        if !self.need.is_empty() || !self.asked.is_empty() {
            return Vec::new();
        }
        match self.phase {
            Phase::Fetching(Set::Control) => self.begin(now, Set::Data, holdings),
            Phase::Fetching(Set::Data) | Phase::Quiet => {
                self.phase = Phase::Quiet;
                if std::mem::take(&mut self.again) { self.compare(holdings) } else { Vec::new() }
            }
            Phase::Comparing(..) => Vec::new(),
        }
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn violation(reason: &str) -> Vec<Order> {
    vec![Order::Close { reason: reason.to_owned(), violation: true }]
}

fn stalled(what: &str) -> Vec<Order> {
    vec![Order::Close { reason: format!("the peer {what} for {} s", STALL_MAX.as_secs()), violation: false }]
}

fn broken(error: &ReconcileError) -> Vec<Order> {
    vec![Order::Close { reason: error.to_string(), violation: true }]
}

#[cfg(test)]
mod tests;
