//! Asks the node: over its socket, or, where none runs, the same router within this process.
//!
//! The rest of the program does not see which of the two answers.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use beadmesh_node::Local;
use beadmesh_node::api::model::Answer;
use beadmesh_node::home::Home;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::failure::{Exit, Failure};
use crate::identity::Identity;

mod events;
mod local;

pub(crate) use events::Events;
pub(crate) use local::{config, failure, home_failure};

/// How long a node may take to accept a connection; it does so at once unless its machine is in trouble.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// How long an ordinary answer may take; joining a mesh over a slow line is the longest.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// How long a node may be silent before it is asked whether it answers anything at all, and how long it may take over that.
const SILENCE: Duration = Duration::from_secs(3);
const SIGN_PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of an answer that is kept in memory: a list of 100,000 beads with long texts fits.
const ANSWER_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Bytes of an error that is read.
const ERROR_BYTES_MAX: usize = 1024 * 1024;

/// Who answers.
pub(crate) struct Client {
    way: Way,
    /// What tells who acts; empty where nobody is said to.
    headers: HeaderMap,
}

/// Whether a home that is not there yet may be begun, with a mesh of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Founding {
    /// For commands that make what they speak of.
    Allowed,
    /// For commands that look at something: where nothing is, that is the answer.
    Refused,
}

enum Way {
    /// A running node, that of a home.
    Socket(SendRequest<Body>, PathBuf),
    /// This process.
    Within(Router),
}

impl Client {
    /// Returns who answers for this home: the node that runs there, or else this process.
    ///
    /// A store that is opened here is put into `held`, for the caller to close in the end.
    ///
    /// # Errors
    ///
    /// Fails when the node does not answer, the store cannot be opened, or there is none and none may be made.
    pub(crate) async fn open(home: &Path, founding: Founding, held: &mut Option<Local>) -> Result<Self, Failure> {
        if let Some(stream) = connect(home).await? {
            return Self::over(stream, home).await;
        }
        if founding == Founding::Refused && !Home::is_begun(home) {
            return Err(Failure::no_home(home));
        }
        match local::open(home).await? {
            local::Found::Node(stream) => Self::over(stream, home).await,
            local::Found::Local(local) => Ok(Self::within(held.insert(*local).router.clone())),
        }
    }

    /// Returns a client of a router in this process.
    pub(crate) fn within(router: Router) -> Self {
        Self { way: Way::Within(router), headers: HeaderMap::new() }
    }

    /// Tells with everything that is asked from now on who asks.
    ///
    /// # Errors
    ///
    /// Fails when the token cannot be sent.
    pub(crate) fn act_as(&mut self, identity: &Identity) -> Result<(), Failure> {
        self.headers = identity.headers()?;
        Ok(())
    }

    /// Returns the node that runs in this home.
    ///
    /// # Errors
    ///
    /// Fails when none runs there.
    pub(crate) async fn open_node(home: &Path) -> Result<Self, Failure> {
        match connect(home).await? {
            Some(stream) => Self::over(stream, home).await,
            None if Home::is_begun(home) => Err(Failure::no_node()),
            None => Err(Failure::no_home(home)),
        }
    }

