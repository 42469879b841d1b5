//! Routes on claims, leases and voters: what bounds a request is checked here, who holds what is decided by the replica.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::id::{BeadId, ClaimId};
use beadmesh_protocol::scope::Mode;
use beadmesh_store::command::{
    Answer, BeadAnswer, ClaimAnswer, ClaimFilter, Command, Filter, NewClaim, NewVoters, ProjectContext,
};
use tokio::sync::oneshot;
use tracing::info;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{Caller, Json, Named, Said};
use super::model::{
    self, CHECK_PATHS_MAX, Claim, ClaimBody, ClaimRequest, ClaimsBody, ClaimsQuery, Empty, HOLD_S_MAX, HOLD_S_MIN,
    PathsBody, PathsRequest, ReadyClaimRequest, RenewRequest, TERM_S_DEFAULT, TERM_S_MAX, Unfit, VotersBody,
    VotersRequest, WAIT_S_MAX,
};
use super::{Api, keyed, members, placement, project_of, unexpected};

/// Ready beads that are tried for one claim, in order, before the caller is told that all are held.
const READY_TRIED_MAX: usize = 32;

/// Ready beads that are looked at in one go once the first would not do.
const READY_PAGE: usize = 500;

/// How long it is looked for ready beads that this machine has all for.
const FIT_PATIENCE: Duration = Duration::from_secs(10);

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(claim, list))
        .routes(routes!(show))
        .routes(routes!(renew))
        .routes(routes!(release))
        .routes(routes!(check))
        .routes(routes!(claim_ready))
        .routes(routes!(voters, set_voters))
}

/// Claims a bead, or paths; answers once it is held or known to be tentative, 409 `held` where another agent is in the way.
#[utoipa::path(post, path = "/v1/claims", tag = "leases", request_body = ClaimRequest,
    responses((status = 200, body = model::Answer<ClaimBody>)))]
async fn claim(State(api): State<Api>, caller: Caller, Json(request): Json<ClaimRequest>) -> Told<ClaimBody> {
    let placed = request.bead.clone().filter(|_| !request.anywhere);
    let new = new_claim(request)?;
    if let Some(bead) = placed {
        place(&api, &caller, &bead).await?;
    }
    let claimed = if new.wait.is_zero() { claimed(&api, caller, new).await } else { waited(api, caller, new).await };
    Ok(said(claimed?))
}

/// Lists claims of all agents; without `all`, those that are not over.
#[utoipa::path(get, path = "/v1/claims", tag = "leases", params(ClaimsQuery),
    responses((status = 200, body = model::Answer<ClaimsBody>)))]
async fn list(State(api): State<Api>, query: ClaimsQuery) -> Told<ClaimsBody> {
    let ClaimsQuery { project, agent, all } = query;
    match api.core.call(Command::ListClaims(ClaimFilter { project: keyed(project), agent, all })).await? {
        Answer::Claims(claims) => Ok(Said(ClaimsBody { claims: claims.into_iter().map(Claim::from).collect() })),
        other => Err(unexpected(&other)),
    }
}

/// Shows a claim of anybody.
#[utoipa::path(get, path = "/v1/claims/{claim}", tag = "leases",
    params(("claim" = String, Path, description = "Id of the claim, or its bead")),
    responses((status = 200, body = model::Answer<ClaimBody>)))]
async fn show(State(api): State<Api>, Named(name): Named) -> Told<ClaimBody> {
    Ok(said(asked(&api, Caller::default(), Command::ShowClaim(name)).await?))
}

/// Lets a claim of who asks run on.
#[utoipa::path(post, path = "/v1/claims/{claim}/renew", tag = "leases", request_body = RenewRequest,
    params(("claim" = String, Path, description = "Id of the claim, or its bead")),
    responses((status = 200, body = model::Answer<ClaimBody>)))]
async fn renew(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named,
    Json(request): Json<RenewRequest>,
) -> Told<ClaimBody> {
    let term = term(request.term_s)?;
    Ok(said(asked(&api, caller, Command::Renew(name, term)).await?))
}

