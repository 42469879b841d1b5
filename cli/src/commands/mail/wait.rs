//! `mail wait`: until an unread letter is there, or the time is over; a node that is started again is found again.

use std::time::Duration;

use beadmesh_node::api::model::{Event, InboxQuery, LettersBody};
use tokio::time::{Instant, sleep, timeout_at};

use super::super::Context;
use crate::args::WaitArgs;
use crate::client::{Client, Events};
use crate::failure::{Exit, Failure};

/// Time between two looks for a node that is not there.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Of so many looks for a node, one looks into the store itself: other commands may write letters without a node.
const STORE_LOOKS: usize = 8;

/// Waits for letters, and lists them.
pub(super) async fn run(context: &mut Context, args: WaitArgs) -> Result<(), Failure> {
    let deadline = Instant::now().checked_add(args.timeout);
    let waited = match deadline {
        Some(deadline) => timeout_at(deadline, letters(context)).await,
        // More time than a clock can tell is for ever.
        None => Ok(letters(context).await),
    };
    match waited {
        Ok(letters) => super::print(&mut context.printer, &letters?, "No letters."),
        Err(_) => {
            let failure = Failure::timeout(format!("no unread letter within {} s", args.timeout.as_secs()));
            Err(failure.hint("--timeout waits longer; `beadmesh status` shows whether a node is running"))
        }
    }
}

/// Looks for unread letters until there is one.
async fn letters(context: &mut Context) -> Result<LettersBody, Failure> {
    let mut refusals = 0;
    for look in 0_usize.. {
        let watched = match Client::open_node(&context.home()?).await {
            Ok(events) => watch(context, events).await,
            Err(failure) if failure.exit == Exit::NoNode && look.is_multiple_of(STORE_LOOKS) => stored(context).await,
            Err(failure) => Err(failure),
        };
        // Whoever wants to start the node, or to write without one, needs the store.
        context.close().await?;
        match watched {
            Ok(Some(letters)) => return Ok(letters),
            Ok(None) => {}
            // The node is gone, or going.
            Err(Failure { exit: Exit::NoNode | Exit::Failed | Exit::Timeout, code, .. }) if &*code != "no_home" => {}
            // A node that stops refuses what it was about to answer; what it means it says twice.
            Err(failure) if failure.exit == Exit::Refused && refusals == 0 => refusals += 1,
            Err(failure) => return Err(failure),
        }
        sleep(RETRY_INTERVAL).await;
    }
    unreachable!("a count of looks does not end before the time")
}

/// Waits at a running node; `None` when it stopped.
async fn watch(context: &mut Context, mut node: Client) -> Result<Option<LettersBody>, Failure> {
    // Listens before it looks, so that nothing comes between the two.
    let mut events = Events::new(node.download("/v1/events").await?);
    let mut client = context.proven_client().await?;
    loop {
        if let Some(letters) = unread(&mut client).await? {
            return Ok(Some(letters));
        }
        loop {
            match events.next().await? {
                Some(Event::Letter { .. }) => break,
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// Looks into the store within this process.
async fn stored(context: &mut Context) -> Result<Option<LettersBody>, Failure> {
    unread(&mut context.proven_client().await?).await
}

/// Returns the unread letters, if there are any.
async fn unread(client: &mut Client) -> Result<Option<LettersBody>, Failure> {
    let query = InboxQuery { unread: true, limit: Some(super::SHOWN_DEFAULT), ..InboxQuery::default() };
    let letters: LettersBody = client.get(&format!("/v1/inbox{}", query.to_query())).await?;
    Ok(Some(letters).filter(|letters| !letters.letters.is_empty()))
}
