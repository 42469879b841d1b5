use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::bead::Field;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, Set};
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::invite::JoinRefusal;
use beadmesh_protocol::op::Op;
use beadmesh_protocol::scope::Mode;
use beadmesh_protocol::testing::Author;

use super::*;
use crate::command::{ClaimFilter, Command, NewClaim, NewLetter, ProjectContext};
use crate::testing::{Net, create, opened};

fn remove(net: &mut Net, at: usize, node: usize) -> Result<Answer, CommandError> {
    let name = net.node(node).to_string();
    net.ask(at, Command::Member(MemberWish::Remove(name)))
}

fn set_role(net: &mut Net, at: usize, node: usize, role: Role) -> Result<Answer, CommandError> {
    let name = net.node(node).to_string();
    net.ask(at, Command::Member(MemberWish::Role(name, role)))
}

/// Returns the titles of all beads as a replica shows them, by alias.
fn titles(net: &mut Net, at: usize) -> BTreeMap<String, String> {
    let lines = net.export(at).into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    lines.map(|bead| (text(&bead["id"]), text(&bead["title"]))).collect()
}

/// Carries all entries of one replica to another as a backup does, with no link between them.
fn carry(net: &mut Net, from: usize, to: usize) {
    let mesh = net.peers[from].replica.mesh();
    let Ok(Answer::BackupIndex(index)) = net.ask(from, Command::BackupIndex) else { panic!("an index") };
    let mut ids = index.ids;
    while !ids.is_empty() {
        let Ok(Answer::Sealed(sealed)) = net.ask(from, Command::BackupEntries(ids.clone())) else { panic!("entries") };
        ids.drain(..sealed.len());
        let entries: Vec<Entry> = opened(mesh, sealed);
        net.ask(to, Command::TakeBack(mesh, entries)).unwrap();
    }
}

/// Has every view derived anew, and sees that nothing is shown otherwise.
fn is_what_entries_say(net: &mut Net, at: usize) {
    let before = net.export(at);
    assert_eq!(net.findings(at), []);
    net.ask(at, Command::Rebuild).unwrap();
    assert_eq!(net.export(at), before);
}

#[test]
fn a_member_is_found_by_its_name_its_id_or_the_start_of_that() {
    let mut net = Net::joined(3);
    for other in [1, 2] {
        net.link(0, other);
    }
    net.settle();
    let (one, two) = (net.node(1), net.node(2));
    let find = |net: &mut Net, text: &str| match net.ask(0, Command::FindMember(text.to_owned())) {
        Ok(Answer::Member(member)) => Ok(member.node),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    let rename = |net: &mut Net, node: NodeId, name: &str| {
        net.ask(0, Command::Member(MemberWish::Rename(node.to_string(), name.to_owned()))).unwrap();
    };
    let id = one.to_string();
    rename(&mut net, one, "workstation");
    for text in ["workstation", " WorkStation ", &id, &id[..4], &id[..20].to_uppercase()] {
        assert_eq!(find(&mut net, text), Ok(one), "{text}");
    }
    for text in ["", &id[..3], "nobody"] {
        let error = find(&mut net, text).unwrap_err();
        assert_eq!(error, CommandError::NotFound { what: "node", name: text.to_owned() });
    }
    let error = find(&mut net, "workstatoin").unwrap_err();
    assert_eq!((error.code(), error.hint()), ("not_found", "did you mean workstation?".to_owned()));
    // A name is meant before an id that begins so.
    rename(&mut net, two, &id[..6]);
    assert_eq!((find(&mut net, &id[..6]), find(&mut net, &id[..7])), (Ok(two), Ok(one)));
    rename(&mut net, two, "workstation");
    let Err(CommandError::Ambiguous { candidates, .. }) = find(&mut net, "workstation") else { panic!("two") };
    let mut found: Vec<NodeId> = candidates.iter().map(|name| find(&mut net, name).unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, std::collections::BTreeSet::from([one, two]).into_iter().collect::<Vec<_>>());
}

#[test]
fn what_a_removed_node_wrote_before_stays_and_nothing_after_counts_whoever_brings_it() {
    let mut net = Net::joined(3);
    for other in [1, 2] {
        net.link(0, other);
    }
    net.create(1, "bm-before");
    net.settle();
    remove(&mut net, 0, 1).unwrap();
    net.settle_now();
    assert!(net.closed.iter().any(|(at, reason)| *at == 0 && reason == "no longer a member"));
    for at in [0, 2] {
        assert!(!net.peers[at].replica.mesh.roster().members.contains_key(&net.node(1)), "{at}");
    }
    let status = net.status(1);
    assert!(status.removed.is_some(), "it was told");
    let refused = net.ask(1, create("bm-after"));
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}");
    for at in [0, 2] {
        assert_eq!(titles(&mut net, at).len(), 1, "{at}");
        is_what_entries_say(&mut net, at);
    }
}

