//! Machines and their cards as the API shows them: names of fields end with their unit, and what is not known is absent.

use beadmesh_protocol::sample::{Facts, gpu, host};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Node;

/// Bytes in a mebibyte.
const MEBIBYTE: u64 = 1_048_576;

/// The cards of all machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GpusBody {
    /// Every card that is known.
    pub gpus: Vec<Gpu>,
    /// How it stands with the cards of each member.
    pub nodes: Vec<GpuNode>,
}

/// A card that is free.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PickBody {
    /// The card, the least busy of those that will do.
    pub gpu: Gpu,
    /// Which part of it, where it is split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<u8>,
    /// Memory that is free there.
    pub free_bytes: u64,
    /// How many will do.
    pub of: usize,
}

/// All machines of the mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodesBody {
    /// A machine for each member, this one first.
    pub nodes: Vec<Machine>,
}

/// How it stands with the cards of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GpuNode {
    /// The node.
    pub node: Node,
    /// Whether it is the one that answers.
    pub here: bool,
    /// How it stands: `ok`, `absent`, `driver_not_loaded`, `version_mismatch`, `no_devices`, `lost`, `no_permission`,
    /// `stalled`, `failed`, `off`, or `unknown` where nothing was heard.
    pub state: String,
    /// What to do about it; absent where there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Where readings come from: `nvml`, `demo` (they are made up) or `off`; absent where nothing was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The version of the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The highest version of CUDA that the driver can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// How long ago the last sample came, in seconds; absent where none was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<f64>,
    /// Whether three samples or more were missed: the machine may be gone.
    pub stale: bool,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// The node and its cards as a whole.
    #[serde(flatten)]
    pub standing: GpuNode,
    /// The machine itself.
    pub host: Host,
    /// Its cards.
    pub gpus: Vec<Gpu>,
}

/// What a machine is, and what was measured on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Host {
    /// Its operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The release of its kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// What its processors are built to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// What its processors are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// How many of them the node may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u16>,
    /// The version of this program there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The words that its owner gives it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// How busy all processors are together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// The load over 1, 5 and 15 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<[f64; 3]>,
    /// Its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Memory that can be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
    /// Room for what does not fit memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_total_bytes: Option<u64>,
    /// What is free of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_free_bytes: Option<u64>,
    /// The file system of the home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    /// What is free of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// What came over networks since the machine was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_in_bytes: Option<u64>,
    /// What went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_out_bytes: Option<u64>,
    /// How long ago the machine was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// The temperature of its processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<u8>,
    /// Its battery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery: Option<Battery>,
}

/// How it stands with a battery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Battery {
    /// How full it is.
    pub percent: u8,
    /// Whether the machine lives on it.
    pub discharging: bool,
}

/// One card.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Gpu {
    /// The name of the node whose card it is.
    pub node: String,
    /// Where the readings come from: `nvml`, or `demo` where they are made up.
    pub backend: String,
    /// Its index there.
    pub index: u8,
    /// How it stands: `ok`, `lost`, `no_permission`, `failed`, or `unknown` while its driver does not answer.
    pub health: String,
    /// Whether its last sample is old.
    pub stale: bool,
    /// What it is called everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What its maker calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it sits on the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci: Option<String>,
    /// The version of CUDA's instructions that it can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<String>,
    /// Whether it is set to be split; absent where it can not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig: Option<bool>,
    /// How much of the time it computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_percent: Option<u8>,
    /// How much of the time its memory is read or written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_busy_percent: Option<u8>,
    /// How much of the time it encodes video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_busy_percent: Option<u8>,
    /// How much of the time it decodes video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_busy_percent: Option<u8>,
    /// Its memory, to a MiB, as all of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Memory in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Memory that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_free_bytes: Option<u64>,
    /// Memory that the driver keeps for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reserved_bytes: Option<u64>,
    /// What it draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<f64>,
    /// What it may draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_limit_watts: Option<f64>,
    /// What it has drawn since its driver was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_joules: Option<f64>,
    /// Its temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<u8>,
    /// How fast its fan is to turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fan_percent: Option<u8>,
    /// The clock of its multiprocessors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_sm_mhz: Option<u16>,
    /// The clock of its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_memory_mhz: Option<u16>,
    /// The clock of its video engines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_video_mhz: Option<u16>,
    /// Its performance state: 0 is the fastest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pstate: Option<u8>,
    /// Why its clocks are held down, such as `power_cap`; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Vec<String>>,
    /// Errors of memory that were mended since its driver was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_corrected: Option<u32>,
    /// Errors of memory that were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrected: Option<u32>,
    /// What became of bad rows of its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remapped: Option<Remapped>,
    /// Its link to the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcie: Option<Pcie>,
    /// The last error that its driver reported since the node looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xid: Option<Xid>,
    /// The parts that it is split into.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<GpuSlice>,
    /// Who uses it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<GpuProcess>,
}

