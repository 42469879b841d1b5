//! Nodes, members, invites and the health of a node as the API shows them.

use std::collections::BTreeMap;
use std::fmt;

use beadmesh_protocol::op::Role;
use beadmesh_store::command::PeerAnswer;
use beadmesh_store::replica;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroize;

use super::FormerMember;
use crate::alarms::Alarm;
use crate::telemetry::Change;

/// How the node and its mesh stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusBody {
    /// This node.
    pub node: Node,
    /// The opening of the store.
    pub instance: String,
    /// The mesh.
    pub mesh: Mesh,
    /// What this node may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// That this node was removed from the mesh, where it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<FormerMember>,
    /// Entries stored.
    pub entries: u64,
    /// Beads known, deleted ones included.
    pub beads: u64,
    /// Beads that can be worked on now.
    pub ready: u64,
    /// Agents of the mesh that are not retired.
    pub agents: u64,
    /// The address of who asks; absent where nobody proved to be an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Letters that who asks has not read; absent like `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// Equal digests mean equal sets of entries.
    pub digest: String,
    /// Entries whose timestamp lies far ahead of the clock here.
    pub entries_from_future: u64,
    /// Nodes that wait here to be approved.
    #[serde(default)]
    pub applicants: u64,
    /// The version of the program that answers.
    pub version: String,
    /// Whether a node with a network answers, rather than a single command.
    pub running: bool,
    /// Where the node can be reached, as multiaddresses.
    pub listen: Vec<String>,
    /// How others reach the node; absent where none runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// The path of the socket that a running node answers on.
    pub socket: String,
    /// Where the API answers over TCP; absent unless it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// What the node has refused since it was started, by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Stable ids of what is known to be odd without a check; the doctor says more.
    #[serde(default)]
    pub findings: Vec<String>,
    /// What this node's user wants to be told of this machine, a sentence each: cards that idle, a budget that is spent.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// Every other member, linked or not.
    pub peers: Vec<Peer>,
}

/// How others reach a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reach {
    /// Whether it can be reached from anywhere: `public`, `private`, or `unknown` while nobody has tried.
    pub from_anywhere: String,
    /// What the relays are called through which it can be reached.
    pub relays: Vec<String>,
    /// Whether it relays for members that can not reach each other.
    pub is_relay: bool,
    /// Circuits that lead through it now.
    pub circuits: u64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// A mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mesh {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// Another node of the mesh as seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether a link is up.
    pub connected: bool,
    /// The address of the link; where it is relayed, that of the relay.
    pub path: Option<String>,
    /// The way that the link takes: `direct` or `relayed`; absent without a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What the relay of a relayed link is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Microseconds from a ping to its answer, the last time; absent until the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// Entries stored here that it is not known to hold.
    pub lag_entries: u64,
    /// When it was last linked.
    pub last_seen: Option<String>,
    /// When it last said to the whole mesh that it is there; absent when nothing was heard since this node was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<String>,
    /// Whether this node has nothing to do with it, by a decision of its user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub banned: bool,
    /// How far catching up from it has come; absent when nothing is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// How far something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is to do.
    pub total: u64,
}

/// The other members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeersBody {
    /// Every other member, linked or not.
    pub peers: Vec<Peer>,
    /// What the node has refused since it was started, by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
}

/// Seconds that a node is kept out at most, unless for good: a year.
pub const BAN_S_MAX: u64 = 366 * 24 * 3_600;

/// Whom to keep out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// The node: a member's name, its id, or the start of its id; or any node's whole id.
    pub node: String,
    /// For how many seconds; for good where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
}

/// Whom to let in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnbanRequest {
    /// The node, as in a ban.
    pub node: String,
}

/// A node that this one has nothing to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ban {
    /// Its id.
    pub id: String,
    /// What people call it; absent for who is no member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Until when; absent where it is for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The nodes that this one has nothing to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BansBody {
    /// The nodes.
    pub bans: Vec<Ban>,
}

