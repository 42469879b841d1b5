//! What becomes of changes that come in any order, from anybody.

use super::*;

fn raw(actor: [u8; 8], seq: u64, start_op: u64, deps: &[ChangeHash], text: &str) -> Change {
    let row =
        Row { object: Object::Root, key: "notes".into(), cell: Cell::Text(text.to_owned().into()), preds: Vec::new() };
    let mut deps = deps.to_vec();
    deps.sort_unstable();
    Draft { deps, actor: actor.into(), seq, start_op, time: 1, rows: vec![row] }.seal().unwrap()
}

#[test]
fn of_two_changes_with_one_actor_and_number_the_lower_hash_has_effect() {
    let genesis = genesis::change().hash();
    let (a, b) = (raw(ADA, 1, 9, &[genesis], "a"), raw(ADA, 1, 9, &[genesis], "b"));
    let (low, high) = if a.hash() < b.hash() { (a, b) } else { (b, a) };
    let child = raw(BOB, 1, 10, &[high.hash()], "child");
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&high), Receipt::Applied);
    assert_eq!(document.receive(&child), Receipt::Applied);
    assert_eq!(document.receive(&low), Receipt::Displaces(high.hash()));
    assert!(document.contains(&high.hash()));
    let (document, left) = Document::fold(ID, [high.clone(), child.clone(), low.clone()]);
    assert!(document.contains(&low.hash()) && !document.contains(&high.hash()));
    assert_eq!(left.void[&high.hash()], Void::Twin(low.hash()));
    assert_eq!(left.void[&child.hash()], Void::Dependency(high.hash()));
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&low), Receipt::Applied);
    assert_eq!(document.receive(&high), Receipt::Void(Void::Twin(low.hash())));
    assert_eq!(document.receive(&child), Receipt::Void(Void::Dependency(high.hash())));
    assert_eq!(document.receive(&low), Receipt::Duplicate);
}

#[test]
fn a_change_waits_for_its_dependencies() {
    let genesis = genesis::change().hash();
    let first = raw(ADA, 1, 9, &[genesis], "a");
    let second = raw(BOB, 1, 10, &[first.hash()], "b");
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&second), Receipt::Waiting(vec![first.hash()]));
    assert_eq!(document.receive(&first), Receipt::Applied);
    assert_eq!(document.receive(&second), Receipt::Applied);
    let (_, left) = Document::fold(ID, [second.clone()]);
    assert_eq!(left.waiting, BTreeMap::from([(second.hash(), vec![first.hash()])]));
}

#[test]
fn a_change_that_does_not_build_on_genesis_is_void() {
    let change = raw(ADA, 1, 1, &[], "a");
    assert_eq!(Document::new(ID).receive(&change), Receipt::Void(Void::Rootless));
}

#[test]
fn a_change_that_does_not_build_on_genesis_takes_no_other_changes_place() {
    let first = raw(ADA, 1, 9, &[genesis::change().hash()], "first");
    let rootless = (0..).map(|n| raw(ADA, 1, 9, &[], &format!("{n}"))).find(|twin| twin.hash() < first.hash()).unwrap();
    for order in [[&first, &rootless], [&rootless, &first]] {
        let mut document = Document::new(ID);
        order.into_iter().for_each(|change| _ = document.receive(change));
        assert!(document.contains(&first.hash()));
        let (folded, left) = Document::fold(ID, order.map(Clone::clone));
        assert!(folded.contains(&first.hash()));
        assert_eq!(left.void, BTreeMap::from([(rootless.hash(), Void::Rootless)]));
    }
}

#[test]
fn a_change_whose_operations_skip_or_repeat_numbers_is_void() {
    let genesis = genesis::change().hash();
    for found in [8, 10] {
        let change = raw(ADA, 1, found, &[genesis], "a");
        assert_eq!(Document::new(ID).receive(&change), Receipt::Void(Void::StartOp { found, expected: 9 }));
    }
}

#[test]
fn a_change_that_does_not_build_on_its_actors_last_is_void() {
    let genesis = genesis::change().hash();
    let first = raw(ADA, 1, 9, &[genesis], "a");
    let aside = raw(BOB, 1, 9, &[genesis], "b");
    let second = raw(ADA, 2, 10, &[aside.hash()], "c");
    let skipped = raw(CYD, 2, 9, &[genesis], "d");
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&skipped), Receipt::Void(Void::Sequence(1)));
    assert_eq!(document.receive(&first), Receipt::Applied);
    assert_eq!(document.receive(&aside), Receipt::Applied);
    assert_eq!(document.receive(&second), Receipt::Void(Void::Sequence(1)));
}

