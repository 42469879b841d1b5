//! The column encodings of automerge's binary format: LEB128 numbers and run-length runs, read with bounds.
//!
//! Nothing here allocates more than the bound on operations allows, whatever the bytes claim.
//!
//! Source: <https://automerge.org/automerge-binary-format-spec/>, sections "Simple formats" and "Columns".

use super::intake::ChangeError;
use crate::limits::CHANGE_OPS_MAX;

/// Reads a byte string from its start, naming the field that it ends inside of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, field: &'static str, count: u64) -> Result<&'a [u8], ChangeError> {
        let count = usize::try_from(count).map_err(|_| ChangeError::Truncated { field })?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ChangeError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8, ChangeError> {
        Ok(self.take(field, 1)?[0])
    }

    /// Reads an unsigned LEB128 number in its shortest form.
    pub(super) fn unsigned(&mut self, field: &'static str) -> Result<u64, ChangeError> {
        let mut value = 0u64;
        for index in 0..10u32 {
            let byte = self.byte(field)?;
            let overflows = index == 9 && byte > 1;
            let padded = index > 0 && byte == 0;
            if overflows || padded {
                return Err(ChangeError::Number { field });
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ChangeError::Number { field })
    }

    /// Reads a signed LEB128 number in its shortest form.
    pub(super) fn signed(&mut self, field: &'static str) -> Result<i64, ChangeError> {
        let mut value = 0i64;
        let mut before = 0u8;
        for index in 0..10u32 {
            let byte = self.byte(field)?;
            if index == 9 && byte != 0 && byte != 0x7f {
                return Err(ChangeError::Number { field });
            }
            value |= i64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let sign_repeated =
                    index > 0 && ((byte == 0 && before & 0x40 == 0) || (byte == 0x7f && before & 0x40 != 0));
                if sign_repeated {
                    return Err(ChangeError::Number { field });
                }
                if index < 9 && byte & 0x40 != 0 {
                    value |= -1i64 << (7 * (index + 1));
                }
                return Ok(value);
            }
            before = byte;
        }
        Err(ChangeError::Number { field })
    }

    /// Reads a text with its length before it.
    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, ChangeError> {
        let length = self.unsigned(field)?;
        std::str::from_utf8(self.take(field, length)?).map_err(|_| ChangeError::Utf8 { field })
    }
}

/// Reads a whole run-length column, at most `CHANGE_OPS_MAX` rows of it.
pub(super) fn runs<'a, T: Copy>(
    field: &'static str,
    bytes: &'a [u8],
    read: impl Fn(&mut Reader<'a>) -> Result<T, ChangeError>,
) -> Result<Vec<Option<T>>, ChangeError> {
    let mut reader = Reader::new(bytes);
    let mut rows = Vec::new();
    while !reader.is_empty() {
        let count = reader.signed(field)?;
        let length = if count == 0 { reader.unsigned(field)? } else { count.unsigned_abs() };
        bound(field, (rows.len() as u64).saturating_add(length), CHANGE_OPS_MAX)?;
        let end = rows.len() + usize::try_from(length).expect("the bound on rows fits a usize");
        match count {
            0 => rows.resize(end, None),
            1.. => {
                let value = read(&mut reader)?;
                rows.resize(end, Some(value));
            }
            _ => {
                while rows.len() < end {
                    let value = read(&mut reader)?;
                    rows.push(Some(value));
                }
            }
        }
    }
    Ok(rows)
}

/// Reads a column of booleans that must all be false, and returns how many rows it has.
pub(super) fn all_false(field: &'static str, bytes: &[u8]) -> Result<u64, ChangeError> {
    let mut reader = Reader::new(bytes);
    if reader.is_empty() {
        return Ok(0);
    }
    let rows = reader.unsigned(field)?;
    bound(field, rows, CHANGE_OPS_MAX)?;
    if reader.is_empty() { Ok(rows) } else { Err(ChangeError::NotAMap { field }) }
}

/// Refuses a count over its bound.
pub(super) fn bound(field: &'static str, count: u64, max: u64) -> Result<(), ChangeError> {
    if count > max { Err(ChangeError::Bound { field, count, max }) } else { Ok(()) }
}

/// Writes an unsigned number in its shortest form.
pub(super) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Writes a signed number in its shortest form.
pub(super) fn put_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        let done = (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0);
        out.push(if done { byte } else { byte | 0x80 });
        if done {
            return;
        }
    }
}

/// Writes bytes with their length before them.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a run-length column the way automerge does: equal neighbours as a run, others as literals; nothing at all
/// when every row is null.
pub(super) fn put_runs<T: Copy + PartialEq>(out: &mut Vec<u8>, rows: &[Option<T>], write: impl Fn(&mut Vec<u8>, T)) {
    if rows.iter().all(Option::is_none) {
        return;
    }
    let mut at = 0;
    while at < rows.len() {
        let run = rows[at..].iter().take_while(|row| **row == rows[at]).count();
        match rows[at] {
            None => {
                put_signed(out, 0);
                put_unsigned(out, run as u64);
            }
            Some(value) if run > 1 => {
                put_signed(out, signed_count(run));
                write(out, value);
            }
            Some(_) => {
                let literals = literal_length(&rows[at..]);
                put_signed(out, -signed_count(literals));
                for value in rows[at..at + literals].iter().flatten() {
                    write(out, *value);
                }
                at += literals;
                continue;
            }
        }
        at += run;
    }
}

/// Returns how many rows from the first on are values that differ from the one after them.
fn literal_length<T: Copy + PartialEq>(rows: &[Option<T>]) -> usize {
    (0..rows.len()).take_while(|&i| rows[i].is_some() && rows.get(i + 1).is_none_or(|next| *next != rows[i])).count()
}

fn signed_count(count: usize) -> i64 {
    i64::try_from(count).expect("a column has fewer rows than an i64 counts")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_back(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            put_unsigned(&mut out, unsigned);
            put_signed(&mut out, signed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.unsigned("n").unwrap(), unsigned);
            prop_assert_eq!(reader.signed("n").unwrap(), signed);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn a_number_has_one_form(bytes in proptest::collection::vec(any::<u8>(), 1..11)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.unsigned("n") {
                let mut out = Vec::new();
                put_unsigned(&mut out, value);
                prop_assert_eq!(&bytes[..out.len()], &out[..]);
                prop_assert_eq!(reader.remaining(), bytes.len() - out.len());
            }
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.signed("n") {
                let mut out = Vec::new();
                put_signed(&mut out, value);
                prop_assert_eq!(&bytes[..out.len()], &out[..]);
                prop_assert_eq!(reader.remaining(), bytes.len() - out.len());
            }
        }

        #[test]
        fn runs_read_back(rows in proptest::collection::vec(proptest::option::of(0u64..3), 0..40)) {
            let mut out = Vec::new();
            put_runs(&mut out, &rows, put_unsigned);
            let read = runs("rows", &out, |reader| reader.unsigned("row")).unwrap();
            if rows.iter().any(Option::is_some) {
                prop_assert_eq!(read, rows);
            } else {
                prop_assert!(read.is_empty());
            }
        }
    }
}
