use std::collections::BTreeMap;

use automerge::ReadDoc;
use automerge::transaction::{CommitOptions, Transactable};
use proptest::prelude::*;

use super::*;
use crate::bead::column::{put_bytes, put_signed, put_unsigned};
use crate::bead::document::Document;
use crate::bead::{Edit, Field, FieldValue};
use crate::clock::Wall;
use crate::id::BeadId;

const ID: BeadId = BeadId::from_bytes([7; 16]);
const NOW: Wall = Wall::from_millis(1_790_000_000_000);

/// A change of `assignee` on top of one that had set it, and that one.
fn one_field() -> (Change, Change) {
    let mut document = Document::new(ID);
    let put = |name: &str| [Edit::Set(Field::Assignee, FieldValue::Text(name.into()))];
    let first = document.edit([0xc1; 8], NOW, &put("BlueLake@gpu-box")).unwrap();
    let second = document.edit([0xd2; 8], NOW, &put("RedHill@laptop")).unwrap();
    (first[0].clone(), second[0].clone())
}

fn unsigned(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_unsigned(&mut out, value);
    out
}

fn signed(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_signed(&mut out, value);
    out
}

/// One value repeated by one run.
fn run(count: i64, value: &[u8]) -> Vec<u8> {
    [signed(count), value.to_vec()].concat()
}

/// The columns of one operation: `notes` set to null.
fn columns() -> BTreeMap<u64, Vec<u8>> {
    BTreeMap::from([
        (draft::KEY_TEXT, run(-1, b"\x05notes")),
        (draft::INSERT, unsigned(1)),
        (draft::ACTION, run(-1, &[1])),
        (draft::VALUE_META, run(-1, &[0])),
        (draft::PRED_COUNT, run(-1, &[0])),
    ])
}

/// A change body with any columns at all.
fn body(columns: &BTreeMap<u64, Vec<u8>>) -> Vec<u8> {
    let mut out = unsigned(1);
    out.extend_from_slice(genesis::change().hash().as_bytes());
    put_bytes(&mut out, &[0xaa; 8]);
    out.extend([1, 9, 0, 0, 0]);
    put_unsigned(&mut out, columns.len() as u64);
    for (spec, bytes) in columns {
        put_unsigned(&mut out, *spec);
        put_unsigned(&mut out, bytes.len() as u64);
    }
    out.extend(columns.values().flatten());
    out
}

fn with(changes: &[(u64, Vec<u8>)]) -> Result<Change, ChangeError> {
    let mut columns = columns();
    columns.extend(changes.iter().cloned());
    Change::from_wire(&body(&columns))
}

fn refusal(changes: &[(u64, Vec<u8>)]) -> String {
    with(changes).unwrap_err().to_string()
}

#[test]
fn the_base_of_all_bombs_is_a_change() {
    assert_eq!(with(&[]).unwrap().ops(), 1);
}

#[test]
fn a_run_that_names_twenty_million_operations_is_refused() {
    let rows = 20_000_000;
    let all = [
        (draft::KEY_TEXT, run(rows, b"\x05notes")),
        (draft::INSERT, unsigned(20_000_000)),
        (draft::ACTION, run(rows, &[1])),
        (draft::VALUE_META, run(rows, &[0])),
        (draft::PRED_COUNT, run(rows, &[0])),
    ];
    assert_eq!(refusal(&all), "action: 20000000, at most 4096 are taken");
}

#[test]
fn a_huge_run_in_any_column_is_refused_with_its_name() {
    for count in [4_097, 20_000_000, i64::MAX, i64::MIN, i64::MIN + 1] {
        let claimed = count.unsigned_abs();
        let said = |name: &str| format!("{name}: {claimed}, at most 4096 are taken");
        assert_eq!(refusal(&[(draft::ACTION, run(count, &[1]))]), said("action"));
        assert_eq!(refusal(&[(draft::KEY_TEXT, run(count, b"\x01k"))]), said("key"));
        assert_eq!(refusal(&[(draft::VALUE_META, run(count, &[0]))]), said("value"));
        assert_eq!(refusal(&[(draft::PRED_COUNT, run(count, &[0]))]), said("pred"));
        assert_eq!(refusal(&[(draft::OBJECT_ACTOR, run(count, &[0]))]), said("object actor"));
        assert_eq!(refusal(&[(draft::OBJECT_COUNTER, run(count, &[0]))]), said("object"));
        assert_eq!(refusal(&[(draft::PRED_ACTOR, run(count, &[0]))]), said("pred actor"));
        assert_eq!(refusal(&[(draft::PRED_COUNTER, run(count, &[1]))]), said("pred counter"));
        assert_eq!(refusal(&[(draft::INSERT, unsigned(claimed))]), said("insert"));
        // A run of nulls carries its length in a number of its own.
        let nulls = [vec![0], unsigned(claimed)].concat();
        assert_eq!(refusal(&[(draft::ACTION, nulls)]), said("action"));
    }
    let full = [run(4_096, &[1]), run(1, &[1])].concat();
    assert_eq!(refusal(&[(draft::ACTION, full)]), "action: 4097, at most 4096 are taken");
}

