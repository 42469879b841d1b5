//! The whole node: store, replica, network and API, from start to a graceful end.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use beadmesh_store::command::{Answer, Command};
use beadmesh_store::replica::Event;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::alarms::Lookout;
use crate::api::loopback::{self, Listener, Loopback, Patience, Tokens};
use crate::api::{self, Api};
use crate::attachments::Attachments;
use crate::bans::Bans;
use crate::config::{ByteSize, Config, GpuBackend, Watching};
use crate::containers::{self, Watcher};
use crate::core::{Core, Queue, State};
use crate::driver::{self, Driver, Links};
use crate::home::{Home, HomeError, Names};
use crate::human;
use crate::metrics::Metrics;
use crate::net::{self, Handle, Listen, NetError, Relaying};
use crate::network::Network;
use crate::opening::{self, Opener, OpeningError};
use crate::refusals::Refusals;
use crate::systemd::{self, Notifier};
use crate::telemetry::Teller;
use crate::ticket_file;
use crate::turn::{self, Turn, TurnError};

/// How long requests under way may take once the node is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How long a node may take to hear at which addresses it listens; one without any interface never does.
const LISTEN_PATIENCE: Duration = Duration::from_secs(1);

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; by default on the port used last time.
    pub listen: Option<Vec<String>>,
    /// Whether members are looked for on the local network.
    pub mdns: bool,
    /// When this node relays for members that can not reach each other.
    pub relaying: Relaying,
    /// Where others reach the node, though it does not listen there itself.
    pub external: Vec<String>,
    /// Where the API answers over TCP as well, if anywhere: an address of this machine alone.
    pub api_tcp: Option<SocketAddr>,
    /// What node and mesh are called.
    pub names: Names,
    /// The longest wait before a member is dialled again.
    pub retry_max: Duration,
    /// Room for attachments that were fetched from other nodes.
    pub fetched_max: ByteSize,
    /// Where a ticket lies, or will, by which a node that is alone joins a mesh.
    pub ticket_file: Option<PathBuf>,
    /// Where readings of cards come from.
    pub gpu_backend: GpuBackend,
    /// Whether the containers of this machine are looked at.
    pub containers: bool,
    /// Words that beads can ask a machine for.
    pub labels: Vec<String>,
    /// Of what there are alarms.
    pub watching: Watching,
}

impl Options {
    /// Returns the defaults for a node of that name.
    pub fn new(names: Names) -> Self {
        Self {
            listen: None,
            mdns: true,
            relaying: Relaying::default(),
            external: Vec::new(),
            api_tcp: None,
            names,
            retry_max: net::Timing::default().retry_max,
            fetched_max: ByteSize::bytes(beadmesh_store::blobs::Config::default().fetched_bytes_max),
            ticket_file: None,
            gpu_backend: GpuBackend::default(),
            containers: false,
            labels: Vec::new(),
            watching: Watching::default(),
        }
    }
}

impl Options {
    /// Returns how the network is to be, for the node with that key.
    fn network(&self, key: [u8; 32], home: &Home, refusals: &Arc<Refusals>) -> net::Config {
        let mut config = net::Config::new(key);
        config.mdns = self.mdns;
        config.timing.retry_max = self.retry_max;
        config.relaying = self.relaying;
        config.external.clone_from(&self.external);
        let by_default = || Listen::Default { saved_port: home.saved_port() };
        config.listen = self.listen.clone().map_or_else(by_default, Listen::Explicit);
        config.refusals = Arc::clone(refusals);
        config
    }
}

impl From<Config> for Options {
    fn from(config: Config) -> Self {
        let Config { names, ticket_file, listen, mdns, relaying, retry_max, gpu_backend, containers, labels, .. } =
            config;
        let (external, api_tcp, fetched_max) =
            (config.external.unwrap_or_default(), config.api_tcp, config.fetched_max);
        let watching = config.watching;
        Self {
            listen,
            mdns,
            relaying,
            external,
            api_tcp,
            names,
            retry_max,
            fetched_max,
            ticket_file,
            gpu_backend,
            containers,
            labels,
            watching,
        }
    }
}

