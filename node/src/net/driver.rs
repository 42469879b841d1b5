//! The one task that drives the swarm: it obeys the node's wishes, dials, and hands streams to links, lease
//! messages, joins and blobs.

mod blobs;
mod joins;
mod leases;
mod notices;
mod peers;
mod relays;
mod swarm;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use futures::StreamExt;
use libp2p::metrics::Registry;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, Swarm};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tracing::{Instrument, debug, info, info_span, warn};

use super::address::Path;
use super::behaviour::{self, Behaviour};
use super::dialer::{Jitter, Peer, Route, Schedule};
use super::event::{self, Event, Events};
use super::footing::Hearsay;
use super::handle::{BlobRequest, Ends, Handle, Request, Shared, Wishes};
use super::lease::Speech;
use super::link::{DownReason, Link};
use super::notice::{Ears, Judged};
use super::recorder::Recorder;
use super::relay::Permits;
use super::{Config, NetError, Queue, Timing, listen, peer};
use crate::clock;
use blobs::Blobs;
use joins::Joins;
use leases::Leases;
use relays::Relays;

/// Events of the driver's own that may wait for a place; links wait by themselves.
const OUTBOX_MAX: usize = 256;

/// The longest sleep: leftovers of joins that were given up are looked for at least this often, and who sleeps much
/// longer stood still.
const TICK: Duration = Duration::from_secs(5);

/// The state of the driver.
struct Driver {
    local: NodeId,
    swarm: Swarm<Behaviour>,
    recorder: Recorder,
    shared: Arc<Shared>,
    wishes: watch::Receiver<Wishes>,
    requests: mpsc::Receiver<Request>,
    blob_requests: mpsc::Receiver<BlobRequest>,
    publishing: mpsc::Receiver<Vec<u8>>,
    judged: mpsc::Receiver<Judged>,
    ears: Ears,
    events: event::Sender,
    outbox: VecDeque<Event>,
    timing: Timing,
    queue: Queue,
    /// What was asked to be listened on, and what is.
    explicit: BTreeSet<Multiaddr>,
    listened: BTreeSet<Multiaddr>,
    connections: BTreeMap<ConnectionId, Connection>,
    peers: BTreeMap<NodeId, Peer>,
    /// Who was found on the local network, member or not, and where.
    nearby: BTreeMap<NodeId, BTreeSet<Multiaddr>>,
    schedule: Schedule,
    jitter: Jitter,
    joins: Joins,
    blobs: Blobs,
    leases: Leases,
    relays: Relays,
    links_made: u64,
    tasks: JoinSet<Ended>,
}

/// A connection that stands.
#[derive(Debug, Clone)]
struct Connection {
    node: NodeId,
    path: Path,
    dialer: bool,
}

impl Connection {
    fn route(&self) -> Route {
        if self.path.is_relayed() { Route::Relayed } else { Route::Direct }
    }
}

/// A task came to its end.
enum Ended {
    Link(Arc<Link>, DownReason),
    Join(ConnectionId),
    /// Our lease messages of a link; they go on unless the link has ended.
    Speech(Option<Speech>),
    /// A member's lease messages.
    Hearing,
}

/// Builds the swarm, listens, and sets the driver going.
pub(super) fn start(config: Config) -> Result<(Handle, Events), NetError> {
    let permits = Permits::new(Instant::now());
    let mut registry = Registry::default();
    let mut swarm = behaviour::swarm(&config, &permits, &mut registry)?;
    let recorder = Recorder::new(&mut registry);
    let explicit = listen::open(&mut swarm, &config.listen)?;
    let external = config.external.iter().map(|text| listen::listen_address(text)).collect::<Result<_, _>>()?;
    let local = peer::node_id(swarm.local_peer_id()).expect("the identity of a node is an ed25519 key");
    let jitter = Jitter::seeded(getrandom::u64().map_err(NetError::Random)?);
    let (handle, ends) = Handle::new(local, config.queue.notices_out, Arc::clone(&config.refusals), registry);
    let Ends { shared, wishes, joins: requests, blobs: blob_requests, publishing } = ends;
    let (ears, judged) = Ears::new(config.queue.notices_in);
    let (sender, events) = event::channel(&config.queue);
    let Config { timing, queue, relaying, .. } = config;
    let driver = Driver {
        local,
        swarm,
        recorder,
        shared,
        wishes,
        requests,
        blob_requests,
        publishing,
        judged,
        ears,
        events: sender,
        outbox: VecDeque::new(),
        timing,
        queue,
        explicit,
        listened: BTreeSet::new(),
        connections: BTreeMap::new(),
        peers: BTreeMap::new(),
        nearby: BTreeMap::new(),
        schedule: Schedule::default(),
        jitter,
        joins: Joins::default(),
        blobs: Blobs::default(),
        leases: Leases::default(),
        relays: Relays::new(permits, Hearsay::new(relaying, external)),
        links_made: 0,
        tasks: JoinSet::new(),
    };
    tokio::spawn(driver.run().instrument(info_span!("net", node = %local.short())));
    Ok((handle, events))
}

