//! The virtual network: ways between nodes, what stands in them, and the links over them.
//!
//! A link is what the node's transports give: frames arrive whole, once and in order, or the link breaks. So a lost packet
//! makes frames late, a way that is cut holds them back until the ends give up, and what was on its way then is lost.

use std::collections::{BTreeMap, VecDeque};

use beadmesh_store::replica::LinkId;

use crate::plan;
use crate::random::Stream;

/// Frames that may wait in one direction of a link before its sender gives it up: the node's own bound, and what the
/// sockets of both ends take besides.
const QUEUE_FRAMES_MAX: u32 = 256 + 64;

/// How long a lost packet takes to be sent again, in microseconds; each further loss doubles it.
const REPEAT_US: u64 = 200_000;

/// Losses of one packet in a row after which a link breaks.
const REPEATS_MAX: u32 = 7;

/// Packets lost of a thousand at most, whatever comes together.
const LOSS_MAX: u32 = 950;

/// Bytes that travel beside each frame.
const ENVELOPE_BYTES: u64 = 64;

/// One end of a link, and one direction: from the lower place, or from the higher.
pub(crate) type End = usize;

/// A link between two nodes.
#[derive(Debug)]
pub(crate) struct Link {
    /// The nodes at its ends, by place.
    pub(crate) ends: [u32; 2],
    /// Which end still takes it for up.
    pub(crate) up: [bool; 2],
    /// What is on its way, by the end it comes from.
    pub(crate) directions: [Direction; 2],
    /// When it came up.
    pub(crate) since_us: u64,
    /// Whether a check is due of how long nothing has passed.
    pub(crate) watched: bool,
    stream: Stream,
}

/// One direction of a link.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    /// When the last frame has left the sender.
    free_us: u64,
    /// When the last frame arrives.
    pub(crate) last_us: u64,
    /// Bytes sent and not arrived, and in how many frames; and those of frames of entries.
    pub(crate) queued: u64,
    pub(crate) frames: u32,
    pub(crate) entries_queued: u64,
    /// Frames that came as far as where the way is cut.
    pub(crate) held: VecDeque<Vec<u8>>,
}

/// What a node's ways are like besides what the plan's network is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// How many things keep anything from passing.
    pub(crate) clogs: u32,
    loss_per_mille: u32,
    delay_us: u64,
    bytes_per_s: Option<u64>,
}

/// What becomes of a frame that is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It arrives then, unless the way is cut.
    At(u64),
    /// The link breaks.
    Broken,
    /// Too much waits: the sender gives the link up.
    Overflow,
}

/// The ways, the weather and the links.
#[derive(Debug)]
pub(crate) struct Network {
    seed: u64,
    base: plan::Network,
    /// How many cuts there are from one node to another.
    cuts: BTreeMap<(u32, u32), u32>,
    weather: Vec<Weather>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    next: u64,
    /// The most bytes that waited in one direction, of what honest nodes sent, and of entries among that.
    pub(crate) queue_bytes_max: u64,
    pub(crate) entries_bytes_max: u64,
}

/// A frame as a link sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Of an honest node, with entries.
    Entries,
    /// Of an honest node, with anything else.
    Other,
    /// Of a rogue, whatever it is.
    Rogue,
}

impl Network {
    pub(crate) fn new(seed: u64, base: plan::Network, nodes: usize) -> Self {
        let (cuts, links) = (BTreeMap::new(), BTreeMap::new());
        Self {
            seed,
            base,
            cuts,
            weather: vec![Weather::default(); nodes],
            links,
            next: 1,
            queue_bytes_max: 0,
            entries_bytes_max: 0,
        }
    }

    /// Adds a node, which gets the next place.
    pub(crate) fn add(&mut self) {
        self.weather.push(Weather::default());
    }

    /// Returns whether frames pass from one node to another now.
    pub(crate) fn passes(&self, from: u32, to: u32) -> bool {
        !self.cuts.contains_key(&(from, to)) && self.weather[at(from)].clogs == 0 && self.weather[at(to)].clogs == 0
    }

