//! Values of keys as people write them, in files, variables and flags alike.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use beadmesh_protocol::limits::{NAME_BYTES_MAX, NODE_LABELS_MAX};
use beadmesh_protocol::needs::is_label;
use beadmesh_protocol::sample::gpu::Backend;

use super::reader::{Raw, Shown};
use crate::api::loopback::parse_address;
use crate::net::{Relaying, listen_address};

/// Addresses that a node listens on at most.
const LISTEN_MAX: usize = 16;

/// What is wrong with a value, and what to write.
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) remedy: String,
}

fn wrong(problem: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong { problem: problem.into(), remedy: remedy.into() }
}

/// How much room something takes on a disk or in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Returns so many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns so many mebibytes.
    pub(super) const fn mebibytes(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// Returns how many bytes that are.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Returns the number and the largest unit in which it is whole.
    fn parts(self) -> (u64, &'static str) {
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole = units.into_iter().find(|(size, _)| self.0 >= *size && self.0.is_multiple_of(*size));
        whole.map_or((self.0, "B"), |(size, unit)| (self.0 / size, unit))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = self.parts();
        write!(f, "{count}{unit}")
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON lines everywhere else.
    #[default]
    Auto,
    /// Text.
    Text,
    /// JSON lines.
    Json,
}

impl LogFormat {
    fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Where readings of cards come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GpuBackend {
    /// The driver of the cards, where there is one.
    #[default]
    Auto,
    /// Nothing: cards that are made up.
    Demo,
    /// Nowhere.
    Off,
}

/// The text names no place that readings of cards come from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of auto, demo and off")]
pub struct GpuBackendError(String);

impl GpuBackend {
    /// Returns the word that it is written as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Demo => "demo",
            Self::Off => "off",
        }
    }
}

impl FromStr for GpuBackend {
    type Err = GpuBackendError;

    fn from_str(text: &str) -> Result<Self, GpuBackendError> {
        let found = [Self::Auto, Self::Demo, Self::Off].into_iter().find(|backend| backend.as_str() == text);
        found.ok_or_else(|| GpuBackendError(text.to_owned()))
    }
}

impl From<GpuBackend> for Backend {
    fn from(backend: GpuBackend) -> Self {
        match backend {
            GpuBackend::Auto => Self::Nvml,
            GpuBackend::Demo => Self::Demo,
            GpuBackend::Off => Self::Off,
        }
    }
}

/// Reads what people call a node or a mesh.
pub(super) fn name(raw: &Raw) -> Result<String, Wrong> {
    let name = text(raw, "a name in quotes, such as \"gpu-box\"")?.trim();
    let remedy = "choose a short name on one line";
    if name.contains(char::is_control) {
        return Err(wrong("holds control characters, and a name has none", remedy));
    }
    match name.len() {
        1..=NAME_BYTES_MAX => Ok(name.to_owned()),
        bytes => Err(wrong(format!("has {bytes} bytes, and a name has 1 to {NAME_BYTES_MAX}"), remedy)),
    }
}

/// Reads the path of a file, which need not be there.
pub(super) fn path(raw: &Raw) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(text(raw, "a path in quotes")?);
    if path.is_absolute() {
        return Ok(path);
    }
    // A service has another working directory than a shell.
    Err(wrong(format!("{:?} is no absolute path", path.display()), "write the whole path, from / on"))
}

/// Reads yes or no.
pub(super) fn switch(raw: &Raw) -> Result<bool, Wrong> {
    match raw {
        Raw::Switch(switch) => Ok(*switch),
        Raw::Text(text) if text == "true" => Ok(true),
        Raw::Text(text) if text == "false" => Ok(false),
        other => Err(wrong(format!("{other} is neither true nor false"), "write true or false, without quotes")),
    }
}

/// Reads when to relay: true and false may be written without quotes.
pub(super) fn relaying(raw: &Raw) -> Result<Relaying, Wrong> {
    let remedy = "write true, false or \"auto\"";
    let read = match raw {
        Raw::Switch(true) => Some(Relaying::Always),
        Raw::Switch(false) => Some(Relaying::Never),
        Raw::Text(text) => text.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| wrong(format!("{raw} is none of true, false and auto"), remedy))
}

/// Reads where readings of cards come from.
pub(super) fn gpu_backend(raw: &Raw) -> Result<GpuBackend, Wrong> {
    let remedy = "write \"auto\", \"demo\" or \"off\"";
    text(raw, remedy)?.parse().map_err(|error: GpuBackendError| wrong(error.to_string(), remedy))
}

/// Reads an address of this machine alone.
pub(super) fn api_address(raw: &Raw) -> Result<SocketAddr, Wrong> {
    let remedy = "write one such as \"127.0.0.1:7118\"";
    parse_address(text(raw, remedy)?).map_err(|error| wrong(error.to_string(), remedy))
}

