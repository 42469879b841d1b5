//! The route by which a browser gets in.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::error::Problem;
use super::extract::Said;
use super::loopback::CODE_TTL;
use super::model::{self, LoginBody};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(login))
}

/// Makes a one-time code by which a browser of this machine logs in.
#[utoipa::path(post, path = "/v1/login", tag = "node", responses((status = 200, body = model::Answer<LoginBody>)))]
async fn login(State(api): State<Api>) -> Result<Said<LoginBody>, Problem> {
    if api.network.is_none() {
        return Err(Problem::no_node());
    }
    let Some(loopback) = &api.loopback else {
        let hint = "start the node with `beadmesh up --api-tcp 127.0.0.1:7118`";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", "the API does not answer over TCP here", hint));
    };
    let url = loopback.invite(Instant::now())?;
    Ok(Said(LoginBody { url, ttl_s: CODE_TTL.as_secs() }))
}
