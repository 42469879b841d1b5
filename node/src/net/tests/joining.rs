use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_while_no_invite_is_open() {
    let (mut ada, bob) = (Node::start(1, TCP).await, Node::start(2, TCP).await);
    let error = bob.handle.join(ada.id(), ada.addresses()).await.expect_err("no invite is open");
    assert!(matches!(error, JoinError::Refused { .. } | JoinError::Unreachable { .. }), "{error}");
    assert!(ada.events.try_recv().is_none_or(|event| !matches!(event, Event::JoinAsked { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_joins_while_an_invite_is_open_and_is_linked_as_a_member() {
    for (listen, inviter, joiner) in [(TCP, 1, 2), (TCP, 2, 1), (QUIC, 1, 2)] {
        let (mut ada, mut bob) = (Node::start(inviter, listen).await, Node::start(joiner, listen).await);
        ada.handle.set_join_open(true);
        let (mut asked, mut asking) = meet(&mut ada, &bob).await;
        asking.write_message(b"may I?").await.unwrap();
        assert_eq!(asked.read_message().await.unwrap(), b"may I?");
        let large = vec![1; MESSAGE_BYTES_MAX];
        let (written, read) = tokio::join!(asked.write_message(&large), asking.read_message());
        written.unwrap();
        assert_eq!(read.unwrap(), large);
        // Both ends now take each other for members; whoever is first, a link comes up.
        bob.admit(&[&ada]);
        ada.admit_unlocated(&[&bob]);
        drop((asked, asking));
        let (ada_id, bob_id) = (ada.id(), bob.id());
        let (_, from_bob) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
        bob.handle.send(from_bob, b"in".to_vec()).unwrap();
        assert_eq!(ada.frame().await.1, b"in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_may_only_join() {
    let (mut ada, mut bob) = (Node::start(1, TCP).await, Node::start(2, TCP).await);
    assert!(bob.id() < ada.id(), "the lower node opens links");
    ada.handle.set_join_open(true);
    let streams = meet(&mut ada, &bob).await;
    // The lower node takes the higher for a member and asks for a link, which the higher does not offer a stranger.
    bob.admit(&[&ada]);
    let reason = bob
        .until(|event| match event {
            Event::DialFailed { reason, .. } => Some(reason),
            Event::LinkUp { .. } => panic!("a stranger was linked"),
            _ => None,
        })
        .await;
    assert!(reason.contains("does not offer /beadmesh/sync/1"), "{reason}");
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inviter_with_another_key_is_not_talked_to() {
    let (ada, bob, eve) = (Node::start(1, TCP).await, Node::start(2, TCP).await, Node::start(3, TCP).await);
    eve.handle.set_join_open(true);
    let error = bob.handle.join(ada.id(), eve.addresses()).await.expect_err("another node answers there");
    assert!(matches!(&error, JoinError::Unreachable { .. }), "{error}");
    let error = bob.handle.join(ada.id(), vec!["nonsense".to_owned()]).await.expect_err("no address");
    assert_eq!(error, JoinError::Addresses { inviter: ada.id() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_exchange_is_seen_at_the_other_end() {
    let (mut ada, bob) = (Node::start(1, TCP).await, Node::start(2, TCP).await);
    ada.handle.set_join_open(true);
    let (asked, mut asking) = meet(&mut ada, &bob).await;
    drop(asked);
    assert!(asking.read_message().await.is_err());
}

/// Lets `bob` ask `ada` for a join; returns both ends of the stream.
async fn meet(ada: &mut Node, bob: &Node) -> (JoinStream, JoinStream) {
    let (inviter, addresses, joiner) = (ada.id(), ada.addresses(), bob.id());
    let asked = ada.until(|event| match event {
        Event::JoinAsked { node, stream } if node == joiner => Some(stream),
        _ => None,
    });
    let (asked, asking) = tokio::join!(asked, bob.handle.join(inviter, addresses));
    (asked, asking.expect("an invite is open"))
}