/// A text that opens something: shown once to whom it is meant for, and never in a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ToSchema)]
#[serde(transparent)]
#[zeroize(drop)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for the one place that shows or reads it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// A new invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InviteBody {
    /// Its id, which is no secret: `invite revoke` takes it.
    pub id: String,
    /// What the other node is to be given.
    #[schema(value_type = String)]
    pub ticket: SecretText,
    /// Until when it is good.
    pub expires_at: String,
    /// How many nodes may come by it.
    pub uses: u32,
    /// What they may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether an admin has to approve each of them.
    #[serde(default)]
    pub approval: bool,
}

/// Where a browser logs in to the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginBody {
    /// What the browser is to open, one time.
    #[schema(value_type = String)]
    pub url: SecretText,
    /// For how many seconds that works.
    pub ttl_s: u64,
}

/// What a code of a login is exchanged for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionBody {
    /// What the browser bears from now on, as programs bear the token of the home.
    #[schema(value_type = String)]
    pub session: SecretText,
    /// For how many seconds that works.
    pub ttl_s: u64,
}

/// The mesh that was joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinBody {
    /// The mesh.
    pub mesh: Mesh,
    /// What people call the node that let this one in.
    pub inviter: String,
    /// Beads taken along.
    pub beads: u64,
}

/// What became of the entries of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreBody {
    /// Entries that are stored now.
    pub new: u64,
    /// Entries that were stored already.
    pub known: u64,
    /// Entries of authors whom the mesh does not know; they were not stored.
    pub unknown: u64,
    /// Entries that are not what their author signed; they were not stored.
    pub unsound: u64,
}

/// What was derived anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rebuilt {
    /// Entries that were read.
    pub entries: u64,
    /// Beads they make.
    pub beads: u64,
}

/// The recovery key of the mesh, shown until it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoveryBody {
    /// The key: whoever has it can take the mesh over.
    #[schema(value_type = String)]
    pub recovery_key: SecretText,
}

/// One event of the stream; its tag is the name of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A bead was created or changed, here or elsewhere.
    Bead {
        /// The bead.
        bead: String,
        /// Its alias as shown.
        alias: String,
        /// The node that wrote the change.
        author: String,
    },
    /// A letter has come, from here or elsewhere.
    Letter {
        /// The letter.
        letter: String,
        /// Where it comes from: `Name@node`.
        from: String,
        /// The ids of the agents it goes to, copies included.
        to: Vec<String>,
        /// The thread it belongs to.
        thread: String,
        /// What it is about.
        subject: String,
        /// How pressing it is: `low`, `normal`, `high` or `urgent`.
        importance: String,
    },
    /// A claim stands otherwise than before.
    Claim {
        /// The claim.
        claim: String,
        /// Whose it is: `Name@node`.
        agent: String,
        /// The bead that it is for, by its alias.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bead: Option<String>,
        /// How it stands now: `held`, `tentative`, `lapsed`, `yielded`, `done` or `expired`.
        state: String,
        /// Who has the lease instead: `Name@node`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// What both would touch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        witness: Option<String>,
    },
    /// Other voters are in force.
    Voters,
    /// Agents were registered, retired or changed.
    Agents,
    /// A node waits to be approved.
    Applicant {
        /// What it wants to be called; whoever asks chooses that.
        name: String,
        /// What to compare with what that machine shows.
        fingerprint: String,
    },
    /// The roster changed.
    Roster,
    /// A link came up.
    PeerUp {
        /// The peer.
        node: String,
    },
    /// A link went down.
    PeerDown {
        /// The peer.
        node: String,
    },
    /// A peer and this node have come to hold the same.
    PeerSettled {
        /// The peer.
        node: String,
    },
    /// A machine of the mesh stands otherwise with its cards.
    GpuState {
        /// Whose they are.
        node: String,
        /// How it stands now, such as `stalled`.
        state: String,
        /// How it stood.
        was: String,
        /// What to do about it; absent where there is nothing to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        advice: Option<String>,
    },
    /// It stands otherwise with one card of a machine.
    Gpu {
        /// Whose it is.
        node: String,
        /// Its index there.
        gpu: u8,
        /// How it stands now: `ok`, `lost`, `no_permission` or `failed`.
        health: String,
    },
    /// The driver of a machine has reported an error of a card.
    Xid {
        /// Whose it is.
        node: String,
        /// Its index there.
        gpu: u8,
        /// The number of the error in NVIDIA's list.
        code: u16,
    },
    /// This machine idles, or its budget is being spent, as its user wants to be told.
    Alarm {
        /// This node.
        node: String,
        /// What it is about: `gpu_idle`, `budget`, `spent_unknown` or `stop_failed`.
        kind: String,
        /// The index of the card, of a `gpu_idle`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gpu: Option<u8>,
        /// The share of the budget that is spent, of a `budget`: 50, 80 or 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<u8>,
        /// All of it in a sentence.
        told: String,
    },
}

