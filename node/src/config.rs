//! What can be set on a node: one typed `Config`, from flags, the environment, a file and defaults, in this order.
//!
//! A key is one row of [`KEYS`] and one field; everything else, such as what `config show` lists, follows from the row.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::home::{HOME_VARIABLE, Names, host_name, human_name};
use crate::logs;
use crate::net::Relaying;

mod error;
mod file;
mod reader;
mod value;
mod watching;

pub use error::{Mistake, Mistakes, Place};
pub use reader::{Origin, Row};
use reader::{Raw, Reader};
pub use value::{ByteSize, GpuBackend, GpuBackendError, LogFormat};
pub use watching::{Amount, StopCommand, Watching};

/// The file in the home that says what is set.
pub const FILE: &str = "config.toml";
/// The variable that names another file.
pub const FILE_VARIABLE: &str = "BEADMESH_CONFIG";
/// What the variables of this program begin with.
const VARIABLE_PREFIX: &str = "BEADMESH_";

/// Variables of ours that are no keys: they say where the home is, who acts, or what a single command is to do.
const OTHER_VARIABLES: [&str; 6] =
    [HOME_VARIABLE, FILE_VARIABLE, "BEADMESH_PROJECT", "BEADMESH_AGENT", "BEADMESH_TOKEN", "BEADMESH_GUARD"];

/// The longest wait before a member is dialled again that may be set: an hour without a try is a node that is away.
const RETRY_MAX_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60 * 60));
/// Room for the contents of other nodes' attachments: one of the largest size at least.
const CACHE_RANGE: (ByteSize, ByteSize) = (ByteSize::mebibytes(16), ByteSize::mebibytes(1024 * 1024));

/// The time that a card may be used by nobody: from one reading of it to a week.
const GPU_IDLE_RANGE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(7 * 24 * 60 * 60));

/// Something that can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its table and name in the file.
    pub name: &'static str,
    /// The variable that sets it, and one that does where that is not set.
    pub variables: &'static [&'static str],
    /// The flags of `up` that set it; empty where none does.
    pub flag: &'static str,
    /// What it is for.
    pub about: &'static str,
}

const NODE_NAME: Key = Key {
    name: "node.name",
    variables: &["BEADMESH_NODE_NAME"],
    flag: "",
    about: "what this node is called in meshes that it founds or joins from now on",
};
const NODE_LABELS: Key = Key {
    name: "node.labels",
    variables: &["BEADMESH_NODE_LABELS"],
    flag: "",
    about: "words that beads can ask a machine for, such as a100 or site/berlin",
};
const MESH_NAME: Key = Key {
    name: "mesh.name",
    variables: &["BEADMESH_MESH_NAME"],
    flag: "",
    about: "what a mesh is called that is founded here",
};
const TICKET_FILE: Key = Key {
    name: "mesh.ticket_file",
    variables: &["BEADMESH_TICKET_FILE"],
    flag: "--ticket-file",
    about: "a file with the ticket by which a node that is alone joins a mesh; it may come later",
};
const LISTEN: Key = Key {
    name: "net.listen",
    variables: &["BEADMESH_LISTEN"],
    flag: "--listen",
    about: "multiaddresses to listen on; none at all means to dial only",
};
const MDNS: Key = Key {
    name: "net.mdns",
    variables: &["BEADMESH_MDNS"],
    flag: "--mdns, --no-mdns",
    about: "whether members are looked for on the local network",
};
const RELAY: Key = Key {
    name: "net.relay",
    variables: &["BEADMESH_RELAY"],
    flag: "--relay",
    about: "whether to relay for members that can not reach each other; auto: while this node is reached from anywhere",
};
const EXTERNAL: Key = Key {
    name: "net.external",
    variables: &["BEADMESH_EXTERNAL"],
    flag: "--external",
    about: "multiaddresses at which others reach this node, though it does not listen there itself",
};
const API_TCP: Key = Key {
    name: "api.tcp",
    variables: &["BEADMESH_API_TCP"],
    flag: "--api-tcp",
    about: "an address of this machine alone on which the API answers too",
};
const RETRY_MAX: Key = Key {
    name: "net.retry_max",
    variables: &["BEADMESH_RETRY_MAX"],
    flag: "",
    about: "the longest wait before a member is dialled again",
};
const FETCHED_MAX: Key = Key {
    name: "attachments.fetched_max",
    variables: &["BEADMESH_FETCHED_MAX"],
    flag: "",
    about: "room for attachments that were fetched from other nodes; what was not read for longest goes first",
};
const GPU_BACKEND: Key = Key {
    name: "gpu.backend",
    variables: &["BEADMESH_GPU_BACKEND"],
    flag: "--gpu-backend",
    about: "where readings of cards come from: auto (their driver), demo (made up, and called so), off",
};
const GPU_IDLE: Key = Key {
    name: "watch.gpu_idle",
    variables: &["BEADMESH_WATCH_GPU_IDLE"],
    flag: "",
    about: "for how long a card may be used by nobody before there is an alarm",
};
const COST_PER_HOUR: Key = Key {
    name: "watch.cost_per_hour",
    variables: &["BEADMESH_WATCH_COST_PER_HOUR"],
    flag: "",
    about: "what an hour costs in which the node runs, in any currency",
};
const BUDGET: Key = Key {
    name: "watch.budget",
    variables: &["BEADMESH_WATCH_BUDGET"],
    flag: "",
    about: "what that may cost in all; there is an alarm at 50, 80 and 100 percent of it",
};
const STOP_COMMAND: Key = Key {
    name: "watch.stop_command",
    variables: &["BEADMESH_WATCH_STOP_COMMAND"],
    flag: "",
    about: "what to run, without a shell, when all cards are used by nobody or the budget is spent",
};
const CONTAINERS: Key = Key {
    name: "containers.watch",
    variables: &["BEADMESH_CONTAINERS"],
    flag: "--containers",
    about: "tell the mesh of the containers of this machine; whoever may ask their engine is as good as root",
};
const LOG_FILTER: Key = Key {
    name: "log.filter",
    variables: &[logs::LOG_VARIABLE, "RUST_LOG"],
    flag: "",
    about: "what is logged, such as debug or info,beadmesh_node=debug",
};
const LOG_FORMAT: Key = Key {
    name: "log.format",
    variables: &["BEADMESH_LOG_FORMAT"],
    flag: "",
    about: "text, json, or auto: text on a terminal and JSON everywhere else",
};

