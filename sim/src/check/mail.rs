//! Mail: what was acknowledged is there, once in each inbox; threads are in the order of what was seen; nobody writes or
//! reads for an agent of another node; a node tells its own agents once of what is so.
//!
//! It knows the rules and the journal, and nothing of how the store keeps letters.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::id::{AgentId, LetterId};
use beadmesh_protocol::mail::ReceiptKind;
use beadmesh_store::command::ExportedLetter;

use super::Ending;
use super::report::{self, Report, short};
use crate::journal::{Deed, Fate, MailEffect};
use crate::outcome::Violation;
use crate::view::View;
use crate::workload::marked;

mod system;

/// Finds mail that was lost, doubled, out of order, or written by who may not.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("mail", ending);
    for deed in &ending.journal.deeds {
        // What an observer writes is void, and a rogue's own doings are promised to nobody.
        let is_promised = !deed.excused && !ending.is_rogue(deed.node) && ending.may_write(deed.node);
        if matches!(deed.fate, Fate::Done(_)) && is_promised {
            deed.mail.iter().for_each(|effect| check_effect(ending, (deed, effect), &mut report));
        }
    }
    let causes = Causes::of(ending);
    for view in ending.shown() {
        check_lists(view, &mut report);
        check_threads(view, &mut report);
        check_authors(ending, view, &causes, &mut report);
        system::check(ending, view, &mut report);
    }
    report.finish()
}

/// Returns whether a view shows a letter, once in its thread and once in the inbox of each of its recipients.
pub(crate) fn comes_once(view: &View, letter: LetterId) -> bool {
    let Some(shown) = view.mail.letters.get(&letter) else { return false };
    let times = |list: &[LetterId]| list.iter().filter(|other| **other == letter).count();
    let in_thread = view.mail.threads.get(&shown.letter.thread).is_some_and(|thread| times(thread) == 1);
    let mut recipients = shown.letter.recipients().into_iter();
    in_thread && recipients.all(|agent| view.mail.inboxes.get(&agent).is_some_and(|inbox| times(&inbox.letters) == 1))
}

fn check_effect(ending: &Ending<'_>, (deed, effect): (&Deed, &MailEffect), report: &mut Report) {
    let lacking: Vec<&View> = ending.shown().filter(|view| !holds(effect, view)).collect();
    let Some(first) = lacking.first() else { return };
    let who: Vec<String> = lacking.iter().map(|view| report::viewer(view)).collect();
    let what = match effect {
        MailEffect::Registered { agent } => format!("the agent {} is not known", agent.short()),
        MailEffect::Retired { agent } => format!("the agent {} acts again", agent.short()),
        MailEffect::Sent { letter, to, .. } => {
            format!("{} has not come once to each of {} agents", named(letter), to.len())
        }
        MailEffect::Received { letter, agent, kind } => {
            format!("the receipt of {} for {}, {kind:?}, does not count", agent.short(), named(letter))
        }
    };
    let (wish, node) = (deed.wish, deed.node);
    report.note(first.place, format!("wish {wish} of node {node}: {what}, says {}.", who.join(" and ")));
}

fn holds(effect: &MailEffect, view: &View) -> bool {
    let known = |agent: &AgentId| view.agents.iter().find(|known| known.id == *agent);
    match effect {
        MailEffect::Registered { agent } => known(agent).is_some(),
        MailEffect::Retired { agent } => known(agent).is_some_and(|known| known.retired),
        MailEffect::Sent { letter, from, to } => {
            let shown = view.mail.letters.get(letter);
            let as_sent = shown.is_some_and(|shown| {
                let recipients: BTreeSet<AgentId> = shown.letter.recipients().into_iter().collect();
                shown.letter.from == *from && recipients == to.iter().copied().collect()
            });
            as_sent && comes_once(view, *letter)
        }
        // That the letter itself is there is for who sent it.
        MailEffect::Received { letter, agent, kind } => {
            view.mail.letters.get(letter).is_none_or(|shown| has_receipt(shown, *agent, *kind))
        }
    }
}

