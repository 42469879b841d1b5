use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use beadmesh_store::Lock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::Local;

/// A home that is open, and a folder beside it.
struct Bench {
    local: Local,
    folder: TempDir,
}

fn names() -> Names {
    Names { node: "box".into(), mesh: "home".into(), human: "tim".into() }
}

async fn open(dir: &Path) -> Local {
    let home = Home::open(dir).unwrap();
    let lock = Lock::try_acquire(&home.lock()).unwrap().expect("nobody else holds the lock");
    Local::open(home, names(), lock).await.unwrap()
}

async fn ask(local: &Local, method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    let response = local.router.clone().oneshot(request).await.unwrap();
    (response.status(), to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
}

async fn told(local: &Local, method: Method, path: &str, body: impl Into<Body>) -> Value {
    let (status, bytes) = ask(local, method, path, body).await;
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert!(status.is_success(), "{answer}");
    answer
}

impl Bench {
    /// Begins a home with a bead in it.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = open(&folder.path().join("home")).await;
        let bench = Self { local, folder };
        bench.create("first").await;
        bench
    }

    async fn create(&self, title: &str) {
        told(&self.local, Method::POST, "/v1/beads", json!({"title": title, "by": "ada"}).to_string()).await;
    }

    /// Backs up, and returns the file.
    async fn backup(&self, with_key: bool) -> PathBuf {
        let wish = json!({"with_key": with_key}).to_string();
        let (status, bytes) = ask(&self.local, Method::POST, "/v1/backup", wish).await;
        assert_eq!(status, StatusCode::OK);
        let file = self.folder.path().join(format!("backup-{with_key}"));
        fs::write(&file, bytes).unwrap();
        file
    }

    /// Brings a node back beside the first.
    async fn restore(&self, file: &Path) -> Result<Restored, RestoreError> {
        restore(&self.other(), file, names(), &mut |_| {}).await
    }

    fn other(&self) -> PathBuf {
        self.folder.path().join("other")
    }

    /// Asserts that nothing of a node is in the other home.
    fn assert_untouched(&self) {
        let Ok(entries) = fs::read_dir(self.other()) else { return };
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "lock"), "{names:?}");
    }
}

#[tokio::test]
async fn a_node_comes_back_with_all_it_held_as_a_new_instance() {
    let bench = Bench::new().await;
    let file = bench.backup(true).await;
    bench.create("after the backup").await;
    let before = told(&bench.local, Method::GET, "/v1/status", "").await;
    let restored = bench.restore(&file).await.unwrap();
    assert_eq!(
        (restored.header.node.to_string(), restored.unknown),
        (before["node"]["id"].as_str().unwrap().into(), 0)
    );
    let local = open(&bench.other()).await;
    let after = told(&local, Method::GET, "/v1/status", "").await;
    assert_eq!((&after["node"], &after["mesh"], &after["beads"]), (&before["node"], &before["mesh"], &json!(1)));
    assert_ne!(after["instance"], before["instance"]);
    let doctor = told(&local, Method::POST, "/v1/doctor", "").await;
    assert_eq!(doctor["findings"], json!([]), "{doctor}");
    // Nobody had read the recovery key yet.
    let recovery = told(&local, Method::POST, "/v1/recovery", "").await;
    assert_eq!(recovery["recovery_key"], bench.local.recovery.as_ref().unwrap().reveal());
    told(&local, Method::POST, "/v1/beads", json!({"title": "goes on", "by": "ada"}).to_string()).await;
    local.close().await.unwrap();
    let local = open(&bench.other()).await;
    assert_eq!(told(&local, Method::GET, "/v1/status", "").await["beads"], 2);
}