/// Ends a claim of who asks.
#[utoipa::path(post, path = "/v1/claims/{claim}/release", tag = "leases", request_body = Empty,
    params(("claim" = String, Path, description = "Id of the claim, or its bead")),
    responses((status = 200, body = model::Answer<ClaimBody>)))]
async fn release(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named,
    Json(Empty {}): Json<Empty>,
) -> Told<ClaimBody> {
    Ok(said(asked(&api, caller, Command::Unclaim(name)).await?))
}

/// Tells what stands in the way of who asks writing paths.
#[utoipa::path(post, path = "/v1/claims/check", tag = "leases", request_body = PathsRequest,
    responses((status = 200, body = model::Answer<PathsBody>)))]
async fn check(State(api): State<Api>, caller: Caller, Json(request): Json<PathsRequest>) -> Told<PathsBody> {
    let PathsRequest { project, paths } = request;
    if paths.len() > CHECK_PATHS_MAX {
        let problem = format!("{CHECK_PATHS_MAX} paths are checked at one time, and here are {}", paths.len());
        return Err(Problem::invalid("paths", problem, "ask for the rest in another request"));
    }
    let context = keyed(project.keys).unwrap_or_default();
    match api.call(caller, Command::CheckPaths(context, paths)).await? {
        Answer::Paths(paths) => Ok(Said(paths.into())),
        other => Err(unexpected(&other)),
    }
}

/// Claims the first ready bead that nobody else holds and that this machine has all for; 409 `held` where others hold the
/// first 32 of those, `needs_unmet` where it lacks something for all that it looked at in 10 s.
#[utoipa::path(post, path = "/v1/ready/claim", tag = "leases", request_body = ReadyClaimRequest,
    responses((status = 200, body = model::Answer<ClaimBody>)))]
async fn claim_ready(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<ReadyClaimRequest>,
) -> Told<ClaimBody> {
    let term = term(request.term_s)?;
    let anywhere = request.anywhere;
    let beads = fit(&api, ready(request), anywhere).await?;
    let mut titles: BTreeMap<BeadId, String> =
        beads.iter().map(|bead| (bead.bead.id, bead.bead.title.clone())).collect();
    let beads = beads.into_iter().map(|bead| bead.bead.id.to_string());
    let claimed = first_free(beads, |bead| {
        let (api, caller) = (api.clone(), caller.clone());
        let new = NewClaim { bead: Some(bead), term, ..without_wait() };
        async move { claimed(&api, caller, new).await }
    });
    let claimed = claimed.await?;
    let title = claimed.bead.as_ref().and_then(|(bead, _)| titles.remove(bead));
    Ok(Said(ClaimBody { claim: claimed.into(), title }))
}

/// Shows the voters, and how many of them can be asked now.
#[utoipa::path(get, path = "/v1/voters", tag = "leases", responses((status = 200, body = model::Answer<VotersBody>)))]
async fn voters(State(api): State<Api>) -> Told<VotersBody> {
    told_voters(&api, Command::Voters).await
}

/// Chooses other voters; answers once they vote, or when that takes long.
#[utoipa::path(post, path = "/v1/voters", tag = "leases", request_body = VotersRequest,
    responses((status = 200, body = model::Answer<VotersBody>)))]
async fn set_voters(State(api): State<Api>, Json(request): Json<VotersRequest>) -> Told<VotersBody> {
    let new = new_voters(request)?;
    told_voters(&api, Command::SetVoters(new)).await
}

/// Refuses a bead that needs what this machine lacks, unless the agent of the caller has it already: what it lacks then
/// may be what its own work has taken.
async fn place(api: &Api, caller: &Caller, bead: &str) -> Result<(), Problem> {
    let Some(unfit) = placement::unfit_one(api, bead).await? else { return Ok(()) };
    let filter = ClaimFilter { agent: Some(caller.name()), ..ClaimFilter::default() };
    let claims = match api.core.call(Command::ListClaims(filter)).await? {
        Answer::Claims(claims) => claims,
        other => return Err(unexpected(&other)),
    };
    let has_it = claims.iter().any(|claim| claim.bead.as_ref().is_some_and(|(id, _)| id.to_string() == unfit.id));
    if has_it { Ok(()) } else { Err(refused(api, &unfit)) }
}