#[test]
fn entries_past_the_cut_count_nowhere_even_where_they_came_first() {
    let mut net = Net::joined(3);
    let link = net.link(0, 1);
    net.link(0, 2);
    net.create(1, "bm-before");
    net.settle();
    net.cut(link);
    // Neither the owner nor the other has these when the owner removes it.
    net.create(1, "bm-late");
    net.set(1, "bm-before", Field::Title, "overwritten");
    let ada = net.register(1, "Ada");
    let letter = NewLetter {
        to: vec!["Ada".to_owned()],
        subject: "void".to_owned(),
        body: "nothing".to_owned(),
        ..NewLetter::default()
    };
    net.ask_as(1, &ada, Command::MailSend(Box::new(letter))).unwrap();
    // Node 2 had taken them before it heard of the removal.
    carry(&mut net, 1, 2);
    assert_eq!(titles(&mut net, 2)["bm-before"], "overwritten");
    remove(&mut net, 0, 1).unwrap();
    net.settle();
    carry(&mut net, 1, 0);
    net.settle();
    for at in [0, 2] {
        let shown = titles(&mut net, at);
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["bm-before"], "{at}");
        assert_eq!(shown["bm-before"], "title of bm-before", "{at}");
        let Ok(Answer::Agents(agents)) = net.ask(at, Command::AgentList { all: true }) else { panic!("agents") };
        assert!(agents.iter().all(|agent| agent.name != "Ada"), "{at}");
        let Ok(Answer::MailExport(mail)) = net.ask(at, Command::MailExport) else { panic!("mail") };
        assert_eq!(mail.letters.len(), 0, "{at}");
        is_what_entries_say(&mut net, at);
    }
    assert_eq!(net.status(0).digest, net.status(2).digest);
    // A store that is opened again shows the same.
    net.crash(2);
    assert_eq!(titles(&mut net, 2).len(), 1);
}

/// Returns the operations of the data entries by a node that a replica holds.
fn said_by(net: &mut Net, at: usize, node: NodeId) -> Vec<Op> {
    let mesh = net.peers[at].replica.mesh();
    let Ok(Answer::BackupIndex(index)) = net.ask(at, Command::BackupIndex) else { panic!("an index") };
    let Ok(Answer::Sealed(sealed)) = net.ask(at, Command::BackupEntries(index.ids)) else { panic!("entries") };
    let entries = opened(mesh, sealed).into_iter().filter(|entry| entry.content().author == node);
    let data: Vec<Entry> = entries.filter(|entry| entry.set() == Set::Data).collect();
    data.iter().flat_map(|entry| &entry.content().ops).map(|raw| Op::decode(raw).unwrap()).collect()
}

