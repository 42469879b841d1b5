//! Scenarios: what a plan is about, by name.

use std::fmt;
use std::str::FromStr;

use beadmesh_protocol::near::distance;

/// What a plan is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Nothing goes wrong, but that packets may be lost: up to 5 %.
    Calm,
    /// The network falls apart and comes together.
    Partition,
    /// Nodes work without a network for hours.
    Laptop,
    /// The node that all others meet at is restarted.
    VpsRestart,
    /// A rack of nodes with slow disks, of which some are killed.
    GpuFarm,
    /// Links lose, delay and hold back.
    FlakyWifi,
    /// Many nodes join at once.
    FlashCrowd,
    /// A store runs twice.
    Clone,
    /// Disks are lost, damaged or put back.
    Rollback,
    /// The power goes, disks are full and refuse to sync.
    PowerCut,
    /// Members lie.
    Byzantine,
    /// Anything at once.
    Swarm,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 12] = [
        Self::Calm,
        Self::Partition,
        Self::Laptop,
        Self::VpsRestart,
        Self::GpuFarm,
        Self::FlakyWifi,
        Self::FlashCrowd,
        Self::Clone,
        Self::Rollback,
        Self::PowerCut,
        Self::Byzantine,
        Self::Swarm,
    ];

    /// Returns its name as people write it and plans keep it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Partition => "partition",
            Self::Laptop => "laptop",
            Self::VpsRestart => "vps-restart",
            Self::GpuFarm => "gpu-farm",
            Self::FlakyWifi => "flaky-wifi",
            Self::FlashCrowd => "flash-crowd",
            Self::Clone => "clone",
            Self::Rollback => "rollback",
            Self::PowerCut => "power-cut",
            Self::Byzantine => "byzantine",
            Self::Swarm => "swarm",
        }
    }

    /// Returns what it is about, in one sentence.
    pub fn about(self) -> &'static str {
        match self {
            Self::Calm => "No faults: up to 5 % of packets are lost, and nodes come and go only if asked to.",
            Self::Partition => {
                "The network falls apart in every shape: both ways, one way, round a bridge, one node alone."
            }
            Self::Laptop => "Nodes go offline for hours or days, work on meanwhile and come back.",
            Self::VpsRestart => "The one node that all others have a way to is restarted again and again.",
            Self::GpuFarm => "A rack of 8 to 16 nodes with slow disks, whose processes are killed.",
            Self::FlakyWifi => "Links lose packets, stand still, carry little or work in one direction.",
            Self::FlashCrowd => "Many nodes join at once while the mesh runs, and all of them write.",
            Self::Clone => "A copy of a store and its key runs as a second process.",
            Self::Rollback => "Disks are put back to an older state, damaged or lost.",
            Self::PowerCut => "The power goes, also while disks write; disks are full or fail to sync.",
            Self::Byzantine => "Up to 30 % of the nodes lie: they forge, fork, replay, flood and send bombs.",
            Self::Swarm => "Anything at once; each kind of fault and wish is left out of half of the seeds.",
        }
    }

    /// Returns the fewest and the most nodes that it takes by itself.
    pub(crate) fn nodes_range(self) -> (u64, u64) {
        match self {
            Self::Calm | Self::Swarm | Self::FlakyWifi => (3, 8),
            Self::Partition => (3, 9),
            Self::Laptop | Self::Clone => (3, 6),
            Self::VpsRestart => (4, 8),
            Self::GpuFarm => (8, 16),
            Self::FlashCrowd => (6, 14),
            Self::Rollback => (3, 7),
            Self::PowerCut => (2, 6),
            Self::Byzantine => (4, 10),
        }
    }

    /// Returns how many nodes it usually has.
    pub fn nodes(self) -> usize {
        let (low, high) = self.nodes_range();
        usize::try_from(u64::midpoint(low, high)).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.name() == text);
        found.ok_or_else(|| UnknownScenario { text: text.chars().take(80).collect() })
    }
}

/// There is no scenario of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no scenario {text:?}: did you mean {}? There are {}", self.nearest(), names())]
pub struct UnknownScenario {
    /// What was written, cut to 80 characters.
    pub text: String,
}

impl UnknownScenario {
    /// Returns the scenario whose name is nearest to what was written.
    pub fn nearest(&self) -> Scenario {
        let text = self.text.to_lowercase();
        let letters = |word: &str| word.chars().collect::<Vec<_>>();
        // A part of a name says more than its letters do.
        let far = |name: &str| (text.is_empty() || !name.contains(&text), distance(&letters(&text), &letters(name)));
        let nearest = Scenario::ALL.into_iter().min_by_key(|scenario| far(scenario.name()));
        nearest.unwrap_or(Scenario::Swarm)
    }
}

fn names() -> String {
    Scenario::ALL.map(Scenario::name).join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_read_back_and_differ() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
            assert!(scenario.about().ends_with('.') && scenario.nodes() > 1);
        }
        assert_eq!(Scenario::ALL.map(Scenario::name).into_iter().collect::<BTreeSet<_>>().len(), 12);
    }

    #[test]
    fn a_name_nearly_right_is_mended_and_all_are_listed() {
        let error = "partiton".parse::<Scenario>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "no scenario \"partiton\": did you mean partition? There are calm, partition, laptop, vps-restart, \
             gpu-farm, flaky-wifi, flash-crowd, clone, rollback, power-cut, byzantine, swarm"
        );
        for (written, meant) in
            [("powercut", "power-cut"), ("wifi", "flaky-wifi"), ("CALM", "calm"), ("swram", "swarm")]
        {
            assert_eq!(written.parse::<Scenario>().unwrap_err().nearest().name(), meant, "{written}");
        }
    }
}