/// Returns the first ready beads that this machine has all for, as many as are tried for one claim.
async fn fit(api: &Api, mut filter: Filter, anywhere: bool) -> Result<Vec<BeadAnswer>, Problem> {
    let (mut fit, mut first) = (Vec::new(), None);
    let begun = Instant::now();
    loop {
        let page = match api.core.call(Command::Ready(filter.clone())).await? {
            Answer::Beads(page) => page,
            other => return Err(unexpected(&other)),
        };
        let unfit = if anywhere { BTreeMap::new() } else { placement::unfit(api, &page.beads).await? };
        if first.is_none() {
            first = page.beads.iter().find_map(|bead| unfit.get(&bead.bead.id).cloned());
        }
        fit.extend(page.beads.into_iter().filter(|bead| !unfit.contains_key(&bead.bead.id)));
        filter.after = page.next;
        filter.limit = READY_PAGE;
        if fit.len() >= READY_TRIED_MAX || filter.after.is_none() || begun.elapsed() >= FIT_PATIENCE {
            break;
        }
    }
    fit.truncate(READY_TRIED_MAX);
    match first.filter(|_| fit.is_empty()) {
        Some(unfit) => Err(refused(api, &unfit)),
        None => Ok(fit),
    }
}

/// Counts and says that a bead needs what this machine lacks.
fn refused(api: &Api, unfit: &Unfit) -> Problem {
    let problem = placement::refusal(unfit);
    api.metrics.claim(&Err(problem.clone()), None);
    problem
}

/// Claims for a caller that waits for others. One that went away meanwhile can not know what it holds: that is let go,
/// unless its agent had it before.
async fn waited(api: Api, caller: Caller, new: NewClaim) -> Result<ClaimAnswer, Problem> {
    let (then, whose) = (api.clone(), caller.clone());
    let before = claims_of(&api, &caller).await?;
    heard(before, async move { claimed(&api, caller, new).await }, move |unheard| async move {
        let claim = unheard.id;
        let released = asked(&then, whose, Command::Unclaim(claim.to_string())).await;
        info!(%claim, released = released.is_ok(), "whoever waited for a claim is gone");
    })
    .await
}

/// Returns the claims that the agent of a caller has now.
async fn claims_of(api: &Api, caller: &Caller) -> Result<BTreeSet<ClaimId>, Problem> {
    let filter = ClaimFilter { agent: Some(caller.name()), ..ClaimFilter::default() };
    match api.core.call(Command::ListClaims(filter)).await? {
        Answer::Claims(claims) => Ok(claims.into_iter().map(|claim| claim.id).collect()),
        other => Err(unexpected(&other)),
    }
}

/// Claims to the end, whoever stops waiting for it; what is claimed by then and told to nobody is handed to `release`,
/// unless it is one of those that the agent had before.
async fn heard<C, R, F>(before: BTreeSet<ClaimId>, claim: C, release: R) -> Result<ClaimAnswer, Problem>
where
    C: Future<Output = Result<ClaimAnswer, Problem>> + Send + 'static,
    R: FnOnce(ClaimAnswer) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        match tell.send(claim.await) {
            Err(Ok(unheard)) if !before.contains(&unheard.id) => release(unheard).await,
            _ => {}
        }
    });
    told.await.unwrap_or_else(|_| Err(Problem::internal("the claim was given up")))
}

async fn claimed(api: &Api, caller: Caller, new: NewClaim) -> Result<ClaimAnswer, Problem> {
    let begun = new.wait.is_zero().then(Instant::now);
    let answer = asked(api, caller, Command::Claim(Box::new(new))).await;
    api.metrics.claim(&answer, begun.map(|begun| begun.elapsed()));
    answer
}

async fn asked(api: &Api, caller: Caller, command: Command) -> Result<ClaimAnswer, Problem> {
    match api.call(caller, command).await? {
        Answer::Claim(claim) => Ok(*claim),
        other => Err(unexpected(&other)),
    }
}

async fn told_voters(api: &Api, command: Command) -> Told<VotersBody> {
    match api.core.call(command).await? {
        Answer::Voters(voters) => Ok(Said(voters.into())),
        other => Err(unexpected(&other)),
    }
}

