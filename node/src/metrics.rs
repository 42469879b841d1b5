//! What this node measures of itself, as text for Prometheus: counts and times kept since it was started, and a sheet of what
//! is read when somebody asks.
//!
//! Every label has few values: words of ours, routes, and members of the mesh.

use std::fmt;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use beadmesh_protocol::clock::Wall;
use beadmesh_store::command::{ClaimAnswer, ClaimState};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::api::Problem;
use crate::clock;
use crate::core::Meter;

mod classic;
mod process;
mod sheet;

pub(crate) use process::Process;
pub(crate) use sheet::{Sheet, Title};

/// What the names of all our families begin with.
const PREFIX: &str = "beadmesh";

/// What may become of a claim.
const OUTCOMES: [&str; 5] = ["held", "tentative", "lost", "refused", "failed"];

/// One label with its value.
type Label = [(&'static str, String); 1];

/// Times of requests, one for each route.
type Times = Family<Label, Histogram, fn() -> Histogram>;

/// How measures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// As OpenMetrics 1.0 has it.
    Open,
    /// As Prometheus had it before, and still reads it.
    Classic,
}

/// The counts and times.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<[(&'static str, String); 3], Counter>,
    request_seconds: Times,
    claims: Family<Label, Counter>,
    claim_seconds: Histogram,
    /// When this process was started.
    started_at: Wall,
}

impl Metrics {
    /// Begins to count; shows what the replica's thread counts as well.
    pub(crate) fn new(core: &Meter) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", version);
        core.register(&mut registry);
        let (requests, claims): (_, Family<Label, Counter>) = (Family::default(), Family::default());
        for outcome in OUTCOMES {
            // From the first look on, so that the first refusal is seen to be one more.
            drop(claims.get_or_create(&[("outcome", outcome.to_owned())]));
        }
        let request_seconds: Times =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 9)));
        let claim_seconds = Histogram::new(exponential_buckets(0.005, 2.0, 12));
        registry.register("api_requests", "Requests answered, over the socket and TCP", Family::clone(&requests));
        let help = "Time until the head of an answer was there";
        registry.register_with_unit("api_request", help, Unit::Seconds, request_seconds.clone());
        let help = "Claims that agents of this node were answered, by what became of them";
        registry.register("claims_answered", help, Family::clone(&claims));
        let help = "Time until a claim that does not wait for others was answered";
        registry.register_with_unit("claim", help, Unit::Seconds, claim_seconds.clone());
        Self { registry, requests, request_seconds, claims, claim_seconds, started_at: clock::wall() }
    }

    /// Returns when this process was started.
    pub(crate) fn started_at(&self) -> Wall {
        self.started_at
    }

    /// Takes note of a request that was answered; `route` is a pattern of ours and no path.
    pub(crate) fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let known =
            [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&[("route", route.to_owned())]).observe(took.as_secs_f64());
    }

    /// Takes note of what a claim came to; how long that took says something unless it was to wait for others.
    pub(crate) fn claim(&self, answer: &Result<ClaimAnswer, Problem>, took: Option<Duration>) {
        let outcome = match answer {
            Ok(claim) => match claim.state {
                ClaimState::Held { .. } | ClaimState::Shown { .. } => "held",
                ClaimState::Tentative { .. } | ClaimState::Asking => "tentative",
                ClaimState::Lapsed { .. } | ClaimState::Ended { .. } => "lost",
            },
            Err(problem) if matches!(&*problem.info.code, "held" | "needs_unmet") => "refused",
            Err(_) => "failed",
        };
        self.claims.get_or_create(&[("outcome", outcome.to_owned())]).inc();
        if let Some(took) = took {
            self.claim_seconds.observe(took.as_secs_f64());
        }
    }

    /// Writes what was counted, what was read, and what the network counts.
    ///
    /// # Errors
    /// When a family can not be written, which is a mistake in it.
    pub(crate) fn text(&self, format: Format, sheet: &Sheet, network: Option<&Registry>) -> Result<String, fmt::Error> {
        let mut text = String::new();
        for registry in [&self.registry, sheet.registry()].into_iter().chain(network) {
            encode_registry(&mut text, registry)?;
        }
        encode_eof(&mut text)?;
        Ok(match format {
            Format::Open => text,
            Format::Classic => classic::translated(&text),
        })
    }
}

#[cfg(test)]
mod tests;
