//! Cards: how it stands with them, what they are, what is measured on them, who uses them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{SampleError, name, number, text};
use crate::limits::{ENERGY_MJ_MAX, GPU_COUNT_MAX, MEMORY_MIB_MAX, POWER_MW_MAX};

/// The most of a hundred parts.
const PERCENT_MAX: u64 = 100;

/// Where readings of cards come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Backend {
    /// The driver of the cards.
    #[default]
    Nvml,
    /// Nothing: cards that are made up, for a look at what would be shown.
    Demo,
    /// Nowhere: cards are not looked for.
    Off,
}

/// How it stands with the cards of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// There is no driver library.
    #[default]
    Absent,
    /// There is a library, and its driver is not loaded.
    DriverNotLoaded,
    /// Library and driver are of different versions.
    VersionMismatch,
    /// The driver runs and knows of no card.
    NoDevices,
    /// A card is there no more.
    Lost,
    /// This user may not ask.
    NoPermission,
    /// The driver has been asked and does not answer.
    Stalled,
    /// All cards answer.
    Ok,
    /// The driver answers with an error that says no more.
    Failed,
    /// Cards are not looked for.
    Off,
}

/// How it stands with one card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Health {
    /// It answers.
    #[default]
    Ok,
    /// It is there no more.
    Lost,
    /// It does not let this user ask.
    NoPermission,
    /// It answers with errors.
    Failed,
}

/// What drives the cards; empty where nothing does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// Where readings come from.
    pub backend: Backend,
    /// The version of the driver.
    pub version: Option<String>,
    /// The highest version of CUDA that it can do, major and minor.
    pub cuda: Option<(u16, u16)>,
}

/// What stays as it is on a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its number.
    pub index: u8,
    /// What it is called everywhere and for good.
    pub uuid: String,
    /// What its maker calls it.
    pub name: String,
    /// Where it sits on the bus.
    pub pci: Option<String>,
    /// Its memory, in MiB.
    pub memory_mib: Option<u32>,
    /// The version of CUDA's instructions that it can do, major and minor.
    pub compute: Option<(u8, u8)>,
    /// The fastest that its link to the bus can be: generation and lanes.
    pub pcie_max: Option<(u8, u8)>,
    /// Whether it is set to be split; none where it can not be.
    pub mig: Option<bool>,
}

/// What stays as it is on a part of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceFacts {
    /// The index of the card.
    pub gpu: u8,
    /// Its number on that card.
    pub slice: u8,
    /// What it is called everywhere and for good.
    pub uuid: String,
    /// What its maker calls it.
    pub name: String,
    /// Its memory, in MiB.
    pub memory_mib: Option<u32>,
}

/// What was measured on a card: at most 100 bytes as it travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its number.
    pub index: u8,
    /// How it stands.
    pub health: Health,
    /// How much of the time it computed, in percent.
    pub busy: Option<u8>,
    /// How much of the time its memory was read or written, in percent.
    pub memory_busy: Option<u8>,
    /// How much of the time it encoded video, in percent.
    pub encoder_busy: Option<u8>,
    /// How much of the time it decoded video, in percent.
    pub decoder_busy: Option<u8>,
    /// Memory in use, in MiB.
    pub memory_used_mib: Option<u32>,
    /// Memory that is free, in MiB.
    pub memory_free_mib: Option<u32>,
    /// Memory that the driver keeps for itself, in MiB.
    pub memory_reserved_mib: Option<u32>,
    /// What it draws, in milliwatts.
    pub power_mw: Option<u32>,
    /// What it may draw, in milliwatts.
    pub power_limit_mw: Option<u32>,
    /// What it has drawn since its driver was loaded, in millijoules.
    pub energy_mj: Option<u64>,
    /// Its temperature, in degrees Celsius.
    pub temperature: Option<u8>,
    /// How fast its fan is to turn, in percent of what is meant to be the most.
    pub fan: Option<u8>,
    /// The clock of its multiprocessors, in MHz.
    pub clock_sm_mhz: Option<u16>,
    /// The clock of its memory, in MHz.
    pub clock_memory_mhz: Option<u16>,
    /// The clock of its video engines, in MHz.
    pub clock_video_mhz: Option<u16>,
    /// Its performance state: 0 is the fastest.
    pub pstate: Option<u8>,
    /// Why its clocks are held down: the low bits of NVML's mask.
    pub throttle: Option<u16>,
    /// Errors of memory that were mended since the driver was loaded.
    pub ecc_corrected: Option<u32>,
    /// Errors of memory that were not.
    pub ecc_uncorrected: Option<u32>,
    /// What became of bad rows of its memory.
    pub remapped: Option<Remapped>,
    /// Its link to the bus: generation and lanes.
    pub pcie: Option<(u8, u8)>,
    /// How often something had to be sent over that link again.
    pub pcie_replays: Option<u32>,
    /// The last error that its driver reported, and how many it has since this node looks.
    pub xid: Option<Xid>,
}

