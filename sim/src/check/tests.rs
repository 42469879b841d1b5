//! A small run that ended well, for tests to spoil.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::bead::Bead;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{AgentId, BeadId, EntryId, InstanceId, LetterId, NodeId};
use beadmesh_protocol::op::Role;
use beadmesh_store::command::{AgentAnswer, BeadAnswer, MailExport, MemberAnswer, PeerAnswer};

use super::{Ending, all};
use crate::journal::{Deed, Effect, Fate, Journal, MailEffect};
use crate::outcome::Violation;
use crate::plan::{Network, Node, Plan, SCHEMA};
use crate::said::Said;
use crate::tenure::Tenure;
use crate::view::{Glance, View};

/// A run of three nodes, two of which are looked at in full; the first made one bead, the second another.
pub(super) struct Scene {
    pub(super) plan: Plan,
    pub(super) journal: Journal,
    pub(super) glances: Vec<Glance>,
    pub(super) views: Vec<View>,
    pub(super) reference: View,
    pub(super) keys: BTreeMap<u32, NodeId>,
    pub(super) copies: BTreeMap<u32, u32>,
    pub(super) joined: BTreeSet<u32>,
    pub(super) strangers: BTreeSet<NodeId>,
    pub(super) named: BTreeSet<NodeId>,
    pub(super) promoted: BTreeSet<u32>,
    pub(super) forked: BTreeSet<NodeId>,
    pub(super) moved: BTreeSet<NodeId>,
    pub(super) lost: BTreeSet<NodeId>,
    pub(super) outlawed: BTreeSet<BeadId>,
    pub(super) meddled: BTreeSet<BeadId>,
    pub(super) impostures: BTreeSet<LetterId>,
    pub(super) said: Said,
    pub(super) tenures: Vec<Tenure>,
    pub(super) unsound: BTreeMap<NodeId, u64>,
    pub(super) entry_bytes: u64,
    pub(super) converged: bool,
    pub(super) quiet: (u64, u64),
    pub(super) links: u64,
    pub(super) queue_bytes_max: u64,
    pub(super) entries_bytes_max: u64,
}

