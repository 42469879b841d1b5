use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{AgentId, BlobHash, LetterId};
use beadmesh_protocol::mail::{Attachment, Importance, Receipt, ReceiptKind};
use beadmesh_protocol::op::{Admit, Op, Role};

use crate::command::{
    Answer, BlobUse, Command, CommandError, Credential, ExportedInbox, InboxFilter, LetterAnswer, LetterHead,
    LetterPage, MailQuery, NewAgent, NewLetter, ProjectContext, ThreadAnswer, ThreadQuery,
};
use crate::keys;
use crate::replica::Event;
use crate::testing::Net;

mod bounds;

fn to(names: &[&str], subject: &str) -> NewLetter {
    let to = names.iter().map(|name| (*name).to_owned()).collect();
    NewLetter { to, subject: subject.to_owned(), body: format!("About {subject}."), ..NewLetter::default() }
}

fn send(net: &mut Net, at: usize, by: &Credential, new: NewLetter) -> LetterAnswer {
    match net.ask_as(at, by, Command::MailSend(Box::new(new))) {
        Ok(Answer::Letter(letter)) => *letter,
        other => panic!("{other:?}"),
    }
}

fn refused(net: &mut Net, at: usize, by: &Credential, new: NewLetter) -> CommandError {
    match net.ask_as(at, by, Command::MailSend(Box::new(new))) {
        Err(error) => error,
        other => panic!("{other:?}"),
    }
}

fn page(net: &mut Net, at: usize, by: &Credential, command: Command) -> LetterPage {
    match net.ask_as(at, by, command) {
        Ok(Answer::Letters(page)) => page,
        other => panic!("{other:?}"),
    }
}

fn inbox(net: &mut Net, at: usize, by: &Credential, filter: InboxFilter) -> LetterPage {
    page(net, at, by, Command::MailInbox(filter))
}

fn all(net: &mut Net, at: usize, by: &Credential) -> Vec<LetterHead> {
    inbox(net, at, by, InboxFilter::default()).letters
}

fn found(net: &mut Net, at: usize, by: &Credential, query: &str) -> Vec<String> {
    let query = MailQuery { query: query.to_owned(), ..MailQuery::default() };
    page(net, at, by, Command::MailSearch(query)).letters.into_iter().map(|letter| letter.subject).collect()
}

fn unread(net: &mut Net, at: usize, by: &Credential) -> u64 {
    match net.ask_as(at, by, Command::MailUnread) {
        Ok(Answer::Unread(count)) => count,
        other => panic!("{other:?}"),
    }
}

fn show(net: &mut Net, at: usize, by: &Credential, letter: &str) -> LetterAnswer {
    match net.ask_as(at, by, Command::MailShow { letter: letter.to_owned(), peek: false }) {
        Ok(Answer::Letter(letter)) => *letter,
        other => panic!("{other:?}"),
    }
}

fn thread(net: &mut Net, at: usize, by: &Credential, query: ThreadQuery) -> ThreadAnswer {
    match net.ask_as(at, by, Command::MailThread(query)) {
        Ok(Answer::Thread(thread)) => thread,
        other => panic!("{other:?}"),
    }
}

fn subjects(letters: &[LetterHead]) -> Vec<&str> {
    letters.iter().map(|letter| letter.subject.as_str()).collect()
}

/// Every row that is kept of mail.
fn rows(net: &Net, at: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let stage = &net.peers[at].replica.stage;
    let keys = stage.keys(keys::MAIL).unwrap();
    keys.into_iter().map(|key| (key.clone(), stage.get(&key).unwrap().unwrap())).collect()
}

