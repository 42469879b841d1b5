//! Routes on the contents of attachments.

use std::path::PathBuf;

use beadmesh_protocol::id::BlobHash;
use beadmesh_protocol::limits::ATTACHMENT_BYTES_MAX;

use super::*;
use crate::api::model::AGENT_HEADER;

/// An agent that asks.
struct By(String);

impl Bench {
    async fn bearer(&self, name: &str) -> By {
        let answer = self.post("/v1/agents", json!({"name": name})).await;
        By(format!("Bearer {}", answer["token"].as_str().unwrap()))
    }

    /// Asks as BlueLake with a body of any kind; returns the status and the bytes.
    async fn bytes(&self, by: &By, method: Method, path: &str, body: impl Into<Body>) -> (u16, Vec<u8>) {
        let request = Request::builder().method(method).uri(path).header(AGENT_HEADER, "BlueLake");
        let request = request.header("authorization", &by.0).body(body.into()).unwrap();
        let response = self.local.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
    }

    async fn told(&self, by: &By, method: Method, path: &str, body: impl Into<Body>) -> (u16, Value) {
        let (status, bytes) = self.bytes(by, method, path, body).await;
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn upload(&self, by: &By, content: &[u8]) -> String {
        let (status, answer) = self.told(by, Method::POST, "/v1/blobs", content.to_vec()).await;
        assert_eq!((status, &answer["bytes"]), (201, &json!(content.len())), "{answer}");
        assert_eq!(answer["hash"], BlobHash::of(content).to_string());
        answer["hash"].as_str().unwrap().to_owned()
    }

    async fn write(&self, by: &By, attachments: Value) -> (u16, Value) {
        let wish = json!({"to": ["BlueLake"], "subject": "s", "body": "b", "attachments": attachments});
        self.told(by, Method::POST, "/v1/letters", wish.to_string()).await
    }

    fn blob(&self, place: &str, hash: &str) -> PathBuf {
        let blobs = self.home.path().join("blobs");
        match place {
            "own" => blobs.join(&hash[..2]).join(hash),
            place => blobs.join(place).join(hash),
        }
    }
}

#[tokio::test]
async fn what_is_uploaded_is_read_by_the_letter_that_carries_it() {
    let mut bench = bench().await;
    let blue = bench.bearer("BlueLake").await;
    let large: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    let hashes = [bench.upload(&blue, &large).await, bench.upload(&blue, b"").await];
    let named = json!([{"hash": hashes[0], "name": "a.bin"}, {"hash": hashes[1], "name": "empty"}]);
    let (status, answer) = bench.write(&blue, named).await;
    assert_eq!(status, 201, "{answer}");
    let letter = &answer["letter"];
    let first = json!({"index": 1, "hash": hashes[0], "name": "a.bin", "bytes": large.len()});
    assert_eq!((&letter["attachments"][0], &letter["attachments"][1]["bytes"]), (&first, &json!(0)));
    let path = format!("/v1/letters/{}/attachments", letter["short"].as_str().unwrap());
    assert!(hashes.iter().all(|hash| bench.blob("own", hash).exists() && !bench.blob("uploaded", hash).exists()));
    for (index, content) in [(1, &large[..]), (2, b"")] {
        let (status, bytes) = bench.bytes(&blue, Method::GET, &format!("{path}/{index}"), "").await;
        assert!((status, bytes.as_slice()) == (200, content), "{index}");
    }
    for (index, status) in [("0", 404), ("3", 404), ("x", 400), ("-1", 400)] {
        let (found, answer) = bench.told(&blue, Method::GET, &format!("{path}/{index}"), "").await;
        assert_eq!(found, status, "{index}: {answer}");
        assert!(answer["error"]["hint"].is_string(), "{answer}");
    }
    // As if the process had ended between the letter and the move of what it carries.
    std::fs::rename(bench.blob("own", &hashes[0]), bench.blob("uploaded", &hashes[0])).unwrap();
    bench.local.close().await.unwrap();
    bench.local = open(&bench.home).await;
    assert!(bench.bytes(&blue, Method::GET, &format!("{path}/1"), "").await.1 == large);
    bench.upload(&blue, b"looks after what waits").await;
    assert!(bench.blob("own", &hashes[0]).exists() && !bench.blob("uploaded", &hashes[0]).exists());
}

#[tokio::test]
async fn a_letter_carries_nothing_that_is_not_durable_here() {
    let bench = bench().await;
    let blue = bench.bearer("BlueLake").await;
    let hash = bench.upload(&blue, b"content").await;
    let damaged = bench.upload(&blue, b"damaged").await;
    std::fs::write(bench.blob("uploaded", &damaged), b"d").unwrap();
    let before = bench.get("/v1/status").await["digest"].clone();
    let nowhere = BlobHash::of(b"nowhere").to_string();
    for (named, says) in [
        (json!([{"hash": nowhere, "name": "a"}]), "was not uploaded here"),
        (json!([{"hash": hash, "name": "a"}, {"hash": damaged, "name": "b"}]), "was not uploaded here"),
        (json!([{"hash": "abc", "name": "a"}]), "expected 64 characters of hex"),
        (json!(vec![json!({"hash": hash, "name": "a"}); 9]), "at most 8 are allowed"),
    ] {
        let (status, answer) = bench.write(&blue, named).await;
        assert_eq!((status, &answer["error"]["field"]), (422, &json!("attachments")), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(says), "{answer}");
    }
    for name in ["", "..", "a/b", "a\nb", &"x".repeat(256)] {
        let (status, answer) = bench.write(&blue, json!([{"hash": hash, "name": name}])).await;
        assert_eq!((status, &answer["error"]["field"]), (422, &json!("attachment")), "{answer}");
    }
    assert_eq!(bench.get("/v1/status").await["digest"], before);
    assert!(bench.blob("uploaded", &hash).exists() && bench.blob("damaged", &damaged).exists());
    assert_eq!(bench.write(&blue, json!([{"hash": hash, "name": "a"}])).await.0, 201);
}

#[tokio::test]
async fn only_agents_upload_and_read_and_no_more_than_may_be() {
    let bench = bench().await;
    let blue = bench.bearer("BlueLake").await;
    let (status, error) = bench.refused(Method::POST, "/v1/blobs", "content").await;
    assert_eq!((status, &error["code"]), (403, &json!("refused")));
    assert_eq!(bench.refused(Method::GET, "/v1/letters/abcdef/attachments/1", "").await.0, 403);
    let (status, answer) = bench.told(&blue, Method::GET, "/v1/letters/abcdef/attachments/1", "").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    let bytes = usize::try_from(ATTACHMENT_BYTES_MAX).unwrap();
    let piece = || Ok::<_, std::io::Error>(vec![7_u8; 1024 * 1024]);
    // With and without its length being told.
    let streamed = || futures::stream::iter((0..=bytes / (1024 * 1024)).map(move |_| piece()));
    for body in [Body::from(vec![7; bytes + 1]), Body::from_stream(streamed())] {
        let (status, answer) = bench.told(&blue, Method::POST, "/v1/blobs", body).await;
        assert_eq!((status, &answer["error"]["code"]), (413, &json!("too_large")), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("16777216 bytes"), "{answer}");
    }
    let uploaded = bench.home.path().join("blobs/uploaded");
    assert_eq!(std::fs::read_dir(&uploaded).unwrap().count(), 0);
    bench.upload(&blue, &vec![7; bytes]).await;
    let broken = futures::stream::iter([piece(), Err(std::io::Error::other("gone"))]);
    assert_eq!(bench.told(&blue, Method::POST, "/v1/blobs", Body::from_stream(broken)).await.0, 400);
    assert_eq!(std::fs::read_dir(&uploaded).unwrap().count(), 1);
}

#[tokio::test]
async fn what_a_command_that_was_killed_has_left_is_gone_at_the_next() {
    let mut bench = bench().await;
    let blue = bench.bearer("BlueLake").await;
    let hash = bench.upload(&blue, b"whole").await;
    let left = bench.blob("uploaded", "new-1-0");
    std::fs::write(&left, b"ha").unwrap();
    bench.local.close().await.unwrap();
    bench.local = open(&bench.home).await;
    assert!(!left.exists() && bench.blob("uploaded", &hash).exists());
}
