//! Claims between replicas that talk to each other's voters.

use std::time::Duration;

use beadmesh_protocol::bead::{Field, FieldValue, Status};
use beadmesh_protocol::limits::HOLD_DEFAULT;
use beadmesh_protocol::scope::Mode;

use crate::command::{
    Action, Answer, ClaimAnswer, ClaimFilter, ClaimState, Command, CommandError, Credential, InboxFilter, NewClaim,
    NewVoters, PathsAnswer, ProjectContext, VotersAnswer,
};
use crate::open::Origin;
use crate::replica::{Event, LinkId};
use crate::testing::{Net, bead, edit};

mod edges;
mod voters;

const HOUR: Duration = Duration::from_secs(3_600);

fn project() -> ProjectContext {
    ProjectContext { keys: vec!["name:p".to_owned()], prefix: None }
}

fn claim_of(bead: Option<&str>, scopes: &[&str]) -> NewClaim {
    NewClaim {
        bead: bead.map(str::to_owned),
        project: project(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        mode: Mode::Exclusive,
        term: HOUR,
        wait: Duration::ZERO,
        offline: false,
    }
}

/// A mesh of three, all linked, each with an agent, and one bead that everybody knows.
struct Mesh {
    net: Net,
    agents: Vec<Credential>,
    links: Vec<LinkId>,
}

impl Mesh {
    fn of(count: u8) -> Self {
        let mut net = Net::joined(count);
        let mut links = Vec::new();
        for source in 0..usize::from(count) {
            for target in source + 1..usize::from(count) {
                links.push(net.link(source, target));
                // Who has not heard of a member links to none.
                net.settle();
            }
        }
        let agents =
            (0..usize::from(count)).map(|at| net.register(at, ["Lea", "Bob", "Cyd", "Dan", "Eve"][at])).collect();
        let mut new = bead("b-1");
        new.project = project();
        new.scopes = vec!["src/**".to_owned()];
        net.ask(0, Command::Create(Box::new(new))).unwrap();
        net.settle();
        let mut mesh = Self { net, agents, links };
        if count > 1 {
            mesh.set_voters(&(0..usize::from(count)).collect::<Vec<_>>());
        }
        mesh
    }

    fn set_voters(&mut self, places: &[usize]) -> VotersAnswer {
        let nodes = places.iter().map(|at| self.net.node(*at).to_string()).collect();
        let id = self.net.begin(0, Command::SetVoters(NewVoters { nodes, hold: None, recovery: None }));
        self.pass(Duration::from_secs(3));
        let Answer::Voters(voters) = self.net.reply(id).expect("an answer").unwrap() else { panic!("voters") };
        voters
    }

    /// Claims, delivers until nothing is on its way, and returns the answer.
    fn claim(&mut self, at: usize, new: NewClaim) -> Result<ClaimAnswer, CommandError> {
        let command = Command::As(self.agents[at].clone(), Box::new(Command::Claim(Box::new(new))));
        let id = self.net.begin(at, command);
        self.net.settle_now();
        for _ in 0..8 {
            match self.net.reply(id) {
                Some(Ok(Answer::Claim(claim))) => return Ok(*claim),
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(error)) => return Err(error),
                None => self.pass(Duration::from_secs(1)),
            }
        }
        panic!("no answer")
    }

    fn held(&mut self, at: usize, new: NewClaim) -> u64 {
        match self.claim(at, new).unwrap().state {
            ClaimState::Held { token, .. } => token,
            state => panic!("{state:?}"),
        }
    }

    /// Lets time pass in steps that are short beside every timer.
    fn pass(&mut self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(400));
            self.net.elapse(step);
            self.net.wake();
            self.net.settle_now();
            left -= step;
        }
    }

    fn as_agent(&mut self, at: usize, command: Command) -> Result<Answer, CommandError> {
        let credential = self.agents[at].clone();
        self.net.ask_as(at, &credential, command)
    }

    fn claims(&mut self, at: usize) -> Vec<ClaimAnswer> {
        let Ok(Answer::Claims(claims)) = self.net.ask(at, Command::ListClaims(ClaimFilter::default())) else {
            panic!("claims")
        };
        claims
    }

    fn check(&mut self, at: usize, path: &str) -> PathsAnswer {
        let Ok(Answer::Paths(paths)) = self.as_agent(at, Command::CheckPaths(project(), vec![path.to_owned()])) else {
            panic!("paths")
        };
        paths
    }

    fn bead(&mut self, at: usize) -> crate::command::BeadAnswer {
        let Ok(Answer::Bead(bead)) = self.net.ask(at, Command::Show("b-1".to_owned())) else { panic!("a bead") };
        *bead
    }

    /// Returns the kinds of system letters in an agent's inbox, the newest first.
    fn told(&mut self, at: usize) -> Vec<&'static str> {
        let Ok(Answer::Letters(page)) = self.as_agent(at, Command::MailInbox(InboxFilter::default())) else {
            panic!("letters")
        };
        page.letters.iter().filter_map(|letter| letter.cause.map(|cause| cause.kind())).collect()
    }

    /// Reads the newest letter of an agent, and returns its subject and its body.
    fn read_newest(&mut self, at: usize) -> (String, String) {
        let Ok(Answer::Letters(page)) = self.as_agent(at, Command::MailInbox(InboxFilter::default())) else {
            panic!("letters")
        };
        let letter = page.letters[0].short.clone();
        let Ok(Answer::Letter(letter)) = self.as_agent(at, Command::MailShow { letter, peek: false }) else {
            panic!("a letter")
        };
        (letter.head.subject, letter.body)
    }

    /// Cuts a replica off from all others.
    fn cut_off(&mut self, at: usize) {
        for link in std::mem::take(&mut self.links) {
            match self.net.ends(link) {
                Some((a, b)) if a == at || b == at => self.net.cut(link),
                Some(_) => self.links.push(link),
                None => {}
            }
        }
    }

    fn link(&mut self, source: usize, target: usize) {
        let link = self.net.link(source, target);
        self.links.push(link);
        self.pass(Duration::from_secs(3));
    }
}

