//! Much mail at once: what goes through many letters is done in slices, and others are served in between.

use beadmesh_protocol::entry::Set;
use beadmesh_protocol::mail::Letter;
use beadmesh_protocol::testing::letter;

use super::super::super::super::mail::THREAD_WHOLE_MAX;
use super::*;
use crate::replica::{Input, Output, RequestId};

/// Letters that a slice may give effect to: fewer than the rows that it may touch.
const SLICE_LETTERS_MAX: usize = 512;

/// Time between two slices.
const PAUSE: Duration = Duration::from_millis(1);

/// Two nodes, each with an agent, the second of which has written to the first; neither has heard of the other.
struct Apart {
    net: Net,
    ada: Credential,
    /// The entries of the second node with its letters.
    letters: Vec<Entry>,
    /// What makes its agent known.
    control: Vec<Entry>,
}

/// Entries of a node with letters between two agents.
fn written(net: &Net, at: usize, (entries, letters): (u64, u64), change: impl Fn(&mut Letter)) -> Vec<Entry> {
    let (from, to) = (AgentId::of(net.node(1), "Bob"), AgentId::of(net.node(0), "Ada"));
    let (mesh, author) = (net.peers[at].replica.mesh(), net.peers[at].author.clone());
    let make = |entry: u64| {
        let make = |number: u64| {
            let mut letter = letter(from, &[to], &format!("w{entry}-{number}"));
            change(&mut letter);
            Op::Letter(Box::new(letter))
        };
        let ops: Vec<Op> = (0..letters).map(make).collect();
        author.entry(mesh, 1_000 + entry, Wall::from_millis(1_700_000_000_000 + entry), &ops)
    };
    (0..entries).map(make).collect()
}

/// Returns two nodes, the second with that many entries of that many letters each.
fn apart(size: (u64, u64)) -> Apart {
    let mut net = Net::joined(2);
    let ada = net.register(0, "Ada");
    net.register(1, "Bob");
    let control: Vec<Entry> = entries(&net, 1).into_iter().filter(|entry| entry.set() == Set::Control).collect();
    let letters = written(&net, 1, size, |_| {});
    Apart { net, ada, letters, control }
}

/// Wakes a replica until it has nothing left to do with mail; returns how often, and calls `each` in between.
fn wake_on(net: &mut Net, mut each: impl FnMut(&mut Net)) -> usize {
    let mut woken = 0;
    while net.peers[0].replica.is_mail_left() {
        net.elapse(PAUSE);
        assert!(net.peers[0].replica.next_wakeup().is_some_and(|due| due <= net.now(0).mono), "nobody wakes it");
        net.wake();
        woken += 1;
        assert!(woken < 10_000, "it has no end");
        each(net);
    }
    woken
}

#[test]
fn an_agent_that_becomes_known_late_has_its_letters_judged_in_slices() {
    let Apart { mut net, ada, letters, control } = apart((20, 150));
    take(&mut net, 0, letters);
    assert_eq!(unread(&mut net, 0, &ada), 0);
    take(&mut net, 0, control);
    let mut known = unread(&mut net, 0, &ada);
    assert!(known > 0 && usize::try_from(known).unwrap() <= SLICE_LETTERS_MAX, "{known} at once");
    let page = inbox(&mut net, 0, &ada, InboxFilter::default());
    assert!(page.settling && page.letters.len() < 3_000);
    let told = |net: &Net| net.peers[0].events.iter().filter(|event| matches!(event, Event::Letter { .. })).count();
    let woken = wake_on(&mut net, |net| {
        // Whoever asks in between is answered, and told that more may come.
        let now = unread(net, 0, &ada);
        assert!(now - known <= SLICE_LETTERS_MAX as u64, "{} in one slice", now - known);
        known = now;
        assert!(net.status(0).entries > 20);
    });
    assert!(woken >= 3_000 / SLICE_LETTERS_MAX, "{woken} slices");
    assert_eq!((known, told(&net)), (3_000, 3_000));
    let page = inbox(&mut net, 0, &ada, InboxFilter::default());
    assert!(!page.settling && page.letters.len() == 3_000);
    assert_sound(&mut net, 0);
}