/// Why a node did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A node runs in this home already.
    #[error("a node is running already, on {}", socket.display())]
    Running {
        /// Its socket.
        socket: PathBuf,
    },
    /// Another process is at work in the home.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The store can not be opened.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// The network can not be started.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The socket can not be made.
    #[error("the socket {} can not be made", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The API can not answer over TCP.
    #[error("the API can not answer on {address}")]
    ApiTcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The token of the API can not be had.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Signals can not be waited for.
    #[error("signals can not be waited for")]
    Signal(#[source] io::Error),
    /// The store failed while the node was running.
    #[error("the store failed: {0}")]
    Store(String),
}

impl ServiceError {
    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Running { .. } => "conflict",
            Self::Turn(error) => error.code(),
            Self::Opening(error) => error.code(),
            Self::Net(NetError::Address { .. } | NetError::Kind { .. }) => "usage",
            Self::Home(error) => error.code(),
            Self::Net(_) | Self::Socket { .. } | Self::ApiTcp { .. } | Self::Signal(_) => "internal",
            Self::Store(_) => "store_failed",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Running { .. } => "`beadmesh status` shows it, `beadmesh down` stops it".to_owned(),
            Self::Turn(error) => error.hint(),
            Self::Opening(error) => error.hint(),
            Self::Net(NetError::Address { .. } | NetError::Kind { .. }) => {
                "an address is written like /ip4/0.0.0.0/tcp/7117".to_owned()
            }
            Self::Net(_) => "choose another address to listen on".to_owned(),
            Self::Socket { path, .. } => format!("see to {}", path.display()),
            Self::ApiTcp { .. } => "choose another port with --api-tcp, or 0 for any that is free".to_owned(),
            Self::Home(error) => error.hint(),
            Self::Signal(_) => "try again".to_owned(),
            Self::Store(_) => {
                "free space or mend the disk, then start the node again; nothing acknowledged is lost".to_owned()
            }
        }
    }
}

/// Starts whole nodes.
#[derive(Debug)]
pub struct Service;

/// A node that runs.
#[derive(Debug)]
pub struct Running {
    /// Answers like the socket does.
    pub router: Router,
    core: Core,
    home: Arc<Home>,
    network: Network,
    links: Arc<Links>,
    stop: CancellationToken,
    /// Answer on the socket, and over TCP where that is wanted.
    servers: Vec<JoinHandle<io::Result<()>>>,
    driver: JoinHandle<()>,
    teller: JoinHandle<()>,
    notifier: Notifier,
}

