//! `beadmesh lease`, `bead claim`, `bead release` and `bead ready --claim`: who holds what.

use std::path::Path;
use std::time::Duration;

use beadmesh_node::api::model::{
    Claim, ClaimBody, ClaimRequest, ClaimsBody, ClaimsQuery, Empty, ProjectRequest, ReadyClaimRequest, RenewRequest,
    encode_segment,
};
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use crate::args::{ClaimArgs, HowArgs, LeaseCommand, LeaseListArgs, ReadyArgs, RenewArgs, TakeArgs};
use crate::client::ANSWER_PATIENCE;
use crate::failure::{Exit, Failure};
use crate::output::{Printer, lease, text};

pub(super) mod check;

/// What has to come of a claim for the command to have done what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It is made, tentative or held.
    Said,
    /// It is held.
    Held,
}

/// Carries out what is to be done with leases.
pub(super) async fn run(context: &mut Context, command: LeaseCommand) -> Result<(), Failure> {
    match command {
        LeaseCommand::Take(args) => take(context, args).await,
        LeaseCommand::List(args) => list(context, args).await,
        LeaseCommand::Show(args) => show(context, &args.id).await,
        LeaseCommand::Check(args) => check::run(context, args).await,
        LeaseCommand::Renew(args) => renew(context, args).await,
        LeaseCommand::Release(args) => release(context, &args.id).await,
    }
}

/// Claims a bead, with its paths and those that were named.
pub(super) async fn claim_bead(context: &mut Context, args: ClaimArgs) -> Result<(), Failure> {
    let project = context.project()?.known();
    let ClaimArgs { id, scopes, anywhere, how } = args;
    let scopes = covering(context, scopes)?;
    claim(context, ClaimRequest { bead: Some(id), project, scopes, anywhere, ..how_wished(&how) }, need(&how)).await
}

/// Claims the first ready bead that nobody holds.
pub(super) async fn claim_ready(context: &mut Context, args: ReadyArgs) -> Result<(), Failure> {
    let keys = context.project()?.for_reading();
    let ReadyArgs { claim: _, term, parent, anywhere, why: _, filter } = args;
    let wish = ReadyClaimRequest {
        project: ProjectRequest { keys, prefix: None },
        labels: filter.label,
        priorities: filter.priority,
        types: filter.kind,
        parent,
        term_s: term.map(|term| term.as_secs()),
        anywhere,
    };
    // Each bead that is tried may cost a round with every voter.
    let body = wished(context, "/v1/ready/claim", &wish, ANSWER_PATIENCE * 2).await?;
    tell(&mut context.printer, &body, Timestamp::now(), Need::Said)?;
    match (&body.claim.bead, &body.title) {
        (Some(alias), Some(title)) if !context.printer.json => {
            context.printer.line(text::clean_line(&format!("{alias}  {title}")))
        }
        _ => Ok(()),
    }
}

/// Lets a claim go.
pub(super) async fn release(context: &mut Context, id: &str) -> Result<(), Failure> {
    let path = path(id, "/release")?;
    let mut client = context.proven_client().await?;
    let body: ClaimBody = client.post(&path, &Empty {}).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if printer.quiet { Ok(()) } else { printer.line(format!("Released {}.", lease::name(&body.claim))) }
}

async fn take(context: &mut Context, args: TakeArgs) -> Result<(), Failure> {
    let project = context.project()?.for_writing()?;
    let TakeArgs { patterns, how } = args;
    let scopes = covering(context, patterns)?;
    claim(context, ClaimRequest { project, scopes, ..how_wished(&how) }, need(&how)).await
}

async fn claim(context: &mut Context, wish: ClaimRequest, need: Need) -> Result<(), Failure> {
    let wait = Duration::from_secs(wish.wait_s.unwrap_or(0));
    let body = wished(context, "/v1/claims", &wish, ANSWER_PATIENCE + wait).await?;
    tell(&mut context.printer, &body, Timestamp::now(), need)
}

async fn renew(context: &mut Context, args: RenewArgs) -> Result<(), Failure> {
    let wish = RenewRequest { term_s: args.term.map(|term| term.as_secs()) };
    let body = wished(context, &path(&args.id, "/renew")?, &wish, ANSWER_PATIENCE).await?;
    tell(&mut context.printer, &body, Timestamp::now(), Need::Said)?;
    // A term that runs on is no lease, and whoever renews one may look at nothing but stderr.
    lease::renewed_in_vain(&body.claim).map_or(Ok(()), |warning| context.printer.urgent(&warning))
}

