//! Claims, leases and voters as people read them. What is held, what is said and what is refused never look alike.

use beadmesh_node::api::model::{Claim, Contest, PathInTheWay, VotersBody};
use jiff::Timestamp;

use super::paint::Paint;
use super::table::{self, Column, Painted};
use super::{text, time};

/// The columns of a list of claims.
const CLAIMS: [Column; 7] = [
    Column::new("AGENT"),
    Column::new("STATE"),
    Column::new("UNTIL").spare(1),
    Column::new("RENEWED UNTIL").spare(2),
    Column::new("TOKEN").spare(3),
    Column::new("COVERS").flexible(),
    Column::new("ID").spare(4),
];

/// The columns of a list of voters.
const VOTERS: [Column; 4] =
    [Column::new("VOTER"), Column::new("STATE"), Column::new("NOTE").flexible(), Column::new("ID").spare(1)];

/// Returns what a claim is spoken of by: its bead, or its patterns with its id.
pub(crate) fn name(claim: &Claim) -> String {
    match &claim.bead {
        Some(alias) => text::clean_line(alias),
        None => format!("{} as {}", some(&claim.scopes), text::clean_line(&claim.id)),
    }
}

/// Says how a claim stands, in one sentence.
pub(crate) fn sentence(claim: &Claim, now: Timestamp) -> String {
    let what = Paint::Name.on(&name(claim));
    let token = claim.token.map(|token| format!(", token {token}")).unwrap_or_default();
    let at = |word: &str| claim.until.as_deref().map(|date| format!(" {word} {}", time::clock(date, now)));
    match claim.state.as_str() {
        "held" => {
            let (held, until) = (Paint::Good.on("Held"), at("until").unwrap_or_default());
            format!("{held} {what}{until}, renewed until {}{token}.", time::clock(&claim.term_until, now))
        }
        "shown" => format!("{what} is held by {}{token}.", text::clean_line(&claim.agent)),
        "tentative" => {
            let why = tentative(claim);
            format!("{} {what} is claimed, but {why}. Another agent may hold it.", Paint::Slow.on("Tentative:"))
        }
        "lapsed" => {
            let since = at("since").unwrap_or_default();
            format!("{} {what} is not held{since}. Another agent may hold it.", Paint::Bad.on("Lapsed:"))
        }
        "asking" => format!("{} {what} is not held yet: the voters are being asked.", Paint::Slow.on("Asking:")),
        "ended" => {
            let why = claim.reason.as_deref().map(|why| format!(": {}", text::clean_line(why))).unwrap_or_default();
            format!("The claim on {what} is over{why}.")
        }
        other => format!("{what} is {}.", text::clean_line(other)),
    }
}

/// Says what a person had better know of a claim besides, a sentence each.
pub(crate) fn warnings(claim: &Claim, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    let what = name(claim);
    match claim.state.as_str() {
        "tentative" => warnings.push(format!(
            "Warning: {what} is not held. Once a majority of voters can be reached it is held, or given up to whoever holds it."
        )),
        "lapsed" => warnings.push(format!(
            "Warning: the lease on {what} was lost, as of {}; its node tries to get it back.",
            claim.until.as_deref().map_or_else(|| "now".to_owned(), |date| time::clock(date, now))
        )),
        _ => {}
    }
    warnings.extend(claim.contests.iter().map(|contest| format!("Warning: {}", contested(contest))));
    warnings
}

/// Says that a claim runs on and is no lease; nothing where it is one.
pub(crate) fn renewed_in_vain(claim: &Claim) -> Option<String> {
    let state = text::clean_line(&claim.state);
    let what = name(claim);
    (claim.state != "held")
        .then(|| format!("Warning: the term of {what} runs anew, but it is not held: it is {state}."))
}

/// Returns the lines of a list of claims.
pub(crate) fn lines(claims: &[Claim], columns: Option<u16>, now: Timestamp) -> Vec<String> {
    let rows: Vec<Vec<Painted>> = claims.iter().map(|claim| row(claim, now)).collect();
    table::lines(&CLAIMS, &rows, columns)
}

/// Returns the lines that show one claim in full.
pub(crate) fn full(claim: &Claim, now: Timestamp) -> Vec<String> {
    let mut lines = vec![sentence(claim, now)];
    let mut fact = |name: &str, value: String| {
        lines.push(format!("{}  {}", Paint::Faint.on(&format!("{name:7}")), text::clean_line(&value)));
    };
    fact("Claim", claim.id.clone());
    fact("Agent", format!("{}{}", claim.agent, if claim.here { ", of this node" } else { "" }));
    if let Some(project) = &claim.project {
        fact("Project", project.clone());
    }
    for (at, pattern) in claim.scopes.iter().enumerate() {
        fact(if at == 0 { "Covers" } else { "" }, pattern.clone());
    }
    fact("Mode", if claim.shared { "shared" } else { "exclusive" }.to_owned());
    fact("Term", format!("until {}", time::clock(&claim.term_until, now)));
    lines.extend(claim.contests.iter().map(contested));
    lines
}

