//! What a seed of the lease cell is expanded into: voters, claimants, the network, and what goes wrong when.

use beadmesh_protocol::id::VoterId;
use beadmesh_protocol::lease::{Epoch, Seat};
use beadmesh_protocol::planted::{self, Bug};
use serde::{Deserialize, Serialize};

use super::id;
use crate::random::Stream;

/// A cell and all that happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What everything else is drawn from while it runs.
    pub seed: u64,
    /// How many of the first nodes vote at the beginning.
    pub voters: u8,
    /// How far each node's clock is off, in parts per million.
    pub drifts_ppm: Vec<i32>,
    /// Milliseconds for which voters keep a promise.
    pub hold_ms: u32,
    /// Claims that agents make at a time, one list for each: the node of the agent, and its number there.
    pub slots: Vec<(u8, u8)>,
    /// How the network is.
    pub network: Network,
    /// Mean microseconds of a flush.
    pub flush_mean_us: u64,
    /// Microseconds until all is healed.
    pub span_us: u64,
    /// The longest that an agent works under a lease, in microseconds.
    pub work_max_us: u64,
    /// What goes wrong.
    pub troubles: Vec<Timed>,
    /// The bug planted in the core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<String>,
}

/// How messages fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Microseconds that each takes at least.
    pub latency_min_us: u64,
    /// Mean microseconds that each takes besides.
    pub latency_mean_us: u64,
    /// How many of a thousand are lost.
    pub loss_per_mille: u32,
    /// How many of a thousand come again, up to two minutes later.
    pub double_per_mille: u32,
}

/// Something that goes wrong at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// When, in microseconds.
    pub at_us: u64,
    /// What.
    pub trouble: Trouble,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// A process ends and starts again; what it had not flushed is lost.
    Crash {
        /// The node.
        node: u8,
        /// Microseconds until it starts.
        down_us: u64,
    },
    /// A machine stops and starts again, its clock at zero.
    Reboot {
        /// The node.
        node: u8,
        /// Microseconds until it starts.
        down_us: u64,
        /// What its disk holds then.
        disk: Disk,
    },
    /// A process stands still while its clock goes on.
    Pause {
        /// The node.
        node: u8,
        /// For how many microseconds.
        for_us: u64,
    },
    /// Nothing passes from one node to another.
    Cut {
        /// From here.
        from: u8,
        /// To there.
        to: u8,
        /// For how many microseconds.
        for_us: u64,
    },
    /// Nothing passes between two parts of the nodes.
    Split {
        /// The nodes of one part, as bits.
        part: u16,
        /// For how many microseconds.
        for_us: u64,
    },
    /// The owner wants other voters.
    Voters {
        /// How many: 1, 3, 5 or 7, of those that answer.
        count: u8,
        /// Milliseconds for which they keep promises.
        hold_ms: u32,
    },
}

/// What a disk holds after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// All that was flushed.
    Kept,
    /// Nothing.
    Lost,
    /// What it held some time before.
    TurnedBack,
}

impl Plan {
    /// Expands a seed.
    pub fn draw(seed: u64) -> Self {
        let mut stream = Stream::keyed(seed, "cell plan", 0, 0);
        let voters = *stream.pick(&[1, 3, 3, 3, 5, 5, 7]);
        let nodes = voters + u8::try_from(stream.between(1, 4)).expect("few");
        let is_extreme = stream.chance(200);
        let drifts_ppm = (0..nodes).map(|_| drift(&mut stream, is_extreme)).collect();
        let slots = (0..stream.between(2, 12)).map(|_| {
            let node = u8::try_from(stream.below(u64::from(nodes))).expect("few");
            (node, u8::try_from(stream.below(3)).expect("few"))
        });
        let slots = slots.collect();
        let network = Network {
            latency_min_us: stream.scaled(100, 30_000),
            latency_mean_us: stream.scaled(1_000, 100_000),
            loss_per_mille: if stream.chance(500) { u32::try_from(stream.between(0, 300)).expect("small") } else { 0 },
            double_per_mille: if stream.chance(500) {
                u32::try_from(stream.between(0, 500)).expect("small")
            } else {
                0
            },
        };
        let flush_mean_us = if stream.chance(300) { stream.scaled(1_000, 300_000) } else { 300 };
        let hold_ms = hold(&mut stream);
        let span_us = stream.between(30, 180) * 1_000_000;
        let work_max_us = stream.scaled(1_000_000, 25_000_000);
        let mut plan = Self {
            seed,
            voters,
            drifts_ppm,
            hold_ms,
            slots,
            network,
            flush_mean_us,
            span_us,
            work_max_us,
            troubles: Vec::new(),
            planted: None,
        };
        plan.troubles = plan.draw_troubles(&mut stream);
        plan
    }

