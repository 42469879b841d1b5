//! Fetching and giving over real sockets on loopback, with members that keep to no rule.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use beadmesh_protocol::blob::{Answer as Reply, Request};
use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::id::MeshId;
use beadmesh_protocol::limits::BLOB_PIECE_BYTES_MAX;
use beadmesh_store::blobs;
use beadmesh_store::replica::{FlushError, Input, Output};
use tokio::time::timeout;

use super::*;
use crate::core::{Machine, Queue};
use crate::net::{self, BlobStream, Event, Events, Listen, TransferError};

/// Long enough for a busy machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a member may be silent: short, for tests wait for it to be over.
const STALL: Duration = Duration::from_millis(500);

/// What a member does with a stream that asks for a content.
type Conduct = Arc<dyn Fn(BlobStream, Vec<u8>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

async fn start(key: u8, stall: Duration) -> (Handle, Events) {
    let mut config = net::Config::new([key; 32]);
    config.mdns = false;
    config.listen = Listen::Explicit(vec!["/ip4/127.0.0.1/tcp/0".to_owned()]);
    config.timing.blob_stall = stall;
    let (handle, events) = net::start(config).unwrap();
    handle.listening(PATIENCE).await;
    (handle, events)
}

/// Links a node with members that conduct themselves as they like; returns the node.
async fn among(members: &[(u8, Conduct)]) -> Handle {
    let (handle, mut events) = start(1, STALL).await;
    let mut others = Vec::new();
    for (key, conduct) in members {
        let (other, mut their_events) = start(*key, STALL).await;
        other.set_members([(handle.local_node_id(), handle.listen_addresses())].into());
        let conduct = Arc::clone(conduct);
        let kept = other.clone();
        tokio::spawn(async move {
            while let Some(event) = their_events.recv().await {
                if let Event::BlobAsked { mut stream, .. } = event {
                    let request = stream.read(64).await.unwrap();
                    tokio::spawn(conduct(stream, request));
                }
            }
            drop(kept);
        });
        others.push(other);
    }
    handle.set_members(others.iter().map(|other| (other.local_node_id(), Vec::new())).collect());
    let linking = async {
        while handle.linked().len() < others.len() {
            events.recv().await.expect("the network runs");
        }
    };
    timeout(PATIENCE, linking).await.expect("all are linked");
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    handle
}

fn conduct<F: Future<Output = ()> + Send + 'static>(act: impl Fn(BlobStream) -> F + Send + Sync + 'static) -> Conduct {
    Arc::new(move |stream, _| Box::pin(act(stream)))
}

/// Sends an answer and then pieces, whatever becomes of them, and stays until the other end has had enough.
fn sends(answer: Vec<u8>, pieces: Vec<Vec<u8>>) -> Conduct {
    conduct(move |mut stream| {
        let (answer, pieces) = (answer.clone(), pieces.clone());
        async move {
            for message in [answer].into_iter().chain(pieces) {
                if stream.write(&message).await.is_err() {
                    return;
                }
            }
            // Nothing comes back; it is merely silent as long as the other end listens.
            while matches!(stream.read(1).await, Err(TransferError::Stalled(_))) {}
        }
    })
}

/// A member that gives a content as it should.
fn honest(content: &[u8]) -> Conduct {
    let pieces = content.chunks(BLOB_PIECE_BYTES_MAX).map(<[u8]>::to_vec).collect();
    sends(Reply::Here { bytes: content.len() as u64 }.encode(), pieces)
}

fn node(key: u8) -> NodeId {
    NodeId::from_bytes(ed25519_dalek::SigningKey::from_bytes(&[key; 32]).verifying_key().to_bytes())
}

fn fetcher(dir: &Path, handle: &Handle) -> (Fetcher, Blobs) {
    let blobs = Blobs::at(dir, blobs::Config::default());
    (Fetcher::new(blobs.clone(), handle.clone()), blobs)
}

fn wanted(content: &[u8], author: u8) -> Wanted {
    Wanted { hash: BlobHash::of(content), bytes: content.len() as u64, author: node(author) }
}

fn read(blobs: &Blobs, content: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    blobs.open(BlobHash::of(content), clock::wall()).unwrap().file.read_to_end(&mut found).unwrap();
    found
}

