//! System letters: each once, named by what it tells of, to an agent of the node that shows it, and so.
//!
//! That none is missing can not be told from what is shown: nothing there says since when a bead is somebody's.

use std::collections::BTreeSet;

use beadmesh_protocol::bead::{Status, Target};
use beadmesh_protocol::graph::is_blocking;
use beadmesh_protocol::id::{AgentId, BeadId, LetterId};
use beadmesh_protocol::mail::system::{ACK_OVERDUE, Cause};
use beadmesh_store::command::ExportedSystemLetter;

use super::super::Ending;
use super::super::report::{self, Report};
use super::named;
use crate::view::View;

/// Finds system letters that should not be there.
pub(super) fn check(ending: &Ending<'_>, view: &View, report: &mut Report) {
    let who = report::viewer(view);
    let mut closes: BTreeSet<(AgentId, BeadId, BeadId)> = BTreeSet::new();
    for (id, letter) in &view.system {
        let mut note = |what: &str| {
            report.note(view.place, format!("{who}, system {}: {what}.", named(id)));
        };
        if letter.cause.letter_id(letter.agent) != *id {
            note("it is not named by what it tells of");
        }
        if letter.listed != 1 {
            note(&format!("it is in its agent's inbox {} times", letter.listed));
        }
        if !is_here(ending, view, letter.agent) {
            note("its agent is of another node");
        }
        match letter.cause {
            Cause::BeadClosed { bead, waiting, .. } => {
                if !closes.insert((letter.agent, bead, waiting)) {
                    note("another tells the same");
                }
                if !waits(view, letter.agent, (bead, waiting)) {
                    note("no bead of its agent waits for that bead, or it is not closed");
                }
            }
            Cause::AckOverdue { letter: about, recipient } => {
                if !is_overdue(view, letter, (about, recipient)) {
                    note("its agent does not wait for that acknowledgement, or it came in time");
                }
            }
            // These follow from no entry: what became of a lease is known where it was held.
            Cause::LeaseLapsed { .. }
            | Cause::ClaimYielded { .. }
            | Cause::ClaimContested { .. }
            | Cause::Alarm { .. } => {}
        }
    }
}

/// Returns whether an agent is of the node that shows it.
fn is_here(ending: &Ending<'_>, view: &View, agent: AgentId) -> bool {
    let node = view.agents.iter().find(|known| known.id == agent).map(|known| known.node);
    let place = view.place.map(|place| ending.copies.get(&place).copied().unwrap_or(place));
    node.is_some() && node == place.and_then(|place| ending.keys.get(&place)).copied()
}

fn waits(view: &View, agent: AgentId, (closed, waiting): (BeadId, BeadId)) -> bool {
    let Some(agent) = view.agents.iter().find(|known| known.id == agent) else { return false };
    let (Some(closed), Some(waiting)) = (view.beads.get(&closed), view.beads.get(&waiting)) else { return false };
    let assignee = waiting.bead.assignee.as_deref().unwrap_or_default();
    let is_its = assignee.split('@').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(&agent.name));
    let names = |target: &Target| match target {
        Target::Id(id) => *id == closed.bead.id,
        Target::Alias(name) => name.split('~').next() == Some(&closed.bead.alias),
    };
    let depends = waiting.bead.deps.keys().any(|key| is_blocking(&key.kind) && names(&key.target));
    is_its && depends && closed.bead.status == Status::Closed && waiting.bead.status != Status::Tombstone
}