#[test]
fn a_mesh_of_one_holds_what_it_claims_at_once() {
    let mut mesh = Mesh::of(1);
    let claim = mesh.as_agent(0, Command::Claim(Box::new(claim_of(Some("b-1"), &[])))).unwrap();
    let Answer::Claim(claim) = claim else { panic!("a claim") };
    assert!(matches!(claim.state, ClaimState::Held { token: 1, .. }), "{claim:?}");
    assert_eq!((claim.bead.unwrap().1.as_str(), claim.patterns), ("b-1", vec!["src/**".to_owned()]));
    let shown = mesh.bead(0).bead;
    assert_eq!((shown.status, shown.assignee.as_deref()), (Status::InProgress, Some("Lea@node")));
}

#[test]
fn of_three_that_claim_one_bead_one_holds_it_and_the_others_hear_who() {
    let mut mesh = Mesh::of(3);
    let ids: Vec<_> = (0..3)
        .map(|at| {
            let claim = Command::Claim(Box::new(claim_of(Some("b-1"), &[])));
            let command = Command::As(mesh.agents[at].clone(), Box::new(claim));
            mesh.net.begin(at, command)
        })
        .collect();
    mesh.pass(Duration::from_secs(3));
    mesh.pass(Duration::from_secs(8));
    let mut held = Vec::new();
    let mut refused = Vec::new();
    for (at, id) in ids.into_iter().enumerate() {
        match mesh.net.reply(id).expect("an answer") {
            Ok(Answer::Claim(claim)) => held.push((at, claim)),
            Err(CommandError::Held { by, witness, .. }) => refused.push((by, witness)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((held.len(), refused.len()), (1, 2), "{held:?} {refused:?}");
    let (at, claim) = &held[0];
    assert!(matches!(claim.state, ClaimState::Held { .. }));
    assert_eq!(refused, vec![(claim.address.clone(), "b-1".to_owned()); 2]);
    // Everybody sees who works on it.
    for other in 0..3 {
        let claims = mesh.claims(other);
        assert_eq!(claims.len(), 1, "{claims:?}");
        assert_eq!((claims[0].id, claims[0].here), (claim.id, other == *at));
    }
}

#[test]
fn a_refusal_names_a_path_that_both_would_touch() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(None, &["src/**"]));
    let Err(CommandError::Held { by, left, witness }) = mesh.claim(1, claim_of(None, &["**/a.rs"])) else {
        panic!("it is refused")
    };
    assert_eq!((by.as_str(), witness.as_str()), (mesh.claims(0)[0].address.as_str(), "src/a.rs"));
    assert!(left.is_some_and(|left| left <= HOLD_DEFAULT && left > HOLD_DEFAULT / 2), "{left:?}");
    mesh.held(1, claim_of(None, &["docs/**"]));
}

#[test]
fn a_released_claim_makes_room_and_says_so_to_all() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let refused = mesh.as_agent(1, Command::Unclaim("b-1".to_owned()));
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}");
    let Ok(Answer::Claim(claim)) = mesh.as_agent(0, Command::Unclaim("b-1".to_owned())) else { panic!("a claim") };
    assert_eq!(claim.state, ClaimState::Ended { why: "done" });
    mesh.pass(Duration::from_secs(3));
    assert_eq!(mesh.claims(2), Vec::new());
    assert_eq!(mesh.bead(2).bead.status, Status::Open);
    let token = mesh.held(1, claim_of(Some("b-1"), &[]));
    assert!(token > 1);
}

