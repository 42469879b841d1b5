//! The engine itself, as bollard speaks with it. It is only asked, and never told to do anything.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use beadmesh_protocol::limits::{CONTAINER_CPU_MAX, CONTAINERS_MAX, NAME_BYTES_MAX, SAMPLE_TEXT_BYTES_MAX};
use beadmesh_protocol::sample::container::{self, Container, Containers, Health, Status};
use beadmesh_protocol::sample::fitting;
use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerStatsResponse, ContainerSummary,
    HealthStatusEnum,
};
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions, StatsOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::time::timeout_at;

/// How long one question may take, in seconds.
const PATIENCE_S: u64 = 10;

/// Containers that are asked about at one time.
const ASKED_MAX: usize = 8;

/// The labels by which compose says what a container is part of.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

/// One mebibyte, in which memory is told.
const MEBIBYTE: u64 = 1024 * 1024;

/// An engine that has been found.
#[derive(Debug)]
pub(super) struct Engine {
    docker: Docker,
    /// How long one container may be asked about.
    answer: Duration,
    /// Processor time that each container had used, by its id, and when that was.
    used: BTreeMap<String, (Duration, Instant)>,
}

/// What was found out about one container.
struct Found {
    id: String,
    container: Container,
    used: Option<Duration>,
}

impl Engine {
    /// Speaks with the engine behind a socket; nothing is asked yet.
    ///
    /// # Errors
    /// How it stands with the engine, where it can not be spoken with.
    pub(super) fn at(socket: &Path, answer: Duration) -> Result<Self, container::Engine> {
        let path = socket.to_str().ok_or(container::Engine::Absent)?;
        let docker =
            Docker::connect_with_unix(path, PATIENCE_S, API_DEFAULT_VERSION).map_err(|error| standing(&error))?;
        Ok(Self { docker, answer, used: BTreeMap::new() })
    }

    /// Asks for all containers and how each stands.
    ///
    /// # Errors
    /// How it stands with the engine, where it does not answer well.
    pub(super) async fn read(&mut self) -> Result<Containers, container::Engine> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let all = self.docker.list_containers(Some(options)).await.map_err(|error| standing(&error))?;
        let count = all.len();
        let mut named: BTreeMap<String, ContainerSummary> = BTreeMap::new();
        for summary in all {
            named.insert(name(&summary), summary);
        }
        // Of those whose names are the same as far as they are told, one is told of.
        let more = count - named.len().min(CONTAINERS_MAX);
        let asked = stream::iter(named.into_iter().take(CONTAINERS_MAX));
        let asked = asked.map(|(name, summary)| ask(&self.docker, name, summary, self.answer));
        // In whatever order they answer: one that hangs holds up no other.
        let mut found: Vec<Option<Found>> = asked.buffer_unordered(ASKED_MAX).try_collect().await?;
        found.sort_by(|one, other| {
            let name = |found: &Option<Found>| found.as_ref().map(|found| found.container.name.clone());
            name(one).cmp(&name(other))
        });
        let now = Instant::now();
        let mut used = BTreeMap::new();
        let mut listed = Vec::new();
        for Found { id, mut container, used: since_start } in found.into_iter().flatten() {
            if let Some(since_start) = since_start {
                let before = self.used.get(&id);
                container.cpu_percent =
                    before.and_then(|(before, at)| percent(since_start.checked_sub(*before)?, now - *at));
                used.insert(id, (since_start, now));
            }
            listed.push(container);
        }
        self.used = used;
        Ok(Containers { engine: container::Engine::Ok, listed, more: u32::try_from(more).unwrap_or(u32::MAX) })
    }

    /// Tells whenever something happens to a container; ends with the engine.
    pub(super) fn changes(&self) -> impl Stream<Item = ()> + use<> {
        let filters = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
        let options = EventsOptions { filters: Some(filters), ..EventsOptions::default() };
        let events = self.docker.events(Some(options));
        // Checks that run and programs that attach change nothing that is told.
        let relevant = events.take_while(|event| futures::future::ready(event.is_ok())).filter_map(|event| {
            let action = event.ok().and_then(|event| event.action).unwrap_or_default();
            futures::future::ready((!action.starts_with("exec_") && action != "attach").then_some(()))
        });
        relevant.boxed()
    }
}

/// Asks what the list does not tell; nothing of a container that is gone by now. Of one that does not answer in time there is
/// what the list tells.
async fn ask(
    docker: &Docker,
    name: String,
    summary: ContainerSummary,
    patience: Duration,
) -> Result<Option<Found>, container::Engine> {
    let Some(id) = summary.id.clone() else { return Ok(None) };
    let until = tokio::time::Instant::now() + patience;
    let inspected = match timeout_at(until, docker.inspect_container(&id, None::<InspectContainerOptions>)).await {
        Ok(Ok(inspected)) => inspected,
        Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => return Ok(None),
        // The engine answers: it is this container that can not be told more of.
        Ok(Err(Error::DockerResponseServerError { .. })) | Err(_) => listed_state(&summary),
        Ok(Err(error)) => return Err(standing(&error)),
    };
    let mut container = container_of(name, &summary, &inspected);
    let mut used = None;
    if container.status == Status::Running {
        let options = StatsOptions { stream: false, one_shot: true };
        let mut stats = docker.stats(&id, Some(options)).boxed();
        let stats = timeout_at(until, stats.next()).await.ok().flatten().and_then(Result::ok);
        if let Some(stats) = stats {
            used = note_use(&mut container, &stats);
        }
    }
    Ok(Some(Found { id, container, used }))
}