/// Asserts that nothing is found amiss, and that a rebuild changes nothing.
fn assert_sound(net: &mut Net, at: usize) {
    let Ok(Answer::Checked(mut findings)) = net.ask(at, Command::Check) else { panic!("findings") };
    // What a test writes in a node's name looks as if another store had written it.
    findings.retain(|finding| !matches!(finding.check, "clock.skew" | "store.cloned" | "store.restored"));
    assert_eq!(findings, []);
    let before = rows(net, at);
    net.peers[at].events.clear();
    net.ask(at, Command::Rebuild).unwrap();
    assert!(rows(net, at) == before, "a rebuild changes what is kept of mail");
    assert!(!net.peers[at].events.iter().any(|event| matches!(event, Event::Letter { .. })), "told twice");
}

fn take(net: &mut Net, at: usize, entries: Vec<Entry>) {
    net.peers[at].replica.take(None, entries).unwrap();
    net.flush(at);
}

/// Every entry that a replica holds.
fn entries(net: &Net, at: usize) -> Vec<Entry> {
    let replica = &net.peers[at].replica;
    let data = replica.entries.data_ids().into_iter();
    let data = data.map(|id| replica.entries.load(&replica.stage, id).unwrap().unwrap());
    replica.entries.load_control(&replica.stage).unwrap().into_iter().chain(data).collect()
}

#[test]
fn a_letter_is_sent_read_answered_and_acknowledged_between_nodes() {
    let mut net = Net::joined(2);
    let (ada, bob) = (net.register(0, "Ada"), net.register(1, "Bob"));
    net.link(0, 1);
    net.settle();
    let new = NewLetter { ack_required: true, importance: Importance::High, ..to(&["bob"], "the roof") };
    let sent = send(&mut net, 0, &ada, new);
    assert_eq!((sent.head.from.address.as_str(), sent.head.to[0].address.as_str()), ("Ada@node", "Bob@joined"));
    net.settle();
    let told = net.peers[1]
        .events
        .iter()
        .filter(|event| matches!(event, Event::Letter { letter, .. } if *letter == sent.head.id));
    assert_eq!(told.count(), 1);
    let heads = all(&mut net, 1, &bob);
    assert!(heads[0].unread && heads[0].ack_due && heads[0].short.len() == 6);
    assert_eq!(unread(&mut net, 1, &bob), 1);
    let peeked = net.ask_as(1, &bob, Command::MailShow { letter: heads[0].short.clone(), peek: true });
    assert!(matches!(peeked, Ok(Answer::Letter(letter)) if letter.receipts.is_empty()));
    let shown = show(&mut net, 1, &bob, &heads[0].short.to_uppercase());
    assert_eq!((shown.body.as_str(), shown.head.unread, unread(&mut net, 1, &bob)), ("About the roof.", false, 0));
    let entries = net.status(1).entries;
    show(&mut net, 1, &bob, &heads[0].short);
    for _ in 0..2 {
        net.ask_as(1, &bob, Command::MailAck(heads[0].short.clone())).unwrap();
        assert_eq!(net.status(1).entries, entries + 1);
    }
    let reply = NewLetter { subject: String::new(), in_reply_to: Some(heads[0].short.clone()), ..to(&[], "") };
    let reply = send(&mut net, 1, &bob, reply);
    assert_eq!((reply.head.subject.as_str(), &reply.head.thread), ("Re: the roof", &sent.head.thread));
    net.settle();
    assert_eq!(subjects(&all(&mut net, 0, &ada)), ["Re: the roof"]);
    let receipts = show(&mut net, 0, &ada, &sent.head.short).receipts;
    assert!(receipts[0].party.address == "Bob@joined" && receipts[0].acknowledged_at.is_some());
    let refused = net.ask_as(0, &ada, Command::MailAck(sent.head.short.clone()));
    assert!(matches!(refused, Err(CommandError::Refused { .. })));
    (0..2).for_each(|at| assert_sound(&mut net, at));
    net.crash(1);
    assert_eq!(subjects(&all(&mut net, 1, &bob)), ["the roof"]);
}

