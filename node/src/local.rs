//! The node inside a single command: the same router over the same store, without a network.

use std::sync::Arc;

use axum::Router;
use beadmesh_store::Lock;
use beadmesh_store::command::CommandError;
use tokio_util::sync::CancellationToken;

use crate::api::model::SecretText;
use crate::api::{self, Api};
use crate::attachments::Attachments;
use crate::core::{Core, Queue, State};
use crate::home::{Home, Names};
use crate::human;
use crate::metrics::Metrics;
use crate::opening::{self, Opener, OpeningError};

/// A home that is open in this process.
#[derive(Debug)]
pub struct Local {
    /// Answers what a running node would; what needs a network is answered with `no_node`.
    pub router: Router,
    /// The recovery key of the mesh, if it was founded just now: to be shown. It stays in the home until the router is
    /// told to forget it.
    pub recovery: Option<SecretText>,
    core: Core,
}

impl Local {
    /// Opens a home whose lock the caller has taken; founds a mesh of one where there is none.
    ///
    /// # Errors
    /// When the home or its store can not be used.
    pub async fn open(home: Home, names: Names, lock: Lock) -> Result<Self, OpeningError> {
        let human = names.human.clone();
        let opened = opening::open(&home, names, lock, Opener::Command).await?;
        // Frames and members have nowhere to go without a network.
        let core = Core::start(opened.machine, opened.mesh, &Queue::default(), Box::new(drop));
        let core = core.map_err(OpeningError::Thread)?;
        human::ensure(&core, &home, &human, opened.lost).await.map_err(OpeningError::Home)?;
        let (home, stop) = (Arc::new(home), CancellationToken::new());
        let attachments = Attachments::new(&home, core.clone(), None);
        attachments.sweep().await;
        let metrics = Arc::new(Metrics::new(core.meter()));
        let router = api::router(Api {
            metrics,
            core: core.clone(),
            home,
            attachments,
            network: None,
            stop,
            loopback: None,
            refusals: Arc::default(),
            bans: None,
            telemetry: None,
            human,
        });
        Ok(Self { router, recovery: opened.recovery, core })
    }

    /// Closes the store and lets the lock go; everything answered is durable already.
    ///
    /// # Errors
    /// When the store failed meanwhile.
    pub async fn close(self) -> Result<(), CommandError> {
        match self.core.stop().await {
            State::Failed(reason) => Err(CommandError::Store(reason)),
            State::Running | State::Stopped => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