/// What became of bad rows of a card's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remapped {
    /// Rows remapped for errors that were mended.
    pub corrected: u16,
    /// Rows remapped for errors that were not.
    pub uncorrected: u16,
    /// Whether some wait for a reset of the card.
    pub pending: bool,
    /// Whether some could not be remapped.
    pub failed: bool,
}

/// An error that a card's driver reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xid {
    /// Its number in NVIDIA's list.
    pub code: u16,
    /// How many were reported since this node looks.
    pub count: u16,
}

/// What was measured on a part of a card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceSample {
    /// The index of the card.
    pub gpu: u8,
    /// Its number on that card.
    pub slice: u8,
    /// Memory in use, in MiB.
    pub memory_used_mib: Option<u32>,
}

/// A process that uses a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The index of the card.
    pub gpu: u8,
    /// The process.
    pub pid: u32,
    /// What it is called.
    pub name: Option<String>,
    /// Whose it is: a user's name, or its number where it has none.
    pub owner: Option<String>,
    /// The agent in whose name it runs, as its environment says.
    pub agent: Option<String>,
    /// Memory of the card that it uses, in MiB.
    pub memory_mib: Option<u32>,
}

impl Backend {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvml => "nvml",
            Self::Demo => "demo",
            Self::Off => "off",
        }
    }
}

impl State {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::DriverNotLoaded => "driver_not_loaded",
            Self::VersionMismatch => "version_mismatch",
            Self::NoDevices => "no_devices",
            Self::Lost => "lost",
            Self::NoPermission => "no_permission",
            Self::Stalled => "stalled",
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Off => "off",
        }
    }

    /// Returns what to do about it, in one line; none where there is nothing to do.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Ok | Self::Off => None,
            Self::Absent => Some("nothing to do on a machine without NVIDIA cards; with some, install their driver"),
            Self::DriverNotLoaded => Some("load the driver: `sudo modprobe nvidia`, then see `dmesg` if it does not"),
            Self::VersionMismatch => Some("the driver was updated under a running kernel: restart the machine"),
            Self::NoDevices => Some("see whether `lspci` shows the cards, and give them to this container or machine"),
            Self::Lost => Some("a card fell off the bus: see `dmesg` for Xid errors, then restart the machine"),
            Self::NoPermission => Some("let this user read /dev/nvidia*: see their mode and the user's groups"),
            Self::Stalled => Some("the driver does not answer: see `dmesg`; a process may hang in it in state D"),
            Self::Failed => Some("the driver answers with errors: see `dmesg`, and whether `nvidia-smi` works"),
        }
    }
}

impl Health {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lost => "lost",
            Self::NoPermission => "no_permission",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Driver {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        name("driver version", self.version.as_deref().unwrap_or_default())
    }
}

impl Facts {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        name("uuid of a card", &self.uuid)?;
        text("name of a card", &self.name)?;
        name("place of a card", self.pci.as_deref().unwrap_or_default())?;
        number("memory of a card", self.memory_mib, MEMORY_MIB_MAX.into())
    }
}

impl SliceFacts {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        name("uuid of a part", &self.uuid)?;
        name("name of a part", &self.name)?;
        number("memory of a part", self.memory_mib, MEMORY_MIB_MAX.into())
    }
}

impl Sample {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        for (field, value) in [
            ("busy", self.busy),
            ("memory busy", self.memory_busy),
            ("encoder busy", self.encoder_busy),
            ("decoder busy", self.decoder_busy),
        ] {
            number(field, value, PERCENT_MAX)?;
        }
        for (field, value) in [
            ("memory used", self.memory_used_mib),
            ("memory free", self.memory_free_mib),
            ("memory reserved", self.memory_reserved_mib),
        ] {
            number(field, value, MEMORY_MIB_MAX.into())?;
        }
        number("power", self.power_mw, POWER_MW_MAX.into())?;
        number("power limit", self.power_limit_mw, POWER_MW_MAX.into())?;
        number("energy", self.energy_mj, ENERGY_MJ_MAX)?;
        number("errors corrected", self.ecc_corrected, GPU_COUNT_MAX.into())?;
        number("errors not corrected", self.ecc_uncorrected, GPU_COUNT_MAX.into())?;
        number("replays", self.pcie_replays, GPU_COUNT_MAX.into())
    }
}

impl SliceSample {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        number("memory used of a part", self.memory_used_mib, MEMORY_MIB_MAX.into())
    }
}

impl Process {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        name("name of a process", self.name.as_deref().unwrap_or_default())?;
        name("owner of a process", self.owner.as_deref().unwrap_or_default())?;
        text("agent of a process", self.agent.as_deref().unwrap_or_default())?;
        number("memory of a process", self.memory_mib, MEMORY_MIB_MAX.into())
    }
}
