//! Placement: which machines have what beads need. The rule is that of `beadmesh_protocol::needs`, applied to what machines
//! said of themselves last.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::needs::{self, Need};
use beadmesh_store::command::{Answer, BeadAnswer, Command, MemberAnswer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::Said;
use super::members::ask_members;
use super::model::{self, Gpu, MachineLacks, PickBody, PickQuery, Unfit};
use super::telemetry::machines;
use super::{Api, unexpected};
use crate::clock;
use crate::telemetry::{Telemetry, View};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(pick))
}

/// Names a card that is free, on whichever machine: the least busy of those that will do. Nothing is reserved.
#[utoipa::path(get, path = "/v1/gpus/pick", tag = "machines", params(PickQuery),
    responses((status = 200, body = model::Answer<PickBody>)))]
async fn pick(State(api): State<Api>, query: PickQuery) -> Result<Said<PickBody>, Problem> {
    let vram = query.vram.as_deref().map_or(Ok(0), wanted_bytes)?;
    let max_busy = query.max_busy.unwrap_or(u8::MAX);
    let labelled = |labels: &[String]| query.label.as_ref().is_none_or(|label| labels.contains(label));
    let machines = machines(&api).await?.into_iter().filter(|machine| labelled(&machine.host.labels));
    let real = machines.flat_map(|machine| machine.gpus).filter(|gpu| gpu.backend == "nvml" && gpu.health == "ok");
    let cards: Vec<Gpu> = real.filter(|gpu| !gpu.stale).collect();
    let most = cards.iter().filter_map(|gpu| gpu.memory_free_bytes).max();
    let will_do = |gpu: &Gpu| {
        gpu.memory_free_bytes.is_some_and(|free| free >= vram) && gpu.busy_percent.is_some_and(|busy| busy <= max_busy)
    };
    let fit: Vec<Gpu> = cards.into_iter().filter(will_do).collect();
    let of = fit.len();
    let best = fit.into_iter().min_by_key(|gpu| (gpu.busy_percent, Reverse(gpu.memory_free_bytes)));
    best.map(|gpu| Said(PickBody { gpu, of })).ok_or_else(|| {
        let message = "no card of the mesh will do now";
        let hint = match most {
            None => "no machine has said that it has one; `beadmesh gpu` tells why".to_owned(),
            Some(most) => format!("the most that is free on one is {} MiB; `beadmesh gpu` lists all", most >> 20),
        };
        Problem::new(StatusCode::NOT_FOUND, "not_found", message, hint)
    })
}

/// Reads how much memory is to be free.
fn wanted_bytes(text: &str) -> Result<u64, Problem> {
    let needs = needs::parse(&format!("vram:{text}")).map(|needs| needs::of(&needs));
    match needs.as_deref() {
        Ok([Need::Vram(bytes)]) => Ok(*bytes),
        _ => Err(Problem::invalid("vram", format!("{text:?} is no size"), "write a number and a unit, such as 20GiB")),
    }
}

/// Returns of some beads those that need what this machine lacks, and how it stands with the others.
pub(super) async fn unfit(api: &Api, beads: &[BeadAnswer]) -> Result<BTreeMap<BeadId, Unfit>, Problem> {
    let needing: Vec<&BeadAnswer> = beads.iter().filter(|bead| !bead.bead.needs.is_empty()).collect();
    if needing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let members = ask_members(api).await?;
    let view = |member: &MemberAnswer| view(api.telemetry.as_ref(), member);
    let machines: Vec<(MemberAnswer, View)> =
        members.into_iter().map(|member| (member.clone(), view(&member))).collect();
    let judged = needing.into_iter().filter_map(|bead| Some((bead.bead.id, judge(bead, &machines)?)));
    Ok(judged.collect())
}

/// Refuses to have a bead worked on here that needs what this machine lacks; a bead that is not found is for others to miss.
pub(super) async fn check(api: &Api, bead: &str) -> Result<(), Problem> {
    let found = match api.core.call(Command::Show(bead.to_owned())).await {
        Ok(Answer::Bead(found)) => found,
        Ok(other) => return Err(unexpected(&other)),
        Err(_) => return Ok(()),
    };
    match unfit(api, std::slice::from_ref(&*found)).await?.into_values().next() {
        Some(unfit) => Err(refusal(&unfit)),
        None => Ok(()),
    }
}

/// Says why a bead can not be claimed here.
pub(super) fn refusal(unfit: &Unfit) -> Problem {
    let message = format!("this machine lacks what {} needs: {}", unfit.alias, unfit.lacks.join("; "));
    let hint = if unfit.fits.is_empty() {
        "no machine has it now: `beadmesh bead ready --why` tells of each; --anywhere claims it all the same".to_owned()
    } else {
        format!("claim it on {}; --anywhere claims it here all the same", unfit.fits.join(" or "))
    };
    Problem::new(StatusCode::CONFLICT, "needs_unmet", message, hint)
}

/// Tells of a bead what this machine lacks for it; nothing where it has all.
fn judge(bead: &BeadAnswer, machines: &[(MemberAnswer, View)]) -> Option<Unfit> {
    let needs = needs::of(&bead.bead.needs);
    let here = machines.iter().find(|(member, _)| member.here);
    let lacks = lacks(&here.map(|(_, view)| view.clone()).unwrap_or_default(), &needs);
    if lacks.is_empty() {
        return None;
    }
    let (mut fits, mut others) = (Vec::new(), Vec::new());
    for (member, view) in machines.iter().filter(|(member, _)| !member.here) {
        match self::lacks(view, &needs) {
            lacks if lacks.is_empty() => fits.push(member.name.clone()),
            lacks => others.push(MachineLacks { node: member.name.clone(), lacks }),
        }
    }
    let needs = needs.iter().map(ToString::to_string).collect();
    let (id, alias, title) = (bead.bead.id.to_string(), bead.alias.clone(), bead.bead.title.clone());
    Some(Unfit { id, alias, title, needs, lacks, fits, others })
}

fn lacks(view: &View, needs: &[Need]) -> Vec<String> {
    let sample = view.sample.as_deref().filter(|_| !view.stale);
    let machine = needs::Machine { facts: view.facts.as_deref(), sample };
    machine.lacks(needs).iter().map(ToString::to_string).collect()
}

fn view(telemetry: Option<&Telemetry>, member: &MemberAnswer) -> View {
    telemetry.map(|telemetry| telemetry.fleet().view(member.node, clock::mono())).unwrap_or_default()
}
