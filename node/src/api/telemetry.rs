//! Routes on machines: what each is, how it and its cards fare, and how they fared.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::NodeId;
use beadmesh_store::command::MemberAnswer;
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::error::Problem;
use super::extract::{Measured, Said};
use super::members::{ask_members, find_member};
use super::model::{
    self, Gpu, GpuNode, GpuProcess, GpuSlice, GpusBody, HistoryBody, Host, Machine, MachinesQuery, Node, NodesBody,
    Point,
};
use crate::clock;
use crate::telemetry::{Metric, MetricError, Points, Telemetry, View};

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(gpus)).routes(routes!(nodes)).routes(routes!(history))
}

/// Lists the cards of all machines, and how it stands with those of each.
#[utoipa::path(get, path = "/v1/gpus", tag = "machines", params(MachinesQuery),
    responses((status = 200, body = model::Answer<GpusBody>)))]
async fn gpus(State(api): State<Api>, query: MachinesQuery) -> Told<GpusBody> {
    let (nodes, gpus): (Vec<GpuNode>, Vec<Vec<Gpu>>) =
        machines(&api, &query).await?.into_iter().map(|machine| (machine.standing, machine.gpus)).unzip();
    Ok(Said(GpusBody { gpus: gpus.into_iter().flatten().collect(), nodes }))
}

/// Lists the machines of all members: what they are, what they said last, and how long ago.
#[utoipa::path(get, path = "/v1/nodes", tag = "machines", params(MachinesQuery),
    responses((status = 200, body = model::Answer<NodesBody>)))]
async fn nodes(State(api): State<Api>, query: MachinesQuery) -> Told<NodesBody> {
    Ok(Said(NodesBody { nodes: machines(&api, &query).await? }))
}

/// Tells how one number fared on one machine, as far as this node has heard of it.
#[utoipa::path(get, path = "/v1/history/{node}/{metric}", tag = "machines",
    params(("node" = String, Path), ("metric" = String, Path)),
    responses((status = 200, body = model::Answer<HistoryBody>)))]
async fn history(State(api): State<Api>, measured: Measured) -> Told<HistoryBody> {
    let telemetry = api.telemetry.clone().ok_or_else(Problem::no_node)?;
    let Measured { node, metric } = measured;
    let metric: Metric = metric.parse().map_err(|error: MetricError| {
        let host = Metric::HOST.map(|metric| metric.to_string()).join(", ");
        let hint = format!("write {host}, or something of a card: gpu0.busy, .memory, .power, .temperature, .clock");
        Problem::invalid("metric", error.to_string(), hint)
    })?;
    let member = find_member(&api, &node).await?;
    let recent = telemetry.history().recent(member.node, metric);
    let week = week(&telemetry, member.node, metric).await?;
    if recent.is_empty() && week.is_empty() {
        return Err(unmeasured(&telemetry, &member, metric));
    }
    let backend = matches!(metric, Metric::Card(..)).then(|| {
        let facts = telemetry.fleet().view(member.node, clock::mono()).facts;
        facts.map(|facts| facts.driver.backend).unwrap_or_default().as_str().to_owned()
    });
    let (metric, unit) = (metric.to_string(), metric.unit().to_owned());
    let node = Node { id: member.node.to_string(), name: member.name };
    Ok(Said(HistoryBody { node, metric, unit, backend, recent: points(recent), week: points(week) }))
}

async fn week(telemetry: &Telemetry, node: NodeId, metric: Metric) -> Result<Points, Problem> {
    let (telemetry, now) = (telemetry.clone(), clock::wall());
    let read = spawn_blocking(move || telemetry.history().week(node, metric, now));
    read.await.map_err(|_| Problem::internal("measurements were not read to the end"))
}

fn points(points: Points) -> Vec<Point> {
    let point = |(at, value): (Wall, f32)| Point { at: at.to_string(), value };
    points.into_iter().map(point).collect()
}