#[test]
fn many_predecessors_in_few_rows_are_refused() {
    assert_eq!(
        refusal(&[(draft::PRED_COUNT, run(-1, &unsigned(u64::MAX)))]),
        format!("pred: {}, at most 4096 are taken", u64::MAX)
    );
    let rows = run(4_000, &unsigned(u64::MAX));
    assert_eq!(refusal(&[(draft::PRED_COUNT, rows)]), format!("pred: {}, at most 4096 are taken", u64::MAX));
}

#[test]
fn one_long_key_repeated_is_refused() {
    let key = [unsigned(60_000), vec![b'k'; 60_000]].concat();
    let rows = 4_000;
    let said = refusal(&[(draft::ACTION, run(rows, &[1])), (draft::KEY_TEXT, run(rows, &key))]);
    assert_eq!(said, "key bytes: 60000, at most 2049 are taken");
    let all = [
        (draft::KEY_TEXT, run(rows, b"\x05notes")),
        (draft::INSERT, unsigned(4_000)),
        (draft::ACTION, run(rows, &[1])),
        (draft::VALUE_META, run(rows, &[0])),
        (draft::PRED_COUNT, run(rows, &[0])),
    ];
    assert_eq!(refusal(&all), "key \"notes\": written twice in one change");
}

#[test]
fn a_length_near_the_end_of_numbers_is_refused() {
    for length in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 32] {
        let text = unsigned(length);
        assert_eq!(refusal(&[(draft::KEY_TEXT, run(-1, &text))]), "key: cut off");
        assert!(with(&[(draft::VALUE_META, run(-1, &unsigned(length & !0xf | 6)))]).is_err());
        let mut bytes = draft::MAGIC.to_vec();
        bytes.extend([0, 0, 0, 0, 1]);
        put_unsigned(&mut bytes, length);
        assert_eq!(Change::parse(&bytes).unwrap_err().to_string(), "chunk: cut off");
        let said = Change::from_wire(&unsigned(length)).unwrap_err().to_string();
        assert_eq!(said, format!("deps: {length}, at most 256 are taken"));
    }
}

#[test]
fn compressed_columns_and_chunks_documents_and_bundles_are_refused() {
    let said = refusal(&[(draft::VALUE | 0x08, vec![0x4b, 0x4c, 0x04, 0x00])]);
    assert_eq!(said, "column 95: unknown, compressed, not for maps or out of order");
    let (change, _) = one_field();
    for kind in [0, 2, 3, 9] {
        let mut bytes = change.bytes().to_vec();
        bytes[8] = kind;
        let said = Change::parse(&bytes).unwrap_err().to_string();
        assert_eq!(said, format!("chunk type: {kind}, only raw changes (1) are taken"));
    }
    let mut doc = automerge::AutoCommit::new();
    doc.put(automerge::ROOT, "notes", "\0".repeat(1024 * 1024)).unwrap();
    assert_eq!(Change::parse(&doc.save()).unwrap_err().to_string(), "chunk type: 0, only raw changes (1) are taken");
    let mut large = doc.get_last_local_change().unwrap();
    assert_eq!(large.bytes()[8], 2);
    assert_eq!(Change::parse(&large.bytes()).unwrap_err().to_string(), "chunk type: 2, only raw changes (1) are taken");
    let said = Change::parse(large.raw_bytes()).unwrap_err().to_string();
    assert!(said.starts_with("change bytes: 10"), "{said}");
}

#[test]
fn lists_texts_counters_marks_and_unknown_actions_are_refused() {
    for action in [2, 4, 5, 6, 7, 8, u64::MAX] {
        let said = refusal(&[(draft::ACTION, run(-1, &unsigned(action)))]);
        assert_eq!(said, format!("action: {action}, only set (1) and delete (3) are taken"));
    }
    assert_eq!(refusal(&[(draft::INSERT, vec![0, 1])]), "insert: only maps are taken, no lists or text");
    for spec in [0x11, 0x13, 0x94, 0xa5] {
        let said = refusal(&[(spec, run(-1, &[1]))]);
        assert_eq!(said, format!("column {spec}: unknown, compressed, not for maps or out of order"));
    }
    for kind in [1, 3, 5, 7, 8, 9, 15] {
        let said = refusal(&[(draft::VALUE_META, run(-1, &[0x10 | kind])), (draft::VALUE, vec![1])]);
        assert_eq!(said, format!("value: kind {kind} of 1 bytes, only null, true, integers and text are taken"));
    }
}

