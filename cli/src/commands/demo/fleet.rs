//! Three nodes in one process, on the loopback alone: started, cut off, healed, stopped.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use beadmesh_node::api::model::StatusBody;
use beadmesh_node::home::{Home, HomeError, Names};
use beadmesh_node::net::Relaying;
use beadmesh_node::turn::{self, Turn};
use beadmesh_node::{Local, Options, Running, Service, ServiceError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::client::{self, Client};
use crate::failure::{Exit, Failure};

/// What the mesh is called.
pub(super) const MESH: &str = "demo";

/// What the user of each home is called.
pub(super) const USER: &str = "you";

/// How long anything between the nodes may take; on a quiet machine it is some tenths of a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// Time between two looks at what is awaited: as fine as the figures that are told.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// An address of this machine, with a port that the system picks.
const ANY_PORT: &str = "/ip4/127.0.0.1/tcp/0";

/// One of the machines that are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// Where the mesh is founded.
    Workstation,
    /// What is cut off.
    Laptop,
    /// Where two agents work.
    GpuBox,
}

impl Site {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Workstation, Self::Laptop, Self::GpuBox];

    /// Returns what its node is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Workstation => "workstation",
            Self::Laptop => "laptop",
            Self::GpuBox => "gpu-box",
        }
    }
}

/// How a node stands.
enum Standing {
    /// It does not run.
    Stopped,
    /// It runs, with a network.
    Running(Box<Running>),
    /// Its store is in use without a network.
    Offline(Box<Local>),
}

/// The three nodes.
pub(super) struct Fleet {
    folder: PathBuf,
    standings: [Standing; 3],
    /// Cancelled when everything is to end now.
    interrupt: CancellationToken,
    /// How long anything between the nodes may take.
    patience: Duration,
}

impl Fleet {
    /// Returns three nodes that do not run, with their homes in a folder.
    pub(super) fn new(folder: &Path, interrupt: CancellationToken) -> Self {
        let standings = [Standing::Stopped, Standing::Stopped, Standing::Stopped];
        Self { folder: folder.to_owned(), standings, interrupt, patience: PATIENCE }
    }

    /// Returns the home of a node.
    pub(super) fn home(&self, site: Site) -> PathBuf {
        self.folder.join(site.name())
    }

    /// Starts a node, or gives one that is offline its network back.
    ///
    /// # Errors
    ///
    /// Fails when its home, its store or a port cannot be had.
    pub(super) async fn start(&mut self, site: Site) -> Result<(), Failure> {
        self.stop_one(site).await?;
        let home = Home::open(&self.home(site)).map_err(|error| home_failure(&error))?;
        let listen = Some(vec![ANY_PORT.to_owned()]);
        let options = Options { listen, mdns: false, relaying: Relaying::Never, ..Options::new(names(site)) };
        let running = Service::start(home, options).await.map_err(|error| service_failure(&error))?;
        self.standings[site as usize] = Standing::Running(Box::new(running));
        Ok(())
    }

    /// Takes a node's network away: it stops, and its store is used as commands use one where no node runs.
    ///
    /// # Errors
    ///
    /// Fails when the store cannot be opened again.
    pub(super) async fn cut_off(&mut self, site: Site) -> Result<(), Failure> {
        self.stop_one(site).await?;
        let home = Home::open(&self.home(site)).map_err(|error| home_failure(&error))?;
        let turn = turn::take(&home, turn::PATIENCE).await;
        let lock = match turn.map_err(|error| client::failure(error.code(), &error, error.hint()))? {
            Turn::Ours(lock) => lock,
            Turn::Node(_) => return Err(service_failure(&ServiceError::Running { socket: home.socket() })),
        };
        let local = Local::open(home, names(site), lock).await;
        let local = local.map_err(|error| client::failure(error.code(), &error, error.hint()))?;
        self.standings[site as usize] = Standing::Offline(Box::new(local));
        Ok(())
    }

