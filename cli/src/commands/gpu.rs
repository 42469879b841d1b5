//! `beadmesh gpu`: the cards of all machines.

use std::time::Duration;

use beadmesh_node::api::model::{GpusBody, PickBody, PickQuery};
use tokio::signal::ctrl_c;
use tokio::time::{MissedTickBehavior, interval};

use super::{Context, nodes};
use crate::args::{GpuArgs, GpuCommand, PickArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::machine;

/// Time between two looks: that of samples.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// What makes a terminal begin anew at its upper left corner.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows cards once, or again and again.
pub(super) async fn run(context: &mut Context, args: GpuArgs) -> Result<(), Failure> {
    let mut client = context.node().await?;
    if let Some(GpuCommand::Pick(args)) = args.command {
        return pick(context, &mut client, args).await;
    }
    if !args.watch {
        return show(context, &mut client, args.node.as_deref()).await;
    }
    let mut looks = interval(WATCH_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ctrl_c() => return Ok(()),
            _ = looks.tick() => {}
        }
        if context.printer.columns.is_some() && !context.printer.json {
            context.printer.bytes(CLEAR.as_bytes())?;
        }
        show(context, &mut client, args.node.as_deref()).await?;
        context.printer.flush()?;
    }
}

/// Names a card that is free.
async fn pick(context: &mut Context, client: &mut Client, args: PickArgs) -> Result<(), Failure> {
    let PickArgs { vram, max_busy, label } = args;
    let query = PickQuery { vram, max_busy: Some(max_busy), label };
    let body: PickBody = client.get(&format!("/v1/gpus/pick{}", query.to_query())).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    for line in machine::gpus(std::slice::from_ref(&body.gpu), printer.columns) {
        printer.line(line)?;
    }
    printer.note("Nothing is reserved: claim a bead with --needs, or start right away.")
}

async fn show(context: &mut Context, client: &mut Client, node: Option<&str>) -> Result<(), Failure> {
    let mut body: GpusBody = client.get("/v1/gpus").await?;
    if let Some(node) = node {
        only(&mut body, node)?;
    }
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    for line in machine::gpus(&body.gpus, printer.columns) {
        printer.line(line)?;
    }
    for line in machine::remarks(&body, printer.text_columns()) {
        printer.line(line)?;
    }
    Ok(())
}

/// Leaves the cards of one node.
fn only(body: &mut GpusBody, node: &str) -> Result<(), Failure> {
    let names = nodes::only(&mut body.nodes, |found| &found.node, node)?;
    body.gpus.retain(|gpu| names.contains(&gpu.node));
    Ok(())
}
