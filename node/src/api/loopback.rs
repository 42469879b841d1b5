//! The API on a TCP port of this machine: who may ask there.
//!
//! The Unix socket is guarded by its mode; a port is not. Any user and any web page of this machine can reach it, so
//! every request has to name this very host, must not come from another page, and has to prove that its user can read
//! the home: by the token that lies there, or by a session that a one-time code has opened in a browser. Both are borne in
//! a header, never in a cookie: cookies know no ports, and another user of this machine may listen on the next one.

mod listener;
mod page;
mod passes;
mod server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::{Choice, ConstantTimeEq};

use super::error::Problem;
use super::metrics::{HEALTHY_PATH, METRICS_PATH, READY_PATH};
use super::model::{AGENT_TOKEN_HEADER, SecretText, SessionBody};
use crate::refusals::{Refusal, Refusals};

pub(crate) use listener::{Listener, Patience};
pub(crate) use passes::CODE_TTL;
use passes::{Passes, SESSION_TTL};
pub(crate) use server::serve;

/// Says where a request of a browser comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the token of whoever watches is good for.
const WATCHED_PATHS: [&str; 3] = [METRICS_PATH, HEALTHY_PATH, READY_PATH];

/// Who may ask over TCP, and who has proved it.
#[derive(Debug)]
pub(crate) struct Loopback {
    address: SocketAddr,
    tokens: Tokens,
    passes: Mutex<Passes>,
    refusals: Arc<Refusals>,
}

/// What lies in the home for programs of its user.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Good for everything.
    pub(crate) api: SecretText,
    /// Good for watching alone, so that it may be handed to a program that does nothing else.
    pub(crate) metrics: SecretText,
}

/// What becomes of a request that was not refused.
enum Admitted {
    /// It goes on to the API.
    Goes(Box<Request>),
    /// It asks for the page on which a browser logs in.
    Page,
    /// It asks for the script of that page.
    Script,
    /// It brought a code, for which its sender gets this session.
    LoggedIn(SecretText),
}

/// Why an address is none that the API listens on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is no address with a port.
    #[error("{0:?} is not an address and a port, such as 127.0.0.1:7118")]
    Form(String),
    /// Other machines could reach it.
    #[error("{0} is not of this machine alone; the API is for it alone: give 127.0.0.1, localhost or [::1]")]
    NotLoopback(IpAddr),
}

/// Reads the address that the API is to listen on over TCP: of this machine alone; `localhost` is 127.0.0.1.
///
/// # Errors
///
/// Refuses what is no address with a port, and what other machines could reach.
pub fn parse_address(text: &str) -> Result<SocketAddr, AddressError> {
    let form = || AddressError::Form(text.to_owned());
    let address = match text.strip_prefix("localhost:") {
        Some(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().map_err(|_| form())?)),
        None => text.parse().map_err(|_| form())?,
    };
    let ip = address.ip();
    if ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || (ip.is_ipv6() && ip.is_loopback()) {
        return Ok(address);
    }
    Err(AddressError::NotLoopback(ip))
}

impl Loopback {
    /// Guards the address that is listened on with the tokens of the home.
    pub(crate) fn new(address: SocketAddr, tokens: Tokens, refusals: Arc<Refusals>) -> Self {
        Self { address, tokens, passes: Mutex::default(), refusals }
    }