#[test]
fn whatever_arrives_first_each_letter_counts_once() {
    let mut net = Net::joined(6);
    let (ada, bob) = (net.register(0, "Ada"), net.register(1, "Bob"));
    let link = net.link(0, 1);
    net.settle();
    for subject in ["one", "two", "three"] {
        let new = NewLetter { importance: Importance::Urgent, thread: Some("t".to_owned()), ..to(&["Bob"], subject) };
        send(&mut net, 0, &ada, new);
        net.settle();
        let last = all(&mut net, 1, &bob)[0].short.clone();
        show(&mut net, 1, &bob, &last);
        let reply = NewLetter { in_reply_to: Some(last), ..to(&[], "yes") };
        send(&mut net, 1, &bob, reply);
        net.settle();
    }
    net.cut(link);
    let mut entries = entries(&net, 0);
    // Somebody brings every letter again: its own node earlier and later, and a node it does not belong to.
    let (mesh, ops): (_, Vec<Op>) = {
        let ops = entries.iter().flat_map(|entry| &entry.content().ops);
        (net.peers[0].replica.mesh(), ops.filter_map(|raw| Op::decode(raw).ok()).collect())
    };
    let mail: Vec<Op> = ops.into_iter().filter(|op| matches!(op, Op::Letter(_) | Op::Receipt(_))).collect();
    for (at, millis) in [(0, 5), (0, 1_800_000_000_000), (1, 7), (2, 3)] {
        let author = net.peers[at].author.clone();
        entries.push(author.entry(mesh, 900 + millis % 100, Wall::from_millis(millis), &mail));
    }
    let mut orders = vec![entries.clone(), entries.iter().rev().cloned().collect(), entries.clone(), entries.clone()];
    orders[2].sort_by_key(Entry::id);
    orders[3].sort_by_key(|entry| std::cmp::Reverse(entry.id()));
    for (at, order) in (2..).zip(orders) {
        for entry in order {
            take(&mut net, at, vec![entry]);
        }
        assert_eq!(net.status(at).digest, net.status(2).digest);
        assert!(rows(&net, at) == rows(&net, 2), "order {at}");
        assert_sound(&mut net, at);
    }
    let cid = net.register(2, "Cid");
    let page = thread(&mut net, 2, &cid, ThreadQuery { thread: "t".to_owned(), ..ThreadQuery::default() });
    let told: Vec<&str> = page.letters.iter().map(|letter| letter.head.subject.as_str()).collect();
    assert_eq!(told, ["one", "yes", "two", "yes", "three", "yes"]);
}

#[test]
fn a_letter_waits_for_the_word_on_its_sender_and_goes_when_that_has_no_effect_any_more() {
    let mut net = Net::joined(3);
    let ada = net.register(0, "Ada");
    let bob = net.register(1, "Bob");
    let link = net.link(0, 1);
    net.settle();
    let letter = send(&mut net, 1, &bob, to(&["Ada"], "waits"));
    net.settle();
    net.cut(link);
    let (data, control): (Vec<Entry>, Vec<Entry>) =
        entries(&net, 0).into_iter().partition(|entry| entry.set() == beadmesh_protocol::entry::Set::Data);
    let cid = net.register(2, "Cid");
    take(&mut net, 2, data);
    assert!(found(&mut net, 2, &cid, "waits").is_empty());
    let roster = net.peers[0].replica.mesh.roster().clone();
    net.peers[2].events.clear();
    take(&mut net, 2, control);
    assert_eq!(found(&mut net, 2, &cid, "waits bob"), ["waits"]);
    assert!(
        net.peers[2]
            .events
            .iter()
            .any(|event| matches!(event, Event::Letter { letter: told, .. } if *told == letter.head.id))
    );
    // A founder says in turn that Bob's node reads only, and that it writes again.
    let mut seen = roster.seen_by(net.node(0));
    for (role, expected) in [(Role::Observer, 0), (Role::Member, 1)] {
        let admit = Op::Admit(Admit { seen, node: net.node(1), name: "joined".to_owned(), role, invite: None });
        let wall = net.now(0).wall.after(Duration::from_secs(1));
        let entry = net.peers[0].author.clone().entry(roster.mesh, 50, wall, &[admit]);
        seen = vec![entry.id()];
        take(&mut net, 0, vec![entry.clone()]);
        take(&mut net, 2, vec![entry]);
        assert_eq!((all(&mut net, 0, &ada).len(), unread(&mut net, 0, &ada)), (expected, expected as u64));
        assert_eq!(found(&mut net, 2, &cid, "waits").len(), expected);
        [0, 2].into_iter().for_each(|at| assert_sound(&mut net, at));
    }
}

