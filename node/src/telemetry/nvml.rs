//! Cards by NVML, NVIDIA's library beside the driver; nothing else here knows it.
//!
//! It is initialised once and kept. What one card can not tell is absent; what goes wrong with the driver ends the session,
//! and another is tried for after a while, ever longer. Two threads: one reads, one waits for errors that the driver reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::limits::{GPUS_MAX, NAME_BYTES_MAX, PROCESSES_MAX, SLICES_MAX};
use beadmesh_protocol::sample::fitting;
use beadmesh_protocol::sample::gpu::{
    Backend, Driver, Facts, Health, Process, Sample, SliceFacts, SliceSample, State, Xid,
};
use nvml_wrapper::Nvml;
use tracing::debug;

use super::cards::Reading;
use super::process::Processes;
use super::watch::Source;
use crate::clock;

mod card;
mod library;
mod xids;

use card::{Probe, facts, mib, quick, silent, slow, state_of, used_by, with_slow};
use xids::Xids;

/// The shortest and the longest wait before a driver that failed is tried again.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Readings of which one asks for what changes seldom, too.
const SLOW_EVERY: u64 = 5;

/// Reads cards.
pub(super) struct Cards {
    session: Option<Session>,
    /// How it stood when there was no session any more.
    failing: State,
    /// How long the last wait was, and when it is over.
    wait: Duration,
    retry_at: Instant,
    /// The cards that were there since this node looks, by uuid: those that are lost say no more.
    known: BTreeMap<String, Facts>,
    xids: Xids,
    processes: Processes,
}

/// From the library's start to its end.
struct Session {
    library: Nvml,
    driver: Driver,
    facts: Vec<Facts>,
    /// Cards that were there before, and of which the driver knows no more.
    missing: Vec<Facts>,
    slices: Vec<SliceFacts>,
    /// What changes seldom, as last asked for.
    slow: BTreeMap<u8, Sample>,
    readings: u64,
}

impl Cards {
    pub(super) fn new() -> Self {
        Self {
            session: None,
            failing: State::Absent,
            wait: Duration::ZERO,
            retry_at: Instant::default(),
            known: BTreeMap::new(),
            xids: Xids::default(),
            processes: Processes::new(),
        }
    }

    /// Ends the session; another is tried for later.
    fn give_up(&mut self, state: State, now: Instant) {
        self.end_session();
        self.failing = state;
        self.postpone(now);
    }

    fn postpone(&mut self, now: Instant) {
        self.wait = (self.wait * 2).clamp(RETRY_MIN, RETRY_MAX);
        self.retry_at = now.after(self.wait);
    }

    fn begin_anew(&mut self, now: Instant) {
        self.end_session();
        self.retry_at = now;
        self.begin(now);
    }

    fn end_session(&mut self) {
        // The library counts its users: it begins anew only once both threads have let it go.
        self.xids.stop();
        self.session = None;
    }

    /// Begins a session where there is none and the wait is over.
    fn begin(&mut self, now: Instant) {
        if self.session.is_some() || now < self.retry_at {
            return;
        }
        match Session::open(&self.known) {
            Ok(session) => {
                let told = session.facts.iter().filter(|facts| !facts.uuid.is_empty());
                self.known.extend(told.map(|facts| (facts.uuid.clone(), facts.clone())));
                self.xids.start();
                self.session = Some(session);
            }
            Err(state) => self.give_up(state, now),
        }
    }

    fn read_at(&mut self, now: Instant) -> Reading {
        self.begin(now);
        let Some(session) = &mut self.session else { return self.failed() };
        if session.readings.is_multiple_of(SLOW_EVERY) {
            self.xids.tend();
        }
        let reading = match session.read(&self.xids.seen(), &mut self.processes) {
            Ok(reading) => reading,
            Err(state) => {
                debug!(%state, "the driver of the cards fails");
                self.give_up(state, now);
                return self.failed();
            }
        };
        match reading.state {
            // A card that comes back, or is forgotten, is seen by a new session alone.
            State::Lost | State::Failed if now >= self.retry_at => {
                self.begin_anew(now);
                self.postpone(now);
            }
            // So is another split.
            State::Ok if session.is_split_otherwise() => self.begin_anew(now),
            State::Ok => self.wait = Duration::ZERO,
            _ => {}
        }
        reading
    }

    /// Returns what is known without a session.
    fn failed(&self) -> Reading {
        let mut facts: Vec<Facts> = self.known.values().cloned().collect();
        facts.sort_by_key(|facts| facts.index);
        facts.dedup_by_key(|facts| facts.index);
        Reading { facts, ..Reading::only(self.failing) }
    }
}

impl Source for Cards {
    type Reading = Reading;

    fn read(&mut self) -> Reading {
        self.read_at(clock::mono())
    }
}

