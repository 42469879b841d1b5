//! Notices: each goes from link to link through the mesh, and on its way to each node it may be lost, late or doubled.
//!
//! It is a flood and not the node's gossip: who sends to whom there is of no interest here. In half of the runs not one
//! arrives, because links alone must do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use beadmesh_protocol::notice::Notice;
use beadmesh_store::replica::Input;

use super::{Event, Mesh, SECOND, at};
use crate::random::Stream;
use crate::sometimes;

/// Nodes that one notice comes to at most: in large meshes a flood to all would be most of a run's work.
const REACH_MAX: usize = 32;

/// Of a thousand notices on their way to a node, how many are lost in a run; one of these is drawn.
const LOSSES: [u32; 6] = [1_000, 1_000, 1_000, 0, 50, 400];

/// Of a thousand notices that come to a node, how many come once more.
const DOUBLES: u32 = 30;

/// How much later a doubled notice comes on average: often after other news, sometimes minutes late.
const DOUBLE_MEAN_US: u64 = 20 * SECOND;

/// How notices fare in a run.
#[derive(Debug)]
pub(super) struct Grapevine {
    loss_per_mille: u32,
    published: u64,
}

impl Grapevine {
    pub(super) fn new(seed: u64) -> Self {
        let loss_per_mille = *Stream::keyed(seed, "notice loss", 0, 0).pick(&LOSSES);
        Self { loss_per_mille, published: 0 }
    }
}

impl Mesh<'_> {
    /// Sends a notice of a node to all that it has a path to by links.
    pub(super) fn publish(&mut self, node: u32, bytes: Vec<u8>) {
        self.grapevine.published += 1;
        let mut stream = Stream::keyed(self.plan.seed, "notice", node.into(), self.grapevine.published);
        let bytes: Arc<[u8]> = bytes.into();
        for (to, delay_us) in self.reached(node, &mut stream) {
            let lost = stream.chance(self.grapevine.loss_per_mille);
            sometimes!(self.coverage, "notice-lost", lost);
            if lost {
                continue;
            }
            let arrives = self.now_us + delay_us;
            if stream.chance(DOUBLES) {
                let again = arrives + stream.exponential_us(DOUBLE_MEAN_US);
                self.schedule(again, Event::Notice { from: node, to, bytes: Arc::clone(&bytes) });
            }
            self.schedule(arrives, Event::Notice { from: node, to, bytes: Arc::clone(&bytes) });
        }
    }

    /// Returns the nodes that can be had from a node from link to link, the nearest first, with how long the way takes.
    fn reached(&self, node: u32, stream: &mut Stream) -> Vec<(u32, u64)> {
        let mut near: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for link in self.network.links.values().filter(|link| link.up == [true; 2]) {
            let [one, other] = link.ends;
            if self.network.passes(one, other) && self.network.passes(other, one) {
                near.entry(one).or_default().push(other);
                near.entry(other).or_default().push(one);
            }
        }
        let (mut reached, mut seen) = (Vec::new(), BTreeSet::from([node]));
        let mut edge = VecDeque::from([(node, 0)]);
        while let Some((from, so_far)) = edge.pop_front() {
            for &to in near.get(&from).into_iter().flatten() {
                if reached.len() < REACH_MAX && seen.insert(to) {
                    let delay = so_far + self.network.latency([from, to], stream);
                    reached.push((to, delay));
                    edge.push_back((to, delay));
                }
            }
        }
        reached
    }

    /// Hands a notice to the process it has come to, if the node takes its sender for a member, through the real decoder.
    pub(super) fn on_notice(&mut self, from: u32, to: u32, bytes: &[u8]) {
        let sender = self.nodes[at(from)].id;
        let machine = &self.nodes[at(to)];
        let Some(mesh) = machine.mesh().filter(|_| machine.is_awake() && machine.members.contains(&sender)) else {
            return;
        };
        self.trace.fold_bytes(12, self.now_us, u64::from(from) << 32 | u64::from(to), bytes);
        let opened = &mut self.opened;
        match Notice::decode_by(sender, bytes, &mut |sealed| opened.open(mesh, sealed)) {
            Ok(notice) => {
                sometimes!(self.coverage, "notice-delivered", matches!(notice, Notice::News(_)));
                self.hand_in(to, Input::Notice(sender, notice), bytes.len());
            }
            Err(error) => {
                let honest = !self.nodes[at(from)].rogue;
                if honest {
                    self.violate("manners", Some(to), format!("a notice of node {from} was refused: {error}"));
                }
                sometimes!(self.coverage, "notice-refused", !honest);
            }
        }
    }
}