impl Event {
    /// Returns the name of the event in the stream.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bead { .. } => "bead",
            Self::Letter { .. } => "letter",
            Self::Claim { .. } => "claim",
            Self::Voters => "voters",
            Self::Agents => "agents",
            Self::Applicant { .. } => "applicant",
            Self::Roster => "roster",
            Self::PeerUp { .. } => "peer_up",
            Self::PeerDown { .. } => "peer_down",
            Self::PeerSettled { .. } => "peer_settled",
            Self::GpuState { .. } => "gpu_state",
            Self::Gpu { .. } => "gpu",
            Self::Xid { .. } => "xid",
            Self::Alarm { .. } => "alarm",
        }
    }
}

impl From<replica::Event> for Event {
    fn from(event: replica::Event) -> Self {
        match event {
            replica::Event::Bead { bead, alias, author } => {
                Self::Bead { bead: bead.to_string(), alias, author: author.to_string() }
            }
            replica::Event::Letter { letter, from, to, thread, subject, importance } => Self::Letter {
                letter: letter.to_string(),
                from,
                to: to.iter().map(ToString::to_string).collect(),
                thread,
                subject,
                importance: importance.as_str().to_owned(),
            },
            replica::Event::Claim { claim, address, bead, state, by } => {
                let (by, witness) = by.unzip();
                let (claim, state) = (claim.to_string(), state.to_owned());
                Self::Claim { claim, agent: address, bead, state, by, witness }
            }
            replica::Event::Voters => Self::Voters,
            replica::Event::Agents => Self::Agents,
            replica::Event::Applicant { name, fingerprint } => Self::Applicant { name, fingerprint },
            replica::Event::Roster => Self::Roster,
            replica::Event::PeerUp(node) => Self::PeerUp { node: node.to_string() },
            replica::Event::PeerDown(node) => Self::PeerDown { node: node.to_string() },
            replica::Event::PeerSettled(node) => Self::PeerSettled { node: node.to_string() },
        }
    }
}

impl From<Change> for Event {
    fn from(change: Change) -> Self {
        match change {
            Change::State { node, state, was } => Self::GpuState {
                node: node.to_string(),
                state: state.to_string(),
                was: was.to_string(),
                advice: state.advice().map(str::to_owned),
            },
            Change::Card { node, gpu, health } => {
                Self::Gpu { node: node.to_string(), gpu, health: health.as_str().to_owned() }
            }
            Change::Xid { node, gpu, code } => Self::Xid { node: node.to_string(), gpu, code },
            Change::Alarm { node, alarm } => {
                let (gpu, percent) = match &alarm {
                    Alarm::GpuIdle { gpu, .. } => (Some(*gpu), None),
                    Alarm::Budget { percent, .. } => (None, Some(*percent)),
                    Alarm::SpentUnknown { .. } | Alarm::StopFailed { .. } => (None, None),
                };
                let (kind, told) = (alarm.kind().to_owned(), alarm.sentence());
                Self::Alarm { node: node.to_string(), kind, gpu, percent, told }
            }
        }
    }
}

impl From<PeerAnswer> for Peer {
    fn from(answer: PeerAnswer) -> Self {
        let PeerAnswer { node, name, connected, path, lag_entries, last_seen, last_heard, progress } = answer;
        let progress = progress.map(|progress| Progress { done: progress.done, total: progress.total });
        let last_seen = last_seen.map(|wall| wall.to_string());
        let last_heard = last_heard.map(|wall| wall.to_string());
        Self {
            id: node.to_string(),
            name,
            connected,
            path,
            route: None,
            through: None,
            round_trip_us: None,
            lag_entries,
            last_seen,
            last_heard,
            banned: false,
            progress,
        }
    }
}
