use beadmesh_protocol::testing::MeshFixture;

use super::*;

fn header(entries: u64, has_key: bool) -> Header {
    let (mesh, node) = (MeshId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
    Header { mesh, node, wall: Wall::from_millis(1_700_000_000_000), entries, has_key }
}

fn entries() -> Vec<Sealed> {
    MeshFixture::founded().entries.iter().map(beadmesh_protocol::entry::Entry::seal).collect()
}

/// A small backup, with a key.
fn backup() -> Vec<u8> {
    let entries = entries();
    let (mut writer, mut bytes) = Writer::begin(&header(1, true));
    bytes.extend(writer.keys(&[7; 32], Some(b"bmr1secret")).iter());
    bytes.extend(writer.entries(&entries[..1]));
    bytes.extend(writer.end());
    bytes
}

/// Reads all, in pieces of that many bytes.
fn read(bytes: &[u8], step: usize) -> Result<Vec<Piece>, BackupError> {
    let mut reader = Reader::default();
    let mut pieces = Vec::new();
    for chunk in bytes.chunks(step) {
        reader.push(chunk);
        while let Some(piece) = reader.read()? {
            pieces.push(piece);
        }
    }
    reader.finish().map(|()| pieces)
}

#[test]
fn what_was_written_is_read_in_pieces_of_any_size() {
    let bytes = backup();
    let pieces = read(&bytes, bytes.len()).unwrap();
    assert_eq!(pieces[0], Piece::Header(header(1, true)));
    assert_eq!(pieces[1], Piece::Key(Zeroizing::new([7; 32])));
    assert_eq!(pieces[2], Piece::Recovery(Zeroizing::new(b"bmr1secret".to_vec())));
    assert_eq!(pieces[3..], [Piece::Entry(entries()[0].clone()), Piece::End]);
    for step in [1, 2, 7, 100] {
        assert_eq!(read(&bytes, step).unwrap(), pieces);
    }
}

#[test]
fn a_backup_that_ends_anywhere_before_its_end_is_refused() {
    let bytes = backup();
    for end in 0..bytes.len() {
        let error = read(&bytes[..end], 64).unwrap_err();
        assert_eq!(error, BackupError::Truncated { bytes: u64::try_from(end).unwrap() });
    }
}

#[test]
fn a_backup_with_any_bit_turned_or_bytes_behind_it_is_refused() {
    let mut bytes = backup();
    for at in 0..bytes.len() * 8 {
        bytes[at / 8] ^= 1 << (at % 8);
        read(&bytes, 64).unwrap_err();
        bytes[at / 8] ^= 1 << (at % 8);
    }
    bytes.push(0);
    assert!(matches!(read(&bytes, 64), Err(BackupError::Damaged { what: "bytes follow its end", .. })));
}

#[test]
fn other_files_and_newer_backups_are_told_apart() {
    assert_eq!(read(b"{\"id\":\"VED-1\"}", 64), Err(BackupError::Foreign));
    assert_eq!(read(&[0; 4_096], 64), Err(BackupError::Foreign));
    let mut bytes = backup();
    bytes[MARK.len() + 1] = 2;
    let error = read(&bytes, 64).unwrap_err();
    assert_eq!(error.to_string(), "the backup has version 2, and this program reads versions up to 1");
}

#[test]
fn a_record_that_claims_to_be_huge_is_refused_before_it_is_read() {
    let (_, mut bytes) = Writer::begin(&header(1, false));
    bytes.extend([Kind::Entry as u8, 0xff, 0xff, 0xff, 0xff]);
    assert!(matches!(read(&bytes, 64), Err(BackupError::Damaged { what: "a record longer than any is", .. })));
}

#[test]
fn a_key_where_none_was_promised_is_refused_as_is_a_promise_without_a_key() {
    let (mut writer, mut bytes) = Writer::begin(&header(0, false));
    bytes.extend(writer.keys(&[7; 32], None).iter());
    assert!(matches!(read(&bytes, 64), Err(BackupError::Damaged { what: "a key is not in its place", .. })));
    let (writer, mut bytes) = Writer::begin(&header(0, true));
    bytes.extend(writer.end());
    assert!(matches!(read(&bytes, 64), Err(BackupError::Damaged { what: "its key is missing", .. })));
}
