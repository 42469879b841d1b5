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
use super::members::ask_members;
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
    let node = find(&members, &node)?;
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
    let node = find(&members, &request.node)?;
    if !bans.unban(node)? {
        let hint = "`beadmesh peers` lists who is kept out";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "that node is not kept out", hint));
    }
    told(bans, &members)
}

fn bans(api: &Api) -> Result<&Bans, Problem> {
    api.bans.as_deref().ok_or_else(Problem::no_node)
}

/// Finds a node by its id, member or not, or a member by its name or the beginning of its id.
fn find(members: &[MemberAnswer], text: &str) -> Result<NodeId, Problem> {
    let text = text.trim();
    if let Ok(node) = text.parse() {
        return Ok(node);
    }
    let is_meant = |member: &&MemberAnswer| {
        member.name == text || (text.len() >= 4 && member.node.to_string().starts_with(&text.to_ascii_lowercase()))
    };
    let mut found = members.iter().filter(is_meant).map(|member| member.node);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => {
            let hint = "give the whole id; `beadmesh members --json` lists them";
            Err(Problem::new(StatusCode::CONFLICT, "ambiguous", format!("several nodes are called {text:?}"), hint))
        }
        (None, _) => {
            let hint = "give the name of a member, or the whole id of any node";
            Err(Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no member {text:?}"), hint))
        }
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
