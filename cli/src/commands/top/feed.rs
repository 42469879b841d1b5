//! Asks the node for what the screen lists: when something happens, and every two seconds. A node that is gone is looked
//! for until it is there again.

use beadmesh_node::api::model::{LetterBody, PeersBody, StatusBody, encode_segment};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::Context;
use crate::client::{Client, Events};
use crate::failure::Failure;
use crate::top::{Told, View};

/// Time between two looks while nothing happens: that of samples.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Time in which one look does for all that happens.
const GATHER: Duration = Duration::from_millis(150);

/// Time between two looks for a node that is not there.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What the screen shows just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) view: View,
    /// The letter that is shown in full.
    pub(super) letter: Option<String>,
}

/// Tells what the node says for as long as somebody listens.
pub(super) async fn run(context: &Context, mut wanted: watch::Receiver<Want>, told: mpsc::Sender<Told>) {
    loop {
        let why = match follow(context, &mut wanted, &told).await {
            Ok(()) => "the node has stopped".to_owned(),
            Err(failure) => failure.message,
        };
        if told.send(Told::Silence(why)).await.is_err() {
            return;
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Follows a node until it ends its stream of events, or nobody listens any more.
async fn follow(
    context: &Context,
    wanted: &mut watch::Receiver<Want>,
    told: &mpsc::Sender<Told>,
) -> Result<(), Failure> {
    // Listens before it looks, so that nothing comes between the two.
    let mut events = Events::new(context.node().await?.download("/v1/events").await?);
    let (mut client, unproven) = context.watched_node().await?;
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let want = wanted.borrow_and_update().clone();
        for said in look(&mut client, &want, unproven.as_ref()).await? {
            if told.send(said).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            event = events.next() => {
                if event?.is_none() || !gather(&mut events).await? {
                    return Ok(());
                }
            }
            _ = looks.tick() => {}
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Passes over what happens for a moment; returns whether the stream goes on.
async fn gather(events: &mut Events) -> Result<bool, Failure> {
    let end = Instant::now() + GATHER;
    while let Ok(event) = timeout_at(end, events.next()).await {
        if event?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Asks for all that a view shows.
pub(super) async fn look(client: &mut Client, want: &Want, unproven: Option<&Failure>) -> Result<Vec<Told>, Failure> {
    let status: StatusBody = client.get("/v1/status").await?;
    let mut said = vec![Told::Status(Box::new(status))];
    if want.view == View::Nodes {
        let peers: PeersBody = client.get(path(View::Peers)).await?;
        said.push(Told::Peers(peers));
    }
    let path = path(want.view);
    said.push(match (want.view, unproven) {
        (View::Nodes, _) => Told::Nodes(client.get(path).await?),
        (View::Gpus, _) => Told::Gpus(client.get(path).await?),
        (View::Containers, _) => Told::Containers(client.get(path).await?),
        (View::Beads, _) => Told::Beads(client.get(path).await?),
        (View::Leases, _) => Told::Leases(client.get(path).await?),
        (View::Peers, _) => Told::Peers(client.get(path).await?),
        (View::Mail, Some(unproven)) => Told::Mail(Err(format!("No letters to see: {}.", unproven.message))),
        (View::Mail, None) => Told::Mail(Ok(client.get(path).await?)),
    });
    if let Some(letter) = want.letter.as_ref().filter(|_| unproven.is_none()) {
        // Whoever only looks has not read it, as far as its sender is told.
        // A system letter may be taken back while it is looked at.
        let body = client.get::<LetterBody>(&format!("/v1/letters/{}?peek=true", encode_segment(letter))).await;
        said.extend(body.ok().map(|body| Told::Letter(Box::new(body.letter))));
    }
    Ok(said)
}

/// Returns what to ask for a view: as much as the API says at one time.
pub(super) fn path(view: View) -> &'static str {
    match view {
        View::Nodes => "/v1/nodes",
        View::Gpus => "/v1/gpus",
        View::Containers => "/v1/containers",
        View::Beads => "/v1/beads?limit=1000",
        View::Leases => "/v1/claims",
        View::Mail => "/v1/inbox?limit=200",
        View::Peers => "/v1/peers",
    }
}