fn unmeasured(telemetry: &Telemetry, member: &MemberAnswer, metric: Metric) -> Problem {
    let known: Vec<String> = telemetry.history().metrics(member.node).iter().map(ToString::to_string).collect();
    let hint = match known.len() {
        0 => "nothing was heard of that machine yet; it is told of every few seconds while its node runs".to_owned(),
        _ => format!("of that machine there is {}", known.join(", ")),
    };
    let message = format!("{metric} is not measured on {}", member.name);
    Problem::new(StatusCode::NOT_FOUND, "not_found", message, hint)
}

/// Returns the members whose machines are asked for, this one first.
pub(super) async fn asked(api: &Api, query: &MachinesQuery) -> Result<Vec<MemberAnswer>, Problem> {
    if let Some(name) = &query.node {
        return Ok(vec![find_member(api, name).await?]);
    }
    let mut members = ask_members(api).await?;
    members.sort_by_key(|member| (!member.here, member.name.clone(), member.node));
    Ok(members)
}

/// Returns what is known of the machines that are asked for.
async fn machines(api: &Api, query: &MachinesQuery) -> Result<Vec<Machine>, Problem> {
    let telemetry = api.telemetry.as_ref().ok_or_else(Problem::no_node)?;
    let now = clock::mono();
    let members = asked(api, query).await?;
    Ok(members.into_iter().map(|member| machine(&member, &telemetry.fleet().view(member.node, now))).collect())
}

fn machine(member: &MemberAnswer, view: &View) -> Machine {
    let (facts, sample) = (view.facts.as_deref(), view.sample.as_deref());
    let state = sample.map(|sample| sample.state);
    let driver = facts.map(|facts| facts.driver.clone());
    let standing = GpuNode {
        node: Node { id: member.node.to_string(), name: member.name.clone() },
        here: member.here,
        state: state.map_or("unknown", |state| state.as_str()).to_owned(),
        advice: state.and_then(|state| state.advice()).map(str::to_owned),
        backend: driver.as_ref().map(|driver| driver.backend.as_str().to_owned()),
        cuda: driver.as_ref().and_then(|driver| driver.cuda).map(|(major, minor)| format!("{major}.{minor}")),
        driver: driver.and_then(|driver| driver.version),
        age_s: view.age_s(),
        stale: view.stale,
    };
    let host = Host::new(facts.map(|facts| &facts.host), sample.map(|sample| &sample.host));
    Machine { standing, host, gpus: cards(&member.name, view) }
}

/// Returns every card that facts or a sample tell of.
pub(super) fn cards(node: &str, view: &View) -> Vec<Gpu> {
    let (facts, sample) = (view.facts.as_deref(), view.sample.as_deref());
    let told = facts.into_iter().flat_map(|facts| facts.gpus.iter().map(|card| card.index));
    let measured = sample.into_iter().flat_map(|sample| sample.gpus.iter().map(|card| card.index));
    let indices: std::collections::BTreeSet<u8> = told.chain(measured).collect();
    let card = |index: u8| {
        let measured = sample.and_then(|sample| sample.gpus.iter().find(|card| card.index == index));
        let slices = facts.into_iter().flat_map(|facts| facts.slices.iter().filter(|slice| slice.gpu == index));
        let slice = |facts: &beadmesh_protocol::sample::gpu::SliceFacts| {
            let samples = sample.into_iter().flat_map(|sample| &sample.slices);
            let mut samples = samples.filter(|sample| (sample.gpu, sample.slice) == (facts.gpu, facts.slice));
            GpuSlice::new(facts, samples.next())
        };
        Gpu {
            stale: view.stale,
            slices: slices.map(slice).collect(),
            processes: Arc::clone(&view.processes)
                .iter()
                .filter(|process| process.gpu == index)
                .map(GpuProcess::from)
                .collect(),
            ..Gpu::new(node, index, facts, measured)
        }
    };
    indices.into_iter().map(card).collect()
}
