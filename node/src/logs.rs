//! Logs on stderr: for people on a terminal, JSON lines everywhere else.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// The variable that says what is logged; `RUST_LOG` does where it is not set.
pub const LOG_VARIABLE: &str = "BEADMESH_LOG";

/// What is logged unless somebody says otherwise: libraries tell their users what their makers want to know.
///
/// Gossip warns of each notice that finds no room towards a peer that is gone, thousands in minutes; notices may be lost.
const FILTER: &str = "info,libp2p=warn,libp2p_gossipsub=error,quinn=warn,netlink=warn,sled=warn";

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can not be read.
    #[error("{variable} is no log filter")]
    Filter {
        /// The variable that gives it.
        variable: &'static str,
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
/// When the filter in the environment can not be read, or logs were set up before.
pub fn start() -> Result<(), LogError> {
    let filter = filter(|variable| std::env::var(variable).ok())?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let terminal = stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let started = if terminal {
        logs.with_ansi(colour).with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    };
    started.map_err(|_| LogError::Twice)
}

fn filter(variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, LogError> {
    for name in [LOG_VARIABLE, "RUST_LOG"] {
        if let Some(text) = variable(name).filter(|text| !text.is_empty()) {
            return EnvFilter::try_new(text).map_err(|source| LogError::Filter { variable: name, source });
        }
    }
    Ok(EnvFilter::new(FILTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_variable_wins_and_a_bad_filter_is_named() {
        let ours = filter(|name| Some(if name == LOG_VARIABLE { "debug" } else { "trace" }.to_owned())).unwrap();
        assert_eq!(ours.to_string(), "debug");
        let theirs = filter(|name| (name == "RUST_LOG").then(|| "warn".to_owned())).unwrap();
        assert_eq!(theirs.to_string(), "warn");
        let error = filter(|_| Some("beadmesh=loud".to_owned())).unwrap_err();
        assert!(error.to_string().contains(LOG_VARIABLE));
    }
}