#[test]
fn nobody_writes_or_reads_for_an_agent_of_another_node() {
    let mut net = Net::joined(2);
    let (ada, bob) = (net.register(0, "Ada"), net.register(1, "Bob"));
    net.link(0, 1);
    net.settle();
    let sent = send(&mut net, 0, &ada, to(&["Bob"], "mine"));
    net.settle();
    let (mesh, rogue) = (net.peers[0].replica.mesh(), net.peers[0].author.clone());
    let bob_id = AgentId::of(net.node(1), "Bob");
    let forged = beadmesh_protocol::testing::letter(bob_id, &[AgentId::of(net.node(0), "Ada")], "forged");
    let receipt = Receipt { letter: sent.head.id, agent: bob_id, kind: ReceiptKind::Acknowledged };
    let lies = rogue.entry(mesh, 99, net.now(0).wall, &[Op::Letter(Box::new(forged)), Op::Receipt(receipt)]);
    (0..2).for_each(|at| take(&mut net, at, vec![lies.clone()]));
    assert!(all(&mut net, 0, &ada).is_empty());
    assert!(show(&mut net, 0, &ada, &sent.head.short).receipts.is_empty());
    assert_eq!(unread(&mut net, 1, &bob), 1);
    (0..2).for_each(|at| assert_sound(&mut net, at));
}

#[test]
fn an_inbox_is_read_in_pages_the_newest_first() {
    let mut net = Net::alone(1);
    let (ada, bob) = (net.register(0, "Ada"), net.register(0, "Bob"));
    let mut half = Wall::default();
    for at in 0..600 {
        let importance = if at % 100 == 0 { Importance::Urgent } else { Importance::Normal };
        if at == 300 {
            half = net.now(0).wall;
        }
        send(&mut net, 0, &ada, NewLetter { importance, ..to(&["Bob", "bob"], &format!("n{at}")) });
        net.elapse(Duration::from_millis(5));
    }
    assert_eq!(unread(&mut net, 0, &bob), 600);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = inbox(&mut net, 0, &bob, InboxFilter { after, limit: 70, ..InboxFilter::default() });
        seen.extend(page.letters);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.iter().map(|letter| letter.subject.clone()).eq((0..600).rev().map(|at| format!("n{at}"))));
    show(&mut net, 0, &bob, &seen[599].short);
    net.ask_as(0, &bob, Command::MailAck(seen[598].short.clone())).unwrap();
    assert_eq!(unread(&mut net, 0, &bob), 598);
    let mut count = |filter: InboxFilter| inbox(&mut net, 0, &bob, filter).letters.len();
    assert_eq!(count(InboxFilter { unread: true, ..InboxFilter::default() }), 598);
    assert_eq!(count(InboxFilter { urgent: true, ..InboxFilter::default() }), 6);
    assert_eq!(count(InboxFilter { urgent: true, unread: true, ..InboxFilter::default() }), 5);
    assert_eq!(count(InboxFilter { since: Some(half), ..InboxFilter::default() }), 300);
    assert_eq!(count(InboxFilter { since: Some(half), limit: 299, unread: true, ..InboxFilter::default() }), 299);
    assert_eq!(count(InboxFilter { after: Some(LetterId::from_bytes([1; 16])), ..InboxFilter::default() }), 0);
    assert_sound(&mut net, 0);
}

