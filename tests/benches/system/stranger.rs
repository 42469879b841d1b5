//! Strangers at the door: libp2p swarms of no mesh, each of which asks a node for a protocol again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::invite::Ticket;
use beadmesh_protocol::notice;
use libp2p::futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Codec, OutboundFailure, ProtocolSupport};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use crate::node::Node;
use crate::table::Budget;
use crate::{Bench, Outcome, bytes, create, sync};

/// Protocols that a stranger asks for: ours, and those that libp2p has for others.
const PROTOCOLS: [&str; 16] = [
    "/beadmesh/sync/1",
    "/beadmesh/join/1",
    "/beadmesh/blob/1",
    "/beadmesh/lease/1",
    "/meshsub/1.2.0",
    "/meshsub/1.1.0",
    "/meshsub/1.0.0",
    "/floodsub/1.0.0",
    "/ipfs/kad/1.0.0",
    "/ipfs/id/push/1.0.0",
    "/ipfs/bitswap/1.2.0",
    "/libp2p/circuit/relay/0.2.0/hop",
    "/libp2p/circuit/relay/0.2.0/stop",
    "/libp2p/autonat/2/dial-request",
    "/libp2p/dcutr",
    "/rendezvous/1.0.0",
];

/// Time between two attempts of one stranger.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes that are read of an answer, far above any.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is known of a node by whoever has guessed all that can be guessed.
#[derive(Clone)]
struct Target {
    peer: PeerId,
    address: Multiaddr,
    topics: Vec<String>,
}

/// What strangers have come to know.
#[derive(Debug, Default)]
struct Known {
    dials: u64,
    connections: u64,
    /// Bytes that came on a stream, by protocol; those that are missing here were refused.
    told: BTreeMap<&'static str, u64>,
    /// What gossip told.
    heard: u64,
    /// What identify told.
    identities: BTreeSet<String>,
}

impl Bench {
    /// Lets strangers ask a node for everything, first while nobody may join, then while an invite is open.
    pub(crate) fn strangers(&mut self) -> Outcome {
        let host = Node::start(self.folder.path(), "doorkeeper")?;
        let mut api = host.api()?;
        let status = api.ask("GET", "/v1/status", "")?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let address = text(&status["listen"][0]);
        let node: NodeId = text(&status["node"]["id"]).parse()?;
        let names = [text(&status["mesh"]["name"]), "doorkeeper".to_owned(), "insider".to_owned()];
        let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(node.as_bytes())?;
        let mut target = Target {
            peer: PeerId::from_public_key(&key.into()),
            address: address.parse()?,
            topics: vec!["beadmesh".to_owned(), names[0].clone()],
        };
        self.visit("door closed", &target, &names)?;
        let friend = Node::start(self.folder.path(), "insider")?;
        create(&mut api, 0)?;
        sync(&host, &friend)?;
        let invite = api.ask("POST", "/v1/invites", &json!({}).to_string())?;
        let ticket: Ticket = text(&invite["ticket"]).parse()?;
        target.topics.push(notice::topic(ticket.mesh));
        // The members have something to say meanwhile.
        let done = Arc::new(AtomicU64::new(0));
        let until = Arc::clone(&done);
        let talk = std::thread::spawn(move || {
            let mut number = 1;
            while until.load(Ordering::Relaxed) == 0 {
                if create(&mut api, number).is_err() {
                    return;
                }
                number += 1;
                std::thread::sleep(PAUSE);
            }
        });
        let visited = self.visit("door open", &target, &names);
        done.store(1, Ordering::Relaxed);
        talk.join().map_err(|_| "the talk panicked")?;
        visited
    }

    fn visit(&mut self, how: &str, target: &Target, names: &[String]) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let ends = self.sizes.visit;
        let known = runtime.block_on(async {
            let deadline = Instant::now() + ends;
            let strangers = PROTOCOLS.map(|protocol| tokio::spawn(besiege(protocol, target.clone(), deadline)));
            let mut all = Known::default();
            for stranger in strangers {
                let known = stranger.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
                all.dials += known.dials;
                all.connections += known.connections;
                all.heard += known.heard;
                all.told.extend(known.told);
                all.identities.extend(known.identities);
            }
            Ok::<_, String>(all)
        })?;
        let Known { dials, connections, told, heard, identities } = known;
        let count = |number: u64| usize::try_from(number).map_or(f64::NAN, bytes);
        let seconds = ends.as_secs();
        let note = format!("{dials} dials in {seconds} s by {} at once, {connections} let in", PROTOCOLS.len());
        self.table.add(&format!("strangers, {how}, refused"), count(dials - connections), "", Budget::Free, note);
        let taken: Vec<String> = told.iter().map(|(protocol, bytes)| format!("{protocol} {bytes} B")).collect();
        let note = if taken.is_empty() { "no protocol is spoken".to_owned() } else { taken.join(", ") };
        let sum = told.values().sum();
        self.table.add(&format!("strangers, {how}, told"), count(sum), "B", Budget::AtMost(0.0), note);
        let name = format!("strangers, {how}, gossip heard");
        self.table.add(&name, count(heard), "", Budget::AtMost(0.0), "topics and messages".to_owned());
        let named = |identity: &&String| names.iter().any(|name| !name.is_empty() && identity.contains(name.as_str()));
        let leaks = bytes(identities.iter().filter(named).count());
        let note = identities.into_iter().collect::<Vec<_>>().join("; ");
        self.table.add(&format!("strangers, {how}, names told"), leaks, "", Budget::AtMost(0.0), note);
        Ok(())
    }
}

