//! The HTTP API: one router, answered on the Unix socket of a node and inside a single command alike.
//!
//! It turns requests into commands and answers into JSON; what is right and wrong is decided by the replica.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;
use beadmesh_store::command::{Answer, Command, ProjectContext};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::extract::Caller;
use self::loopback::Loopback;
use self::model::ProjectRequest;
use crate::attachments::Attachments;
use crate::bans::Bans;
use crate::core::Core;
use crate::home::Home;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::refusals::Refusals;
use crate::telemetry::Telemetry;

mod agents;
mod attachments;
mod backup;
mod bans;
mod beads;
mod containers;
pub mod error;
mod events;
mod export;
mod extract;
mod import;
mod invites;
mod leases;
mod login;
pub(crate) mod loopback;
mod mail;
mod members;
mod mesh;
mod metrics;
pub mod model;
mod placement;
mod telemetry;

pub use beads::PAGE_BEADS;
pub use error::Problem;
pub use extract::BODY_BYTES_MAX;
pub use loopback::{AddressError, parse_address};

/// Beads or letters of a page at most, however many are asked for: the replica serves others in between, and `next` says
/// how to go on.
pub const PAGE_MAX: usize = 1_000;

/// What the routes work with.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// The replica.
    pub(crate) core: Core,
    /// The home.
    pub(crate) home: Arc<Home>,
    /// The contents of attachments.
    pub(crate) attachments: Attachments,
    /// The network; a single command has none.
    pub(crate) network: Option<Network>,
    /// Cancelled when the node is to stop: streams end, and a request to shut down cancels it.
    pub(crate) stop: CancellationToken,
    /// Guards the API on TCP, where it answers there.
    pub(crate) loopback: Option<Arc<Loopback>>,
    /// What is measured.
    pub(crate) metrics: Arc<Metrics>,
    /// What was refused since the start.
    pub(crate) refusals: Arc<Refusals>,
    /// Who is kept out; a single command has no say in it.
    pub(crate) bans: Option<Arc<Bans>>,
    /// What is known of machines; a single command knows of none.
    pub(crate) telemetry: Option<Telemetry>,
    /// What the user of the home is called, where the home does not say.
    pub(crate) human: String,
}

impl Api {
    /// Carries out a command as whoever asks.
    async fn call(&self, caller: Caller, command: Command) -> Result<Answer, Problem> {
        let command = match caller.0 {
            Some(credential) => Command::As(credential, Box::new(command)),
            None => command,
        };
        Ok(self.core.call(command).await?)
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "beadmesh", description = "Beads and mail of a mesh of nodes. Every answer is an object with `schema`. \
        Who acts is told by the headers `beadmesh-agent: NAME` and `authorization: Bearer TOKEN`."),
    tags((name = "beads"), (name = "leases"), (name = "agents"), (name = "mail"), (name = "mesh"), (name = "machines"), (name = "node"))
)]
struct Described;

/// Returns the router, which answers every request with JSON or a stream of it.
pub(crate) fn router(api: Api) -> Router {
    let (router, mut described) = documented().split_for_parts();
    described.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let described = Arc::new(described);
    let measured = Arc::clone(&api.metrics);
    router
        .route("/openapi.json", get(move || async move { axum::Json(described.as_ref().clone()) }))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(measured, metrics::counted))
        .with_state(api)
}

fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Described::openapi())
        .merge(beads::routes())
        .merge(import::routes())
        .merge(export::routes())
        .merge(leases::routes())
        .merge(agents::routes())
        .merge(mail::routes())
        .merge(attachments::routes())
        .merge(backup::routes())
        .merge(members::routes())
        .merge(invites::routes())
        .merge(placement::routes())
        .merge(mesh::routes())
        .merge(login::routes())
        .merge(bans::routes())
        .merge(telemetry::routes())
        .merge(events::routes())
        .merge(metrics::routes())
        .merge(containers::routes())
}

/// Returns the router as it answers over TCP.
pub(crate) fn guarded(router: Router, loopback: Arc<Loopback>) -> Router {
    router.layer(middleware::from_fn_with_state(loopback, loopback::guard))
}

/// Returns how many a page holds, where a query says so (0 for as many as may be) or not.
fn page_size(asked: Option<usize>, default: usize) -> usize {
    match asked {
        None => default,
        Some(0) => PAGE_MAX,
        Some(asked) => asked.min(PAGE_MAX),
    }
}

/// Returns the project that a request names; none where it names none.
fn project_of(request: ProjectRequest) -> Option<ProjectContext> {
    let ProjectRequest { keys, prefix } = request;
    (!keys.is_empty()).then_some(ProjectContext { keys, prefix })
}

/// Returns the project of which keys are named, with whatever prefix it has; none where none is.
fn keyed(keys: Vec<String>) -> Option<ProjectContext> {
    project_of(ProjectRequest { keys, prefix: None })
}

async fn no_route() -> Problem {
    let hint = "/openapi.json lists every route";
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such route", hint)
}

async fn no_method() -> Problem {
    let hint = "/openapi.json lists the methods of each route";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "usage", "the route does not take this method", hint)
}

/// The replica answered something else than it was asked.
fn unexpected(answer: &Answer) -> Problem {
    // Only the kind is told: an answer can hold a ticket.
    let kind = match answer {
        Answer::Status(_) => "status",
        Answer::Members(..) => "members",
        Answer::Member(_) => "a member",
        Answer::Removed(_) => "a removal",
        Answer::Invites(_) => "invites",
        Answer::Applicants(_) => "applicants",
        Answer::Project(_) => "a project",
        Answer::Bead(_) => "a bead",
        Answer::Beads(_) => "beads",
        Answer::Imported(_) => "an import",
        Answer::ExportIndex(_) => "an index",
        Answer::Lines(_) => "lines",
        Answer::Invited(_) => "an invite",
        Answer::JoinDecision(_) => "a decision",
        Answer::Joined { .. } => "a mesh",
        Answer::Membership(_) => "a membership",
        Answer::Measured(_) => "measures",
        Answer::BackupIndex(_) => "an index of entries",
        Answer::Sealed(_) => "entries",
        Answer::TakenBack(_) => "what became of entries",
        Answer::Checked(_) => "findings",
        Answer::Rebuilt { .. } => "a rebuild",
        Answer::Registered { .. } => "a registered agent",
        Answer::Agent(_) => "an agent",
        Answer::Agents(_) => "agents",
        Answer::Letter(_) => "a letter",
        Answer::Letters(_) => "letters",
        Answer::Thread(_) => "a thread",
        Answer::Unread(_) => "a count of unread letters",
        Answer::MailExport(_) => "all mail",
        Answer::Claim(_) => "a claim",
        Answer::Claims(_) => "claims",
        Answer::Paths(_) => "what is in the way of paths",
        Answer::Voters(_) => "voters",
        Answer::BlobUses(_) => "who carries blobs",
        Answer::Done => "done",
    };
    Problem::internal(format!("the replica answered {kind} to another question"))
}

#[cfg(test)]
mod tests;