#[test]
fn a_thread_is_in_the_order_of_what_was_seen_though_a_clock_is_years_wrong() {
    let mut net = Net::joined(2);
    let (ada, bob) = (net.register(0, "Ada"), net.register(1, "Bob"));
    net.link(0, 1);
    net.settle();
    net.peers[1].ahead = Duration::from_secs(3 * 365 * 24 * 3_600);
    let first = send(&mut net, 1, &bob, NewLetter { thread: Some("bd-1".to_owned()), ..to(&["Ada"], "0") });
    for at in 1..6 {
        net.settle();
        let (by, other) = if at % 2 == 0 { (&bob, "Ada") } else { (&ada, "Bob") };
        let new = NewLetter { thread: Some("bd-1".to_owned()), ..to(&[other], &at.to_string()) };
        send(&mut net, usize::from(at % 2 == 0), by, new);
    }
    net.settle();
    let query = |thread: &str, after, limit| ThreadQuery { thread: thread.to_owned(), after, limit };
    for at in 0..2 {
        let by = if at == 0 { &ada } else { &bob };
        let page = thread(&mut net, at, by, query(&first.head.short, None, 4));
        assert_eq!((page.thread.as_str(), page.total, page.letters.len()), ("bd-1", 6, 4));
        let rest = thread(&mut net, at, by, query("bd-1", page.next, 4));
        assert_eq!(rest.next, None);
        let all: Vec<LetterHead> = page.letters.into_iter().chain(rest.letters).map(|letter| letter.head).collect();
        assert_eq!(subjects(&all), ["0", "1", "2", "3", "4", "5"]);
        assert_sound(&mut net, at);
    }
    let none = net.ask_as(0, &ada, Command::MailThread(query("bd-2", None, 0)));
    assert!(matches!(none, Err(CommandError::NotFound { what: "thread", .. })));
}

#[test]
fn a_search_knows_what_came_after_it_was_first_made() {
    let mut net = Net::alone(1);
    let (ada, bob) = (net.register(0, "Ada"), net.register(0, "Bob"));
    send(&mut net, 0, &ada, to(&["Bob"], "Rain on the roof"));
    assert_eq!(found(&mut net, 0, &bob, "RAIN ada"), ["Rain on the roof"]);
    net.elapse(Duration::from_secs(1));
    send(&mut net, 0, &bob, to(&["Ada"], "more rain"));
    assert_eq!(found(&mut net, 0, &bob, "rain"), ["more rain", "Rain on the roof"]);
    assert!(found(&mut net, 0, &bob, "rai").is_empty() && found(&mut net, 0, &bob, "").is_empty());
    let query = MailQuery { query: "rain".to_owned(), after: None, limit: 1 };
    let first = page(&mut net, 0, &ada, Command::MailSearch(query.clone()));
    let second = page(&mut net, 0, &ada, Command::MailSearch(MailQuery { after: first.next, ..query }));
    assert_eq!((subjects(&second.letters), second.next), (vec!["Rain on the roof"], None));
}

