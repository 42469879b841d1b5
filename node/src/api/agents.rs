//! Routes on agents: who they are, and the tokens that prove them.

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_store::command::{Answer, Command, NewAgent};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{Caller, Json, Named, Said};
use super::model::{
    self, Agent, AgentBody, AgentsBody, AgentsQuery, Empty, RegisterRequest, RegisteredBody, SecretText,
};
use super::{Api, project_of, unexpected};
use crate::human;

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(register, list))
        .routes(routes!(rotate))
        .routes(routes!(retire))
        .routes(routes!(rotate_human))
}

/// Registers an agent of this node, and shows its token; asked by the agent itself, changes what is told of it.
#[utoipa::path(post, path = "/v1/agents", tag = "agents", request_body = RegisterRequest,
    responses((status = 201, body = model::Answer<RegisteredBody>)))]
async fn register(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<RegisterRequest>,
) -> Result<(StatusCode, Said<RegisteredBody>), Problem> {
    let new = NewAgent {
        name: request.name,
        program: request.program.unwrap_or_default(),
        model: request.model.unwrap_or_default(),
        task: request.task.unwrap_or_default(),
        project: project_of(request.project),
    };
    let body = registered(&api, caller, Command::AgentRegister(new)).await?;
    // The token that stays is not shown again, and nothing new is there.
    let status = if body.0.token.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, body))
}

/// Lists the agents of the mesh; without `all`, those that are not retired.
#[utoipa::path(get, path = "/v1/agents", tag = "agents", params(AgentsQuery),
    responses((status = 200, body = model::Answer<AgentsBody>)))]
async fn list(State(api): State<Api>, query: AgentsQuery) -> Told<AgentsBody> {
    match api.core.call(Command::AgentList { all: query.all }).await? {
        Answer::Agents(agents) => Ok(Said(AgentsBody { agents: agents.into_iter().map(Agent::from).collect() })),
        other => Err(unexpected(&other)),
    }
}

/// Gives an agent of this node a new token, and shows it; the one before proves nothing any more.
#[utoipa::path(post, path = "/v1/agents/{name}/rotate", tag = "agents", request_body = Empty,
    params(("name" = String, Path, description = "Name of an agent of this node")),
    responses((status = 200, body = model::Answer<RegisteredBody>)))]
async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named,
    Json(Empty {}): Json<Empty>,
) -> Told<RegisteredBody> {
    if human::is(&api.home, &name)? {
        let hint = "`beadmesh agent rotate --human` makes the token anew and keeps it there";
        return Err(Problem::refused(format!("{name} is the user of this home, whose token the home keeps"), hint));
    }
    registered(&api, caller, Command::AgentRotate(name)).await
}

/// Retires an agent of this node: it acts no more, and its name is never given again here.
#[utoipa::path(post, path = "/v1/agents/{name}/retire", tag = "agents", request_body = Empty,
    params(("name" = String, Path, description = "Name of an agent of this node")),
    responses((status = 200, body = model::Answer<AgentBody>)))]
async fn retire(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named,
    Json(Empty {}): Json<Empty>,
) -> Told<AgentBody> {
    if human::is(&api.home, &name)? {
        let hint = "retire agents; the user of a home stays as long as the home";
        return Err(Problem::refused(format!("{name} is the user of this home"), hint));
    }
    match api.call(caller, Command::AgentRetire(name)).await? {
        Answer::Agent(agent) => Ok(Said(AgentBody { agent: (*agent).into() })),
        other => Err(unexpected(&other)),
    }
}

/// Makes the token of the user of this home anew, and keeps it in the home; it is not shown.
#[utoipa::path(post, path = "/v1/human/rotate", tag = "agents", request_body = Empty,
    responses((status = 200, body = model::Answer<AgentBody>)))]
async fn rotate_human(State(api): State<Api>, Json(Empty {}): Json<Empty>) -> Told<AgentBody> {
    let agent = human::renew(&api.core, &api.home, &api.human).await?;
    Ok(Said(AgentBody { agent: agent.into() }))
}

async fn registered(api: &Api, caller: Caller, command: Command) -> Told<RegisteredBody> {
    match api.call(caller, command).await? {
        Answer::Registered { agent, token } => {
            let token = token.map(|token| SecretText::new(token.reveal().to_string()));
            Ok(Said(RegisteredBody { agent: (*agent).into(), token }))
        }
        other => Err(unexpected(&other)),
    }
}