    /// Returns whether a bug of that name can be planted in this build.
    pub fn can_have(bug: &str) -> bool {
        planted::available() && Bug::parse(bug).is_some()
    }

    /// Returns how many nodes there are.
    pub fn nodes(&self) -> usize {
        self.drifts_ppm.len()
    }

    /// Returns the epoch in which the cell begins.
    pub(super) fn first_epoch(&self) -> Epoch {
        let seat = |place: u8| Seat { node: id(usize::from(place)), voter: first_voter(usize::from(place)) };
        let hold = std::time::Duration::from_millis(u64::from(self.hold_ms));
        Epoch::new(1, (0..self.voters).map(seat).collect(), hold).expect("a plan has sound voters")
    }

    /// Draws the loss of the disks of a majority of the first voters, one soon after the other.
    fn draw_loss(&self, stream: &mut Stream) -> Vec<Timed> {
        let begin_us = stream.below(self.span_us);
        let lost = 1..=self.voters / 2 + 1;
        let loss = |node| {
            let down_us = stream.scaled(100_000, 30_000_000);
            let trouble = Trouble::Reboot { node, down_us, disk: Disk::Lost };
            Timed { at_us: begin_us + stream.below(2_000_000), trouble }
        };
        lost.map(loss).collect()
    }

    /// Draws troubles; each kind is off in half of the seeds. No more disks are lost than leave a majority, but in some
    /// seeds, which need the recovery key.
    fn draw_troubles(&self, stream: &mut Stream) -> Vec<Timed> {
        let mut kinds: Vec<u8> = (0..6).filter(|_| stream.chance(500)).collect();
        if kinds.is_empty() {
            kinds.push(0);
        }
        let nodes = u64::try_from(self.nodes()).expect("few");
        let mut disks = self.voters / 2;
        let mut troubles = Vec::new();
        for _ in 0..stream.between(0, 24) {
            let at_us = stream.below(self.span_us);
            let node = u8::try_from(stream.below(nodes)).expect("few");
            let trouble = match *stream.pick(&kinds) {
                0 => Trouble::Crash { node, down_us: stream.scaled(1_000, 15_000_000) },
                1 => {
                    let mut disk = *stream.pick(&[Disk::Kept, Disk::Kept, Disk::Lost, Disk::TurnedBack]);
                    if disk != Disk::Kept && (disks == 0 || node == 0) {
                        disk = Disk::Kept;
                    }
                    disks -= u8::from(disk != Disk::Kept);
                    Trouble::Reboot { node, down_us: stream.scaled(100_000, 30_000_000), disk }
                }
                2 => Trouble::Pause { node, for_us: stream.scaled(10_000, 25_000_000) },
                3 => {
                    let to = u8::try_from(stream.below(nodes)).expect("few");
                    Trouble::Cut { from: node, to, for_us: stream.scaled(100_000, 30_000_000) }
                }
                4 => {
                    let part = u16::try_from(stream.below(1 << nodes)).expect("few");
                    Trouble::Split { part, for_us: stream.scaled(100_000, 30_000_000) }
                }
                _ => Trouble::Voters { count: *stream.pick(&[1, 3, 3, 5, 7]), hold_ms: hold(stream) },
            };
            troubles.push(Timed { at_us, trouble });
        }
        if self.voters > 1 && stream.chance(100) {
            troubles.extend(self.draw_loss(stream));
        }
        troubles.sort_by_key(|timed| timed.at_us);
        troubles
    }
}

/// Returns the voter that a node begins with.
pub(super) fn first_voter(place: usize) -> VoterId {
    VoterId::from_bytes([u8::try_from(place + 1).expect("a cell has few nodes"); 16])
}

fn hold(stream: &mut Stream) -> u32 {
    *stream.pick(&[5_000, 10_000, 10_000, 20_000])
}

fn drift(stream: &mut Stream, is_extreme: bool) -> i32 {
    let far = if is_extreme { 10_000 } else { *stream.pick(&[0, 100, 10_000]) };
    let drift = if is_extreme { stream.signed(|_| far) } else { stream.either_way(far) };
    i32::try_from(drift).expect("within a percent")
}
