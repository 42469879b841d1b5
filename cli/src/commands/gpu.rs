//! `beadmesh gpu`: the cards of all machines.

use std::time::Duration;

use beadmesh_node::api::model::{GpusBody, MachinesQuery, PickBody, PickQuery};
use tokio::pin;
use tokio::signal::ctrl_c;
use tokio::time::{MissedTickBehavior, interval};

use super::Context;
use crate::args::{GpuArgs, GpuCommand, PickArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::machine;

/// Time between two looks: that of samples.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Where not all fits, what the table does not say takes one of so many parts of the terminal at most.
const REMARKS_PART: usize = 3;

/// Shows cards once, or again and again.
pub(super) async fn run(context: &mut Context, args: GpuArgs) -> Result<(), Failure> {
    let mut client = context.node().await?;
    if let Some(GpuCommand::Pick(args)) = args.command {
        return pick(context, &mut client, args).await;
    }
    let node = args.node.as_deref();
    if !args.watch {
        return show(context, &mut client, node).await;
    }
    let mut looks = interval(WATCH_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Listened for all the time: the end may be asked for while a node is slow to answer.
    let ended = ctrl_c();
    pin!(ended);
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            _ = looks.tick() => {}
        }
        tokio::select! {
            _ = &mut ended => return Ok(()),
            shown = watch(context, &mut client, node) => shown?,
        }
    }
}

/// Shows cards in the place of those that were shown before.
async fn watch(context: &mut Context, client: &mut Client, node: Option<&str>) -> Result<(), Failure> {
    let body = cards(client, node).await?;
    let printer = &mut context.printer;
    if printer.json {
        printer.answer(&body)?;
        return printer.flush();
    }
    printer.measure();
    let (table, remarks) =
        (machine::gpus(&body.gpus, printer.columns), machine::remarks(&body, printer.text_columns()));
    let lines = match printer.rows() {
        // The cursor stands on a line of its own.
        Some(rows) => fitting(table, remarks, usize::from(rows).saturating_sub(1)),
        None => [table, remarks].concat(),
    };
    printer.frame(&lines)
}

/// Returns as much of a table, and of what it does not say, as fits into so many lines.
fn fitting(mut table: Vec<String>, mut remarks: Vec<String>, room: usize) -> Vec<String> {
    let all = table.len() + remarks.len();
    if all > room {
        remarks.truncate(room / REMARKS_PART);
        // One line says that there is more.
        table.truncate(room.saturating_sub(remarks.len() + 1));
        let more = all - table.len() - remarks.len();
        table.push(format!("{more} lines do not fit; `beadmesh top` scrolls."));
    }
    table.append(&mut remarks);
    table.truncate(room);
    table
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

/// Asks for the cards, of all nodes or of one.
async fn cards(client: &mut Client, node: Option<&str>) -> Result<GpusBody, Failure> {
    let query = MachinesQuery { node: node.map(str::to_owned) };
    client.get(&format!("/v1/gpus{}", query.to_query())).await
}

async fn show(context: &mut Context, client: &mut Client, node: Option<&str>) -> Result<(), Failure> {
    let body = cards(client, node).await?;
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

#[cfg(test)]
mod tests {
    use super::fitting;

    fn lines(count: usize, what: &str) -> Vec<String> {
        (0..count).map(|at| format!("{what} {at}")).collect()
    }

    #[test]
    fn what_does_not_fit_is_counted_and_remarks_stay() {
        assert_eq!(fitting(lines(3, "card"), lines(2, "remark"), 5).len(), 5);
        let shown = fitting(lines(40, "card"), lines(9, "remark"), 9);
        assert_eq!((shown.len(), shown[5].as_str()), (9, "41 lines do not fit; `beadmesh top` scrolls."));
        assert_eq!((shown[0].as_str(), shown[8].as_str()), ("card 0", "remark 2"));
        for room in 0..4 {
            assert!(fitting(lines(40, "card"), lines(9, "remark"), room).len() <= room);
        }
    }
}