fn has_receipt(letter: &ExportedLetter, agent: AgentId, kind: ReceiptKind) -> bool {
    let receipt = letter.receipts.iter().find(|receipt| receipt.party.agent == agent);
    receipt.is_some_and(|receipt| kind == ReceiptKind::Read || receipt.acknowledged_at.is_some())
}

/// Inboxes hold what goes to their agents, once each, and as unread what no receipt is there for.
fn check_lists(view: &View, report: &mut Report) {
    let who = report::viewer(view);
    let mut due: BTreeMap<AgentId, (Vec<LetterId>, Vec<LetterId>)> = BTreeMap::new();
    for (id, shown) in &view.mail.letters {
        for agent in shown.letter.recipients() {
            let (letters, unread) = due.entry(agent).or_default();
            letters.push(*id);
            if !has_receipt(shown, agent, ReceiptKind::Read) {
                unread.push(*id);
            }
        }
    }
    for (agent, inbox) in &view.mail.inboxes {
        let (letters, unread) = due.remove(agent).unwrap_or_default();
        for (what, shown, due) in [("inbox", &inbox.letters, letters), ("unread mail", &inbox.unread, unread)] {
            let mut shown = shown.clone();
            shown.sort_unstable();
            let twice = shown.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| (pair[0], "is there twice"));
            let stray = shown.iter().find(|letter| !due.contains(letter)).map(|letter| (*letter, "does not belong"));
            let lost = due.iter().find(|letter| !shown.contains(letter)).map(|letter| (*letter, "is not there"));
            if let Some((letter, how)) = twice.or(stray).or(lost) {
                report.note(view.place, format!("{who}, {what} of {}: {} {how}.", agent.short(), named(&letter)));
            }
        }
    }
    if let Some(agent) = due.keys().next() {
        report.note(view.place, format!("{who} shows no inbox of {}, to whom letters go.", agent.short()));
    }
}

/// Each letter stands once in its thread, after those it names as far as they are there.
fn check_threads(view: &View, report: &mut Report) {
    let who = report::viewer(view);
    let mut left: BTreeSet<LetterId> = view.mail.letters.keys().copied().collect();
    for (thread, letters) in &view.mail.threads {
        let name = short(thread);
        let mut before = BTreeSet::new();
        let all: BTreeSet<&LetterId> = letters.iter().collect();
        for letter in letters {
            let shown = view.mail.letters.get(letter).filter(|shown| shown.letter.thread == *thread);
            if shown.is_none() || !left.remove(letter) {
                report.note(view.place, format!("{who}, thread {name:?}: {} does not belong there.", named(letter)));
            }
            let names = shown.map(|shown| shown.letter.named()).unwrap_or_default();
            if let Some(later) = names.iter().find(|other| all.contains(other) && !before.contains(*other)) {
                let (letter, later) = (named(letter), named(later));
                report.note(
                    view.place,
                    format!("{who}, thread {name:?}: {letter} stands before {later}, which it names."),
                );
            }
            before.insert(*letter);
        }
    }
    if let Some(letter) = left.first() {
        report.note(view.place, format!("{who} shows {} in no thread.", named(letter)));
    }
}

/// What the journal explains.
struct Causes {
    /// Letters and agents that may have read them, or may have acknowledged them.
    receipts: BTreeSet<(LetterId, AgentId, ReceiptKind)>,
    /// Wishes of which every deed was refused.
    refused: BTreeSet<usize>,
}

impl Causes {
    fn of(ending: &Ending<'_>) -> Self {
        let mut causes = Self { receipts: BTreeSet::new(), refused: BTreeSet::new() };
        let mut done = BTreeSet::new();
        for deed in &ending.journal.deeds {
            if matches!(deed.fate, Fate::Refused(_)) {
                causes.refused.insert(deed.wish);
                continue;
            }
            done.insert(deed.wish);
            for effect in &deed.mail {
                let MailEffect::Received { letter, agent, kind } = effect else { continue };
                causes.receipts.insert((*letter, *agent, ReceiptKind::Read));
                causes.receipts.insert((*letter, *agent, *kind));
            }
        }
        causes.refused.retain(|wish| !done.contains(wish));
        causes
    }
}