fn said(claim: ClaimAnswer) -> Said<ClaimBody> {
    Said(ClaimBody { claim: claim.into(), title: None })
}

/// Claims one bead after another until one is not in somebody else's hands.
async fn first_free<C: Future<Output = Result<ClaimAnswer, Problem>>>(
    beads: impl Iterator<Item = String>,
    mut claim: impl FnMut(String) -> C,
) -> Result<ClaimAnswer, Problem> {
    let mut held = None;
    for bead in beads {
        match claim(bead).await {
            Err(problem) if problem.info.code == "held" => held = Some(problem),
            other => return other,
        }
    }
    Err(held.unwrap_or_else(|| {
        let hint = "`beadmesh bead blocked` shows what waits for what";
        Problem::new(StatusCode::NOT_FOUND, "not_found", "nothing is ready", hint)
    }))
}

fn new_claim(request: ClaimRequest) -> Result<NewClaim, Problem> {
    let ClaimRequest { bead, project, scopes, shared, term_s, wait_s, offline, anywhere: _ } = request;
    let wait_s = wait_s.unwrap_or(0);
    if wait_s > WAIT_S_MAX {
        let problem = format!("a claim waits {WAIT_S_MAX} s at most, which is an hour");
        return Err(Problem::invalid("wait_s", problem, "ask again after that"));
    }
    if bead.is_none() && scopes.is_empty() {
        return Err(Problem::invalid("scopes", "there is nothing to claim", "name a bead, or patterns of paths"));
    }
    Ok(NewClaim {
        bead,
        project: project_of(project).unwrap_or_default(),
        scopes,
        mode: if shared { Mode::Shared } else { Mode::Exclusive },
        term: term(term_s)?,
        wait: Duration::from_secs(wait_s),
        offline,
    })
}

/// Returns a claim on nothing yet, exclusive, which neither waits nor leaves the voters out.
fn without_wait() -> NewClaim {
    NewClaim {
        bead: None,
        project: ProjectContext::default(),
        scopes: Vec::new(),
        mode: Mode::Exclusive,
        term: Duration::from_secs(TERM_S_DEFAULT),
        wait: Duration::ZERO,
        offline: false,
    }
}

fn ready(request: ReadyClaimRequest) -> Filter {
    let ReadyClaimRequest { project, labels, priorities, types, parent, term_s: _, anywhere: _ } = request;
    Filter {
        project: project_of(project),
        statuses: Vec::new(),
        all: false,
        priorities,
        kinds: types,
        labels,
        assignee: None,
        parent,
        after: None,
        limit: READY_TRIED_MAX,
    }
}

fn new_voters(request: VotersRequest) -> Result<NewVoters, Problem> {
    let VotersRequest { nodes, hold_s, recovery_key } = request;
    if let Some(hold_s) = hold_s.filter(|hold_s| !(HOLD_S_MIN..=HOLD_S_MAX).contains(hold_s)) {
        let problem = format!("voters keep a promise for {HOLD_S_MIN} s to {HOLD_S_MAX} s, and not for {hold_s} s");
        return Err(Problem::invalid("hold_s", problem, "90 fits most meshes"));
    }
    if !matches!(nodes.len(), 1 | 3 | 5 | 7) {
        let problem = format!("a mesh has 1, 3, 5 or 7 voters, and not {}", nodes.len());
        return Err(Problem::invalid("nodes", problem, "`beadmesh members` lists the nodes"));
    }
    let recovery = recovery_key.as_ref().map(members::recovery_key).transpose()?;
    Ok(NewVoters { nodes, hold: hold_s.map(Duration::from_secs), recovery })
}

/// Returns how long a claim is to be held.
fn term(asked_s: Option<u64>) -> Result<Duration, Problem> {
    let term_s = asked_s.unwrap_or(TERM_S_DEFAULT);
    if !(1..=TERM_S_MAX).contains(&term_s) {
        let problem = format!("a claim is held for 1 s to {TERM_S_MAX} s, which is a week");
        return Err(Problem::invalid("term_s", problem, "3600 is an hour"));
    }
    Ok(Duration::from_secs(term_s))
}

#[cfg(test)]
mod tests;