    /// Cuts one direction between two nodes once more.
    pub(crate) fn cut(&mut self, from: u32, to: u32) {
        *self.cuts.entry((from, to)).or_default() += 1;
    }

    /// Takes one cut back.
    pub(crate) fn mend(&mut self, from: u32, to: u32) {
        if let Some(cuts) = self.cuts.get_mut(&(from, to)) {
            *cuts -= 1;
            if *cuts == 0 {
                self.cuts.remove(&(from, to));
            }
        }
    }

    /// Lets nothing from or to a node pass.
    pub(crate) fn clog(&mut self, node: u32) {
        self.weather[at(node)].clogs += 1;
    }

    /// Takes one clog back.
    pub(crate) fn unclog(&mut self, node: u32) {
        let clogs = &mut self.weather[at(node)].clogs;
        *clogs = clogs.saturating_sub(1);
    }

    /// Makes a node's ways lossy and slow; zeroes make them good again.
    pub(crate) fn roughen(&mut self, node: u32, loss_per_mille: u32, delay_us: u64) {
        let weather = &mut self.weather[at(node)];
        (weather.loss_per_mille, weather.delay_us) = (loss_per_mille, delay_us);
    }

    /// Makes a node's ways narrow; `None` makes them wide again.
    pub(crate) fn narrow(&mut self, node: u32, bytes_per_s: Option<u64>) {
        self.weather[at(node)].bytes_per_s = bytes_per_s;
    }

    /// Makes a link between two nodes, the lower place first.
    pub(crate) fn connect(&mut self, ends: [u32; 2], now_us: u64) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        // One stream for each link of a pair in turn: what happens to others does not shift it.
        let pair = (u64::from(ends[0]) << 32) | u64::from(ends[1]);
        let stream = Stream::keyed(self.seed, "link", pair, now_us);
        let directions = [Direction::default(), Direction::default()];
        self.links.insert(id, Link { ends, up: [true; 2], directions, since_us: now_us, watched: false, stream });
        id
    }

    /// Returns how long something small is on its way between two nodes, drawn from a stream of the caller's.
    pub(crate) fn latency(&self, ends: [u32; 2], stream: &mut Stream) -> u64 {
        let [one, other] = ends.map(|end| self.weather[at(end)]);
        let mean = self.base.latency_mean_us + one.delay_us + other.delay_us;
        self.base.latency_min_us + stream.exponential_us(mean)
    }

    /// Returns how many of a thousand packets between two nodes are lost.
    pub(crate) fn loss(&self, ends: [u32; 2]) -> u32 {
        let [one, other] = ends.map(|end| self.weather[at(end)].loss_per_mille);
        (self.base.loss_per_mille + one + other).min(LOSS_MAX)
    }

    /// Sends a frame from one end of a link, and says when it arrives.
    pub(crate) fn send(&mut self, id: LinkId, from: End, (bytes, load): (u64, Load), now_us: u64) -> Sent {
        let Some(ends) = self.links.get(&id).map(|link| link.ends) else { return Sent::Broken };
        let loss = self.loss(ends);
        let [one, other] = ends.map(|end| self.weather[at(end)]);
        let Some(link) = self.links.get_mut(&id) else { return Sent::Broken };
        let direction = &mut link.directions[from];
        direction.queued += bytes;
        direction.frames += 1;
        if load == Load::Entries {
            direction.entries_queued += bytes;
            self.entries_bytes_max = self.entries_bytes_max.max(direction.entries_queued);
        }
        if load != Load::Rogue {
            self.queue_bytes_max = self.queue_bytes_max.max(direction.queued);
        }
        if direction.frames > QUEUE_FRAMES_MAX {
            return Sent::Overflow;
        }
        let mut repeats = 0;
        while repeats <= REPEATS_MAX && link.stream.chance(loss) {
            repeats += 1;
        }
        if repeats > REPEATS_MAX {
            return Sent::Broken;
        }
        let narrow = one.bytes_per_s.unwrap_or(u64::MAX).min(other.bytes_per_s.unwrap_or(u64::MAX));
        let rate = self.base.bytes_per_s.min(narrow).max(1);
        direction.free_us = direction.free_us.max(now_us) + (bytes + ENVELOPE_BYTES) * 1_000_000 / rate;
        let repeating = REPEAT_US * ((1 << repeats) - 1);
        let mean = self.base.latency_mean_us + one.delay_us + other.delay_us;
        let arrives = direction.free_us + self.base.latency_min_us + link.stream.exponential_us(mean) + repeating;
        // Frames of one direction keep their order.
        direction.last_us = arrives.max(direction.last_us + 1);
        Sent::At(direction.last_us)
    }
}