impl Service {
    /// Starts a node in a home, once nobody else is at work there.
    ///
    /// # Errors
    /// When a node runs there already, or the store, the network or the socket can not be had.
    pub async fn start(home: Home, options: Options) -> Result<Running, ServiceError> {
        let lock = match turn::take(&home, turn::PATIENCE).await? {
            Turn::Ours(lock) => lock,
            Turn::Node(_) => return Err(ServiceError::Running { socket: home.socket() }),
        };
        let home = Arc::new(home);
        let human = options.names.human.clone();
        let opened = opening::open(&home, options.names.clone(), lock, Opener::Node).await?;
        let refusals = Arc::new(Refusals::default());
        let config = options.network(*opened.key, &home, &refusals);
        let tcp = match options.api_tcp {
            Some(address) => Some(open_tcp(&home, address, &refusals).await?),
            None => None,
        };
        let (handle, events) = net::start(config)?;
        let bans = Arc::new(Bans::open(Arc::clone(&home), handle.clone())?);
        let links = Arc::new(Links::counting(Arc::clone(&refusals)));
        let sink = driver::sink(handle.clone(), Arc::clone(&links));
        let core = Core::start(opened.machine, opened.mesh, &Queue::default(), sink).map_err(OpeningError::Thread)?;
        let network = Network::new(handle.clone(), opened.names.node);
        let stop = CancellationToken::new();
        let attachments = Attachments::new(&home, core.clone(), Some((handle.clone(), options.fetched_max)));
        attachments.sweep().await;
        let teller = start_teller(&core, handle.clone(), &home, &options, &stop)?;
        let telemetry = teller.known().clone();
        let api = Api {
            metrics: Arc::new(Metrics::new(core.meter())),
            core: core.clone(),
            home: Arc::clone(&home),
            attachments: attachments.clone(),
            network: Some(network.clone()),
            stop: stop.clone(),
            loopback: tcp.as_ref().map(|(_, loopback)| Arc::clone(loopback)),
            refusals: Arc::clone(&refusals),
            bans: Some(Arc::clone(&bans)),
            telemetry: Some(telemetry.clone()),
            human: human.clone(),
        };
        let router = api::router(api);
        let listening = ready(&core, &home, &human, opened.lost).await;
        if listening.is_err() {
            handle.shutdown().await;
            core.stop().await;
        }
        let listener = listening?;
        let servers = serve(listener, tcp, &router, &stop);
        let driver = Driver {
            core: core.clone(),
            handle,
            telemetry,
            home: Arc::clone(&home),
            links: Arc::clone(&links),
            blobs: attachments.server(),
        };
        let driver = tokio::spawn(driver.run(events));
        let teller = tokio::spawn(tell(teller, Arc::clone(&home), options.watching, stop.clone()));
        tokio::spawn(attachments.run(stop.clone()));
        tokio::spawn(bans.run(stop.clone()));
        tokio::spawn(keep_membership(core.clone(), Arc::clone(&home), stop.clone()));
        if let Some(path) = options.ticket_file {
            tokio::spawn(ticket_file::run(path, core.clone(), network.clone(), stop.clone()));
        }
        if options.listen.is_none_or(|addresses| !addresses.is_empty()) {
            // Whoever reads the greeting, or asks for an invite at once, is told an address.
            network.handle.listening(LISTEN_PATIENCE).await;
        }
        info!(socket = %home.socket().display(), mesh = %opened.mesh, "node started");
        let notifier = Notifier::default();
        Ok(Running { router, core, home, network, links, stop, servers, driver, teller, notifier })
    }
}

/// Gets a node ready for whoever asks, and opens its socket.
async fn ready(core: &Core, home: &Home, human: &str, lost: bool) -> Result<UnixListener, ServiceError> {
    // Reads every view once, so that the first list is quick and watchers hear of changes from the start; a store that
    // fails here ends the core, which the caller hears of as of any later failure.
    let _ = core.call(Command::Status).await;
    human::ensure(core, home, human, lost).await.map_err(OpeningError::Home)?;
    listen(&home.socket())
}

/// Tells of this machine, and watches it as its user wants, until the node is to stop.
async fn tell(teller: Teller, home: Arc<Home>, watching: Watching, stop: CancellationToken) {
    let lookout = Lookout::new(&teller, home, watching);
    tokio::join!(teller.run(stop.clone()), lookout.run(stop));
}

impl Running {
    /// Returns where the node can be reached, as multiaddresses.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.network.handle.listen_addresses()
    }

    /// Logs that a recovery key waits to be shown, where one does; never the key.
    pub fn remind(&self) {
        match self.home.has_recovery() {
            Ok(true) => info!("a recovery key waits: `beadmesh recovery show --once` shows it"),
            Ok(false) => {}
            Err(error) => warn!(%error, "whether a recovery key waits is not known"),
        }
    }

    /// Tells the service manager that the node is ready, and from now on how it stands.
    pub fn attend(&mut self, notifier: Notifier) {
        notifier.ready();
        tokio::spawn(systemd::attend(notifier.clone(), self.core.clone(), self.stop.clone()));
        self.notifier = notifier;
    }

    /// Returns what stops the node when it is cancelled.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs until a signal, a request to shut down or a failure of the store, then stops.
    ///
    /// # Errors
    /// When the store failed, or signals can not be waited for.
    pub async fn run(self) -> Result<(), ServiceError> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServiceError::Signal)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(ServiceError::Signal)?;
        self.run_until(async move {
            tokio::select! {
                _ = interrupt.recv() => info!("interrupted"),
                _ = terminate.recv() => info!("told to end"),
            }
        })
        .await
    }

    /// Runs until `end`, a request to shut down or a failure of the store, then stops.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn run_until(self, end: impl Future<Output = ()>) -> Result<(), ServiceError> {
        tokio::select! {
            () = end => {}
            () = self.stop.cancelled() => info!("asked to stop"),
            state = self.core.ended() => error!(?state, "the replica has ended"),
        }
        self.stop().await
    }

    /// Stops: takes no more requests, answers those under way, tells peers, makes everything durable.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn stop(self) -> Result<(), ServiceError> {
        self.notifier.stopping();
        // Streams end, and the server takes no more connections.
        self.stop.cancel();
        let socket = self.home.socket();
        // The lock is still held, so the socket is ours.
        if let Err(error) = fs::remove_file(&socket) {
            warn!(%error, "the socket is not removed");
        }
        for mut server in self.servers {
            if timeout(GRACE, &mut server).await.is_err() {
                warn!("requests under way are given up");
                server.abort();
            }
        }
        self.links.bye(&self.network.handle, "the node stops");
        self.network.handle.shutdown().await;
        if timeout(GRACE, self.driver).await.is_err() {
            warn!("the network's events are given up");
        }
        if timeout(GRACE, self.teller).await.is_err() {
            warn!("what reads this machine is given up");
        }
        match self.core.stop().await {
            State::Failed(reason) => Err(ServiceError::Store(reason)),
            State::Running | State::Stopped => {
                info!("node stopped");
                Ok(())
            }
        }
    }
}

