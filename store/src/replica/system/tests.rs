use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::bead::{Bead, Dep, DepKey, Field, FieldValue, Status, Target};
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{BeadId, LetterId};
use beadmesh_protocol::mail::Importance;
use beadmesh_protocol::mail::system::{ACK_OVERDUE, Cause};
use proptest::prelude::*;

use crate::command::{
    Action, Answer, Command, CommandError, Credential, ExportedSystemLetter, InboxFilter, LetterAnswer, LetterHead,
    NewBead, NewLetter, Prepared, ThreadQuery,
};
use crate::keys;
use crate::replica::{Event, Input};
use crate::testing::{Net, bead, edit};

const SECOND: Duration = Duration::from_secs(1);

/// Two linked replicas; Lea is an agent of the first, to whom a bead is assigned that waits for another.
fn waiting() -> (Net, Credential) {
    let mut net = Net::joined(2);
    let lea = net.register(0, "Lea");
    net.elapse(SECOND);
    net.create(1, "D1");
    net.link(0, 1);
    net.settle();
    let deps = vec![("blocks".to_owned(), "D1".to_owned())];
    let fields = [bead("D2").fields, vec![assignee("Lea")]].concat();
    net.ask(0, Command::Create(Box::new(NewBead { deps, fields, ..bead("D2") }))).unwrap();
    net.settle();
    (net, lea)
}

fn assignee(name: &str) -> (Field, FieldValue) {
    (Field::Assignee, FieldValue::Text(name.to_owned()))
}

fn act(net: &mut Net, at: usize, bead: &str, action: Action) {
    net.elapse(SECOND);
    net.ask(at, edit(bead, action)).unwrap();
}

/// Closes a bead at one replica, and lets the others hear of it.
fn close(net: &mut Net, at: usize, bead: &str) {
    act(net, at, bead, Action::Close(Some("done".to_owned())));
    net.settle();
}

fn system(net: &mut Net, at: usize) -> BTreeMap<LetterId, ExportedSystemLetter> {
    let Ok(Answer::MailExport(mail)) = net.ask(at, Command::MailExport) else { panic!("mail") };
    assert!(mail.system.values().all(|letter| letter.listed == 1), "{:?}", mail.system);
    mail.system
}

fn inbox(net: &mut Net, by: &Credential, filter: InboxFilter) -> Vec<LetterHead> {
    match net.ask_as(0, by, Command::MailInbox(filter)) {
        Ok(Answer::Letters(page)) => page.letters,
        other => panic!("{other:?}"),
    }
}

fn subjects(net: &mut Net, by: &Credential) -> Vec<String> {
    inbox(net, by, InboxFilter::default()).into_iter().map(|letter| letter.subject).collect()
}

fn show(net: &mut Net, by: &Credential, letter: LetterId) -> LetterAnswer {
    match net.ask_as(0, by, Command::MailShow { letter: letter.to_string(), peek: false }) {
        Ok(Answer::Letter(letter)) => *letter,
        other => panic!("{other:?}"),
    }
}

/// Takes what a replica has told of letters.
fn told(net: &mut Net, at: usize) -> Vec<LetterId> {
    let events = std::mem::take(&mut net.peers[at].events);
    let letter = |event| if let Event::Letter { letter, .. } = event { Some(letter) } else { None };
    events.into_iter().filter_map(letter).collect()
}

/// Asserts that nothing is found amiss, and that a rebuild derives the same and tells of nothing again.
fn assert_sound(net: &mut Net, at: usize) {
    let findings = net.findings(at);
    assert!(!findings.iter().any(|(check, _)| check.starts_with("store.")), "{findings:?}");
    let kept = |net: &Net| {
        let stage = &net.peers[at].replica.stage;
        let rows = [keys::MAIL, keys::WAITS].map(|prefix| stage.keys(prefix).unwrap()).concat();
        rows.into_iter().map(|key| (key.clone(), stage.get(&key).unwrap())).collect::<Vec<_>>()
    };
    let before = kept(net);
    told(net, at);
    net.ask(at, Command::Rebuild).unwrap();
    assert!(kept(net) == before, "a rebuild changes what is kept");
    assert_eq!(told(net, at), []);
}

