//! Routes on the mesh and on the node itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::id::NodeId;
use beadmesh_store::command::{AgentAnswer, Answer, Command, PeerAnswer, StatusAnswer};
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{Caller, Json, Said};
use super::members::ask_members;
use super::model::{
    self, DoctorBody, DoctorRequest, Empty, Finding, FormerMember, JoinBody, JoinRequest, Mesh, Node, Peer, PeersBody,
    Reach, Rebuilt, RecoveryBody, StatusBody,
};
use super::{Api, unexpected};
use crate::config::{Config, Flags};
use crate::net::Way;
use crate::{clock, doctor, logs};

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(peers))
        .routes(routes!(join))
        .routes(routes!(examine))
        .routes(routes!(recovery, forget_recovery))
        .routes(routes!(shutdown))
}

/// Tells how the node and its mesh stand.
#[utoipa::path(get, path = "/v1/status", tag = "node", responses((status = 200, body = model::Answer<StatusBody>)))]
async fn status(State(api): State<Api>, caller: Caller) -> Told<StatusBody> {
    let status = ask_status(&api).await?;
    let agents = match api.core.call(Command::AgentList { all: false }).await? {
        Answer::Agents(agents) => agents,
        other => return Err(unexpected(&other)),
    };
    let (agent, unread) = match unread(&api, caller.clone()).await? {
        Some(unread) => (Some(address(&caller.name(), &agents)), Some(unread)),
        None => (None, None),
    };
    Ok(Said(StatusBody {
        node: Node { id: status.node.to_string(), name: status.node_name },
        instance: status.instance.to_string(),
        mesh: Mesh { id: status.mesh.to_string(), name: status.mesh_name },
        role: status.role,
        removed: status.removed.map(FormerMember::from),
        entries: status.entries,
        beads: status.beads,
        ready: status.ready,
        agents: agents.len() as u64,
        agent,
        unread,
        digest: status.digest,
        entries_from_future: status.entries_from_future,
        applicants: status.applicants,
        findings: status.copies.into_iter().map(str::to_owned).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        running: api.network.is_some(),
        listen: api.network.as_ref().map(|network| network.handle.listen_addresses()).unwrap_or_default(),
        reach: reach(&api, &status.peers),
        socket: api.home.socket().display().to_string(),
        api: api.loopback.as_ref().map(|loopback| loopback.url()),
        refused: refused(&api),
        peers: located(&api, status.peers),
    }))
}

fn refused(api: &Api) -> BTreeMap<String, u64> {
    api.refusals.all().into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Lists the other members, and how the links to them stand.
#[utoipa::path(get, path = "/v1/peers", tag = "mesh", responses((status = 200, body = model::Answer<PeersBody>)))]
async fn peers(State(api): State<Api>) -> Told<PeersBody> {
    if api.network.is_none() {
        return Err(Problem::no_node());
    }
    let status = ask_status(&api).await?;
    Ok(Said(PeersBody { peers: located(&api, status.peers), refused: refused(&api) }))
}

/// Joins the mesh that a ticket is for; beads made so far are taken along.
#[utoipa::path(post, path = "/v1/join", tag = "mesh", request_body = JoinRequest,
    responses((status = 200, body = model::Answer<JoinBody>)))]
async fn join(State(api): State<Api>, Json(request): Json<JoinRequest>) -> Told<JoinBody> {
    let network = api.network.as_ref().ok_or_else(Problem::no_node)?;
    let joined = network.join(&api.core, request.ticket.reveal()).await?;
    let mesh = Mesh { id: joined.mesh.to_string(), name: joined.name };
    let inviter = ask_members(&api).await?.into_iter().find(|member| member.node == joined.inviter);
    let inviter = inviter.map_or_else(|| joined.inviter.to_string(), |member| member.name);
    Ok(Said(JoinBody { mesh, inviter, beads: joined.beads }))
}

/// Checks home, records and mesh; before, if asked to, derives every view anew and takes note of copies of stores.
#[utoipa::path(post, path = "/v1/doctor", tag = "node", request_body = DoctorRequest,
    responses((status = 200, body = model::Answer<DoctorBody>)))]
async fn examine(State(api): State<Api>, Json(request): Json<DoctorRequest>) -> Told<DoctorBody> {
    let mut rebuilt = None;
    if request.rebuild {
        match api.core.call(Command::Rebuild).await? {
            Answer::Rebuilt { entries, beads } => rebuilt = Some(Rebuilt { entries, beads }),
            other => return Err(unexpected(&other)),
        }
    }
    if request.accept {
        match api.core.call(Command::AcceptCopies).await? {
            Answer::Done => {}
            other => return Err(unexpected(&other)),
        }
    }
    let findings: Vec<Finding> = match api.core.call(Command::Check).await? {
        Answer::Checked(findings) => findings.into_iter().map(Finding::from).collect(),
        other => return Err(unexpected(&other)),
    };
    let status = ask_status(&api).await?;
    let members = ask_members(&api).await?;
    let voters = match api.core.call(Command::Voters).await? {
        Answer::Voters(voters) => voters,
        other => return Err(unexpected(&other)),
    };
    let here = status.node;
    let mesh = doctor::Mesh { status, members, voters };
    let mut checks = doctor::mesh_checks(api.network.as_ref(), &mesh).await;
    checks.extend(doctor::records(&findings));
    let home = Arc::clone(&api.home);
    let looked = spawn_blocking(move || {
        // What the node would read now; flags that it was started with can not be wrong.
        let checks = doctor::local(&home, &Config::load(home.dir(), &Flags::default()));
        (checks, request.logs.then(|| doctor::inventory(&home)))
    });
    let (local, files) = looked.await.map_err(|_| Problem::internal("the home was not looked at to the end"))?;
    checks.extend(local);
    checks.extend(api.telemetry.as_ref().and_then(|telemetry| {
        let view = telemetry.fleet().view(here, clock::mono());
        view.sample.map(|sample| doctor::cards(&sample, view.facts.as_deref()))
    }));
    let logs = request.logs.then(|| logs::recent().iter().map(|line| doctor::redacted(line)).collect());
    Ok(Said(DoctorBody { findings, grade: doctor::worst(&checks), checks, rebuilt, logs, files }))
}

