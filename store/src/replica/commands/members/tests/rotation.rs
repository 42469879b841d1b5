//! What goes on where another key takes the place of a node's.

use beadmesh_protocol::bead::Field;
use beadmesh_protocol::id::EntryId;
use beadmesh_protocol::roster::Rotation;

use super::*;
use crate::command::{Credential, InboxFilter, NewAgent};
use crate::replica::Event;

const NEXT: u8 = 77;

fn rotate(net: &mut Net, at: usize) -> Result<Answer, CommandError> {
    net.ask(at, Command::Member(MemberWish::Rotate(Author::seeded(NEXT).key)))
}

fn send(net: &mut Net, at: usize, from: &Credential, to: &str, subject: &str) {
    let letter = NewLetter {
        to: vec![to.to_owned()],
        subject: subject.to_owned(),
        body: subject.to_owned(),
        ..NewLetter::default()
    };
    net.ask_as(at, from, Command::MailSend(Box::new(letter))).unwrap();
}

/// Returns what has come to an agent, the newest first.
fn inbox(net: &mut Net, at: usize, agent: &Credential) -> Vec<String> {
    let Ok(Answer::Letters(page)) = net.ask_as(at, agent, Command::MailInbox(InboxFilter::default())) else {
        panic!("an inbox")
    };
    page.letters.into_iter().map(|letter| letter.subject).collect()
}

/// Joins three replicas, has the second replace its key, and links it again by the new one.
fn rotated() -> (Net, NodeId) {
    let mut net = Net::joined(3);
    net.link(0, 1);
    net.link(0, 2);
    net.create(1, "bm-before");
    net.settle();
    let old = net.node(1);
    rotate(&mut net, 1).unwrap();
    net.settle();
    let next = Author::seeded(NEXT);
    net.crash_beside(1, &next);
    assert_eq!(net.node(1), next.node());
    (net, old)
}

#[test]
fn the_others_part_from_the_old_key_and_the_new_one_goes_on() {
    let mut net = Net::joined(3);
    let link = net.link(0, 1);
    net.link(0, 2);
    let ann = net.register(1, "Ann");
    let bob = net.register(0, "Bob");
    net.create(1, "bm-before");
    net.settle();
    send(&mut net, 1, &ann, "Bob", "before");
    net.settle();
    let old = net.node(1);
    let Ok(Answer::Member(member)) = rotate(&mut net, 1) else { panic!("a member") };
    assert_eq!((member.node, member.rotated_from), (Author::seeded(NEXT).node(), Some(old)));
    net.settle();
    assert!(net.closed.iter().any(|(at, reason)| *at == 0 && reason == "no longer a member"), "{:?}", net.closed);
    let owner = net.node(0);
    assert!(net.peers[1].events.contains(&Event::RotationKnown(owner)), "it hears that the other knows");
    net.cut(link);
    net.crash_beside(1, &Author::seeded(NEXT));
    net.link(0, 1);
    // It says of its agents what it said, and more, and its mail goes on both ways.
    send(&mut net, 1, &ann, "Bob", "after");
    send(&mut net, 0, &bob, "Ann", "answer");
    let eve = net.register(1, "Eve");
    send(&mut net, 1, &eve, "Bob", "new");
    net.set(1, "bm-before", Field::Notes, "by the new key");
    net.create(1, "bm-after");
    net.settle();
    assert_eq!(inbox(&mut net, 0, &bob), ["new", "after", "before"]);
    assert_eq!(inbox(&mut net, 1, &ann), ["answer"]);
    for at in 0..3 {
        assert_eq!(titles(&mut net, at).keys().collect::<Vec<_>>(), ["bm-after", "bm-before"], "{at}");
        is_what_entries_say(&mut net, at);
        assert_eq!(net.peers[at].replica.mesh.roster().members.len(), 3);
    }
    let taken = NewAgent { name: Some("ann".to_owned()), ..NewAgent::default() };
    assert!(net.ask(1, Command::AgentRegister(taken)).is_err(), "its agents keep their names");
}

