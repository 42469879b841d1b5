//! A plan: everything that is to happen in one run, with times, so that it can be printed, kept, cut down and replayed.
//!
//! A seed expands into a plan and dies with the next change of the planner; the plan does not. Times are virtual
//! milliseconds since the start of the run.

use std::collections::BTreeSet;

use beadmesh_protocol::op::Role;
use beadmesh_protocol::planted::Bug;
use beadmesh_protocol::sync::WINDOW_BYTES;
use serde::{Deserialize, Serialize};

mod error;

pub use error::PlanError;

/// The version of the file form.
pub const SCHEMA: u32 = 1;

/// Nodes of one plan.
pub const NODES_MAX: usize = beadmesh_protocol::limits::NODES_MAX;

/// Wishes of one plan: what 1,000 nodes ask in some hours.
pub const WISHES_MAX: usize = 1_000_000;

/// Faults of one plan.
pub const FAULTS_MAX: usize = 100_000;

/// Virtual milliseconds that faults and wishes may last: 90 days.
pub const SPAN_MS_MAX: u64 = 90 * 24 * 3_600 * 1_000;

/// Bytes of a plan's file.
pub const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What is to happen in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of this form.
    pub schema: u32,
    /// The seed it was drawn from; links and nodes draw from streams of it while it runs.
    pub seed: u64,
    /// The scenario it was drawn for.
    pub scenario: String,
    /// The bug planted in the core, in builds with `--cfg planted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<String>,
    /// How long wishes and faults go on; then everything is healed and progress is demanded.
    pub span_ms: u64,
    /// How long after healing the mesh may take to converge.
    pub settle_ms: u64,
    /// The network when nothing is wrong with it.
    pub network: Network,
    /// The nodes; they are named by their place, the first founds the mesh.
    pub nodes: Vec<Node>,
    /// What agents ask of their nodes, by time.
    pub wishes: Vec<Wish>,
    /// What goes wrong, by time.
    pub faults: Vec<Fault>,
}

/// The network when nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The shortest time that a frame is on its way, in microseconds.
    pub latency_min_us: u64,
    /// What is added to it on average, in microseconds.
    pub latency_mean_us: u64,
    /// Packets lost of a thousand. Links repeat what is lost, so that it comes late, and break in the end.
    pub loss_per_mille: u32,
    /// Bytes a second that one direction of a link carries.
    pub bytes_per_s: u64,
    /// Bytes of entries that a node sends to a peer ahead of its acknowledgements.
    #[serde(default = "usual_window_bytes")]
    pub window_bytes: usize,
}

const fn usual_window_bytes() -> usize {
    WINDOW_BYTES
}

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// What it may do in the mesh.
    pub role: Role,
    /// When it joins; those that join at 0 are members before anything else happens.
    pub joins_ms: u64,
    /// The nodes it has a way to, by place; a way between two nodes may stand on either.
    pub ways: Vec<u32>,
    /// How many parts in a million its clock is too fast, or too slow where negative.
    pub drift_ppm: i32,
    /// How many milliseconds its wall clock is ahead, or behind where negative.
    pub wall_ahead_ms: i64,
    /// How long one flush of its disk takes, in microseconds.
    pub flush_us: u64,
    /// Documents it keeps in memory.
    pub documents_max: usize,
    /// Whether somebody may make it lie: its faults of kind `rogue` are sent in its name.
    pub rogue: bool,
}

/// What an agent asks of its node at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// When.
    pub at_ms: u64,
    /// Of which node.
    pub node: u32,
    /// What.
    pub kind: WishKind,
    /// Which bead, values and words: drawn from this number and from what the node knows then.
    pub salt: u64,
}