#[test]
fn recipients_are_found_as_people_write_them() {
    let mut net = Net::joined(3);
    let project = ProjectContext { keys: vec!["github.com/ada/tool".to_owned()], prefix: None };
    let ada = net.register(0, "Ada");
    for (at, name) in [(0, "Bob"), (1, "Bob"), (1, "Cid"), (1, "Dan"), (2, "Dan")] {
        let (name, project) = (Some(name.to_owned()), Some(project.clone()));
        net.ask(at, Command::AgentRegister(NewAgent { name, project, ..NewAgent::default() })).unwrap();
    }
    net.ask(1, Command::AgentRetire("Cid".to_owned())).unwrap();
    for at in [1, 2] {
        net.link(0, at);
        net.settle();
    }
    let other = |at: usize| net.peers[0].replica.mesh.roster().display_name(net.peers[at].author.node());
    let (one, two) = (other(1), other(2));
    let [first, second] = if one < two { [&one, &two] } else { [&two, &one] };
    let addresses =
        |letter: &LetterAnswer| -> Vec<String> { letter.head.to.iter().map(|party| party.address.clone()).collect() };
    let sent = send(&mut net, 0, &ada, to(&["bob", &format!("Dan@{one}"), "BOB@node"], "x"));
    assert_eq!(addresses(&sent), ["Bob@node".to_owned(), format!("Dan@{one}")]);
    let about = NewLetter { project: Some(project), ..to(&["@project"], "x") };
    assert_eq!(send(&mut net, 0, &ada, about).head.to.len(), 4);
    let again = NewLetter { thread: Some(sent.head.thread.clone()), ..to(&["@thread"], "x") };
    let mut of_thread = addresses(&send(&mut net, 0, &ada, again));
    of_thread.sort();
    assert_eq!(of_thread, ["Bob@node".to_owned(), format!("Dan@{one}")]);
    let digest = net.status(0).digest;
    let errors = [
        (to(&["Dan"], "x"), format!("\"Dan\" is ambiguous: Dan@{first}, Dan@{second}"), ""),
        (to(&["Bop"], "x"), "no agent \"Bop\"".to_owned(), "did you mean "),
        (to(&["Nobody"], "x"), "no agent \"Nobody\"".to_owned(), "`beadmesh agent list"),
        (to(&[&format!("Cid@{one}")], "x"), format!("the agent Cid@{one} is retired"), ""),
        (to(&["@thread"], "x"), "to: @thread stands for nobody".to_owned(), ""),
        (to(&["@project"], "x"), "to: @project stands for the agents of a project".to_owned(), ""),
        (to(&["@all"], "x"), "to: \"@all\" is no group".to_owned(), ""),
        (to(&[], "x"), "to: a letter needs a recipient".to_owned(), ""),
        (to(&["Bob"], " "), "subject: a letter needs a subject".to_owned(), ""),
        (to(&["Bob"], "a\nb"), "subject: it holds the control character".to_owned(), ""),
        (to(&["Bob"], &"x".repeat(257)), "subject: there are more than 256 bytes".to_owned(), ""),
        (NewLetter { body: "x".repeat(65_537), ..to(&["Bob"], "x") }, "body: there are more".to_owned(), ""),
        (NewLetter { in_reply_to: Some("nothing".to_owned()), ..to(&["Bob"], "x") }, "no letter".to_owned(), ""),
    ];
    for (new, problem, hint) in errors {
        let error = refused(&mut net, 0, &ada, new);
        assert!(error.to_string().starts_with(&problem) && error.hint().starts_with(hint), "{error}; {}", error.hint());
    }
    let many = Attachment { hash: BlobHash::of(b""), name: "a".to_owned(), bytes: 1 };
    let error = refused(&mut net, 0, &ada, NewLetter { attachments: vec![many; 9], ..to(&["Bob"], "x") });
    assert!(error.to_string().starts_with("attachments: "), "{error}");
    assert_eq!(net.status(0).digest, digest);
}

