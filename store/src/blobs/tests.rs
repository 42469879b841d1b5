use std::os::unix::fs::PermissionsExt;

use super::*;

const NOW: Wall = Wall::from_millis(1_800_000_000_000);

fn blobs(dir: &Path) -> Blobs {
    Blobs::at(&dir.join("blobs"), Config::default())
}

fn upload(blobs: &Blobs, content: &[u8]) -> BlobHash {
    let mut incoming = blobs.upload().unwrap();
    for piece in content.chunks(1_000) {
        incoming.write(piece).unwrap();
    }
    let (hash, bytes) = incoming.finish().unwrap();
    assert_eq!((hash, bytes), (BlobHash::of(content), content.len() as u64));
    hash
}

fn receive(blobs: &Blobs, content: &[u8], place: Place) -> Result<BlobHash, BlobError> {
    let mut incoming = blobs.receive(BlobHash::of(content), content.len() as u64, place)?;
    incoming.write(content)?;
    incoming.finish().map(|(hash, _)| hash)
}

fn read(blobs: &Blobs, hash: BlobHash, now: Wall) -> Result<Vec<u8>, BlobError> {
    let mut content = blobs.open(hash, now)?;
    let mut bytes = Vec::new();
    content.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(content.bytes, bytes.len() as u64);
    Ok(bytes)
}

/// Every file under the folder of blobs, by its path there.
fn all(dir: &Path) -> Vec<String> {
    let root = dir.join("blobs");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in listed(&folder).unwrap() {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn place(place: &str, hash: BlobHash) -> String {
    let name = hash.to_string();
    match place {
        "own" => format!("{}/{name}", &name[..2]),
        "fetched" => format!("fetched/{}/{name}", &name[..2]),
        "damaged fetched" => format!("damaged/fetched/{name}"),
        other => format!("{other}/{name}"),
    }
}

#[test]
fn what_is_uploaded_is_private_and_stays_once_a_letter_carries_it() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    let hash = upload(&blobs, &content);
    assert_eq!(all(temp.path()), [place("uploaded", hash)]);
    assert_eq!(blobs.claim(hash, NOW).unwrap(), content.len() as u64);
    blobs.keep(hash).unwrap();
    assert_eq!(all(temp.path()), [place("own", hash)]);
    assert_eq!((blobs.own().unwrap(), blobs.uploaded().unwrap()), (vec![hash], vec![]));
    assert_eq!(read(&blobs, hash, NOW).unwrap(), content);
    let path = temp.path().join("blobs").join(place("own", hash));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    // Once more in another letter: it is there once.
    assert_eq!(upload(&blobs, &content), hash);
    blobs.claim(hash, NOW).unwrap();
    blobs.keep(hash).unwrap();
    blobs.keep(hash).unwrap();
    assert_eq!(all(temp.path()), [place("own", hash)]);
    let nothing = BlobHash::of(b"nothing");
    assert!(matches!(blobs.keep(nothing), Err(BlobError::Missing { hash }) if hash == nothing));
    assert!(matches!(blobs.claim(nothing, NOW), Err(BlobError::Missing { hash }) if hash == nothing));
}

#[test]
fn an_empty_file_is_a_blob_like_any_other() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let hash = upload(&blobs, b"");
    assert_eq!(read(&blobs, hash, NOW).unwrap(), b"");
    assert_eq!(receive(&blobs, b"", Place::Fetched).unwrap(), hash);
}

#[test]
fn bytes_beyond_the_limit_are_refused_and_leave_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let mut incoming = blobs.upload().unwrap();
    let piece = vec![7; 1024 * 1024];
    for _ in 0..16 {
        incoming.write(&piece).unwrap();
    }
    let error = incoming.write(&[7]).unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), ("too_large", "it has more than 16777216 bytes"));
    drop(incoming);
    assert_eq!(all(temp.path()), Vec::<String>::new());
    let error = blobs.receive(BlobHash::of(b"x"), ATTACHMENT_BYTES_MAX + 1, Place::Own).unwrap_err();
    assert_eq!(error.code(), "too_large");
}

#[test]
fn a_sender_that_lies_about_a_blob_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let hash = BlobHash::of(b"truth");
    for place in [Place::Own, Place::Fetched] {
        let begin = || blobs.receive(hash, 5, place).unwrap();
        let mut other = begin();
        other.write(b"lies!").unwrap();
        assert!(matches!(other.finish(), Err(BlobError::Other { .. })));
        let mut short = begin();
        short.write(b"trut").unwrap();
        assert!(matches!(short.finish(), Err(BlobError::TooShort { bytes: 4, expected: 5 })));
        let mut long = begin();
        long.write(b"truth").unwrap();
        assert!(matches!(long.write(b"!"), Err(BlobError::TooLong { bytes_max: 5 })));
        drop(long);
        drop(begin());
    }
    assert_eq!(all(temp.path()), Vec::<String>::new());
    // Room that was set aside for them is there again.
    assert_eq!(blobs.shared.lock().fetched(&blobs.shared).unwrap().free_of(u64::MAX), u64::MAX);
}