/// What an agent may ask of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WishKind {
    /// Creates a bead with little in it.
    Create,
    /// Creates a bead with labels, scopes, criteria, dependencies and a parent.
    CreateRich,
    /// Creates a bead under an alias that others may give at the same time.
    CreateNamed,
    /// Sets one or more scalar fields.
    Set,
    /// Sets the status.
    SetStatus,
    /// Closes a bead.
    Close,
    /// Opens a bead again.
    Reopen,
    /// Deletes a bead.
    Delete,
    /// Settles a conflict.
    Resolve,
    /// Adds a label.
    AddLabel,
    /// Removes a label.
    RemoveLabel,
    /// Adds a scope pattern.
    AddScope,
    /// Removes a scope pattern.
    RemoveScope,
    /// Adds a comment.
    Comment,
    /// Adds a dependency.
    AddDep,
    /// Removes a dependency.
    RemoveDep,
    /// Imports records that others import too.
    Import,
    /// Imports newer versions of such records.
    ImportNewer,
    /// Imports records with gaps: no dates, aliases of others, unknown keys.
    ImportOdd,
    /// Names the project by another key, or unites two.
    Project,
    /// Registers an agent, or changes the profile of one.
    RegisterAgent,
    /// Retires an agent.
    RetireAgent,
    /// Sends a letter.
    SendLetter,
    /// Shows a letter to an agent that has got it, or lists letters.
    ReadLetter,
    /// Acknowledges a letter.
    AckLetter,
    /// Reads lists, a bead and an export.
    Read,
    /// Derives every view anew.
    Rebuild,
    /// Claims a bead.
    Claim,
    /// Claims paths without a bead.
    TakeLease,
    /// Lets a claim run on.
    RenewClaim,
    /// Lets a claim go.
    EndClaim,
    /// Closes a bead that an agent has claimed, be the claim over or not.
    CloseClaimed,
    /// Reads claims, voters, and what stands in the way of paths.
    ReadClaims,
    /// Chooses other voters, which only the founder may.
    ChooseVoters,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    pub trouble: Trouble,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trouble {
    /// Nothing passes between the nodes on one side and all others, but through the bridge, if there is one.
    Partition {
        /// The nodes on one side.
        side: Vec<u32>,
        /// Which direction is cut.
        cut: Cut,
        /// A node that sees both sides.
        bridge: Option<u32>,
    },
    /// Frames from and to a node stand still and come all at once afterwards.
    Clog {
        /// The node.
        node: u32,
    },
    /// A node's packets are lost and late.
    Rough {
        /// The node.
        node: u32,
        /// Packets lost of a thousand.
        loss_per_mille: u32,
        /// What is added to each frame's time on average, in microseconds.
        delay_us: u64,
    },
    /// A node's links carry little.
    Narrow {
        /// The node.
        node: u32,
        /// Bytes a second and direction.
        bytes_per_s: u64,
    },
    /// The process is killed, and started again afterwards.
    Kill {
        /// The node.
        node: u32,
    },
    /// The machine loses power, and is started again afterwards.
    PowerCut {
        /// The node.
        node: u32,
        /// Whether the power goes while the disk writes, rather than between two writes.
        writing: bool,
    },
    /// The machine sleeps.
    Pause {
        /// The node.
        node: u32,
        /// Whether its suspend-inclusive clock stands still meanwhile, as it should not.
        clock_stops: bool,
    },
    /// The wall clock is set wrong, and mended afterwards.
    WallStep {
        /// The node.
        node: u32,
        /// How far ahead, or back where negative, in milliseconds.
        by_ms: i64,
    },
    /// The disk is full: the next write is refused, the node stops and is started again afterwards.
    DiskFull {
        /// The node.
        node: u32,
    },
    /// A sync fails: the node stops and is started again afterwards, over a copy of its store.
    SyncError {
        /// The node.
        node: u32,
    },
    /// Every flush takes longer.
    SlowDisk {
        /// The node.
        node: u32,
        /// How long one flush takes, in microseconds.
        flush_us: u64,
    },
    /// A stored value is damaged while the node is down; it recovers from its peers.
    Corrupt {
        /// The node.
        node: u32,
    },
    /// The disk is lost; the node recovers from its peers.
    LoseDisk {
        /// The node.
        node: u32,
    },
    /// The store is put back afterwards to what it is now.
    Restore {
        /// The node.
        node: u32,
    },
    /// A copy of the store and the key runs as a second process until it is stopped.
    Clone {
        /// The node that is copied.
        node: u32,
        /// Whether the copy finds itself on other hardware.
        moved: bool,
    },
    /// Somebody does in a node's name what no honest node would.
    Rogue {
        /// The node.
        node: u32,
        /// What is done.
        misdeed: Misdeed,
        /// What it is drawn from.
        salt: u64,
    },
}

/// Which direction a partition cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Both.
    Both,
    /// From the side to the others.
    Out,
    /// From the others to the side.
    In,
}

