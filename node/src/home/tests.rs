use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_new_home_is_private_and_keeps_its_key() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("a/b");
    let home = Home::open(&dir).unwrap();
    assert_eq!(mode(&dir), 0o700);
    let key = home.key().unwrap();
    assert_eq!(mode(&dir.join(KEY)), 0o600);
    assert_eq!(fs::metadata(dir.join(KEY)).unwrap().len(), 32);
    assert_eq!(Home::open(&dir).unwrap().key().unwrap(), key);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_its_mode_and_the_remedy() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    home.key().unwrap();
    set_mode(&temp.path().join(KEY), 0o640);
    let error = home.key().unwrap_err();
    assert!(error.to_string().contains("mode 0640"), "{error}");
    assert!(error.hint().starts_with("chmod 600 "), "{}", error.hint());
    assert_eq!(error.code(), "refused");
}

#[test]
fn a_damaged_key_is_not_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    home.write_private(KEY, b"short").unwrap();
    assert!(matches!(home.key().unwrap_err(), HomeError::KeyBytes { bytes: 5, .. }));
    assert_eq!(fs::read(temp.path().join(KEY)).unwrap(), b"short");
}

#[test]
fn an_open_directory_is_closed_when_empty_and_refused_when_it_may_not_be_ours() {
    let temp = tempfile::tempdir().unwrap();
    set_mode(temp.path(), 0o755);
    Home::open(temp.path()).unwrap();
    assert_eq!(mode(temp.path()), 0o700);
    set_mode(temp.path(), 0o755);
    fs::write(temp.path().join("thesis.tex"), b"").unwrap();
    let error = Home::open(temp.path()).unwrap_err();
    assert!(matches!(error, HomeError::TooOpen { mode: 0o755, wanted: 0o700, .. }));
    assert_eq!(mode(temp.path()), 0o755);
}

#[test]
fn the_recovery_key_is_there_until_one_who_has_seen_it_has_it_forgotten() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    let kept = home.keep_recovery(&SigningKey::from_bytes(&[7; 32])).unwrap();
    assert!(kept.reveal().starts_with("bmr1"));
    assert!(home.has_recovery().unwrap());
    assert_eq!(home.recovery().unwrap().as_ref(), Some(&kept));
    let read = |text: &str| Home::read_recovery(&SecretText::new(text.to_owned())).map(|bytes| *bytes);
    assert_eq!(read(&format!("{}\n", kept.reveal())), Some([7; 32]));
    assert_eq!(["", "bmr1", "bmr1garbage", &kept.reveal()[4..], &format!("{}aa", kept.reveal())].map(read), [None; 5]);
    assert!(!home.forget_recovery(&SecretText::new("bmr1other".into())).unwrap());
    assert_eq!(home.recovery().unwrap().as_ref(), Some(&kept));
    assert!(home.forget_recovery(&kept).unwrap());
    assert_eq!(home.recovery().unwrap(), None);
    assert!(home.forget_recovery(&kept).unwrap(), "an answer that was lost is repeated");
    assert!(!home.has_recovery().unwrap());
}

#[test]
fn a_path_that_no_socket_can_have_is_refused_before_anything_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("x".repeat(110));
    assert!(matches!(Home::open(&dir).unwrap_err(), HomeError::SocketPath { .. }));
    assert!(!dir.exists());
}

#[test]
fn a_home_is_begun_once_it_has_a_store_and_looking_begins_none() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("home");
    assert!(!Home::is_begun(&dir) && !dir.exists());
    let home = Home::open(&dir).unwrap();
    home.key().unwrap();
    assert!(!Home::is_begun(&dir));
    beadmesh_store::open(&home.store()).unwrap();
    assert!(Home::is_begun(&dir));
    // What is no home at all is for `open` to name.
    assert!(Home::is_begun(&dir.join(KEY)));
}

#[test]
fn a_place_that_takes_no_directory_is_named() {
    let error = Home::open(Path::new("/proc/beadmesh")).unwrap_err();
    assert!(error.to_string().contains("/proc/beadmesh"), "{error}");
}

#[test]
fn the_port_is_remembered() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    assert_eq!(home.saved_port(), None);
    home.save_port(7_117).unwrap();
    assert_eq!(home.saved_port(), Some(7_117));
}

#[test]
fn a_copied_store_is_another_machine() {
    let temp = tempfile::tempdir().unwrap();
    let one = Home::open(&temp.path().join("one")).unwrap();
    let two = Home::open(&temp.path().join("two")).unwrap();
    assert_eq!(one.machine().unwrap(), one.machine().unwrap());
    assert_ne!(one.machine().unwrap(), two.machine().unwrap());
}
