use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{EntryId, NodeId};
use beadmesh_protocol::notice::{Acted, News, Notice, Presence};
use beadmesh_protocol::op::{NodeFacts, Op};
use beadmesh_protocol::testing::Author;
use beadmesh_protocol::wire::Frame;

use super::{
    ACTED_WITHIN, DOUBT_PAUSE, DOUBT_WAIT, NEWS_PAUSE, PRESENCE_FIRST_WAIT, PRESENCE_INTERVAL_MIN, PRESENCE_JITTER,
    THERE_WITHIN,
};
use crate::command::{Answer, Command};
use crate::replica::{Input, RequestId};
use crate::testing::{Net, create};

/// Longer than the first presence waits, and shorter than anything else but a doubt.
const SOON: Duration = Duration::from_secs(3);

/// Two linked replicas that hold the same and have published nothing yet.
fn pair() -> Net {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.settle();
    net.notices.clear();
    net.delivered.clear();
    net
}

/// Takes what one replica has published, decoded.
fn published(net: &mut Net, by: usize) -> Vec<Notice> {
    let (mesh, node) = (net.peers[by].replica.mesh(), net.node(by));
    let notices = net.notices.extract_if(.., |(at, _)| *at == by);
    notices.map(|(_, bytes)| Notice::decode(mesh, node, &bytes).unwrap()).collect()
}

/// Counts the greetings that a replica was sent: each asks for a comparison.
fn greetings(net: &Net, to: usize) -> usize {
    let mesh = net.peers[to].replica.mesh();
    let is_greeting = |bytes: &[u8]| matches!(Frame::decode(mesh, bytes), Ok(Frame::Hello(_)));
    net.delivered.iter().filter(|(at, _, bytes)| *at == to && is_greeting(bytes)).count()
}

fn presence(net: &Net, of: usize, counter: u64, data: u64) -> Presence {
    let hello = net.peers[of].replica.hello();
    let mut presence = Presence {
        node: net.node(of),
        instance: beadmesh_protocol::id::InstanceId::from_bytes([9; 8]),
        opening: 1,
        counter,
        wall: net.now(of).wall,
        control: hello.control,
        data: hello.data,
        agents: Vec::new(),
    };
    presence.data.count += data;
    presence
}

fn name(ids: impl IntoIterator<Item = EntryId>) -> Vec<u8> {
    Notice::News(News { entries: Vec::new(), ids: ids.into_iter().collect() }).encode()
}

#[test]
fn what_is_written_here_is_published_in_full_once_it_is_durable() {
    let mut net = pair();
    net.handle(0, Input::Command(RequestId(7), create("news")));
    assert!(net.notices.is_empty());
    net.flush(0);
    let notices = published(&mut net, 0);
    let [Notice::News(News { entries, ids })] = &notices[..] else { panic!("{notices:?}") };
    assert!(ids.is_empty() && entries.iter().all(|entry| entry.content().author == net.node(0)));
    assert!(published(&mut net, 1).is_empty(), "only what is written here is");
    net.publish(1, net.node(0), &notices[0].encode());
    assert_eq!(net.export(1), net.export(0));
    assert!(published(&mut net, 1).is_empty());
    net.settle();
    assert_eq!((net.seen(0, 1).lag_entries, net.seen(1, 0).lag_entries), (0, 0));
    assert!(net.closed.is_empty());
}

#[test]
fn who_has_no_link_publishes_nothing() {
    let mut net = Net::joined(2);
    net.create(0, "alone");
    net.elapse(PRESENCE_INTERVAL_MIN * 3);
    net.wake();
    assert!(net.notices.is_empty());
}

#[test]
fn what_is_written_fast_shares_a_notice() {
    let mut net = pair();
    (0..20).for_each(|at| net.create(0, &format!("bead-{at}")));
    assert_eq!(net.notices.len(), 1);
    net.elapse(NEWS_PAUSE);
    net.wake();
    let notices = published(&mut net, 0);
    let [Notice::News(first), Notice::News(rest)] = &notices[..] else { panic!("{notices:?}") };
    assert!(first.entries.len() < rest.entries.len());
    notices.iter().for_each(|notice| net.publish(1, net.node(0), &notice.encode()));
    assert_eq!(net.export(1), net.export(0));
}

