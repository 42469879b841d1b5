//! Routes for whoever watches the node: what it measures, whether it answers, and whether it is ready.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use beadmesh_store::command::{Answer, Command, MeasuresAnswer, PeerAnswer, VotersAnswer};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::error::Problem;
use crate::clock;
use crate::core::{Core, State as CoreState};
use crate::home::Home;
use crate::metrics::{Format, Metrics, Process, Sheet, Title};
use crate::network::Network;

mod machine;

/// Where the measures are.
pub(super) const METRICS_PATH: &str = "/metrics";

/// Where whoever restarts a node that hangs asks.
pub(super) const HEALTHY_PATH: &str = "/-/healthy";

/// Where whoever sends it work asks.
pub(super) const READY_PATH: &str = "/-/ready";

/// How long the replica may take to answer; a batch takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the text is, by the rules of OpenMetrics 1.0 and of what Prometheus had before.
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Folders within folders that are looked into: the store's own, and those of sled.
const FOLDERS_DEEP: usize = 3;

/// What a request that no route takes is counted under.
const NO_ROUTE: &str = "none";

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics)).routes(routes!(healthy)).routes(routes!(ready))
}

/// Shows what the node measures: as OpenMetrics text for who asks for it by `accept`, and otherwise in the format that Prometheus
/// had before.
#[utoipa::path(get, path = "/metrics", tag = "node",
    responses((status = 200,
        content((String = "text/plain"), (String = "application/openmetrics-text")))))]
async fn metrics(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 2], String), Problem> {
    let mut sheet = Sheet::new();
    let started = api.metrics.started_at().as_millis() as f64 / 1_000.0;
    sheet.level(Title::seconds("process_start_time", "When the node was started, since 1970"), started);
    let home = Arc::clone(&api.home);
    let looked = spawn_blocking(move || (Process::read(), Disk::read(&home))).await;
    if let Ok((process, disk)) = looked {
        process.note(&mut sheet);
        disk.note(&mut sheet);
    }
    let asked = timeout(PATIENCE, measures(&api.core)).await;
    sheet.level(Title::of("core_answers", "Whether the replica answers"), f64::from(u8::from(asked.is_ok())));
    if let Ok(Ok((measures, voters))) = asked {
        note_measures(&mut sheet, &measures);
        note_voters(&mut sheet, &voters);
    }
    let lanes = api.core.lane_lengths().into_iter().map(|(lane, length)| (lane.to_owned(), length as f64));
    sheet.levels(Title::of("core_lane_length", "Inputs that wait for the replica"), "lane", lanes);
    let refusals = api.refusals.all().into_iter().map(|(kind, count)| (kind.to_owned(), count));
    sheet.totals(Title::of("refusals", "What was refused since the start"), "kind", refusals);
    if let Some(network) = &api.network {
        note_network(&mut sheet, network);
        if let Some(telemetry) = &api.telemetry {
            machine::note(&mut sheet, &telemetry.fleet().view(network.handle.local_node_id(), clock::mono()));
        }
    }
    let network = api.network.as_ref().map(|network| network.handle.registry());
    let format = wanted(&headers);
    let text = api.metrics.text(format, &sheet, network);
    let text = text.map_err(|_| Problem::internal("a measure can not be written"))?;
    let kind = match format {
        Format::Open => OPEN,
        Format::Classic => CLASSIC,
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], text))
}

/// Returns the format that a request asks for: OpenMetrics only where it is named, and plain text is not preferred.
///
/// Source: RFC 9110, 12.5.1.
fn wanted(headers: &HeaderMap) -> Format {
    let (mut open, mut plain) = (0.0, 0.0);
    let clauses = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for clause in clauses.flat_map(|value| value.split(',')) {
        let mut parts = clause.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let weight: f32 = weight.map_or(1.0, |(_, weight)| weight.trim().parse().unwrap_or(0.0));
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            open = weight.max(open);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            plain = weight.max(plain);
        }
    }
    if open > 0.0 && open >= plain { Format::Open } else { Format::Classic }
}

/// Answers 200 as long as the replica answers within a few seconds; whoever gets 503 may restart the node.
#[utoipa::path(get, path = "/-/healthy", tag = "node",
    responses((status = 200, content_type = "text/plain", body = String), (status = 503)))]
async fn healthy(State(api): State<Api>) -> Result<&'static str, Problem> {
    if answers(&api.core, PATIENCE).await { Ok("The replica answers.\n") } else { Err(silent()) }
}

/// Answers 200 once the store is open and the network runs.
#[utoipa::path(get, path = "/-/ready", tag = "node",
    responses((status = 200, content_type = "text/plain", body = String), (status = 503)))]
async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.core.state() != CoreState::Running || !answers(&api.core, PATIENCE).await {
        return Err(silent());
    }
    if api.network.as_ref().is_some_and(|network| network.handle.is_running()) {
        return Ok("The store is open and the network runs.\n");
    }
    Err(unavailable("the network does not run", "`beadmesh up` starts a node"))
}

/// Counts each request by its route and what became of it.
pub(super) async fn counted(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    metrics.request(&method, route, response.status(), begun.elapsed());
    response
}

