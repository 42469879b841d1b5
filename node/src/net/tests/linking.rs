use super::*;

const FRAMES: u32 = 1_000;

/// Sends numbered frames, waiting for room where the queue is full, and checks the numbers that come back.
pub(super) async fn exchange(node: &mut Node, link: LinkId) {
    let (mut sent, mut received) = (0, 0);
    let mut may_send = true;
    loop {
        while may_send && sent < FRAMES {
            let mut frame = vec![7; 5_000];
            frame[..4].copy_from_slice(&sent.to_be_bytes());
            match node.handle.send(link, frame) {
                Ok(()) => sent += 1,
                Err(SendError::Full { .. }) => may_send = false,
                Err(error) => panic!("{error}"),
            }
        }
        if sent == FRAMES && received == FRAMES {
            return;
        }
        match timeout(PATIENCE, node.events.recv()).await.expect("progress").expect("the network runs") {
            Event::Frame { bytes, .. } => {
                assert_eq!(bytes[..4], u32::to_be_bytes(received));
                received += 1;
            }
            Event::Room { .. } => may_send = true,
            Event::LinkDown { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
}

async fn frames_pass_both_ways_in_order(listen: &str, transport: Transport) {
    let (mut ada, mut bob) = (Node::start(1, listen).await, Node::start(2, listen).await);
    ada.admit_unlocated(&[&bob]);
    bob.admit(&[&ada]);
    let (ada_id, bob_id) = (ada.id(), bob.id());
    let up = |wanted: NodeId| {
        move |event| match event {
            Event::LinkUp { link, node, path, dialer } if node == wanted => Some((link, path, dialer)),
            _ => None,
        }
    };
    let (from_ada, from_bob) = tokio::join!(ada.until(up(bob_id)), bob.until(up(ada_id)));
    assert_eq!((from_ada.1.transport, from_bob.1.transport), (transport, transport));
    assert_eq!((from_ada.2, from_bob.2), (false, true));
    assert_eq!(from_bob.1.address, ada.addresses()[0]);
    tokio::join!(exchange(&mut ada, from_ada.0), exchange(&mut bob, from_bob.0));
    ada.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_pass_both_ways_in_order_by_tcp() {
    frames_pass_both_ways_in_order(TCP, Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_pass_both_ways_in_order_by_quic() {
    frames_pass_both_ways_in_order(QUIC, Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_dials_that_cross_settle_on_one_link() {
    for listen in [TCP, QUIC] {
        let quick = |config: &mut Config| config.timing.ping_interval = Duration::from_millis(100);
        let (mut ada, mut bob) = (Node::start_with(1, listen, quick).await, Node::start_with(2, listen, quick).await);
        ada.admit(&[&bob]);
        bob.admit(&[&ada]);
        let (ada_id, bob_id) = (ada.id(), bob.id());
        let (from_ada, from_bob) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
        // Frames pass for far longer than a second connection takes to come and be judged, on the very same link.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            ada.handle.send(from_ada, vec![1]).unwrap();
            let echo = bob.until(|event| only_frames(&event)).await;
            assert_eq!(echo, from_bob);
            bob.handle.send(from_bob, vec![2]).unwrap();
            let answer = ada.until(|event| only_frames(&event)).await;
            assert_eq!(answer, from_ada);
        }
        tokio::join!(ada.shutdown(), bob.shutdown());
    }
}

fn only_frames(event: &Event) -> Option<LinkId> {
    match event {
        Event::Frame { link, .. } => Some(*link),
        Event::LinkUp { .. } | Event::LinkDown { .. } => panic!("the link flaps: {event:?}"),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_members_link_ends_and_its_dials_are_refused() {
    let (mut ada, mut bob, from_ada, from_bob) = linked_pair(TCP).await;
    ada.admit(&[]);
    assert_eq!(ada.link_down(from_ada).await, DownReason::Removed);
    bob.link_down(from_bob).await;
    // The removed node dials again and is turned away, which it learns as a failed dial, twice to be sure.
    for _ in 0..2 {
        bob.until(|event| match event {
            Event::DialFailed { .. } => Some(()),
            Event::LinkUp { .. } => panic!("a removed member was let in"),
            _ => None,
        })
        .await;
    }
    while let Some(event) = ada.events.try_recv() {
        assert!(!matches!(event, Event::LinkUp { .. }), "{event:?}");
    }
    // Admitted again, the next dial succeeds.
    ada.admit_unlocated(&[&bob]);
    bob.link_up(ada.id()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_removed_with_its_link_closed_still_gets_what_was_queued_and_comes_in_no_more() {
    for listen in [TCP, QUIC] {
        let (mut ada, mut bob, from_ada, from_bob) = linked_pair(listen).await;
        for number in 0..50_u8 {
            ada.handle.send(from_ada, vec![number; 20_000]).unwrap();
        }
        ada.handle.close(from_ada, "no longer a member");
        ada.admit(&[]);
        for number in 0..50_u8 {
            assert_eq!(bob.frame().await, (from_bob, vec![number; 20_000]));
        }
        assert_eq!(bob.link_down(from_bob).await, DownReason::ClosedByPeer);
        bob.until(|event| match event {
            Event::DialFailed { .. } => Some(()),
            Event::LinkUp { .. } => panic!("a removed member was let in"),
            _ => None,
        })
        .await;
        while let Some(event) = ada.events.try_recv() {
            assert!(!matches!(event, Event::LinkUp { .. }), "{event:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_back_on_another_port_is_linked_again() {
    let (mut ada, bob, from_ada, _) = linked_pair(TCP).await;
    let (bob_id, old) = (bob.id(), bob.addresses());
    bob.shutdown().await;
    ada.link_down(from_ada).await;
    let mut bob = Node::start(2, TCP).await;
    assert_eq!(bob.id(), bob_id);
    assert_ne!(bob.addresses(), old);
    bob.admit(&[&ada]);
    let ada_id = ada.id();
    let (again, other) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
    ada.handle.send(again, b"welcome back".to_vec()).unwrap();
    assert_eq!(bob.frame().await, (other, b"welcome back".to_vec()));
}

/// A peer whose process is stopped: its sockets stay open and nothing answers on them.
async fn frozen_peer(ada: &mut Node, listen: &'static str) -> (NodeId, LinkId, tokio::runtime::Runtime) {
    let (ada_id, addresses) = (ada.id(), ada.addresses());
    let freeze = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut bob = runtime.block_on(Node::start(2, listen));
        bob.handle.set_members([(ada_id, addresses)].into());
        runtime.block_on(bob.link_up(ada_id));
        (runtime, bob)
    });
    let bob_id = peer::node_id(&peer::keypair(&[2; 32].into()).public().to_peer_id()).unwrap();
    ada.handle.set_members([(bob_id, Vec::new())].into());
    let link = ada.link_up(bob_id).await;
    let (runtime, bob) = freeze.await.unwrap();
    // Dropping its handle is noticed by nobody, because its driver no longer runs.
    drop(bob);
    (bob_id, link, runtime)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_no_longer_answers_loses_its_link() {
    let silenced = async |listen| {
        let quick = |config: &mut Config| {
            config.timing.ping_interval = Duration::from_millis(200);
            config.timing.ping_timeout = Duration::from_millis(500);
        };
        let mut ada = Node::start_with(1, listen, quick).await;
        let (_, link, runtime) = frozen_peer(&mut ada, listen).await;
        assert_eq!(ada.link_down(link).await, DownReason::Silent);
        runtime.shutdown_background();
    };
    // At one time: libp2p takes 10 s to see that its second ping finds no answer.
    tokio::join!(silenced(TCP), silenced(QUIC));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_back_from_a_crash_is_linked_before_the_old_link_times_out() {
    for listen in [TCP, QUIC] {
        // The lower node judges; the pings alone would take half a minute.
        for (keeper, is_lower) in [(1, false), (5, true)] {
            let quick = |config: &mut Config| config.timing.spare_grace = Duration::from_millis(300);
            let mut ada = Node::start_with(keeper, listen, quick).await;
            let (bob_id, link, runtime) = frozen_peer(&mut ada, listen).await;
            assert_eq!(ada.id() < bob_id, is_lower);
            let mut bob = Node::start(2, listen).await;
            bob.admit(&[&ada]);
            let ada_id = ada.id();
            let (reason, from_bob) = tokio::join!(ada.link_down(link), bob.link_up(ada_id));
            assert_eq!(reason, if is_lower { DownReason::Silent } else { DownReason::Replaced });
            let again = ada.link_up(bob_id).await;
            bob.handle.send(from_bob, b"back".to_vec()).unwrap();
            assert_eq!(ada.frame().await, (again, b"back".to_vec()));
            runtime.shutdown_background();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_queued_arrives_before_a_link_closes() {
    for listen in [TCP, QUIC] {
        let (mut ada, mut bob, from_ada, from_bob) = linked_pair(listen).await;
        for number in 0..50_u8 {
            ada.handle.send(from_ada, vec![number; 20_000]).unwrap();
        }
        ada.handle.close(from_ada, "enough");
        for number in 0..50_u8 {
            assert_eq!(bob.frame().await.1, vec![number; 20_000]);
        }
        assert_eq!(bob.link_down(from_bob).await, DownReason::ClosedByPeer);
        assert_eq!(ada.link_down(from_ada).await, DownReason::ClosedHere("enough".to_owned()));
        assert_eq!(ada.handle.send(from_ada, vec![1]), Err(SendError::Gone { link: from_ada }));
        // The member is dialled again by itself.
        bob.link_up(ada.id()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so_and_tells_of_room() {
    let small = |config: &mut Config| {
        config.queue = Queue {
            out_frames: 4,
            out_bytes: 4 * limits::FRAME_BYTES_MAX,
            in_bytes: limits::FRAME_BYTES_MAX,
            link_in_bytes: limits::FRAME_BYTES_MAX,
            events: 4,
            ..Queue::default()
        };
    };
    let (mut ada, mut bob) = (Node::start_with(1, TCP, small).await, Node::start_with(2, TCP, small).await);
    ada.admit_unlocated(&[&bob]);
    bob.admit(&[&ada]);
    let (ada_id, bob_id) = (ada.id(), bob.id());
    let (from_ada, _) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
    // Nobody receives at the other end, so the sender is refused long before memory is.
    let mut sent = 0;
    let full = loop {
        match ada.handle.send(from_ada, vec![9; limits::FRAME_BYTES_MAX]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000, "nothing holds the sender back");
    };
    let SendError::Full { link, frame } = full else { panic!("{full}") };
    assert_eq!((link, frame.len()), (from_ada, limits::FRAME_BYTES_MAX));
    for _ in 0..sent {
        assert_eq!(bob.frame().await.1.len(), limits::FRAME_BYTES_MAX);
    }
    let room = ada.until(|event| matches!(event, Event::Room { .. }).then_some(())).await;
    assert_eq!(room, ());
    assert_eq!(ada.handle.send(from_ada, vec![1]), Ok(()));
    assert_eq!(bob.frame().await.1, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_out_of_bounds_is_not_taken() {
    let (ada, _bob, from_ada, _) = linked_pair(TCP).await;
    let large = limits::FRAME_BYTES_MAX + 1;
    assert_eq!(ada.handle.send(from_ada, Vec::new()), Err(SendError::Size { bytes: 0 }));
    assert_eq!(ada.handle.send(from_ada, vec![0; large]), Err(SendError::Size { bytes: large }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_an_oversized_frame_loses_the_link_and_nothing_else() {
    let (mut ada, mut bob, from_ada, from_bob) = linked_pair(TCP).await;
    // Past the check that every honest sender passes.
    let link = bob.handle.shared.links().get(&from_bob).cloned().unwrap();
    link.outbox.push(vec![0; limits::FRAME_BYTES_MAX + 1]).unwrap();
    let reason = ada.link_down(from_ada).await;
    assert_eq!(reason.to_string(), "the peer broke the protocol: a frame of 1048577 bytes where 1048576 are allowed");
    bob.link_down(from_bob).await;
    let (ada_id, bob_id) = (ada.id(), bob.id());
    let (again, _) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
    ada.handle.send(again, vec![1]).unwrap();
    assert_eq!(bob.frame().await.1, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_hands_over_what_is_queued_and_ends_the_events() {
    for listen in [TCP, QUIC] {
        let (mut ada, mut bob, from_ada, from_bob) = linked_pair(listen).await;
        ada.handle.send(from_ada, b"last words".to_vec()).unwrap();
        timeout(PATIENCE, ada.handle.shutdown()).await.unwrap();
        assert_eq!(bob.frame().await, (from_bob, b"last words".to_vec()));
        bob.link_down(from_bob).await;
        assert_eq!(ada.link_down(from_ada).await, DownReason::Shutdown);
        assert!(timeout(PATIENCE, ada.events.recv()).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explicit_address_that_is_taken_is_an_error_that_names_it() {
    let ada = Node::start(1, TCP).await;
    let taken = ada.addresses()[0].clone();
    let mut config = Config::new([2; 32]);
    config.mdns = false;
    config.listen = Listen::Explicit(vec![taken.clone()]);
    let error = start(config).expect_err("the port is taken");
    assert_eq!(error.to_string(), format!("can not listen on {taken}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_default_port_is_worked_around() {
    let ada = Node::start(1, "/ip4/0.0.0.0/tcp/0").await;
    let port: u16 = ada.addresses()[0].rsplit('/').next().unwrap().parse().unwrap();
    let bob = Node::start_with(2, TCP, |config| config.listen = Listen::Default { saved_port: Some(port) }).await;
    assert!(bob.addresses().iter().all(|address| !address.contains(&format!("/tcp/{port}"))));
}
