use std::time::Duration;

use beadmesh_protocol::agent::Token;
use beadmesh_protocol::op::Role;

use crate::command::{
    AgentAnswer, Answer, Command, CommandError, Credential, InboxFilter, NewAgent, NewBead, NewLetter, ProjectContext,
};
use crate::memory::{MemoryKv, SharedKv};
use crate::open::Origin;
use crate::replica::Event;
use crate::testing::{Net, bead, open};

fn named(name: &str) -> NewAgent {
    NewAgent { name: Some(name.to_owned()), ..NewAgent::default() }
}

fn letter(to: &str) -> Command {
    let (to, subject) = (vec![to.to_owned()], "hello".to_owned());
    Command::MailSend(Box::new(NewLetter { to, subject, ..NewLetter::default() }))
}

fn made_by(alias: &str, by: &str) -> Command {
    Command::Create(Box::new(NewBead { by: by.to_owned(), ..bead(alias) }))
}

fn agents(net: &mut Net, at: usize, all: bool) -> Vec<AgentAnswer> {
    match net.ask(at, Command::AgentList { all }) {
        Ok(Answer::Agents(agents)) => agents,
        other => panic!("{other:?}"),
    }
}

/// What a refusal says.
fn refusal(answer: Result<Answer, CommandError>) -> String {
    match answer {
        Err(CommandError::Refused { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_acts_under_the_name_of_an_agent_without_its_token() {
    let mut net = Net::alone(2);
    let (ada, bob) = (net.register(0, "Ada"), net.register(0, "Bob"));
    let retired = net.register(0, "Old");
    net.ask(0, Command::AgentRetire("old".to_owned())).unwrap();
    let elsewhere = net.register(1, "Ada");
    let bare = Credential { token: None, ..ada.clone() };
    let swapped = Credential { token: bob.token.clone(), ..ada.clone() };
    let unknown = Credential { name: "Cid".to_owned(), ..ada.clone() };
    let before = (net.status(0).digest, net.export(0));
    for (credential, why) in [
        (&bare, "the agent Ada is registered on this node, and no token came with its name"),
        (&swapped, "the token is not that of the agent Ada on this node"),
        (&elsewhere, "the token is not that of the agent Ada on this node"),
        (&retired, "the agent Old is retired"),
        (&unknown, "no agent \"Cid\" is registered on this node"),
    ] {
        for command in [letter("Bob"), Command::MailInbox(InboxFilter::default()), Command::MailUnread] {
            assert_eq!(refusal(net.ask_as(0, credential, command)), why);
        }
        if credential.name != "Cid" {
            assert_eq!(refusal(net.ask_as(0, credential, made_by("one", &credential.name))), why);
        }
    }
    assert_eq!(refusal(net.ask(0, letter("Bob"))), "mail is between agents, and no agent is named");
    for by in ["ada\u{200b}", "\u{2066}Ada", "A\u{ad}da", "ada\n"] {
        let answer = net.ask(0, made_by("one", by));
        assert!(matches!(&answer, Err(CommandError::Invalid { field, .. }) if field == "by"), "{answer:?}");
    }
    for by in ["Ada", "ADA", " ada ", "ada@node", "ada @node", "ada@ node", "Old"] {
        let answer = refusal(net.ask(0, made_by("one", by)));
        assert!(answer.contains("no token came with its name") || answer.contains("retired"), "{answer}");
        refusal(net.ask_as(0, &bob, made_by("one", by)));
    }
    assert_eq!((net.status(0).digest, net.export(0)), before);
    net.ask_as(0, &ada, letter("Bob")).unwrap();
    net.ask_as(0, &ada, made_by("one", "ada")).unwrap();
    net.ask_as(0, &ada, made_by("two", "somebody else")).unwrap();
    net.ask(0, made_by("three", "somebody else")).unwrap();
}

#[test]
fn a_name_is_registered_once_and_a_retired_one_never_again() {
    let mut net = Net::alone(1);
    let ada = net.register(0, "Ada");
    let conflict = |net: &mut Net| match net.ask(0, Command::AgentRegister(named("ADA"))) {
        Err(error @ CommandError::Conflict { .. }) => format!("{error}; {}", error.hint()),
        other => panic!("{other:?}"),
    };
    assert!(conflict(&mut net).contains("agent rotate Ada"));
    let entries = net.status(0).entries;
    let profile = NewAgent { task: "the roof".to_owned(), ..named("Ada") };
    for _ in 0..2 {
        let answer = net.ask_as(0, &ada, Command::AgentRegister(profile.clone())).unwrap();
        assert!(matches!(answer, Answer::Registered { agent, token: None } if agent.task == "the roof"));
        assert_eq!(net.status(0).entries, entries + 1);
    }
    net.ask_as(0, &ada, Command::MailUnread).unwrap();
    net.ask(0, Command::AgentRetire("ada@node".to_owned())).unwrap();
    assert!(conflict(&mut net).contains("stays retired"));
    refusal(net.ask(0, Command::AgentRotate("Ada".to_owned())));
    assert!(matches!(net.ask(0, Command::AgentRetire("Bob".to_owned())), Err(CommandError::NotFound { .. })));
    assert!(agents(&mut net, 0, false).is_empty());
    assert_eq!(agents(&mut net, 0, true).iter().map(|agent| agent.address.as_str()).collect::<Vec<_>>(), ["Ada@node"]);
}

#[test]
fn rotation_replaces_a_token_and_outlasts_a_crash() {
    let mut net = Net::alone(1);
    let old = net.register(0, "Ada");
    let Ok(Answer::Registered { token, .. }) = net.ask(0, Command::AgentRotate("ada".to_owned())) else {
        panic!("a token")
    };
    net.crash(0);
    refusal(net.ask_as(0, &old, Command::MailUnread));
    net.ask_as(0, &Credential { token, ..old }, Command::MailUnread).unwrap();
}

#[test]
fn names_that_are_picked_are_free_in_the_whole_mesh() {
    let mut net = Net::alone(1);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = net.ask(0, Command::AgentRegister(NewAgent::default())).unwrap();
        let Answer::Registered { agent, token: Some(_) } = answer else { panic!("an agent") };
        assert!(names.insert(agent.name.to_ascii_lowercase()), "{}", agent.name);
    }
}

#[test]
fn a_profile_over_its_bounds_is_refused_and_stores_nothing() {
    let mut net = Net::alone(1);
    let before = net.status(0);
    let project = Some(ProjectContext { keys: vec!["nonsense".to_owned()], prefix: None });
    for (new, field) in [
        (named("two words"), "name"),
        (named(""), "name"),
        (NewAgent { task: "x".repeat(513), ..named("Ada") }, "task"),
        (NewAgent { model: "a\nb".to_owned(), ..named("Ada") }, "model"),
        (NewAgent { project, ..named("Ada") }, "project"),
    ] {
        let answer = net.ask(0, Command::AgentRegister(new));
        assert!(matches!(&answer, Err(CommandError::Invalid { field: named, .. }) if named == field), "{answer:?}");
    }
    assert_eq!(net.status(0), before);
}

#[test]
fn the_mesh_knows_the_agents_of_every_node_and_tells_of_them() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.settle();
    net.peers[0].events.clear();
    let project = Some(ProjectContext { keys: vec!["github.com/ada/tool".to_owned()], prefix: None });
    net.ask(1, Command::AgentRegister(NewAgent { project, ..named("Bob") })).unwrap();
    net.settle();
    assert!(net.peers[0].events.contains(&Event::Agents));
    let seen = agents(&mut net, 0, false);
    assert_eq!((seen[0].address.as_str(), seen[0].here, seen[0].last_used), ("Bob@joined", false, None));
    assert_eq!(seen[0].project_key.as_deref(), Some("github.com/ada/tool"));
    let here = agents(&mut net, 1, false);
    assert!(here[0].here && here[0].last_used.is_some());
    assert!(matches!(net.ask(0, Command::AgentRetire("Bob".to_owned())), Err(CommandError::NotFound { .. })));
}

#[test]
fn a_node_takes_its_agents_and_their_mail_into_the_mesh_it_enters() {
    let mut net = Net::alone(3);
    let (ada, bob) = (net.register(1, "Ada"), net.register(1, "Bob"));
    let old = net.register(1, "Old").name;
    net.ask(1, Command::AgentRetire(old)).unwrap();
    net.ask_as(1, &ada, letter("Bob")).unwrap();
    let before = net.ask_as(1, &bob, Command::MailInbox(InboxFilter::default())).unwrap();
    let Answer::Letters(before) = before else { panic!("letters") };
    assert!(matches!(net.join_as(Role::Observer, 2, 1), Err(CommandError::Refused { .. })));
    net.join(0, 1).unwrap();
    let Ok(Answer::Letters(after)) = net.ask_as(1, &bob, Command::MailInbox(InboxFilter::default())) else {
        panic!("letters")
    };
    assert_eq!(before.letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [after.letters[0].id]);
    assert!(agents(&mut net, 1, true).iter().any(|agent| agent.retired));
    net.link(0, 1);
    net.settle();
    assert_eq!(agents(&mut net, 0, false).len(), 2);
}

#[test]
fn two_stores_with_one_key_have_one_agent_and_each_keeps_its_own_token() {
    let mut net = Net::joined(3);
    // The second store is begun with the key of the first and nothing else.
    let Ok(Answer::Membership(membership)) = net.ask(0, Command::Membership) else { panic!("a membership") };
    let (now, author) = (net.now(1), net.peers[0].author.clone());
    let disk = SharedKv::new(MemoryKv::seeded(77));
    net.peers[1].replica = open(&disk, &author, (9, 0, &Origin::Fresh), now, Some(membership));
    net.peers[1].author = author;
    net.flush(1);
    let (first, second) = (net.register(0, "Ada"), net.register(1, "ada"));
    for at in [0, 1, 0, 1] {
        let link = net.link(at, 2);
        net.settle();
        net.cut(link);
        net.elapse(Duration::from_secs(60));
    }
    assert_eq!(agents(&mut net, 2, true).len(), 1);
    assert_eq!(net.status(0).digest, net.status(1).digest);
    net.ask_as(0, &first, Command::MailUnread).unwrap();
    net.ask_as(1, &second, Command::MailUnread).unwrap();
    refusal(net.ask_as(0, &second, Command::MailUnread));
    refusal(net.ask_as(1, &first, Command::MailUnread));
}

#[test]
fn a_node_that_lost_its_store_says_that_it_keeps_no_token() {
    let mut net = Net::joined(2);
    let ada = net.register(1, "Ada");
    net.lose_disk(1);
    let why = refusal(net.ask_as(1, &ada, Command::MailUnread));
    assert_eq!(why, "this node keeps no token of the agent Ada: its store was copied or replaced");
    let answer = net.ask(1, Command::AgentRotate("Ada".to_owned())).unwrap();
    assert!(matches!(answer, Answer::Registered { token: Some(_), .. }));
}

#[test]
fn a_token_is_told_to_nobody_by_what_is_printed_of_commands() {
    let token = Some(Token::from_bytes([7; 20]));
    let command = Command::As(Credential { name: "Ada".to_owned(), token }, Box::new(Command::MailUnread));
    assert_eq!(format!("{command:?}"), "As(Credential { name: \"Ada\", token: Some(Token(..)) }, MailUnread)");
}
