//! The rows of each list: what is in them, and what each is about.

use beadmesh_node::api::model::{GpuNode, Machine};
use jiff::Timestamp;

use super::{Facts, View};
use crate::output::paint::Paint;
use crate::output::table::Painted;
use crate::output::{container, lease, letter, list, machine, peer, text};

/// Returns what each row is about, as a text that stays while the row moves.
pub(super) fn keys(facts: &Facts, view: View, filter: &str, now: Timestamp) -> Vec<String> {
    let left = left(facts, view, filter, now);
    let all = all_keys(facts, view);
    left.into_iter().filter_map(|at| all.get(at).cloned()).collect()
}

/// Returns the heading and a line for each row that the filter leaves, none wider than `columns`.
pub(super) fn lines(facts: &Facts, view: View, filter: &str, columns: u16, now: Timestamp) -> Vec<String> {
    let left = left(facts, view, filter, now);
    table(facts, view, Some(&left), Some(columns), now)
}

/// Returns how many rows there are without a filter.
pub(super) fn count(facts: &Facts, view: View) -> usize {
    all_keys(facts, view).len()
}

/// Returns what the rows do not say, or why there are none.
pub(super) fn remarks(facts: &Facts, view: View, columns: usize, now: Timestamp) -> Vec<String> {
    let remark = match view {
        View::Gpus => return facts.gpus(now).map(|body| machine::remarks(&body, columns)).unwrap_or_default(),
        View::Containers => {
            return facts.containers(now).map(|body| container::remarks(&body, columns)).unwrap_or_default();
        }
        View::Nodes => {
            let made_up = facts.nodes.iter().flat_map(|body| &body.nodes).map(|machine| &machine.standing);
            let made_up = made_up.filter(|standing| standing.backend.as_deref() == Some("demo"));
            let names: Vec<String> = made_up.map(|standing| text::clean_line(&standing.node.name)).collect();
            (!names.is_empty()).then(|| format!("Demo, cards that are made up: {}.", names.join(", ")))
        }
        View::Mail => match &facts.mail {
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(body)) if body.letters.is_empty() => Some("No letters.".to_owned()),
            _ => None,
        },
        View::Beads => match &facts.beads {
            Some(body) if body.beads.is_empty() => {
                Some("No bead is open: `beadmesh bead create` makes one.".to_owned())
            }
            Some(body) if body.next.is_some() => Some(format!(
                "These are the first {} of {}.",
                body.beads.len(),
                body.total.map_or_else(|| "more".to_owned(), |total| total.to_string())
            )),
            _ => None,
        },
        View::Leases => {
            let none = facts.leases.as_ref().is_some_and(|body| body.claims.is_empty());
            none.then(|| "Nothing is claimed: `beadmesh lease claim` does that.".to_owned())
        }
        View::Peers => {
            let alone = facts.peers.as_ref().is_some_and(|body| body.peers.is_empty());
            alone.then(|| "No other node is in this mesh; `beadmesh invite` prints a ticket for one.".to_owned())
        }
    };
    remark.iter().flat_map(|remark| text::wrap(remark, columns)).collect()
}

/// Says how a machine stands among the others, seen from here.
pub(super) fn state(facts: &Facts, standing: &GpuNode) -> Painted {
    let is_linked = facts.peer(&standing.node.id).is_some_and(|peer| peer.connected);
    let (paint, word) = match (standing.here, standing.age_s, standing.stale) {
        (true, ..) => (Paint::Good, "here"),
        (_, Some(_), false) => (Paint::Good, "ok"),
        (_, Some(_), true) if is_linked => (Paint::Slow, "stale"),
        (_, None, _) if is_linked => (Paint::Slow, "silent"),
        _ => (Paint::Bad, "offline"),
    };
    (paint, word.to_owned())
}

fn all_keys(facts: &Facts, view: View) -> Vec<String> {
    fn each<T>(items: Option<&Vec<T>>, key: impl Fn(&T) -> String) -> Vec<String> {
        items.into_iter().flatten().map(key).collect()
    }
    match view {
        View::Nodes => each(facts.nodes.as_ref().map(|body| &body.nodes), |machine| machine.standing.node.id.clone()),
        View::Gpus => each(facts.gpus.as_ref().map(|body| &body.gpus), |gpu| format!("{} {}", gpu.node, gpu.index)),
        View::Containers => each(facts.containers.as_ref().map(|body| &body.containers), |found| {
            format!("{} {}", found.node, found.name)
        }),
        View::Beads => each(facts.beads.as_ref().map(|body| &body.beads), |bead| bead.id.clone()),
        View::Leases => each(facts.leases.as_ref().map(|body| &body.claims), |claim| claim.id.clone()),
        View::Mail => {
            let letters = facts.mail.as_ref().and_then(|mail| mail.as_ref().ok());
            each(letters.map(|body| &body.letters), |letter| letter.id.clone())
        }
        View::Peers => each(facts.peers.as_ref().map(|body| &body.peers), |peer| peer.id.clone()),
    }
}

/// Returns the places of the rows that hold the filter, whatever the case of letters, in anything they say.
fn left(facts: &Facts, view: View, filter: &str, now: Timestamp) -> Vec<usize> {
    if filter.is_empty() {
        return (0..count(facts, view)).collect();
    }
    let filter = filter.to_lowercase();
    let lines = table(facts, view, None, None, now);
    let rows = lines.iter().skip(1).enumerate();
    let holds = |line: &str| anstream::adapter::strip_str(line).to_string().to_lowercase().contains(&filter);
    rows.filter(|(_, line)| holds(line)).map(|(at, _)| at).collect()
}

/// Returns the lines of a table of the rows at these places, or of all.
fn table(facts: &Facts, view: View, places: Option<&[usize]>, columns: Option<u16>, now: Timestamp) -> Vec<String> {
    fn picked<T: Clone>(items: Option<&Vec<T>>, places: Option<&[usize]>) -> Vec<T> {
        let Some(items) = items else { return Vec::new() };
        match places {
            Some(places) => places.iter().filter_map(|at| items.get(*at).cloned()).collect(),
            None => items.clone(),
        }
    }
    match view {
        View::Nodes => {
            let machines = picked(Some(&facts.machines(now)), places);
            let stand = |machine: Machine| {
                let state = state(facts, &machine.standing);
                (machine, state)
            };
            machine::fleet(&machines.into_iter().map(stand).collect::<Vec<_>>(), columns)
        }
        View::Gpus => machine::gpus(&picked(facts.gpus(now).as_ref().map(|body| &body.gpus), places), columns),
        View::Containers => {
            let body = facts.containers(now);
            container::list(&picked(body.as_ref().map(|body| &body.containers), places), columns)
        }
        View::Beads => list::watched(&picked(facts.beads.as_ref().map(|body| &body.beads), places), columns),
        View::Leases => lease::lines(&picked(facts.leases.as_ref().map(|body| &body.claims), places), columns, now),
        View::Mail => {
            let letters = facts.mail.as_ref().and_then(|mail| mail.as_ref().ok());
            letter::list(&picked(letters.map(|body| &body.letters), places), columns, now)
        }
        View::Peers => peer::lines(&picked(facts.peers.as_ref().map(|body| &body.peers), places), columns, now),
    }
}