#[test]
fn what_a_notice_brought_is_passed_on_by_links() {
    let mut net = Net::joined(3);
    let first = net.link(0, 1);
    net.settle();
    net.link(1, 2);
    net.settle();
    net.notices.clear();
    net.create(0, "by-notice");
    // What was on its way to the one in the middle is lost, and only the notice reaches it.
    net.cut(first);
    let notices = published(&mut net, 0);
    notices.iter().for_each(|notice| net.publish(1, net.node(0), &notice.encode()));
    assert_eq!(net.export(1), net.export(0));
    net.settle();
    assert_eq!(net.export(2), net.export(0));
    assert!(net.closed.is_empty());
}

#[test]
fn a_notice_of_a_stranger_and_an_entry_of_one_have_no_effect() {
    let mut net = pair();
    let (stranger, mesh) = (Author::seeded(77), net.peers[0].replica.mesh());
    let facts = NodeFacts { seen: Vec::new(), name: "eve".to_owned(), addresses: Vec::new() };
    let entry = |author: &Author| author.entry(mesh, 99, Wall::from_millis(1), &[Op::Node(facts.clone())]);
    let say = |entry: Entry| Notice::News(News { entries: vec![entry], ids: Vec::new() }).encode();
    let (member, digest) = (net.peers[1].author.clone(), net.status(0).digest);
    net.publish(0, stranger.node(), &say(entry(&member)));
    net.publish(0, stranger.node(), &name([EntryId::from_bytes([1; 32])]));
    net.publish(0, net.node(1), &say(entry(&stranger)));
    net.settle();
    assert_eq!(net.status(0).digest, digest);
    assert!(net.closed.is_empty());
    // The very entry that a member says of itself is taken.
    net.publish(0, net.node(1), &say(entry(&member)));
    assert_ne!(net.status(0).digest, digest);
}

#[test]
fn names_that_nobody_holds_set_off_few_comparisons() {
    let mut net = pair();
    let node = net.node(1);
    net.settle();
    net.delivered.clear();
    for at in 0..1_000_u32 {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&at.to_be_bytes());
        net.publish(0, node, &name([EntryId::from_bytes(id)]));
        net.elapse(Duration::from_millis(10));
        net.wake();
    }
    net.settle();
    // In 10 s, one after each pause; the settling adds those that are answered, and what is due by itself.
    let most = 2 * (10 / usize::try_from(DOUBT_PAUSE.as_secs()).unwrap() + 4);
    assert!((1..=most).contains(&greetings(&net, 1)), "{} of {most}", greetings(&net, 1));
    assert!(net.closed.is_empty());
}

#[test]
fn who_lies_first_and_without_end_does_not_keep_another_from_being_heard() {
    let mut net = Net::joined(3);
    net.link(0, 1);
    net.link(0, 2);
    net.settle();
    net.delivered.clear();
    let (liar, honest) = (net.node(1), net.node(2));
    let missing = |at: u32| {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&at.to_be_bytes());
        EntryId::from_bytes(id)
    };
    for at in 0..1_000_u32 {
        net.publish(0, liar, &name([missing(at)]));
        if at == 10 {
            net.publish(0, honest, &name([missing(9_999)]));
        }
        net.elapse(Duration::from_millis(5));
        net.wake();
    }
    // Each word is looked into at whoever said it, and those of the liar take turns with the other.
    net.settle();
    assert!(greetings(&net, 1) >= 1);
    assert_eq!(greetings(&net, 2), 1);
    assert!(net.closed.is_empty());
}