/// Everything that can be set, in the order in which it is listed.
pub const KEYS: [Key; 19] = [
    NODE_NAME,
    MESH_NAME,
    NODE_LABELS,
    TICKET_FILE,
    LISTEN,
    MDNS,
    RELAY,
    EXTERNAL,
    RETRY_MAX,
    API_TCP,
    FETCHED_MAX,
    GPU_BACKEND,
    GPU_IDLE,
    COST_PER_HOUR,
    BUDGET,
    STOP_COMMAND,
    CONTAINERS,
    LOG_FILTER,
    LOG_FORMAT,
];

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that was read; none where there is none.
    pub file: Option<PathBuf>,
    /// What node and mesh are called.
    pub names: Names,
    /// Words that beads can ask a machine for, in order.
    pub labels: Vec<String>,
    /// Where a ticket lies, or will, by which a node that is alone joins a mesh.
    pub ticket_file: Option<PathBuf>,
    /// Where to listen; by default on the port used last time.
    pub listen: Option<Vec<String>>,
    /// Whether members are looked for on the local network.
    pub mdns: bool,
    /// When this node relays for members that can not reach each other.
    pub relaying: Relaying,
    /// Where others reach this node, though it does not listen there itself.
    pub external: Option<Vec<String>>,
    /// The longest wait before a member is dialled again.
    pub retry_max: Duration,
    /// Where the API answers over TCP too: an address of this machine alone.
    pub api_tcp: Option<SocketAddr>,
    /// Room for attachments that were fetched from other nodes.
    pub fetched_max: ByteSize,
    /// Where readings of cards come from.
    pub gpu_backend: GpuBackend,
    /// Of what there are alarms.
    pub watching: Watching,
    /// Whether the containers of this machine are looked at.
    pub containers: bool,
    /// What is logged.
    pub log_filter: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Every key with its value and where that comes from.
    pub rows: Vec<Row>,
}

/// What the command line says; it goes before everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// The file to read instead of the one in the home.
    pub file: Option<PathBuf>,
    /// Where to listen.
    pub listen: Option<Vec<String>>,
    /// Whether members are looked for on the local network.
    pub mdns: Option<bool>,
    /// When this node relays for members that can not reach each other.
    pub relaying: Option<Relaying>,
    /// Where others reach this node, though it does not listen there itself.
    pub external: Option<Vec<String>>,
    /// Where the ticket lies, or will.
    pub ticket_file: Option<PathBuf>,
    /// Where the API answers over TCP too.
    pub api_tcp: Option<SocketAddr>,
    /// Where readings of cards come from.
    pub gpu_backend: Option<GpuBackend>,
    /// Whether the containers of this machine are looked at.
    pub containers: Option<bool>,
}

