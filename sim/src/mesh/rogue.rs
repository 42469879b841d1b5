//! Rogues: what somebody with a member's key may do to its peers, by hand-made frames on the member's own links.
//!
//! The process beneath is an honest one, so a rogue is also a member in good standing. What it says in a stranger's or an
//! observer's name must have no effect anywhere; what it says in its own may, and then the same everywhere.

use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::bead::{Edit, Field, FieldValue};
use beadmesh_protocol::clock::{Timestamp, Wall};
use beadmesh_protocol::entry::{Content, Entry, RawOp};
use beadmesh_protocol::id::{BeadId, EntryId, InstanceId, MeshId, NodeId};
use beadmesh_protocol::notice::{News, Notice, Presence};
use beadmesh_protocol::op::{Admit, BeadChange, Op, Role};
use beadmesh_protocol::reconcile::Summary;
use beadmesh_protocol::testing::bombs;
use beadmesh_protocol::wire::Frame;
use beadmesh_store::replica::LinkId;
use ed25519_dalek::SigningKey;

use super::{Mesh, at};
use crate::network::Load;
use crate::plan::Misdeed;
use crate::random::Stream;
use crate::sometimes;

/// A century, in milliseconds.
const CENTURY_MS: u64 = 100 * 365 * 24 * 3_600 * 1_000;

/// Frames that a flood sends on each link, and ids in each: few long ones, or more than a link takes at a time.
const FLOODS: [(usize, usize); 2] = [(40, 200), (400, 10)];

/// Notices of either kind that a flood publishes.
const NOTICES_FLOODED: u64 = 100;

/// A kind of data operation that no version knows yet.
const UNKNOWN_KIND: u16 = 60_000;

/// Old frames that are sent again at a time.
const REPLAYED: usize = 20;

/// What a rogue draws its doings from, and who it is.
pub(super) struct Hand {
    pub(super) stream: Stream,
    pub(super) mesh: MeshId,
    pub(super) key: SigningKey,
    pub(super) wall: Wall,
}