#[test]
fn a_damaged_file_is_set_aside_and_another_one_is_used() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let hash = upload(&blobs, b"content");
    blobs.keep(hash).unwrap();
    receive(&blobs, b"content", Place::Fetched).unwrap();
    for kind in ["own", "fetched"] {
        let path = temp.path().join("blobs").join(place(kind, hash));
        fs::write(&path, b"c0ntent").unwrap();
    }
    for kind in ["damaged", "damaged fetched"] {
        let error = blobs.open(hash, NOW).unwrap_err();
        let kept = temp.path().join("blobs").join(place(kind, hash));
        assert!(matches!(&error, BlobError::Damaged { kept: named, .. } if *named == kept), "{error}");
        assert_eq!(fs::read(kept).unwrap(), b"c0ntent");
    }
    assert!(matches!(blobs.open(hash, NOW), Err(BlobError::Missing { .. })));
    receive(&blobs, b"content", Place::Own).unwrap();
    assert_eq!(read(&blobs, hash, NOW).unwrap(), b"content");
    // One that was cut off by a power cut is damaged, too.
    fs::write(temp.path().join("blobs").join(place("own", hash)), b"").unwrap();
    assert!(matches!(blobs.claim(hash, NOW), Err(BlobError::Damaged { .. })));
    // The one before is still there.
    assert_eq!(fs::read(temp.path().join("blobs").join(place("damaged", hash))).unwrap(), b"c0ntent");
}

#[test]
fn damaged_files_that_are_kept_are_bounded_unless_they_were_our_own() {
    for (is_ours, kept) in [(false, DAMAGED_MAX), (true, DAMAGED_MAX + 5)] {
        let temp = tempfile::tempdir().unwrap();
        let blobs = blobs(temp.path());
        let into = if is_ours { Place::Own } else { Place::Fetched };
        for number in 0..DAMAGED_MAX + 5 {
            let hash = receive(&blobs, format!("content {number}").as_bytes(), into).unwrap();
            fs::write(blobs.shared.path(into, hash), b"other").unwrap();
            blobs.open(hash, NOW).unwrap_err();
        }
        assert_eq!(all(temp.path()).len(), kept);
    }
}

#[test]
fn what_can_not_be_read_is_not_taken_for_damaged() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let hash = BlobHash::of(b"content");
    // A folder opens as a file does, and then reading it fails as on a bad disk.
    let path = blobs.shared.path(Place::Own, hash);
    fs::create_dir_all(&path).unwrap();
    assert!(matches!(blobs.open(hash, NOW), Err(BlobError::Io { path: named, .. }) if named == path));
    assert!(path.exists() && !temp.path().join("blobs/damaged").exists());
}

#[test]
fn what_made_room_for_another_before_it_was_moved_is_missing() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let hash = receive(&blobs, b"fetched", Place::Fetched).unwrap();
    fs::remove_file(blobs.shared.path(Place::Fetched, hash)).unwrap();
    let moved = blobs.shared.rename((Place::Fetched, Place::Uploaded), hash);
    assert!(matches!(moved, Err(BlobError::Missing { hash: named }) if named == hash));
}

#[test]
fn what_a_process_of_the_same_id_has_left_is_in_nobodys_way() {
    let temp = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        std::mem::forget(blobs(temp.path()).upload().unwrap());
    }
    upload(&blobs(temp.path()), b"content");
    assert_eq!(all(temp.path()).len(), 4);
}

#[test]
fn what_was_being_written_when_the_process_ended_is_swept_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    assert_eq!(blobs.sweep_unfinished().unwrap(), 0);
    let kept = upload(&blobs, b"kept");
    blobs.keep(kept).unwrap();
    let (waiting, fetched) = (upload(&blobs, b"waiting"), receive(&blobs, b"fetched", Place::Fetched).unwrap());
    for place in [None, Some(Place::Own), Some(Place::Fetched)] {
        let begun = match place {
            None => blobs.upload(),
            Some(place) => blobs.receive(BlobHash::of(b"torn"), 4, place),
        };
        let mut begun = begun.unwrap();
        begun.write(b"to").unwrap();
        // As after a power cut: nobody removes it.
        std::mem::forget(begun);
    }
    assert_eq!(all(temp.path()).len(), 6);
    let again = self::blobs(temp.path());
    assert_eq!(again.sweep_unfinished().unwrap(), 3);
    let mut expected = vec![place("own", kept), place("uploaded", waiting), place("fetched", fetched)];
    expected.sort();
    assert_eq!(all(temp.path()), expected);
}