/// Says why a path had better not be written.
pub(crate) fn in_the_way(problem: &PathInTheWay, now: Timestamp) -> String {
    let path = Paint::Name.on(&text::clean_line(&problem.path));
    let (agent, claim) = (text::clean_line(&problem.agent), text::clean_line(&problem.claim));
    let at = |word: &str| problem.until.as_deref().map(|date| format!(" {word} {}", time::clock(date, now)));
    let (until, since) = (at("until").unwrap_or_default(), at("since").unwrap_or_default());
    match (problem.own, problem.state.as_str()) {
        (true, "tentative") => format!("{path}: your own claim {claim} is tentative, and not held."),
        (true, "lapsed") => format!("{path}: your own claim {claim} is not held{since}."),
        (true, _) => format!("{path}: your own claim {claim} is not held."),
        (false, "tentative") => format!("{path}: claimed by {agent}, tentatively."),
        (false, "lapsed") => format!("{path}: was held by {agent}, who may get it back; not held{since}."),
        (false, _) => format!("{path}: held by {agent}{until}."),
    }
}

/// Returns the lines that show the voters.
pub(crate) fn voters(body: &VotersBody, columns: Option<u16>) -> Vec<String> {
    let rows = body.voters.iter().map(|seat| {
        let state = if seat.reached { (Paint::Good, "in reach") } else { (Paint::Bad, "not in reach") };
        let here = if seat.here { " (here)" } else { "" };
        vec![
            (Paint::Strong, format!("{}{here}", seat.name)),
            (state.0, state.1.to_owned()),
            (Paint::Plain, seat.note.clone().unwrap_or_default()),
            (Paint::Faint, seat.node.clone()),
        ]
    });
    let rows: Vec<Vec<Painted>> = rows.collect();
    let mut lines = table::lines(&VOTERS, &rows, columns);
    lines.push(String::new());
    lines.push(reach(body));
    let seconds = body.hold_ms.div_ceil(1_000);
    lines.push(format!("They keep a promise for {seconds} s; these are the voters of epoch {}.", body.epoch));
    if let Some(leases) = body.leases {
        lines.push(match leases {
            1 => "1 lease is in force.".to_owned(),
            leases => format!("{leases} leases are in force."),
        });
    }
    if let Some(next) = &body.next {
        lines.push(format!("Chosen, and not voting yet: {}.", listed(next)));
    }
    lines
}

/// Says how many voters can be asked, and whether that is enough.
pub(crate) fn reach(body: &VotersBody) -> String {
    let (reached, all, quorum) = (body.reached, body.voters.len(), body.quorum);
    let enough =
        if reached < quorum { format!(", and it takes {quorum}: claims stay tentative") } else { String::new() };
    format!("{reached} of {all} in reach{enough}.")
}

/// Returns names as a list that can be read out.
pub(crate) fn listed(names: &[String]) -> String {
    names.iter().map(|name| text::clean_line(name)).collect::<Vec<_>>().join(", ")
}

fn row(claim: &Claim, now: Timestamp) -> Vec<Painted> {
    let paint = match claim.state.as_str() {
        "held" | "shown" => Paint::Good,
        "tentative" | "asking" => Paint::Slow,
        "lapsed" => Paint::Bad,
        _ => Paint::Faint,
    };
    let shared = if claim.shared { ", shared" } else { "" };
    let why = claim.reason.as_deref().filter(|_| claim.state == "ended").map(|why| format!(": {why}"));
    let until = claim.until.as_deref().map(|date| time::clock(date, now)).unwrap_or_default();
    let covers = claim.bead.iter().chain(&claim.scopes).cloned().collect::<Vec<_>>().join(" ");
    vec![
        (Paint::Strong, claim.agent.clone()),
        (paint, format!("{}{}{shared}", claim.state, why.unwrap_or_default())),
        (Paint::Plain, until),
        (Paint::Plain, if claim.state == "ended" { String::new() } else { time::clock(&claim.term_until, now) }),
        (Paint::Plain, claim.token.map(|token| token.to_string()).unwrap_or_default()),
        (Paint::Name, covers),
        (Paint::Faint, claim.id.clone()),
    ]
}

/// Says why a claim is no lease.
fn tentative(claim: &Claim) -> String {
    let reason = claim.reason.as_deref().map(|why| format!(": {}", text::clean_line(why))).unwrap_or_default();
    match (claim.voters_reached, claim.voters) {
        (Some(reached), Some(all)) if reached * 2 <= all => {
            format!("no majority of voters can be reached ({reached} of {all}){reason}")
        }
        (Some(reached), Some(all)) => {
            format!("no majority of voters has promised it ({reached} of {all} in reach){reason}")
        }
        _ => format!("no majority of voters has promised it{reason}"),
    }
}

fn contested(contest: &Contest) -> String {
    let (agent, witness) = (text::clean_line(&contest.agent), text::clean_line(&contest.witness));
    let order = if contest.ahead { "behind" } else { "before" };
    let claim = text::clean_line(&contest.claim);
    format!("{agent} claims it too ({claim}), {order} this as far as is known: both cover {witness}.")
}

/// Returns the first of several patterns, and how many more there are.
fn some(patterns: &[String]) -> String {
    match patterns {
        [] => "nothing".to_owned(),
        [one] => text::clean_line(one),
        [first, more @ ..] => format!("{} and {} more", text::clean_line(first), more.len()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