#[test]
fn an_entry_that_came_meanwhile_sets_off_nothing() {
    let mut net = pair();
    net.create(1, "on-its-way");
    let notices = published(&mut net, 1);
    let [Notice::News(News { entries, .. })] = &notices[..] else { panic!("{notices:?}") };
    let ids: Vec<EntryId> = entries.iter().map(Entry::id).collect();
    net.publish(0, net.node(1), &name(ids));
    net.publish(0, net.node(1), &notices[0].encode());
    net.elapse(DOUBT_WAIT);
    net.wake();
    assert_eq!(greetings(&net, 1), 0);
}

#[test]
fn a_presence_that_counts_more_sets_off_a_comparison_and_an_equal_one_does_not() {
    for (more, expected) in [(0, 0), (5, 1)] {
        let mut net = pair();
        let said = presence(&net, 1, 1, more);
        net.publish(0, net.node(1), &Notice::Presence(said).encode());
        net.elapse(DOUBT_WAIT);
        net.wake();
        // Nothing of the settling but the greeting that was sent just now.
        let digest = net.status(0).digest;
        net.settle();
        assert_eq!(greetings(&net, 1).min(1), expected, "{more} more");
        assert_eq!(net.status(0).digest, digest);
    }
}

#[test]
fn a_node_with_a_link_says_that_it_is_there_soon_and_then_now_and_then() {
    let mut net = Net::joined(2);
    let link = net.link(0, 1);
    net.elapse(PRESENCE_FIRST_WAIT * 2);
    net.wake();
    let said = published(&mut net, 0);
    let [Notice::Presence(first)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((first.node, first.counter), (net.node(0), 1));
    assert_eq!(net.seen(1, 0).last_heard, None);
    net.publish(1, net.node(0), &said[0].encode());
    let heard = net.seen(1, 0).last_heard;
    assert_eq!(heard, Some(first.wall));
    net.elapse(PRESENCE_INTERVAL_MIN + PRESENCE_JITTER);
    net.wake();
    let later = published(&mut net, 0);
    let [Notice::Presence(second)] = &later[..] else { panic!("{later:?}") };
    assert!(second.counter == 2 && second.is_newer_than(first));
    net.publish(1, net.node(0), &later[0].encode());
    // An old one that comes again changes nothing.
    net.publish(1, net.node(0), &said[0].encode());
    assert_eq!(net.seen(1, 0).last_heard, Some(second.wall));
    net.cut(link);
    net.elapse(PRESENCE_INTERVAL_MIN * 4);
    net.wake();
    assert!(published(&mut net, 0).is_empty());
}

#[test]
fn a_clock_that_is_ahead_is_not_believed() {
    let mut net = pair();
    net.peers[1].ahead = SOON * 1_000;
    let said = presence(&net, 1, 9, 0);
    net.publish(0, net.node(1), &Notice::Presence(said).encode());
    assert_eq!(net.seen(0, 1).last_heard, Some(net.now(0).wall));
}

#[test]
fn a_clock_that_is_put_back_silences_nobody() {
    let mut net = pair();
    net.peers[1].ahead = SOON * 1_000;
    let ahead = presence(&net, 1, 9, 0);
    net.publish(0, net.node(1), &Notice::Presence(ahead).encode());
    net.peers[1].ahead = Duration::ZERO;
    for (opening, counter) in [(1, 10), (2, 1), (2, 2)] {
        net.elapse(SOON);
        let said = Presence { opening, ..presence(&net, 1, counter, 0) };
        net.publish(0, net.node(1), &Notice::Presence(said).encode());
        assert_eq!(net.seen(0, 1).last_heard, Some(net.now(0).wall), "{opening}, {counter}");
    }
}

#[test]
fn openings_in_which_something_is_said_are_counted() {
    let mut net = Net::joined(2);
    for opening in 1..4 {
        net.crash(0);
        // One in which nothing is said is none.
        net.crash(0);
        net.link(0, 1);
        net.elapse(PRESENCE_FIRST_WAIT * 2);
        net.wake();
        let said = published(&mut net, 0);
        let [Notice::Presence(said)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((said.opening, said.counter), (opening, 1));
    }
}

/// Returns when a replica thinks that an agent acted last, and whether it takes its node for reachable.
fn known(net: &mut Net, at: usize, name: &str) -> (Option<Wall>, bool) {
    let Ok(Answer::Agents(agents)) = net.ask(at, Command::AgentList { all: true }) else { panic!("agents") };
    let agent = agents.into_iter().find(|agent| agent.name == name).unwrap();
    (agent.last_used, agent.in_reach)
}

#[test]
fn agents_that_acted_lately_are_told_of_and_others_are_not_known_of() {
    let mut net = pair();
    let (ada, _, eve) = (net.register(0, "Ada"), net.register(0, "Bob"), net.register(0, "Eve"));
    net.settle();
    net.elapse(ACTED_WITHIN);
    let acted_at = net.now(0).wall;
    net.ask_as(0, &ada, Command::MailUnread).unwrap();
    net.ask_as(0, &eve, Command::MailUnread).unwrap();
    net.ask(0, Command::AgentRetire("Eve".to_owned())).unwrap();
    net.notices.clear();
    net.elapse(PRESENCE_INTERVAL_MIN + PRESENCE_JITTER);
    net.wake();
    net.settle();
    let said = published(&mut net, 0).into_iter().find(|notice| matches!(notice, Notice::Presence(_))).unwrap();
    let Notice::Presence(presence) = &said else { panic!("{said:?}") };
    assert_eq!(presence.agents.len(), 1, "Bob did nothing for a day, Eve is retired: {:?}", presence.agents);
    assert_eq!(known(&mut net, 1, "Ada"), (None, true));
    net.publish(1, net.node(0), &said.encode());
    let (seen, _) = known(&mut net, 1, "Ada");
    // Seconds are told, so up to one of them is lost.
    assert!(seen.is_some_and(|seen| seen >= acted_at && seen <= acted_at.after(Duration::from_secs(1))), "{seen:?}");
    assert_eq!(known(&mut net, 1, "Bob").0, None);
    assert!(known(&mut net, 0, "Bob").0.is_some());
}

#[test]
fn an_agent_is_told_of_by_its_own_node_alone() {
    let mut net = Net::joined(3);
    net.register(0, "Ada");
    net.link(0, 1);
    net.settle();
    net.link(1, 2);
    net.settle();
    let Ok(Answer::Agents(agents)) = net.ask(1, Command::AgentList { all: true }) else { panic!("agents") };
    let agents = vec![Acted { seconds_ago: 1, agent: agents[0].id }];
    let said = Presence { agents: agents.clone(), ..presence(&net, 2, 1, 0) };
    net.publish(1, net.node(2), &Notice::Presence(said).encode());
    assert_eq!(known(&mut net, 1, "Ada").0, None);
    let said = Presence { agents, ..presence(&net, 0, 1, 0) };
    net.publish(1, net.node(0), &Notice::Presence(said).encode());
    assert!(known(&mut net, 1, "Ada").0.is_some());
}

#[test]
fn who_was_heard_lately_is_in_reach_without_a_link() {
    let mut net = Net::joined(3);
    net.register(0, "Ada");
    let first = net.link(0, 1);
    net.settle();
    net.link(1, 2);
    net.settle();
    net.cut(first);
    assert!(!known(&mut net, 1, "Ada").1);
    let said = presence(&net, 0, 1, 0);
    net.publish(1, net.node(0), &Notice::Presence(said).encode());
    assert!(known(&mut net, 1, "Ada").1);
    net.elapse(THERE_WITHIN + SOON);
    net.wake();
    assert!(!known(&mut net, 1, "Ada").1);
}

#[test]
fn who_is_no_member_is_not_remembered() {
    let mut net = pair();
    let stranger: NodeId = Author::seeded(77).node();
    let said = Presence { node: stranger, ..presence(&net, 1, 1, 5) };
    net.publish(0, stranger, &Notice::Presence(said).encode());
    assert!(net.peers[0].replica.notices.heard.is_empty());
    assert!(net.peers[0].replica.notices.doubts.is_empty());
}
