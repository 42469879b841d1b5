//! Between network and replica: events of links become inputs, outputs become frames on links.
//!
//! Each link has a task that decodes its frames, signatures included, before the replica sees them; so the dear part of
//! receiving runs beside the replica, and a slow link delays no other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::invite::{JoinAnswer, JoinRefusal, JoinRequest, fingerprint};
use beadmesh_protocol::notice;
use beadmesh_protocol::wire::Frame;
use beadmesh_store::command::{Answer, Command};
use beadmesh_store::replica::{self, Output};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::attachments::Server;
use crate::core::{Core, Sink};
use crate::home::Home;
use crate::net::{self, Event, Events, Handle, JoinStream, SendError};
use crate::refusals::{Refusal, Refusals};
use crate::telemetry::Telemetry;

mod announce;
mod inbound;
mod leases;
mod notices;
mod unasked;

use inbound::{Arrival, Inbound, LINK_FRAMES_MAX};
use unasked::Unasked;

/// Notices that may wait to be decoded; the network hands out no more at one time.
const NOTICES_MAX: usize = 32;

/// Strangers that are answered at one time.
const JOINS_MAX: usize = 8;

/// The links that are up, by the name the replica knows them under.
#[derive(Debug, Default)]
pub(crate) struct Links {
    up: Mutex<BTreeMap<replica::LinkId, (net::LinkId, NodeId)>>,
    count: AtomicU64,
    /// Frames of members that did not decode or broke the protocol, since the start.
    violations: AtomicU64,
    /// What members bring unasked.
    unasked: Unasked,
    /// What was refused.
    refusals: Arc<Refusals>,
}

impl Links {
    /// Makes an empty list that counts what it refuses there.
    pub(crate) fn counting(refusals: Arc<Refusals>) -> Self {
        Self { refusals, ..Self::default() }
    }

    fn add(&self, link: net::LinkId, node: NodeId) -> replica::LinkId {
        let id = replica::LinkId(self.count.fetch_add(1, Ordering::Relaxed));
        self.lock().insert(id, (link, node));
        id
    }

    fn remove(&self, id: replica::LinkId) {
        self.lock().remove(&id);
    }

    fn get(&self, id: replica::LinkId) -> Option<net::LinkId> {
        self.lock().get(&id).map(|(link, _)| *link)
    }