#[test]
fn who_waits_for_a_bead_is_told_once_that_it_is_closed() {
    let (mut net, lea) = waiting();
    told(&mut net, 0);
    let entries = net.status(0).entries;
    close(&mut net, 1, "D1");
    let letters = inbox(&mut net, &lea, InboxFilter::default());
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.subject.as_str(), letter.thread.as_str()), ("D1 is closed: D2 is ready", "D2"));
    assert_eq!((letter.from.address.as_str(), letter.to[0].address.as_str()), ("system", "Lea@node"));
    assert!(letter.unread && !letter.ack_due && letter.importance == Importance::Normal);
    assert!(matches!(letter.cause, Some(Cause::BeadClosed { .. })) && letter.project.is_some());
    assert_eq!(told(&mut net, 0), [letter.id]);
    assert!(system(&mut net, 1).is_empty() && told(&mut net, 1).is_empty());
    // Only the close came; that it was read is told to the others as of any letter.
    assert_eq!(net.status(0).entries, entries + 1);
    assert_eq!(inbox(&mut net, &lea, InboxFilter { unread: true, ..InboxFilter::default() }).len(), 1);
    let shown = show(&mut net, &lea, letter.id);
    assert!(shown.body.contains("`D1` (title of D1) was closed") && shown.body.contains("> done"), "{}", shown.body);
    assert!(!show(&mut net, &lea, letter.id).head.unread);
    assert_eq!(net.status(0).entries, entries + 2);
    assert_eq!(inbox(&mut net, &lea, InboxFilter { unread: true, ..InboxFilter::default() }), []);
    net.settle();
    assert_eq!(net.status(1).digest, net.status(0).digest);
    assert_sound(&mut net, 0);
    assert_sound(&mut net, 1);
    net.crash(0);
    assert_eq!(system(&mut net, 0).keys().copied().collect::<Vec<_>>(), [letter.id]);
}

#[test]
fn what_a_letter_says_is_so_when_it_is_read() {
    let (mut net, lea) = waiting();
    net.create(0, "D3");
    act(&mut net, 0, "D2", Action::AddDep("waits-for".to_owned(), "D3".to_owned()));
    close(&mut net, 1, "D1");
    assert_eq!(subjects(&mut net, &lea), ["D1 is closed: D2 still waits for 1"]);
    close(&mut net, 0, "D3");
    assert_eq!(subjects(&mut net, &lea), ["D3 is closed: D2 is ready", "D1 is closed: D2 is ready"]);
    close(&mut net, 0, "D2");
    assert_eq!(subjects(&mut net, &lea), ["D3 is closed: D2 is done", "D1 is closed: D2 is done"]);
    assert_sound(&mut net, 0);
}

#[test]
fn a_reopened_bead_takes_its_letter_back_and_a_new_close_is_another() {
    let (mut net, lea) = waiting();
    close(&mut net, 1, "D1");
    let first: Vec<LetterId> = system(&mut net, 0).into_keys().collect();
    act(&mut net, 1, "D1", Action::Reopen);
    net.settle();
    assert!(system(&mut net, 0).is_empty() && subjects(&mut net, &lea).is_empty());
    assert_sound(&mut net, 0);
    close(&mut net, 1, "D1");
    let second: Vec<LetterId> = system(&mut net, 0).into_keys().collect();
    assert!(first.len() == 1 && second.len() == 1 && first != second);
    assert_sound(&mut net, 0);
}

