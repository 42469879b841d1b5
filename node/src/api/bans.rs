//! Routes on who this node has nothing to do with.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::NodeId;
use beadmesh_store::command::MemberAnswer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::error::Problem;
use super::extract::{Json, Said};
use super::members::{ask_members, find_member};
use super::model::{self, BAN_S_MAX, Ban, BanRequest, BansBody, UnbanRequest};
use crate::bans::{BanError, Bans};

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, ban, unban))
}

/// Lists the nodes that this one has nothing to do with.
#[utoipa::path(get, path = "/v1/bans", tag = "mesh", responses((status = 200, body = model::Answer<BansBody>)))]
async fn list(State(api): State<Api>) -> Told<BansBody> {
    let bans = bans(&api)?;
    told(bans, &ask_members(&api).await?)
}

/// Ends the links to a node and keeps it out, for a while or for good.
#[utoipa::path(post, path = "/v1/bans", tag = "mesh", request_body = BanRequest,
    responses((status = 200, body = model::Answer<BansBody>)))]
async fn ban(State(api): State<Api>, Json(request): Json<BanRequest>) -> Told<BansBody> {
    let BanRequest { node, for_s } = request;
    if for_s.is_some_and(|span| !(1..=BAN_S_MAX).contains(&span)) {
        let problem = format!("a node is kept out for 1 s to {BAN_S_MAX} s, which is a year, or for good");
        return Err(Problem::invalid("for_s", problem, "3600 is an hour; leave it out to keep it out for good"));
    }
    let bans = bans(&api)?;
    let members = ask_members(&api).await?;
    let node = find(&api, &node).await?;
    if members.iter().any(|member| member.here && member.node == node) {
        return Err(Problem::invalid(
            "node",
            "this is the node itself",
            "name another node; `beadmesh peers` lists them",
        ));
    }
    bans.ban(node, for_s.map(Duration::from_secs)).map_err(|error| match error {
        BanError::Full => {
            let hint = "let some in again with `beadmesh peers unban`";
            Problem::new(StatusCode::CONFLICT, "conflict", error.to_string(), hint)
        }
        BanError::Home(error) => Problem::from(error),
    })?;
    told(bans, &members)
}

/// Lets a node in again.
#[utoipa::path(delete, path = "/v1/bans", tag = "mesh", request_body = UnbanRequest,
    responses((status = 200, body = model::Answer<BansBody>)))]
async fn unban(State(api): State<Api>, Json(request): Json<UnbanRequest>) -> Told<BansBody> {
    let bans = bans(&api)?;
    let members = ask_members(&api).await?;
    let node = find(&api, &request.node).await?;
    if !bans.unban(node)? {
        let hint = "`beadmesh peers` lists who is kept out";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "that node is not kept out", hint));
    }
    told(bans, &members)
}

fn bans(api: &Api) -> Result<&Bans, Problem> {
    api.bans.as_deref().ok_or_else(Problem::no_node)
}

/// Finds a node by its id, member or not, or as any member is found.
async fn find(api: &Api, text: &str) -> Result<NodeId, Problem> {
    match text.trim().parse() {
        Ok(node) => Ok(node),
        Err(_) => Ok(find_member(api, text).await?.node),
    }
}

fn told(bans: &Bans, members: &[MemberAnswer]) -> Told<BansBody> {
    let names: BTreeMap<NodeId, &str> = members.iter().map(|member| (member.node, member.name.as_str())).collect();
    let ban = |(node, until): (NodeId, Option<Wall>)| Ban {
        id: node.to_string(),
        name: names.get(&node).map(|name| (*name).to_owned()),
        until: until.map(|until| until.to_string()),
    };
    Ok(Said(BansBody { bans: bans.known().into_iter().map(ban).collect() }))
}
