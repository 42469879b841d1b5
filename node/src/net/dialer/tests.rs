use super::*;

fn connection(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

fn peer(now: Instant) -> Peer {
    Peer::new(["/ip4/10.0.0.1/tcp/7117".parse().unwrap()].into(), now)
}

fn linked(now: Instant) -> Peer {
    let mut peer = peer(now);
    peer.on_connected(connection(1), Route::Direct, now);
    peer.link = Some(Current { id: LinkId::new(1), connection: connection(1), since: now });
    peer
}

#[test]
fn waits_grow_from_the_least_to_the_most_and_start_again() {
    let (now, timing, mut jitter) = (Instant::now(), Timing::default(), Jitter::seeded(7));
    let mut peer = peer(now);
    assert_eq!(peer.next_step(true, now, &timing), Step::Dial(Route::Direct));
    let mut waits = Vec::new();
    for _ in 0..40 {
        peer.on_failed(now, &timing, &mut jitter);
        waits.push(peer.not_before - now);
        assert_eq!(peer.next_step(true, now, &timing), Step::Wait(peer.not_before));
    }
    assert!(waits[0] >= timing.retry_min / 2 && waits[0] <= timing.retry_min);
    assert!(waits.iter().all(|wait| *wait <= timing.retry_max));
    assert!(waits[39] >= timing.retry_max / 2);
    peer.hurry(now);
    assert_eq!(peer.next_step(true, now, &timing), Step::Dial(Route::Direct));
}

#[test]
fn the_lower_node_opens_the_link_and_the_higher_waits_for_it() {
    let (now, timing) = (Instant::now(), Timing::default());
    let mut peer = peer(now);
    peer.on_connected(connection(1), Route::Direct, now);
    assert_eq!(peer.next_step(true, now, &timing), Step::Open(connection(1)));
    let deadline = now + timing.link_wait;
    assert_eq!(peer.next_step(false, now, &timing), Step::Wait(deadline));
    assert_eq!(peer.next_step(false, deadline, &timing), Step::Close(connection(1)));
}

#[test]
fn of_two_crossed_dials_the_one_with_the_living_link_stays() {
    let (now, timing) = (Instant::now(), Timing::default());
    let mut peer = linked(now);
    let later = now + Duration::from_millis(1);
    peer.on_connected(connection(2), Route::Direct, later);
    assert_eq!(peer.next_step(true, later, &timing), Step::Wait(later + timing.spare_grace));
    assert_eq!(peer.next_step(false, later, &timing), Step::Rest);
    peer.connections.get_mut(&connection(1)).unwrap().answered = Some(later + Duration::from_millis(1));
    assert_eq!(peer.next_step(true, later, &timing), Step::Close(connection(2)));
}

#[test]
fn a_silent_connection_gives_way_to_the_one_the_peer_came_back_on() {
    let (now, timing) = (Instant::now(), Timing::default());
    let mut peer = linked(now);
    peer.on_connected(connection(2), Route::Direct, now);
    assert_eq!(peer.next_step(true, now + timing.spare_grace, &timing), Step::Close(connection(1)));
}

#[test]
fn only_a_link_that_lived_makes_the_next_wait_short() {
    let (now, timing, mut jitter) = (Instant::now(), Timing::default(), Jitter::seeded(7));
    let mut peer = peer(now);
    for _ in 0..20 {
        peer.on_failed(now, &timing, &mut jitter);
    }
    let link = Current { id: LinkId::new(1), connection: connection(1), since: now };
    peer.on_link_ended(link, now + timing.settle_time / 2, &timing, &mut jitter);
    assert!(peer.not_before > now + timing.retry_max / 2);
    let end = now + timing.settle_time;
    peer.on_link_ended(link, end, &timing, &mut jitter);
    assert!(peer.not_before <= end + timing.retry_min);
}

#[test]
fn the_schedule_hands_out_what_is_due_in_order() {
    let now = Instant::now();
    let (first, second) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
    let mut schedule = Schedule::default();
    schedule.set(first, now + Duration::from_secs(9));
    schedule.set(second, now);
    schedule.set(first, now + Duration::from_secs(1));
    assert_eq!(schedule.next(), Some(now));
    assert_eq!(schedule.pop_due(now), Some(second));
    assert_eq!(schedule.pop_due(now), None);
    assert_eq!(schedule.pop_due(now + Duration::from_secs(1)), Some(first));
    assert_eq!(schedule.next(), None);
}

fn with_circuit(now: Instant) -> Peer {
    let relay = libp2p::PeerId::random();
    let circuit = format!("/ip4/203.0.113.7/tcp/7117/p2p/{relay}/p2p-circuit").parse().unwrap();
    Peer::new(["/ip4/10.0.0.1/tcp/7117".parse().unwrap(), circuit].into(), now)
}

fn relayed(now: Instant) -> Peer {
    let mut peer = with_circuit(now);
    peer.on_connected(connection(1), Route::Relayed, now);
    peer.link = Some(Current { id: LinkId::new(1), connection: connection(1), since: now });
    peer
}

#[test]
fn relays_are_dialled_a_little_later_or_at_once_where_the_direct_way_failed() {
    let (now, timing, mut jitter) = (Instant::now(), Timing::default(), Jitter::seeded(7));
    let mut peer = with_circuit(now);
    assert_eq!(peer.next_step(true, now, &timing), Step::Dial(Route::Direct));
    peer.on_dialled(Route::Direct, connection(1), now);
    let due = now + timing.head_start;
    assert_eq!(peer.next_step(true, now, &timing), Step::Wait(due));
    assert_eq!(peer.next_step(true, due, &timing), Step::Dial(Route::Relayed));
    assert!(!peer.on_dial_failed(connection(1)), "the other route is still to be tried");
    assert_eq!(peer.next_step(true, now, &timing), Step::Dial(Route::Relayed));
    peer.on_dialled(Route::Relayed, connection(2), now);
    assert_eq!(peer.next_step(true, due, &timing), Step::Rest);
    assert!(peer.on_dial_failed(connection(2)), "all was tried");
    assert!(!peer.on_dial_failed(connection(2)), "what has failed fails once");
    peer.on_failed(now, &timing, &mut jitter);
    assert_eq!(peer.next_step(true, now, &timing), Step::Wait(peer.not_before));
    assert_eq!(peer.next_step(true, peer.not_before, &timing), Step::Dial(Route::Direct));
}

#[test]
fn a_direct_connection_takes_the_link_of_a_relayed_one_over_and_not_the_other_way_round() {
    let (now, timing) = (Instant::now(), Timing::default());
    let mut peer = relayed(now);
    peer.on_connected(connection(2), Route::Direct, now);
    assert_eq!(peer.next_step(true, now, &timing), Step::Open(connection(2)));
    peer.link = Some(Current { id: LinkId::new(2), connection: connection(2), since: now });
    assert!(!peer.is_relayed());
    let later = now + Duration::from_secs(1);
    peer.connections.get_mut(&connection(2)).unwrap().answered = Some(later);
    assert_eq!(peer.next_step(true, later, &timing), Step::Close(connection(1)));
    let mut unlinked = with_circuit(now);
    unlinked.on_connected(connection(1), Route::Direct, now);
    unlinked.on_connected(connection(2), Route::Relayed, now);
    assert_eq!(unlinked.next_step(true, now, &timing), Step::Open(connection(1)), "of two, the direct one");
}

#[test]
fn a_better_way_than_a_relay_is_looked_for_ever_more_rarely() {
    let (mut now, timing) = (Instant::now(), Timing::default());
    let mut peer = relayed(now);
    let (mut routes, mut waits) = (Vec::new(), Vec::new());
    for number in 2..14 {
        let Step::Wait(at) = peer.next_step(true, now, &timing) else { panic!("dialled at once") };
        waits.push(at - now);
        now = at;
        let Step::Dial(route) = peer.next_step(true, now, &timing) else { panic!("not dialled") };
        routes.push(route);
        peer.on_dialled(route, connection(number), now);
        assert_eq!(peer.next_step(true, now, &timing), Step::Rest, "one at a time");
        assert!(!peer.on_dial_failed(connection(number)), "the link stands");
    }
    assert_eq!(routes[..4], [Route::Relayed, Route::Direct, Route::Relayed, Route::Direct]);
    assert_eq!((waits[0], waits[11]), (BETTER_MIN, BETTER_MAX));
    let other = relayed(now);
    assert_eq!(
        other.next_step(false, now + BETTER_MIN, &timing),
        Step::Dial(Route::Direct),
        "the higher dials no relay"
    );
}

#[test]
fn after_a_move_every_route_is_dialled_and_a_new_connection_replaces_all_others() {
    let (now, timing) = (Instant::now(), Timing::default());
    let mut peer = linked(now);
    peer.dialling.insert(Route::Direct, connection(2));
    assert_eq!(peer.next_step(false, now, &timing), Step::Rest);
    peer.on_moved(now);
    assert_eq!(peer.next_step(false, now, &timing), Step::Dial(Route::Direct), "whatever was under way");
    peer.on_dialled(Route::Direct, connection(3), now);
    assert_eq!(peer.on_connected(connection(3), Route::Direct, now), Some(vec![connection(1)]));
    assert_eq!(peer.on_connected(connection(4), Route::Direct, now), None);
}
