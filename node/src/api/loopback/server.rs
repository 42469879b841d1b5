//! Answers requests over TCP. Whoever is slow to send a request, or to read its answer, gives its place to others.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::Listener as _;
use futures::{StreamExt, stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::listener::{Connection, Listener, Patience};

/// Answers until the node is to stop, and then what is under way.
///
/// # Errors
///
/// None so far: a connection that fails is over, and no other.
pub(crate) async fn serve(mut listener: Listener, router: Router, stop: CancellationToken) -> io::Result<()> {
    let Patience { head, body, .. } = listener.patience();
    let router = router.layer(middleware::from_fn(move |request, next| hurried(request, next, body)));
    let mut builder = http1::Builder::new();
    // It runs from the beginning of a connection, and again from each answer on.
    builder.timer(TokioTimer::new()).header_read_timeout(head);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (connection, _) = listener.accept() => {
                connections.spawn(answer(builder.clone(), connection, router.clone(), stop.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Answers the requests of one connection.
async fn answer(builder: http1::Builder, connection: Connection, router: Router, stop: CancellationToken) {
    let mut served = pin!(builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection to the API ended early");
    }
}

/// Hands a request on whose body fails once nothing more of it comes for so long.
async fn hurried(request: Request, next: Next, patience: Duration) -> Response {
    let (parts, body) = request.into_parts();
    let chunks = stream::unfold(body.into_data_stream(), move |body| next_chunk(body, patience));
    next.run(Request::from_parts(parts, Body::from_stream(chunks))).await
}

async fn next_chunk(
    mut body: BodyDataStream,
    patience: Duration,
) -> Option<(Result<Bytes, axum::Error>, BodyDataStream)> {
    let chunk = match timeout(patience, body.next()).await {
        Ok(chunk) => chunk?,
        Err(_) => Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut))),
    };
    Some((chunk, body))
}

#[cfg(test)]
mod tests;
