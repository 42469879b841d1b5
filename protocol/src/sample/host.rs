//! The machine itself: what it is, and what was measured on it.

use serde::{Deserialize, Serialize};

use super::{SampleError, bounded_text, count, number, order, text};
use crate::limits::{NODE_LABEL_BYTES_MAX, NODE_LABELS_MAX};

/// The most of a thousand parts.
const PERMILLE_MAX: u64 = 1_000;

/// The most of a hundred parts.
const PERCENT_MAX: u64 = 100;

/// What stays as it is on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its operating system, as that calls itself.
    pub os: Option<String>,
    /// The release of its kernel.
    pub kernel: Option<String>,
    /// What its processors are built to do, such as `x86_64`.
    pub arch: String,
    /// What its processors are called.
    pub cpu: Option<String>,
    /// How many of them this node may use.
    pub cores: Option<u16>,
    /// Its memory, in bytes.
    pub memory_total: Option<u64>,
    /// The version of this program.
    pub version: String,
    /// The words that its owner gives it, in order, for beads that need a machine with one.
    pub labels: Vec<String>,
}

/// What was measured on a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// How much of the time its processors were busy since the last sample, all of them together, in a thousandth.
    pub cpu_permille: Option<u16>,
    /// Its load over 1, 5 and 15 minutes, in hundredths.
    pub load_centi: Option<(u32, u32, u32)>,
    /// Memory that can be had without taking any away, in bytes.
    pub memory_available: Option<u64>,
    /// Room for what does not fit memory, in bytes, and how much of it is free.
    pub swap: Option<(u64, u64)>,
    /// The file system of the home, in bytes, and how much of it this user may still fill.
    pub disk: Option<(u64, u64)>,
    /// Bytes that came and went over its networks since it was started, but for those that stayed on it.
    pub network: Option<(u64, u64)>,
    /// Seconds since it was started.
    pub uptime_s: Option<u64>,
    /// The temperature of its processors, in degrees Celsius.
    pub temperature: Option<u8>,
    /// Its battery.
    pub battery: Option<Battery>,
}

/// How it stands with a battery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Battery {
    /// How full it is, in percent.
    pub percent: u8,
    /// Whether the machine lives on it.
    pub discharging: bool,
}

impl Facts {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        text("operating system", self.os.as_deref().unwrap_or_default())?;
        text("kernel", self.kernel.as_deref().unwrap_or_default())?;
        text("architecture", &self.arch)?;
        text("processor", self.cpu.as_deref().unwrap_or_default())?;
        text("version", &self.version)?;
        count("labels", self.labels.len(), NODE_LABELS_MAX)?;
        order("labels", self.labels.iter())?;
        self.labels.iter().try_for_each(|label| bounded_text("label", label, NODE_LABEL_BYTES_MAX))
    }
}

impl Sample {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        number("processors busy", self.cpu_permille, PERMILLE_MAX)?;
        number("battery", self.battery.map(|battery| battery.percent), PERCENT_MAX)
    }
}