/// What is shown was written on the node of the agent that it is from, and for a reason.
fn check_authors(ending: &Ending<'_>, view: &View, causes: &Causes, report: &mut Report) {
    let who = report::viewer(view);
    let node_of: BTreeMap<AgentId, _> = view.agents.iter().map(|agent| (agent.id, agent.node)).collect();
    let is_honest = |agent| {
        let place = node_of.get(&agent).and_then(|node| ending.place(*node));
        place.is_some_and(|place| !ending.is_rogue(place))
    };
    for (id, shown) in &view.mail.letters {
        let mut note = |what: String| report.note(view.place, format!("{who} shows {} {what}.", named(id)));
        if ending.impostures.contains(id) {
            note("of an impostor".to_owned());
        }
        if node_of.get(&shown.letter.from) != Some(&shown.node) {
            note("of a node that its sender is not of".to_owned());
        }
        if let Some(wish) = marked(&shown.letter.subject).find(|wish| causes.refused.contains(wish)) {
            note(format!("though wish {wish} was refused"));
        }
        for receipt in &shown.receipts {
            let agent = receipt.party.agent;
            let kind = receipt.acknowledged_at.map_or(ReceiptKind::Read, |_| ReceiptKind::Acknowledged);
            if is_honest(agent) && !causes.receipts.contains(&(*id, agent, kind)) {
                note(format!("with a receipt of {}, {kind:?}, that nobody asked for", agent.short()));
            }
        }
    }
}

