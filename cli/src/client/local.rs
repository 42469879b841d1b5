//! Answering within this process, for a home where no node is running.

use std::error::Error;
use std::path::Path;

use beadmesh_node::config::{Config, Flags};
use beadmesh_node::home::HomeError;
use beadmesh_node::turn::{self, PATIENCE, Turn};
use beadmesh_node::{Local, OpeningError, turn::TurnError};
use tokio::net::UnixStream;

use crate::failure::{Exit, Failure};

/// Who answers for a home after all.
pub(super) enum Found {
    /// A node that was started meanwhile.
    Node(UnixStream),
    /// This process.
    Local(Box<Local>),
}

/// Opens the store of a home, or finds the node that opened it meanwhile.
///
/// # Errors
///
/// Fails when the home or the store cannot be used.
pub(super) async fn open(directory: &Path) -> Result<Found, Failure> {
    let names = config(directory, &Flags::default())?.names;
    let home = super::open_home(directory)?;
    match turn::take(&home, PATIENCE).await.map_err(|error| turn_failure(&error))? {
        Turn::Node(stream) => Ok(Found::Node(stream)),
        Turn::Ours(lock) => {
            let local = Local::open(home, names, lock).await;
            local.map(|local| Found::Local(Box::new(local))).map_err(|error| opening_failure(&error))
        }
    }
}

/// Returns what is set for a home.
///
/// # Errors
///
/// Fails when something that is set means nothing.
pub(crate) fn config(directory: &Path, flags: &Flags) -> Result<Config, Failure> {
    Config::load(directory, flags).map_err(|mistakes| failure(mistakes.code(), &mistakes, mistakes.hint()))
}

/// Returns why a home cannot be used.
pub(crate) fn home_failure(error: &HomeError) -> Failure {
    failure(error.code(), error, error.hint())
}

/// Returns why nobody may act in a home.
fn turn_failure(error: &TurnError) -> Failure {
    failure(error.code(), error, error.hint())
}

/// Returns why a store cannot be opened.
fn opening_failure(error: &OpeningError) -> Failure {
    failure(error.code(), error, error.hint())
}

/// Returns a failure with the exit code that goes with its stable code.
pub(crate) fn failure(code: &str, error: &dyn Error, hint: String) -> Failure {
    let exit = match code {
        "usage" | "config" => Exit::Usage,
        "conflict" => Exit::Conflict,
        "refused" => Exit::Refused,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, code, error.to_string()).hint(hint);
    match error.source() {
        Some(source) => failure.caused_by(source),
        None => failure,
    }
}