#[test]
fn a_lease_is_renewed_while_its_term_runs_and_ends_with_it() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, NewClaim { term: Duration::from_secs(300), ..claim_of(Some("b-1"), &[]) });
    mesh.pass(Duration::from_secs(250));
    assert!(matches!(mesh.claims(0)[0].state, ClaimState::Held { .. }));
    assert_eq!(mesh.check(0, "src/a.rs").held, 1);
    mesh.pass(Duration::from_secs(60));
    assert_eq!(mesh.claims(0), Vec::new());
    assert_eq!(mesh.claims(1), Vec::new());
    mesh.held(1, claim_of(Some("b-1"), &[]));
}

#[test]
fn who_is_cut_off_loses_its_lease_before_another_gets_it_and_hears_of_it() {
    let mut mesh = Mesh::of(3);
    let first = mesh.held(0, claim_of(Some("b-1"), &[]));
    mesh.cut_off(0);
    mesh.pass(Duration::from_secs(95));
    assert!(matches!(mesh.claims(0)[0].state, ClaimState::Lapsed { .. }));
    let problems = mesh.check(0, "src/a.rs").problems;
    assert_eq!((problems.len(), problems[0].own), (1, true));
    assert_eq!(mesh.told(0), ["lease_lapsed"]);
    let lapsed = mesh.net.peers[0].events.iter().any(|event| matches!(event, Event::Claim { state: "lapsed", .. }));
    assert!(lapsed);
    let second = mesh.held(1, claim_of(Some("b-1"), &[]));
    assert!(second > first);
    // It closes the bead late, and its close counts for nothing once the others are heard of.
    let by = mesh.agents[0].name.clone();
    let close = Command::Edit(crate::command::BeadEdit { bead: "b-1".to_owned(), action: Action::Close(None), by });
    mesh.as_agent(0, close).unwrap();
    assert_eq!(mesh.bead(0).bead.status, Status::Closed);
    mesh.link(0, 1);
    mesh.link(0, 2);
    mesh.pass(Duration::from_secs(12));
    for at in 0..3 {
        let bead = mesh.bead(at);
        assert_eq!(bead.bead.status, Status::InProgress, "at {at}");
        let stale = bead.stale_close.expect("a stale close");
        assert_eq!((stale.token, stale.holder_token), (first, second));
    }
    assert_eq!(mesh.net.export(0), mesh.net.export(1));
    // Who holds it closes it for good.
    let by = mesh.agents[1].name.clone();
    let close = Command::Edit(crate::command::BeadEdit { bead: "b-1".to_owned(), action: Action::Close(None), by });
    mesh.as_agent(1, close).unwrap();
    mesh.pass(Duration::from_secs(3));
    for at in 0..3 {
        let bead = mesh.bead(at);
        assert_eq!((bead.bead.status, bead.stale_close), (Status::Closed, None), "at {at}");
    }
}

#[test]
fn who_has_given_way_is_not_told_that_its_paths_are_free() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(None, &["src/**"]));
    mesh.cut_off(0);
    mesh.pass(Duration::from_secs(95));
    mesh.held(1, claim_of(None, &["src/a.rs"]));
    mesh.link(0, 1);
    mesh.link(0, 2);
    mesh.pass(Duration::from_secs(6));
    assert!(mesh.claims(0).iter().all(|claim| !claim.here), "it has given way");
    // One path is shown to be another's; of the others no more is known than that the claim on them is over.
    assert!(!mesh.check(0, "src/a.rs").problems[0].own);
    let problems = mesh.check(0, "src/b.rs").problems;
    assert_eq!((problems.len(), problems[0].own), (1, true), "{problems:?}");
    assert!(matches!(problems[0].state, ClaimState::Ended { why: "yielded" }), "{problems:?}");
    assert_eq!(mesh.check(0, "docs/b.md").problems, Vec::new());
    mesh.pass(HOLD_DEFAULT);
    assert_eq!(mesh.check(0, "src/b.rs").problems, Vec::new());
}

