//! Logs on stderr: for people on a terminal, JSON lines everywhere else.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// The variable that says what is logged; `RUST_LOG` does where it is not set.
pub const LOG_VARIABLE: &str = "BEADMESH_LOG";

/// What is logged unless somebody says otherwise: libraries tell their users what their makers want to know.
///
/// Gossip warns of each notice that finds no room towards a peer that is gone, thousands in minutes; notices may be lost.
pub const FILTER: &str = "info,libp2p=warn,libp2p_gossipsub=error,quinn=warn,netlink=warn,sled=warn";

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
    let filter = EnvFilter::try_new(filter).map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
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
