use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::config::{FILE, Flags};

fn rows(dir: &Path) -> BTreeMap<String, Check> {
    let home = Home::open(dir).unwrap();
    let config = Config::resolve(dir, &Flags::default(), &BTreeMap::new());
    local(&home, &config).into_iter().map(|check| (check.id.clone(), check)).collect()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_new_home_is_well_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    home.key().unwrap();
    let rows = rows(temp.path());
    for id in ["home.mode", "keys.mode", "keys.recovery", "store.writable", "config.valid"] {
        assert_eq!((rows[id].grade, &rows[id].remedy), (Grade::Ok, &None), "{:?}", rows[id]);
    }
    assert!(rows.contains_key("disk.space") && rows.contains_key("service.unit") && rows.contains_key("limits.files"));
    let left: Vec<_> = std::fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["node.key"]);
}

#[test]
fn what_others_can_get_at_fails_and_names_file_mode_and_remedy() {
    let temp = tempfile::tempdir().unwrap();
    Home::open(temp.path()).unwrap().key().unwrap();
    set_mode(&temp.path().join("node.key"), 0o640);
    let check = &rows(temp.path())["keys.mode"];
    assert_eq!(check.grade, Grade::Fail);
    assert!(check.found.contains("node.key has mode 0640"), "{}", check.found);
    assert!(check.remedy.as_ref().unwrap().starts_with("chmod 600 "), "{check:?}");
    let home = Home::at(temp.path());
    set_mode(temp.path(), 0o755);
    let config = Config::resolve(temp.path(), &Flags::default(), &BTreeMap::new());
    let found = local(&home, &config).into_iter().find(|check| check.id == "home.mode").unwrap();
    assert!(found.grade == Grade::Fail && found.found.contains("mode 0755"), "{found:?}");
}

#[test]
fn a_wrong_file_and_a_waiting_recovery_key_are_told() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    home.keep_recovery(&home.key().unwrap()).unwrap();
    std::fs::write(temp.path().join(FILE), "[net]\nmdsn = true\n").unwrap();
    let found = rows(temp.path());
    assert_eq!(found["config.valid"].grade, Grade::Fail);
    assert!(found["config.valid"].found.contains("did you mean net.mdns?"), "{:?}", found["config.valid"]);
    assert_eq!(found["keys.recovery"].grade, Grade::Warn);
    std::fs::write(temp.path().join(FILE), "[net]\nmdns = true\n").unwrap();
    set_mode(&temp.path().join(FILE), 0o666);
    assert!(rows(temp.path())["config.valid"].found.contains("others can change what is set"));
}

#[test]
fn every_id_of_the_records_has_one_row_and_the_worst_counts() {
    let finding = |check: &str, message: &str| Finding {
        check: check.to_owned(),
        message: message.to_owned(),
        remedy: "do it".to_owned(),
    };
    let well = records(&[]);
    assert_eq!(worst(&well), Grade::Ok);
    let ids: BTreeSet<&str> = well.iter().map(|check| check.id.as_str()).collect();
    assert_eq!((ids.len(), well.len()), (RECORDS.len(), RECORDS.len()));
    let five: Vec<Finding> = (0..5).map(|at| finding("store.checksum", &format!("Entry {at}."))).collect();
    let rows = records(&five);
    let row = rows.iter().find(|check| check.id == "store.checksum").unwrap();
    assert_eq!(row.found, "Entry 0. Entry 1. Entry 2. There are 2 more.");
    assert_eq!((rows.len(), worst(&rows), row.remedy.as_deref()), (RECORDS.len(), Grade::Fail, Some("do it")));
    assert_eq!(worst(&records(&[finding("clock.skew", "1 entry.")])), Grade::Warn);
    let new = records(&[finding("store.new", "Something new.")]);
    assert!(new.iter().any(|check| check.id == "store.new" && check.grade == Grade::Warn));
}