async fn show(context: &mut Context, id: &str) -> Result<(), Failure> {
    let path = path(id, "")?;
    let body: ClaimBody = context.client().await?.get(&path).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    for line in lease::full(&body.claim, Timestamp::now()) {
        printer.line(line)?;
    }
    Ok(())
}

async fn list(context: &mut Context, args: LeaseListArgs) -> Result<(), Failure> {
    let LeaseListArgs { all, holder } = args;
    let query = ClaimsQuery { project: context.project()?.for_reading(), agent: holder, all };
    let body: ClaimsBody = context.client().await?.get(&format!("/v1/claims{}", query.to_query())).await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if body.claims.is_empty() {
        return printer
            .note("Nothing is claimed. `--all-projects` looks at all projects, `--all` also at what is over.");
    }
    for line in lease::lines(&body.claims, printer.columns, Timestamp::now()) {
        printer.line(line)?;
    }
    Ok(())
}

/// Asks for a claim as the agent that acts.
async fn wished(
    context: &mut Context,
    path: &str,
    wish: &impl Serialize,
    patience: Duration,
) -> Result<ClaimBody, Failure> {
    let mut client = context.proven_client().await?;
    client.post_within(path, wish, patience).await
}

/// Prints a claim: how it stands on stdout, what had better be known besides on stderr.
///
/// # Errors
///
/// Fails where it is to be held and is not; it stays as it is.
fn tell(printer: &mut Printer, body: &ClaimBody, now: Timestamp, need: Need) -> Result<(), Failure> {
    let lacking = (need == Need::Held && body.claim.state != "held").then(|| not_held(&body.claim));
    if printer.json {
        printer.answer(body)?;
        return lacking.map_or(Ok(()), Err);
    }
    printer.line(lease::sentence(&body.claim, now))?;
    if let Some(failure) = lacking {
        return Err(failure);
    }
    for warning in lease::warnings(&body.claim, now) {
        printer.urgent(&warning)?;
    }
    if body.claim.state == "held" {
        printer.note("The node renews it while it runs, unless it is released before.")?;
    }
    Ok(())
}

/// Returns the failure that a claim is made and not held.
fn not_held(claim: &Claim) -> Failure {
    let message = format!("{} is not held: the claim is {}", lease::name(claim), text::clean_line(&claim.state));
    let id = text::clean_line(&claim.id);
    let hint = format!("the claim stays: `beadmesh lease show {id}` tells when it is held, `lease release` lets it go");
    Failure::new(Exit::Conflict, "not_held", message).hint(hint)
}

/// Returns the patterns, those that name a folder of this repository as all that lies below it.
fn covering(context: &mut Context, patterns: Vec<String>) -> Result<Vec<String>, Failure> {
    let Some(root) = context.root() else { return Ok(patterns) };
    let mut covering = Vec::new();
    for pattern in patterns {
        if is_folder(&root, &pattern) {
            let folder = text::clean_line(&pattern);
            context
                .printer
                .note(format!("{folder} is a folder: {folder}/ is claimed, with all that lies below it."))?;
            covering.push(format!("{pattern}/"));
        } else {
            covering.push(pattern);
        }
    }
    Ok(covering)
}

/// Returns whether a pattern names one folder, which by itself would cover a file of that name and nothing else.
fn is_folder(root: &Path, pattern: &str) -> bool {
    let is_literal = !pattern.contains(['*', '?', '[', '{', '\0']) && !pattern.ends_with('/');
    is_literal && !pattern.is_empty() && !pattern.starts_with('/') && root.join(pattern).is_dir()
}

fn need(how: &HowArgs) -> Need {
    if how.require_held { Need::Held } else { Need::Said }
}

fn how_wished(how: &HowArgs) -> ClaimRequest {
    ClaimRequest {
        shared: how.shared,
        term_s: how.term.map(|term| term.as_secs()),
        wait_s: how.wait.map(|wait| wait.as_secs()),
        offline: how.offline,
        ..ClaimRequest::default()
    }
}

/// Returns the path of a claim, and of what is below it.
fn path(claim: &str, below: &str) -> Result<String, Failure> {
    if claim.is_empty() || matches!(claim, "." | "..") {
        return Err(Failure::usage(format!("{claim:?} names no claim")).field("id"));
    }
    Ok(format!("/v1/claims/{}{below}", encode_segment(claim)))
}

#[cfg(test)]
mod tests;
