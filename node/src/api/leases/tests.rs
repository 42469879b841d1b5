use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{AgentId, ClaimId};
use beadmesh_store::command::{ClaimState, CommandError};

use super::super::model::SecretText;
use super::*;

fn refused(problem: Problem) -> (u16, String, Option<String>) {
    (problem.status.as_u16(), problem.info.code, problem.info.field)
}

fn field(name: &str) -> (u16, String, Option<String>) {
    (422, "invalid".to_owned(), Some(name.to_owned()))
}

fn answer(alias: &str) -> ClaimAnswer {
    ClaimAnswer {
        id: ClaimId::from_bytes([1; 16]),
        agent: AgentId::from_bytes([2; 16]),
        address: "Ada@box".into(),
        here: true,
        bead: Some((beadmesh_protocol::id::BeadId::from_bytes([3; 16]), alias.to_owned())),
        project_key: None,
        patterns: vec![],
        mode: Mode::Exclusive,
        state: ClaimState::Held { until: Wall::from_millis(0), left: Duration::from_secs(88), token: 17 },
        term_until: Wall::from_millis(0),
        contests: vec![],
    }
}

fn held(by: &str) -> Problem {
    let left = Some(Duration::from_secs(71));
    CommandError::Held { by: by.to_owned(), left, witness: "src/ba.rs".into() }.into()
}

/// Tries beads of which those in `taken` are others'; returns what came of it and which were tried.
async fn tried(beads: &[&str], taken: &[&str]) -> (Result<ClaimAnswer, Problem>, Vec<String>) {
    let mut tried = Vec::new();
    let names = beads.iter().map(|bead| (*bead).to_owned());
    let came = first_free(names, |bead| {
        tried.push(bead.clone());
        std::future::ready(if taken.contains(&&*bead) { Err(held(&bead)) } else { Ok(answer(&bead)) })
    });
    (came.await, tried)
}

#[tokio::test]
async fn the_first_ready_bead_that_nobody_holds_is_claimed() {
    let (came, names) = tried(&["a", "b", "c"], &["a"]).await;
    assert_eq!((came.unwrap(), names), (answer("b"), vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn what_stands_in_the_way_of_the_last_bead_is_told_when_all_are_held() {
    let (came, names) = tried(&["a", "b"], &["a", "b"]).await;
    assert_eq!((came, names.len()), (Err(held("b")), 2));
    let (came, _) = tried(&[], &[]).await;
    assert_eq!(refused(came.unwrap_err()), (404, "not_found".into(), None));
}

#[tokio::test]
async fn another_refusal_than_held_ends_the_search() {
    let beads = ["a", "b"].map(str::to_owned);
    let refusal = || Problem::refused("an observer does not claim", "ask an admin");
    let mut asked = 0;
    let came = first_free(beads.into_iter(), |_| {
        asked += 1;
        std::future::ready(Err(refusal()))
    });
    assert_eq!((came.await, asked), (Err(refusal()), 1));
}

#[test]
fn a_claim_out_of_bounds_names_its_field() {
    let scopes = || vec!["src/".to_owned()];
    for term_s in [0, TERM_S_MAX + 1, u64::MAX] {
        let request = ClaimRequest { scopes: scopes(), term_s: Some(term_s), ..ClaimRequest::default() };
        assert_eq!(refused(new_claim(request).unwrap_err()), field("term_s"), "{term_s}");
    }
    let request = ClaimRequest { scopes: scopes(), wait_s: Some(WAIT_S_MAX + 1), ..ClaimRequest::default() };
    assert_eq!(refused(new_claim(request).unwrap_err()), field("wait_s"));
    assert_eq!(refused(new_claim(ClaimRequest::default()).unwrap_err()), field("scopes"));
    let request = ClaimRequest {
        scopes: scopes(),
        term_s: Some(TERM_S_MAX),
        wait_s: Some(WAIT_S_MAX),
        shared: true,
        ..ClaimRequest::default()
    };
    let new = new_claim(request).unwrap();
    assert_eq!((new.term.as_secs(), new.wait.as_secs(), new.mode), (TERM_S_MAX, WAIT_S_MAX, Mode::Shared));
    let plain = new_claim(ClaimRequest { bead: Some("a".into()), ..ClaimRequest::default() }).unwrap();
    assert_eq!((plain.term.as_secs(), plain.wait, plain.mode), (TERM_S_DEFAULT, Duration::ZERO, Mode::Exclusive));
}

#[test]
fn voters_are_an_odd_number_with_a_hold_within_bounds() {
    let request = |count: usize, hold_s| VotersRequest {
        nodes: (0..count).map(|at| format!("n{at}")).collect(),
        hold_s,
        recovery_key: None,
    };
    for count in [0, 2, 4, 6, 8, 9] {
        assert_eq!(refused(new_voters(request(count, None)).unwrap_err()), field("nodes"), "{count}");
    }
    for count in [1, 3, 5, 7] {
        assert_eq!(new_voters(request(count, Some(HOLD_S_MAX))).unwrap().nodes.len(), count);
    }
    for hold_s in [0, HOLD_S_MIN - 1, HOLD_S_MAX + 1] {
        assert_eq!(refused(new_voters(request(1, Some(hold_s))).unwrap_err()), field("hold_s"), "{hold_s}");
    }
}

#[test]
fn a_recovery_key_is_read_as_it_was_shown_and_never_quoted() {
    let request = |key: &str| VotersRequest {
        nodes: vec!["a".into()],
        hold_s: None,
        recovery_key: Some(SecretText::new(key.to_owned())),
    };
    let key = format!("bmr1{}", beadmesh_protocol::id::base32(&[7; 32]));
    let read = new_voters(request(&key)).unwrap().recovery.unwrap();
    assert_eq!(read.to_bytes(), [7; 32]);
    let problem = new_voters(request("bmr1secret")).unwrap_err();
    assert!(!format!("{problem:?}").contains("secret"), "{problem:?}");
    assert_eq!(refused(problem), field("recovery_key"));
}

#[tokio::test]
async fn what_is_claimed_for_one_who_has_gone_is_let_go() {
    let (grant, granted) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let release = |unheard: ClaimAnswer| async move { tell.send(unheard).unwrap() };
    let mut waiting = Box::pin(heard(BTreeSet::new(), async { granted.await.unwrap() }, release));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    grant.send(Ok(answer("a"))).unwrap();
    assert_eq!(told.await, Ok(answer("a")));
}

#[tokio::test]
async fn what_an_agent_had_before_stays_when_a_waiter_has_gone() {
    let (grant, granted) = oneshot::channel();
    let (tell, told) = oneshot::channel::<ClaimAnswer>();
    let release = |unheard: ClaimAnswer| async move { tell.send(unheard).unwrap() };
    let before = BTreeSet::from([answer("a").id]);
    let mut waiting = Box::pin(heard(before, async { granted.await.unwrap() }, release));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    grant.send(Ok(answer("a"))).unwrap();
    assert!(told.await.is_err(), "nothing was let go");
}

#[tokio::test]
async fn what_is_claimed_for_one_who_waits_stays() {
    let (tell, told) = oneshot::channel::<ClaimAnswer>();
    let release = |unheard: ClaimAnswer| async move { tell.send(unheard).unwrap() };
    assert_eq!(heard(BTreeSet::new(), async { Ok(answer("a")) }, release).await, Ok(answer("a")));
    assert!(told.await.is_err(), "nothing was let go");
    let refused = heard(BTreeSet::new(), async { Err(held("b")) }, |_| async { panic!("nothing was claimed") });
    assert_eq!(refused.await, Err(held("b")));
}
