//! Routes on members and invites.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_store::command::{Answer, Command, MemberAnswer, MemberWish, NewInvite};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{Json, Named, Said};
use super::model::{
    self, Empty, FormerMember, INVITE_TTL_S_MAX, INVITE_USES_MAX, InviteBody, InviteRequest, InvitesBody, Member,
    MemberBody, MemberRequest, MembersBody, OpenInvite, RemovedBody, SecretText,
};
use super::{Api, unexpected};

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(members))
        .routes(routes!(change, remove))
        .routes(routes!(leave))
        .routes(routes!(invite, invites))
        .routes(routes!(revoke))
}

/// Lists the members of the mesh, and those who were.
#[utoipa::path(get, path = "/v1/members", tag = "mesh", responses((status = 200, body = model::Answer<MembersBody>)))]
async fn members(State(api): State<Api>) -> Told<MembersBody> {
    match api.core.call(Command::Members).await? {
        Answer::Members(members, former) => Ok(Said(MembersBody {
            members: members.into_iter().map(Member::from).collect(),
            former: former.into_iter().map(FormerMember::from).collect(),
        })),
        other => Err(unexpected(&other)),
    }
}

/// Asks the replica for the members, for routes that name some.
pub(super) async fn ask_members(api: &Api) -> Result<Vec<MemberAnswer>, Problem> {
    match api.core.call(Command::Members).await? {
        Answer::Members(members, _) => Ok(members),
        other => Err(unexpected(&other)),
    }
}

/// Gives a member another role or name.
#[utoipa::path(patch, path = "/v1/members/{name}", tag = "mesh", params(("name" = String, Path)),
    request_body = MemberRequest, responses((status = 200, body = model::Answer<MemberBody>)))]
async fn change(State(api): State<Api>, node: Named, Json(request): Json<MemberRequest>) -> Told<MemberBody> {
    let wish = match request {
        MemberRequest { role: Some(role), name: None } => MemberWish::Role(node.0, role),
        MemberRequest { role: None, name: Some(name) } => MemberWish::Rename(node.0, name),
        _ => return Err(Problem::invalid("role", "either a role or a name is given", "send one of the two")),
    };
    match api.core.call(Command::Member(wish)).await? {
        Answer::Member(member) => Ok(Said(MemberBody { member: Member::from(*member) })),
        other => Err(unexpected(&other)),
    }
}

/// Removes a member: what it has written up to now stays, and nothing that it writes from now on has effect.
#[utoipa::path(delete, path = "/v1/members/{name}", tag = "mesh", params(("name" = String, Path)),
    responses((status = 200, body = model::Answer<RemovedBody>)))]
async fn remove(State(api): State<Api>, node: Named) -> Told<RemovedBody> {
    part(&api, MemberWish::Remove(node.0)).await
}

/// Takes this node out of the mesh.
#[utoipa::path(post, path = "/v1/leave", tag = "mesh", request_body = Empty,
    responses((status = 200, body = model::Answer<RemovedBody>)))]
async fn leave(State(api): State<Api>, Json(Empty {}): Json<Empty>) -> Told<RemovedBody> {
    part(&api, MemberWish::Leave).await
}

async fn part(api: &Api, wish: MemberWish) -> Told<RemovedBody> {
    match api.core.call(Command::Member(wish)).await? {
        Answer::Removed(removed) => Ok(Said(RemovedBody { removed: FormerMember::from(*removed) })),
        other => Err(unexpected(&other)),
    }
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
    let InviteRequest { ttl_s, uses, role } = request;
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
    let new = NewInvite { ttl: Duration::from_secs(ttl_s), uses, role, addresses };
    match api.core.call(Command::Invite(new)).await? {
        Answer::Invited(ticket) => {
            let (id, expires_at) = (ticket.secret.invite().to_string(), ticket.expires.to_string());
            Ok(Said(InviteBody { id, ticket: SecretText::new(ticket.to_string()), expires_at, uses, role }))
        }
        other => Err(unexpected(&other)),
    }
}
