//! A member that keeps to no rule: it joins by a ticket and then sends what it likes on its link.

use std::{
    io,
    time::{Duration, Instant},
};

use beadmesh_node::net::{BlobStreamError, Config, Event, Events, Handle, LinkId, Listen, SendError, start};
use beadmesh_protocol::{
    blob::{Answer, Request},
    clock::Wall,
    entry::Entry,
    id::{BlobHash, MeshId, NodeId},
    invite::{JoinAnswer, JoinRefusal, JoinRequest, Ticket},
    limits::WIRE_VERSION,
    op::Op,
    reconcile::Summary,
    testing::Author,
    wire::{Frame, Hello},
};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, SwarmBuilder,
    futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _},
    identity::Keypair,
    noise,
    request_response::{self, Codec, ProtocolSupport},
    swarm::SwarmEvent,
    tcp, yamux,
};
use tokio::{runtime::Runtime, time::timeout};

use super::PATIENCE;

/// A node's network and key, without a node.
pub(crate) struct Rogue {
    runtime: Runtime,
    handle: Handle,
    events: Events,
    author: Author,
    seed: u8,
    mesh: MeshId,
    target: NodeId,
    addresses: Vec<String>,
    link: Option<LinkId>,
    /// Entries signed so far.
    entries: u64,
}

impl Rogue {
    /// Joins the mesh of a ticket with the key of that seed.
    pub(crate) fn joined(seed: u8, ticket: &str) -> Self {
        let ticket: Ticket = ticket.parse().unwrap();
        let rogue = Self::stranger(seed, &ticket);
        rogue.ask(&ticket, rogue.author.node()).unwrap();
        rogue.handle.set_members([(rogue.target, rogue.addresses.clone())].into());
        rogue
    }

    /// Asks to be let in by a ticket, with the proof that another node would give if one is named; returns why it is not.
    pub(crate) fn refused(seed: u8, ticket: &str, proof_of: Option<NodeId>) -> JoinRefusal {
        let ticket: Ticket = ticket.parse().unwrap();
        let rogue = Self::stranger(seed, &ticket);
        rogue.ask(&ticket, proof_of.unwrap_or(rogue.author.node())).unwrap_err()
    }

