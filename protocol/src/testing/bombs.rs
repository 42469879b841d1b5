//! Changes that are small on the wire and would cost gigabytes if they were expanded; each must be refused before.
//!
//! They are written by hand, by the words of the format, so that they do not share a mistake with what reads them.
//!
//! Source: <https://automerge.org/automerge-binary-format-spec/>, sections "Change chunk" and "Columns".

use automerge::transaction::Transactable;

use crate::bead::genesis::{self, Container};
use crate::limits::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX};

/// A column of a change, by its specification number.
type Column = (u64, Vec<u8>);

const OBJECT_ACTOR: u64 = 0x01;
const OBJECT_COUNTER: u64 = 0x02;
const KEY_TEXT: u64 = 0x15;
const INSERT: u64 = 0x34;
const ACTION: u64 = 0x42;
const VALUE_META: u64 = 0x56;
const VALUE: u64 = 0x57;
const PRED_COUNT: u64 = 0x70;
const PRED_ACTOR: u64 = 0x71;
const PRED_COUNTER: u64 = 0x73;

/// The bit of a column's number that says it is compressed by DEFLATE.
const DEFLATE: u64 = 0x08;

/// Rows that a run may name: far more than any memory holds at 100 bytes a row.
const ROWS: i64 = 1 << 40;

/// Bytes of zeros that a small chunk is inflated to.
const INFLATED_BYTES: usize = 16 * 1024 * 1024;

/// Returns every bomb: what it is, and its bytes in the place of a change in its wire form.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let null = |rows: i64| run(rows, &[0]);
    let all = |rows: i64, key: &[u8]| {
        let count = unsigned(rows.unsigned_abs());
        vec![
            (KEY_TEXT, run(rows, key)),
            (INSERT, count),
            (ACTION, run(rows, &[1])),
            (VALUE_META, null(rows)),
            (PRED_COUNT, null(rows)),
        ]
    };
    let with = |column: Column| {
        let mut columns = all(1, b"\x05notes");
        columns.retain(|(spec, _)| *spec != column.0);
        columns.push(column);
        columns.sort_by_key(|(spec, _)| *spec);
        body(&columns)
    };
    let zeros = zeros();
    vec![
        ("twenty million operations", body(&all(20_000_000, b"\x05notes"))),
        ("as many operations as a number can name", body(&all(i64::MAX, b"\x05notes"))),
        ("a run of actions", with((ACTION, run(ROWS, &[1])))),
        ("a run of keys", with((KEY_TEXT, run(ROWS, b"\x05notes")))),
        ("a run of values", with((VALUE_META, null(ROWS)))),
        ("a run of nulls", with((ACTION, [vec![0], unsigned(ROWS.unsigned_abs())].concat()))),
        ("a run of predecessors", with((PRED_ACTOR, null(ROWS)))),
        ("a run of predecessors' counters", with((PRED_COUNTER, run(ROWS, &[1])))),
        ("one row with all predecessors", with((PRED_COUNT, run(-1, &unsigned(u64::MAX))))),
        ("a long key in many rows", body(&all(4_000, &[unsigned(60_000), vec![b'k'; 60_000]].concat()))),
        ("a text of all bytes", with((VALUE_META, run(-1, &unsigned(!0xf | 6))))),
        ("a key of all bytes", with((KEY_TEXT, run(-1, &unsigned(u64::MAX))))),
        ("all dependencies", unsigned(u64::MAX)),
        ("a compressed column", with((VALUE | DEFLATE, vec![0x4b, 0x4c, 0x04, 0x00]))),
        ("a compressed document", zeros),
    ]
}