#[test]
fn who_came_later_than_the_close_is_told_nothing() {
    let (mut net, _) = waiting();
    for (alias, name) in [("E1", "Bob"), ("E2", "nobody"), ("E3", "Lea@joined"), ("E4", "Lea@elsewhere")] {
        net.create(0, alias);
        act(&mut net, 0, alias, Action::Set(vec![assignee(name)]));
        act(&mut net, 0, alias, Action::AddDep("blocks".to_owned(), "D1".to_owned()));
    }
    // One that is done by then, one that does not block, and one that depends on it later.
    act(&mut net, 0, "D2", Action::Close(None));
    net.create(0, "E5");
    act(&mut net, 0, "E5", Action::Set(vec![assignee("Lea")]));
    act(&mut net, 0, "E5", Action::AddDep("related".to_owned(), "D1".to_owned()));
    close(&mut net, 1, "D1");
    net.elapse(SECOND);
    net.register(0, "Bob");
    act(&mut net, 0, "E2", Action::Set(vec![assignee("Lea")]));
    act(&mut net, 0, "E5", Action::AddDep("blocks".to_owned(), "D1".to_owned()));
    act(&mut net, 0, "D2", Action::Close(None));
    assert!(system(&mut net, 0).is_empty());
    assert_sound(&mut net, 0);
    // From now on they wait like others.
    act(&mut net, 1, "D1", Action::Reopen);
    close(&mut net, 1, "D1");
    let threads: Vec<String> = system(&mut net, 0)
        .into_values()
        .map(|letter| match letter.cause {
            Cause::BeadClosed { waiting, .. } => waiting.to_string(),
            _ => panic!("{letter:?}"),
        })
        .collect();
    assert_eq!(threads.len(), 3, "E1, E2 and E5");
    assert_sound(&mut net, 0);
}

#[test]
fn an_agent_is_named_with_its_node_or_without() {
    let mut net = Net::joined(2);
    let lea = net.register(1, "Lea");
    net.elapse(SECOND);
    net.create(1, "D1");
    for (alias, name) in [("D2", "lea"), ("D3", "Lea@joined"), ("D4", "Lea@node")] {
        net.create(1, alias);
        act(&mut net, 1, alias, Action::Set(vec![assignee(name)]));
        act(&mut net, 1, alias, Action::AddDep("conditional-blocks".to_owned(), "D1".to_owned()));
    }
    close(&mut net, 1, "D1");
    assert_eq!(system(&mut net, 1).len(), 2);
    assert!(net.ask_as(1, &lea, Command::MailUnread).is_ok_and(|answer| matches!(answer, Answer::Unread(2))));
    assert_sound(&mut net, 1);
}

#[test]
fn a_system_letter_is_neither_answered_nor_acknowledged() {
    let (mut net, lea) = waiting();
    close(&mut net, 1, "D1");
    let letter = inbox(&mut net, &lea, InboxFilter::default()).remove(0);
    let entries = net.status(0).entries;
    let reply =
        NewLetter { in_reply_to: Some(letter.short.clone()), body: "Thanks.".to_owned(), ..NewLetter::default() };
    for command in [Command::MailSend(Box::new(reply)), Command::MailAck(letter.short.clone())] {
        let Err(CommandError::Refused { problem, .. }) = net.ask_as(0, &lea, command) else { panic!("refused") };
        assert!(problem.starts_with(&format!("{} is a system letter", letter.short)), "{problem}");
    }
    assert_eq!(net.status(0).entries, entries);
    // Who writes to its thread writes to nobody by that, and names no such letter.
    let new = NewLetter {
        to: vec!["@thread".to_owned()],
        subject: "Go".to_owned(),
        thread: Some("D2".to_owned()),
        ..NewLetter::default()
    };
    assert!(matches!(
        net.ask_as(0, &lea, Command::MailSend(Box::new(new.clone()))),
        Err(CommandError::Invalid { field, .. }) if field == "to"
    ));
    let new = NewLetter { to: vec!["Lea".to_owned()], ..new };
    let Ok(Answer::Letter(sent)) = net.ask_as(0, &lea, Command::MailSend(Box::new(new))) else { panic!("sent") };
    let query = ThreadQuery { thread: "D2".to_owned(), ..ThreadQuery::default() };
    let Ok(Answer::Thread(thread)) = net.ask_as(0, &lea, Command::MailThread(query)) else { panic!("a thread") };
    let ids: Vec<LetterId> = thread.letters.iter().map(|letter| letter.head.id).collect();
    assert_eq!((ids, thread.total), (vec![letter.id, sent.head.id], 2));
    let Ok(Answer::MailExport(mail)) = net.ask(0, Command::MailExport) else { panic!("mail") };
    assert!(mail.letters[&sent.head.id].letter.seen.is_empty());
    assert_eq!(mail.threads["D2"], [sent.head.id]);
}

