//! Voters: what they have forgotten, how others take their place, and who may choose them.

use super::*;

#[test]
fn a_machine_that_has_started_anew_votes_only_once_all_it_may_have_forgotten_has_lapsed() {
    let mut mesh = Mesh::of(1);
    mesh.held(0, claim_of(None, &["src/**"]));
    mesh.net.reboot(0);
    mesh.pass(Duration::from_secs(30));
    let claim = mesh.claim(0, claim_of(None, &["docs/**"])).unwrap();
    let ClaimState::Tentative { reason, .. } = &claim.state else { panic!("{claim:?}") };
    assert!(reason.as_deref().is_some_and(|reason| reason.contains("started")), "{reason:?}");
    mesh.pass(Duration::from_secs(110));
    assert!(mesh.claims(0).iter().all(|claim| matches!(claim.state, ClaimState::Held { .. })), "{:?}", mesh.claims(0));
}

#[test]
fn a_lost_disk_makes_another_voter_that_only_a_choice_can_name() {
    let mut mesh = Mesh::of(3);
    mesh.cut_off(2);
    mesh.net.lose_disk(2);
    mesh.link(0, 2);
    mesh.link(1, 2);
    let voters = |mesh: &mut Mesh| {
        let Ok(Answer::Voters(voters)) = mesh.net.ask(2, Command::Voters) else { panic!("voters") };
        voters
    };
    let note = voters(&mut mesh).seats.into_iter().find(|seat| seat.here).unwrap().note;
    assert!(note.is_some_and(|note| note.contains("disk")));
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let chosen = mesh.set_voters(&[0, 1, 2]);
    assert_eq!((chosen.epoch, chosen.next), (3, None));
    mesh.pass(Duration::from_secs(3));
    assert_eq!(voters(&mut mesh).seats.into_iter().find(|seat| seat.here).unwrap().note, None);
    assert!(matches!(mesh.claims(0)[0].state, ClaimState::Held { .. }));
}

#[test]
fn voters_change_from_three_to_five_to_one_while_a_lease_is_held() {
    let mut mesh = Mesh::of(5);
    mesh.set_voters(&[0, 1, 2]);
    let token = mesh.held(3, claim_of(Some("b-1"), &[]));
    for places in [&[0, 1, 2, 3, 4][..], &[4][..]] {
        let voters = mesh.set_voters(places);
        assert_eq!(voters.seats.len(), places.len());
        mesh.pass(Duration::from_secs(60));
        let claims = mesh.claims(3);
        assert!(matches!(claims[0].state, ClaimState::Held { token: now, .. } if now == token), "{claims:?}");
        assert!(matches!(mesh.claim(1, claim_of(Some("b-1"), &[])), Err(CommandError::Held { .. })));
    }
}

#[test]
fn the_recovery_key_names_voters_when_a_majority_is_lost_and_they_wait_out_what_was_promised() {
    let mut mesh = Mesh::of(3);
    let first = mesh.held(2, claim_of(Some("b-1"), &[]));
    mesh.cut_off(1);
    mesh.cut_off(2);
    let key = mesh.net.peers[0].recovery.clone().unwrap();
    let recover = |mesh: &mut Mesh, recovery| {
        let nodes = vec![mesh.net.node(0).to_string()];
        let id = mesh.net.begin(0, Command::SetVoters(NewVoters { nodes, hold: None, recovery: Some(recovery) }));
        mesh.net.settle();
        mesh.net.reply(id).expect("an answer")
    };
    let other = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    assert!(matches!(recover(&mut mesh, other), Err(CommandError::Refused { .. })));
    let Ok(Answer::Voters(voters)) = recover(&mut mesh, key) else { panic!("voters") };
    assert!(voters.epoch > 1_000 && voters.seats.len() == 1, "{voters:?}");
    let claim = mesh.claim(0, claim_of(Some("b-1"), &[])).unwrap();
    assert!(matches!(claim.state, ClaimState::Tentative { .. }), "{claim:?}");
    // By now nobody can rely on what the lost voters promised.
    mesh.pass(Duration::from_secs(130));
    let claims = mesh.claims(0);
    let token = claims.iter().find_map(|claim| match claim.state {
        ClaimState::Held { token, .. } if claim.here => Some(token),
        _ => None,
    });
    assert!(token > Some(first), "{claims:?}");
    // The lost node never ended its claim; a later lease did.
    let lost = claims.iter().find(|claim| !claim.here).unwrap();
    assert_eq!(lost.state, ClaimState::Ended { why: "overtaken" });
}

#[test]
fn wrong_choices_of_voters_say_what_is_wrong() {
    let mut mesh = Mesh::of(3);
    let node = |mesh: &Mesh, at: usize| mesh.net.node(at).to_string();
    let choose = |mesh: &mut Mesh, at: usize, nodes: Vec<String>, hold: Option<u64>| {
        let hold = hold.map(Duration::from_secs);
        mesh.net.ask(at, Command::SetVoters(NewVoters { nodes, hold, recovery: None })).unwrap_err()
    };
    let (a, b) = (node(&mesh, 0), node(&mesh, 1));
    assert!(matches!(choose(&mut mesh, 0, vec![a.clone(), b.clone()], None), CommandError::Invalid { .. }));
    assert!(matches!(choose(&mut mesh, 0, vec![a.clone(); 3], None), CommandError::Invalid { .. }));
    assert!(matches!(choose(&mut mesh, 0, vec![a.clone()], Some(1)), CommandError::Invalid { .. }));
    assert!(matches!(choose(&mut mesh, 0, vec!["nobody".to_owned()], None), CommandError::NotFound { .. }));
    assert!(matches!(choose(&mut mesh, 1, vec![b], None), CommandError::Refused { .. }));
    mesh.cut_off(2);
    let gone = node(&mesh, 2);
    assert!(matches!(choose(&mut mesh, 0, vec![gone], None), CommandError::Conflict { .. }));
}

#[test]
fn a_copied_store_never_votes_with_the_voter_of_the_one_it_was_copied_from() {
    let mut mesh = Mesh::of(1);
    mesh.held(0, claim_of(None, &["src/**"]));
    let copy = mesh.net.copy(0, &Origin::Copied { kept: "store.kept".into() });
    let Ok(Answer::Voters(voters)) = mesh.net.ask(copy, Command::Voters) else { panic!("voters") };
    assert!(voters.seats[0].note.as_deref().is_some_and(|note| note.contains("disk")), "{voters:?}");
    mesh.net.set(0, "b-1", Field::Title, "still here");
    let shown = FieldValue::Text(mesh.bead(0).bead.title);
    assert_eq!(shown, FieldValue::Text("still here".to_owned()));
}