fn named(letter: &LetterId) -> String {
    format!("letter {}", letter.short())
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::clock::Wall;
    use beadmesh_protocol::id::NodeId;
    use beadmesh_protocol::mail::Letter;
    use beadmesh_protocol::testing;
    use beadmesh_store::command::{ExportedInbox, MailExport, Party, ReceiptAnswer};

    use super::*;
    use crate::check::tests::{Scene, key, shown_agent, told};

    pub(super) fn agent(node: u8) -> AgentId {
        AgentId::of(key(node), "Oak")
    }

    /// The agent of node 0 writes to that of node 1, which reads it and answers.
    fn first() -> Letter {
        Letter { thread: "plan".to_owned(), ..testing::letter(agent(0), &[agent(1)], "w9-first") }
    }

    fn answer() -> Letter {
        let (seen, in_reply_to) = (vec![first().id()], Some(first().id()));
        let letter = testing::letter(agent(1), &[agent(0)], "w10-answer");
        Letter { thread: "plan".to_owned(), seen, in_reply_to, ..letter }
    }

    fn export() -> MailExport {
        let (one, other) = (first().id(), answer().id());
        let party = Party { agent: agent(1), address: "Oak@node-1".to_owned() };
        let receipt = ReceiptAnswer { party, read_at: Wall::default(), acknowledged_at: None };
        let letter = |letter, node: NodeId, receipts| ExportedLetter { letter, node, receipts };
        MailExport {
            letters: BTreeMap::from([
                (one, letter(first(), key(0), vec![receipt])),
                (other, letter(answer(), key(1), Vec::new())),
            ]),
            threads: BTreeMap::from([("plan".to_owned(), vec![one, other])]),
            inboxes: BTreeMap::from([
                (agent(0), ExportedInbox { letters: vec![other], unread: vec![other] }),
                (agent(1), ExportedInbox { letters: vec![one], unread: Vec::new() }),
            ]),
            system: BTreeMap::new(),
        }
    }

    pub(super) fn scene() -> Scene {
        let mut scene = Scene::sound();
        scene.change_all(|view| {
            view.agents = vec![shown_agent(0, agent(0)), shown_agent(1, agent(1))];
            view.mail = export();
        });
        let done = || Fate::Done(9);
        scene.mailed(0, 1, done(), MailEffect::Registered { agent: agent(0) });
        let sent =
            |letter: &Letter| MailEffect::Sent { letter: letter.id(), from: letter.from, to: letter.recipients() };
        scene.mailed(0, 2, done(), sent(&first()));
        let kind = ReceiptKind::Read;
        scene.mailed(1, 3, done(), MailEffect::Received { letter: first().id(), agent: agent(1), kind });
        scene.mailed(1, 4, done(), sent(&answer()));
        scene
    }

    /// Returns what is said once the mail of node 1 is spoiled.
    fn spoiled(spoil: impl Fn(&mut View)) -> Vec<String> {
        let mut scene = scene();
        spoil(&mut scene.views[1]);
        told(check, &scene)
    }

    #[test]
    fn mail_that_came_once_and_in_order_is_as_it_should_be() {
        assert_eq!(told(check, &scene()), [""; 0]);
        assert!(comes_once(&scene().views[0], first().id()));
    }

    #[test]
    fn a_letter_that_is_lost_is_told_unless_it_is_excused() {
        let lose = |view: &mut View| {
            view.mail.letters.remove(&answer().id());
            view.mail.threads.insert("plan".to_owned(), vec![first().id()]);
            view.mail.inboxes.insert(agent(0), ExportedInbox::default());
        };
        let found = spoiled(lose);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("wish 5 of node 1: letter "), "{found:?}");
        assert!(found[0].ends_with(" has not come once to each of 1 agents, says node 1."), "{found:?}");
        let mut scene = scene();
        lose(&mut scene.views[1]);
        scene.journal.deeds[5].excused = true;
        assert_eq!(told(check, &scene), [""; 0]);
    }

    #[test]
    fn a_letter_that_comes_twice_is_told() {
        let id = first().id();
        let found = spoiled(|view| view.mail.inboxes.get_mut(&agent(1)).unwrap().letters.push(id));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].contains("inbox of") && found[1].ends_with("is there twice."), "{found:?}");
    }

    #[test]
    fn unread_mail_goes_with_receipts() {
        let found = spoiled(|view| view.mail.inboxes.get_mut(&agent(0)).unwrap().unread.clear());
        assert!(found[0].contains("unread mail of") && found[0].ends_with("is not there."), "{found:?}");
        let found = spoiled(|view| view.mail.letters.get_mut(&first().id()).unwrap().receipts.clear());
        assert!(found[0].contains("the receipt of") && found[0].contains("does not count"), "{found:?}");
    }

    #[test]
    fn an_answer_that_stands_before_its_letter_is_told() {
        let found = spoiled(|view| view.mail.threads.get_mut("plan").unwrap().reverse());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(" stands before ") && found[0].ends_with(", which it names."), "{found:?}");
        let found = spoiled(|view| view.mail.threads.get_mut("plan").unwrap().truncate(1));
        assert!(found.iter().any(|told| told.contains("in no thread")), "{found:?}");
    }

    #[test]
    fn what_impostors_write_must_not_show() {
        let mut posed = scene();
        posed.impostures.insert(first().id());
        assert!(told(check, &posed)[0].contains("of an impostor"));
        let found = spoiled(|view| view.mail.letters.get_mut(&first().id()).unwrap().node = key(2));
        assert!(found[0].contains("of a node that its sender is not of"), "{found:?}");
        let acknowledged = |view: &mut View| {
            view.mail.letters.get_mut(&first().id()).unwrap().receipts[0].acknowledged_at = Some(Wall::default());
        };
        let found = spoiled(acknowledged);
        assert!(found[0].contains("Acknowledged, that nobody asked for"), "{found:?}");
        let mut rogue = scene();
        acknowledged(&mut rogue.views[1]);
        rogue.plan.nodes[1].rogue = true;
        assert_eq!(told(check, &rogue), [""; 0], "what a rogue says of its own agents is its own");
    }

    #[test]
    fn agents_stay_known_and_retired_and_refused_wishes_leave_nothing() {
        let found = spoiled(|view| drop(view.agents.remove(0)));
        assert!(found[0].contains("is not known, says node 1"), "{found:?}");
        let mut retired = scene();
        retired.mailed(0, 5, Fate::Done(9), MailEffect::Retired { agent: agent(0) });
        assert!(told(check, &retired)[0].contains("acts again, says the reference and node 0 and node 1"));
        retired.change_all(|view| view.agents[0].retired = true);
        assert_eq!(told(check, &retired), [""; 0]);
        for _ in 0..4 {
            retired.mailed(0, 6, Fate::Refused("invalid"), MailEffect::Registered { agent: agent(0) });
        }
        let found = told(check, &retired);
        assert!(found.iter().any(|told| told.contains("though wish 9 was refused")), "{found:?}");
    }
}