#[test]
fn a_close_under_a_lease_stands_when_somebody_else_holds_the_bead_later() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    let by = mesh.agents[0].name.clone();
    let close = Command::Edit(crate::command::BeadEdit { bead: "b-1".to_owned(), action: Action::Close(None), by });
    mesh.as_agent(0, close).unwrap();
    mesh.pass(Duration::from_secs(3));
    mesh.net.ask(1, edit("b-1", Action::Reopen)).unwrap();
    mesh.pass(Duration::from_secs(3));
    mesh.held(1, claim_of(Some("b-1"), &[]));
    mesh.pass(Duration::from_secs(3));
    for at in 0..3 {
        assert_eq!(mesh.bead(at).stale_close, None);
    }
}

#[test]
fn without_a_majority_a_claim_is_tentative_and_one_of_two_gets_it_later() {
    let mut mesh = Mesh::of(3);
    mesh.cut_off(0);
    mesh.cut_off(1);
    for at in [0, 1] {
        let claim = mesh.claim(at, claim_of(Some("b-1"), &[])).unwrap();
        assert!(matches!(claim.state, ClaimState::Tentative { reached: 1, voters: 3, .. }), "{claim:?}");
    }
    for (source, target) in [(0, 1), (0, 2), (1, 2)] {
        mesh.link(source, target);
    }
    mesh.pass(Duration::from_secs(20));
    let claims = mesh.claims(2);
    assert_eq!(claims.len(), 1, "{claims:?}");
    assert!(matches!(claims[0].state, ClaimState::Shown { .. } | ClaimState::Held { .. }));
    let winner = usize::from(claims[0].agent != mesh.claims(0)[0].agent || !mesh.claims(0)[0].here);
    let told = mesh.told(1 - winner);
    assert_eq!(told.len(), 1, "{told:?}");
    let one = mesh.net.export(0);
    assert_eq!((&one, &one), (&mesh.net.export(1), &mesh.net.export(2)));
}

#[test]
fn who_has_read_of_a_rival_is_told_again_once_it_has_the_lease() {
    for is_read in [true, false] {
        let mut mesh = Mesh::of(5);
        for at in 0..5 {
            mesh.cut_off(at);
        }
        for at in [0, 1] {
            mesh.claim(at, claim_of(Some("b-1"), &[])).unwrap();
        }
        // Two of five hear of each other, and can decide nothing.
        mesh.link(0, 1);
        for at in [0, 1] {
            assert_eq!(mesh.told(at), ["claim_contested"]);
            if is_read {
                let (subject, body) = mesh.read_newest(at);
                assert!(subject.ends_with("also claims b-1") && body.contains("Your claim has no lease."), "{body}");
            }
        }
        for at in [0, 1] {
            mesh.link(at, 2);
            mesh.link(at, 3);
        }
        mesh.pass(Duration::from_secs(20));
        let loser = usize::from(mesh.claims(0)[0].here);
        let told: &[&str] = if is_read { &["claim_yielded", "claim_contested"] } else { &["claim_contested"] };
        assert_eq!((mesh.told(loser), mesh.told(1 - loser)), (told.to_vec(), vec!["claim_contested"]));
        let (subject, body) = mesh.read_newest(loser);
        assert!(subject.ends_with(" has b-1") && body.contains("Your claim is over."), "{subject}: {body}");
        let (subject, body) = mesh.read_newest(1 - loser);
        assert!(subject.ends_with(" also claims b-1") && body.contains("You have the lease by now"), "{body}");
    }
}

#[test]
fn a_claim_is_shown_with_the_contests_that_it_is_listed_with() {
    let mut mesh = Mesh::of(3);
    for (at, scopes) in [(0, ["src/a*"]), (1, ["src/*b"]), (2, ["docs/**"]), (2, ["src/b"]), (0, ["lib/**"])] {
        mesh.claim(at, NewClaim { offline: true, ..claim_of(None, &scopes) }).unwrap();
    }
    mesh.net.settle_now();
    let listed = mesh.claims(1);
    let contests: Vec<usize> = listed.iter().map(|claim| claim.contests.len()).collect();
    assert_eq!((listed.len(), contests.iter().sum::<usize>()), (5, 4), "{listed:?}");
    for claim in listed {
        let Ok(Answer::Claim(shown)) = mesh.net.ask(1, Command::ShowClaim(claim.id.to_string())) else { panic!() };
        assert_eq!(shown.contests, claim.contests);
    }
}