    /// Returns where a browser or a program finds the API.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns where a browser logs in, one time and soon.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(crate) fn invite(&self, now: Instant) -> Result<SecretText, Problem> {
        let code = self.passes().invite(now).map_err(|_| no_random())?;
        // What stands behind a # is for the page alone: a browser sends it to nobody.
        Ok(SecretText::new(format!("{}{}#{}", self.url(), page::PATH, code.as_str())))
    }

    /// Decides on a request, the cheap checks first.
    fn admit(&self, request: Request, now: Instant) -> Result<Admitted, (Refusal, Problem)> {
        self.check_host(&request).map_err(|problem| (Refusal::ApiHost, problem))?;
        self.check_origin(request.headers()).map_err(|problem| (Refusal::ApiOrigin, problem))?;
        match (request.method(), request.uri().path()) {
            (&Method::GET, page::PATH) => return Ok(Admitted::Page),
            (&Method::GET, page::SCRIPT_PATH) => return Ok(Admitted::Script),
            (&Method::POST, page::PATH) => {
                let session = self.exchange(borne(request.headers()).unwrap_or_default(), now);
                return session.map(Admitted::LoggedIn).map_err(|problem| (Refusal::ApiCode, problem));
            }
            _ => {}
        }
        self.check_proof(&request, now).map_err(|problem| (Refusal::ApiProof, problem))?;
        Ok(Admitted::Goes(Box::new(disclose(request))))
    }

    /// A page that had its own name point here would name that: so one name of this host has to stand there.
    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (host, more) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next().is_some());
        // A request may also carry a whole address in its first line.
        let authority = request.uri().authority();
        let is_ours = host.is_some_and(|host| self.is_here(host))
            && !more
            && authority.is_none_or(|authority| self.is_here(authority.as_str()));
        if is_ours {
            return Ok(());
        }
        let hint = format!("ask {}", self.url());
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong_host",
            "this is not the host that was asked for",
            hint,
        ))
    }

    /// Only pages of this very origin may ask, and what is no page at all.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let is_here = |origin: &HeaderValue| {
            let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            origin.is_some_and(|authority| self.is_here(authority))
        };
        let is_near = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
        if headers.get_all(header::ORIGIN).iter().all(is_here) && headers.get_all(FETCH_SITE).iter().all(is_near) {
            return Ok(());
        }
        let hint = format!("open {} itself", self.url());
        Err(Problem::new(StatusCode::FORBIDDEN, "wrong_origin", "a page of another origin may not ask here", hint))
    }

    /// The token of the home or a session has to be borne in a header, which no browser sends by itself.
    fn check_proof(&self, request: &Request, now: Instant) -> Result<(), Problem> {
        let proof = borne(request.headers()).unwrap_or_default();
        let is = |token: &SecretText| token.reveal().as_bytes().ct_eq(proof.as_bytes());
        let is_watching = request.method() == Method::GET && WATCHED_PATHS.contains(&request.uri().path());
        let is_watcher = is(&self.tokens.metrics) & Choice::from(u8::from(is_watching));
        if bool::from(is(&self.tokens.api) | is_watcher | self.passes().is_session(proof, now)) {
            return Ok(());
        }
        let hint = "a program sends `authorization: Bearer` and what api.token in the home holds; a browser opens what \
                    `beadmesh login` prints";
        Err(Problem::new(StatusCode::UNAUTHORIZED, "unproven", "who asks here has to prove that it may", hint))
    }

    fn exchange(&self, code: &str, now: Instant) -> Result<SecretText, Problem> {
        let session = self.passes().exchange(code, now).map_err(|_| no_random())?;
        let session = session.map(|session| SecretText::new(session.to_string()));
        session.ok_or_else(|| {
            let message = "the code is wrong, has been used, or is older than a minute";
            Problem::new(StatusCode::UNAUTHORIZED, "bad_code", message, "`beadmesh login` prints another")
        })
    }

    fn is_here(&self, authority: &str) -> bool {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(80)),
        };
        let is_host = ["127.0.0.1", "localhost", "[::1]"].iter().any(|known| host.eq_ignore_ascii_case(known));
        is_host && port == Some(self.address.port())
    }

    fn passes(&self) -> MutexGuard<'_, Passes> {
        // Nothing panics while it is held.
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a request on to the API, or answers it with why not.
pub(crate) async fn guard(State(loopback): State<Arc<Loopback>>, request: Request, next: Next) -> Response {
    let mut response = match loopback.admit(request, Instant::now()) {
        Ok(Admitted::Goes(request)) => next.run(*request).await,
        Ok(Admitted::Page) => page::page(),
        Ok(Admitted::Script) => page::script(),
        Ok(Admitted::LoggedIn(session)) => page::session(SessionBody { session, ttl_s: SESSION_TTL.as_secs() }),
        Err((refusal, problem)) => {
            loopback.refusals.count(refusal);
            problem.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// Takes off what proved the right to ask, and puts the proof of who asks where the API looks for it.
fn disclose(mut request: Request) -> Request {
    let headers = request.headers_mut();
    headers.remove(header::AUTHORIZATION);
    if let Some(token) = headers.remove(AGENT_TOKEN_HEADER)
        && let Ok(mut bearer) = HeaderValue::from_bytes(&[b"Bearer ", token.as_bytes()].concat())
    {
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    request
}

/// Returns what a request bears as proof.
fn borne(headers: &HeaderMap) -> Option<&str> {
    let (scheme, proof) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| proof.trim())
}

fn no_random() -> Problem {
    Problem::internal("the system has no random numbers")
}

#[cfg(test)]
mod tests;