/// Reads addresses to listen on: a list in a file, separated by commas in a variable.
pub(super) fn addresses(raw: &Raw) -> Result<Vec<String>, Wrong> {
    let remedy = "write TCP or QUIC on an IP address, such as [\"/ip4/0.0.0.0/tcp/7117\"]";
    let addresses: Vec<String> = match raw {
        Raw::List(addresses) => addresses.clone(),
        // A word, because an empty variable counts as none.
        Raw::Text(text) if text == "none" => Vec::new(),
        Raw::Text(text) => text.split(',').map(|address| address.trim().to_owned()).collect(),
        other => return Err(wrong(format!("{other} is no list of addresses"), remedy)),
    };
    if addresses.len() > LISTEN_MAX {
        return Err(wrong(format!("has {} addresses, at most {LISTEN_MAX} are possible", addresses.len()), remedy));
    }
    match addresses.iter().find(|address| listen_address(address).is_err()) {
        Some(address) => Err(wrong(format!("{address:?} is no address to listen on"), remedy)),
        None => Ok(addresses),
    }
}

/// Reads the labels of a node: a list in a file, separated by commas in a variable.
pub(super) fn labels(raw: &Raw) -> Result<Vec<String>, Wrong> {
    let remedy = "write words of a-z, 0-9, - _ . / such as [\"a100\", \"site/berlin\"]";
    let mut labels: Vec<String> = match raw {
        Raw::List(labels) => labels.clone(),
        Raw::Text(text) => text.split(',').map(|label| label.trim().to_owned()).collect(),
        other => return Err(wrong(format!("{other} is no list of labels"), remedy)),
    };
    if labels.len() > NODE_LABELS_MAX {
        return Err(wrong(format!("has {} labels, at most {NODE_LABELS_MAX} are possible", labels.len()), remedy));
    }
    if let Some(label) = labels.iter().find(|label| !is_label(label)) {
        return Err(wrong(format!("{label:?} is no label"), remedy));
    }
    labels.sort_unstable();
    labels.dedup();
    Ok(labels)
}

/// Reads a span of time with its unit.
pub(super) fn duration(raw: &Raw, (min, max): (Duration, Duration)) -> Result<Duration, Wrong> {
    let remedy = format!("write {} to {} with a unit, such as \"30s\" or \"5m\"", min.text(), max.text());
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let Some(millis) = text(raw, &remedy).ok().and_then(|text| counted(text, &units)) else {
        return Err(wrong(format!("{raw} is no time with a unit"), remedy));
    };
    let duration = Duration::from_millis(millis);
    if (min..=max).contains(&duration) { Ok(duration) } else { Err(wrong(format!("{raw} is out of bounds"), remedy)) }
}

/// Reads a size with its unit.
pub(super) fn byte_size(raw: &Raw, (min, max): (ByteSize, ByteSize)) -> Result<ByteSize, Wrong> {
    let remedy = format!("write {min} to {max} with a unit, such as \"64MiB\" or \"2GiB\"");
    let units = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    let Some(bytes) = text(raw, &remedy).ok().and_then(|text| counted(text, &units)) else {
        return Err(wrong(format!("{raw} is no size with a unit"), remedy));
    };
    let size = ByteSize(bytes);
    if (min..=max).contains(&size) { Ok(size) } else { Err(wrong(format!("{raw} is out of bounds"), remedy)) }
}

/// Reads what is to be logged.
pub(super) fn log_filter(raw: &Raw) -> Result<String, Wrong> {
    let remedy = "write a level or targets with levels, such as \"info\" or \"info,beadmesh_node=debug\"";
    let text = text(raw, remedy)?;
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(wrong(format!("{text:?} is no log filter: {error}"), remedy)),
    }
}

/// Reads how logs are to be written.
pub(super) fn log_format(raw: &Raw) -> Result<LogFormat, Wrong> {
    let remedy = "write \"auto\", \"text\" or \"json\"";
    let text = text(raw, remedy)?;
    let all = [LogFormat::Auto, LogFormat::Text, LogFormat::Json];
    let found = all.into_iter().find(|format| format.as_str() == text);
    found.ok_or_else(|| wrong(format!("{text:?} is no format of logs"), remedy))
}

fn text<'a>(raw: &'a Raw, wanted: &str) -> Result<&'a str, Wrong> {
    match raw {
        Raw::Text(text) => Ok(text),
        other => Err(wrong(format!("{other} is no text"), format!("write {}", wanted.trim_start_matches("write ")))),
    }
}

/// Reads a whole number with one of these units; the longer of two that fit stands first.
fn counted(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, size) = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)))?;
    let digits = digits.trim_end();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse::<u64>().ok()?.checked_mul(size) } else { None }
}

impl Shown for String {
    fn text(&self) -> String {
        self.clone()
    }
}

impl Shown for bool {
    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> serde_json::Value {
        (*self).into()
    }
}

impl Shown for PathBuf {
    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Shown for SocketAddr {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Shown for LogFormat {
    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Shown for GpuBackend {
    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Shown for Relaying {
    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Shown for Vec<String> {
    fn text(&self) -> String {
        if self.is_empty() { "none".to_owned() } else { self.join(",") }
    }

    fn json(&self) -> serde_json::Value {
        self.clone().into()
    }
}

impl Shown for Duration {
    fn text(&self) -> String {
        let millis = self.as_millis();
        if millis.is_multiple_of(1_000) { format!("{}s", millis / 1_000) } else { format!("{millis}ms") }
    }

    fn json(&self) -> serde_json::Value {
        self.as_secs_f64().into()
    }

    fn unit(&self) -> &'static str {
        "s"
    }
}

impl Shown for ByteSize {
    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> serde_json::Value {
        self.0.into()
    }

    fn unit(&self) -> &'static str {
        "bytes"
    }
}
