//! Outcasts: machines that the founder let in and removed again, and whose keys a rogue has.
//!
//! What such a machine wrote before it was removed stays; what the rogue writes with its key afterwards must have no
//! effect anywhere, however it is dated and numbered, and though the rogue, as an admin that had not heard, lets it in
//! once more. The rogue makes itself the owner of the mesh, too, which has no effect either.

use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::clock::{Timestamp, Wall};
use beadmesh_protocol::entry::{Content, Entry};
use beadmesh_protocol::id::{EntryId, InstanceId, NodeId};
use beadmesh_protocol::notice::{News, Notice};
use beadmesh_protocol::op::{Admit, BeadChange, Op, Role};
use beadmesh_protocol::roster::Ownership;
use beadmesh_protocol::wire::Frame;
use beadmesh_store::command::{Answer, Command, MemberWish};
use beadmesh_store::replica::{Input, LinkId};
use ed25519_dalek::SigningKey;

use super::join::{invite, request};
use super::rogue::{Hand, title};
use super::{Mesh, at};
use crate::sometimes;

/// How far what an outcast writes is dated back, in milliseconds.
const BACK_MS: u64 = 600_000;

impl Mesh<'_> {
    /// Has the founder let a machine in and remove it, and writes with its key what it must not.
    pub(super) fn cast_out(&mut self, node: u32, links: &[LinkId], hand: &mut Hand) {
        if !self.nodes[0].is_awake() || node == 0 {
            return;
        }
        let key = SigningKey::from_bytes(&hand.stream.bytes());
        let outcast = NodeId::from_bytes(key.verifying_key().to_bytes());
        let Ok(Answer::Invited(ticket)) = self.ask_now(0, Command::Invite(invite(Role::Member))) else { return };
        let welcome = Command::Welcome(outcast, request(&ticket, outcast, node));
        let Ok(Answer::JoinDecision(Ok(_))) = self.ask_now(0, welcome) else { return };
        self.named.insert(outcast);
        let admission = self.raise(node);
        // It writes something that the founder gets, and something later in the same instance.
        let instance = InstanceId::from_bytes(hand.stream.bytes());
        let kept = self.write(&key, hand, (instance, 1, None), hand.wall);
        let now = self.nodes[0].clock.read(self.now_us);
        let news = Notice::News(News { entries: vec![kept.clone()], ids: Vec::new() });
        let from = self.nodes[at(node)].id;
        if let Some(process) = &mut self.nodes[0].process {
            process.replica.handle(now, Input::Notice(from, news));
        }
        let removal = self.ask_now(0, Command::Member(MemberWish::Remove(outcast.to_string())));
        if !matches!(removal, Ok(Answer::Removed(_))) {
            self.violate("refusal", Some(0), format!("a machine is not removed: {removal:?}"));
            return;
        }
        sometimes!(self.coverage, "outcast-void", true);
        // What it writes last bears a number that it has used.
        self.forked.insert(outcast);
        let before = Wall::from_millis(hand.wall.as_millis().saturating_sub(BACK_MS));
        let mut entries = vec![
            self.outlaw(&key, hand, (instance, 2, Some(kept.id())), hand.wall),
            self.outlaw(&key, hand, (instance, 1, None), before),
        ];
        if let Some(admission) = admission {
            let (seen, name) = (vec![admission], "outcast".to_owned());
            let admit = Admit { seen, node: outcast, name, role: Role::Member, invite: None };
            entries.push(hand.sign(vec![Op::Admit(admit).encode()]));
        }
        entries.extend(self.crown_itself(node, hand));
        for entry in &entries {
            self.publish(node, Notice::News(News { entries: vec![entry.clone()], ids: Vec::new() }).encode());
        }
        links.iter().for_each(|link| {
            self.send(node, *link, Frame::Entries(entries.clone()).encode(), crate::network::Load::Rogue);
        });
    }

    /// Gives the mesh to the rogue, which does not own it, and takes it with a key of its own.
    fn crown_itself(&mut self, node: u32, hand: &mut Hand) -> [Entry; 2] {
        let (rogue, key) = (self.nodes[at(node)].id, SigningKey::from_bytes(&hand.stream.bytes()));
        let before = EntryId::from_bytes(*hand.mesh.as_bytes());
        let given = Ownership::given(Vec::new(), before, rogue);
        let taken = Ownership::taken(Vec::new(), before, rogue, (hand.mesh, &key));
        sometimes!(self.coverage, "owner-usurped", true);
        [given, taken].map(|ownership| hand.sign(vec![Op::Own(ownership).encode()]))
    }

    /// Has the founder make the rogue an admin, unless it is an observer; returns the entry that did.
    fn raise(&mut self, node: u32) -> Option<EntryId> {
        let id = self.nodes[at(node)].id;
        if self.nodes[at(node)].role == Role::Observer {
            return None;
        }
        if self.promoted.insert(node) {
            let raised = self.ask_now(0, Command::Member(MemberWish::Role(id.to_string(), Role::Admin)));
            if !matches!(raised, Ok(Answer::Member(_))) && self.nodes[at(node)].role != Role::Admin {
                self.promoted.remove(&node);
                return None;
            }
        }
        let Ok(Answer::Membership(membership)) = self.ask_now(0, Command::Membership) else { return None };
        let mesh = membership.mesh;
        let entries = membership.control.into_iter().filter_map(|sealed| Entry::open(mesh, sealed).ok());
        let is_raise = |entry: &Entry| {
            let admin = |op: &Op| matches!(op, Op::Admit(admit) if admit.node == id && admit.role == Role::Admin);
            entry.control_ops().iter().any(admin)
        };
        entries.filter(is_raise).map(|entry| entry.id()).next_back()
    }

    /// Writes a bead that must be shown nowhere.
    fn outlaw(
        &mut self,
        key: &SigningKey,
        hand: &mut Hand,
        place: (InstanceId, u64, Option<EntryId>),
        wall: Wall,
    ) -> Entry {
        let entry = self.write(key, hand, place, wall);
        if let Some(Ok(Op::Bead(op))) = entry.content().ops.first().map(Op::decode) {
            self.meddled.remove(&op.bead);
            self.outlawed.insert(op.bead);
        }
        entry
    }

    /// Writes a bead of its own.
    fn write(
        &mut self,
        key: &SigningKey,
        hand: &mut Hand,
        (instance, n, prev): (InstanceId, u64, Option<EntryId>),
        wall: Wall,
    ) -> Entry {
        let bead = beadmesh_protocol::id::BeadId::from_bytes(hand.stream.bytes());
        self.meddled.insert(bead);
        let made = Document::new(bead).edit(hand.stream.bytes(), wall, &title("of an outcast"));
        let change = made.ok().and_then(|changes| changes.into_iter().next()).expect("a title is a change");
        let op = Op::Bead(BeadChange { bead, change: change.to_wire().to_vec() }).encode();
        let author = NodeId::from_bytes(key.verifying_key().to_bytes());
        let content = Content { author, instance, n, prev, hlc: Timestamp::from_wall(wall), ops: vec![op] };
        content.sign(hand.mesh, key).expect("what an outcast signs keeps the bounds of an entry")
    }
}