/// Has Lea write to an agent of the other replica, who is to acknowledge it.
fn asked(net: &mut Net, lea: &Credential) -> LetterId {
    let new = NewLetter {
        to: vec!["Bob".to_owned(), "Lea".to_owned()],
        subject: "The roof".to_owned(),
        ack_required: true,
        ..NewLetter::default()
    };
    let Ok(Answer::Letter(sent)) = net.ask_as(0, lea, Command::MailSend(Box::new(new))) else { panic!("sent") };
    net.settle();
    sent.head.id
}

#[test]
fn the_sender_is_told_once_of_an_acknowledgement_that_is_overdue() {
    let (mut net, lea) = waiting();
    let bob = net.register(1, "Bob");
    net.settle();
    let letter = asked(&mut net, &lea);
    told(&mut net, 0);
    net.elapse(ACK_OVERDUE - SECOND * 30);
    net.wake();
    assert!(system(&mut net, 0).is_empty());
    assert_sound(&mut net, 0);
    net.elapse(SECOND * 30);
    // It comes by itself, for whoever waits for letters.
    net.wake();
    let late = told(&mut net, 0);
    assert_eq!(late, system(&mut net, 0).into_keys().collect::<Vec<_>>());
    let [id] = late.as_slice() else { panic!("{late:?}") };
    let shown = show(&mut net, &lea, *id);
    assert_eq!(shown.head.subject, "No acknowledgement from Bob@joined: The roof");
    assert_eq!((shown.head.in_reply_to, shown.head.unread), (Some(letter), false));
    net.settle();
    assert!(told(&mut net, 0).is_empty() && system(&mut net, 1).is_empty());
    assert_sound(&mut net, 0);
    // It is history once the acknowledgement is there.
    net.ask_as(1, &bob, Command::MailAck(letter.to_string())).unwrap();
    net.settle();
    assert_eq!(show(&mut net, &lea, *id).head.subject, "Late acknowledgement from Bob@joined: The roof");
    assert_sound(&mut net, 0);
    assert_eq!(told(&mut net, 0), []);
}

#[test]
fn an_acknowledgement_in_time_is_told_of_by_nobody_and_one_that_travelled_long_takes_the_letter_back() {
    let (mut net, lea) = waiting();
    let bob = net.register(1, "Bob");
    net.settle();
    let letter = asked(&mut net, &lea);
    net.ask_as(1, &bob, Command::MailAck(letter.to_string())).unwrap();
    net.settle();
    net.elapse(ACK_OVERDUE * 2);
    net.wake();
    net.settle();
    assert!(system(&mut net, 0).is_empty());
    let letter = asked(&mut net, &lea);
    // What the other writes from now on is on its way for a day.
    net.ask_as(1, &bob, Command::MailAck(letter.to_string())).unwrap();
    net.elapse(ACK_OVERDUE);
    net.handle(0, Input::Wakeup);
    net.flush(0);
    assert_eq!(system(&mut net, 0).len(), 1);
    net.settle();
    assert!(system(&mut net, 0).is_empty());
    assert_sound(&mut net, 0);
}