#[test]
fn what_is_in_no_letter_goes_after_its_time_unless_it_is_claimed() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let (left, claimed) = (upload(&blobs, b"left"), upload(&blobs, b"claimed"));
    for hash in [left, claimed] {
        blobs.claim(hash, NOW).unwrap();
    }
    let hour = Config::default().uploaded_time_max;
    let (soon, late) = (NOW.after(hour), NOW.after(hour + Duration::from_secs(1)));
    assert!(!blobs.drop_stale(left, soon).unwrap());
    blobs.claim(claimed, soon).unwrap();
    assert!(blobs.drop_stale(left, late).unwrap());
    assert!(!blobs.drop_stale(claimed, late).unwrap());
    assert_eq!(all(temp.path()), [place("uploaded", claimed)]);
    // A clock that was set back does not keep it.
    assert!(blobs.drop_stale(claimed, Wall::from_millis(0)).unwrap());
    assert!(!blobs.drop_stale(claimed, late).unwrap());
}

#[test]
fn uploads_that_no_letter_carries_are_bounded() {
    let temp = tempfile::tempdir().unwrap();
    let config = Config { uploaded_bytes_max: 2 * ATTACHMENT_BYTES_MAX + 10, ..Config::default() };
    let blobs = Blobs::at(&temp.path().join("blobs"), config);
    let (one, two) = (blobs.upload().unwrap(), blobs.upload().unwrap());
    assert_eq!(blobs.upload().unwrap_err().code(), "conflict");
    drop((one, two));
    let hash = upload(&blobs, &[1; 11]);
    let one = blobs.upload().unwrap();
    assert!(matches!(blobs.upload(), Err(BlobError::Crowded { .. })));
    blobs.keep(hash).unwrap();
    drop((one, blobs.upload().unwrap()));
}

#[test]
fn of_what_was_fetched_the_longest_unread_goes_for_the_next_and_own_files_stay() {
    let temp = tempfile::tempdir().unwrap();
    let config = Config { fetched_bytes_max: 3 * 4_096, ..Config::default() };
    let open = || Blobs::at(&temp.path().join("blobs"), config.clone());
    let blobs = open();
    let own = upload(&blobs, &[9; 5_000]);
    blobs.keep(own).unwrap();
    let contents: Vec<Vec<u8>> = (0..3_u8).map(|number| vec![number; 10]).collect();
    let hashes: Vec<BlobHash> =
        contents.iter().map(|content| receive(&blobs, content, Place::Fetched).unwrap()).collect();
    // Read in another order than they came, the second longest ago.
    for (at, seconds) in [(1, 1), (0, 2), (2, 3)] {
        read(&blobs, hashes[at], NOW.after(Duration::from_secs(seconds))).unwrap();
    }
    // The order outlives the process.
    let blobs = open();
    let next = receive(&blobs, &[7; 10], Place::Fetched).unwrap();
    assert!(matches!(blobs.open(hashes[1], NOW), Err(BlobError::Missing { .. })));
    for hash in [hashes[0], hashes[2], next, own] {
        read(&blobs, hash, NOW.after(Duration::from_secs(9))).unwrap();
    }
    // What is on its way counts, and what can never fit is refused.
    let begun = blobs.receive(BlobHash::of(b"a"), 3 * 4_096, Place::Fetched).unwrap();
    let error = blobs.receive(BlobHash::of(b"b"), 1, Place::Fetched).unwrap_err();
    assert_eq!(error.to_string(), "1 bytes do not fit into the 12288 that fetched attachments may take together");
    drop(begun);
    assert!(matches!(blobs.receive(own, 3 * 4_096 + 1, Place::Fetched), Err(BlobError::NoRoom { .. })));
    assert_eq!(all(temp.path()), [place("own", own)]);
}

#[test]
fn what_was_fetched_stays_once_a_letter_of_this_node_carries_it() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let hash = receive(&blobs, b"passed on", Place::Fetched).unwrap();
    assert_eq!(blobs.claim(hash, NOW).unwrap(), 9);
    blobs.keep(hash).unwrap();
    assert_eq!(all(temp.path()), [place("own", hash)]);
    assert_eq!(blobs.shared.lock().fetched(&blobs.shared).unwrap().free_of(u64::MAX), u64::MAX);
}

#[test]
fn a_place_that_takes_no_writes_is_named() {
    let blobs = Blobs::at(Path::new("/proc/beadmesh/blobs"), Config::default());
    assert!(matches!(blobs.upload(), Err(BlobError::Io { .. } | BlobError::ReadOnly { .. })));
    assert_eq!(blobs.uploaded().unwrap(), []);
    // The next may begin all the same: nothing is counted of one that could not.
    assert_eq!(blobs.shared.lock().uploads, 0);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = blobs(temp.path());
    let mut incoming = blobs.upload().unwrap();
    // The device answers every write as a full disk does.
    incoming.file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = incoming.write(&[1; 10]).unwrap_err();
    assert!(matches!(error, BlobError::Full { .. }) && error.hint().contains("free space"), "{error}");
    drop(incoming);
    assert_eq!(all(temp.path()), Vec::<String>::new());
    upload(&blobs, b"and then it works");
}