#[test]
fn what_the_key_of_a_removed_node_says_again_puts_out_nothing_that_counts() {
    let mut net = Net::joined(3);
    net.link(0, 1);
    net.link(0, 2);
    net.create(1, "bm-before");
    let (ada, bob) = (net.register(1, "Ada"), net.register(0, "Bob"));
    let (to, body) = (vec!["Bob".to_owned()], "stays".to_owned());
    net.settle();
    let letter = NewLetter { to, subject: "before".to_owned(), body, ..NewLetter::default() };
    net.ask_as(1, &ada, Command::MailSend(Box::new(letter))).unwrap();
    net.settle();
    let (mesh, removed) = (net.peers[0].replica.mesh(), net.node(1));
    let ops = said_by(&mut net, 0, removed);
    assert!(ops.len() >= 2, "a bead and a letter: {ops:?}");
    // One hears of them before it hears of the removal, the other after it; all are older by their clocks.
    let thief = Author::seeded(2);
    assert_eq!(thief.node(), removed);
    let again = |n: u64| thief.entry(mesh, 1_000 + n, Wall::from_millis(1 + n), &ops);
    let again: Vec<Entry> = (0..20).map(again).collect();
    net.ask(2, Command::TakeBack(mesh, again.clone())).unwrap();
    remove(&mut net, 0, 1).unwrap();
    net.settle();
    net.ask(0, Command::TakeBack(mesh, again)).unwrap();
    net.settle();
    for at in [0, 2] {
        assert_eq!(titles(&mut net, at).keys().collect::<Vec<_>>(), ["bm-before"], "{at}");
        let Ok(Answer::MailExport(mail)) = net.ask(at, Command::MailExport) else { panic!("mail") };
        assert_eq!(mail.letters.len(), 1, "{at}");
        is_what_entries_say(&mut net, at);
        net.crash(at);
        assert_eq!(titles(&mut net, at).len(), 1, "{at}");
    }
    let Ok(Answer::Unread(unread)) = net.ask_as(0, &bob, Command::MailUnread) else { panic!("unread") };
    assert_eq!(unread, 1);
}

#[test]
fn a_change_past_the_cut_that_a_member_has_built_on_has_effect() {
    let mut net = Net::joined(3);
    let (link, other) = (net.link(0, 1), net.link(0, 2));
    net.settle();
    let between = net.link(1, 2);
    net.create(1, "bm-one");
    net.settle();
    net.cut(link);
    net.cut(other);
    net.set(1, "bm-one", Field::Title, "of the removed");
    net.settle();
    net.cut(between);
    assert_eq!(titles(&mut net, 2)["bm-one"], "of the removed");
    net.set(2, "bm-one", Field::Notes, "built on it");
    remove(&mut net, 0, 1).unwrap();
    net.link(0, 2);
    net.settle();
    for at in [0, 2] {
        assert_eq!(titles(&mut net, at)["bm-one"], "of the removed", "{at}");
        assert!(net.export(at)[0].contains("built on it"), "{at}");
        is_what_entries_say(&mut net, at);
    }
}

#[test]
fn a_removed_node_comes_back_by_a_new_ticket_alone_and_writes_on() {
    let mut net = Net::joined(3);
    let (mesh, old) = net.invite(Role::Member, 0, net.node(1)).unwrap();
    let link = net.link(0, 1);
    net.link(0, 2);
    net.create(1, "bm-before");
    net.settle();
    net.cut(link);
    net.create(1, "bm-void");
    remove(&mut net, 0, 1).unwrap();
    let decision = net.ask(0, Command::Welcome(net.node(1), old)).unwrap();
    assert!(matches!(decision, Answer::JoinDecision(Err(JoinRefusal::Removed))), "{decision:?}");
    let (_, request) = net.invite(Role::Member, 0, net.node(1)).unwrap();
    let Ok(Answer::JoinDecision(Ok(control))) = net.ask(0, Command::Welcome(net.node(1), request)) else { panic!() };
    let instance = net.status(1).instance;
    net.ask(1, Command::Enter(mesh, opened(mesh, control))).unwrap();
    assert_ne!(net.status(1).instance, instance, "it goes on in another instance");
    net.create(1, "bm-again");
    net.link(0, 1);
    net.settle();
    for at in [0, 1, 2] {
        let shown = titles(&mut net, at);
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["bm-again", "bm-before"], "{at}");
        is_what_entries_say(&mut net, at);
    }
    // Its store is lost and comes back as yet another instance, which counts as well.
    net.lose_disk(1);
    net.link(0, 1);
    net.settle();
    net.create(1, "bm-third");
    net.settle();
    assert_eq!(titles(&mut net, 2).len(), 3);
    // And it can be removed once more, with all that counted.
    remove(&mut net, 0, 1).unwrap();
    net.settle();
    assert_eq!(titles(&mut net, 2).len(), 3);
    is_what_entries_say(&mut net, 2);
}

