//! Impostors: what a rogue writes in the names of agents of other nodes, and what it writes twice in its own.
//!
//! The first must have no effect anywhere. The second is its right, and must come to each inbox once all the same.

use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, RawOp};
use beadmesh_protocol::id::{AgentId, LetterId, NodeId};
use beadmesh_protocol::mail::{Importance, Letter, Receipt, ReceiptKind};
use beadmesh_protocol::op::{AgentFacts, Op};
use beadmesh_store::replica::LinkId;

use super::rogue::Hand;
use super::{Mesh, at};
use crate::disk;
use crate::sometimes;

/// What the rogue's own agent is called.
const NAME: &str = "Impostor";

/// What an agent of another node may be called of which nothing was heard yet.
const LIKELY: &str = "BlueLake";

/// How much earlier than the first the second entry with a letter is dated, in milliseconds.
const EARLIER_MS: u64 = 3_600_000;

/// Letters of others that are written down once more at a time.
const CARRIED_MAX: usize = 3;

impl Mesh<'_> {
    /// Writes letters and receipts for agents of other nodes, and a letter of the rogue's own agent twice.
    pub(super) fn pose(&mut self, node: u32, links: &[LinkId], hand: &mut Hand) {
        let victims = self.victims(node);
        let (from, to) = (*hand.stream.pick(&victims), *hand.stream.pick(&victims));
        let letter = written(hand, from, to);
        self.impostures.insert(letter.id());
        sometimes!(self.coverage, "impostor-void", true);
        let mut ops = vec![Op::Letter(Box::new(letter)).encode()];
        ops.extend(self.receipts_for_others(node, hand));
        ops.extend(self.letters_of_others(node, hand));
        let entry = hand.sign(ops);
        self.spread(node, links, entry, None);
        for entry in doubled(hand, to) {
            self.spread(node, links, entry, None);
        }
    }

    /// Returns agents of other nodes: those that the rogue has heard of, or one that there may be some day.
    fn victims(&self, node: u32) -> Vec<AgentId> {
        let machine = &self.nodes[at(node)];
        let is_own =
            |address: &str, id: AgentId| address.split('@').next().map(|name| machine.desk.agent(name)) == Some(id);
        let known = machine.desk.known.iter().filter(|(address, id)| !is_own(address, **id));
        let mut victims: Vec<AgentId> = known.map(|(_, id)| *id).collect();
        if victims.is_empty() {
            victims.push(AgentId::of(self.nodes[0].id, LIKELY));
        }
        victims
    }

    /// Makes receipts of agents of other nodes for letters that the rogue has heard of.
    fn receipts_for_others(&self, node: u32, hand: &mut Hand) -> Vec<RawOp> {
        let machine = &self.nodes[at(node)];
        let victims = self.victims(node);
        let heard: Vec<(&LetterId, &Vec<AgentId>)> = machine.desk.letters.iter().collect();
        if heard.is_empty() {
            return Vec::new();
        }
        let (letter, to) = *hand.stream.pick(&heard);
        let kind = *hand.stream.pick(&[ReceiptKind::Read, ReceiptKind::Acknowledged]);
        let agents = to.iter().filter(|agent| victims.contains(agent));
        agents.map(|agent| Op::Receipt(Receipt { letter: *letter, agent: *agent, kind }).encode()).collect()
    }

    /// Returns letters of other nodes as they were written: that the rogue writes them down as well changes nothing.
    fn letters_of_others(&self, node: u32, hand: &mut Hand) -> Vec<RawOp> {
        let machine = &self.nodes[at(node)];
        let sealed = disk::entries(&machine.disk.lock());
        let mut letters: Vec<RawOp> = Vec::new();
        for entry in sealed.into_values().filter_map(|sealed| Entry::open_trusted(hand.mesh, sealed).ok()) {
            let content = entry.content();
            if content.author != machine.id {
                letters.extend(content.ops.iter().filter(|raw| matches!(Op::decode(raw), Ok(Op::Letter(_)))).cloned());
            }
        }
        hand.stream.shuffle(&mut letters);
        letters.truncate(CARRIED_MAX);
        letters
    }
}

/// Makes entries of the rogue's own agent: that it is there, a letter to another and to itself, the same letter dated
/// earlier, and that it has read it. Whatever comes first, it is one letter, and read.
fn doubled(hand: &mut Hand, to: AgentId) -> Vec<Entry> {
    let key = hand.key.clone();
    let own = AgentId::of(NodeId::from_bytes(key.verifying_key().to_bytes()), NAME);
    let letter = Letter { to: vec![to, own], ..written(hand, own, to) };
    let receipt = Op::Receipt(Receipt { letter: letter.id(), agent: own, kind: ReceiptKind::Read }).encode();
    let letter = Op::Letter(Box::new(letter)).encode();
    let agent = Op::Agent(AgentFacts {
        name: NAME.to_owned(),
        program: String::new(),
        model: String::new(),
        task: String::new(),
        project: None,
        retired: false,
    });
    let earlier = Wall::from_millis(hand.wall.as_millis().saturating_sub(EARLIER_MS));
    let mut entries = vec![
        hand.sign(vec![agent.encode()]),
        hand.sign(vec![letter.clone()]),
        hand.sign_as(&key, earlier, vec![letter]),
        hand.sign(vec![receipt]),
    ];
    hand.stream.shuffle(&mut entries);
    entries
}

fn written(hand: &mut Hand, from: AgentId, to: AgentId) -> Letter {
    Letter {
        project: None,
        thread: "plan".to_owned(),
        from,
        to: vec![to],
        cc: Vec::new(),
        subject: "From a rogue".to_owned(),
        body: "In whose name?".to_owned(),
        importance: Importance::Urgent,
        ack_required: false,
        in_reply_to: None,
        seen: Vec::new(),
        attachments: Vec::new(),
        sent_at: hand.wall.after(Duration::from_secs(1)),
        nonce: hand.stream.bytes(),
    }
}