#[test]
fn only_genesis_makes_containers_and_none_is_replaced() {
    let said = refusal(&[(draft::ACTION, run(-1, &[0]))]);
    assert_eq!(said, "actor: only the genesis change makes containers or uses its actor");
    let said = refusal(&[(draft::KEY_TEXT, run(-1, b"\x06labels"))]);
    assert_eq!(said, "key \"labels\": a container, it can not be replaced");
    let said = refusal(&[(draft::OBJECT_ACTOR, run(-1, &[0])), (draft::OBJECT_COUNTER, run(-1, &[1]))]);
    assert_eq!(said, "object: not the root and not a container of genesis");
    let said = refusal(&[(draft::OBJECT_ACTOR, run(-1, &[7])), (draft::OBJECT_COUNTER, run(-1, &[1]))]);
    assert_eq!(said, "object actor: actor 7 of 1");
}

#[test]
fn another_form_of_the_same_rows_is_refused() {
    let one_form = "columns: not in the one form that these operations have";
    assert_eq!(refusal(&[(draft::ACTION, run(1, &[1]))]), one_form);
    assert_eq!(refusal(&[(draft::VALUE, Vec::new())]), one_form);
    assert_eq!(
        refusal(&[(draft::ACTION, run(-1, &[0x81, 0x00]))]),
        "action: a number over 64 bits or not in its shortest form"
    );
}

#[test]
fn a_change_cut_at_any_byte_is_refused() {
    for change in [one_field().1, genesis::change().clone()] {
        for end in 0..change.bytes().len() {
            assert!(Change::parse(&change.bytes()[..end]).is_err(), "{end}");
        }
        for end in 0..change.to_wire().len() {
            assert!(Change::from_wire(&change.to_wire()[..end]).is_err(), "{end}");
        }
        let longer = [change.bytes(), &[0]].concat();
        assert_eq!(Change::parse(&longer).unwrap_err().to_string(), "1 bytes after the chunk, none are taken");
        let longer = [change.to_wire(), &[0]].concat();
        assert_eq!(Change::from_wire(&longer).unwrap_err().to_string(), "1 bytes after the columns, none are taken");
    }
}

#[test]
fn a_flipped_bit_is_refused_and_harmless_where_nothing_tells() {
    let (first, second) = one_field();
    for bit in 0..second.bytes().len() * 8 {
        let mut bytes = second.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Change::parse(&bytes).is_err(), "bit {bit}");
    }
    let (document, _) = Document::fold(ID, [first]);
    for bit in 0..second.to_wire().len() * 8 {
        let mut body = second.to_wire().to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        if let Ok(change) = Change::from_wire(&body) {
            let mut document = document.clone();
            document.receive(&change);
            document.bead();
            document.conflicts();
        }
    }
}

#[test]
fn a_change_of_one_field_is_small_on_the_wire() {
    let (first, second) = one_field();
    let sizes = [first, second].map(|change| BeadId::BYTES + change.to_wire().len());
    assert!(sizes.iter().all(|size| *size <= 150), "{sizes:?}");
    assert_eq!(sizes, [115, 130]);
}

#[test]
fn what_automerge_writes_for_the_same_edit_is_what_we_write() {
    let (first, second) = one_field();
    let mut doc = automerge::Automerge::new();
    doc.apply_changes([genesis::change(), &first].map(|change| change.automerge().unwrap())).unwrap();
    doc.set_actor(automerge::ActorId::from([0xd2; 8]));
    let mut transaction = doc.transaction();
    transaction.put(automerge::ROOT, "assignee", "RedHill@laptop").unwrap();
    transaction.commit_with(CommitOptions::default().with_time(i64::try_from(NOW.as_millis()).unwrap()));
    assert_eq!(doc.get_last_local_change().unwrap().raw_bytes(), second.bytes());
    assert_eq!(doc.get(automerge::ROOT, "assignee").unwrap().unwrap().0.as_str(), Some("RedHill@laptop"));
}

proptest! {
    #[test]
    fn any_bytes_in_any_column_are_refused_or_harmless(
        spec in proptest::sample::select(vec![0x01u64, 0x02, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73]),
        bytes in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        if let Ok(change) = with(&[(spec, bytes)]) {
            let mut document = Document::new(ID);
            document.receive(&change);
            document.bead();
        }
    }
}