    /// Stops all nodes; returns the first failure, after the others were stopped too.
    ///
    /// # Errors
    ///
    /// Fails when a store failed meanwhile.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for site in Site::ALL {
            outcome = outcome.and(self.stop_one(site).await);
        }
        outcome
    }

    async fn stop_one(&mut self, site: Site) -> Result<(), Failure> {
        match std::mem::replace(&mut self.standings[site as usize], Standing::Stopped) {
            Standing::Stopped => Ok(()),
            Standing::Running(running) => running.stop().await.map_err(|error| service_failure(&error)),
            Standing::Offline(local) => {
                let closed = local.close().await;
                closed.map_err(|error| client::failure(error.code(), &error, error.hint()))
            }
        }
    }

    /// Returns who answers for a node, through the same routes as its socket.
    ///
    /// # Errors
    ///
    /// Fails when the node does not run.
    pub(super) fn client(&self, site: Site) -> Result<Client, Failure> {
        match &self.standings[site as usize] {
            Standing::Stopped => Err(Failure::no_node()),
            Standing::Running(running) => Ok(Client::within(running.router.clone())),
            Standing::Offline(local) => Ok(Client::within(local.router.clone())),
        }
    }

    /// Returns whether a node runs, with a network.
    pub(super) fn is_running(&self, site: Site) -> bool {
        matches!(self.standings[site as usize], Standing::Running(_))
    }

    /// Returns how a node stands.
    ///
    /// # Errors
    ///
    /// Fails when it does not answer.
    pub(super) async fn status(&self, site: Site) -> Result<StatusBody, Failure> {
        self.client(site)?.get("/v1/status").await
    }

    /// Waits until these nodes hold the same; returns how long that took.
    ///
    /// # Errors
    ///
    /// Names what each holds when they still differ after a while.
    pub(super) async fn equal(&self, sites: &[Site]) -> Result<Duration, Failure> {
        let is_equal = async || {
            let told = self.statuses(sites).await?;
            Ok(told.iter().all(|status| status.digest == told[0].digest))
        };
        match self.until(is_equal).await? {
            Some(taken) => Ok(taken),
            None => Err(unequal(&self.statuses(sites).await?, self.patience)),
        }
    }

    /// Waits until every node is linked with both others; returns how long that took.
    ///
    /// # Errors
    ///
    /// Fails when one still lacks a link after a while.
    pub(super) async fn linked(&self) -> Result<Duration, Failure> {
        let is_linked = async || {
            let told = self.statuses(&Site::ALL).await?;
            let others = Site::ALL.len() - 1;
            let links = |status: &StatusBody| status.peers.iter().filter(|peer| peer.connected).count();
            Ok(told.iter().all(|status| links(status) == others))
        };
        self.until(is_linked).await?.ok_or_else(|| {
            let seconds = self.patience.as_secs();
            let failure = Failure::timeout(format!("the three nodes are not linked with each other after {seconds} s"));
            failure.hint("see whether programs may connect to each other on 127.0.0.1, and try again")
        })
    }

    /// Waits until something else is so; returns how long that took.
    ///
    /// # Errors
    ///
    /// Fails when it still is not so after a while.
    pub(super) async fn awaited(
        &self,
        what: &str,
        is_so: impl AsyncFnMut() -> Result<bool, Failure>,
    ) -> Result<Duration, Failure> {
        let seconds = self.patience.as_secs();
        let failure = || Failure::timeout(format!("waited {seconds} s in vain for {what}"));
        self.until(is_so).await?.ok_or_else(failure)
    }

    /// Fails when everything is to end now.
    ///
    /// # Errors
    ///
    /// Says that it was interrupted.
    pub(super) fn go_on(&self) -> Result<(), Failure> {
        if !self.interrupt.is_cancelled() {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "interrupted", "interrupted before the end of the story"))
    }

    async fn statuses(&self, sites: &[Site]) -> Result<Vec<StatusBody>, Failure> {
        let mut told = Vec::with_capacity(sites.len());
        for site in sites {
            told.push(self.status(*site).await?);
        }
        Ok(told)
    }

    /// Waits until something is so; returns how long that took, or nothing when patience is over.
    async fn until(&self, mut is_so: impl AsyncFnMut() -> Result<bool, Failure>) -> Result<Option<Duration>, Failure> {
        let begin = Instant::now();
        loop {
            self.go_on()?;
            if is_so().await? {
                return Ok(Some(begin.elapsed()));
            }
            if begin.elapsed() >= self.patience {
                return Ok(None);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

fn names(site: Site) -> Names {
    Names { node: site.name().to_owned(), mesh: MESH.to_owned(), human: USER.to_owned() }
}

/// Returns that nodes hold different things, and what each holds.
fn unequal(told: &[StatusBody], patience: Duration) -> Failure {
    let held = |status: &StatusBody| format!("{} {} ({})", status.node.name, short(&status.digest), status.entries);
    let held: Vec<String> = told.iter().map(held).collect();
    let seconds = patience.as_secs();
    let message = format!("after {seconds} s the nodes do not hold the same: {}", held.join(", "));
    let hint = "on a machine that is not busy this is a bug in beadmesh: please report it with what was told";
    Failure::new(Exit::Failed, "unequal", message).hint(hint)
}

/// Returns the start of a digest.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

/// Returns why a home cannot be used; it lies where the system says, and not in the user's home.
fn home_failure(error: &HomeError) -> Failure {
    let failure = client::home_failure(error);
    failure.hint("set TMPDIR to a directory of yours with a short path")
}

fn service_failure(error: &ServiceError) -> Failure {
    client::failure(error.code(), error, error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(folder: &Path) -> Fleet {
        Fleet::new(folder, CancellationToken::new())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_node_that_is_cut_off_answers_without_a_network_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = fleet(folder.path());
        assert!(fleet.client(Site::Laptop).is_err());
        fleet.start(Site::Laptop).await.unwrap();
        let before = fleet.status(Site::Laptop).await.unwrap();
        assert!(before.running && before.listen.iter().all(|address| address.contains("127.0.0.1")), "{before:?}");
        fleet.cut_off(Site::Laptop).await.unwrap();
        let offline = fleet.status(Site::Laptop).await.unwrap();
        assert!(!offline.running);
        fleet.start(Site::Laptop).await.unwrap();
        let after = fleet.status(Site::Laptop).await.unwrap();
        assert_eq!((after.running, &after.node.id, &after.mesh), (true, &before.node.id, &before.mesh));
        fleet.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_waits_is_told_of_an_interrupt() {
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = fleet(folder.path());
        fleet.start(Site::Laptop).await.unwrap();
        fleet.interrupt.cancel();
        assert_eq!(&*fleet.equal(&[Site::Laptop]).await.unwrap_err().code, "interrupted");
        fleet.stop().await.unwrap();
    }

    async fn digests(fleet: &Fleet, sites: &[Site]) -> Vec<String> {
        fleet.statuses(sites).await.unwrap().into_iter().map(|status| status.digest).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nodes_that_do_not_come_to_hold_the_same_are_named_with_what_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = fleet(folder.path());
        fleet.patience = Duration::ZERO;
        // Each founds a mesh of its own.
        for site in [Site::Workstation, Site::GpuBox] {
            fleet.start(site).await.unwrap();
        }
        let sites = [Site::Workstation, Site::GpuBox];
        for attempt in 0.. {
            let before = digests(&fleet, &sites).await;
            let failure = fleet.equal(&sites).await.unwrap_err();
            assert_eq!((failure.exit, &*failure.code), (Exit::Failed, "unequal"));
            // What a node says of its addresses may come in between, a few times.
            if digests(&fleet, &sites).await != before {
                assert!(attempt < 20, "they do not come to rest");
                continue;
            }
            for (site, digest) in sites.iter().zip(&before) {
                let held = format!("{} {}", site.name(), short(digest));
                assert!(failure.message.contains(&held), "{held}: {}", failure.message);
            }
            break;
        }
        fleet.stop().await.unwrap();
    }
}