pub(super) fn key(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

pub(super) fn instance(number: u8) -> InstanceId {
    InstanceId::from_bytes([number; 8])
}

pub(super) fn bead_id(number: u8) -> BeadId {
    BeadId::from_bytes([number * 0x11; 16])
}

/// Returns how the agent Oak of a node is shown elsewhere, under that id.
pub(super) fn shown_agent(node: u8, id: AgentId) -> AgentAnswer {
    AgentAnswer {
        id,
        name: "Oak".to_owned(),
        node: key(node),
        node_name: format!("node-{node}"),
        address: format!("Oak@node-{node}"),
        here: false,
        program: String::new(),
        model: String::new(),
        task: String::new(),
        project: None,
        project_key: None,
        retired: false,
        registered_at: Wall::default(),
        last_used: None,
        in_reach: false,
    }
}

/// What the wall clock says when a scene ends.
pub(super) const WALL: &str = "2026-06-01T00:00:00Z";

/// Returns what a checker says of a scene.
pub(super) fn told(check: impl Fn(&Ending<'_>) -> Vec<Violation>, scene: &Scene) -> Vec<String> {
    check(&scene.ending()).into_iter().map(|violation| violation.what).collect()
}

impl Scene {
    /// Returns a scene in which nothing is wrong.
    pub(super) fn sound() -> Self {
        let node = |place: u32| Node {
            role: if place == 0 { Role::Admin } else { Role::Member },
            joins_ms: 0,
            ways: Vec::new(),
            drift_ppm: 0,
            wall_ahead_ms: 0,
            flush_us: 0,
            documents_max: 8,
            rogue: false,
        };
        let network = Network {
            latency_min_us: 0,
            latency_mean_us: 0,
            loss_per_mille: 0,
            bytes_per_s: 1_000,
            window_bytes: 65_536,
        };
        let plan = Plan {
            schema: SCHEMA,
            seed: 0,
            scenario: "test".to_owned(),
            planted: None,
            span_ms: 1_000,
            settle_ms: 60_000,
            network,
            nodes: (0..3).map(node).collect(),
            wishes: Vec::new(),
            faults: Vec::new(),
        };
        let mut scene = Self {
            plan,
            journal: Journal::default(),
            glances: (0..3).map(|place| Glance { place, sets: [0; 32], entries: 4 }).collect(),
            views: vec![view(Some(0)), view(Some(1))],
            reference: view(None),
            copies: BTreeMap::new(),
            keys: BTreeMap::from([(0, key(0)), (1, key(1)), (2, key(2))]),
            joined: BTreeSet::from([0, 1, 2]),
            strangers: BTreeSet::new(),
            named: BTreeSet::new(),
            promoted: BTreeSet::new(),
            forked: BTreeSet::new(),
            moved: BTreeSet::new(),
            lost: BTreeSet::new(),
            outlawed: BTreeSet::new(),
            meddled: BTreeSet::new(),
            impostures: BTreeSet::new(),
            said: Said::default(),
            tenures: Vec::new(),
            unsound: BTreeMap::new(),
            entry_bytes: 2_000,
            converged: true,
            quiet: (8, 60_000),
            links: 1,
            queue_bytes_max: 1_000,
            entries_bytes_max: 900,
        };
        scene.asked(0, 0, Fate::Done(100), Effect::Created { bead: bead_id(1), alias: "bm-1".to_owned() });
        scene.asked(1, 200, Fate::Done(300), Effect::Created { bead: bead_id(2), alias: "bm-2".to_owned() });
        scene
    }

    pub(super) fn ending(&self) -> Ending<'_> {
        Ending {
            plan: &self.plan,
            journal: &self.journal,
            glances: &self.glances,
            views: &self.views,
            reference: &self.reference,
            keys: &self.keys,
            copies: &self.copies,
            joined: &self.joined,
            strangers: &self.strangers,
            named: &self.named,
            promoted: &self.promoted,
            forked: &self.forked,
            moved: &self.moved,
            lost: &self.lost,
            outlawed: &self.outlawed,
            meddled: &self.meddled,
            impostures: &self.impostures,
            said: &self.said,
            tenures: &self.tenures,
            unsound: &self.unsound,
            wall: Wall::parse(WALL).unwrap(),
            entry_bytes: self.entry_bytes,
            at_ms: 5_000,
            converged: self.converged,
            quiet: self.quiet,
            links: self.links,
            entry_bytes_max: 700,
            queue_bytes_max: self.queue_bytes_max,
            entries_bytes_max: self.entries_bytes_max,
        }
    }

    /// Adds a deed.
    pub(super) fn asked(&mut self, node: u32, asked_us: u64, fate: Fate, effect: Effect) {
        self.done(node, asked_us, fate, (vec![effect], Vec::new()));
    }

    /// Adds a deed in mail.
    pub(super) fn mailed(&mut self, node: u32, asked_us: u64, fate: Fate, effect: MailEffect) {
        self.done(node, asked_us, fate, (Vec::new(), vec![effect]));
    }

    fn done(&mut self, node: u32, asked_us: u64, fate: Fate, (effects, mail): (Vec<Effect>, Vec<MailEffect>)) {
        let wish = self.journal.deeds.len();
        self.journal.deeds.push(Deed { wish, node, asked_us, effects, mail, agent: None, fate, excused: false });
    }

    /// Changes what everybody shows of a bead.
    pub(super) fn change(&mut self, id: BeadId, change: impl Fn(&mut BeadAnswer)) {
        for view in self.views.iter_mut().chain([&mut self.reference]) {
            change(view.beads.get_mut(&id).unwrap());
        }
    }

    /// Changes what everybody shows.
    pub(super) fn change_all(&mut self, change: impl Fn(&mut View)) {
        self.views.iter_mut().chain([&mut self.reference]).for_each(change);
    }
}

/// Returns a bead as it is shown when nothing else is known.
pub(super) fn answer(number: u8) -> BeadAnswer {
    let alias = format!("bm-{number}");
    let mut bead = Bead::new(bead_id(number), alias.clone(), format!("bead {number}"));
    bead.created_at = Some(format!("2026-01-{number:02}T00:00:00Z"));
    BeadAnswer {
        bead,
        alias,
        ready: true,
        deps: Vec::new(),
        blocked_by: Vec::new(),
        parent: None,
        children: Vec::new(),
        dependents: Vec::new(),
        statuses: BTreeMap::new(),
        conflicts: Vec::new(),
        stale_close: None,
        holder: None,
    }
}

fn view(place: Option<u32>) -> View {
    let member = |number: u8| MemberAnswer {
        node: key(number),
        name: format!("node-{number}"),
        role: if number == 0 { Role::Admin } else { Role::Member },
        owner: number == 0,
        here: place == Some(u32::from(number)),
        admitted_by: "node-0".to_owned(),
        admitted_at: Wall::default(),
        addresses: Vec::new(),
    };
    let peer = |number: u8| PeerAnswer {
        node: key(number),
        name: format!("node-{number}"),
        connected: true,
        path: None,
        lag_entries: 0,
        last_seen: None,
        last_heard: None,
        progress: None,
    };
    let entry = |author: u8, n: u64| {
        let mut id = [author; 32];
        id[0] = author * 0x10 + u8::try_from(n).unwrap();
        (EntryId::from_bytes(id), (key(author), instance(author), n))
    };
    let others = (0..3).filter(|number| place != Some(u32::from(*number)));
    View {
        place,
        sets: "equal".to_owned(),
        entries: BTreeMap::from([entry(0, 1), entry(0, 2), entry(1, 1), entry(1, 2)]),
        members: (0..3).map(member).collect(),
        peers: others.map(peer).collect(),
        beads: [1, 2].map(|number| (bead_id(number), answer(number))).into(),
        ready: vec![bead_id(1), bead_id(2)],
        blocked: Vec::new(),
        claims: BTreeMap::new(),
        lines: vec!["{\"id\":\"bm-1\"}".to_owned(), "{\"id\":\"bm-2\"}".to_owned()],
        agents: Vec::new(),
        mail: MailExport::default(),
        system: BTreeMap::new(),
        findings: Vec::new(),
        stored_bytes: 4_000,
    }
}

#[test]
fn a_run_that_ended_well_passes_every_checker() {
    assert_eq!(all(&Scene::sound().ending()), []);
}

#[test]
fn a_violation_says_which_checker_found_it_when_and_where() {
    let mut scene = Scene::sound();
    scene.views[1].findings.push(beadmesh_store::command::Finding {
        check: "store.views",
        message: "1 bead is shown otherwise than the changes say.".to_owned(),
        remedy: String::new(),
    });
    let found = all(&scene.ending());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].check, found[0].at_ms, found[0].node), ("liveness", 5_000, Some(1)));
}
