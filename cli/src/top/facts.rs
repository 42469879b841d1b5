//! What the node said last, of everything that the screen lists.

use beadmesh_node::api::model::{
    BeadPage, ClaimsBody, ContainerNode, ContainersBody, GpuNode, GpusBody, Letter, LettersBody, Machine, NodesBody,
    Peer, PeersBody, StatusBody,
};
use jiff::Timestamp;

/// Seconds after which what was said is old: three samples were missed.
const OLD_S: f64 = 8.0;

/// Something that the node said.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// How it and its mesh stand.
    Status(Box<StatusBody>),
    /// Machines.
    Nodes(NodesBody),
    /// Cards.
    Gpus(GpusBody),
    /// Containers.
    Containers(ContainersBody),
    /// Tasks.
    Beads(BeadPage),
    /// Claims.
    Leases(ClaimsBody),
    /// Letters, or why there are none to see.
    Mail(Result<LettersBody, String>),
    /// Other nodes.
    Peers(PeersBody),
    /// One letter with what it says.
    Letter(Box<Letter>),
    /// Nothing, and why.
    Silence(String),
}

/// What the node said last; nothing at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(super) status: Option<Box<StatusBody>>,
    pub(super) nodes: Option<NodesBody>,
    pub(super) gpus: Option<GpusBody>,
    pub(super) containers: Option<ContainersBody>,
    pub(super) beads: Option<BeadPage>,
    pub(super) leases: Option<ClaimsBody>,
    pub(super) mail: Option<Result<LettersBody, String>>,
    pub(super) peers: Option<PeersBody>,
    pub(super) letter: Option<Box<Letter>>,
    /// Why it says nothing now.
    pub(super) silence: Option<String>,
    /// When it said something.
    pub(super) heard_at: Option<Timestamp>,
}

impl Facts {
    /// Takes what the node said at `now`.
    pub(super) fn hear(&mut self, told: Told, now: Timestamp) {
        if let Told::Silence(why) = told {
            self.silence = Some(why);
            return;
        }
        self.silence = None;
        self.heard_at = Some(now);
        match told {
            Told::Status(body) => self.status = Some(body),
            Told::Nodes(body) => self.nodes = Some(body),
            Told::Gpus(body) => self.gpus = Some(body),
            Told::Containers(body) => self.containers = Some(body),
            Told::Beads(body) => self.beads = Some(body),
            Told::Leases(body) => self.leases = Some(body),
            Told::Mail(body) => self.mail = Some(body),
            Told::Peers(body) => self.peers = Some(body),
            Told::Letter(letter) => self.letter = Some(letter),
            Told::Silence(_) => {}
        }
    }

    /// Returns the seconds since the node said something.
    pub(super) fn silent_s(&self, now: Timestamp) -> f64 {
        self.heard_at.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0))
    }

    /// Returns the machines as they stand at `now`: what was said of them has become older since.
    pub(super) fn machines(&self, now: Timestamp) -> Vec<Machine> {
        let silent_s = self.silent_s(now);
        let mut machines = self.nodes.as_ref().map(|body| body.nodes.clone()).unwrap_or_default();
        for GpuNode { age_s, stale, .. } in machines.iter_mut().map(|machine| &mut machine.standing) {
            grow(age_s, stale, silent_s);
        }
        machines
    }

    /// Returns the cards as they stand at `now`.
    pub(super) fn gpus(&self, now: Timestamp) -> Option<GpusBody> {
        let silent_s = self.silent_s(now);
        let mut body = self.gpus.clone()?;
        for GpuNode { age_s, stale, .. } in &mut body.nodes {
            grow(age_s, stale, silent_s);
        }
        for gpu in &mut body.gpus {
            gpu.stale |= silent_s > OLD_S;
        }
        Some(body)
    }

    /// Returns the containers as they stand at `now`.
    pub(super) fn containers(&self, now: Timestamp) -> Option<ContainersBody> {
        let silent_s = self.silent_s(now);
        let mut body = self.containers.clone()?;
        for ContainerNode { age_s, stale, .. } in &mut body.nodes {
            grow(age_s, stale, silent_s);
        }
        for container in &mut body.containers {
            container.stale |= silent_s > OLD_S;
        }
        Some(body)
    }

    /// Returns the other node of that id.
    pub(super) fn peer(&self, id: &str) -> Option<&Peer> {
        self.peers.as_ref()?.peers.iter().find(|peer| peer.id == id)
    }
}

/// Makes what was said of a machine so much older.
fn grow(age_s: &mut Option<f64>, stale: &mut bool, silent_s: f64) {
    *age_s = age_s.map(|age| age + silent_s);
    *stale |= silent_s > OLD_S;
}
