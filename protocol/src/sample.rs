//! What a node says of its machine: what stays as it is, what is measured, and who uses its cards.
//!
//! It is told by notices and stands in no entry: it may be lost, comes late or twice, and only what is newest counts. Where
//! something is not known it is `None`, never 0. How it is measured is the node's matter.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::id::NodeId;
use crate::limits::{
    GPUS_MAX, NAME_BYTES_MAX, PROCESSES_MAX, SAMPLE_INTERVAL_MAX, SAMPLE_INTERVAL_MIN, SAMPLE_TEXT_BYTES_MAX,
    SLICES_MAX,
};

pub mod container;
pub mod gpu;
pub mod host;

/// What a node says of its machine at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// The node; it signs the notice, too.
    pub node: NodeId,
    /// When it was said, among all that the node has said of its machine.
    pub stamp: Stamp,
    /// What is said.
    pub said: Said,
}

/// Orders what a node says of its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// When the node began to speak, by its wall clock; later at each start, whatever that clock did.
    pub started: Wall,
    /// Counts what it has said since then, from 1.
    pub counter: u64,
}

/// One of the things that a node says of its machine; each replaces the last of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// What stays as it is. Said when it changes, and now and then for who is new.
    Facts(Facts),
    /// What is measured.
    Sample(Sample),
    /// Who uses the cards, by card and process id. Said like facts.
    Processes(Vec<gpu::Process>),
    /// The containers. Said like facts.
    Containers(container::Containers),
}

/// What stays as it is on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The machine.
    pub host: host::Facts,
    /// What drives the cards.
    pub driver: gpu::Driver,
    /// The cards, by index.
    pub gpus: Vec<gpu::Facts>,
    /// The parts that cards are split into, by card and number.
    pub slices: Vec<gpu::SliceFacts>,
}

/// What was measured on a machine at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// After how many milliseconds the next one comes.
    pub interval_ms: u32,
    /// The machine.
    pub host: host::Sample,
    /// How it stands with the cards as a whole.
    pub state: gpu::State,
    /// The cards, by index; none while nothing is known of any.
    pub gpus: Vec<gpu::Sample>,
    /// The parts that cards are split into, by card and number.
    pub slices: Vec<gpu::SliceSample>,
}

/// What is wrong with what a node says of its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// There are too many of something.
    #[error("{count} {what}: at most {max} may be told of")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// Something is told of twice, or not in its order.
    #[error("{0} must be told of once each, in their order")]
    Order(&'static str),
    /// A text is too long, or is not one line.
    #[error("{field}: a text of {bytes} bytes; one line of {max} bytes at most may be said")]
    Text {
        /// Which.
        field: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A number is out of its bounds.
    #[error("{field} is {value}; at most {max} may be said")]
    Number {
        /// Which.
        field: &'static str,
        /// What is said.
        value: u64,
        /// The highest that may be.
        max: u64,
    },
    /// Samples are announced more often or more seldom than any may come.
    #[error("the next sample in {0} ms; it may come after 1,000 to 600,000")]
    Interval(u32),
}

impl Telemetry {
    /// Checks that all that is said keeps its bounds.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self) -> Result<(), SampleError> {
        match &self.said {
            Said::Facts(facts) => facts.check(),
            Said::Sample(sample) => sample.check(),
            Said::Processes(processes) => {
                count("processes", processes.len(), PROCESSES_MAX)?;
                order("processes", processes.iter().map(|process| (process.gpu, process.pid)))?;
                processes.iter().try_for_each(gpu::Process::check)
            }
            Said::Containers(containers) => containers.check(),
        }
    }
}

impl Facts {
    fn check(&self) -> Result<(), SampleError> {
        count("cards", self.gpus.len(), GPUS_MAX)?;
        count("parts of cards", self.slices.len(), SLICES_MAX)?;
        order("cards", self.gpus.iter().map(|gpu| gpu.index))?;
        order("parts of cards", self.slices.iter().map(|slice| (slice.gpu, slice.slice)))?;
        self.host.check()?;
        self.driver.check()?;
        self.gpus.iter().try_for_each(gpu::Facts::check)?;
        self.slices.iter().try_for_each(gpu::SliceFacts::check)
    }
}

impl Sample {
    fn check(&self) -> Result<(), SampleError> {
        let (least, most) = (SAMPLE_INTERVAL_MIN.as_millis(), SAMPLE_INTERVAL_MAX.as_millis());
        if !(least..=most).contains(&u128::from(self.interval_ms)) {
            return Err(SampleError::Interval(self.interval_ms));
        }
        count("cards", self.gpus.len(), GPUS_MAX)?;
        count("parts of cards", self.slices.len(), SLICES_MAX)?;
        order("cards", self.gpus.iter().map(|gpu| gpu.index))?;
        order("parts of cards", self.slices.iter().map(|slice| (slice.gpu, slice.slice)))?;
        self.host.check()?;
        self.slices.iter().try_for_each(gpu::SliceSample::check)?;
        self.gpus.iter().try_for_each(gpu::Sample::check)
    }
}

fn count(what: &'static str, count: usize, max: usize) -> Result<(), SampleError> {
    if count > max { Err(SampleError::TooMany { what, count, max }) } else { Ok(()) }
}

fn order<K: Ord>(what: &'static str, keys: impl Iterator<Item = K>) -> Result<(), SampleError> {
    let keys: Vec<K> = keys.collect();
    let distinct = keys.iter().collect::<BTreeSet<_>>().len();
    if keys.is_sorted() && distinct == keys.len() { Ok(()) } else { Err(SampleError::Order(what)) }
}

fn number(field: &'static str, value: Option<impl Into<u64>>, max: u64) -> Result<(), SampleError> {
    match value.map(Into::into) {
        Some(value) if value > max => Err(SampleError::Number { field, value, max }),
        _ => Ok(()),
    }
}

fn text(field: &'static str, text: &str) -> Result<(), SampleError> {
    bounded_text(field, text, SAMPLE_TEXT_BYTES_MAX)
}

fn name(field: &'static str, text: &str) -> Result<(), SampleError> {
    bounded_text(field, text, NAME_BYTES_MAX)
}

fn bounded_text(field: &'static str, text: &str, max: usize) -> Result<(), SampleError> {
    let is_fit = text.len() <= max && !text.contains(char::is_control);
    if is_fit { Ok(()) } else { Err(SampleError::Text { field, bytes: text.len(), max }) }
}

/// Returns as much of a text as may be said: one line of `max` bytes at most.
pub fn fitting(text: &str, max: usize) -> String {
    let mut fitting = String::new();
    for character in text.trim().chars().filter(|character| !character.is_control()) {
        if fitting.len() + character.len_utf8() > max {
            break;
        }
        fitting.push(character);
    }
    fitting
}

#[cfg(test)]
mod tests;