#[test]
fn a_change_that_replaces_what_did_not_stand_there_is_void() {
    let (document, begun) = begun();
    let title = Pred { counter: 9, actor: CYD.into() };
    let row = |key: &'static str| Row { object: Object::Root, key: key.into(), cell: Cell::Null, preds: vec![title] };
    let draft = |key| Draft {
        deps: vec![begun[0].hash()],
        actor: ADA.into(),
        seq: 1,
        start_op: 11,
        time: 0,
        rows: vec![row(key)],
    };
    let wrong = draft("status").seal().unwrap();
    assert_eq!(document.clone().receive(&wrong), Receipt::Void(Void::Replaces(9)));
    let right = draft("title").seal().unwrap();
    assert_eq!(document.clone().receive(&right), Receipt::Applied);
    // What stood there counts even after another change has replaced it meanwhile.
    let mut later = document;
    edit(&mut later, BOB, &[set(Field::Title, "other")]);
    assert_eq!(later.receive(&right), Receipt::Applied);
}

#[test]
fn an_actor_whose_next_number_is_taken_is_asked_to_be_drawn_anew() {
    let (mut document, begun) = begun();
    let stranger = raw(ADA, 1, 500, &[begun[0].hash()], "void");
    assert!(matches!(document.receive(&stranger), Receipt::Void(_)));
    let error = document.edit(ADA, at(1), &[set(Field::Notes, "n")]).unwrap_err();
    assert_eq!(error, crate::bead::edit::EditError::Actor(ADA.into()));
}

#[test]
fn values_of_unexpected_kinds_are_absent() {
    let odd = |key: &'static str, cell| Row { object: Object::Root, key: key.into(), cell, preds: Vec::new() };
    let item = |container, key: &'static str, cell| Row { object: Object::In(container), ..odd(key, cell) };
    let rows = vec![
        odd("title", Cell::Int(-1)),
        odd("status", Cell::True),
        odd("priority", Cell::Int(i64::MIN)),
        odd("estimate_minutes", Cell::Text("long".into())),
        odd("project", Cell::Text("no id".into())),
        odd("unheard_of", Cell::True),
        item(Container::Deps, "no bar", Cell::Text("".into())),
        item(Container::Comments, "c", Cell::Text("not JSON".into())),
        item(Container::Criteria, "c", Cell::Null),
        item(Container::Needs, "n", Cell::Int(3)),
    ];
    let deps = vec![genesis::change().hash()];
    let change = Draft { deps, actor: ADA.into(), seq: 1, start_op: 9, time: 0, rows }.seal().unwrap();
    let change = Change::parse(change.bytes()).unwrap();
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&change), Receipt::Applied);
    assert_eq!(document.bead(), Bead::new(ID, String::new(), String::new()));
    assert!(document.conflicts().is_empty());
}

/// A handful of writers who edit, and sometimes learn what another did; twins and foreign numbers among it.
fn history(steps: &[(u8, u8, u8)]) -> Vec<Change> {
    let mut writers: Vec<Document> = vec![Document::new(ID); 3];
    let actors = [ADA, BOB, CYD];
    let mut all: Vec<Change> = Vec::new();
    for (step, (writer, what, value)) in steps.iter().enumerate() {
        let who = usize::from(writer % 3);
        let text = format!("{value}");
        let edit = match what % 8 {
            0 => set(Field::Title, &text),
            1 => set(Field::Status, ["open", "closed", "in_progress", "tombstone"][usize::from(value % 4)]),
            2 => Edit::AddLabel(format!("l{}", value % 3)),
            3 => Edit::RemoveLabel(format!("l{}", value % 3)),
            4 => set(Field::ClosedAt, &text),
            5 => {
                let deps = writers[who].heads();
                let seq = 1 + u64::from(value % 3);
                all.push(raw(actors[who], seq, 9 + u64::from(value % 4), &deps, &text));
                continue;
            }
            _ => {
                for change in &all {
                    // A writer that learns of a twin goes on with what it had.
                    writers[who].receive(change);
                }
                continue;
            }
        };
        if let Ok(changes) = writers[who].edit(actors[who], at(step as u64), &[edit]) {
            all.extend(changes);
        }
    }
    all
}