/// What became of bad rows of a card's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// A card's link to the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pcie {
    /// Its generation now.
    pub generation: u8,
    /// Its lanes now.
    pub lanes: u8,
    /// The highest generation that it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_max: Option<u8>,
    /// The most lanes that it can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lanes_max: Option<u8>,
    /// How often something had to be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<u32>,
}

/// An error that a card's driver reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Xid {
    /// Its number in NVIDIA's list.
    pub code: u16,
    /// How many errors were reported since the node looks.
    pub count: u16,
}

/// A part of a card that is split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GpuSlice {
    /// Its number.
    pub index: u8,
    /// What it is called everywhere.
    pub uuid: String,
    /// What its maker calls it.
    pub name: String,
    /// Its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
}

/// A process that uses a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GpuProcess {
    /// Its number there.
    pub pid: u32,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The agent in whose name it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Memory of the card that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What was measured over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryBody {
    /// The node.
    pub node: Node,
    /// What was measured.
    pub metric: String,
    /// What the numbers count; empty for plain ones.
    pub unit: String,
    /// Where numbers of cards come from: `nvml`, or `demo` where they are made up; absent for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Sample by sample, the last quarter of an hour.
    pub recent: Vec<Point>,
    /// Means of five minutes each, the last week.
    pub week: Vec<Point>,
}

/// A number at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// When.
    pub at: String,
    /// What was measured.
    pub value: f32,
}

impl Host {
    /// Shows a machine by what is known of it.
    pub(crate) fn new(facts: Option<&host::Facts>, sample: Option<&host::Sample>) -> Self {
        let facts = facts.cloned().unwrap_or_default();
        let sample = sample.copied().unwrap_or_default();
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let hundredths = |value: u32| f64::from(value) / 100.0;
        Self {
            os: facts.os,
            kernel: facts.kernel,
            arch: said(facts.arch),
            cpu: facts.cpu,
            cores: facts.cores,
            version: said(facts.version),
            labels: facts.labels,
            cpu_percent: sample.cpu_permille.map(|permille| f64::from(permille) / 10.0),
            load: sample.load_centi.map(|(one, five, fifteen)| [one, five, fifteen].map(hundredths)),
            memory_total_bytes: facts.memory_total,
            memory_available_bytes: sample.memory_available,
            swap_total_bytes: sample.swap.map(|(total, _)| total),
            swap_free_bytes: sample.swap.map(|(_, free)| free),
            disk_total_bytes: sample.disk.map(|(total, _)| total),
            disk_free_bytes: sample.disk.map(|(_, free)| free),
            network_in_bytes: sample.network.map(|(came, _)| came),
            network_out_bytes: sample.network.map(|(_, went)| went),
            uptime_s: sample.uptime_s,
            temperature_celsius: sample.temperature,
            battery: sample
                .battery
                .map(|battery| Battery { percent: battery.percent, discharging: battery.discharging }),
        }
    }
}

impl Gpu {
    /// Shows a card of the node of that name by what is known of it.
    pub(crate) fn new(node: &str, index: u8, facts: Option<&Facts>, sample: Option<&gpu::Sample>) -> Self {
        let card = facts.and_then(|facts| facts.gpus.iter().find(|card| card.index == index)).cloned();
        let card = card.unwrap_or_default();
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let known = Self {
            node: node.to_owned(),
            backend: facts.map(|facts| facts.driver.backend).unwrap_or_default().as_str().to_owned(),
            index,
            health: "unknown".to_owned(),
            uuid: said(card.uuid),
            name: said(card.name),
            pci: card.pci,
            compute: card.compute.map(|(major, minor)| format!("{major}.{minor}")),
            mig: card.mig,
            memory_total_bytes: bytes(card.memory_mib),
            ..Self::default()
        };
        match sample {
            Some(sample) => known.measured(sample, card.pcie_max),
            None => known,
        }
    }

