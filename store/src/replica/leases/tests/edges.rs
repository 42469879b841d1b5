//! What is asked at the wrong time, twice, by the wrong one, or meanwhile.

use beadmesh_protocol::claim::Closing;
use beadmesh_protocol::lease::Token;
use beadmesh_protocol::op::Op;

use super::*;

fn close(mesh: &mut Mesh, at: usize) {
    let by = mesh.agents[at].name.clone();
    let close = Command::Edit(crate::command::BeadEdit { bead: "b-1".to_owned(), action: Action::Close(None), by });
    mesh.as_agent(at, close).unwrap();
    mesh.pass(Duration::from_secs(3));
}

/// Begins a claim that waits for a minute.
fn wait(mesh: &mut Mesh, at: usize) -> crate::replica::RequestId {
    let new = NewClaim { wait: Duration::from_secs(60), ..claim_of(Some("b-1"), &[]) };
    let id = mesh.net.begin(at, Command::As(mesh.agents[at].clone(), Box::new(Command::Claim(Box::new(new)))));
    mesh.pass(Duration::from_secs(2));
    id
}

#[test]
fn a_claim_that_waits_gets_its_turn_when_the_other_is_released() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let id = wait(&mut mesh, 1);
    assert!(mesh.net.reply(id).is_none());
    mesh.as_agent(0, Command::Unclaim("b-1".to_owned())).unwrap();
    mesh.pass(Duration::from_secs(3));
    let Some(Ok(Answer::Claim(claim))) = mesh.net.reply(id) else { panic!("a claim") };
    assert!(matches!(claim.state, ClaimState::Held { .. }));
}

#[test]
fn what_is_asked_for_can_not_be_renewed_released_or_asked_for_again() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let id = wait(&mut mesh, 1);
    for command in [
        Command::Renew("b-1".to_owned(), HOUR),
        Command::Unclaim("b-1".to_owned()),
        Command::Claim(Box::new(claim_of(Some("b-1"), &[]))),
    ] {
        let refused = mesh.as_agent(1, command);
        assert!(matches!(refused, Err(CommandError::Conflict { .. })), "{refused:?}");
    }
    mesh.pass(Duration::from_secs(60));
    assert!(matches!(mesh.net.reply(id), Some(Err(CommandError::Held { .. }))));
    mesh.net.crash(1);
    assert!(mesh.claims(1).iter().all(|claim| !claim.here), "nothing is left of a claim that was refused");
}

#[test]
fn who_waits_for_a_claim_hears_when_its_agent_closes_the_bead() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let id = wait(&mut mesh, 1);
    close(&mut mesh, 1);
    assert!(matches!(mesh.net.reply(id), Some(Err(CommandError::Conflict { .. }))));
}

#[test]
fn a_retired_agent_leaves_no_lease_behind() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let name = mesh.agents[0].name.clone();
    mesh.net.ask(0, Command::AgentRetire(name)).unwrap();
    mesh.pass(Duration::from_secs(3));
    mesh.held(1, claim_of(Some("b-1"), &[]));
}

#[test]
fn other_scopes_on_a_bead_that_is_held_are_no_part_of_the_lease() {
    let mut mesh = Mesh::of(1);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let more = mesh.claim(0, claim_of(Some("b-1"), &["docs/**"]));
    assert!(matches!(more, Err(CommandError::Conflict { .. })), "{more:?}");
    assert_eq!(mesh.check(0, "docs/a.md").held, 0);
}

#[test]
fn those_who_share_a_scope_may_all_write_there_and_nobody_else() {
    let mut mesh = Mesh::of(3);
    let shared = |scope| NewClaim { mode: Mode::Shared, ..claim_of(None, &[scope]) };
    mesh.held(0, shared("docs/**"));
    mesh.held(1, shared("docs/*.md"));
    mesh.pass(Duration::from_secs(2));
    for at in [0, 1] {
        let paths = mesh.check(at, "docs/a.md");
        assert_eq!((paths.held, paths.problems), (1, Vec::new()), "at {at}");
    }
    assert_eq!(mesh.check(2, "docs/a.md").problems.len(), 1);
    let alone = mesh.claim(2, claim_of(None, &["docs/a.md"]));
    assert!(matches!(alone, Err(CommandError::Held { .. })), "{alone:?}");
}

#[test]
fn a_close_long_after_all_leases_is_not_late() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, NewClaim { term: Duration::from_secs(60), ..claim_of(Some("b-1"), &[]) });
    mesh.pass(Duration::from_secs(70));
    mesh.held(1, claim_of(Some("b-1"), &[]));
    mesh.as_agent(1, Command::Unclaim("b-1".to_owned())).unwrap();
    mesh.pass(Duration::from_secs(3));
    close(&mut mesh, 0);
    for at in 0..3 {
        let bead = mesh.bead(at);
        assert_eq!((bead.bead.status, bead.stale_close), (Status::Closed, None), "at {at}");
    }
}

#[test]
fn nobody_can_say_under_which_lease_another_closed_a_bead() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    close(&mut mesh, 0);
    let bead = mesh.bead(1).bead.id;
    let replica = &mut mesh.net.peers[1].replica;
    let (change, _) = replica.beads.writer(&replica.stage, &replica.mesh, (bead, Field::Status)).unwrap().unwrap();
    let mut forged: Vec<Token> = Vec::new();
    for own in replica.claims.fenced_on(&replica.stage, bead).unwrap() {
        let token = own.1.fence().unwrap().token;
        let lane = beadmesh_protocol::lease::LaneId {
            holder: beadmesh_protocol::lease::Holder { node: replica.entries.node(), ..token.attempt.lane.holder },
            ..token.attempt.lane
        };
        let attempt = beadmesh_protocol::lease::Attempt { lane, ..token.attempt };
        forged.push(Token { counter: 0, attempt });
    }
    let ops = forged.into_iter().map(|token| Op::Closing(Closing { bead, change, token }).encode());
    let ops: Vec<_> = ops.collect();
    assert!(!ops.is_empty());
    replica.author(ops).unwrap();
    mesh.net.flush(1);
    mesh.net.ask(2, edit("b-1", Action::Reopen)).unwrap();
    mesh.pass(Duration::from_secs(3));
    mesh.held(2, claim_of(Some("b-1"), &[]));
    mesh.pass(Duration::from_secs(3));
    let before = mesh.net.export(0);
    for at in 0..3 {
        assert_eq!(mesh.bead(at).stale_close, None, "at {at}");
        assert_eq!(mesh.net.export(at), before);
    }
}
