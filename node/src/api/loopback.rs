//! The API on a TCP port of this machine: who may ask there.
//!
//! The Unix socket is guarded by its mode; a port is not. Any user and any web page of this machine can reach it, so
//! every request has to name this very host, must not come from another page, and has to prove that its user can read
//! the home: by the token that lies there, or by a session that a one-time code has opened in a browser.

mod listener;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use beadmesh_protocol::id::base32;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::error::Problem;
use super::model::{AGENT_TOKEN_HEADER, SecretText};
use crate::refusals::{Refusal, Refusals};

pub(crate) use listener::Listener;

/// How long a code is good for.
pub(crate) const CODE_TTL: Duration = Duration::from_secs(60);

/// How long a browser stays logged in.
const SESSION_TTL: Duration = Duration::from_secs(12 * 3_600);

/// Codes that are good at one time; of more the oldest goes.
const CODES_MAX: usize = 8;

/// Browsers that are logged in at one time; of more the one that logged in first goes.
const SESSIONS_MAX: usize = 16;

/// Bytes of a code or a session's name.
const SECRET_BYTES: usize = 20;

/// Where a code is exchanged.
const LOGIN_PATH: &str = "/login";

/// Where a browser is sent once it is logged in.
const LANDING_PATH: &str = "/v1/status";

/// Says where a request of a browser comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may ask over TCP, and who has proved it.
#[derive(Debug)]
pub(crate) struct Loopback {
    address: SocketAddr,
    token: SecretText,
    passes: Mutex<Passes>,
    refusals: Arc<Refusals>,
}

/// Secrets that are good for a while.
#[derive(Debug, Default)]
struct Passes {
    codes: Vec<Pass>,
    sessions: Vec<Pass>,
}

/// A secret, and until when it is good.
struct Pass {
    secret: Zeroizing<String>,
    until: Instant,
}

/// What becomes of a request that was not refused.
enum Admitted {
    /// It goes on to the API.
    Goes(Box<Request>),
    /// The browser that sent it is logged in, under this name of a session.
    LoggedIn(Zeroizing<String>),
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
    /// Guards the address that is listened on with the token of the home.
    pub(crate) fn new(address: SocketAddr, token: SecretText, refusals: Arc<Refusals>) -> Self {
        Self { address, token, passes: Mutex::default(), refusals }
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
        let code = secret()?;
        let url = SecretText::new(format!("{}{LOGIN_PATH}?code={}", self.url(), code.as_str()));
        self.passes().codes.push(Pass { secret: code, until: now + CODE_TTL });
        self.prune(now);
        Ok(url)
    }

    /// Decides on a request, the cheap checks first.
    fn admit(&self, request: Request, now: Instant) -> Result<Admitted, (Refusal, Problem)> {
        self.check_host(&request).map_err(|problem| (Refusal::ApiHost, problem))?;
        self.check_origin(request.headers()).map_err(|problem| (Refusal::ApiOrigin, problem))?;
        self.prune(now);
        if request.uri().path() == LOGIN_PATH && request.method() == Method::GET {
            let session = self.exchange(request.uri().query().unwrap_or_default(), now);
            return session.map(Admitted::LoggedIn).map_err(|problem| (Refusal::ApiCode, problem));
        }
        self.check_proof(request.method(), request.headers())?;
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

    fn check_proof(&self, method: &Method, headers: &HeaderMap) -> Result<(), (Refusal, Problem)> {
        if let Some(bearer) = headers.get(header::AUTHORIZATION) {
            let token = bearer.to_str().ok().and_then(|text| text.split_once(' '));
            let is_right = token.is_some_and(|(scheme, token)| {
                let kept = self.token.reveal().as_bytes();
                scheme.eq_ignore_ascii_case("bearer") && bool::from(kept.ct_eq(token.trim().as_bytes()))
            });
            return if is_right { Ok(()) } else { Err((Refusal::ApiProof, unproven())) };
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let name = self.cookie();
        let sessions = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
            let (key, value) = cookie.trim().split_once('=')?;
            (key == name).then_some(value)
        });
        let passes = self.passes();
        let is_logged_in = sessions.fold(Choice::from(0), |found, session| found | is_among(&passes.sessions, session));
        if !bool::from(is_logged_in) {
            return Err((Refusal::ApiProof, unproven()));
        }
        // Another port of this host is the same site to a browser, and its cookies come along: who changes something has
        // to say where it comes from, which browsers do and pages can not prevent.
        let is_safe = matches!(*method, Method::GET | Method::HEAD);
        if is_safe || headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let hint = "browsers send the header by themselves; a program uses the token instead";
        let message = "a request of a browser that changes something has to say where it comes from";
        Err((Refusal::ApiOrigin, Problem::new(StatusCode::FORBIDDEN, "wrong_origin", message, hint)))
    }