fn is_overdue(view: &View, told: &ExportedSystemLetter, (about, recipient): (LetterId, AgentId)) -> bool {
    let Some(shown) = view.mail.letters.get(&about) else { return false };
    let due = shown.letter.sent_at.after(ACK_OVERDUE);
    let receipt = shown.receipts.iter().find(|receipt| receipt.party.agent == recipient);
    let in_time = receipt.and_then(|receipt| receipt.acknowledged_at).is_some_and(|at| at < due);
    let is_asked = shown.letter.ack_required && shown.letter.recipients().contains(&recipient);
    shown.letter.from == told.agent && is_asked && !in_time && told.at == due
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::bead::{Bead, Dep, DepKey};
    use beadmesh_protocol::clock::Wall;
    use beadmesh_protocol::id::ChangeHash;

    use super::super::tests::{agent, scene};
    use crate::check::tests::{Scene, told};

    use super::*;

    const CLOSED: BeadId = BeadId::from_bytes([0xc; 16]);
    const WAITING: BeadId = BeadId::from_bytes([0xd; 16]);

    fn letter(close: u8) -> (LetterId, ExportedSystemLetter) {
        let close = ChangeHash::from_bytes([close; 32]);
        let (agent, cause) = (agent(1), Cause::BeadClosed { bead: CLOSED, close, waiting: WAITING });
        (cause.letter_id(agent), ExportedSystemLetter { agent, cause, at: Wall::default(), listed: 1, unread: true })
    }

    /// Node 1 has told its agent that a bead is closed.
    fn telling() -> Scene {
        let mut scene = scene();
        scene.change_all(|view| {
            let answer = view.beads.values().next().expect("a scene has beads").clone();
            let mut closed = Bead::new(CLOSED, "closed".to_owned(), "closed".to_owned());
            closed.status = Status::Closed;
            let mut waiting = Bead::new(WAITING, "waiting".to_owned(), "waiting".to_owned());
            waiting.assignee = Some("oak".to_owned());
            let key = DepKey { kind: "blocks".to_owned(), target: Target::Id(CLOSED) };
            waiting.deps.insert(key, Dep::default());
            for bead in [closed, waiting] {
                let (id, alias) = (bead.id, bead.alias.clone());
                view.beads.insert(id, beadmesh_store::command::BeadAnswer { bead, alias, ..answer.clone() });
            }
        });
        scene.views[1].system.extend([letter(1)]);
        scene
    }

    /// Returns what the checker says of the system letters of a scene.
    fn found(scene: &Scene) -> Vec<String> {
        told(super::super::check, scene).into_iter().filter(|text| text.contains("system letter")).collect()
    }

    fn spoiled(spoil: impl Fn(&mut View)) -> Vec<String> {
        let mut scene = telling();
        spoil(&mut scene.views[1]);
        found(&scene)
    }

    #[test]
    fn a_letter_on_what_is_so_is_as_it_should_be() {
        assert_eq!(found(&telling()), [""; 0]);
    }

    #[test]
    fn a_letter_that_is_told_twice_is_told() {
        let twice = spoiled(|view| view.system.values_mut().for_each(|letter| letter.listed = 2));
        assert!(twice.len() == 1 && twice[0].ends_with("in its agent's inbox 2 times."), "{twice:?}");
        let again = spoiled(|view| view.system.extend([letter(2)]));
        assert!(again.len() == 1 && again[0].ends_with("another tells the same."), "{again:?}");
        let renamed = spoiled(|view| {
            let told = view.system.pop_first().expect("there is one").1;
            view.system.insert(LetterId::from_bytes([1; 16]), told);
        });
        assert!(renamed.len() == 1 && renamed[0].ends_with("not named by what it tells of."), "{renamed:?}");
    }

    #[test]
    fn a_letter_on_what_is_not_so_is_told() {
        let opened = spoiled(|view| view.beads.get_mut(&CLOSED).expect("it is there").bead.status = Status::Open);
        let taken = spoiled(|view| view.beads.get_mut(&WAITING).expect("it is there").bead.assignee = None);
        for found in [opened, taken] {
            assert!(found.len() == 1 && found[0].contains("no bead of its agent waits"), "{found:?}");
        }
        let mut elsewhere = telling();
        let system = std::mem::take(&mut elsewhere.views[1].system);
        elsewhere.views[0].system = system;
        let found = found(&elsewhere);
        assert!(found.len() == 1 && found[0].ends_with("its agent is of another node."), "{found:?}");
    }
}