#[test]
fn what_the_old_key_signs_after_the_cut_has_no_effect_and_it_is_not_let_in_again() {
    let (mut net, old) = rotated();
    net.link(0, 1);
    net.settle();
    let mesh = net.peers[0].replica.mesh();
    let thief = Author::seeded(2);
    assert_eq!(thief.node(), old);
    // A bead of another mesh: nobody here has it but from the thief.
    let mut other = Net::alone(1);
    other.create(0, "bm-forged");
    let founder = other.node(0);
    let forged: Vec<Op> = said_by(&mut other, 0, founder);
    let said = |n: u64| thief.entry(mesh, 1_000 + n, Wall::from_millis(1 + n), &forged);
    net.ask(2, Command::TakeBack(mesh, (0..5).map(said).collect())).unwrap();
    net.settle();
    for at in 0..3 {
        assert_eq!(titles(&mut net, at).keys().collect::<Vec<_>>(), ["bm-before"], "{at}");
        is_what_entries_say(&mut net, at);
    }
    let (_, request) = net.invite(Role::Member, 0, old).unwrap();
    let decision = net.ask(0, Command::Welcome(old, request)).unwrap();
    assert!(matches!(decision, Answer::JoinDecision(Err(JoinRefusal::Removed))), "{decision:?}");
}

#[test]
fn a_rotation_that_is_not_on_disk_leaves_the_node_as_it_was() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.settle();
    let (old, next) = (net.node(1), Author::seeded(NEXT));
    net.crash_beside(1, &next);
    assert_eq!(net.node(1), old, "nothing says that it goes on as another");
    net.link(0, 1);
    net.settle();
    // On disk and told to nobody: the new key goes on, and what it holds makes the others know it.
    let wish = Command::Member(MemberWish::Rotate(next.key.clone()));
    let asked = net.begin(1, wish);
    assert!(net.reply(asked).unwrap().is_ok());
    let instance = net.status(1).instance;
    net.crash_beside(1, &next);
    assert_eq!(net.node(1), next.node());
    assert_ne!(net.status(1).instance, instance);
    assert!(net.peers[0].replica.mesh.roster().members.contains_key(&old));
    carry(&mut net, 1, 0);
    assert!(net.peers[0].replica.mesh.roster().members.contains_key(&next.node()));
    net.crash_beside(1, &next);
    assert_eq!(net.node(1), next.node(), "and so it is whenever it is opened again");
}

#[test]
fn who_can_not_replace_its_key_is_told_what_to_do_first() {
    let mut net = Net::joined(3);
    let problem = |net: &mut Net, at: usize| match rotate(net, at) {
        Err(error) => format!("{}: {error}", error.code()),
        Ok(answer) => panic!("{answer:?}"),
    };
    assert!(problem(&mut net, 1).contains("no member is linked"));
    net.link(0, 1);
    net.link(0, 2);
    net.settle();
    assert!(problem(&mut net, 0).contains("owns the mesh"));
    let name = net.node(1).to_string();
    net.ask(0, Command::Member(MemberWish::Give(name))).unwrap();
    net.settle();
    assert!(problem(&mut net, 0).contains("is a voter"));
    net.ask(2, Command::Member(MemberWish::Leave)).unwrap();
    assert!(problem(&mut net, 2).contains("no more"));
}

#[test]
fn two_keys_for_one_place_leave_it_empty_wherever_they_meet() {
    let (mut net, old) = rotated();
    net.link(0, 1);
    net.settle();
    let mesh = net.peers[0].replica.mesh();
    let thief = Author::seeded(2);
    // Whoever has stolen the old key names its own, dated back.
    let admission: Vec<EntryId> = {
        let removal = net.peers[0].replica.mesh.roster().removals_of(old)[0];
        let entry = net.peers[0].replica.entries.load(&net.peers[0].replica.stage, removal).unwrap().unwrap();
        let Some(Op::Rotate(rotation)) = entry.control_ops().first().cloned() else { panic!("a rotation") };
        rotation.leaving.seen.clone()
    };
    let leaving = Removal { seen: admission, node: old, stays: None, cut: vec![] };
    let stolen = Rotation::to(&Author::seeded(88).key, mesh, leaving, "stolen".to_owned());
    let stolen = thief.entry(mesh, 1, Wall::from_millis(1), &[Op::Rotate(Box::new(stolen))]);
    net.ask(2, Command::TakeBack(mesh, vec![stolen])).unwrap();
    net.settle();
    for at in [0, 2] {
        let roster = net.peers[at].replica.mesh.roster();
        assert_eq!(roster.members.len(), 2, "{at}");
        assert!(!roster.members.contains_key(&Author::seeded(88).node()));
        is_what_entries_say(&mut net, at);
    }
}
