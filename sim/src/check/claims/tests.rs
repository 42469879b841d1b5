use beadmesh_protocol::claim::Claim;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{AgentId, ProjectId};
use beadmesh_protocol::lease::Terms;
use beadmesh_protocol::scope::{Mode, Scope};
use beadmesh_store::command::{ContestAnswer, ExportedSystemLetter};

use super::*;
use crate::check::tests::{Scene, key, shown_agent, told};

fn agent(node: u8) -> AgentId {
    AgentId::from_bytes([node; 16])
}

fn claim(node: u8, mode: Mode) -> Claim {
    let scope = Scope::parse(Some(ProjectId::from_bytes([1; 16])), [], &["src/".to_owned()]).expect("a pattern");
    let terms = Terms { scope, mode };
    Claim { agent: agent(node), terms, priority: 2, until: Wall::default(), nonce: 7, seen: Vec::new() }
}

/// Nodes 0 and 1 each have a claim without a lease on the same paths; both agents have been told.
fn contested(mode: Mode) -> (Scene, [ClaimId; 2]) {
    let mut scene = Scene::sound();
    let ids = [0, 1].map(|node| claim(node, mode).id(key(node)));
    let is_contested = mode == Mode::Exclusive;
    for (at, node) in [(0, 0), (1, 1)] {
        scene.said.claims.insert(ids[at], (key(node), claim(node, mode)));
        let with = ids[1 - at];
        let other = ContestAnswer { with, address: String::new(), witness: "src/a".to_owned(), ahead: at == 0 };
        let answer = ClaimAnswer {
            id: ids[at],
            agent: agent(node),
            address: format!("Oak@node-{node}"),
            here: false,
            bead: None,
            project_key: None,
            patterns: vec!["src/**".to_owned()],
            mode,
            state: ClaimState::Tentative { reached: 0, voters: 1, reason: None },
            term_until: Wall::default(),
            contests: if is_contested { vec![other] } else { Vec::new() },
        };
        scene.change_all(|view| {
            view.claims.insert(answer.id, answer.clone());
            view.agents.push(shown_agent(node, agent(node)));
        });
        if is_contested {
            let cause = Cause::ClaimContested { claim: ids[at], with };
            let letter =
                ExportedSystemLetter { agent: agent(node), cause, at: Wall::default(), listed: 1, unread: true };
            scene.views[at].system.insert(cause.letter_id(agent(node)), letter);
        }
    }
    (scene, ids)
}

/// Returns what is said of a scene that was spoiled so.
fn spoiled(spoil: impl Fn(&mut Scene, [ClaimId; 2])) -> Vec<String> {
    let (mut scene, ids) = contested(Mode::Exclusive);
    spoil(&mut scene, ids);
    told(check, &scene)
}

#[test]
fn claims_that_are_told_of_everywhere_are_in_order() {
    assert_eq!(told(check, &contested(Mode::Exclusive).0), [""; 0]);
    assert_eq!(told(check, &contested(Mode::Shared).0), [""; 0]);
}

#[test]
fn a_claim_that_waits_or_was_never_said_is_told() {
    let asking = spoiled(|scene, [id, _]| {
        scene.views[0].claims.get_mut(&id).expect("it is there").state = ClaimState::Asking;
    });
    assert!(asking.len() == 1 && asking[0].ends_with("it waits for an answer."), "{asking:?}");
    let unsaid = spoiled(|scene, [id, _]| drop(scene.said.claims.remove(&id)));
    assert!(unsaid.iter().any(|text| text.ends_with("no entry says it.")), "{unsaid:?}");
    let hidden = spoiled(|scene, [id, _]| drop(scene.views[1].claims.remove(&id)));
    assert!(hidden.len() == 1 && hidden[0].ends_with("it is not shown."), "{hidden:?}");
}

#[test]
fn a_claim_that_is_over_at_some_only_is_told() {
    let kept = spoiled(|scene, [id, _]| {
        scene.said.ended.insert(id);
    });
    assert!(kept.len() > 2 && kept[0].contains("its node has ended it, and it is shown as Tentative"), "{kept:?}");
    let ended = spoiled(|scene, [id, _]| {
        scene.views[0].claims.get_mut(&id).expect("it is there").state = ClaimState::Ended { why: "done" };
    });
    assert!(ended.iter().any(|text| text.contains("its node has not ended it")), "{ended:?}");
    // Whether its term is over depends on who is asked when.
    let silent = spoiled(|scene, [id, _]| {
        scene.views[0].claims.get_mut(&id).expect("it is there").state = ClaimState::Ended { why: "silent" };
    });
    assert_eq!(silent, [""; 0]);
}

#[test]
fn tokens_and_words_that_differ_are_told() {
    let shown = |view: &mut View, id, token| {
        view.claims.get_mut(&id).expect("it is there").state = ClaimState::Shown { token };
    };
    let token = spoiled(|scene, [id, _]| {
        scene.change_all(|view| shown(view, id, 4));
        shown(&mut scene.views[1], id, 5);
    });
    assert!(
        token.len() == 1 && token[0].ends_with("its token is Some(5), and the reference shows Some(4)."),
        "{token:?}"
    );
    let words = spoiled(|scene, [id, _]| {
        scene.views[1].claims.get_mut(&id).expect("it is there").patterns.clear();
    });
    assert!(words.len() == 1 && words[0].contains("where the reference shows"), "{words:?}");
}

#[test]
fn contests_are_shown_and_told_on_both_sides_once() {
    let one_sided = spoiled(|scene, [id, _]| {
        scene.change_all(|view| view.claims.get_mut(&id).expect("it is there").contests.clear());
    });
    assert!(one_sided.len() == 3 && one_sided[0].ends_with("and [] are shown."), "{one_sided:?}");
    let untold = |scene: &mut Scene| scene.views[1].system.clear();
    let found = spoiled(|scene, _| untold(scene));
    assert!(found.len() == 1 && found[0].contains("its agent was told 0 times"), "{found:?}");
    let excuses: [fn(&mut Scene, [ClaimId; 2]); 4] = [
        |scene, [_, id]| {
            scene.said.fenced.insert(id);
        },
        |scene, _| {
            scene.lost.insert(key(1));
        },
        |scene, _| scene.plan.nodes[2].wall_ahead_ms = 1,
        |scene, _| scene.converged = false,
    ];
    for excuse in excuses {
        let excused = spoiled(|scene, ids| {
            untold(scene);
            excuse(scene, ids);
        });
        assert_eq!(excused, [""; 0]);
    }
}
