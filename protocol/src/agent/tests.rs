use proptest::prelude::{Just, Strategy, any, prop_assert_eq, proptest};

use super::*;
use crate::clock::Wall;
use crate::op::Role;
use crate::testing::{Author, MeshFixture, agent};

/// Folds what nodes say that may write.
fn fold(mesh: &MeshFixture) -> Directory {
    let roster = mesh.roster();
    Directory::fold(|entry: &Entry| roster.may_write(entry.content().author), &mesh.entries)
}

#[test]
fn an_agent_is_the_same_whatever_the_case_of_its_name_and_another_on_another_node() {
    let (ada, bob) = (Author::seeded(1).node(), Author::seeded(2).node());
    assert_eq!(AgentId::of(ada, "BlueLake"), AgentId::of(ada, "bluelake"));
    assert_ne!(AgentId::of(ada, "BlueLake"), AgentId::of(bob, "BlueLake"));
}

#[test]
fn names_are_short_and_of_plain_characters() {
    assert_eq!(check_name("Blue-Lake_2.1"), Ok(()));
    assert_eq!(check_name(""), Err(NameError::Empty));
    assert_eq!(check_name("Blue@gpu"), Err(NameError::Character('@')));
    assert_eq!(check_name("blå"), Err(NameError::Character('å')));
    assert_eq!(check_name(&"x".repeat(65)), Err(NameError::Bytes(65)));
}

#[test]
fn the_last_word_counts_but_who_is_retired_stays_so() {
    let mut mesh = MeshFixture::founded();
    let founder = mesh.founder.clone();
    let said = |task: &str, retired| Op::Agent(AgentFacts { task: task.into(), retired, ..agent("Ada") });
    mesh.push(&founder, 1_700_000_000_002, said("later", false));
    mesh.push(&founder, 1_700_000_000_001, said("before", true));
    let directory = fold(&mesh);
    let (_, ada) = directory.named(founder.node(), "ADA").expect("she is registered");
    assert_eq!((ada.task.as_str(), ada.retired), ("later", true));
    assert_eq!(ada.registered_at.wall(), Wall::from_millis(1_700_000_000_001));
}

#[test]
fn what_strangers_and_observers_say_of_agents_has_no_effect() {
    let mut mesh = MeshFixture::founded();
    let (founder, bob, cid) = (mesh.founder.clone(), Author::seeded(2), Author::seeded(3));
    mesh.admit(&founder, &bob, Role::Observer);
    mesh.push(&bob, 1_700_000_000_000, Op::Agent(agent("Bob")));
    mesh.push(&cid, 1_700_000_000_000, Op::Agent(agent("Cid")));
    assert_eq!(fold(&mesh), Directory::default());
    mesh.admit(&founder, &bob, Role::Member);
    let directory = fold(&mesh);
    assert_eq!(directory.turned(&Directory::default()).collect::<Vec<_>>(), [AgentId::of(bob.node(), "bob")]);
}

/// What is said of three names at any times, and the order in which it arrives.
fn words() -> impl Strategy<Value = (Vec<Entry>, Vec<Entry>)> {
    let word = (0_usize..3, 0_u64..4, any::<bool>(), any::<bool>());
    proptest::collection::vec(word, 0..12).prop_flat_map(|words| {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        for (at, (name, millis, upper, retired)) in words.into_iter().enumerate() {
            let name = ["ada", "bob", "cid"][name];
            let name = if upper { name.to_uppercase() } else { name.to_owned() };
            let facts = AgentFacts { task: at.to_string(), retired: retired && at % 4 == 0, ..agent(&name) };
            mesh.push(&founder, 1_700_000_000_000 + millis, Op::Agent(facts));
        }
        let shuffled = Just(mesh.entries.clone()).prop_shuffle();
        (Just(mesh.entries), shuffled)
    })
}

proptest! {
    #[test]
    fn the_directory_does_not_depend_on_the_order_of_arrival((entries, arrived) in words()) {
        let mesh = MeshFixture::founded();
        let of = |entries: Vec<Entry>| fold(&MeshFixture { entries, ..mesh.clone() });
        prop_assert_eq!(of(entries), of(arrived));
    }
}