    /// Takes note of what a frame asks for: its answer is free.
    fn note_asked(&self, id: replica::LinkId, frame: &Frame) {
        let Frame::Want(ids) = frame else { return };
        let node = self.lock().get(&id).map(|(_, node)| *node);
        if let Some(node) = node {
            self.unasked.ask(node, ids.len(), Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<replica::LinkId, (net::LinkId, NodeId)>> {
        // Nothing panics while it is held.
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells every peer that this node goes.
    pub(crate) fn bye(&self, handle: &Handle, reason: &str) {
        let frame = Frame::Bye(reason.to_owned()).encode();
        for (link, _) in self.lock().values() {
            // A link that is full or gone hears of it by its end.
            let _ = handle.send(*link, frame.clone());
        }
    }

    fn count_violation(&self) -> u64 {
        self.violations.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Returns what the replica's outputs go to; it never blocks.
pub(crate) fn sink(handle: Handle, links: Arc<Links>) -> Sink {
    Box::new(move |output| obey(&handle, &links, output))
}

fn obey(handle: &Handle, links: &Links, output: Output) {
    match output {
        Output::Frame(id, frame) => {
            let Some(link) = links.get(id) else { return };
            links.note_asked(id, &frame);
            match handle.send(link, frame.encode()) {
                Ok(()) | Err(SendError::Gone { .. }) => {}
                Err(refused @ SendError::Full { .. }) => {
                    // The comparison on the next link finds what was not sent.
                    warn!(%link, "a peer takes frames too slowly");
                    handle.close(link, &refused.to_string());
                }
                Err(refused @ SendError::Size { .. }) => {
                    error!(%link, %refused, "a frame can not be sent");
                    handle.close(link, &refused.to_string());
                }
            }
        }
        Output::Close { link, reason, violation } => {
            if let Some(link) = links.get(link) {
                if violation {
                    let violations = links.count_violation();
                    links.refusals.count(Refusal::Frame);
                    warn!(%link, reason, violations, "a peer broke the protocol");
                }
                handle.close(link, &reason);
            }
        }
        Output::Members(members) => handle.set_members(members.into_iter().collect()),
        Output::JoinOpen(open) => handle.set_join_open(open),
        Output::Notice(notice) => {
            if let Err(refused) = handle.publish(notice) {
                // Links bring what it said.
                debug!(%refused, "a notice is dropped");
            }
        }
        Output::Lease(node, message) => {
            if let Err(refused) = handle.send_lease(node, message.encode()) {
                // Whoever misses an answer asks again.
                debug!(%refused, "a lease message is dropped");
            }
        }
        Output::Mesh(mesh) => handle.set_topic(notice::topic(mesh)),
        Output::Reply(..) | Output::Event(_) => {}
    }
}

/// Takes the network's events until the network or the replica is gone.
pub(crate) struct Driver {
    pub(crate) core: Core,
    pub(crate) handle: Handle,
    pub(crate) home: Arc<Home>,
    pub(crate) links: Arc<Links>,
    pub(crate) blobs: Server,
    pub(crate) telemetry: Telemetry,
}

impl Driver {
    /// Runs until the network has shut down or the replica has stopped.
    pub(crate) async fn run(self, mut events: Events) {
        let mut inbound: BTreeMap<net::LinkId, (NodeId, mpsc::Sender<Arrival>)> = BTreeMap::new();
        let mut ends: BTreeMap<NodeId, CancellationToken> = BTreeMap::new();
        let joins = Arc::new(Semaphore::new(JOINS_MAX));
        let (addresses, announced) = watch::channel(self.handle.listen_addresses());
        let (heard, hearing) = mpsc::channel(NOTICES_MAX);
        let hearer = notices::Hearer {
            core: self.core.clone(),
            links: Arc::clone(&self.links),
            telemetry: self.telemetry.clone(),
        };
        tokio::spawn(hearer.run(hearing));
        let messages = events.take_leases();
        tokio::spawn(leases::run(self.core.clone(), self.handle.clone(), Arc::clone(&self.links), messages));
        let announcer = tokio::spawn(announce::run(self.core.clone(), announced));
        while let Some(event) = events.recv().await {
            match event {
                Event::Listening(address) => self.on_listening(&address),
                Event::AddressesChanged(now) => {
                    addresses.send_replace(now);
                }
                Event::LinkUp { link, node, path, dialer } => {
                    let id = self.links.add(link, node);
                    info!(%node, %path, transport = %path.transport, dialer, "peer linked");
                    let (sender, receiver) = mpsc::channel(LINK_FRAMES_MAX);
                    inbound.insert(link, (node, sender));
                    let end = CancellationToken::new();
                    let earlier = ends.insert(node, end.clone());
                    let task = Inbound {
                        core: self.core.clone(),
                        handle: self.handle.clone(),
                        links: Arc::clone(&self.links),
                        link,
                        id,
                        node,
                        earlier,
                        end: end.drop_guard(),
                    };
                    tokio::spawn(task.run(path.to_string(), receiver));
                }
                Event::Frame { link, bytes, room } => {
                    let Some((node, sender)) = inbound.get(&link) else { continue };
                    // Never waits: one link would hold up all. A link's room bounds what waits on it.
                    if sender.try_send(Arrival { bytes, room }).is_err() {
                        warn!(%node, "a link brings more frames than may wait");
                        self.handle.close(link, "more frames than may wait");
                        inbound.remove(&link);
                    }
                }
                Event::Notice { from, bytes, judge } => {
                    // Never waits; dropped with its judge, a notice goes no further.
                    if heard.try_send(notices::Arrival { from, bytes, judge }).is_err() {
                        debug!(%from, "more notices than may wait");
                    }
                }
                Event::LinkDown { link, reason } => {
                    if let Some((node, _)) = inbound.remove(&link) {
                        info!(%node, %reason, "peer gone");
                    }
                }
                Event::Room { link } => debug!(%link, "room again"),
                Event::JoinAsked { node, stream } => self.on_join_asked(&joins, node, stream),
                // The network bounds how many there are.
                Event::BlobAsked { node, stream } => drop(tokio::spawn(self.blobs.clone().serve(node, stream))),
                Event::DialFailed { node, reason } => debug!(%node, reason, "peer not reached"),
            }
        }
        announcer.abort();
    }

    fn on_join_asked(&self, joins: &Arc<Semaphore>, node: NodeId, stream: JoinStream) {
        match Arc::clone(joins).try_acquire_owned() {
            Ok(permit) => {
                let (core, links) = (self.core.clone(), Arc::clone(&self.links));
                tokio::spawn(async move {
                    welcome(&core, &links.refusals, node, stream).await;
                    drop(permit);
                });
            }
            Err(_) => warn!(%node, "too many ask to join at one time: not answered"),
        }
    }

    fn on_listening(&self, address: &str) {
        info!(address, "listening");
        // Only the port of TCP is remembered: QUIC shares it by default.
        let mut parts = address.split('/').skip_while(|part| *part != "tcp").skip(1);
        let Some(port) = parts.next().and_then(|port| port.parse().ok()) else { return };
        if let Err(error) = self.home.save_port(port) {
            warn!(%error, "the port is not remembered");
        }
    }
}

/// Answers a stranger that asks to be let in.
async fn welcome(core: &Core, refusals: &Refusals, node: NodeId, mut stream: JoinStream) {
    let request = match stream.read_message().await {
        Ok(bytes) => JoinRequest::decode(&bytes),
        Err(error) => {
            debug!(%node, %error, "a join broke off");
            return;
        }
    };
    let answer = match request {
        Err(_) => JoinAnswer::Refused(JoinRefusal::Malformed),
        Ok(request) => match core.call(Command::Welcome(node, request)).await {
            Ok(Answer::JoinDecision(Ok(control))) => JoinAnswer::Welcome(control),
            Ok(Answer::JoinDecision(Err(refusal))) => JoinAnswer::Refused(refusal),
            Ok(_) => return,
            Err(error) => {
                warn!(%node, %error, "a join could not be decided");
                return;
            }
        },
    };
    match &answer {
        JoinAnswer::Welcome(_) => info!(%node, "let in"),
        JoinAnswer::Refused(JoinRefusal::Pending) => {
            info!(%node, fingerprint = fingerprint(node), "waits to be approved");
        }
        JoinAnswer::Refused(refusal) => {
            refusals.count(Refusal::Join);
            info!(%node, %refusal, "not let in");
        }
    }
    if let Err(error) = stream.write_message(&answer.encode()).await {
        // Nothing is lost: the same node may ask again by the same ticket.
        warn!(%node, %error, "the answer to a join did not arrive");
    }
}

#[cfg(test)]
mod tests;
