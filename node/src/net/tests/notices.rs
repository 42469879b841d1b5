use futures::StreamExt;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};

use super::*;

const TOPIC: &str = "the topic of a mesh";

/// Puts a node on the topic of the tests.
fn tune_in(node: &Node) {
    node.handle.set_topic(TOPIC.to_owned());
}

/// Two linked members on one topic, the first of which has heard the second.
async fn talking_pair(listen: &str, change: impl FnOnce(&mut Config)) -> (Node, Node, LinkId, LinkId) {
    let (mut ada, mut bob) = (Node::start(1, listen).await, Node::start_with(2, listen, change).await);
    tune_in(&ada);
    tune_in(&bob);
    ada.admit_unlocated(&[&bob]);
    bob.admit(&[&ada]);
    let (ada_id, bob_id) = (ada.id(), bob.id());
    let (from_ada, from_bob) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
    reach(&bob, &mut ada, "first words").await;
    (ada, bob, from_ada, from_bob)
}

/// Publishes a word of one node again and again, numbered, until the other hears one; nothing tells when peers are ready.
async fn reach(speaker: &Node, hearer: &mut Node, word: &str) {
    let from = speaker.id();
    let mut heard = std::pin::pin!(hearer.until(|event| match event {
        Event::Notice { from: by, bytes, judge } if by == from && bytes.starts_with(word.as_bytes()) => {
            judge.answer(Verdict::PassOn);
            Some(())
        }
        _ => None,
    }));
    for number in 0.. {
        speaker.handle.publish(format!("{word} {number}").into_bytes()).unwrap();
        if timeout(Duration::from_millis(100), &mut heard).await.is_ok() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_exchange_notices_both_ways() {
    for listen in [TCP, QUIC] {
        let (ada, mut bob, ..) = talking_pair(listen, |_| {}).await;
        reach(&ada, &mut bob, "and back").await;
        tokio::join!(ada.shutdown(), bob.shutdown());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_goes_on_to_members_that_are_not_linked_to_its_sender_once_it_is_judged() {
    let (mut ada, mut bob, mut eve) = (Node::start(1, TCP).await, Node::start(2, TCP).await, Node::start(3, TCP).await);
    [&ada, &bob, &eve].into_iter().for_each(tune_in);
    // All are members everywhere, but only the one in the middle is known where to find.
    bob.admit_unlocated(&[&ada, &eve]);
    for outer in [&ada, &eve] {
        let other = if outer.id() == ada.id() { eve.id() } else { ada.id() };
        outer.handle.set_members([(bob.id(), bob.addresses()), (other, Vec::new())].into());
    }
    let (ada_id, bob_id) = (ada.id(), bob.id());
    tokio::join!(ada.link_up(bob_id), eve.link_up(bob_id));
    reach(&bob, &mut ada, "to ada").await;
    reach(&bob, &mut eve, "to eve").await;
    let passing = async {
        loop {
            match bob.events.recv().await {
                Some(Event::Notice { bytes, judge, .. }) => {
                    let verdict = if bytes.starts_with(b"secret") { Verdict::Drop } else { Verdict::PassOn };
                    judge.answer(verdict);
                }
                Some(_) => {}
                None => panic!("the network runs"),
            }
        }
    };
    let heard = async {
        for number in 0.. {
            ada.handle.publish(format!("secret {number}").into_bytes()).unwrap();
            ada.handle.publish(format!("news {number}").into_bytes()).unwrap();
            let heard = eve.until(|event| match event {
                Event::Notice { from, bytes, .. } if from == ada_id => Some(bytes),
                _ => None,
            });
            if let Ok(bytes) = timeout(Duration::from_millis(200), heard).await {
                return bytes;
            }
        }
        unreachable!("numbers do not end");
    };
    let bytes = tokio::select! {
        bytes = heard => bytes,
        never = passing => never,
    };
    assert!(bytes.starts_with(b"news"), "{}", String::from_utf8_lossy(&bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joined_hears_notices_on_the_connection_it_joined_by() {
    for (inviter, joiner) in [(1, 2), (2, 1)] {
        let (mut ada, mut bob) = (Node::start(inviter, TCP).await, Node::start(joiner, TCP).await);
        tune_in(&ada);
        bob.handle.set_topic("the topic of a mesh of one".to_owned());
        ada.handle.set_join_open(true);
        let (inviter, addresses, asking) = (ada.id(), ada.addresses(), bob.id());
        let asked = ada.until(|event| match event {
            Event::JoinAsked { node, stream } if node == asking => Some(stream),
            _ => None,
        });
        let (asked, stream) = tokio::join!(asked, bob.handle.join(inviter, addresses));
        // The inviter takes the joiner for a member first, and speaks to it as soon as it may.
        ada.admit_unlocated(&[&bob]);
        ada.handle.publish(b"too early".to_vec()).unwrap();
        if ada.id() < bob.id() {
            // It also asks for a link; refused, it would have been refused a stream for notices, too.
            let refused = |event| matches!(event, Event::DialFailed { .. }).then_some(());
            ada.until(refused).await;
        }
        tune_in(&bob);
        bob.admit_unlocated(&[&ada]);
        drop((asked, stream.unwrap()));
        let (ada_id, bob_id) = (ada.id(), bob.id());
        tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
        reach(&ada, &mut bob, "welcome").await;
        reach(&bob, &mut ada, "hello").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_floods_delays_no_link_and_fills_no_memory() {
    const NOTICES: u32 = 10_000;
    let roomy = |config: &mut Config| config.queue.notices_out = usize::try_from(NOTICES).unwrap() * 2;
    let (mut ada, mut bob, from_ada, from_bob) = talking_pair(TCP, roomy).await;
    let before = ada.handle.notice_counts();
    for number in 0..NOTICES {
        let mut notice = vec![9; 300];
        notice[..4].copy_from_slice(&number.to_be_bytes());
        bob.handle.publish(notice).unwrap();
    }
    // Frames pass both ways in order meanwhile, and all of them; nobody judges what is heard.
    tokio::join!(linking::exchange(&mut ada, from_ada), linking::exchange(&mut bob, from_bob));
    let counts = ada.handle.notice_counts();
    let refused = counts.unheard - before.unheard;
    let waiting = std::iter::from_fn(|| ada.events.try_recv());
    let waiting = waiting.filter(|event| matches!(event, Event::Notice { .. })).count();
    assert!(waiting <= Queue::default().notices_in, "{waiting} notices wait");
    assert!(refused > 0, "all of a flood was listened to");
    assert_eq!(bob.handle.notice_counts().unsent, 0);
    // The link is none the worse.
    ada.handle.send(from_ada, vec![1]).unwrap();
    assert_eq!(bob.frame().await, (from_bob, vec![1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_is_too_long_is_refused_and_what_follows_it_arrives() {
    for listen in [TCP, QUIC] {
        let (mut ada, mut bob, from_ada, from_bob) = talking_pair(listen, |_| {}).await;
        let long = vec![7; 65_400];
        let size = PublishError::Size { bytes: long.len() };
        assert_eq!(bob.handle.publish(long.clone()), Err(size));
        // Past the check that every honest sender passes.
        bob.handle.publishing.try_send(long).unwrap();
        reach(&bob, &mut ada, "still here").await;
        assert_eq!(ada.handle.notice_counts().violations, 1);
        ada.handle.send(from_ada, b"and linked".to_vec()).unwrap();
        assert_eq!(bob.frame().await, (from_bob, b"and linked".to_vec()));
        bob.handle.send(from_bob, vec![1]).unwrap();
        assert_eq!(ada.frame().await, (from_ada, vec![1]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_that_find_no_place_are_dropped_and_counted() {
    let small = |config: &mut Config| config.queue.notices_out = 1;
    let ada = Node::start_with(1, TCP, small).await;
    let (mut refused, mut number) = (0, 0_u64);
    while refused < 10 {
        number += 1;
        refused += u64::from(ada.handle.publish(number.to_be_bytes().to_vec()).is_err());
    }
    assert_eq!(ada.handle.notice_counts().unsent, refused);
    assert_eq!(ada.handle.publish(Vec::new()), Err(PublishError::Size { bytes: 0 }));
}

/// What a stranger brings along: gossip as anybody has it.
#[derive(NetworkBehaviour)]
struct Foreign {
    gossip: gossipsub::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// Somebody who has guessed the topic.
fn foreign(key: u8) -> Swarm<Foreign> {
    let key = libp2p::identity::Keypair::ed25519_from_bytes([key; 32]).unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Foreign {
            gossip: gossipsub::Behaviour::new(MessageAuthenticity::Signed(key.clone()), gossipsub::Config::default())
                .unwrap(),
            identify: identify::Behaviour::new(identify::Config::new("/foreign/1".to_owned(), key.public())),
            // Who answers no pings is let go.
            ping: ping::Behaviour::default(),
        })
        .unwrap()
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(PATIENCE))
        .build();
    swarm.behaviour_mut().gossip.subscribe(&IdentTopic::new(TOPIC)).unwrap();
    swarm
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_came_to_join_is_told_neither_protocol_nor_topic_nor_a_notice() {
    let (ada, mut bob, ..) = talking_pair(TCP, |_| {}).await;
    ada.handle.set_join_open(true);
    let mut eve = foreign(7);
    let address: Multiaddr = ada.addresses()[0].parse().unwrap();
    let dial = DialOpts::peer_id(peer::peer_id(ada.id())).addresses(vec![address]).build();
    eve.dial(dial).unwrap();
    let mut identified = false;
    // To the end of its visit, which is given ten seconds: it asks for the protocol and the topic all the while.
    let visit = async {
        loop {
            match eve.select_next_some().await {
                SwarmEvent::Behaviour(ForeignEvent::Gossip(gossipsub::Event::GossipsubNotSupported { .. })) => {}
                SwarmEvent::Behaviour(ForeignEvent::Gossip(event)) => panic!("a stranger is told {event:?}"),
                SwarmEvent::Behaviour(ForeignEvent::Identify(identify::Event::Received { info, .. })) => {
                    let is_gossip =
                        |name: &str| ["meshsub", "floodsub", "sync", "blob"].iter().any(|it| name.contains(it));
                    assert!(info.protocols.iter().all(|name| !is_gossip(name.as_ref())), "{:?}", info.protocols);
                    identified = true;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                SwarmEvent::ConnectionClosed { .. } => return,
                _ => {}
            }
        }
    };
    // What members say meanwhile comes to members alone.
    let (visit, ()) = tokio::join!(timeout(PATIENCE, visit), reach(&ada, &mut bob, "among us"));
    visit.expect("a visit has an end");
    assert!(identified);
    assert!(eve.behaviour().gossip.all_peers().all(|(_, topics)| topics.is_empty()));
}