#[test]
fn it_is_known_who_carries_a_blob_while_the_letter_has_effect() {
    let mut net = Net::joined(2);
    let (ada, bob) = (net.register(0, "Ada"), net.register(1, "Bob"));
    net.link(0, 1);
    net.settle();
    let [shared, single, nobodys] = [b"shared", b"single", b"nobody"].map(|content| BlobHash::of(content));
    let attachment = |hash, name: &str| Attachment { hash, name: name.to_owned(), bytes: 6 };
    let letter = |name: &str, attachments| NewLetter { attachments, ..to(&[name], "x") };
    // One content under two names is carried once.
    let twice = vec![attachment(shared, "a"), attachment(shared, "b"), attachment(single, "c")];
    let sent = send(&mut net, 0, &ada, letter("Ada", twice.clone()));
    assert_eq!(sent.head.attachments, twice);
    send(&mut net, 1, &bob, letter("Bob", vec![attachment(shared, "d")]));
    net.settle();
    let mut uses = |at| match net.ask(at, Command::BlobUses(vec![single, nobodys, shared])).unwrap() {
        Answer::BlobUses(uses) => uses,
        other => panic!("{other:?}"),
    };
    assert_eq!(uses(0), [BlobUse::Ours, BlobUse::Nobodys, BlobUse::Ours]);
    assert_eq!(uses(1), [BlobUse::Theirs, BlobUse::Nobodys, BlobUse::Ours]);
    for at in 0..2 {
        assert_sound(&mut net, at);
    }
    for name in ["", "a/b", "..", ".", "a\nb"] {
        let error = refused(&mut net, 0, &ada, letter("Ada", vec![attachment(single, name)]));
        assert!(error.to_string().starts_with("attachment: "), "{error}");
    }
    let long = Attachment { bytes: 16 * 1024 * 1024 + 1, ..attachment(single, "long") };
    let error = refused(&mut net, 0, &ada, letter("Ada", vec![long]));
    assert_eq!(error.to_string(), "attachment: there are more than 16777216 bytes");
}

#[test]
fn an_answer_to_all_goes_to_all_but_the_sender() {
    let mut net = Net::alone(1);
    let agents = ["Ada", "Bob", "Cid", "Dan"].map(|name| net.register(0, name));
    let sent = send(
        &mut net,
        0,
        &agents[0],
        NewLetter { cc: vec!["Dan".to_owned(), "Bob".to_owned()], ..to(&["Bob", "Cid"], "x") },
    );
    assert_eq!((sent.head.to.len(), sent.head.cc.len()), (2, 1));
    let answer = |reply_all| NewLetter { in_reply_to: Some(sent.head.short.clone()), reply_all, ..to(&[], "") };
    let names = |letter: LetterAnswer| -> Vec<String> {
        letter.head.to.into_iter().chain(letter.head.cc).map(|party| party.address).collect()
    };
    assert_eq!(names(send(&mut net, 0, &agents[1], answer(false))), ["Ada@node"]);
    assert_eq!(names(send(&mut net, 0, &agents[1], answer(true))), ["Ada@node", "Cid@node", "Dan@node"]);
    assert_eq!(names(send(&mut net, 0, &agents[0], answer(false))), ["Bob@node", "Cid@node", "Dan@node"]);
    net.ask(0, Command::AgentRetire("Ada".to_owned())).unwrap();
    assert!(refused(&mut net, 0, &agents[2], answer(false)).to_string().starts_with("to: everybody"));
}

#[test]
fn letters_with_keys_are_sent_on_express_wish_only() {
    let mut net = Net::alone(1);
    let ada = net.register(0, "Ada");
    let token = ada.token.clone().unwrap().reveal().to_string();
    let digest = net.status(0).digest;
    for (body, rule) in [
        ("-----BEGIN PRIVATE KEY-----", "pem-private-key"),
        ("AKIAIOSFODNN7EXAMPLE", "aws-access-key"),
        (token.as_str(), "beadmesh-agent-token"),
    ] {
        let body = format!("look:\n{body}\n");
        let new = NewLetter { body, ..to(&["Ada"], "x") };
        let error = refused(&mut net, 0, &ada, new.clone());
        let problem = format!("body: line 2 seems to hold a secret (rule {rule})");
        assert!(error.code() == "refused" && error.to_string().starts_with(&problem), "{error}");
        let error = refused(&mut net, 0, &ada, to(&["Ada"], new.body.lines().nth(1).unwrap()));
        assert!(error.to_string().starts_with("subject: line 1"), "{error}");
        assert_eq!(net.status(0).digest, digest);
    }
    send(&mut net, 0, &ada, NewLetter { body: token, allow_credentials: true, ..to(&["Ada"], "x") });
}

