//! Routes on invites, and on the nodes that wait to be approved.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_store::command::{Answer, Command, NewInvite};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{Json, Named, Said};
use super::model::{
    self, Applicant, ApplicantsBody, Empty, INVITE_TTL_S_MAX, INVITE_USES_MAX, InviteBody, InviteRequest, InvitesBody,
    Member, MemberBody, OpenInvite, SecretText,
};
use super::{Api, unexpected};

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(invite, invites))
        .routes(routes!(revoke))
        .routes(routes!(applicants))
        .routes(routes!(approve, deny))
}

/// Lists the invites that this node has opened.
#[utoipa::path(get, path = "/v1/invites", tag = "mesh", responses((status = 200, body = model::Answer<InvitesBody>)))]
async fn invites(State(api): State<Api>) -> Told<InvitesBody> {
    match api.core.call(Command::Invites).await? {
        Answer::Invites(invites) => {
            Ok(Said(InvitesBody { invites: invites.into_iter().map(OpenInvite::from).collect() }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Closes an invite: its ticket lets nobody in any more.
#[utoipa::path(delete, path = "/v1/invites/{name}", tag = "mesh", params(("name" = String, Path)),
    responses((status = 200, body = model::Answer<Empty>)))]
async fn revoke(State(api): State<Api>, invite: Named) -> Told<Empty> {
    match api.core.call(Command::RevokeInvite(invite.0)).await? {
        Answer::Done => Ok(Said(Empty {})),
        other => Err(unexpected(&other)),
    }
}

/// Opens an invite to the mesh.
#[utoipa::path(post, path = "/v1/invites", tag = "mesh", request_body = InviteRequest,
    responses((status = 200, body = model::Answer<InviteBody>)))]
async fn invite(State(api): State<Api>, Json(request): Json<InviteRequest>) -> Told<InviteBody> {
    let InviteRequest { ttl_s, uses, role, approval } = request;
    if !(1..=INVITE_TTL_S_MAX).contains(&ttl_s) {
        let problem = format!("an invite is open for 1 s to {INVITE_TTL_S_MAX} s, which is 30 days");
        return Err(Problem::invalid("ttl_s", problem, "3600 is an hour"));
    }
    if !(1..=INVITE_USES_MAX).contains(&uses) {
        let problem = format!("an invite is good for 1 to {INVITE_USES_MAX} nodes");
        return Err(Problem::invalid("uses", problem, "1 lets one node in"));
    }
    let network = api.network.as_ref().ok_or_else(Problem::no_node)?;
    let addresses = network.handle.listen_addresses();
    if addresses.is_empty() {
        let hint = "start the node with an address to listen on";
        let message = "this node can not be reached: it listens nowhere";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", message, hint));
    }
    let new = NewInvite { ttl: Duration::from_secs(ttl_s), uses, role, approval, addresses };
    match api.core.call(Command::Invite(new)).await? {
        Answer::Invited(ticket) => {
            let (id, expires_at) = (ticket.secret.invite().to_string(), ticket.expires.to_string());
            Ok(Said(InviteBody { id, ticket: SecretText::new(ticket.to_string()), expires_at, uses, role, approval }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Lists the nodes that wait here to be approved.
#[utoipa::path(get, path = "/v1/applicants", tag = "mesh",
    responses((status = 200, body = model::Answer<ApplicantsBody>)))]
async fn applicants(State(api): State<Api>) -> Told<ApplicantsBody> {
    match api.core.call(Command::Applicants).await? {
        Answer::Applicants(applicants) => {
            Ok(Said(ApplicantsBody { applicants: applicants.into_iter().map(Applicant::from).collect() }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Lets in a node that waits, named by its fingerprint.
#[utoipa::path(post, path = "/v1/applicants/{name}", tag = "mesh", params(("name" = String, Path)),
    request_body = Empty, responses((status = 200, body = model::Answer<MemberBody>)))]
async fn approve(State(api): State<Api>, node: Named, Json(Empty {}): Json<Empty>) -> Told<MemberBody> {
    match api.core.call(Command::Approve(node.0)).await? {
        Answer::Member(member) => Ok(Said(MemberBody { member: Member::from(*member) })),
        other => Err(unexpected(&other)),
    }
}

/// Turns away a node that waits, named by its fingerprint.
#[utoipa::path(delete, path = "/v1/applicants/{name}", tag = "mesh", params(("name" = String, Path)),
    responses((status = 200, body = model::Answer<Empty>)))]
async fn deny(State(api): State<Api>, node: Named) -> Told<Empty> {
    match api.core.call(Command::Deny(node.0)).await? {
        Answer::Done => Ok(Said(Empty {})),
        other => Err(unexpected(&other)),
    }
}
