//! The route on containers of all machines that tell of theirs.

use axum::extract::State;
use beadmesh_store::command::MemberAnswer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::error::Problem;
use super::extract::Said;
use super::model::{self, Container, ContainerNode, ContainersBody, MachinesQuery, Node};
use super::telemetry::asked;
use crate::clock;
use crate::telemetry::View;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(containers))
}

/// Lists the containers of all machines, and how it stands with the engine of each.
#[utoipa::path(get, path = "/v1/containers", tag = "machines", params(MachinesQuery),
    responses((status = 200, body = model::Answer<ContainersBody>)))]
async fn containers(State(api): State<Api>, query: MachinesQuery) -> Result<Said<ContainersBody>, Problem> {
    let telemetry = api.telemetry.as_ref().ok_or_else(Problem::no_node)?;
    let now = clock::mono();
    let mut body = ContainersBody { containers: Vec::new(), nodes: Vec::new() };
    for member in asked(&api, &query).await? {
        let view = telemetry.fleet().view(member.node, now);
        let listed = view.containers.iter().flat_map(|containers| &containers.listed);
        body.containers.extend(listed.map(|container| Container::new(&member.name, container, view.stale)));
        body.nodes.push(standing(member, &view));
    }
    Ok(Said(body))
}

/// Returns how it stands with the engine of a member's machine.
fn standing(member: MemberAnswer, view: &View) -> ContainerNode {
    let containers = view.containers.as_deref();
    ContainerNode {
        node: Node { id: member.node.to_string(), name: member.name },
        here: member.here,
        engine: containers.map_or("unknown", |containers| containers.engine.as_str()).to_owned(),
        advice: containers.and_then(|containers| containers.engine.advice()).map(str::to_owned),
        more: containers.map_or(0, |containers| containers.more),
        age_s: view.age_s(),
        stale: view.stale,
    }
}
