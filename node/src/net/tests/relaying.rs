//! Relays on loopback: one that always relays, since nothing on loopback is public.

use super::*;

/// Starts a relay and a member that keeps a reservation there, and that nobody else knows the way to.
async fn relayed_pair() -> (Node, Node) {
    let always = |config: &mut Config| config.relaying = Relaying::Always;
    let (mut vps, mut ada) = (Node::start_with(1, TCP, always).await, Node::start(2, TCP).await);
    vps.admit_unlocated(&[&ada]);
    ada.admit(&[&vps]);
    let (vps_id, ada_id) = (vps.id(), ada.id());
    tokio::join!(vps.link_up(ada_id), ada.link_up(vps_id));
    ada.until(|event| match event {
        Event::AddressesChanged(addresses) => addresses.iter().any(|address| is_circuit(address)).then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(ada.handle.footing().relays, [vps_id].into());
    assert!(vps.handle.footing().is_relay);
    (vps, ada)
}

fn is_circuit(address: &str) -> bool {
    address.contains("/p2p-circuit")
}

/// Returns the ways to a node that lead through relays.
fn circuits(node: &Node) -> Vec<String> {
    node.addresses().into_iter().filter(|address| is_circuit(address)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_reached_through_a_relay_and_then_without_it() {
    let (vps, mut ada) = relayed_pair().await;
    let mut bob = Node::start(3, TCP).await;
    let all = |nodes: &[(&Node, Vec<String>)]| nodes.iter().map(|(node, at)| (node.id(), at.clone())).collect();
    vps.handle.set_members(all(&[(&ada, vec![]), (&bob, vec![])]));
    ada.handle.set_members(all(&[(&vps, vps.addresses()), (&bob, vec![])]));
    bob.handle.set_members(all(&[(&vps, vps.addresses()), (&ada, circuits(&ada))]));
    let (ada_id, bob_id) = (ada.id(), bob.id());
    let up = |wanted: NodeId| {
        move |event| match event {
            Event::LinkUp { node, path, .. } if node == wanted => Some(path),
            _ => None,
        }
    };
    let (from_ada, from_bob) = tokio::join!(ada.until(up(bob_id)), bob.until(up(ada_id)));
    assert_eq!((from_ada.relay, from_bob.relay), (Some(vps.id()), Some(vps.id())), "{from_ada:?} {from_bob:?}");
    // Nothing is between them but the loopback, so that they meet.
    let (from_ada, from_bob) = tokio::join!(ada.until(up(bob_id)), bob.until(up(ada_id)));
    assert!(!from_ada.is_relayed() && !from_bob.is_relayed(), "{from_ada:?} {from_bob:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_a_circuit_only_while_an_invite_is_open() {
    let (vps, mut ada) = relayed_pair().await;
    let stranger = Node::start(3, TCP).await;
    let refused = stranger.handle.join(ada.id(), circuits(&ada)).await.unwrap_err();
    assert!(matches!(refused, JoinError::Unreachable { .. }), "{refused}");
    assert_eq!(vps.handle.footing().circuits, 0);
    ada.handle.set_join_open(true);
    let began = Instant::now();
    // The relay hears of the invite in a moment.
    let mut stream = loop {
        match stranger.handle.join(ada.id(), circuits(&ada)).await {
            Ok(stream) => break stream,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    };
    stream.write_message(b"let me in").await.unwrap();
    let asked = ada.until(|event| match event {
        Event::JoinAsked { node, stream } => Some((node, stream)),
        _ => None,
    });
    let (node, mut asked) = asked.await;
    assert_eq!((node, asked.read_message().await.unwrap()), (stranger.id(), b"let me in".to_vec()));
    drop((stream, asked));
    ada.handle.set_join_open(false);
    let late = Node::start(4, TCP).await;
    while late.handle.join(ada.id(), circuits(&ada)).await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "strangers are still relayed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_relayed_by_who_does_not_relay() {
    for relaying in [Relaying::Never, Relaying::Auto] {
        let change = |config: &mut Config| config.relaying = relaying;
        let (mut vps, mut ada) = (Node::start_with(1, TCP, change).await, Node::start(2, TCP).await);
        vps.admit_unlocated(&[&ada]);
        ada.admit(&[&vps]);
        let (vps_id, ada_id) = (vps.id(), ada.id());
        tokio::join!(vps.link_up(ada_id), ada.link_up(vps_id));
        assert!(!vps.handle.footing().is_relay, "{relaying:?}");
        let circuit = format!("{}/p2p/{}/p2p-circuit", vps.addresses()[0], crate::net::peer::peer_id(vps_id));
        let bob = Node::start(3, TCP).await;
        let refused = bob.handle.join(ada_id, vec![circuit]).await.unwrap_err();
        assert!(matches!(refused, JoinError::Unreachable { .. }), "{refused}");
        assert!(ada.handle.footing().relays.is_empty());
    }
}
