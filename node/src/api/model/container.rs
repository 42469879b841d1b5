//! Containers as the API shows them: what is not known is absent.

use beadmesh_protocol::sample::container;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Node;

/// Bytes in a mebibyte.
const MEBIBYTE: u64 = 1_048_576;

/// The containers of all machines that tell of theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContainersBody {
    /// Every container that is known.
    pub containers: Vec<Container>,
    /// How it stands with the engine of each member.
    pub nodes: Vec<ContainerNode>,
}

/// How it stands with the engine of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContainerNode {
    /// The node.
    pub node: Node,
    /// Whether it is the one that answers.
    pub here: bool,
    /// How it stands: `ok`, `absent`, `no_permission`, `stopped`, `stalled`, `failed`, or `unknown` where the node does not
    /// look or nothing was heard.
    pub engine: String,
    /// What to do about it; absent where there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Containers beyond those that may be told of.
    pub more: u32,
    /// How long ago the machine was heard, in seconds; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<f64>,
    /// Whether three samples or more were missed: the machine may be gone.
    pub stale: bool,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Container {
    /// What people call its node.
    pub node: String,
    /// What it is called.
    pub name: String,
    /// What it was made from.
    pub image: String,
    /// The compose project that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The service in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How it stands: `created`, `running`, `paused`, `restarting`, `exited` or `dead`.
    pub status: String,
    /// What its own check says: `starting`, `healthy` or `unhealthy`; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// How often the engine has started it again.
    pub restarts: u32,
    /// How its process ended; absent where it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether it ended because it wanted more memory than it may have.
    pub oom_killed: bool,
    /// Processor time it takes, in hundredths of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// Memory it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Memory it may take; absent where that is not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max_bytes: Option<u64>,
    /// Whether its machine may be gone.
    pub stale: bool,
}

impl Container {
    pub(in crate::api) fn new(node: &str, container: &container::Container, stale: bool) -> Self {
        let bytes = |mebibytes: u32| u64::from(mebibytes) * MEBIBYTE;
        let (project, service) = container.compose.clone().unzip();
        Self {
            node: node.to_owned(),
            name: container.name.clone(),
            image: container.image.clone(),
            project,
            service: service.filter(|service| !service.is_empty()),
            status: container.status.as_str().to_owned(),
            health: container.health.map(|health| health.as_str().to_owned()),
            restarts: container.restarts,
            exit_code: container.exit_code,
            oom_killed: container.oom_killed,
            cpu_percent: container.cpu_percent,
            memory_bytes: container.memory_mib.map(bytes),
            memory_max_bytes: container.memory_max_mib.map(bytes),
            stale,
        }
    }
}
