//! Cards that are made up: for a look at what would be shown on a machine that has some.
//!
//! They are called so everywhere, and take no part in anything.

use std::f64::consts::TAU;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::sample::gpu::{Backend, Driver, Facts, Process, Sample, State};

use super::cards::Reading;
use super::watch::Source;
use crate::clock;

/// How many there are.
const CARDS: u8 = 2;

/// Memory of each, in MiB.
const MEMORY_MIB: u32 = 81_920;

/// What each may draw, in milliwatts, and what it draws when idle.
const POWER_LIMIT_MW: u32 = 700_000;
const POWER_IDLE_MW: u32 = 70_000;

/// How long it takes until a card does the same again, in seconds.
const PERIOD_S: f64 = 120.0;

/// Makes cards up.
pub(super) struct Demo {
    energy_mj: [u64; CARDS as usize],
    last: Option<Instant>,
}

impl Demo {
    pub(super) fn new() -> Self {
        Self { energy_mj: [0; CARDS as usize], last: None }
    }

    fn read_at(&mut self, now: Instant) -> Reading {
        let elapsed_ms = self.last.map_or(0, |last| u64::try_from(now.since(last).as_millis()).unwrap_or(0));
        self.last = Some(now);
        let samples: Vec<Sample> = (0..CARDS)
            .map(|index| {
                let mut sample = sample(index, now);
                let energy = &mut self.energy_mj[usize::from(index)];
                // Milliwatts for some milliseconds are so many microjoules.
                *energy += u64::from(sample.power_mw.unwrap_or(0)) * elapsed_ms / 1_000;
                sample.energy_mj = Some(*energy);
                sample
            })
            .collect();
        let processes = samples.iter().map(process).collect();
        let driver = Driver { backend: Backend::Demo, version: Some("demo".to_owned()), cuda: None };
        Reading {
            driver,
            state: State::Ok,
            facts: (0..CARDS).map(facts).collect(),
            samples,
            processes,
            ..Reading::default()
        }
    }
}

impl Source for Demo {
    type Reading = Reading;

    fn read(&mut self) -> Reading {
        self.read_at(clock::mono())
    }
}

fn facts(index: u8) -> Facts {
    Facts {
        index,
        uuid: format!("DEMO-{index}"),
        name: format!("Demo card {index}"),
        memory_mib: Some(MEMORY_MIB),
        compute: Some((9, 0)),
        pcie_max: Some((5, 16)),
        ..Facts::default()
    }
}

/// Returns a card at a moment of its round: a slow wave of work, which memory, power, heat and clock follow.
fn sample(index: u8, now: Instant) -> Sample {
    #[expect(clippy::cast_precision_loss, reason = "a wave needs no exact microseconds")]
    let seconds = now.as_micros() as f64 / 1e6;
    let wave = 0.5 + 0.5 * (TAU * (seconds / PERIOD_S + f64::from(index) / f64::from(CARDS))).sin();
    let busy = part(wave, 100);
    let used = 4_000 + part(wave, 60_000);
    let power = POWER_IDLE_MW + part(wave, POWER_LIMIT_MW - POWER_IDLE_MW);
    let small = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    Sample {
        index,
        busy: Some(small(busy)),
        memory_busy: Some(small(busy / 2)),
        memory_used_mib: Some(used),
        memory_free_mib: Some(MEMORY_MIB - used),
        power_mw: Some(power),
        power_limit_mw: Some(POWER_LIMIT_MW),
        temperature: Some(small(35 + busy * 45 / 100)),
        clock_sm_mhz: u16::try_from(345 + busy * 16).ok(),
        clock_memory_mhz: Some(2_619),
        pstate: Some(if busy > 5 { 0 } else { 8 }),
        throttle: Some(u16::from(busy <= 5)),
        pcie: Some((5, 16)),
        ..Sample::default()
    }
}

fn process(sample: &Sample) -> Process {
    Process {
        gpu: sample.index,
        pid: 4_000_000 + u32::from(sample.index),
        name: Some("demo-train".to_owned()),
        owner: Some("demo".to_owned()),
        agent: None,
        memory_mib: sample.memory_used_mib.map(|used| used / 1_000 * 1_000),
    }
}

/// Returns so large a part of a whole, the part between 0 and 1.
fn part(part: f64, whole: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the whole")]
    let share = (part.clamp(0.0, 1.0) * f64::from(whole)) as u32;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_cards_move_keep_their_bounds_and_say_what_they_are() {
        let mut demo = Demo::new();
        let readings: Vec<Reading> = (1..=60).map(|at| demo.read_at(Instant::from_micros(at * 2_000_000))).collect();
        let busy: Vec<u8> = readings.iter().filter_map(|reading| reading.samples[0].busy).collect();
        assert!(busy.iter().min() < Some(&5) && busy.iter().max() > Some(&95), "{busy:?}");
        for reading in &readings {
            assert_eq!((reading.driver.backend, reading.state), (Backend::Demo, State::Ok));
            assert!(reading.facts.iter().all(|card| card.name.contains("Demo") && card.uuid.starts_with("DEMO")));
            for card in &reading.samples {
                assert_eq!(card.memory_used_mib.unwrap() + card.memory_free_mib.unwrap(), MEMORY_MIB);
                assert!(card.power_mw <= card.power_limit_mw && card.busy <= Some(100));
            }
        }
        let energy: Vec<_> = readings.iter().map(|reading| reading.samples[1].energy_mj).collect();
        assert!(energy.is_sorted() && energy[0] < energy[59]);
    }
}