impl Drop for Cards {
    fn drop(&mut self) {
        self.end_session();
    }
}

impl Session {
    fn open(known: &BTreeMap<String, Facts>) -> Result<Self, State> {
        let library = library::open()?;
        let count = library.device_count().map_err(|error| state_of(&error))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(GPUS_MAX);
        if count == 0 && known.is_empty() {
            return Err(State::NoDevices);
        }
        let mut session = Self {
            driver: driver(&library),
            library,
            facts: Vec::new(),
            missing: Vec::new(),
            slices: Vec::new(),
            slow: BTreeMap::new(),
            readings: 0,
        };
        for index in 0..u8::try_from(count).unwrap_or(u8::MAX) {
            session.facts.push(match session.library.device_by_index(index.into()) {
                Ok(device) => facts(index, &device),
                Err(_) => Facts { index, ..Facts::default() },
            });
        }
        session.missing = recall(&mut session.facts, known);
        session.slices = session.split();
        Ok(session)
    }

    /// Reads all cards.
    ///
    /// # Errors
    /// How it stands, when the driver as a whole fails.
    fn read(&mut self, xids: &BTreeMap<u8, Xid>, processes: &mut Processes) -> Result<Reading, State> {
        let is_slow = self.readings.is_multiple_of(SLOW_EVERY);
        self.readings += 1;
        let (mut samples, mut users, mut unused) = (Vec::new(), Vec::new(), BTreeSet::new());
        for index in self.facts.iter().map(|facts| facts.index) {
            let mut probe = Probe::new();
            let mut sample = Sample { index, ..Sample::default() };
            if let Some(device) = probe.handle(self.library.device_by_index(index.into())) {
                sample = quick(sample, &device, &mut probe);
                let before = self.slow.get(&index).copied().unwrap_or_default();
                let slow = if is_slow { slow(before, &device, &mut probe) } else { before };
                self.slow.insert(index, slow);
                sample = with_slow(sample, &slow);
                // Before the list is cut to what is told: of a card that was left out there somebody is a user.
                let used = used_by(index, &device, &mut probe);
                if used.as_ref().is_some_and(Vec::is_empty) {
                    unused.insert(index);
                }
                users.extend(used.unwrap_or_default());
            }
            if let Some(state) = probe.broken {
                return Err(state);
            }
            sample.health = probe.verdict();
            sample.xid = xids.get(&index).copied();
            samples.push(if sample.health == Health::Ok { sample } else { silent(&sample) });
        }
        let lost = |facts: &Facts| Sample { index: facts.index, health: Health::Lost, ..Sample::default() };
        samples.extend(self.missing.iter().map(lost));
        samples.sort_by_key(|sample| sample.index);
        let mut facts = [self.facts.as_slice(), &self.missing].concat();
        facts.sort_by_key(|facts| facts.index);
        Ok(Reading {
            driver: self.driver.clone(),
            state: overall(&samples),
            facts,
            slices: self.slices.clone(),
            slice_samples: self.slice_samples(),
            samples,
            processes: named(users, processes),
            unused,
        })
    }

    /// Returns the cards that are set to be split or not, with their parts.
    fn split(&self) -> Vec<SliceFacts> {
        let split = self.facts.iter().filter(|facts| facts.mig == Some(true));
        let slices = split.filter_map(|facts| {
            let device = self.library.device_by_index(facts.index.into()).ok()?;
            let count = u8::try_from(device.mig_device_count().ok()?).ok()?;
            let slice = move |slice: u8| {
                // A number that is not in use is not found.
                let part = device.mig_device_by_index(slice.into()).ok()?;
                Some(SliceFacts {
                    gpu: facts.index,
                    slice,
                    uuid: fitting(&part.uuid().ok()?, NAME_BYTES_MAX),
                    name: fitting(&part.name().unwrap_or_default(), NAME_BYTES_MAX),
                    memory_mib: part.memory_info().ok().and_then(|memory| mib(memory.total)),
                })
            };
            Some((0..count).filter_map(slice).collect::<Vec<_>>())
        });
        slices.flatten().take(SLICES_MAX).collect()
    }

    fn slice_samples(&self) -> Vec<SliceSample> {
        let sample = |facts: &SliceFacts| {
            let device = self.library.device_by_index(facts.gpu.into()).ok()?;
            let part = device.mig_device_by_index(facts.slice.into()).ok()?;
            let memory_used_mib = part.memory_info().ok().and_then(|memory| mib(memory.used));
            Some(SliceSample { gpu: facts.gpu, slice: facts.slice, memory_used_mib })
        };
        self.slices.iter().filter_map(sample).collect()
    }