impl Driver {
    async fn run(mut self) {
        // Whoever waits for the end learns of it even if this task fails.
        let _stopped = self.shared.stopped.clone().drop_guard();
        let stop = self.shared.stop.clone();
        let events = self.events.clone();
        loop {
            let now = Instant::now();
            while let Some(node) = self.schedule.pop_due(now) {
                self.consider(node, now);
            }
            self.sweep_joins(now);
            self.sweep_relays(now);
            let wakeup = self.wakeup(now);
            let asleep = clock::mono();
            tokio::select! {
                () = stop.cancelled() => break,
                () = events.closed() => break,
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Ended::Link(link, reason)) => self.on_link_ended(&link, &reason),
                    Ok(Ended::Join(connection)) => self.on_join_ended(connection),
                    Ok(Ended::Speech(Some(speech))) => self.open_lease(speech),
                    Ok(Ended::Speech(None) | Ended::Hearing) => {}
                    Err(error) => warn!(%error, "a task of the network failed"),
                },
                Some(judged) = self.judged.recv() => self.on_judged(&judged),
                Some(notice) = self.publishing.recv() => self.on_publish(notice),
                Ok(()) = self.wishes.changed() => self.on_wishes(),
                request = self.requests.recv() => match request {
                    Some(request) => self.on_join_request(request),
                    // The last handle is gone.
                    None => break,
                },
                Some(request) = self.blob_requests.recv() => self.on_blob_request(request),
                place = events.place(), if !self.outbox.is_empty() => match (place, self.outbox.pop_front()) {
                    (Ok(place), Some(event)) => place.send(event),
                    _ => break,
                },
                () = sleep_until(wakeup.into()) => {}
            }
            let slept = Duration::from_micros(clock::mono().as_micros().saturating_sub(asleep.as_micros()));
            if relays::stood_still(wakeup.saturating_duration_since(now), now.elapsed(), slept) {
                info!(seconds = slept.as_secs(), "this node stood still");
                self.on_stood_still();
            }
        }
        self.stop().await;
    }

    /// Ends every link and connection in an orderly way, within a few times `linger`.
    async fn stop(mut self) {
        debug!("shutting down");
        self.shared.stop.cancel();
        let links: Vec<_> = self.shared.links().values().cloned().collect();
        for link in &links {
            link.end(DownReason::Shutdown);
        }
        let linger = self.timing.linger;
        let parting = async {
            // The swarm goes on meanwhile, or nothing would move.
            loop {
                tokio::select! {
                    ended = self.tasks.join_next() => if ended.is_none() { break },
                    _ = self.swarm.select_next_some() => {}
                }
            }
        };
        // Three waits of a link: parting, and its last event.
        let _ = timeout(3 * linger, parting).await;
        self.tasks.shutdown().await;
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = timeout(linger, closing).await;
    }

    fn wakeup(&self, now: Instant) -> Instant {
        let times = [self.schedule.next(), self.joins.next_deadline(), self.relays.next_deadline()];
        times.into_iter().flatten().fold(now + TICK, Instant::min)
    }

    /// Queues an event of the driver's own; when nobody receives for long, it is lost.
    fn tell(&mut self, event: Event) {
        if self.outbox.len() < OUTBOX_MAX {
            self.outbox.push_back(event);
        } else {
            warn!(?event, "nobody receives events; one is lost");
        }
    }
}