fn at(node: u32) -> usize {
    usize::try_from(node).expect("places are small")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network of three nodes, with a link between the first two.
    fn linked(loss_per_mille: u32) -> (Network, LinkId) {
        let base = plan::Network {
            latency_min_us: 100,
            latency_mean_us: 5_000,
            loss_per_mille,
            bytes_per_s: 1_000_000,
            window_bytes: 65_536,
        };
        let mut network = Network::new(7, base, 3);
        let link = network.connect([0, 1], 0);
        (network, link)
    }

    #[test]
    fn a_frame_that_is_lost_and_sent_again_keeps_its_place() {
        let (mut network, link) = linked(300);
        let mut last = 0;
        for at in 0..200 {
            let Sent::At(arrives) = network.send(link, 0, (100, Load::Other), at * 10) else {
                panic!("frame {at} is lost")
            };
            assert!(arrives > last, "frame {at} comes at {arrives}, the one before at {last}");
            last = arrives;
        }
        assert!(last > REPEAT_US, "{last}");
    }

    #[test]
    fn a_packet_that_is_lost_again_and_again_breaks_the_link() {
        let (mut network, link) = linked(900);
        assert!((0..50).any(|_| network.send(link, 0, (1, Load::Other), 0) == Sent::Broken));
    }

    #[test]
    fn too_much_in_one_direction_is_given_up() {
        let (mut network, link) = linked(0);
        for _ in 0..QUEUE_FRAMES_MAX {
            assert!(matches!(network.send(link, 0, (1, Load::Other), 0), Sent::At(_)));
        }
        assert_eq!(network.send(link, 0, (1, Load::Other), 0), Sent::Overflow);
        assert!(matches!(network.send(link, 1, (1, Load::Other), 0), Sent::At(_)), "the other direction is free");
    }

    #[test]
    fn a_narrow_way_lets_through_what_its_rate_allows() {
        let arrives = |rate| {
            let (mut network, link) = linked(0);
            network.narrow(1, rate);
            let Sent::At(arrives) = network.send(link, 0, (10_000 - ENVELOPE_BYTES, Load::Other), 0) else {
                panic!("broken")
            };
            arrives
        };
        assert_eq!(arrives(Some(10_000)) - arrives(None), 1_000_000 - 10_000);
    }

    #[test]
    fn each_cut_and_each_clog_is_mended_by_itself() {
        let (mut network, _) = linked(0);
        network.cut(0, 1);
        network.cut(0, 1);
        network.mend(0, 1);
        assert_eq!((network.passes(0, 1), network.passes(1, 0)), (false, true));
        network.mend(0, 1);
        assert!(network.passes(0, 1));
        network.clog(2);
        network.clog(2);
        network.unclog(2);
        assert_eq!((network.passes(2, 0), network.passes(0, 2), network.passes(0, 1)), (false, false, true));
        network.unclog(2);
        network.unclog(2);
        assert!(network.passes(2, 0));
    }

    #[test]
    fn what_rogues_send_is_not_counted_as_a_queue_of_honest_nodes() {
        let (mut network, link) = linked(0);
        network.send(link, 0, (500, Load::Rogue), 0);
        assert_eq!(network.queue_bytes_max, 0);
        network.send(link, 1, (200, Load::Other), 0);
        network.send(link, 1, (50, Load::Entries), 0);
        assert_eq!((network.queue_bytes_max, network.entries_bytes_max), (250, 50));
    }
}