#[test]
fn a_review_goes_on_after_a_crash_and_begins_anew_where_the_agent_is_known_no_more() {
    let Apart { mut net, ada, letters, control } = apart((10, 150));
    take(&mut net, 0, letters);
    take(&mut net, 0, control);
    for _ in 0..2 {
        net.crash(0);
        assert!(inbox(&mut net, 0, &ada, InboxFilter { limit: 1, ..InboxFilter::default() }).settling);
        net.elapse(PAUSE);
        net.wake();
    }
    // In the middle of it, a letter comes that is judged at once, and the agent's node may not write any more.
    let late = written(&net, 1, (1, 1), |letter| letter.subject = "late".to_owned());
    take(&mut net, 0, late);
    let listed = unread(&mut net, 0, &ada);
    assert!(listed > 1 && listed < 1_501, "{listed}");
    let roster = net.peers[0].replica.mesh.roster().clone();
    let admit =
        |role, seen| Op::Admit(Admit { seen, node: net.node(1), name: "joined".to_owned(), role, invite: None });
    let founder = net.peers[0].author.clone();
    let wall = net.now(0).wall.after(Duration::from_secs(1));
    let demoted = founder.entry(roster.mesh, 50, wall, &[admit(Role::Observer, roster.seen_by(net.node(0)))]);
    let promoted = founder.entry(roster.mesh, 51, wall, &[admit(Role::Member, vec![demoted.id()])]);
    take(&mut net, 0, vec![demoted]);
    wake_on(&mut net, |_| {});
    assert_eq!((unread(&mut net, 0, &ada), all(&mut net, 0, &ada).len()), (0, 0));
    assert_sound(&mut net, 0);
    take(&mut net, 0, vec![promoted]);
    assert!(net.peers[0].replica.is_mail_left());
    // A check does not take the middle of a review for damage.
    assert_sound(&mut net, 0);
    assert_eq!(unread(&mut net, 0, &ada), 1_501);
}