/// Starts to read this machine, and its containers where that is wanted.
fn start_teller(
    core: &Core,
    handle: Handle,
    home: &Home,
    options: &Options,
    stop: &CancellationToken,
) -> Result<Teller, ServiceError> {
    let said = (options.gpu_backend.into(), options.labels.clone());
    let teller = Teller::start(core.clone(), handle, home.dir(), said);
    let mut teller = teller.map_err(OpeningError::Thread)?;
    if options.containers {
        let (watcher, seen) = Watcher::new(|name| std::env::var_os(name), containers::Timing::default());
        teller.watch_containers(seen);
        tokio::spawn(watcher.run(stop.clone()));
    }
    Ok(teller)
}

/// Keeps beside the store what the mesh is found again by, whenever the roster changes, until the node stops.
async fn keep_membership(core: Core, home: Arc<Home>, stop: CancellationToken) {
    let mut events = core.events();
    let mut kept = None;
    loop {
        if let Ok(Answer::Membership(membership)) = core.call(Command::Membership).await
            && kept.as_ref() != Some(&membership)
        {
            match home.keep_membership(&membership) {
                Ok(()) => kept = Some(membership),
                Err(error) => warn!(%error, "what the mesh is found again by is not kept"),
            }
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Ok(Event::Roster) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }
}

/// Answers requests on the socket, and over TCP where that is wanted, until the node is to stop.
fn serve(
    socket: UnixListener,
    tcp: Option<(Listener, Arc<Loopback>)>,
    router: &Router,
    stop: &CancellationToken,
) -> Vec<JoinHandle<io::Result<()>>> {
    let server = axum::serve(socket, router.clone()).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut servers = vec![tokio::spawn(server.into_future())];
    if let Some((listener, guard)) = tcp {
        let url = guard.url();
        info!(url, "the API answers over TCP");
        let guarded = api::guarded(router.clone(), guard);
        servers.push(tokio::spawn(loopback::serve(listener, guarded, stop.clone())));
    }
    servers
}

/// Listens on a port of this machine, and guards it with the tokens of the home.
async fn open_tcp(
    home: &Home,
    address: SocketAddr,
    refusals: &Arc<Refusals>,
) -> Result<(Listener, Arc<Loopback>), ServiceError> {
    let error = |source| ServiceError::ApiTcp { address, source };
    let listener = Listener::bind(address, Patience::default()).await.map_err(error)?;
    let tokens = Tokens { api: home.api_token()?, metrics: home.metrics_token()? };
    let loopback = Loopback::new(listener.address().map_err(error)?, tokens, Arc::clone(refusals));
    Ok((listener, Arc::new(loopback)))
}

/// Listens on the socket; one that is there already is stale, because the caller holds the lock.
fn listen(path: &Path) -> Result<UnixListener, ServiceError> {
    let error = |source| ServiceError::Socket { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(error(source)),
        _ => {}
    }
    // Until its mode is set, the directory of mode 0700 keeps others out.
    let listener = UnixListener::bind(path).map_err(error)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(error)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
