//! Placement: which machines have what beads need. The rule is that of `beadmesh_protocol::needs`, applied to what machines
//! said of themselves last.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::needs::{self, Need};
use beadmesh_protocol::sample::gpu::Backend;
use beadmesh_store::command::{Answer, BeadAnswer, Command, MemberAnswer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::Said;
use super::members::ask_members;
use super::model::{self, MachineLacks, PickBody, PickQuery, Unfit};
use super::telemetry::cards;
use super::{Api, unexpected};
use crate::clock;
use crate::telemetry::View;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(pick))
}

/// Names a card that is free, on whichever machine: the least busy of those that will do. Nothing is reserved.
#[utoipa::path(get, path = "/v1/gpus/pick", tag = "machines", params(PickQuery),
    responses((status = 200, body = model::Answer<PickBody>)))]
async fn pick(State(api): State<Api>, query: PickQuery) -> Result<Said<PickBody>, Problem> {
    let vram = query.vram.as_deref().map_or(Ok(0), wanted_bytes)?;
    let max_busy = query.max_busy.unwrap_or(u8::MAX);
    let telemetry = api.telemetry.as_ref().ok_or_else(Problem::no_node)?;
    let (now, mut tally, mut fit) = (clock::mono(), Tally::default(), Vec::new());
    for member in ask_members(&api).await? {
        let view = telemetry.fleet().view(member.node, now);
        let (Some(facts), Some(sample), false) = (&view.facts, &view.sample, view.stale) else { continue };
        if facts.driver.backend != Backend::Nvml
            || query.label.as_ref().is_some_and(|it| !facts.host.labels.contains(it))
        {
            continue;
        }
        for free in needs::free_of(facts, sample) {
            let busy = sample.gpus.iter().find(|gpu| gpu.index == free.gpu).and_then(|gpu| gpu.busy);
            tally.see(free.bytes, busy);
            // Of a card that is split nobody tells how busy its parts are.
            let is_idle = busy.map_or(free.slice.is_some(), |busy| busy <= max_busy);
            if free.bytes >= vram && is_idle {
                fit.push((busy, Reverse(free.bytes), free, member.name.clone(), view.clone()));
            }
        }
    }
    let of = fit.len();
    let best = fit.into_iter().min_by(|one, other| (one.0, one.1, &one.3).cmp(&(other.0, other.1, &other.3)));
    let Some((_, Reverse(free_bytes), free, name, view)) = best else { return Err(tally.refusal()) };
    let gpu = cards(&name, &view).into_iter().find(|gpu| gpu.index == free.gpu);
    let gpu = gpu.ok_or_else(|| Problem::internal("the card is not among those that are told of"))?;
    Ok(Said(PickBody { gpu, slice: free.slice, free_bytes, of }))
}

/// What was seen of cards that were asked for.
#[derive(Default)]
struct Tally {
    cards: usize,
    most_free: u64,
    least_busy: Option<u8>,
}

impl Tally {
    fn see(&mut self, free: u64, busy: Option<u8>) {
        self.cards += 1;
        self.most_free = self.most_free.max(free);
        self.least_busy = self.least_busy.into_iter().chain(busy).min();
    }

    /// Says that no card will do, and how far the nearest are from it.
    fn refusal(&self) -> Problem {
        let hint = match (self.cards, self.least_busy) {
            (0, _) => "no machine that may be asked has said that it has one; `beadmesh gpu` tells why".to_owned(),
            (_, Some(busy)) => {
                format!("at best {} MiB are free on one, and one is {busy} % busy", self.most_free >> 20)
            }
            (_, None) => format!("at best {} MiB are free on one", self.most_free >> 20),
        };
        Problem::new(StatusCode::NOT_FOUND, "not_found", "no card of the mesh will do now", hint)
    }
}

/// Reads how much memory is to be free.
fn wanted_bytes(text: &str) -> Result<u64, Problem> {
    let wrong = || Problem::invalid("vram", format!("{text:?} is no size"), "write a number and a unit, such as 20GiB");
    needs::read_bytes(text).ok_or_else(wrong)
}

/// Returns of some beads those that need what this machine lacks, and how it stands with the others.
pub(super) async fn unfit(api: &Api, beads: &[BeadAnswer]) -> Result<BTreeMap<BeadId, Unfit>, Problem> {
    let needing: Vec<&BeadAnswer> = beads.iter().filter(|bead| !bead.bead.needs.is_empty()).collect();
    // Without a node nothing is measured, so nothing is known to be lacking either.
    let Some(telemetry) = api.telemetry.as_ref().filter(|_| !needing.is_empty()) else { return Ok(BTreeMap::new()) };
    let now = clock::mono();
    let known = |member: MemberAnswer| {
        let view = telemetry.fleet().view(member.node, now);
        (member, view)
    };
    let machines: Vec<(MemberAnswer, View)> = ask_members(api).await?.into_iter().map(known).collect();
    let judged = needing.into_iter().filter_map(|bead| Some((bead.bead.id, judge(bead, &machines)?)));
    Ok(judged.collect())
}

/// Does the same for a bead that a person names; one that is not found is for others to miss.
pub(super) async fn unfit_one(api: &Api, bead: &str) -> Result<Option<Unfit>, Problem> {
    let found = match api.core.call(Command::Show(bead.to_owned())).await {
        Ok(Answer::Bead(found)) => found,
        Ok(other) => return Err(unexpected(&other)),
        Err(_) => return Ok(None),
    };
    Ok(unfit(api, std::slice::from_ref(&*found)).await?.into_values().next())
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
    let lacks = here.map_or_else(Vec::new, |(_, view)| lacking(view, &needs));
    if lacks.is_empty() {
        return None;
    }
    let (mut fits, mut others) = (Vec::new(), Vec::new());
    for (member, view) in machines.iter().filter(|(member, _)| !member.here) {
        let (node, lacks) = (member.name.clone(), lacking(view, &needs));
        if lacks.is_empty() {
            fits.push(node);
        } else {
            others.push(MachineLacks { node, lacks });
        }
    }
    let needs = needs.iter().map(ToString::to_string).collect();
    let (id, alias, title) = (bead.bead.id.to_string(), bead.alias.clone(), bead.bead.title.clone());
    Some(Unfit { id, alias, title, needs, lacks, fits, others })
}

/// Returns what a machine lacks, in words; of one that was not heard lately nothing is known.
fn lacking(view: &View, needs: &[Need]) -> Vec<String> {
    let is_fresh = !view.stale;
    let facts = view.facts.as_deref().filter(|_| is_fresh);
    let machine = needs::Machine { facts, sample: view.sample.as_deref().filter(|_| is_fresh) };
    machine.lacks(needs).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beadmesh_protocol::sample::{Facts, host};

    use super::*;

    #[test]
    fn a_machine_that_is_not_heard_any_more_has_nothing() {
        let host = host::Facts { cores: Some(8), labels: vec!["a100".to_owned()], ..host::Facts::default() };
        let facts = Some(Arc::new(Facts { host, ..Facts::default() }));
        let needs = needs::of(&needs::parse("cpu:8,label:a100").unwrap());
        let view = View { facts, ..View::default() };
        assert_eq!(lacking(&view, &needs), [""; 0]);
        assert_eq!(lacking(&View { stale: true, ..view }, &needs).len(), 2);
    }
}