    fn measured(self, sample: &gpu::Sample, pcie_max: Option<(u8, u8)>) -> Self {
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1_000.0;
        #[expect(clippy::cast_precision_loss, reason = "bounded far below what a double tells apart")]
        let joules = |millijoules: u64| millijoules as f64 / 1_000.0;
        Self {
            health: sample.health.as_str().to_owned(),
            busy_percent: sample.busy,
            memory_busy_percent: sample.memory_busy,
            encoder_busy_percent: sample.encoder_busy,
            decoder_busy_percent: sample.decoder_busy,
            memory_used_bytes: bytes(sample.memory_used_mib),
            memory_free_bytes: bytes(sample.memory_free_mib),
            memory_reserved_bytes: bytes(sample.memory_reserved_mib),
            power_watts: sample.power_mw.map(watts),
            power_limit_watts: sample.power_limit_mw.map(watts),
            energy_joules: sample.energy_mj.map(joules),
            temperature_celsius: sample.temperature,
            fan_percent: sample.fan,
            clock_sm_mhz: sample.clock_sm_mhz,
            clock_memory_mhz: sample.clock_memory_mhz,
            clock_video_mhz: sample.clock_video_mhz,
            pstate: sample.pstate,
            throttle: sample.throttle.map(reasons),
            ecc_corrected: sample.ecc_corrected,
            ecc_uncorrected: sample.ecc_uncorrected,
            remapped: sample.remapped.map(|rows| Remapped {
                corrected: rows.corrected,
                uncorrected: rows.uncorrected,
                pending: rows.pending,
                failed: rows.failed,
            }),
            pcie: sample.pcie.map(|(generation, lanes)| Pcie {
                generation,
                lanes,
                generation_max: pcie_max.map(|(generation, _)| generation),
                lanes_max: pcie_max.map(|(_, lanes)| lanes),
                replays: sample.pcie_replays,
            }),
            xid: sample.xid.map(|xid| Xid { code: xid.code, count: xid.count }),
            ..self
        }
    }
}

impl GpuSlice {
    /// Shows a part of a card by what is known of it.
    pub(crate) fn new(facts: &gpu::SliceFacts, sample: Option<&gpu::SliceSample>) -> Self {
        Self {
            index: facts.slice,
            uuid: facts.uuid.clone(),
            name: facts.name.clone(),
            memory_total_bytes: bytes(facts.memory_mib),
            memory_used_bytes: sample.and_then(|sample| bytes(sample.memory_used_mib)),
        }
    }
}

impl From<&gpu::Process> for GpuProcess {
    fn from(process: &gpu::Process) -> Self {
        Self {
            pid: process.pid,
            name: process.name.clone(),
            owner: process.owner.clone(),
            agent: process.agent.clone(),
            memory_bytes: bytes(process.memory_mib),
        }
    }
}

fn bytes(mib: Option<u32>) -> Option<u64> {
    mib.map(|mib| u64::from(mib) * MEBIBYTE)
}

/// Returns the words for NVML's bits.
///
/// Source: nvml.h, `nvmlClocksEventReason*`.
fn reasons(bits: u16) -> Vec<String> {
    const WORDS: [&str; 9] = [
        "idle",
        "applications_clocks",
        "power_cap",
        "hardware_slowdown",
        "sync_boost",
        "software_thermal",
        "hardware_thermal",
        "hardware_power_brake",
        "display_clocks",
    ];
    let set = WORDS.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    set.map(|(_, word)| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_shows_what_is_known_in_base_units_and_leaves_out_the_rest() {
        let facts = Facts {
            gpus: vec![gpu::Facts { index: 1, memory_mib: Some(2), ..Default::default() }],
            ..Default::default()
        };
        let sample = gpu::Sample {
            index: 1,
            power_mw: Some(70_500),
            energy_mj: Some(1_500),
            throttle: Some(0b100),
            ..gpu::Sample::default()
        };
        let shown = serde_json::to_value(Gpu::new("ada", 1, Some(&facts), Some(&sample))).unwrap();
        let expected = serde_json::json!({
            "node": "ada", "backend": "nvml", "index": 1, "health": "ok", "stale": false, "memory_total_bytes": 2_097_152,
            "power_watts": 70.5, "energy_joules": 1.5, "throttle": ["power_cap"],
        });
        assert_eq!(shown, expected);
        let silent = serde_json::to_value(Gpu::new("ada", 1, Some(&facts), None)).unwrap();
        assert_eq!(silent["health"], "unknown");
    }
}