#[test]
fn the_first_search_waits_for_all_letters_and_delays_nobody() {
    let Apart { mut net, ada, letters, control } = apart((20, 100));
    take(&mut net, 0, control);
    take(&mut net, 0, letters);
    let ask = |net: &mut Net, number: u64, query: &str| {
        let query = MailQuery { query: query.to_owned(), limit: 3, ..MailQuery::default() };
        let command = Command::As(ada.clone(), Box::new(Command::MailSearch(query)));
        net.handle(0, Input::Command(RequestId(number), command));
    };
    let replies = |net: &mut Net| -> Vec<(u64, LetterPage)> {
        let outputs = net.peers[0].replica.flush().unwrap().into_iter();
        let replies = outputs.filter_map(|output| match output {
            Output::Reply(RequestId(id), answer) => Some((id, *answer)),
            _ => None,
        });
        replies
            .map(|(id, answer)| match answer {
                Ok(Answer::Letters(page)) => (id, page),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    (0..70).for_each(|number| ask(&mut net, 9_000 + number, "w0"));
    // More than may wait are told what is known so far.
    let early = replies(&mut net);
    assert!(early.iter().map(|(id, _)| *id).eq(9_064..9_070) && early.iter().all(|(_, page)| page.settling));
    let mut told = Vec::new();
    let mut slices = 0;
    while told.is_empty() {
        assert_eq!(unread(&mut net, 0, &ada), 2_000);
        net.elapse(PAUSE);
        let now = net.now(0);
        net.peers[0].replica.handle(now, Input::Wakeup);
        told = replies(&mut net);
        slices += 1;
        assert!(slices < 1_000);
    }
    assert!(slices > 3, "{slices} slices");
    assert_eq!(told.len(), 64);
    assert!(told.iter().all(|(_, page)| !page.settling && !page.truncated && page.letters.len() == 3));
    // Once read, it is kept, and whoever gives a wrong token waits for nothing.
    assert_eq!(found(&mut net, 0, &ada, "w19 99"), ["w19-99"]);
    net.crash(0);
    let wrong = Credential { token: None, ..ada.clone() };
    assert!(net.ask_as(0, &wrong, Command::MailSearch(MailQuery::default())).is_err());
    assert!(!net.peers[0].replica.is_mail_left());
}

#[test]
fn a_long_thread_is_shown_in_pages_and_all_of_it_can_be_reached() {
    let mut net = Net::alone(1);
    let (ada, bob) = (net.register(0, "Ada"), net.register(0, "Bob"));
    let long = u64::try_from(THREAD_WHOLE_MAX).unwrap() + 90;
    for at in 0..long {
        let (by, other) = if at % 2 == 0 { (&ada, "Bob") } else { (&bob, "Ada") };
        send(&mut net, 0, by, NewLetter { thread: Some("t".to_owned()), ..to(&[other], &at.to_string()) });
        net.elapse(Duration::from_millis(u64::from(at % 3 > 0)));
        if at + 1 == long - 90 || at + 1 == long {
            let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = thread(&mut net, 0, &ada, ThreadQuery { thread: "t".to_owned(), after, limit: 0 });
                assert!(page.letters.len() <= 100 && page.total == at + 1);
                seen.extend(page.letters.into_iter().map(|letter| letter.head.subject));
                (after, pages) = (page.next, pages + 1);
                if after.is_none() {
                    break;
                }
            }
            assert!(pages >= 6 && seen.iter().cloned().eq((0..=at).map(|at| at.to_string())), "{seen:?}");
        }
    }
    let error = refused(&mut net, 0, &ada, NewLetter { thread: Some("t".to_owned()), ..to(&["@thread"], "x") });
    assert!(error.to_string().starts_with("to: @thread stands for nobody in a thread of more than 512"), "{error}");
    assert_sound(&mut net, 0);
}

#[test]
fn a_page_of_a_thread_ends_early_after_long_letters() {
    let mut net = Net::alone(1);
    let ada = net.register(0, "Ada");
    for at in 0..40 {
        let body = format!("{at} ").repeat(20_000);
        send(&mut net, 0, &ada, NewLetter { thread: Some("t".to_owned()), body, ..to(&["Ada"], "long") });
        net.elapse(PAUSE);
    }
    let (mut seen, mut after) = (0, None);
    loop {
        let page = thread(&mut net, 0, &ada, ThreadQuery { thread: "t".to_owned(), after, limit: 0 });
        let bytes: usize = page.letters.iter().map(|letter| letter.body.len()).sum();
        assert!(bytes <= 1024 * 1024 + 64 * 1024 && !page.letters.is_empty(), "{bytes}");
        seen += page.letters.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 40);
}

#[test]
fn a_page_of_what_is_pressing_and_unread_passes_over_so_many_and_goes_on_after_them() {
    let Apart { mut net, ada, control, .. } = apart((0, 0));
    take(&mut net, 0, control);
    let pressing = written(&net, 1, (50, 100), |letter| letter.importance = Importance::Urgent);
    let read = |entry: &Entry| -> Vec<Op> {
        let ids = entry.content().ops.iter().map(|raw| beadmesh_protocol::mail::letter_id(&raw.body));
        let agent = AgentId::of(net.node(0), "Ada");
        ids.map(|letter| Op::Receipt(Receipt { letter, agent, kind: ReceiptKind::Read })).collect()
    };
    // All but the oldest hundred have been read.
    let (mesh, author) = (net.peers[0].replica.mesh(), net.peers[0].author.clone());
    let read: Vec<Entry> = (2_000..)
        .zip(&pressing[1..])
        .map(|(n, entry)| author.entry(mesh, n, Wall::from_millis(1_700_000_000_000 + n), &read(entry)))
        .collect();
    take(&mut net, 0, pressing);
    take(&mut net, 0, read);
    assert_eq!(unread(&mut net, 0, &ada), 100);
    let filter = InboxFilter { unread: true, urgent: true, limit: 60, ..InboxFilter::default() };
    let first = inbox(&mut net, 0, &ada, filter.clone());
    assert!(first.letters.is_empty() && first.next.is_some());
    let second = inbox(&mut net, 0, &ada, InboxFilter { after: first.next, ..filter.clone() });
    assert_eq!(second.letters.len(), 60);
    let third = inbox(&mut net, 0, &ada, InboxFilter { after: second.next, ..filter });
    assert_eq!((third.letters.len(), third.next), (40, None));
}