/// Pages through a thread; returns its letters and how many there are said to be.
fn pages(net: &mut Net, by: &Credential, thread: &str) -> (Vec<LetterHead>, u64) {
    let (mut letters, mut query) = (Vec::new(), ThreadQuery { thread: thread.to_owned(), ..ThreadQuery::default() });
    loop {
        let Ok(Answer::Thread(page)) = net.ask_as(0, by, Command::MailThread(query.clone())) else { panic!("a page") };
        letters.extend(page.letters.into_iter().map(|letter| letter.head));
        query.after = page.next;
        if query.after.is_none() {
            return (letters, page.total);
        }
    }
}

#[test]
fn many_overdue_acknowledgements_are_told_bit_by_bit_and_a_long_thread_holds_them_all() {
    let mut net = Net::alone(1);
    let (lea, bob) = (net.register(0, "Lea"), net.register(0, "Bob"));
    // Together with what is told of them, more than is put in order at once.
    const ASKED: usize = 300;
    for number in 0..ASKED {
        let new = NewLetter {
            to: vec!["Bob".to_owned()],
            subject: format!("n{number}"),
            thread: Some("roof".to_owned()),
            ack_required: true,
            ..NewLetter::default()
        };
        net.ask_as(0, &lea, Command::MailSend(Box::new(new))).unwrap();
    }
    told(&mut net, 0);
    net.elapse(ACK_OVERDUE * 2);
    let mut news = Vec::new();
    for woken in 0.. {
        net.wake();
        let some = told(&mut net, 0);
        if some.is_empty() {
            break;
        }
        assert!(some.len() < ASKED / 2 && woken < ASKED, "{} at once", some.len());
        news.extend(some);
    }
    let (seen, total) = pages(&mut net, &lea, "roof");
    let count = |net: &mut Net| match net.ask_as(0, &lea, Command::MailUnread) {
        Ok(Answer::Unread(unread)) => unread,
        other => panic!("{other:?}"),
    };
    assert_eq!((news.len(), count(&mut net)), (ASKED, 300));
    assert_eq!((seen.len(), total), (2 * ASKED, 600));
    let place = |id| seen.iter().position(|letter| letter.id == id);
    assert!(news.iter().all(|id| place(*id).is_some()));
    let after_its_cause = |letter: &&LetterHead| place(letter.in_reply_to.unwrap()) < place(letter.id);
    assert_eq!(seen.iter().filter(|letter| letter.cause.is_some()).filter(after_its_cause).count(), ASKED);
    // They are Lea's alone.
    assert_eq!(pages(&mut net, &bob, "roof").1, 300);
    show(&mut net, &lea, news[0]);
    assert_eq!(count(&mut net), 299);
    assert_sound(&mut net, 0);
}

fn record(number: u8, alias: &str) -> Bead {
    let mut bead = Bead::new(BeadId::from_bytes([number; 16]), alias.to_owned(), format!("title of {alias}"));
    bead.updated_at = Some("2023-11-14T22:13:30Z".to_owned());
    bead
}

fn import(net: &mut Net, at: usize, bead: Bead) {
    let changes = import_change(&bead).unwrap();
    let prepared = Prepared { line: 1, bead, changes, has_created_at: true, has_updated_at: true };
    net.ask(at, Command::Import(vec![prepared])).unwrap();
}

#[test]
fn a_history_of_closed_beads_makes_no_letters_and_notes_nothing() {
    let mut net = Net::alone(1);
    let history = |net: &mut Net, name: &str| {
        for number in 1..40 {
            let mut bead = record(number, &format!("h{number}"));
            bead.status = Status::Closed;
            bead.closed_at = Some("2023-11-14T22:13:00Z".to_owned());
            bead.assignee = Some(name.to_owned());
            let key = DepKey { kind: "blocks".to_owned(), target: Target::Alias(format!("h{}", number + 1)) };
            bead.deps.insert(key, Dep::default());
            import(net, 0, bead);
        }
    };
    history(&mut net, "somebody");
    assert_eq!(net.peers[0].replica.stage.count(keys::WAITS).unwrap(), 0);
    // Now it is somebody who works here.
    net.register(0, "somebody");
    net.elapse(SECOND);
    assert!(system(&mut net, 0).is_empty());
    assert_eq!(net.peers[0].replica.stage.count(keys::WAITS).unwrap(), 39);
    assert_sound(&mut net, 0);
}

