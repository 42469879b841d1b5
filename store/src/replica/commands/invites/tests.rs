use std::time::Duration;

use beadmesh_protocol::limits::{APPLICANTS_MAX, WIRE_VERSION};
use beadmesh_protocol::op::Role;

use super::*;
use crate::command::MemberWish;
use crate::testing::{Net, opened};

/// Has the first replica open an invite that asks for approval, and returns what a node asks by it.
fn approval(net: &mut Net, uses: u32) -> impl Fn(NodeId) -> JoinRequest + use<> {
    let ttl = Duration::from_secs(3_600);
    let new = NewInvite { ttl, uses, role: Role::Member, approval: true, addresses: Vec::new() };
    let Ok(Answer::Invited(ticket)) = net.ask(0, Command::Invite(new)) else { panic!("a ticket") };
    move |node| JoinRequest {
        version: WIRE_VERSION,
        invite: ticket.secret.invite(),
        proof: ticket.secret.prove(ticket.mesh, ticket.inviter, node),
        name: "box".to_owned(),
    }
}

fn knock(net: &mut Net, node: NodeId, request: &JoinRequest) -> Result<Vec<Sealed>, JoinRefusal> {
    let Ok(Answer::JoinDecision(decision)) = net.ask(0, Command::Welcome(node, request.clone())) else { panic!() };
    decision
}

fn waiting(net: &mut Net) -> Vec<NodeId> {
    let Ok(Answer::Applicants(applicants)) = net.ask(0, Command::Applicants) else { panic!("applicants") };
    applicants.into_iter().map(|applicant| applicant.node).collect()
}

#[test]
fn a_node_that_asks_for_approval_waits_over_a_crash_and_comes_in_once_it_has_it() {
    let mut net = Net::alone(2);
    let node = net.node(1);
    let request = approval(&mut net, 1)(node);
    assert_eq!(knock(&mut net, node, &request), Err(JoinRefusal::Pending));
    assert_eq!(knock(&mut net, node, &request), Err(JoinRefusal::Pending));
    let told = net.peers[0].events.iter().filter(|event| matches!(event, Event::Applicant { .. })).count();
    assert_eq!(told, 1);
    assert!(!net.peers[0].replica.mesh.roster().known.contains(&node), "nothing is written before");
    net.crash(0);
    assert_eq!(waiting(&mut net), [node]);
    net.ask(0, Command::Approve(fingerprint(node))).unwrap();
    assert_eq!(waiting(&mut net), []);
    let control = knock(&mut net, node, &request).unwrap();
    let mesh = net.peers[0].replica.mesh();
    net.ask(1, Command::Enter(mesh, opened(mesh, control))).unwrap();
    assert_eq!(net.peers[1].replica.mesh.roster().role(node), Some(Role::Member));
}

#[test]
fn who_is_turned_away_does_not_ask_again_and_one_use_lets_one_in() {
    let mut net = Net::alone(4);
    let [ada, bob, cid] = [1, 2, 3].map(|at| net.node(at));
    let request = approval(&mut net, 1);
    for node in [ada, bob, cid] {
        assert_eq!(knock(&mut net, node, &request(node)), Err(JoinRefusal::Pending));
    }
    net.ask(0, Command::Deny(fingerprint(ada))).unwrap();
    assert_eq!(knock(&mut net, ada, &request(ada)), Err(JoinRefusal::Denied));
    net.ask(0, Command::Approve(bob.to_string())).unwrap();
    let late = net.ask(0, Command::Approve(fingerprint(cid)));
    assert!(matches!(late, Err(CommandError::Conflict { .. })), "{late:?}");
    assert_eq!(knock(&mut net, cid, &request(cid)), Err(JoinRefusal::UsedTicket));
    let unknown = net.ask(0, Command::Approve("AAAA-AAAA-AAAA".to_owned()));
    assert!(matches!(unknown, Err(CommandError::NotFound { .. })), "{unknown:?}");
}

#[test]
fn no_more_nodes_wait_than_may_and_a_closed_invite_forgets_them() {
    let mut net = Net::alone(1);
    let request = approval(&mut net, 1);
    let nodes = (0..=APPLICANTS_MAX).map(|at| NodeId::from_bytes([u8::try_from(at).unwrap(); 32]));
    let nodes: Vec<NodeId> = nodes.collect();
    let (last, first) = nodes.split_last().unwrap();
    for node in first {
        assert_eq!(knock(&mut net, *node, &request(*node)), Err(JoinRefusal::Pending));
    }
    assert_eq!(knock(&mut net, *last, &request(*last)), Err(JoinRefusal::Crowded));
    assert_eq!(knock(&mut net, first[0], &request(first[0])), Err(JoinRefusal::Pending));
    let id = request(*last).invite;
    net.ask(0, Command::RevokeInvite(id.to_string())).unwrap();
    assert_eq!(waiting(&mut net), []);
    assert_eq!(knock(&mut net, first[0], &request(first[0])), Err(JoinRefusal::UnknownTicket));
}

#[test]
fn who_waits_on_a_used_up_invite_comes_by_another() {
    let mut net = Net::alone(3);
    let [ada, bob] = [1, 2].map(|at| net.node(at));
    let first = approval(&mut net, 1);
    for node in [ada, bob] {
        assert_eq!(knock(&mut net, node, &first(node)), Err(JoinRefusal::Pending));
    }
    net.ask(0, Command::Approve(fingerprint(ada))).unwrap();
    let second = approval(&mut net, 1);
    assert_eq!(knock(&mut net, bob, &second(bob)), Err(JoinRefusal::Pending));
    net.ask(0, Command::Approve(fingerprint(bob))).unwrap();
    knock(&mut net, bob, &second(bob)).unwrap();
}

#[test]
fn a_removal_ends_requests_and_tickets_of_who_is_removed_and_of_nobody_else() {
    let mut net = Net::alone(3);
    let [ada, bob] = [1, 2].map(|at| net.node(at));
    let (old, other) = (approval(&mut net, 9), approval(&mut net, 9));
    assert_eq!(knock(&mut net, ada, &old(ada)), Err(JoinRefusal::Pending));
    net.ask(0, Command::Approve(fingerprint(ada))).unwrap();
    assert_eq!(knock(&mut net, bob, &old(bob)), Err(JoinRefusal::Pending));
    net.ask(0, Command::Approve(fingerprint(bob))).unwrap();
    assert_eq!(waiting(&mut net), []);
    net.ask(0, Command::Member(MemberWish::Remove(ada.to_string()))).unwrap();
    assert_eq!(waiting(&mut net), []);
    assert_eq!(knock(&mut net, ada, &other(ada)), Err(JoinRefusal::Removed));
    let new = approval(&mut net, 9);
    net.ask(0, Command::Member(MemberWish::Remove(bob.to_string()))).unwrap();
    assert_eq!(knock(&mut net, bob, &new(bob)), Err(JoinRefusal::Removed));
    assert_eq!(knock(&mut net, ada, &new(ada)), Err(JoinRefusal::Pending));
}
