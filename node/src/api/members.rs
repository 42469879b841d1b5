//! Routes on members.

use axum::extract::State;
use beadmesh_store::command::{Answer, Command, MemberAnswer, MemberWish};
use ed25519_dalek::SigningKey;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{Json, Named, Said};
use super::model::{
    self, Empty, FormerMember, Member, MemberBody, MemberRequest, MembersBody, OwnerRequest, RemovedBody, SecretText,
};
use super::{Api, unexpected};
use crate::home::Home;

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(members))
        .routes(routes!(change, remove))
        .routes(routes!(leave))
        .routes(routes!(own))
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

/// Finds the member that a person means; the rule is the replica's.
pub(super) async fn find_member(api: &Api, name: &str) -> Result<MemberAnswer, Problem> {
    match api.core.call(Command::FindMember(name.to_owned())).await? {
        Answer::Member(member) => Ok(*member),
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

/// Gives the mesh to a member, or takes it for this node with the recovery key.
#[utoipa::path(post, path = "/v1/owner", tag = "mesh", request_body = OwnerRequest,
    responses((status = 200, body = model::Answer<MemberBody>)))]
async fn own(State(api): State<Api>, Json(request): Json<OwnerRequest>) -> Told<MemberBody> {
    let wish = match request {
        OwnerRequest { node: Some(node), recovery_key: None } => MemberWish::Give(node),
        OwnerRequest { node: None, recovery_key: Some(text) } => MemberWish::Take(recovery_key(&text)?),
        _ => return Err(Problem::invalid("node", "either a node or the recovery key is given", "send one of the two")),
    };
    match api.core.call(Command::Member(wish)).await? {
        Answer::Member(member) => Ok(Said(MemberBody { member: Member::from(*member) })),
        other => Err(unexpected(&other)),
    }
}

/// Reads a recovery key.
pub(super) fn recovery_key(text: &SecretText) -> Result<SigningKey, Problem> {
    let hint = "it begins with bmr1 and was shown once, when the mesh was founded";
    let secret = Home::read_recovery(text);
    let secret = secret.ok_or_else(|| Problem::invalid("recovery_key", "this is no recovery key", hint))?;
    Ok(SigningKey::from_bytes(&secret))
}

async fn part(api: &Api, wish: MemberWish) -> Told<RemovedBody> {
    match api.core.call(Command::Member(wish)).await? {
        Answer::Removed(removed) => Ok(Said(RemovedBody { removed: FormerMember::from(*removed) })),
        other => Err(unexpected(&other)),
    }
}