impl Mesh<'_> {
    /// Has a rogue do something.
    pub(super) fn do_ill(&mut self, node: u32, misdeed: Misdeed, salt: u64) {
        let machine = &self.nodes[at(node)];
        let Some(mesh) = machine.mesh() else { return };
        if !machine.is_awake() || !machine.joined {
            return;
        }
        let links = self.links_of(node);
        if links.is_empty() {
            return;
        }
        let stream = Stream::keyed(self.plan.seed, "rogue", node.into(), salt);
        let wall = machine.clock.read(self.now_us).wall;
        let mut hand = Hand { stream, mesh, key: machine.key.clone(), wall };
        self.tell(Some(node), format!("does ill: {misdeed:?}"));
        match misdeed {
            Misdeed::Garbage | Misdeed::Mutate | Misdeed::Replay | Misdeed::Flood => {
                self.harass(node, misdeed, &links, &mut hand);
            }
            Misdeed::Stranger | Misdeed::SelfAdmit | Misdeed::Observer => self.usurp(node, misdeed, &links, &mut hand),
            Misdeed::Twins | Misdeed::Fork => self.contradict(node, misdeed, &links, &mut hand),
            Misdeed::Impostor => self.pose(node, &links, &mut hand),
            Misdeed::Outcast => self.cast_out(node, &links, &mut hand),
            Misdeed::Forge | Misdeed::Future | Misdeed::Unknown | Misdeed::Bomb | Misdeed::Dangling => {
                self.misstate(node, misdeed, &links, &mut hand);
            }
        }
    }

    pub(super) fn links_of(&self, node: u32) -> Vec<LinkId> {
        let mine = self
            .network
            .links
            .iter()
            .filter(|(_, link)| link.ends.iter().position(|end| *end == node).is_some_and(|end| link.up[end]));
        mine.map(|(link, _)| *link).collect()
    }

    fn broadcast(&mut self, node: u32, links: &[LinkId], bytes: &[u8]) {
        links.iter().for_each(|link| self.send(node, *link, bytes.to_vec(), Load::Rogue));
    }

    /// Sends an entry over every link and publishes it, with the same flaw in both if there is to be one.
    pub(super) fn spread(&mut self, node: u32, links: &[LinkId], entry: Entry, flaw: Option<Misdeed>) {
        let mut notice = Notice::News(News { entries: vec![entry.clone()], ids: Vec::new() }).encode();
        let mut frame = Frame::Entries(vec![entry]).encode();
        if flaw == Some(Misdeed::Forge) {
            // The signature is what a frame of one entry ends with; in a notice, the count of names follows it.
            let last = notice.len() - 2;
            notice[last] ^= 1;
            if let Some(last) = frame.last_mut() {
                *last ^= 1;
            }
        }
        self.publish(node, notice);
        self.broadcast(node, links, &frame);
    }

    /// Publishes more notices than anybody can want, of what nobody has and of a node that holds everything.
    fn flood_notices(&mut self, node: u32, hand: &mut Hand) {
        sometimes!(self.coverage, "notice-flood-survived", true);
        for counter in 0..NOTICES_FLOODED {
            let id = EntryId::from_bytes(hand.stream.bytes());
            self.publish(node, Notice::News(News { entries: Vec::new(), ids: vec![id] }).encode());
            let much = Summary { count: hand.stream.number(), sum: hand.stream.bytes() };
            let presence = Presence {
                node: self.nodes[at(node)].id,
                instance: InstanceId::from_bytes(hand.stream.bytes()),
                opening: counter,
                counter,
                wall: Wall::from_millis(hand.stream.number()),
                control: much,
                data: much,
                agents: Vec::new(),
            };
            self.publish(node, Notice::Presence(presence).encode());
        }
    }

    /// Sends what is no frame, what is an old one, or far too many.
    fn harass(&mut self, node: u32, misdeed: Misdeed, links: &[LinkId], hand: &mut Hand) {
        match misdeed {
            Misdeed::Garbage => {
                let length = hand.stream.place(2_000) + 1;
                let bytes: Vec<u8> = (0..length).map(|_| hand.stream.bytes::<1>()[0]).collect();
                let link = *hand.stream.pick(links);
                self.publish(node, bytes.clone());
                self.send(node, link, bytes, Load::Rogue);
            }
            Misdeed::Mutate => {
                let heard = self.overheard.get(&node).cloned().unwrap_or_default();
                if heard.is_empty() {
                    return;
                }
                let mut bytes = hand.stream.pick(&heard).clone();
                for _ in 0..=hand.stream.below(8) {
                    let bit = hand.stream.place(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                self.broadcast(node, links, &bytes);
            }
            Misdeed::Replay => {
                let heard = self.overheard.get(&node).cloned().unwrap_or_default();
                sometimes!(self.coverage, "replay-ignored", !heard.is_empty());
                for bytes in heard.iter().take(REPLAYED) {
                    self.broadcast(node, links, bytes);
                }
            }
            _ => {
                sometimes!(self.coverage, "flood-survived", true);
                let (frames, ids) = *hand.stream.pick(&FLOODS);
                self.flood_notices(node, hand);
                for _ in 0..frames {
                    let ids: Vec<EntryId> = (0..ids).map(|_| EntryId::from_bytes(hand.stream.bytes())).collect();
                    let frame = if hand.stream.chance(500) { Frame::Want(ids) } else { Frame::Ack(ids) };
                    self.broadcast(node, links, &frame.encode());
                }
            }
        }
    }

    /// Writes in the name of those who may not.
    fn usurp(&mut self, node: u32, misdeed: Misdeed, links: &[LinkId], hand: &mut Hand) {
        let (bead, change) = hand.bead("outlawed");
        let op = Op::Bead(BeadChange { bead, change: change.to_wire().to_vec() }).encode();
        let role = self.nodes[at(node)].role;
        if misdeed == Misdeed::Observer {
            if role == Role::Observer {
                sometimes!(self.coverage, "observer-void", true);
                self.outlawed.insert(bead);
                let entry = hand.sign(vec![op]);
                self.spread(node, links, entry, None);
            }
            return;
        }
        let stranger = SigningKey::from_bytes(&hand.stream.bytes());
        let id = NodeId::from_bytes(stranger.verifying_key().to_bytes());
        sometimes!(self.coverage, "stranger-ignored", true);
        self.outlawed.insert(bead);
        let mut entries = Vec::new();
        // A member that is no admin may say it as well: that names the stranger, and lets it in no more than itself.
        let by_member = misdeed == Misdeed::SelfAdmit && role != Role::Admin && hand.stream.chance(500);
        if by_member { &mut self.named } else { &mut self.strangers }.insert(id);
        if misdeed == Misdeed::SelfAdmit {
            let admit =
                Admit { seen: Vec::new(), node: id, name: "stranger".to_owned(), role: Role::Admin, invite: None };
            let raw = Op::Admit(admit).encode();
            let signer = if by_member { hand.key.clone() } else { stranger.clone() };
            entries.push(hand.sign_as(&signer, hand.wall, vec![raw]));
        }
        let entry = hand.sign_as(&stranger, hand.wall, vec![op]);
        self.publish(node, Notice::News(News { entries: vec![entry.clone()], ids: Vec::new() }).encode());
        entries.push(entry);
        self.broadcast(node, links, &Frame::Entries(entries).encode());
    }

    /// Says one thing to some peers and another to others.
    fn contradict(&mut self, node: u32, misdeed: Misdeed, links: &[LinkId], hand: &mut Hand) {
        let (instance, actor) = (InstanceId::from_bytes(hand.stream.bytes()), hand.stream.bytes());
        let bead = hand.bead_id();
        let mut entries = Vec::new();
        for version in ["one thing", "another"] {
            let bead = if misdeed == Misdeed::Twins { bead } else { hand.bead_id() };
            self.meddled.insert(bead);
            let actor = if misdeed == Misdeed::Twins { actor } else { hand.stream.bytes() };
            let change = hand.change(bead, actor, version);
            let op = Op::Bead(BeadChange { bead, change: change.to_wire().to_vec() }).encode();
            let instance =
                if misdeed == Misdeed::Fork { instance } else { InstanceId::from_bytes(hand.stream.bytes()) };
            entries.push(hand.sign_in(instance, vec![op]));
        }
        if misdeed == Misdeed::Fork {
            self.forked.insert(self.nodes[at(node)].id);
        } else {
            sometimes!(self.coverage, "twin-change", true);
        }
        for (place, link) in links.iter().enumerate() {
            let said = if links.len() == 1 { entries.clone() } else { vec![entries[place % 2].clone()] };
            self.send(node, *link, Frame::Entries(said).encode(), Load::Rogue);
        }
    }

    /// Sends one entry with something wrong, or strange, in it.
    fn misstate(&mut self, node: u32, misdeed: Misdeed, links: &[LinkId], hand: &mut Hand) {
        let (bead, change) = hand.bead("of a rogue");
        self.meddled.insert(bead);
        let op = |bead, change: &[u8]| Op::Bead(BeadChange { bead, change: change.to_vec() }).encode();
        let sound = op(bead, change.to_wire());
        let entry = match misdeed {
            Misdeed::Future => {
                let ahead = Wall::from_millis(hand.wall.as_millis() + CENTURY_MS);
                hand.sign_as(&hand.key.clone(), ahead, vec![sound])
            }
            Misdeed::Unknown => {
                sometimes!(self.coverage, "unknown-op-stored", true);
                let body = hand.stream.bytes::<40>().to_vec();
                hand.sign(vec![RawOp { kind: UNKNOWN_KIND, body }, sound])
            }
            Misdeed::Bomb => {
                sometimes!(self.coverage, "bomb-refused", true);
                let corpus = bombs::corpus();
                let (_, bomb) = hand.stream.pick(&corpus);
                hand.sign(vec![op(bead, bomb), sound])
            }
            Misdeed::Dangling => {
                let mut document = Document::new(bead);
                let actor = hand.stream.bytes();
                let first = document.edit(actor, hand.wall, &title("nobody has this"));
                let second = document.edit(actor, hand.wall, &title("this waits for ever"));
                let second = first.and(second).ok().and_then(|changes| changes.into_iter().next());
                let Some(second) = second else { return };
                hand.sign(vec![op(bead, second.to_wire())])
            }
            _ => hand.sign(vec![sound]),
        };
        self.spread(node, links, entry, Some(misdeed));
    }
}

impl Hand {
    fn bead_id(&mut self) -> BeadId {
        BeadId::from_bytes(self.stream.bytes())
    }

    fn bead(&mut self, words: &str) -> (BeadId, Change) {
        let bead = self.bead_id();
        let actor = self.stream.bytes();
        (bead, self.change(bead, actor, words))
    }

    fn change(&mut self, bead: BeadId, actor: [u8; 8], words: &str) -> Change {
        let made = Document::new(bead).edit(actor, self.wall, &title(words));
        made.ok().and_then(|changes| changes.into_iter().next()).expect("a title is a change")
    }

    pub(super) fn sign(&mut self, ops: Vec<RawOp>) -> Entry {
        let instance = InstanceId::from_bytes(self.stream.bytes());
        self.sign_in(instance, ops)
    }

    fn sign_in(&mut self, instance: InstanceId, ops: Vec<RawOp>) -> Entry {
        sign(self.mesh, &self.key, instance, self.wall, ops)
    }

    pub(super) fn sign_as(&mut self, key: &SigningKey, wall: Wall, ops: Vec<RawOp>) -> Entry {
        sign(self.mesh, key, InstanceId::from_bytes(self.stream.bytes()), wall, ops)
    }
}

fn sign(mesh: MeshId, key: &SigningKey, instance: InstanceId, wall: Wall, ops: Vec<RawOp>) -> Entry {
    let author = NodeId::from_bytes(key.verifying_key().to_bytes());
    let content = Content { author, instance, n: 1, prev: None, hlc: Timestamp::from_wall(wall), ops };
    content.sign(mesh, key).expect("what a rogue signs keeps the bounds of an entry")
}

pub(super) fn title(words: &str) -> Vec<Edit> {
    vec![Edit::Set(Field::Title, FieldValue::Text(words.to_owned()))]
}