#[test]
fn a_bead_that_is_waited_for_by_name_may_come_last() {
    let mut net = Net::alone(1);
    net.register(0, "Lea");
    net.elapse(SECOND * 60);
    let mut late = record(1, "late");
    (late.status, late.closed_at) = (Status::Closed, Some(net.now(0).wall.to_string()));
    let mut waiting = record(2, "waits");
    waiting.assignee = Some("Lea".to_owned());
    let key = DepKey { kind: "blocks".to_owned(), target: Target::Alias("late".to_owned()) };
    waiting.deps.insert(key, Dep::default());
    import(&mut net, 0, waiting);
    assert!(system(&mut net, 0).is_empty());
    import(&mut net, 0, late);
    assert_eq!(system(&mut net, 0).len(), 1);
    assert_sound(&mut net, 0);
}

/// One step of a history: what is done, by which replica, on which bead.
type Step = (u8, bool, u8);

/// Carries a history out on two replicas that meet at times.
fn carried_out(steps: &[Step]) -> Net {
    let mut net = Net::joined(2);
    net.register(0, "Lea");
    net.register(0, "Bob");
    net.elapse(SECOND);
    let names = ["D0", "D1", "D2", "D3"];
    names.iter().for_each(|name| net.create(0, name));
    for (waiting, on, name) in [("D0", "D1", "Lea"), ("D2", "D1", "Bob"), ("D2", "D3", "Bob")] {
        act(&mut net, 0, waiting, Action::AddDep("blocks".to_owned(), on.to_owned()));
        act(&mut net, 0, waiting, Action::Set(vec![assignee(name)]));
    }
    let link = net.link(0, 1);
    net.settle();
    net.cut(link);
    for (what, elsewhere, which) in steps {
        let at = usize::from(*elsewhere);
        let (bead, other) = (names[usize::from(which % 4)], names[usize::from(which / 4 % 4)]);
        let action = match what % 7 {
            0 | 1 => Action::Close(None),
            2 => Action::Reopen,
            3 => Action::Set(vec![assignee("Lea")]),
            4 => Action::Set(vec![assignee("Bob@node")]),
            5 => Action::RemoveDep(None, other.to_owned()),
            _ => Action::AddDep("blocks".to_owned(), other.to_owned()),
        };
        net.elapse(SECOND);
        // One that is refused, as a dependency that is not there, is no step.
        let _ = net.ask(at, edit(bead, action));
        if what % 3 == 0 {
            let link = net.link(0, 1);
            net.settle();
            net.cut(link);
        }
    }
    net.link(0, 1);
    net.settle();
    net
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_system_letters_do_not_depend_on_the_order_in_which_entries_come(
        steps in proptest::collection::vec(any::<Step>(), 1..24),
        keys in proptest::collection::vec(any::<u32>(), 64),
    ) {
        let mut net = carried_out(&steps);
        let before = system(&mut net, 0);
        let replica = &net.peers[0].replica;
        let entries = replica.entries.data_ids().into_iter().map(|id| replica.entries.load(&replica.stage, id));
        let mut entries: Vec<(u32, Entry)> =
            keys.iter().copied().cycle().zip(entries.map(|entry| entry.unwrap().unwrap())).collect();
        entries.sort_by_key(|(key, _)| *key);
        net.lose_disk(0);
        for (_, entry) in entries {
            net.peers[0].replica.take(None, vec![entry]).unwrap();
            net.flush(0);
        }
        prop_assert_eq!(&system(&mut net, 0), &before);
        net.ask(0, Command::Rebuild).unwrap();
        prop_assert_eq!(&system(&mut net, 0), &before);
        let findings = net.findings(0);
        prop_assert!(!findings.iter().any(|(check, _)| *check == "store.mail"), "{:?}", findings);
    }
}
