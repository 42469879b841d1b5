use super::*;

/// Opens a stream from one node to another; returns both ends.
async fn opened(from: &Node, to: &mut Node) -> (BlobStream, BlobStream) {
    let (source, target) = (from.id(), to.id());
    let asked = to.until(|event| match event {
        Event::BlobAsked { node, stream } if node == source => Some(stream),
        _ => None,
    });
    let (asking, asked) = tokio::join!(from.handle.blob(target), asked);
    (asking.unwrap(), asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_beside_a_link_and_a_stream_that_is_not_read_delays_no_frame() {
    for listen in [TCP, QUIC] {
        let (mut ada, mut bob, from_ada, from_bob) = linked_pair(listen).await;
        let (mut asking, mut asked) = opened(&ada, &mut bob).await;
        asking.write(b"this one").await.unwrap();
        assert_eq!(asked.read(8).await.unwrap(), b"this one");
        asking.write(b"too long").await.unwrap();
        let error = asked.read(7).await.unwrap_err();
        assert_eq!(error.to_string(), "a message of 8 bytes, where 1 to 7 are allowed");
        let (mut asking, mut asked) = opened(&bob, &mut ada).await;
        let flood = tokio::spawn(async move {
            // Nobody reads it: it comes to stand still.
            while asked.write(&[7; 64 * 1024]).await.is_ok() {}
        });
        tokio::join!(linking::exchange(&mut ada, from_ada), linking::exchange(&mut bob, from_bob));
        assert_eq!(asking.read(64 * 1024).await.unwrap(), [7; 64 * 1024]);
        drop(asking);
        timeout(PATIENCE, flood).await.expect("the end is seen at the other end").unwrap();
        tokio::join!(ada.shutdown(), bob.shutdown());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_linked_members_open_streams_and_not_too_many() {
    let (mut ada, bob, from_ada, _) = linked_pair(TCP).await;
    let eve = Node::start(3, TCP).await;
    let (ada_id, bob_id) = (ada.id(), bob.id());
    assert_eq!(eve.handle.blob(ada_id).await.unwrap_err(), BlobStreamError::NotLinked { node: ada_id });
    assert_eq!(ada.handle.blob(ada_id).await.unwrap_err(), BlobStreamError::NotLinked { node: ada_id });
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(opened(&bob, &mut ada).await);
    }
    let mut more = bob.handle.blob(ada_id).await.unwrap();
    assert!(more.read(1).await.is_err(), "one too many is dropped");
    drop(held.pop());
    held.push(opened(&bob, &mut ada).await);
    // Who is no member any more loses its streams with its connection.
    ada.admit(&[]);
    ada.link_down(from_ada).await;
    for (asking, _) in &mut held {
        assert!(asking.read(1).await.is_err());
    }
    assert_eq!(ada.handle.blob(bob_id).await.unwrap_err(), BlobStreamError::NotLinked { node: bob_id });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_end_is_given_up() {
    let quick = |config: &mut Config| config.timing.blob_stall = Duration::from_millis(200);
    let (mut ada, mut bob) = (Node::start_with(1, TCP, quick).await, Node::start(2, TCP).await);
    ada.admit_unlocated(&[&bob]);
    bob.admit(&[&ada]);
    let (ada_id, bob_id) = (ada.id(), bob.id());
    tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
    let (mut asking, asked) = opened(&ada, &mut bob).await;
    assert!(matches!(asking.read(8).await, Err(TransferError::Stalled(_))));
    drop(asked);
}