/// Returns whether the replica answers in time.
async fn answers(core: &Core, patience: Duration) -> bool {
    matches!(timeout(patience, core.call(Command::Voters)).await, Ok(Ok(_)))
}

fn silent() -> Problem {
    unavailable("the replica does not answer", "the node's log says why; start it again if that does not help")
}

fn unavailable(message: &str, hint: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, hint)
}

async fn measures(core: &Core) -> Result<(MeasuresAnswer, VotersAnswer), Problem> {
    let measures = match core.call(Command::Measure).await? {
        Answer::Measured(measures) => *measures,
        other => return Err(super::unexpected(&other)),
    };
    match core.call(Command::Voters).await? {
        Answer::Voters(voters) => Ok((measures, voters)),
        other => Err(super::unexpected(&other)),
    }
}

fn note_measures(sheet: &mut Sheet, measures: &MeasuresAnswer) {
    let MeasuresAnswer {
        control_entries,
        data_entries,
        entries_from_future,
        beads,
        ready,
        agents,
        unread,
        claims,
        peers,
    } = measures;
    let sets = [("control", control_entries), ("data", data_entries)];
    let sets = sets.map(|(set, entries)| (set.to_owned(), *entries as f64));
    sheet.levels(Title::of("store_entries", "Entries stored"), "set", sets);
    let help = "Entries whose time lies far ahead of this node's clock";
    sheet.level(Title::of("entries_from_future", help), *entries_from_future as f64);
    let beads = beads.iter().map(|(status, beads)| (status.clone(), *beads as f64));
    sheet.levels(Title::of("beads", "Beads known"), "status", beads);
    sheet.level(Title::of("beads_ready", "Beads that can be worked on now"), *ready as f64);
    sheet.level(Title::of("agents", "Agents of this node"), *agents as f64);
    sheet.level(Title::of("mail_unread", "Letters that agents of this node have not read"), *unread as f64);
    let claims = claims.iter().map(|(state, claims)| ((*state).to_owned(), *claims as f64));
    sheet.levels(Title::of("claims", "Claims of agents of this node"), "state", claims);
    let connected = peers.iter().filter(|peer| peer.connected).count();
    sheet.level(Title::of("peers", "Other members of the mesh"), peers.len() as f64);
    sheet.level(Title::of("peers_connected", "Other members with a link"), connected as f64);
    let each = |value: fn(&PeerAnswer) -> f64| peers.iter().map(move |peer| (peer.name.clone(), value(peer)));
    let is_connected = each(|peer| f64::from(u8::from(peer.connected)));
    sheet.levels(Title::of("peer_connected", "Whether a member has a link"), "peer", is_connected);
    let help = "Entries held here that a member is not known to hold";
    sheet.levels(Title::of("peer_lag_entries", help), "peer", each(|peer| peer.lag_entries as f64));
}

fn note_voters(sheet: &mut Sheet, voters: &VotersAnswer) {
    sheet.level(Title::of("voters", "Voters of the mesh"), voters.seats.len() as f64);
    sheet.level(Title::of("voters_reached", "Voters that can be asked from here"), voters.reached as f64);
    sheet.level(Title::of("voters_quorum", "Voters that it takes for a lease"), voters.quorum as f64);
}

fn note_network(sheet: &mut Sheet, network: &Network) {
    let counts = network.handle.notice_counts();
    let dropped = [("unsent", counts.unsent), ("unheard", counts.unheard), ("violation", counts.violations)];
    let dropped = dropped.map(|(reason, count)| (reason.to_owned(), count));
    sheet.totals(Title::of("notices_dropped", "Notices that were dropped"), "reason", dropped);
    let help = "Lease messages that were dropped because too many waited";
    sheet.total(Title::of("lease_messages_unsent", help), network.handle.leases_unsent());
    let footing = network.handle.footing();
    sheet.level(Title::of("relay_circuits", "Circuits of others that lead through this node"), footing.circuits as f64);
    let help = "Relays at which this node holds a reservation";
    sheet.level(Title::of("relay_reservations", help), footing.relays.len() as f64);
}

/// What the home takes up on its disk.
#[derive(Debug)]
struct Disk {
    store_bytes: u64,
    free_bytes: Option<u64>,
}

impl Disk {
    fn read(home: &Home) -> Self {
        let free = rustix::fs::statvfs(home.dir()).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize));
        Self { store_bytes: bytes_below(&home.store(), FOLDERS_DEEP), free_bytes: free }
    }

    fn note(&self, sheet: &mut Sheet) {
        sheet.level(Title::bytes("store", "What the store takes up on disk"), self.store_bytes as f64);
        if let Some(free) = self.free_bytes {
            sheet.level(Title::bytes("home_disk_free", "What is free on the disk of the home"), free as f64);
        }
    }
}

/// Returns the bytes of the files in a folder, and of those in its folders.
fn bytes_below(folder: &Path, deep: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| {
        let found = entry.metadata().ok()?;
        match found.is_dir() {
            true if deep > 0 => Some(bytes_below(&entry.path(), deep - 1)),
            true => None,
            false => Some(found.len()),
        }
    });
    bytes.sum()
}

#[cfg(test)]
mod tests;