#[tokio::test]
async fn a_backup_without_its_key_brings_no_node_back_and_is_handed_in_instead() {
    let bench = Bench::new().await;
    let file = bench.backup(false).await;
    let error = bench.restore(&file).await.unwrap_err();
    assert_eq!(error.code(), "no_key");
    assert!(error.hint().contains("--into"), "{}", error.hint());
    bench.assert_untouched();
    let bytes = fs::read(&file).unwrap();
    let body = told(&bench.local, Method::POST, "/v1/restore", bytes.clone()).await;
    let entries = inspect(&file, &mut |_| {}).unwrap().entries;
    assert_eq!((&body["new"], &body["known"], &body["unsound"]), (&json!(0), &json!(entries), &json!(0)), "{body}");
    let other = open(&bench.other()).await;
    let (status, answer) = ask(&other, Method::POST, "/v1/restore", bytes).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_backup_that_is_not_whole_changes_nothing() {
    let bench = Bench::new().await;
    let file = bench.backup(true).await;
    let whole = fs::read(&file).unwrap();
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 1;
    let newer = [&whole[..17], &[9], &whole[18..]].concat();
    let cases: [(&[u8], &str); 5] = [
        (&whole[..whole.len() - 1], "backup_damaged"),
        (&turned, "backup_damaged"),
        (&newer, "newer_backup"),
        (b"{}\n", "no_backup"),
        (b"", "backup_damaged"),
    ];
    for (bytes, code) in cases {
        fs::write(&file, bytes).unwrap();
        let error = bench.restore(&file).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        bench.assert_untouched();
    }
    let (status, answer) = ask(&bench.local, Method::POST, "/v1/restore", whole[..whole.len() - 1].to_vec()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(bench.restore(Path::new("/nowhere")).await.unwrap_err().code(), "io");
}

#[tokio::test]
async fn an_entry_that_nobody_signed_so_ends_the_restore_and_leaves_nothing() {
    let bench = Bench::new().await;
    let file = bench.backup(true).await;
    // A file that is whole, and lies.
    let mut reader = Reader::default();
    reader.push(&fs::read(&file).unwrap());
    let (mut writer, mut bytes) = (None, Vec::new());
    while let Some(piece) = reader.read().unwrap() {
        match piece {
            Piece::Header(header) => {
                let (begun, first) = beadmesh_store::backup::Writer::begin(&header);
                writer = Some(begun);
                bytes = first;
            }
            Piece::Key(key) => bytes.extend(writer.as_mut().unwrap().keys(&key, None).iter()),
            Piece::Entry(mut sealed) => {
                sealed.signature[7] ^= 1;
                bytes.extend(writer.as_mut().unwrap().entries(&[sealed]));
            }
            Piece::Recovery(_) | Piece::End => {}
        }
    }
    bytes.extend(writer.unwrap().end());
    fs::write(&file, &bytes).unwrap();
    let error = bench.restore(&file).await.unwrap_err();
    assert!(matches!(&error, RestoreError::Unsound(_)), "{error}");
    bench.assert_untouched();
    let body = told(&bench.local, Method::POST, "/v1/restore", bytes).await;
    assert_eq!((&body["new"], body["unsound"].as_u64().unwrap() > 1), (&json!(0), true), "{body}");
}

#[tokio::test]
async fn a_home_with_a_node_in_it_is_left_alone() {
    let bench = Bench::new().await;
    let file = bench.backup(true).await;
    let other = open(&bench.other()).await;
    let id = told(&other, Method::GET, "/v1/status", "").await["node"]["id"].clone();
    other.close().await.unwrap();
    let error = bench.restore(&file).await.unwrap_err();
    assert!(matches!(&error, RestoreError::Begun { .. }) && error.code() == "conflict", "{error}");
    let other = open(&bench.other()).await;
    assert_eq!(told(&other, Method::GET, "/v1/status", "").await["node"]["id"], id);
    other.close().await.unwrap();
    // A key alone is a node's too, if it is another's.
    fs::remove_dir_all(bench.other().join("store")).unwrap();
    assert_eq!(bench.restore(&file).await.unwrap_err().code(), "conflict");
}

#[tokio::test]
async fn what_an_interrupted_restore_left_is_no_node_until_it_is_run_again() {
    let bench = Bench::new().await;
    let file = bench.backup(true).await;
    let home = Home::open(&bench.other()).unwrap();
    fs::create_dir(home.restoring()).unwrap();
    fs::write(home.restoring().join("sled-1"), "half").unwrap();
    let lock = Lock::try_acquire(&home.lock()).unwrap().unwrap();
    let error = Local::open(home, names(), lock).await.unwrap_err();
    assert!(error.code() == "conflict" && error.hint().contains("beadmesh restore"), "{error}");
    bench.restore(&file).await.unwrap();
    assert_eq!(told(&open(&bench.other()).await, Method::GET, "/v1/status", "").await["beads"], 1);
}