/// Shows the recovery key of a mesh that was founded here, until it is forgotten.
#[utoipa::path(post, path = "/v1/recovery", tag = "mesh", request_body = Empty,
    responses((status = 200, body = model::Answer<RecoveryBody>)))]
async fn recovery(State(api): State<Api>, Json(Empty {}): Json<Empty>) -> Told<RecoveryBody> {
    // An answer of the replica means that the mesh is durable: a key is shown for nothing less.
    ask_status(&api).await?;
    match api.home.recovery()? {
        Some(recovery_key) => Ok(Said(RecoveryBody { recovery_key })),
        None => {
            let message = "there is no recovery key to show: it has been shown, or the mesh was founded elsewhere";
            let hint = "the key is kept nowhere else: look where it was written down when the mesh was founded";
            Err(Problem::new(StatusCode::CONFLICT, "conflict", message, hint))
        }
    }
}

/// Forgets the recovery key that has been shown; naming it proves that it arrived.
#[utoipa::path(delete, path = "/v1/recovery", tag = "mesh", request_body = RecoveryBody,
    responses((status = 200, body = model::Answer<Empty>)))]
async fn forget_recovery(State(api): State<Api>, Json(shown): Json<RecoveryBody>) -> Told<Empty> {
    if api.home.forget_recovery(&shown.recovery_key)? {
        return Ok(Said(Empty {}));
    }
    let hint = "give the recovery_key that POST /v1/recovery answers";
    Err(Problem::new(StatusCode::CONFLICT, "conflict", "that is not the recovery key kept here", hint))
}

/// Stops the node: requests under way are answered, what is known is durable.
#[utoipa::path(post, path = "/v1/shutdown", tag = "node", responses((status = 202, body = model::Answer<Empty>)))]
async fn shutdown(State(api): State<Api>) -> Result<(StatusCode, Said<Empty>), Problem> {
    if api.network.is_none() {
        return Err(Problem::no_node());
    }
    api.stop.cancel();
    Ok((StatusCode::ACCEPTED, Said(Empty {})))
}

/// Counts the letters that who asks has not read; nothing where nobody proves to be an agent: a status is for everybody.
async fn unread(api: &Api, caller: Caller) -> Result<Option<u64>, Problem> {
    if caller.0.is_none() {
        return Ok(None);
    }
    match api.call(caller, Command::MailUnread).await {
        Ok(Answer::Unread(unread)) => Ok(Some(unread)),
        Ok(other) => Err(unexpected(&other)),
        Err(problem) if problem.status == StatusCode::FORBIDDEN => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Returns the address of this node's agent of that name, which may be an address already.
fn address(name: &str, agents: &[AgentAnswer]) -> String {
    let is_meant = |agent: &&AgentAnswer| {
        agent.here && [&agent.name, &agent.address].iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    agents.iter().find(is_meant).map_or_else(|| name.to_owned(), |agent| agent.address.clone())
}

/// Shows peers with the ways that the links to them take, and who is kept out: the replica knows neither.
fn located(api: &Api, peers: Vec<PeerAnswer>) -> Vec<Peer> {
    let ways = api.network.as_ref().map(|network| network.handle.ways()).unwrap_or_default();
    let banned = api.bans.as_ref().map(|bans| bans.known()).unwrap_or_default();
    let names: BTreeMap<_, _> = peers.iter().map(|peer| (peer.node, peer.name.clone())).collect();
    let show = |answer: PeerAnswer| {
        let way = ways.get(&answer.node).filter(|_| answer.connected);
        let banned = banned.contains_key(&answer.node);
        let mut peer = Peer { banned, ..Peer::from(answer) };
        if let Some(Way { path, round_trip }) = way {
            let relay = path.relay.map(|relay| names.get(&relay).cloned().unwrap_or_else(|| relay.to_string()));
            peer.route = Some(if path.is_relayed() { "relayed" } else { "direct" }.to_owned());
            peer.through = relay;
            peer.round_trip_us = round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
        peer
    };
    peers.into_iter().map(show).collect()
}

/// Shows how others reach this node; relays by what their members are called.
fn reach(api: &Api, peers: &[PeerAnswer]) -> Option<Reach> {
    let footing = api.network.as_ref()?.handle.footing();
    let name = |relay: &NodeId| {
        let known = peers.iter().find(|peer| peer.node == *relay);
        known.map_or_else(|| relay.to_string(), |peer| peer.name.clone())
    };
    Some(Reach {
        from_anywhere: footing.reach.to_string(),
        relays: footing.relays.iter().map(name).collect(),
        is_relay: footing.is_relay,
        circuits: footing.circuits as u64,
    })
}

async fn ask_status(api: &Api) -> Result<StatusAnswer, Problem> {
    match api.core.call(Command::Status).await? {
        Answer::Status(status) => Ok(*status),
        other => Err(unexpected(&other)),
    }
}