impl Config {
    /// Returns what holds for the home at `dir`, which need not be there yet.
    ///
    /// # Errors
    /// When the file can not be read, or something in it or in the environment means nothing; all of it is named.
    pub fn load(dir: &Path, flags: &Flags) -> Result<Self, Mistakes> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let value = value.to_string_lossy().into_owned();
            (!value.is_empty()).then_some((name, value))
        });
        Self::resolve(dir, flags, &variables.collect())
    }

    /// Does the same for an environment that is handed in; a variable that is set to nothing is not in it.
    ///
    /// # Errors
    /// As for `load`.
    pub fn resolve(dir: &Path, flags: &Flags, variables: &BTreeMap<String, String>) -> Result<Self, Mistakes> {
        let named = flags.file.clone().or_else(|| variables.get(FILE_VARIABLE).map(PathBuf::from));
        let read = match &named {
            Some(path) => file::read(path).map(Some),
            None => file::read_if_there(&dir.join(FILE)),
        };
        let file = read.map_err(Mistakes::from)?;
        let mut reader = Reader::new(file, variables, flags.raw());
        let user = variables.get(crate::home::USER_VARIABLE).map_or("", String::as_str);
        let config = Self {
            file: reader.path(),
            names: Names {
                node: reader.read(&NODE_NAME, value::name, host_name),
                mesh: reader.read(&MESH_NAME, value::name, host_name),
                human: human_name(user),
            },
            labels: reader.read(&NODE_LABELS, value::labels, Vec::new),
            ticket_file: reader.read_optional(&TICKET_FILE, value::path),
            listen: reader.read_optional(&LISTEN, value::addresses),
            mdns: reader.read(&MDNS, value::switch, || true),
            relaying: reader.read(&RELAY, value::relaying, Relaying::default),
            external: reader.read_optional(&EXTERNAL, value::addresses),
            retry_max: reader.read(
                &RETRY_MAX,
                |raw| value::duration(raw, RETRY_MAX_RANGE),
                || crate::net::Timing::default().retry_max,
            ),
            api_tcp: reader.read_optional(&API_TCP, value::api_address),
            fetched_max: reader.read(
                &FETCHED_MAX,
                |raw| value::byte_size(raw, CACHE_RANGE),
                || ByteSize::bytes(beadmesh_store::blobs::Config::default().fetched_bytes_max),
            ),
            gpu_backend: reader.read(&GPU_BACKEND, value::gpu_backend, GpuBackend::default),
            watching: Watching {
                gpu_idle: reader.read_optional(&GPU_IDLE, |raw| value::duration(raw, GPU_IDLE_RANGE)),
                cost_per_hour: reader.read_optional(&COST_PER_HOUR, watching::amount),
                budget: reader.read_optional(&BUDGET, watching::amount),
                stop_command: reader.read_optional(&STOP_COMMAND, watching::stop_command),
            },
            containers: reader.read(&CONTAINERS, value::switch, || false),
            log_filter: reader.read(&LOG_FILTER, value::log_filter, || logs::FILTER.to_owned()),
            log_format: reader.read(&LOG_FORMAT, value::log_format, LogFormat::default),
            rows: Vec::new(),
        };
        let rows = reader.finish()?;
        Ok(Self { rows, ..config })
    }
}

impl Flags {
    /// Returns what was given, by the names of keys.
    fn raw(&self) -> BTreeMap<&'static str, Raw> {
        let listen = self.listen.clone().map(|addresses| (LISTEN.name, Raw::List(addresses)));
        let mdns = self.mdns.map(|mdns| (MDNS.name, Raw::Switch(mdns)));
        let ticket = self.ticket_file.as_ref();
        let ticket = ticket.map(|path| (TICKET_FILE.name, Raw::Text(path.to_string_lossy().into_owned())));
        let relaying = self.relaying.map(|relaying| (RELAY.name, Raw::Text(relaying.as_str().to_owned())));
        let external = self.external.clone().map(|addresses| (EXTERNAL.name, Raw::List(addresses)));
        let api = self.api_tcp.map(|address| (API_TCP.name, Raw::Text(address.to_string())));
        let gpu = self.gpu_backend.map(|backend| (GPU_BACKEND.name, Raw::Text(backend.as_str().to_owned())));
        let containers = self.containers.map(|containers| (CONTAINERS.name, Raw::Switch(containers)));
        [listen, mdns, ticket, relaying, external, api, gpu, containers].into_iter().flatten().collect()
    }
}

/// Returns the variables that seem to be meant for this program and that nothing reads, each with one that may have been
/// meant.
pub fn unread_variables(names: impl Iterator<Item = String>) -> Vec<(String, Option<&'static str>)> {
    let known = || OTHER_VARIABLES.into_iter().chain(KEYS.iter().flat_map(|key| key.variables.iter().copied()));
    let ours = names.filter(|name| name.starts_with(VARIABLE_PREFIX) && !known().any(|known| known == name));
    ours.map(|name| {
        let near = file::nearest(&name[VARIABLE_PREFIX.len()..], known(), |known| {
            known.strip_prefix(VARIABLE_PREFIX).unwrap_or(known)
        });
        (name, near)
    })
    .collect()
}

#[cfg(test)]
mod tests;
