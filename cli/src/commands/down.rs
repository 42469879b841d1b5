//! `beadmesh down`: stops the node, and waits until it has let go of its store.

use std::time::Duration;

use beadmesh_node::api::model::Empty;
use tokio::time::{Instant, sleep};

use super::Context;
use crate::client::Client;
use crate::failure::{Exit, Failure};

/// How long the node may take to end; it closes its links and its store.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Stops the node.
pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let mut client = Client::open_node(&home).await?;
    client.post::<Empty>("/v1/shutdown", &Empty {}).await?;
    drop(client);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Client::open_node(&home).await {
            Err(failure) if failure.exit == Exit::NoNode => break,
            _ if Instant::now() >= deadline => {
                let failure = Failure::timeout(format!("the node still runs after {} s", PATIENCE.as_secs()));
                return Err(failure.hint("its log says what it waits for"));
            }
            _ => sleep(LOOK_INTERVAL).await,
        }
    }
    if context.printer.json { context.printer.answer(&Empty {}) } else { context.printer.line("The node is stopped.") }
}