/// How many files there are under a folder.
fn files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

async fn nowhere(fetcher: &Fetcher, wanted: Wanted) -> fetch::Asked {
    match fetcher.fetch(wanted).await {
        Err(FetchError::Nowhere(asked)) => asked,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_is_given_arrives_whole() {
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    for content in [&content[..], &content[..BLOB_PIECE_BYTES_MAX], b""] {
        let temp = tempfile::tempdir().unwrap();
        let handle = among(&[(2, honest(content))]).await;
        let (fetcher, blobs) = fetcher(temp.path(), &handle);
        fetcher.fetch(wanted(content, 2)).await.unwrap();
        assert!(read(&blobs, content) == content);
        handle.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lies_is_found_out_and_leaves_nothing() {
    let content = vec![7; 100_000];
    let here = Reply::Here { bytes: 100_000 }.encode();
    let pieces = |bytes: usize| vec![vec![7; 50_000]; bytes / 50_000];
    let mut other = pieces(100_000);
    other[1][49_999] = 8;
    let drops = conduct(|mut stream| async move { drop(stream.write(&Reply::Here { bytes: 100_000 }.encode()).await) });
    let rows: [(&str, Conduct, &str); 9] = [
        ("other bytes", sends(here.clone(), other), "it sent something else: it is not the content"),
        ("more bytes", sends(here.clone(), vec![vec![7; 60_000]; 2]), "it sent something else: more than 100000 bytes"),
        ("another length", sends(Reply::Here { bytes: 1 << 40 }.encode(), vec![]), "1099511627776 bytes instead of"),
        ("a long piece", sends(here.clone(), vec![vec![7; 100_000]]), "a message of 100000 bytes, where 1 to 65536"),
        ("an empty piece", sends(here.clone(), vec![vec![]]), "a message of 0 bytes"),
        ("no answer", sends(vec![9, 9], vec![]), "it sent something else: the message is malformed"),
        ("silence at once", conduct(|stream| async move { hold(stream).await }), "nothing moved for 500 ms"),
        ("silence half-way", sends(here, pieces(50_000)), "nothing moved for 500 ms"),
        ("an early end", drops, "the other end ended the stream"),
    ];
    for (what, conduct, says) in rows {
        let temp = tempfile::tempdir().unwrap();
        let handle = among(&[(2, conduct)]).await;
        let (fetcher, _) = fetcher(temp.path(), &handle);
        let asked = nowhere(&fetcher, wanted(&content, 2)).await;
        assert!(asked.is_author_linked && asked.members == 1, "{what}: {asked:?}");
        assert!(asked.troubles.len() == 1 && asked.troubles[0].contains(says), "{what}: {asked:?}");
        assert_eq!(files(temp.path()), 0, "{what}");
        assert_eq!(handle.linked().len(), 1, "{what}: the link is none the worse");
        handle.shutdown().await;
    }
}

/// Keeps a stream open without a word.
async fn hold(stream: BlobStream) {
    std::future::pending::<()>().await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_author_that_lies_or_has_lost_it_others_are_asked() {
    let content = b"what they said".to_vec();
    let lie = sends(Reply::Here { bytes: 14 }.encode(), vec![b"what they sold".to_vec()]);
    let absent = sends(Reply::Absent.encode(), vec![]);
    for (author, troubles) in [(lie, 1), (absent.clone(), 0)] {
        let temp = tempfile::tempdir().unwrap();
        let handle = among(&[(2, author), (3, honest(&content))]).await;
        let (fetcher, blobs) = fetcher(temp.path(), &handle);
        fetcher.fetch(wanted(&content, 2)).await.unwrap();
        assert_eq!(read(&blobs, &content), content);
        let asked = nowhere(&fetcher, wanted(b"another thing!", 2)).await;
        assert_eq!((asked.members, asked.is_author_linked), (2, true));
        // The other one gives what it was not asked for.
        assert_eq!(asked.troubles.len(), troubles + 1, "{asked:?}");
        handle.shutdown().await;
    }
    let temp = tempfile::tempdir().unwrap();
    let handle = among(&[(3, absent)]).await;
    let (fetcher, _) = fetcher(temp.path(), &handle);
    let asked = nowhere(&fetcher, wanted(&content, 2)).await;
    assert_eq!((asked.members, asked.is_author_linked, asked.troubles), (1, false, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_member_is_asked_again_and_what_several_want_is_fetched_once() {
    let content = b"in demand".to_vec();
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, given) = (Arc::clone(&count), content.clone());
    let busy = conduct(move |mut stream| {
        let (number, given) = (counted.fetch_add(1, Ordering::Relaxed), given.clone());
        async move {
            if number < 2 {
                drop(stream.write(&Reply::Busy.encode()).await);
            } else {
                drop(stream.write(&Reply::Here { bytes: 9 }.encode()).await);
                drop(stream.write(&given).await);
            }
            drop(stream.finish().await);
        }
    });
    let temp = tempfile::tempdir().unwrap();
    let handle = among(&[(2, busy)]).await;
    let (fetcher, blobs) = fetcher(temp.path(), &handle);
    let fetches = (0..8).map(|_| fetcher.fetch(wanted(&content, 2)));
    for fetched in futures::future::join_all(fetches).await {
        fetched.unwrap();
    }
    assert_eq!((read(&blobs, &content), count.load(Ordering::Relaxed)), (content, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_node_has_written_and_lost_is_kept_for_good_once_it_is_back() {
    let content = b"ours".to_vec();
    let temp = tempfile::tempdir().unwrap();
    let handle = among(&[(2, honest(&content))]).await;
    let (fetcher, blobs) = fetcher(temp.path(), &handle);
    fetcher.fetch(wanted(&content, 1)).await.unwrap();
    assert_eq!(blobs.own().unwrap(), [BlobHash::of(&content)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_sends_byte_by_byte_does_not_keep_the_next_from_being_asked() {
    let content = vec![3; 1024 * 1024];
    let bytes = content.len() as u64;
    let trickle = conduct(move |mut stream| async move {
        let mut message = Reply::Here { bytes }.encode();
        // Each is in time, and all together would take hours.
        while stream.write(&message).await.is_ok() {
            message = vec![3];
            drop(timeout(Duration::from_millis(20), stream.read(1)).await);
        }
    });
    let temp = tempfile::tempdir().unwrap();
    let handle = among(&[(2, trickle), (3, honest(&content))]).await;
    let (mut fetcher, blobs) = fetcher(temp.path(), &handle);
    assert_eq!((fetcher.member_time)(bytes), Duration::from_secs(60 + 16));
    fetcher.member_time = |_| Duration::from_secs(2);
    fetcher.fetch(wanted(&content, 2)).await.unwrap();
    assert!(read(&blobs, &content) == content);
    let asked = nowhere(&fetcher, Wanted { hash: BlobHash::of(b"none"), ..wanted(&content, 2) }).await;
    assert!(asked.troubles[0].contains("it took more than 2 s"), "{asked:?}");
    handle.shutdown().await;
}

#[tokio::test]
async fn one_blob_that_can_not_be_kept_keeps_no_other_from_it() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = Blobs::at(temp.path(), blobs::Config::default());
    let mut carried = BTreeSet::new();
    for number in 0..12_u8 {
        let mut incoming = blobs.upload().unwrap();
        incoming.write(&[number]).unwrap();
        carried.insert(incoming.finish().unwrap().0);
    }
    let half = |hash: &BlobHash| hash.to_string()[..2].to_owned();
    let blocked: BTreeSet<String> = carried.iter().take(6).map(half).collect();
    for half in &blocked {
        // A file is where the folder should be.
        std::fs::write(temp.path().join(half), b"").unwrap();
    }
    let machine = Carrier { carried: carried.clone(), by: BlobUse::Ours, replies: Vec::new() };
    let core = Core::start(machine, MeshId::from_bytes([1; 32]), &Queue::default(), Box::new(drop)).unwrap();
    Attachments { blobs: blobs.clone(), core, fetcher: None }.settle_once().await.unwrap();
    let expected: Vec<BlobHash> = carried.into_iter().filter(|hash| !blocked.contains(&half(hash))).collect();
    assert_eq!(blobs.own().unwrap(), expected);
    assert!(!expected.is_empty());
}

/// A replica of which some blobs are carried by letters.
struct Carrier {
    carried: BTreeSet<BlobHash>,
    /// By whose.
    by: BlobUse,
    replies: Vec<Output>,
}

impl Machine for Carrier {
    fn handle(&mut self, _: Now, input: Input) {
        let Input::Command(id, Command::BlobUses(asked)) = input else { return };
        let carried = |hash| if self.carried.contains(hash) { self.by } else { BlobUse::Nobodys };
        let uses = asked.iter().map(carried).collect();
        self.replies.push(Output::Reply(id, Box::new(Ok(Answer::BlobUses(uses)))));
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        Ok(std::mem::take(&mut self.replies))
    }

    fn next_wakeup(&self) -> Option<Instant> {
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_letter_carries_is_given_and_only_to_some_at_one_time() {
    let temp = tempfile::tempdir().unwrap();
    let blobs = Blobs::at(&temp.path().join("theirs"), blobs::Config::default());
    let mut hashes = Vec::new();
    // More than fits what may be on its way in a stream, so that whoever does not read holds its place.
    let large = vec![5; 12 * 1024 * 1024];
    for content in [&b"carried"[..], b"not carried", &large] {
        let mut incoming = blobs.upload().unwrap();
        incoming.write(content).unwrap();
        hashes.push(incoming.finish().unwrap().0);
    }
    let gone = BlobHash::of(b"carried and gone");
    let carried = [hashes[0], hashes[2], gone].into();
    let machine = Carrier { carried, by: BlobUse::Theirs, replies: Vec::new() };
    let core = Core::start(machine, MeshId::from_bytes([1; 32]), &Queue::default(), Box::new(drop)).unwrap();
    let server = Server::new(blobs, core);
    let asked_by = node(1);
    // Long enough for two streams to be opened meanwhile.
    let stall = Duration::from_secs(8);
    let (handle, mut events) = start(1, stall).await;
    let (other, mut their_events) = start(2, stall).await;
    other.set_members([(handle.local_node_id(), handle.listen_addresses())].into());
    handle.set_members([(other.local_node_id(), Vec::new())].into());
    let their_node = other.local_node_id();
    tokio::spawn(async move {
        while let Some(event) = their_events.recv().await {
            if let Event::BlobAsked { node, stream } = event {
                assert_eq!(node, asked_by);
                tokio::spawn(server.clone().serve(node, stream));
            }
        }
        drop(other);
    });
    timeout(PATIENCE, async {
        while handle.linked().is_empty() {
            events.recv().await;
        }
    })
    .await
    .unwrap();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let ask = async |bytes: &[u8]| {
        let mut stream = handle.blob(their_node).await.unwrap();
        let asking = async {
            stream.write(bytes).await?;
            stream.read(64).await
        };
        let answer = asking.await.map(|answer| Reply::decode(&answer).unwrap());
        (stream, answer)
    };
    let (mut stream, answer) = ask(&Request { hash: hashes[0] }.encode()).await;
    assert_eq!(answer.unwrap(), Reply::Here { bytes: 7 });
    assert_eq!(stream.read(BLOB_PIECE_BYTES_MAX).await.unwrap(), b"carried");
    assert!(stream.read(1).await.is_err(), "nothing follows");
    for hash in [hashes[1], gone, BlobHash::of(b"never heard of")] {
        assert_eq!(ask(&Request { hash }.encode()).await.1.unwrap(), Reply::Absent);
    }
    assert_eq!(ask(b"no request").await.1.unwrap(), Reply::Absent);
    // Two that do not read hold the places of that member.
    let mut held = Vec::new();
    for _ in 0..2 {
        let (stream, answer) = ask(&Request { hash: hashes[2] }.encode()).await;
        assert_eq!(answer.unwrap(), Reply::Here { bytes: large.len() as u64 });
        held.push(stream);
    }
    // Who does not read for long loses its place.
    let again = async {
        while !matches!(ask(&Request { hash: hashes[0] }.encode()).await.1, Ok(Reply::Here { .. })) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("places become free");
}
