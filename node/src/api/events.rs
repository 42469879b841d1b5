//! The stream of events: what changes here, as server-sent events, for as long as somebody listens.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use futures::{Stream, stream};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::model::{Answer, Event};
use crate::telemetry::Change;

/// Time between two signs of life on a stream without events.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Streams what changes from now on; a watcher that is too slow is cut off, and reads the state anew.
#[utoipa::path(get, path = "/v1/events", tag = "node",
    responses((status = 200, content_type = "text/event-stream", body = Answer<Event>)))]
async fn events(State(api): State<Api>) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let ended = {
        let (core, stop) = (api.core.clone(), api.stop.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = core.ended() => {}
            }
        }
    };
    let machines = api.telemetry.as_ref().map(|telemetry| telemetry.fleet().changes());
    let state = (api.core.events(), machines, Box::pin(ended));
    let stream = stream::unfold(state, |(mut changes, mut machines, mut ended)| async move {
        let event = tokio::select! {
            // What happened before the end is told before the end.
            biased;
            change = changes.recv() => Event::from(change.ok()?),
            change = next(&mut machines) => Event::from(change?),
            () = &mut ended => return None,
        };
        Some((Ok(frame(&event)), (changes, machines, ended)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL))
}

/// Waits for the next change of a machine; for good where none is known.
async fn next(machines: &mut Option<Receiver<Change>>) -> Option<Change> {
    match machines {
        Some(machines) => loop {
            match machines.recv().await {
                Ok(change) => return Some(change),
                // How machines stand can be asked anew: whoever was too slow for that misses nothing else.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        },
        None => std::future::pending().await,
    }
}

fn frame(event: &Event) -> sse::Event {
    let data = Answer::new(event.clone());
    sse::Event::default().event(event.name()).json_data(&data).unwrap_or_else(|_| sse::Event::default())
}
