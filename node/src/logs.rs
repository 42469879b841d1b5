//! Logs on stderr: for people on a terminal, JSON lines everywhere else.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write, stderr};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

use crate::config::LogFormat;

/// The variable that says what is logged; `RUST_LOG` does where it is not set.
pub const LOG_VARIABLE: &str = "BEADMESH_LOG";

/// What is logged unless somebody says otherwise: libraries tell their users what their makers want to know.
///
/// Gossip warns of each notice that finds no room towards a peer that is gone, thousands in minutes; notices may be lost.
pub const FILTER: &str = "info,libp2p=warn,libp2p_gossipsub=error,quinn=warn,netlink=warn,sled=warn";

/// What is logged at most of libraries that would tell what is nobody's business: at `debug`, the one that asks a container
/// engine writes out its answers, with the environments of containers.
const FLOOR: [&str; 2] = ["bollard=info", "hyper=info"];

/// Lines that are remembered, for whoever looks for what went wrong.
const RECENT_MAX: usize = 200;

/// Bytes of one line that are remembered.
const LINE_BYTES_MAX: usize = 1_024;

/// The last lines; logs are of the whole process, and so are these.
static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can not be read.
    #[error("{filter:?} is no log filter")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logs were set up before.
    #[error("logs are set up already")]
    Twice,
}

/// Sets up the logs of this process.
///
/// # Errors
/// When the filter can not be read, or logs were set up before.
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = floored(filter)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr.and(|| Recent));
    let terminal = stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let is_text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let started = if is_text {
        logs.with_ansi(colour).with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    };
    started.map_err(|_| LogError::Twice)
}

/// Reads a filter, which does not reach below the floor.
fn floored(filter: &str) -> Result<EnvFilter, LogError> {
    let wrong = |source| LogError::Filter { filter: filter.to_owned(), source };
    let mut wanted = Vec::new();
    for directive in filter.split(',').filter(|directive| !directive.trim().is_empty()) {
        // What is asked for of a part of a library would count for more than what is said of all of it.
        let target = directive.trim().split(['=', '[']).next().unwrap_or_default();
        let is_floored = FLOOR.iter().filter_map(|floor| floor.split('=').next()).any(|library| {
            target.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', ':']))
        });
        if !is_floored {
            wanted.push(directive);
        }
    }
    EnvFilter::try_new(filter).map_err(wrong)?;
    wanted.extend(FLOOR);
    EnvFilter::try_new(wanted.join(",")).map_err(wrong)
}

/// Returns the last lines that this process has logged, the oldest first.
pub fn recent() -> Vec<String> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Remembers what is logged; each write is one line.
struct Recent;

impl Write for Recent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_BYTES_MAX)]).trim_end().to_owned();
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_of_containers_is_never_logged() {
        for filter in ["trace", "debug,bollard=trace", "bollard::docker=trace,hyper_util=debug,hyper=trace", "warn"] {
            let logs = tracing_subscriber::fmt().with_env_filter(floored(filter).unwrap()).with_writer(io::sink);
            tracing::subscriber::with_default(logs.finish(), || {
                assert!(!tracing::enabled!(target: "bollard::docker", tracing::Level::DEBUG), "{filter}");
                assert!(!tracing::enabled!(target: "hyper_util::client", tracing::Level::DEBUG), "{filter}");
                let is_wanted = filter.starts_with("trace") || filter.starts_with("debug");
                assert_eq!(tracing::enabled!(target: "beadmesh_node", tracing::Level::DEBUG), is_wanted, "{filter}");
            });
        }
        assert!(matches!(floored("a=b=c"), Err(LogError::Filter { filter, .. }) if filter == "a=b=c"));
    }

    #[test]
    fn the_last_lines_are_remembered_and_bounded() {
        for number in 0..RECENT_MAX + 5 {
            Recent.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        Recent.write_all(&vec![b'x'; 5_000]).unwrap();
        let recent = recent();
        assert_eq!((recent.len(), recent[0].as_str()), (RECENT_MAX, "line 6"));
        assert_eq!(recent[RECENT_MAX - 1].len(), LINE_BYTES_MAX);
    }
}
