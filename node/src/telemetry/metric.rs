//! What of a sample is kept over time, by names that people and programs use.

use std::fmt;
use std::str::FromStr;

use beadmesh_protocol::sample::{Facts, Sample, gpu};
use serde::{Deserialize, Serialize};

/// Bytes in a mebibyte.
const MEBIBYTE: f32 = 1_048_576.0;

/// One number that is measured again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Metric {
    /// How busy processors are.
    Cpu,
    /// The load over a minute.
    Load,
    /// Memory in use.
    Memory,
    /// What is in use of the disk that the home is on.
    Disk,
    /// The temperature of processors.
    Temperature,
    /// How full the battery is.
    Battery,
    /// Something of the card with that index.
    Card(u8, CardMetric),
}

/// One number that is measured on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum CardMetric {
    /// How much of the time it computes.
    Busy,
    /// Memory in use.
    Memory,
    /// What it draws.
    Power,
    /// Its temperature.
    Temperature,
    /// The clock of its multiprocessors.
    Clock,
}

/// The text is no metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no metric")]
pub(crate) struct MetricError(String);

impl Metric {
    /// Those of the machine itself.
    pub(crate) const HOST: [Self; 6] =
        [Self::Cpu, Self::Load, Self::Memory, Self::Disk, Self::Temperature, Self::Battery];

    /// Returns what its numbers count; empty for a plain number.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Cpu | Self::Battery | Self::Card(_, CardMetric::Busy) => "percent",
            Self::Load => "",
            Self::Memory | Self::Disk | Self::Card(_, CardMetric::Memory) => "bytes",
            Self::Temperature | Self::Card(_, CardMetric::Temperature) => "celsius",
            Self::Card(_, CardMetric::Power) => "watts",
            Self::Card(_, CardMetric::Clock) => "megahertz",
        }
    }

    /// Returns all that a sample has a number for.
    pub(crate) fn all(sample: &Sample, facts: Option<&Facts>) -> Vec<(Self, f32)> {
        let host = Self::HOST.into_iter().filter_map(|metric| Some((metric, metric.of_host(sample, facts)?)));
        let cards = sample.gpus.iter().flat_map(|card| {
            let values = CardMetric::ALL.map(|metric| (metric, metric.of(card)));
            values.into_iter().filter_map(|(metric, value)| Some((Self::Card(card.index, metric), value?)))
        });
        host.chain(cards).collect()
    }

    fn of_host(self, sample: &Sample, facts: Option<&Facts>) -> Option<f32> {
        let host = &sample.host;
        match self {
            Self::Cpu => host.cpu_permille.map(|permille| f32::from(permille) / 10.0),
            Self::Load => host.load_centi.map(|(minute, ..)| float(minute.into()) / 100.0),
            Self::Memory => {
                let total = facts?.host.memory_total?;
                Some(float(total.saturating_sub(host.memory_available?)))
            }
            Self::Disk => host.disk.map(|(total, free)| float(total.saturating_sub(free))),
            Self::Temperature => host.temperature.map(f32::from),
            Self::Battery => host.battery.map(|battery| f32::from(battery.percent)),
            Self::Card(..) => None,
        }
    }
}

impl CardMetric {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Busy, Self::Memory, Self::Power, Self::Temperature, Self::Clock];

    fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Memory => "memory",
            Self::Power => "power",
            Self::Temperature => "temperature",
            Self::Clock => "clock",
        }
    }

    fn of(self, card: &gpu::Sample) -> Option<f32> {
        match self {
            Self::Busy => card.busy.map(f32::from),
            Self::Memory => card.memory_used_mib.map(|mib| float(mib.into()) * MEBIBYTE),
            Self::Power => card.power_mw.map(|power| float(power.into()) / 1_000.0),
            Self::Temperature => card.temperature.map(f32::from),
            Self::Clock => card.clock_sm_mhz.map(f32::from),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Load => f.write_str("load"),
            Self::Memory => f.write_str("memory"),
            Self::Disk => f.write_str("disk"),
            Self::Temperature => f.write_str("temperature"),
            Self::Battery => f.write_str("battery"),
            Self::Card(index, metric) => write!(f, "gpu{index}.{}", metric.as_str()),
        }
    }
}

impl FromStr for Metric {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<Self, MetricError> {
        let card = || {
            let (index, name) = text.strip_prefix("gpu")?.split_once('.')?;
            let metric = CardMetric::ALL.into_iter().find(|metric| metric.as_str() == name)?;
            Some(Self::Card(index.parse().ok()?, metric))
        };
        let host = Self::HOST.into_iter().find(|metric| metric.to_string() == text);
        host.or_else(card).ok_or_else(|| MetricError(text.to_owned()))
    }
}

/// Numbers over time are for pictures: seven digits do.
#[expect(clippy::cast_precision_loss, reason = "seven digits do for a picture")]
fn float(value: u64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::sample::host;

    use super::*;

    #[test]
    fn every_metric_reads_back_from_its_name() {
        let cards = CardMetric::ALL.map(|metric| Metric::Card(15, metric));
        for metric in Metric::HOST.into_iter().chain(cards) {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        assert_eq!("gpu0.busy".parse(), Ok(Metric::Card(0, CardMetric::Busy)));
        for text in ["", "gpu", "gpu.busy", "gpu0", "gpu0.", "gpu256.busy", "busy", "CPU"] {
            assert!(text.parse::<Metric>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sample_has_numbers_for_what_was_measured_only() {
        let card = gpu::Sample { index: 1, power_mw: Some(70_500), memory_used_mib: Some(1_024), ..Default::default() };
        let host = host::Sample { cpu_permille: Some(431), memory_available: Some(1 << 30), ..Default::default() };
        let sample = Sample { host, gpus: vec![card], ..Sample::default() };
        let mut facts = Facts::default();
        facts.host.memory_total = Some(3 << 30);
        let all = Metric::all(&sample, Some(&facts));
        let gib = 1_073_741_824.0;
        assert_eq!(
            all,
            [
                (Metric::Cpu, 43.1),
                (Metric::Memory, 2.0 * gib),
                (Metric::Card(1, CardMetric::Memory), gib),
                (Metric::Card(1, CardMetric::Power), 70.5)
            ]
        );
        assert_eq!(Metric::all(&sample, None).len(), 3, "how much memory there is, is not known");
    }
}