/// What a rogue does to its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misdeed {
    /// Sends bytes that are no frame.
    Garbage,
    /// Sends a frame of its own with some bits changed.
    Mutate,
    /// Sends old frames again.
    Replay,
    /// Sends an entry whose signature does not fit.
    Forge,
    /// Sends entries that a stranger signed.
    Stranger,
    /// Lets a stranger in that nobody may let in: by itself, or by a member that is no admin; then it writes.
    SelfAdmit,
    /// Writes as an observer.
    Observer,
    /// Writes a bead dated a century ahead.
    Future,
    /// Writes two changes with one actor and number, one to each half of its peers.
    Twins,
    /// Writes two entries with one number.
    Fork,
    /// Writes an operation of a kind that only newer versions know.
    Unknown,
    /// Writes changes made to cost memory and time.
    Bomb,
    /// Writes a change of a bead whose first change nobody has.
    Dangling,
    /// Asks and announces without end.
    Flood,
    /// Writes letters and receipts in the names of agents of other nodes, and one letter of its own twice.
    Impostor,
    /// Writes with the key of a machine that was let in and removed, and lets it in as if it had not heard.
    Outcast,
}

impl Plan {
    /// Reads the file form.
    ///
    /// # Errors
    /// When the text is not a plan or breaks a bound; the error names the field.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(PlanError::bound("file", text.len(), format!("at most {FILE_BYTES_MAX} bytes")));
        }
        let plan: Self = serde_json::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    /// Writes the file form: one line for each node, wish and fault.
    pub fn text(&self) -> String {
        fn lines<T: Serialize>(items: &[T]) -> String {
            let line = |item: &T| serde_json::to_string(item).expect("plans have a JSON form");
            let lines: Vec<String> = items.iter().map(line).collect();
            if lines.is_empty() { "[]".to_owned() } else { format!("[\n  {}\n ]", lines.join(",\n  ")) }
        }
        let json = |value: &dyn Fn() -> serde_json::Result<String>| value().expect("plans have a JSON form");
        let mut text = format!(
            "{{\"schema\": {}, \"seed\": {}, \"scenario\": {}",
            self.schema,
            self.seed,
            json(&|| serde_json::to_string(&self.scenario))
        );
        if let Some(planted) = &self.planted {
            text += &format!(", \"planted\": {}", json(&|| serde_json::to_string(planted)));
        }
        text += &format!(
            ",\n \"span_ms\": {}, \"settle_ms\": {},\n \"network\": {},\n \"nodes\": {},\n \"wishes\": {},\n \"faults\": {}}}\n",
            self.span_ms,
            self.settle_ms,
            json(&|| serde_json::to_string(&self.network)),
            lines(&self.nodes),
            lines(&self.wishes),
            lines(&self.faults)
        );
        text
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// Names the first field that breaks one.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.schema != SCHEMA {
            return Err(PlanError::bound("schema", self.schema, format!("{SCHEMA} is known")));
        }
        if let Some(planted) = &self.planted {
            let known = || Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().join(", ");
            Bug::parse(planted).ok_or_else(|| PlanError::bound("planted", planted, format!("one of {}", known())))?;
            if !beadmesh_protocol::planted::available() {
                return Err(PlanError::NotPlanted(planted.clone()));
            }
        }
        if self.nodes.is_empty() || self.nodes.len() > NODES_MAX {
            return Err(PlanError::bound("nodes", self.nodes.len(), format!("1 to {NODES_MAX}")));
        }
        if self.nodes[0].joins_ms != 0 || self.nodes[0].role != Role::Admin {
            return Err(PlanError::bound("nodes[0]", "it", "the first node founds the mesh: role admin, joins_ms 0"));
        }
        if self.wishes.len() > WISHES_MAX {
            return Err(PlanError::bound("wishes", self.wishes.len(), format!("at most {WISHES_MAX}")));
        }
        if self.faults.len() > FAULTS_MAX {
            return Err(PlanError::bound("faults", self.faults.len(), format!("at most {FAULTS_MAX}")));
        }
        for (field, span) in [("span_ms", self.span_ms), ("settle_ms", self.settle_ms)] {
            if span > SPAN_MS_MAX {
                return Err(PlanError::bound(field, span, format!("at most {SPAN_MS_MAX}")));
            }
        }
        if self.network.bytes_per_s < 1_000 {
            return Err(PlanError::bound("network.bytes_per_s", self.network.bytes_per_s, "at least 1000"));
        }
        if self.network.latency_min_us.max(self.network.latency_mean_us) > 60_000_000 {
            return Err(PlanError::bound("network.latency", "it", "at most 60000000 us"));
        }
        if !(1..=WINDOW_BYTES).contains(&self.network.window_bytes) {
            let allowed = format!("from 1 to {WINDOW_BYTES}");
            return Err(PlanError::bound("network.window_bytes", self.network.window_bytes, allowed));
        }
        if self.network.loss_per_mille > 900 {
            return Err(PlanError::bound("network.loss_per_mille", self.network.loss_per_mille, "at most 900"));
        }
        self.check_nodes()?;
        self.check_times()
    }

    fn check_nodes(&self) -> Result<(), PlanError> {
        for (at, node) in self.nodes.iter().enumerate() {
            let field = |name: &str| format!("nodes[{at}].{name}");
            if let Some(way) = node.ways.iter().find(|way| !self.is_node(**way)) {
                return Err(PlanError::bound(&field("ways"), way, format!("below {}", self.nodes.len())));
            }
            if node.drift_ppm.unsigned_abs() > 100_000 {
                return Err(PlanError::bound(&field("drift_ppm"), node.drift_ppm, "within 100000 either way"));
            }
            if node.wall_ahead_ms.unsigned_abs() > 100 * 366 * 24 * 3_600 * 1_000 {
                return Err(PlanError::bound(&field("wall_ahead_ms"), node.wall_ahead_ms, "within a century"));
            }
            if node.flush_us > 60_000_000 {
                return Err(PlanError::bound(&field("flush_us"), node.flush_us, "at most 60000000"));
            }
            if node.documents_max == 0 {
                return Err(PlanError::bound(&field("documents_max"), 0, "at least 1"));
            }
            if node.joins_ms > self.span_ms {
                return Err(PlanError::bound(&field("joins_ms"), node.joins_ms, "within span_ms"));
            }
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), PlanError> {
        for (at, wish) in self.wishes.iter().enumerate() {
            if !self.is_node(wish.node) {
                let field = format!("wishes[{at}].node");
                return Err(PlanError::bound(&field, wish.node, format!("below {}", self.nodes.len())));
            }
            if wish.at_ms > self.span_ms {
                return Err(PlanError::bound(&format!("wishes[{at}].at_ms"), wish.at_ms, "within span_ms"));
            }
        }
        for (at, fault) in self.faults.iter().enumerate() {
            if let Some(node) = fault.trouble.nodes().into_iter().find(|node| !self.is_node(*node)) {
                let field = format!("faults[{at}].trouble");
                return Err(PlanError::bound(&field, node, format!("nodes below {}", self.nodes.len())));
            }
            if fault.at_ms > self.span_ms || fault.for_ms > SPAN_MS_MAX {
                return Err(PlanError::bound(&format!("faults[{at}].at_ms"), fault.at_ms, "within span_ms"));
            }
        }
        Ok(())
    }

    fn is_node(&self, node: u32) -> bool {
        usize::try_from(node).is_ok_and(|node| node < self.nodes.len())
    }

    /// Returns every pair of nodes with a way between them, the lower place first.
    pub fn ways(&self) -> BTreeSet<(u32, u32)> {
        let numbered = (0..).zip(&self.nodes);
        let ways = numbered.flat_map(|(from, node)| node.ways.iter().map(move |to| (from.min(*to), from.max(*to))));
        ways.filter(|(low, high)| low != high).collect()
    }
}