#[test]
fn an_offline_claim_asks_nobody() {
    let mut mesh = Mesh::of(1);
    let new = NewClaim { offline: true, ..claim_of(Some("b-1"), &[]) };
    let claim = mesh.as_agent(0, Command::Claim(Box::new(new))).unwrap();
    let Answer::Claim(claim) = claim else { panic!("a claim") };
    assert!(matches!(claim.state, ClaimState::Tentative { .. }), "{claim:?}");
    // The node upgrades it as soon as it looks.
    mesh.pass(Duration::from_secs(6));
    assert!(matches!(mesh.claims(0)[0].state, ClaimState::Held { .. }));
}

#[test]
fn who_waits_for_a_claim_waits_alone_and_is_told_when_it_is_let_go() {
    let mut mesh = Mesh::of(3);
    mesh.held(1, claim_of(None, &["src/ba.rs"]));
    let tentative = mesh.claim(0, NewClaim { offline: true, ..claim_of(None, &["src/**"]) }).unwrap();
    let again = |mesh: &mut Mesh| {
        let wait = NewClaim { wait: HOUR, ..claim_of(None, &["src/**"]) };
        let id = mesh.net.begin(0, Command::As(mesh.agents[0].clone(), Box::new(Command::Claim(Box::new(wait)))));
        mesh.net.settle_now();
        id
    };
    let (first, second) = (again(&mut mesh), again(&mut mesh));
    assert!(mesh.net.reply(first).is_none());
    assert!(matches!(mesh.net.reply(second), Some(Err(CommandError::Conflict { .. }))));
    mesh.as_agent(0, Command::Unclaim(tentative.id.to_string())).unwrap();
    assert!(matches!(mesh.net.reply(first), Some(Err(CommandError::Conflict { .. }))));
}

#[test]
fn a_claim_outlives_a_crash_of_its_node_with_a_higher_token() {
    let mut mesh = Mesh::of(3);
    let first = mesh.held(0, claim_of(Some("b-1"), &[]));
    mesh.cut_off(0);
    mesh.net.crash(0);
    mesh.link(0, 1);
    mesh.link(0, 2);
    mesh.pass(Duration::from_secs(6));
    let claims = mesh.claims(0);
    assert!(matches!(claims[0].state, ClaimState::Held { token, .. } if token > first), "{claims:?}");
    assert!(matches!(mesh.claim(1, claim_of(Some("b-1"), &[])), Err(CommandError::Held { .. })));
}

#[test]
fn a_claim_that_can_not_be_made_says_why() {
    let mut mesh = Mesh::of(1);
    let claim = |mesh: &mut Mesh, new| mesh.as_agent(0, Command::Claim(Box::new(new))).unwrap_err();
    assert!(matches!(claim(&mut mesh, claim_of(Some("b-9"), &[])), CommandError::NotFound { .. }));
    assert!(matches!(claim(&mut mesh, claim_of(None, &[])), CommandError::Invalid { .. }));
    assert!(matches!(claim(&mut mesh, claim_of(None, &["a//b"])), CommandError::Invalid { .. }));
    let many: Vec<String> = (0..17).map(|at| format!("f{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(claim(&mut mesh, claim_of(None, &many)), CommandError::Invalid { .. }));
    mesh.net.ask(0, edit("b-1", Action::Close(None))).unwrap();
    assert!(matches!(claim(&mut mesh, claim_of(Some("b-1"), &[])), CommandError::Conflict { .. }));
    let nobody = mesh.net.ask(0, Command::Claim(Box::new(claim_of(None, &["a"]))));
    assert!(matches!(nobody, Err(CommandError::Refused { .. })));
}

#[test]
fn claims_are_left_behind_where_a_node_enters_another_mesh() {
    let mut net = Net::alone(2);
    let bob = net.register(1, "Bob");
    net.create(1, "b-2");
    net.ask_as(1, &bob, Command::Claim(Box::new(claim_of(Some("b-2"), &[])))).unwrap();
    net.join(0, 1).unwrap();
    let Ok(Answer::Claims(claims)) =
        net.ask(1, Command::ListClaims(ClaimFilter { all: true, ..ClaimFilter::default() }))
    else {
        panic!("claims")
    };
    assert_eq!(claims, Vec::new());
    let _ = net.link(0, 1);
    net.settle();
    assert_eq!(net.export(0), net.export(1));
}

#[test]
fn what_is_known_of_claims_is_the_same_after_it_was_derived_anew() {
    let mut mesh = Mesh::of(3);
    mesh.held(0, claim_of(Some("b-1"), &[]));
    mesh.held(1, claim_of(None, &["docs/**"]));
    let before = mesh.claims(2);
    mesh.net.ask(2, Command::Rebuild).unwrap();
    assert_eq!(mesh.claims(2), before);
    assert_eq!(mesh.net.findings(2), Vec::new());
}