    fn stranger(seed: u8, ticket: &Ticket) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = Config::new([seed; 32]);
        config.listen = Listen::Explicit(Vec::new());
        config.mdns = false;
        (config.timing.retry_min, config.timing.retry_max) = (Duration::from_millis(10), Duration::from_millis(100));
        let (handle, events) = runtime.block_on(async { start(config) }).unwrap();
        let author = Author::seeded(seed);
        Self {
            runtime,
            handle,
            events,
            author,
            seed,
            mesh: ticket.mesh,
            target: ticket.inviter,
            addresses: ticket.addresses.clone(),
            link: None,
            entries: 0,
        }
    }

    fn ask(&self, ticket: &Ticket, prover: NodeId) -> Result<(), JoinRefusal> {
        let Ticket { mesh, inviter, secret, .. } = ticket;
        let proof = secret.prove(*mesh, *inviter, prover);
        let request = JoinRequest { version: WIRE_VERSION, invite: secret.invite(), proof, name: "rogue".into() };
        self.runtime.block_on(async {
            let mut stream = self.handle.join(*inviter, ticket.addresses.clone()).await.unwrap();
            stream.write_message(&request.encode()).await.unwrap();
            match JoinAnswer::decode(&stream.read_message().await.unwrap()).unwrap() {
                JoinAnswer::Welcome(_) => Ok(()),
                JoinAnswer::Refused(refusal) => Err(refusal),
            }
        })
    }

    /// Returns the mesh that was joined.
    pub(crate) fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Says hello on the link, as one must before anything else; it claims to hold nothing.
    pub(crate) fn greet(&mut self) {
        let nothing = Summary::default();
        let hello = Hello { version: WIRE_VERSION, mesh: self.mesh, control: nothing, data: nothing };
        self.send(Frame::Hello(hello).encode());
    }

    /// Sends bytes as one frame, once there is a link.
    pub(crate) fn send(&mut self, frame: Vec<u8>) {
        let link = match self.link {
            Some(link) => link,
            None => self.next(|event| match event {
                Event::LinkUp { link, .. } => Some(*link),
                _ => None,
            }),
        };
        self.link = Some(link);
        self.handle.send(link, frame).unwrap();
    }

    /// Sends frames as fast as the link takes them.
    pub(crate) fn flood(&mut self, frames: Vec<Vec<u8>>) {
        let deadline = Instant::now() + PATIENCE;
        let link = self.link.unwrap();
        for mut frame in frames {
            loop {
                assert!(Instant::now() < deadline, "the link takes no frames");
                match self.handle.send(link, frame) {
                    Ok(()) => break,
                    Err(SendError::Full { frame: back, .. }) => frame = back,
                    Err(error) => panic!("{error}"),
                }
                self.drain();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Throws away what has come.
    pub(crate) fn drain(&mut self) {
        while self.events.try_recv().is_some() {}
    }

    /// Waits until the link is closed.
    pub(crate) fn await_end(&mut self) {
        let ours = self.link.take().unwrap();
        self.next(|event| matches!(event, Event::LinkDown { link, .. } if *link == ours).then_some(()));
    }

    /// Signs an entry.
    pub(crate) fn entry(&mut self, at: Wall, op: &Op) -> Entry {
        self.entries += 1;
        self.author.entry(self.mesh, self.entries, at, std::slice::from_ref(op))
    }

    /// Sends an entry and waits until the node says that it is durable there.
    pub(crate) fn deliver(&mut self, entry: &Entry) {
        self.send(Frame::Entries(vec![entry.clone()]).encode());
        self.hear(|frame| matches!(frame, Frame::Ack(ids) if ids.contains(&entry.id())).then_some(()));
    }

    /// Waits for a frame that is of interest.
    pub(crate) fn hear<T>(&mut self, mut pick: impl FnMut(Frame) -> Option<T>) -> T {
        let mesh = self.mesh;
        self.next(|event| match event {
            Event::Frame { bytes, .. } => pick(Frame::decode(mesh, bytes).unwrap()),
            Event::LinkDown { reason, .. } => panic!("the link has gone: {reason}"),
            _ => None,
        })
    }

    /// Asks the node for a blob; returns what it answers and what follows.
    pub(crate) fn blob(&self, hash: BlobHash) -> (Answer, Vec<u8>) {
        self.runtime.block_on(async {
            let asking = async {
                let mut stream = loop {
                    match self.handle.blob(self.target).await {
                        Ok(stream) => break stream,
                        // The node may know of the link a moment before this end does.
                        Err(BlobStreamError::NotLinked { .. }) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                };
                stream.write(&Request { hash }.encode()).await.unwrap();
                let answer = Answer::decode(&stream.read(64).await.unwrap()).unwrap();
                let mut content = Vec::new();
                while let Ok(piece) = stream.read(64 * 1024).await {
                    content.extend(piece);
                }
                (answer, content)
            };
            timeout(PATIENCE, asking).await.unwrap()
        })
    }

    /// Opens a stream of its own for a link, and writes bytes on it that make no frame.
    ///
    /// Links are opened by the lower node id, so this one's must be. The link that `send` uses is over.
    pub(crate) fn write_raw(&self, bytes: &[u8]) {
        assert!(self.author.node() < self.target, "the target would not take the stream");
        let address: Multiaddr = self.addresses[0].parse().unwrap();
        let peer = PeerId::from_public_key(
            &libp2p::identity::ed25519::PublicKey::try_from_bytes(self.target.as_bytes()).unwrap().into(),
        );
        self.runtime.block_on(async {
            self.handle.shutdown().await;
            let protocol = (StreamProtocol::new("/beadmesh/sync/1"), ProtocolSupport::Outbound);
            let mut swarm = SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes([self.seed; 32]).unwrap())
                .with_tokio()
                .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
                .unwrap()
                .with_behaviour(|_| {
                    request_response::Behaviour::with_codec(Raw, [protocol], request_response::Config::default())
                })
                .unwrap()
                .build();
            swarm.add_peer_address(peer, address);
            swarm.behaviour_mut().send_request(&peer, bytes.to_vec());
            let over = async {
                // The stream is over with an answer or without one.
                while !matches!(swarm.select_next_some().await, SwarmEvent::Behaviour(_)) {}
            };
            timeout(PATIENCE, over).await.unwrap();
        });
    }

    fn next<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let Self { runtime, events, .. } = self;
        runtime.block_on(async {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let event = timeout(left, events.recv()).await.expect("the node answers").expect("the network runs");
                if let Some(picked) = pick(&event) {
                    return picked;
                }
            }
        })
    }
}

/// Writes a request as it is, and reads until the other end has had enough.
#[derive(Debug, Clone)]
struct Raw;

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
        stream.read_to_end(&mut Vec::new()).await.map(drop)
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