    /// Returns whether this process answers, because no node is running.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.way, Way::Within(_))
    }

    async fn over(stream: UnixStream, home: &Path) -> Result<Self, Failure> {
        let shaken = timeout(CONNECT_PATIENCE, handshake(TokioIo::new(stream))).await;
        let (sender, connection) = shaken.map_err(|_| silent())?.map_err(|error| broken(&error))?;
        // The connection ends with the process; what goes wrong on it reaches the request that waits.
        tokio::spawn(connection);
        Ok(Self { way: Way::Socket(sender, home.to_owned()), headers: HeaderMap::new() })
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Body::empty()).await
    }

    /// Sends a wish.
    pub(crate) async fn post<T: DeserializeOwned>(&mut self, path: &str, wish: &impl Serialize) -> Result<T, Failure> {
        self.ask(Method::POST, path, written(wish)?).await
    }

    /// Sends a wish that is answered within a time of its own.
    pub(crate) async fn post_within<T: DeserializeOwned>(
        &mut self,
        path: &str,
        wish: &impl Serialize,
        patience: Duration,
    ) -> Result<T, Failure> {
        let request = request(Method::POST, path, "application/json", written(wish)?)?;
        let home = self.home();
        let answer = timeout(patience, async { read(self.send(request).await?).await });
        unless_hung(home, answer).await?.map_err(|_| slow(patience))?
    }

    /// Sends a wish that takes as long as there is much stored.
    pub(crate) async fn post_slow<T: DeserializeOwned>(
        &mut self,
        path: &str,
        wish: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = request(Method::POST, path, "application/json", written(wish)?)?;
        let home = self.home();
        unless_hung(home, async { read(self.send(request).await?).await }).await?
    }

    /// Sends a change.
    pub(crate) async fn patch<T: DeserializeOwned>(&mut self, path: &str, wish: &impl Serialize) -> Result<T, Failure> {
        self.ask(Method::PATCH, path, written(wish)?).await
    }

    /// Sends a removal.
    pub(crate) async fn delete<T: DeserializeOwned>(
        &mut self,
        path: &str,
        wish: &impl Serialize,
    ) -> Result<T, Failure> {
        self.ask(Method::DELETE, path, written(wish)?).await
    }

    /// Sends a stream of a media type and of any length, and waits for the answer as long as it takes.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &mut self,
        path: &str,
        kind: &'static str,
        body: Body,
    ) -> Result<T, Failure> {
        let response = self.send(request(Method::POST, path, kind, body)?).await?;
        read(response).await
    }

    /// Asks for a stream of any length; an answer that is no success is an error already.
    pub(crate) async fn download(&mut self, path: &str) -> Result<Body, Failure> {
        self.stream(request(Method::GET, path, "application/json", Body::empty())?).await
    }

    /// Asks for a stream that the node may have to fetch from another one first; it says when it gives up.
    pub(crate) async fn download_slow(&mut self, path: &str) -> Result<Body, Failure> {
        let request = request(Method::GET, path, "application/json", Body::empty())?;
        opened(self.send(request).await?).await
    }

    /// Sends a wish that is answered by a stream of any length.
    pub(crate) async fn post_stream(&mut self, path: &str, wish: &impl Serialize) -> Result<Body, Failure> {
        self.stream(request(Method::POST, path, "application/json", written(wish)?)?).await
    }

    async fn stream(&mut self, request: Request<Body>) -> Result<Body, Failure> {
        let home = self.home();
        let response = unless_hung(home, timeout(ANSWER_PATIENCE, self.send(request))).await?;
        let response = response.map_err(|_| slow(ANSWER_PATIENCE))??;
        opened(response).await
    }

    async fn ask<T: DeserializeOwned>(&mut self, method: Method, path: &str, body: Body) -> Result<T, Failure> {
        let request = request(method, path, "application/json", body)?;
        let home = self.home();
        let answer = timeout(ANSWER_PATIENCE, async { read(self.send(request).await?).await });
        unless_hung(home, answer).await?.map_err(|_| slow(ANSWER_PATIENCE))?
    }

    /// Returns the home of the node that is asked.
    fn home(&self) -> Option<PathBuf> {
        match &self.way {
            Way::Socket(_, home) => Some(home.clone()),
            Way::Within(_) => None,
        }
    }

    async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
        request.headers_mut().extend(self.headers.clone());
        match &mut self.way {
            Way::Within(router) => router.clone().oneshot(request).await.map_err(|never| match never {}),
            Way::Socket(sender, _) => {
                sender.ready().await.map_err(|error| broken(&error))?;
                let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
                Ok(response.map(Body::new))
            }
        }
    }
}

/// Waits for something of the node of a home, as long as that shows a sign of life.
async fn unless_hung<T>(home: Option<PathBuf>, answer: impl Future<Output = T>) -> Result<T, Failure> {
    let mut answer = pin!(answer);
    let Some(home) = home else { return Ok(answer.await) };
    if let Ok(answer) = timeout(SILENCE, &mut answer).await {
        return Ok(answer);
    }
    // It may be at long work, and the answer may come while it is asked.
    let asked = async {
        match hung(&home, SIGN_PATIENCE).await {
            Some(failure) => failure,
            None => pending().await,
        }
    };
    tokio::select! {
        answer = &mut answer => Ok(answer),
        failure = asked => Err(failure),
    }
}