    /// Takes a code for a session; a code is gone with its first use.
    fn exchange(&self, query: &str, now: Instant) -> Result<Zeroizing<String>, Problem> {
        let code = query.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap_or_default();
        let session = secret()?;
        let mut passes = self.passes();
        let before = passes.codes.len();
        passes.codes.retain(|pass| !bool::from(pass.is(code)));
        if passes.codes.len() == before {
            let message = "the code is wrong, has been used, or is older than a minute";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "bad_code", message, "`beadmesh login` prints another"));
        }
        passes.sessions.push(Pass { secret: session.clone(), until: now + SESSION_TTL });
        Ok(session)
    }

    /// Returns the name of the cookie: cookies go by host alone, and another node may use another port.
    fn cookie(&self) -> String {
        format!("beadmesh_{}", self.address.port())
    }

    fn is_here(&self, authority: &str) -> bool {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(80)),
        };
        let is_host = ["127.0.0.1", "localhost", "[::1]"].iter().any(|known| host.eq_ignore_ascii_case(known));
        is_host && port == Some(self.address.port())
    }

    /// Forgets what is over, and the oldest of too many.
    fn prune(&self, now: Instant) {
        let Passes { codes, sessions } = &mut *self.passes();
        for (passes, most) in [(codes, CODES_MAX), (sessions, SESSIONS_MAX)] {
            passes.retain(|pass| pass.until > now);
            let spare = passes.len().saturating_sub(most);
            passes.drain(..spare);
        }
    }

    fn passes(&self) -> MutexGuard<'_, Passes> {
        // Nothing panics while it is held.
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logged_in(&self, session: &str) -> Response {
        let cookie = format!(
            "{}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}",
            self.cookie(),
            SESSION_TTL.as_secs()
        );
        let headers = [
            (header::LOCATION, LANDING_PATH.to_owned()),
            (header::SET_COOKIE, cookie),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        (StatusCode::SEE_OTHER, headers).into_response()
    }
}

/// Lets a request on to the API, or answers it with why not.
pub(crate) async fn guard(State(loopback): State<Arc<Loopback>>, request: Request, next: Next) -> Response {
    let mut response = match loopback.admit(request, Instant::now()) {
        Ok(Admitted::Goes(request)) => next.run(*request).await,
        Ok(Admitted::LoggedIn(session)) => loopback.logged_in(&session),
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
    headers.remove(header::COOKIE);
    if let Some(token) = headers.remove(AGENT_TOKEN_HEADER)
        && let Ok(mut bearer) = HeaderValue::from_bytes(&[b"Bearer ", token.as_bytes()].concat())
    {
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    request
}

fn unproven() -> Problem {
    let hint = "a program sends `authorization: Bearer` and what api.token in the home holds; a browser opens what \
                `beadmesh login` prints";
    Problem::new(StatusCode::UNAUTHORIZED, "unproven", "who asks here has to prove that it may", hint)
}

fn secret() -> Result<Zeroizing<String>, Problem> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| Problem::internal("the system has no random numbers"))?;
    Ok(Zeroizing::new(base32(bytes.as_slice())))
}

fn is_among(passes: &[Pass], secret: &str) -> Choice {
    passes.iter().fold(Choice::from(0), |found, pass| found | pass.is(secret))
}

impl Pass {
    /// Returns whether this is the secret; how long that takes tells nothing but its length.
    fn is(&self, secret: &str) -> Choice {
        self.secret.as_bytes().ct_eq(secret.as_bytes())
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("until", &self.until).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