/// Hands changes in one at a time as a replica does: again when they waited, anew when one displaces another.
fn received(changes: &[Change]) -> Document {
    let mut document = Document::new(ID);
    let mut held: Vec<Change> = Vec::new();
    for change in changes {
        held.push(change.clone());
        if let Receipt::Displaces(_) = document.receive(change) {
            document = Document::fold(ID, held.iter().cloned()).0;
            continue;
        }
        while held.iter().any(|change| document.receive(change) == Receipt::Applied) {}
    }
    document
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_order_of_arrival_folds_to_one_bead(
        (steps, keys) in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..24)
            .prop_flat_map(|steps| {
                let keys = proptest::collection::vec(any::<u32>(), steps.len() * 2);
                (Just(steps), keys)
            })
    ) {
        let changes = history(&steps);
        let mut shuffled: Vec<_> = changes.iter().cloned().zip(keys.iter().cycle()).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let shuffled: Vec<Change> = shuffled.into_iter().map(|(change, _)| change).collect();
        let (folded, left) = Document::fold(ID, changes.iter().cloned());
        let (again, left_again) = Document::fold(ID, shuffled.iter().cloned());
        prop_assert_eq!(&left, &left_again);
        for other in [&again, &received(&changes), &received(&shuffled)] {
            prop_assert_eq!(folded.heads(), other.heads());
            prop_assert_eq!(folded.changes().collect::<Vec<_>>(), other.changes().collect::<Vec<_>>());
            prop_assert_eq!(folded.bead(), other.bead());
            prop_assert_eq!(folded.conflicts(), other.conflicts());
            for field in [Field::Status, Field::Assignee] {
                prop_assert_eq!(folded.writer(field), other.writer(field));
            }
        }
        for change in &changes {
            let told = [folded.contains(&change.hash()), left.void.contains_key(&change.hash()),
                left.waiting.contains_key(&change.hash())];
            prop_assert_eq!(told.into_iter().filter(|told| *told).count(), 1);
            prop_assert_eq!(&Change::from_wire(change.to_wire()).unwrap(), change);
        }
    }

    #[test]
    fn a_first_change_of_any_rows_shows_the_same_without_a_document(
        cells in proptest::collection::vec((0..12_usize, 0..40_usize, 0..8_u8), 0..24)
    ) {
        let words = ["a", "b", "blocks|bm-1", "odd", "", "labels.x"];
        let mut rows: BTreeMap<(Object, String), Cell<'static>> = BTreeMap::new();
        let mut order = Vec::new();
        for (place, key, value) in cells {
            let key = if place < 4 { Field::ALL[key % 20].as_str() } else { words[key % words.len()] };
            let object = if place < 4 { Object::Root } else { Object::In(Container::ALL[place - 4]) };
            let cell = match value {
                0 => Cell::Delete,
                1 => Cell::Null,
                2 => Cell::True,
                3 => Cell::Int(i64::from(value)),
                4 => Cell::Text("".into()),
                5 => Cell::Text(r#"{"order":1,"text":"t"}"#.into()),
                6 => Cell::Text(r#"{"author":"ada","text":"t"}"#.into()),
                _ => Cell::Text("closed".into()),
            };
            if rows.insert((object, key.to_owned()), cell).is_none() {
                order.push((object, key.to_owned()));
            }
        }
        let rows = order.into_iter().map(|(object, key)| Row {
            object,
            cell: rows[&(object, key.clone())].clone(),
            key: key.into(),
            preds: Vec::new(),
        });
        let deps = vec![genesis::change().hash()];
        let draft = Draft { deps, actor: ADA.into(), seq: 1, start_op: 9, time: 1_000, rows: rows.collect() };
        let change = draft.seal().unwrap();
        prop_assert_eq!(&Change::parse(change.bytes()).unwrap(), &change);
        prop_assert!(change.automerge().is_some());
        let (document, left) = Document::fold(ID, [change.clone()]);
        prop_assert_eq!(left, Folded::default());
        prop_assert_eq!(Bead::of_first(ID, &change), Some(document.bead()));
        prop_assert!(document.conflicts().is_empty());
    }
}
