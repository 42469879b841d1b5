//! `beadmesh down`: stops the node, and waits until it has let go of its store.

use std::time::Duration;

use beadmesh_node::api::model::Empty;
use beadmesh_node::home::Home;
use beadmesh_node::turn::{self, Turn};
use tokio::time::{sleep, timeout};

use super::Context;
use crate::client::{self, Client};
use crate::failure::Failure;

/// How long the node may take to end; it closes its links and its store.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a node that has not closed its socket yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Stops the node.
pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
    let directory = context.home()?;
    let mut client = Client::open_node(&directory).await?;
    client.post::<Empty>("/v1/shutdown", &Empty {}).await?;
    drop(client);
    let home = client::open_home(&directory)?;
    timeout(PATIENCE, ended(&home)).await.map_err(|_| {
        let failure = Failure::timeout(format!("the node still runs after {} s", PATIENCE.as_secs()));
        failure.hint("its log says what it waits for")
    })??;
    if context.printer.json { context.printer.answer(&Empty {}) } else { context.printer.line("The node is stopped.") }
}

/// Waits until the node has let go of the lock, which it does last of all.
async fn ended(home: &Home) -> Result<(), Failure> {
    loop {
        match turn::take(home, PATIENCE).await {
            Ok(Turn::Ours(_)) => return Ok(()),
            Ok(Turn::Node(_)) => sleep(LOOK_INTERVAL).await,
            Err(error) => return Err(client::failure(error.code(), &error, error.hint())),
        }
    }
}