#[test]
fn a_check_finds_a_row_that_is_lost_or_too_many() {
    let mut net = Net::alone(1);
    let (ada, bob) = (net.register(0, "Ada"), net.register(0, "Bob"));
    send(&mut net, 0, &ada, to(&["Bob"], "one"));
    send(&mut net, 0, &bob, to(&["Ada"], "two"));
    let finds = |net: &mut Net| matches!(net.ask(0, Command::Check), Ok(Answer::Checked(found)) if found.iter().any(|it| it.check == "store.mail"));
    assert!(!finds(&mut net));
    for (key, value) in rows(&net, 0) {
        net.peers[0].replica.stage.delete(key.clone());
        assert!(finds(&mut net), "{}", String::from_utf8_lossy(&key));
        net.peers[0].replica.stage.put(key, value);
    }
    let stray = keys::newest_first(
        keys::inbox(AgentId::from_bytes([1; 16])),
        Default::default(),
        LetterId::from_bytes([2; 16]),
    );
    net.peers[0].replica.stage.put(stray, Vec::new());
    assert!(finds(&mut net));
    net.ask(0, Command::Rebuild).unwrap();
    assert!(!finds(&mut net));
}

#[test]
fn an_export_holds_every_letter_thread_and_inbox_alike_on_every_node() {
    let mut net = Net::joined(2);
    let (ada, bob) = (net.register(0, "Ada"), net.register(1, "Bob"));
    net.link(0, 1);
    net.settle();
    let sent = send(&mut net, 0, &ada, to(&["bob"], "the roof")).head;
    net.settle();
    show(&mut net, 1, &bob, &sent.short);
    let reply = NewLetter { in_reply_to: Some(sent.short.clone()), ..to(&[], "the answer") };
    let reply = send(&mut net, 1, &bob, reply).head;
    net.settle();
    let mut export = |at| match net.ask(at, Command::MailExport) {
        Ok(Answer::MailExport(export)) => *export,
        other => panic!("{other:?}"),
    };
    let (here, there) = (export(0), export(1));
    assert_eq!(here, there);
    assert_eq!(here.threads, BTreeMap::from([(sent.thread.clone(), vec![sent.id, reply.id])]));
    let (asked, answered) = (&here.letters[&sent.id], &here.letters[&reply.id]);
    assert_eq!((asked.letter.body.as_str(), asked.receipts.len()), ("About the roof.", 1));
    assert_eq!((answered.letter.seen.as_slice(), answered.node), ([sent.id].as_slice(), reply.node));
    let inbox = |letters: &[LetterId], unread: &[LetterId]| ExportedInbox {
        letters: letters.to_vec(),
        unread: unread.to_vec(),
    };
    assert_eq!(here.inboxes[&sent.from.agent], inbox(&[reply.id], &[reply.id]));
    assert_eq!(here.inboxes[&sent.to[0].agent], inbox(&[sent.id], &[]));
}

#[test]
fn an_alarm_is_a_system_letter_that_a_rebuild_keeps_and_that_can_be_read() {
    let mut net = Net::joined(2);
    let ada = net.register(0, "Ada");
    let alarm = |name: &str| Command::AgentAlarm(name.to_owned(), "gpu0 does nothing.".to_owned());
    net.ask(0, alarm("Ada")).unwrap();
    assert!(net.ask(0, alarm("Nobody")).is_err());
    let heads = all(&mut net, 0, &ada);
    assert_eq!(subjects(&heads), ["gpu0 does nothing"]);
    assert_eq!(heads[0].cause.map(|cause| cause.kind()), Some("alarm"));
    assert_eq!((heads[0].thread.as_str(), unread(&mut net, 0, &ada)), ("alarms", 1));
    assert_sound(&mut net, 0);
    let letter = show(&mut net, 0, &ada, &heads[0].short);
    assert!(letter.body.starts_with("gpu0 does nothing. What is watched"), "{}", letter.body);
    assert_eq!(unread(&mut net, 0, &ada), 0);
}