/// Returns the heaviest change that is no bomb: it keeps every bound, has effect, and must be cheap as well.
///
/// It adds as many labels as a change may have operations, with names as long as fit.
pub fn heaviest() -> Vec<u8> {
    const NAME_BYTES: u8 = 14;
    let rows = i64::try_from(CHANGE_OPS_MAX).expect("a small bound");
    let name = |number: u64| [&[NAME_BYTES], format!("{number:0>14}").as_bytes()].concat();
    let names: Vec<u8> = (0..CHANGE_OPS_MAX).flat_map(name).collect();
    let bytes = body_naming(
        genesis::ACTOR.as_slice(),
        &[
            (OBJECT_ACTOR, run(rows, &[1])),
            (OBJECT_COUNTER, run(rows, &unsigned(Container::Labels.counter()))),
            (KEY_TEXT, run(-rows, &names)),
            (INSERT, unsigned(CHANGE_OPS_MAX)),
            (ACTION, run(rows, &[1])),
            (VALUE_META, run(rows, &[2])),
            (PRED_COUNT, run(rows, &[0])),
        ],
    );
    assert!(bytes.len() <= CHANGE_BYTES_MAX, "the heaviest change is one byte too heavy");
    bytes
}

/// Returns a saved document whose one text is 16 MiB of zeros.
fn zeros() -> Vec<u8> {
    // A random actor would make other bytes each time, and a simulation that sends them another run.
    let mut document = automerge::AutoCommit::new().with_actor(automerge::ActorId::from([7; 8]));
    document.put(automerge::ROOT, "notes", "\0".repeat(INFLATED_BYTES)).expect("the root takes any key");
    document.save()
}

/// Returns the body of the first change of an actor, on top of genesis.
fn body(columns: &[Column]) -> Vec<u8> {
    body_naming(&[], columns)
}

/// Returns such a body that also names another actor, or none.
fn body_naming(other: &[u8], columns: &[Column]) -> Vec<u8> {
    let mut out = unsigned(1);
    out.extend_from_slice(genesis::change().hash().as_bytes());
    out.extend([8, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa]);
    // Its sequence number, its first operation, its time and its message.
    out.extend([1, 9, 0, 0]);
    match u8::try_from(other.len()) {
        Ok(0) => out.push(0),
        length => {
            out.extend([1, length.expect("actors are short")]);
            out.extend_from_slice(other);
        }
    }
    out.extend(unsigned(columns.len() as u64));
    for (spec, bytes) in columns {
        out.extend(unsigned(*spec));
        out.extend(unsigned(bytes.len() as u64));
    }
    out.extend(columns.iter().flat_map(|(_, bytes)| bytes));
    out
}

/// One value repeated by one run, or `-1` and one value.
fn run(count: i64, value: &[u8]) -> Vec<u8> {
    [signed(count), value.to_vec()].concat()
}

/// LEB128.
fn unsigned(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// Signed LEB128.
fn signed(mut value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        let ends = (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0);
        if ends {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bead::document::Document;
    use crate::bead::intake::Change;
    use crate::id::BeadId;

    #[test]
    fn what_bombs_are_made_of_is_a_change() {
        let columns = [
            (KEY_TEXT, run(-1, b"\x05notes")),
            (INSERT, unsigned(1)),
            (ACTION, run(-1, &[1])),
            (VALUE_META, run(-1, &[0])),
            (PRED_COUNT, run(-1, &[0])),
        ];
        assert_eq!(Change::from_wire(&body(&columns)).unwrap().ops(), 1);
    }

    #[test]
    fn the_heaviest_change_is_taken_whole() {
        let change = Change::from_wire(&heaviest()).unwrap();
        assert_eq!(change.ops(), CHANGE_OPS_MAX);
        let mut document = Document::new(BeadId::from_bytes([7; 16]));
        document.receive(&change);
        assert_eq!(document.bead().labels.len(), usize::try_from(CHANGE_OPS_MAX).unwrap());
    }

    #[test]
    fn every_bomb_fits_an_entry_and_is_refused_as_a_change() {
        for (what, bytes) in corpus() {
            assert!(bytes.len() <= CHANGE_BYTES_MAX, "{what}: {} bytes", bytes.len());
            let error = Change::from_wire(&bytes).expect_err(what);
            assert!(!error.to_string().contains("cut off") || what.contains("all bytes"), "{what}: {error}");
        }
    }
}