impl Trouble {
    /// Returns the nodes it befalls.
    pub fn nodes(&self) -> Vec<u32> {
        match self {
            Self::Partition { side, bridge, .. } => side.iter().chain(bridge).copied().collect(),
            Self::Clog { node }
            | Self::Rough { node, .. }
            | Self::Narrow { node, .. }
            | Self::Kill { node }
            | Self::PowerCut { node, .. }
            | Self::Pause { node, .. }
            | Self::WallStep { node, .. }
            | Self::DiskFull { node }
            | Self::SyncError { node }
            | Self::SlowDisk { node, .. }
            | Self::Corrupt { node }
            | Self::LoseDisk { node }
            | Self::Restore { node }
            | Self::Clone { node, .. }
            | Self::Rogue { node, .. } => vec![*node],
        }
    }

    /// Returns its name as it stands in files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition { .. } => "partition",
            Self::Clog { .. } => "clog",
            Self::Rough { .. } => "rough",
            Self::Narrow { .. } => "narrow",
            Self::Kill { .. } => "kill",
            Self::PowerCut { .. } => "power-cut",
            Self::Pause { .. } => "pause",
            Self::WallStep { .. } => "wall-step",
            Self::DiskFull { .. } => "disk-full",
            Self::SyncError { .. } => "sync-error",
            Self::SlowDisk { .. } => "slow-disk",
            Self::Corrupt { .. } => "corrupt",
            Self::LoseDisk { .. } => "lose-disk",
            Self::Restore { .. } => "restore",
            Self::Clone { .. } => "clone",
            Self::Rogue { .. } => "rogue",
        }
    }
}