    /// Returns whether cards are split otherwise than at the start of the session; looked at now and then.
    fn is_split_otherwise(&self) -> bool {
        if !self.readings.is_multiple_of(SLOW_EVERY) {
            return false;
        }
        let is_set_otherwise = |facts: &Facts| {
            let device = self.library.device_by_index(facts.index.into()).ok();
            let mode = device.and_then(|device| device.mig_mode().ok());
            facts.mig.zip(mode).is_some_and(|(before, mode)| before != (mode.current != 0))
        };
        self.facts.iter().any(is_set_otherwise)
            || (self.facts.iter().any(|facts| facts.mig == Some(true)) && self.split() != self.slices)
    }
}

/// Fills in what was known of cards that do not say who they are, and returns those that are not there any more, under
/// numbers that no other card has.
fn recall(facts: &mut [Facts], known: &BTreeMap<String, Facts>) -> Vec<Facts> {
    let mut lost: Vec<&Facts> = known.values().filter(|old| facts.iter().all(|it| it.uuid != old.uuid)).collect();
    for silent in facts.iter_mut().filter(|facts| facts.uuid.is_empty()) {
        if let Some(at) = lost.iter().position(|old| old.index == silent.index) {
            *silent = lost.swap_remove(at).clone();
        }
    }
    let mut taken: Vec<u8> = facts.iter().map(|facts| facts.index).collect();
    let mut missing = Vec::new();
    for old in lost.into_iter().take(GPUS_MAX.saturating_sub(facts.len())) {
        let Some(index) = std::iter::once(old.index).chain(0..=u8::MAX).find(|index| !taken.contains(index)) else {
            break;
        };
        taken.push(index);
        missing.push(Facts { index, ..old.clone() });
    }
    missing
}

/// Returns how it stands with all cards: the worst that is so of any, but for what concerns this user alone.
fn overall(samples: &[Sample]) -> State {
    let any = |health| samples.iter().any(|sample| sample.health == health);
    if any(Health::Lost) {
        State::Lost
    } else if any(Health::Failed) {
        State::Failed
    } else if any(Health::Ok) {
        State::Ok
    } else {
        State::NoPermission
    }
}

fn driver(library: &Nvml) -> Driver {
    let version = library.sys_driver_version().ok().map(|version| fitting(&version, NAME_BYTES_MAX));
    let cuda = library
        .sys_cuda_driver_version()
        .ok()
        .and_then(|version| Some((u16::try_from(version / 1_000).ok()?, u16::try_from(version % 1_000 / 10).ok()?)));
    Driver { backend: Backend::Nvml, version, cuda }
}

/// Returns the largest users by card and process id, with who is behind them.
fn named(mut users: Vec<Process>, processes: &mut Processes) -> Vec<Process> {
    users.sort_by_key(|process| std::cmp::Reverse(process.memory_mib));
    users.truncate(PROCESSES_MAX);
    users.sort_by_key(|process| (process.gpu, process.pid));
    let pids: Vec<u32> = users.iter().map(|process| process.pid).collect();
    let known = processes.look(&pids);
    for process in &mut users {
        let Some(known) = known.get(&process.pid) else { continue };
        (process.name, process.owner, process.agent) = (known.name.clone(), known.owner.clone(), known.agent.clone());
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_the_driver_forgets_is_recalled_under_a_number_of_its_own() {
        let card = |index, uuid: &str| Facts { index, uuid: uuid.to_owned(), ..Facts::default() };
        let known: BTreeMap<String, Facts> =
            [card(0, "a"), card(1, "b"), card(2, "c")].into_iter().map(|it| (it.uuid.clone(), it)).collect();
        let mut silent = [card(0, "a"), card(1, ""), card(2, "c")];
        assert_eq!(recall(&mut silent, &known), []);
        assert_eq!(silent[1], card(1, "b"), "it is there and says nothing");
        let mut shifted = [card(0, "b"), card(1, "c")];
        assert_eq!(recall(&mut shifted, &known), [card(2, "a")], "its number is another's now");
        let mut last = [card(0, "a"), card(1, "b")];
        assert_eq!(recall(&mut last, &known), [card(2, "c")]);
        assert_eq!(recall(&mut [card(0, "a")], &BTreeMap::new()), []);
    }

    #[test]
    fn one_lost_card_is_told_of_all_and_one_that_is_not_ours_is_not() {
        let cards = |healths: &[Health]| -> Vec<Sample> {
            healths.iter().map(|health| Sample { health: *health, ..Sample::default() }).collect()
        };
        assert_eq!(overall(&cards(&[Health::Ok, Health::Lost, Health::Failed])), State::Lost);
        assert_eq!(overall(&cards(&[Health::Ok, Health::Failed])), State::Failed);
        assert_eq!(overall(&cards(&[Health::Ok, Health::NoPermission])), State::Ok);
        assert_eq!(overall(&cards(&[Health::NoPermission])), State::NoPermission);
    }
}