/// Returns that a node answers nothing, and which process that is; nothing where it shows a sign of life.
async fn hung(home: &Path, patience: Duration) -> Option<Failure> {
    let sign = async {
        let mut client = Client::over(connect(home).await?.ok_or_else(silent)?, home).await?;
        client.send(request(Method::HEAD, "/openapi.json", "application/json", Body::empty())?).await
    };
    match timeout(patience, sign).await {
        Ok(_) => None,
        Err(_) => {
            let holder = Home::at(home).holder();
            let node = if holder.is_empty() { "the node".to_owned() } else { format!("the node, process {holder},") };
            let failure = Failure::timeout(format!("{node} answers nothing"));
            Some(failure.hint(
                "look what it does: it may be stopped (`kill -CONT`) or wait for a disk; a wish may still be done",
            ))
        }
    }
}

/// Connects to the node of a home; `None` when nobody listens there.
async fn connect(home: &Path) -> Result<Option<UnixStream>, Failure> {
    // The path alone: opening the home in full is the business of whoever works in it.
    let socket = home.join("node.sock");
    match timeout(CONNECT_PATIENCE, UnixStream::connect(&socket)).await {
        Ok(Ok(stream)) => Ok(Some(stream)),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let failure = Failure::new(Exit::Refused, "refused", format!("{} is not yours", socket.display()));
            Err(failure.caused_by(&error).hint("run as the user whose node it is, or set BEADMESH_HOME"))
        }
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(silent()),
    }
}

/// Returns where the node keeps its things: the directory given, or the usual one.
///
/// # Errors
///
/// Fails when neither is known.
pub(crate) fn home_directory(given: Option<&Path>) -> Result<std::path::PathBuf, Failure> {
    match given.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) => std::path::absolute(path).map_err(|error| Failure::io("--home names no directory", &error)),
        None => Home::resolve().map_err(|error| home_failure(&error)),
    }
}

/// Opens the home, making it where it is missing.
///
/// # Errors
///
/// Fails when it cannot be used safely.
pub(crate) fn open_home(directory: &Path) -> Result<Home, Failure> {
    Home::open(directory).map_err(|error| home_failure(&error))
}

fn request(method: Method, path: &str, kind: &'static str, body: Body) -> Result<Request<Body>, Failure> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::HOST, "localhost").header(header::CONTENT_TYPE, kind).body(body);
    request.map_err(|error| Failure::usage("this cannot be asked").caused_by(&error))
}

fn written(wish: &impl Serialize) -> Result<Body, Failure> {
    let bytes = serde_json::to_vec(wish);
    bytes.map(Body::from).map_err(|error| Failure::usage("this cannot be sent").caused_by(&error))
}

/// Returns the stream of an answer that is a success.
async fn opened(response: Response<Body>) -> Result<Body, Failure> {
    if response.status().is_success() { Ok(response.into_body()) } else { Err(refusal(response).await) }
}

/// Reads an answer whole.
async fn read<T: DeserializeOwned>(response: Response<Body>) -> Result<T, Failure> {
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = bytes.map_err(|error| cut_short(&*error))?.to_bytes();
    let answer = serde_json::from_slice::<Answer<T>>(&bytes).map_err(|error| {
        let failure = Failure::new(Exit::Failed, "internal", "the node's answer is not understood");
        failure.caused_by(&error).hint("run the same version as the node: `beadmesh status --json` names it")
    })?;
    Ok(answer.body)
}

/// Reads an answer that is no success.
async fn refusal(response: Response<Body>) -> Failure {
    let status: StatusCode = response.status();
    match Limited::new(response.into_body(), ERROR_BYTES_MAX).collect().await {
        Ok(body) => Failure::from_answer(status, &body.to_bytes()),
        Err(_) => Failure::from_answer(status, &[]),
    }
}

/// Returns that an answer ended before it was whole.
pub(crate) fn cut_short(error: &(dyn std::error::Error + 'static)) -> Failure {
    let failure = Failure::new(Exit::Failed, "internal", "the answer ended too early");
    failure.caused_by(error).hint("the node may have stopped: its log says why")
}

fn broken(error: &hyper::Error) -> Failure {
    let failure = Failure::new(Exit::Failed, "internal", "the node closed the connection before it answered");
    failure.caused_by(error).hint("look into the node's log, then try again: what was stored is kept")
}

fn silent() -> Failure {
    Failure::timeout("the node does not answer").hint("look what it does, or stop it and run `beadmesh up` again")
}

fn slow(patience: Duration) -> Failure {
    let failure = Failure::timeout(format!("no answer within {} s", patience.as_secs()));
    failure.hint("it may still be done: look before trying again")
}

#[cfg(test)]
pub(crate) mod tests;