#[test]
fn an_observer_keeps_what_it_wrote_before_and_writes_again_when_it_may() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.create(1, "bm-before");
    net.settle();
    set_role(&mut net, 0, 1, Role::Observer).unwrap();
    net.settle();
    assert_eq!(titles(&mut net, 0).len(), 1);
    assert!(matches!(net.ask(1, create("bm-no")), Err(CommandError::Refused { .. })));
    set_role(&mut net, 0, 1, Role::Admin).unwrap();
    net.settle();
    net.create(1, "bm-after");
    net.settle();
    assert_eq!(titles(&mut net, 0).len(), 2);
    set_role(&mut net, 0, 1, Role::Member).unwrap();
    net.settle();
    net.create(1, "bm-still");
    net.settle();
    for at in [0, 1] {
        assert_eq!(titles(&mut net, at).len(), 3, "{at}");
        is_what_entries_say(&mut net, at);
    }
}

#[test]
fn who_may_not_is_refused_and_told_what_to_do() {
    let mut net = Net::joined(3);
    for other in [1, 2] {
        net.link(0, other);
    }
    set_role(&mut net, 0, 1, Role::Admin).unwrap();
    net.settle();
    set_role(&mut net, 0, 2, Role::Admin).unwrap();
    net.settle();
    let problem = |result: Result<Answer, CommandError>| match result {
        Err(error) => format!("{}: {error}", error.code()),
        Ok(answer) => panic!("{answer:?}"),
    };
    assert!(problem(remove(&mut net, 1, 0)).contains("owns the mesh: nobody removes it"));
    assert!(problem(remove(&mut net, 2, 1)).contains("for longer than this node"));
    assert!(problem(remove(&mut net, 0, 0)).contains("does not remove itself"));
    assert!(problem(net.ask(0, Command::Member(MemberWish::Leave))).contains("owns the mesh"));
    assert!(problem(net.ask(0, Command::Member(MemberWish::Remove("nobody".to_owned())))).contains("not_found"));
    assert!(problem(set_role(&mut net, 0, 1, Role::Admin)).contains("has that role"));
    let name = net.node(1).to_string();
    assert!(problem(net.ask(0, Command::Member(MemberWish::Rename(name, "a@b".to_owned())))).contains("invalid"));
    net.ask(2, Command::Member(MemberWish::Leave)).unwrap();
    net.settle();
    assert_eq!(net.peers[0].replica.mesh.roster().members.len(), 2);
    assert!(problem(net.ask(2, Command::Member(MemberWish::Leave))).contains("no more"));
    assert!(problem(remove(&mut net, 0, 2)).contains("not_found"));
}

#[test]
fn a_given_name_is_shown_and_the_node_does_not_take_it_back() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.settle();
    let name = net.node(1).to_string();
    net.ask(0, Command::Member(MemberWish::Rename(name, "attic".to_owned()))).unwrap();
    net.settle();
    net.ask(1, Command::Announce(vec!["/memory/1".to_owned()])).unwrap();
    net.settle();
    assert_eq!(net.status(1).node_name, "attic");
    let entries = net.status(1).entries;
    net.ask(1, Command::Announce(vec!["/memory/1".to_owned()])).unwrap();
    assert_eq!(net.status(1).entries, entries, "it says so once");
}

#[test]
fn invites_are_listed_and_revoked() {
    let mut net = Net::joined(1);
    let (_, request) = net.invite(Role::Observer, 0, net.node(0)).unwrap();
    let invites = |net: &mut Net| match net.ask(0, Command::Invites) {
        Ok(Answer::Invites(invites)) => invites,
        other => panic!("{other:?}"),
    };
    let listed = invites(&mut net);
    assert_eq!((listed.len(), listed[0].role, listed[0].uses_left), (1, Role::Observer, 1));
    assert!(net.ask(0, Command::RevokeInvite("zzz".to_owned())).is_err());
    net.ask(0, Command::RevokeInvite(listed[0].invite.to_string()[..8].to_owned())).unwrap();
    assert_eq!(invites(&mut net), []);
    let decision = net.ask(0, Command::Welcome(net.node(0), request)).unwrap();
    assert!(matches!(decision, Answer::JoinDecision(Err(JoinRefusal::UnknownTicket))));
}

