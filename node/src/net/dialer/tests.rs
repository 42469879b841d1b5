use super::*;

fn connection(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

fn peer(now: Instant) -> Peer {
    Peer::new(["/ip4/10.0.0.1/tcp/7117".parse().unwrap()].into(), now)
}

fn linked(now: Instant) -> Peer {
    let mut peer = peer(now);
    peer.on_connected(connection(1), now);
    peer.link = Some(Current { id: LinkId::new(1), connection: connection(1), since: now });
    peer
}

#[test]
fn waits_grow_from_the_least_to_the_most_and_start_again() {
    let (now, timing, mut jitter) = (Instant::now(), Timing::default(), Jitter::seeded(7));
    let mut peer = peer(now);
    assert_eq!(peer.next_step(true, now, &timing), Step::Dial);
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
    assert_eq!(peer.next_step(true, now, &timing), Step::Dial);
}

#[test]
fn the_lower_node_opens_the_link_and_the_higher_waits_for_it() {
    let (now, timing) = (Instant::now(), Timing::default());
    let mut peer = peer(now);
    peer.on_connected(connection(1), now);
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
    peer.on_connected(connection(2), later);
    assert_eq!(peer.next_step(true, later, &timing), Step::Wait(later + timing.spare_grace));
    assert_eq!(peer.next_step(false, later, &timing), Step::Rest);
    peer.connections.get_mut(&connection(1)).unwrap().answered = Some(later + Duration::from_millis(1));
    assert_eq!(peer.next_step(true, later, &timing), Step::Close(connection(2)));
}

#[test]
fn a_silent_connection_gives_way_to_the_one_the_peer_came_back_on() {
    let (now, timing) = (Instant::now(), Timing::default());
    let mut peer = linked(now);
    peer.on_connected(connection(2), now);
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