/// Returns how a container stands as far as the list says.
fn listed_state(summary: &ContainerSummary) -> ContainerInspectResponse {
    let health = summary.health.as_ref().and_then(|health| health.status.as_ref()?.to_string().parse().ok());
    let state = ContainerState {
        status: summary.state.as_ref().and_then(|state| state.to_string().parse().ok()),
        health: health.map(|status| bollard::models::Health { status: Some(status), ..Default::default() }),
        ..ContainerState::default()
    };
    ContainerInspectResponse { state: Some(state), ..ContainerInspectResponse::default() }
}

/// Returns what a container is called: its first name, without the slash before it.
fn name(summary: &ContainerSummary) -> String {
    let names = summary.names.as_deref().unwrap_or_default();
    let name = names.first().map(|name| name.trim_start_matches('/')).unwrap_or_default();
    let id = summary.id.as_deref().unwrap_or_default();
    fitting(if name.is_empty() { id } else { name }, NAME_BYTES_MAX)
}

fn container_of(name: String, summary: &ContainerSummary, inspected: &ContainerInspectResponse) -> Container {
    let label = |key: &str| summary.labels.as_ref().and_then(|labels| labels.get(key));
    let compose = label(PROJECT).map(|project| {
        let service = label(SERVICE).map(String::as_str).unwrap_or_default();
        (fitting(project, NAME_BYTES_MAX), fitting(service, NAME_BYTES_MAX))
    });
    let state = inspected.state.clone().unwrap_or_default();
    let status = status(state.status);
    let has_ended = matches!(status, Status::Exited | Status::Dead | Status::Restarting);
    let memory_max = inspected.host_config.as_ref().and_then(|host| host.memory).filter(|bytes| *bytes > 0);
    Container {
        name,
        image: fitting(summary.image.as_deref().unwrap_or_default(), SAMPLE_TEXT_BYTES_MAX),
        compose,
        status,
        health: state.health.and_then(|health| health.status).and_then(health),
        restarts: inspected.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        exit_code: state.exit_code.filter(|_| has_ended).and_then(|code| i32::try_from(code).ok()),
        oom_killed: state.oom_killed.unwrap_or_default(),
        cpu_percent: None,
        memory_mib: None,
        memory_max_mib: memory_max.and_then(|bytes| u64::try_from(bytes).ok()).map(mebibytes),
    }
}

/// Notes what a container takes of memory; returns the processor time that it has used since it was started.
fn note_use(container: &mut Container, stats: &ContainerStatsResponse) -> Option<Duration> {
    if let Some(memory) = &stats.memory_stats {
        // What is read from files can be had back: the engine's own programs leave it out, too.
        let cached =
            memory.stats.as_ref().and_then(|stats| stats.get("total_inactive_file").or(stats.get("inactive_file")));
        let used = memory.usage.map(|usage| usage.saturating_sub(cached.copied().unwrap_or_default()));
        container.memory_mib = used.map(mebibytes);
    }
    let usage = stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    Some(Duration::from_nanos(usage))
}

/// Returns the processor time of a span in hundredths of one core.
fn percent(used: Duration, span: Duration) -> Option<u32> {
    let percent = used.as_nanos().saturating_mul(100).checked_div(span.as_nanos())?;
    Some(u32::try_from(percent).unwrap_or(u32::MAX).min(CONTAINER_CPU_MAX))
}

fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MEBIBYTE)).unwrap_or(u32::MAX)
}

fn status(status: Option<ContainerStateStatusEnum>) -> Status {
    match status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => Status::Running,
        Some(ContainerStateStatusEnum::PAUSED) => Status::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => Status::Restarting,
        Some(ContainerStateStatusEnum::EXITED) => Status::Exited,
        Some(ContainerStateStatusEnum::DEAD | ContainerStateStatusEnum::REMOVING) => Status::Dead,
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => Status::Created,
    }
}

fn health(health: HealthStatusEnum) -> Option<Health> {
    match health {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

/// Returns how it stands with an engine that gave this error.
fn standing(error: &Error) -> container::Engine {
    if matches!(error, Error::RequestTimeoutError) {
        return container::Engine::Stalled;
    }
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => return container::Engine::Absent,
            Some(io::ErrorKind::PermissionDenied) => return container::Engine::NoPermission,
            Some(io::ErrorKind::ConnectionRefused) => return container::Engine::Stopped,
            Some(_) | None => next = error.source(),
        }
    }
    container::Engine::Failed
}