#[test]
fn a_claim_of_a_removed_node_holds_nothing_up() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.create(0, "bm-task");
    let bob = net.register(1, "Bob");
    net.settle();
    let claim = NewClaim {
        bead: Some("bm-task".to_owned()),
        project: ProjectContext::default(),
        scopes: Vec::new(),
        mode: Mode::Exclusive,
        term: Duration::from_secs(3_600),
        wait: Duration::ZERO,
        offline: true,
    };
    let asked = net.begin(1, Command::As(bob, Box::new(Command::Claim(Box::new(claim)))));
    net.settle();
    assert!(net.reply(asked).is_some());
    let claims = |net: &mut Net| match net.ask(0, Command::ListClaims(ClaimFilter::default())) {
        Ok(Answer::Claims(claims)) => claims.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(claims(&mut net), 1);
    remove(&mut net, 0, 1).unwrap();
    net.settle();
    assert_eq!(claims(&mut net), 0);
    is_what_entries_say(&mut net, 0);
}

fn owner(net: &Net, at: usize) -> NodeId {
    net.peers[at].replica.mesh.roster().owner
}

#[test]
fn the_owner_gives_the_mesh_and_who_has_it_chooses_voters_and_removes_the_founder() {
    let mut net = Net::joined(3);
    for other in [1, 2] {
        net.link(0, other);
    }
    net.settle();
    net.link(1, 2);
    net.settle();
    let give = |net: &mut Net, at: usize, to: usize| {
        let name = net.node(to).to_string();
        net.ask(at, Command::Member(MemberWish::Give(name)))
    };
    let (one, two) = (net.node(1), net.node(2));
    assert!(matches!(give(&mut net, 1, 2), Err(CommandError::Refused { .. })));
    assert!(matches!(give(&mut net, 0, 0), Err(CommandError::Conflict { .. })));
    give(&mut net, 0, 1).unwrap();
    net.settle_now();
    assert_eq!([0, 1, 2].map(|at| owner(&net, at)), [one; 3]);
    assert!(matches!(give(&mut net, 0, 2), Err(CommandError::Refused { .. })), "it is not its to give any more");
    // The founder votes alone yet, so it can not be removed before others are chosen.
    let founder = net.node(0);
    assert!(matches!(remove(&mut net, 1, 0), Err(CommandError::Refused { .. })));
    let choice = crate::command::NewVoters { nodes: vec![one.to_string()], hold: None, recovery: None };
    let refused = net.ask(0, Command::SetVoters(choice.clone()));
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}");
    let asked = net.begin(1, Command::SetVoters(choice));
    net.settle_now();
    assert!(matches!(net.reply(asked), Some(Ok(Answer::Voters(_)))));
    remove(&mut net, 1, 0).unwrap();
    net.settle_now();
    // Whoever begins anew from the entries finds the same voters.
    let epoch = net.peers[2].replica.mesh.epoch().0.clone();
    assert_eq!(epoch.seats.iter().map(|seat| seat.node).collect::<Vec<_>>(), [one]);
    net.crash(2);
    assert_eq!(net.peers[2].replica.mesh.epoch().0, &epoch);
    let members: Vec<NodeId> = net.peers[2].replica.mesh.roster().members.keys().copied().collect();
    assert_eq!(members, std::collections::BTreeSet::from([one, two]).into_iter().collect::<Vec<_>>());
    assert!(net.peers[2].replica.mesh.roster().former.contains_key(&founder));
}

#[test]
fn the_recovery_key_takes_the_mesh_from_an_owner_that_is_lost() {
    let mut net = Net::joined(3);
    let links = [1, 2].map(|other| net.link(0, other));
    net.settle();
    links.into_iter().for_each(|link| net.cut(link));
    net.link(1, 2);
    net.settle();
    let key = net.peers[0].recovery.clone().unwrap();
    let wrong = SigningKey::from_bytes(&[1; 32]);
    let refused = net.ask(1, Command::Member(MemberWish::Take(wrong)));
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}");
    net.ask(1, Command::Member(MemberWish::Take(key))).unwrap();
    net.settle_now();
    assert_eq!([1, 2].map(|at| owner(&net, at)), [net.node(1); 2]);
    // The owner comes back, and had given the mesh to another meanwhile.
    let name = net.node(2).to_string();
    net.ask(0, Command::Member(MemberWish::Give(name))).unwrap();
    net.link(0, 2);
    net.settle_now();
    assert_eq!([0, 1, 2].map(|at| owner(&net, at)), [net.node(1); 3]);
    net.settle();
    assert_eq!(net.status(0).digest, net.status(1).digest);
}