/// What a stranger brings along.
#[derive(NetworkBehaviour)]
struct Foreign {
    asking: request_response::Behaviour<Raw>,
    gossip: gossipsub::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// Asks for one protocol again and again, and dials again whenever it is let go.
async fn besiege(
    protocol: &'static str,
    target: Target,
    deadline: Instant,
) -> Result<Known, Box<dyn Error + Send + Sync>> {
    let (mut known, read) = (Known::default(), Arc::new(AtomicU64::new(0)));
    let mut swarm = foreign(protocol, &target, Arc::clone(&read))?;
    let mut is_spoken = false;
    'visits: while Instant::now() < deadline {
        known.dials += 1;
        let address = vec![target.address.clone()];
        if swarm.dial(DialOpts::peer_id(target.peer).addresses(address).build()).is_err() {
            sleep(PAUSE).await;
            continue;
        }
        loop {
            let Ok(event) = timeout_at(deadline, swarm.select_next_some()).await else { break 'visits };
            match event {
                SwarmEvent::ConnectionEstablished { .. } => {
                    known.connections += 1;
                    swarm.behaviour_mut().asking.send_request(&target.peer, vec![0xa5; 64]);
                }
                SwarmEvent::Behaviour(ForeignEvent::Asking(event)) => {
                    let refused = matches!(
                        event,
                        request_response::Event::OutboundFailure { error: OutboundFailure::UnsupportedProtocols, .. }
                    );
                    let answered = matches!(event, request_response::Event::Message { .. });
                    is_spoken |= answered;
                    if (refused || answered) && swarm.is_connected(&target.peer) {
                        sleep(PAUSE).await;
                        swarm.behaviour_mut().asking.send_request(&target.peer, vec![0xa5; 64]);
                    }
                }
                SwarmEvent::Behaviour(ForeignEvent::Gossip(event)) => {
                    let is_told = !matches!(event, gossipsub::Event::GossipsubNotSupported { .. });
                    known.heard += u64::from(is_told);
                }
                SwarmEvent::Behaviour(ForeignEvent::Identify(identify::Event::Received { info, .. })) => {
                    let mut protocols: Vec<&str> = info.protocols.iter().map(AsRef::as_ref).collect();
                    protocols.sort_unstable();
                    let (version, agent, addresses) = (info.protocol_version, info.agent_version, info.listen_addrs);
                    known.identities.insert(format!("{version} {agent} listens {addresses:?} speaks {protocols:?}"));
                }
                SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. } => break,
                _ => {}
            }
        }
        sleep(PAUSE).await;
    }
    let read = read.load(Ordering::Relaxed);
    if is_spoken || read > 0 {
        known.told.insert(protocol, read);
    }
    Ok(known)
}

fn foreign(
    protocol: &'static str,
    target: &Target,
    read: Arc<AtomicU64>,
) -> Result<Swarm<Foreign>, Box<dyn Error + Send + Sync>> {
    // Each stranger has a key of its own.
    let mut key = [7; 32];
    key.iter_mut().zip(protocol.bytes()).for_each(|(byte, of)| *byte = of);
    let mut swarm = SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes(key)?)
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| {
            let asked = (StreamProtocol::new(protocol), ProtocolSupport::Outbound);
            let settings = request_response::Config::default().with_request_timeout(Duration::from_secs(5));
            let author = MessageAuthenticity::Signed(key.clone());
            Ok::<_, Box<dyn Error + Send + Sync>>(Foreign {
                asking: request_response::Behaviour::with_codec(Raw { read }, [asked], settings),
                gossip: gossipsub::Behaviour::new(author, gossipsub::Config::default())?,
                identify: identify::Behaviour::new(identify::Config::new("/foreign/1".to_owned(), key.public())),
                ping: ping::Behaviour::default(),
            })
        })
        .map_err(|error| error.to_string())?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    for topic in &target.topics {
        swarm.behaviour_mut().gossip.subscribe(&IdentTopic::new(topic))?;
    }
    Ok(swarm)
}

/// Writes what it is given, and counts what comes back.
#[derive(Debug, Clone)]
struct Raw {
    read: Arc<AtomicU64>,
}

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = ();

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
    ) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        stream: &mut T,
    ) -> io::Result<()> {
        let mut piece = [0; 4_096];
        loop {
            let bytes = stream.read(&mut piece).await?;
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            if bytes == 0 || self.read.fetch_add(bytes, Ordering::Relaxed) > ANSWER_BYTES_MAX {
                return Ok(());
            }
        }
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        stream: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        stream.write_all(&bytes).await?;
        stream.flush().await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        (): (),
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
