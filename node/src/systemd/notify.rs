//! What a node tells the service manager that started it: ready, how it stands, alive, stopping.
//!
//! The protocol is one datagram a message, as sd_notify(3) has it. Nothing here waits, and where no manager listens
//! nothing is sent.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use beadmesh_store::command::{Answer, Command, StatusAnswer};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::core::Core;

/// The variable that names the manager's socket.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// The variable that says within how many microseconds the manager wants to hear something.
const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";
/// The variable that says of which process it wants to.
const WATCHDOG_PID_VARIABLE: &str = "WATCHDOG_PID";

/// Time between two looks at the replica, where the manager does not want to hear more often.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Looks within the time that the manager waits: two may be late.
const LOOKS_IN_TIME: u32 = 3;

/// Tells the service manager how a node stands; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    /// Connected; absent where nobody wants to know.
    socket: Option<Arc<UnixDatagram>>,
    /// Within what time the manager wants to hear that the node is alive.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Returns what tells the manager that the environment names; silent where it names none.
    pub fn from_environment() -> Self {
        Self::new(|name| std::env::var_os(name)).unwrap_or_else(|error| {
            warn!(%error, "the service manager can not be told anything");
            Self::default()
        })
    }

    /// Does the same for variables that are handed in.
    ///
    /// # Errors
    /// When the manager's socket can not be reached.
    fn new(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let Some(name) = variable(SOCKET_VARIABLE).filter(|name| !name.is_empty()) else { return Ok(Self::default()) };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(&name)?)?;
        socket.set_nonblocking(true)?;
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_meant = number(WATCHDOG_PID_VARIABLE).is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number(WATCHDOG_VARIABLE).filter(|micros| is_meant && *micros > 0).map(Duration::from_micros);
        Ok(Self { socket: Some(Arc::new(socket)), watchdog })
    }

    /// Says in a sentence what the node is doing.
    pub fn status(&self, sentence: &str) {
        self.send(&format!("STATUS={}", line(sentence)));
    }

    /// Says that the node is ready.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Says that the node stops.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=Stopping.");
    }

    fn alive(&self, sentence: &str) {
        let beat = if self.watchdog.is_some() { "WATCHDOG=1\n" } else { "" };
        self.send(&format!("{beat}STATUS={}", line(sentence)));
    }

    fn send(&self, message: &str) {
        // A manager that is slow or gone changes nothing for the node.
        let _ = self.socket.as_ref().map(|socket| socket.send(message.as_bytes()));
    }

    fn look_interval(&self) -> Duration {
        self.watchdog.map_or(LOOK_INTERVAL, |watchdog| (watchdog / LOOKS_IN_TIME).min(LOOK_INTERVAL))
    }
}

/// Tells how the node stands, until it stops; that it is alive only when the replica's thread has answered.
pub(crate) async fn attend(notifier: Notifier, core: Core, stop: CancellationToken) {
    if notifier.socket.is_none() {
        return;
    }
    let look = async {
        while let Some(status) = answered(&notifier, &core).await {
            notifier.alive(&sentence(&status));
            sleep(notifier.look_interval()).await;
        }
    };
    tokio::select! {
        () = look => {}
        () = stop.cancelled() => {}
    }
}

/// Asks the replica how it stands, and says so for as long as it does not answer; nothing once it is gone.
async fn answered(notifier: &Notifier, core: &Core) -> Option<StatusAnswer> {
    let asked = Instant::now();
    let mut answer = pin!(core.call(Command::Status));
    loop {
        tokio::select! {
            answer = &mut answer => {
                let Ok(Answer::Status(status)) = answer else { return None };
                return Some(*status);
            }
            () = sleep(notifier.look_interval()) => {
                let seconds = asked.elapsed().as_secs();
                notifier.status(&format!("The replica has not answered for {seconds} s."));
            }
        }
    }
}

fn sentence(status: &StatusAnswer) -> String {
    let linked = status.peers.iter().filter(|peer| peer.connected).count();
    let (peers, beads, ready) = (status.peers.len(), status.beads, status.ready);
    format!("{linked} of {peers} peers connected; {beads} beads, {ready} ready.")
}

/// Returns the text on one line: a line end would begin another variable.
fn line(sentence: &str) -> String {
    sentence.replace(['\n', '\r'], " ")
}

/// Reads the name of a socket: a path, or after an `@` a name in the abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use beadmesh_protocol::clock::{Instant as Ours, Now};
    use beadmesh_protocol::id::MeshId;
    use beadmesh_store::replica::{FlushError, Input, Output};

    use super::*;
    use crate::core::{Machine, Queue};

    /// A manager that waits for messages for as long as a busy machine needs.
    struct Manager {
        socket: UnixDatagram,
        name: OsString,
    }

    impl Manager {
        fn new(folder: &std::path::Path) -> Self {
            let path = folder.join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            Self { socket, name: path.into_os_string() }
        }

        fn notifier(&self, watchdog: Option<&str>, pid: Option<u32>) -> Notifier {
            let variable = |name: &str| match name {
                SOCKET_VARIABLE => Some(self.name.clone()),
                WATCHDOG_VARIABLE => watchdog.map(OsString::from),
                WATCHDOG_PID_VARIABLE => pid.map(|pid| pid.to_string().into()),
                _ => None,
            };
            Notifier::new(variable).unwrap()
        }

        fn hear(&self) -> String {
            let mut bytes = [0; 1_024];
            let length = self.socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        }
    }

    /// A replica that answers the first question, and hangs in the second one until it is let go.
    struct Wedged {
        asked: u32,
        go: mpsc::Receiver<()>,
        out: Vec<Output>,
    }

    impl Machine for Wedged {
        fn handle(&mut self, _: Now, input: Input) {
            let Input::Command(request, _) = input else { return };
            self.asked += 1;
            if self.asked > 1 {
                let _ = self.go.recv();
            }
            let status = StatusAnswer {
                node: beadmesh_protocol::id::NodeId::from_bytes([1; 32]),
                node_name: "box".into(),
                instance: beadmesh_protocol::id::InstanceId::from_bytes([2; 8]),
                mesh: MeshId::from_bytes([3; 32]),
                mesh_name: "lab".into(),
                role: beadmesh_protocol::op::Role::Admin,
                removed: None,
                entries: 5,
                beads: 7,
                ready: 3,
                digest: String::new(),
                entries_from_future: 0,
                applicants: 0,
                copies: vec![],
                peers: vec![],
            };
            self.out.push(Output::Reply(request, Box::new(Ok(Answer::Status(Box::new(status))))));
        }

        fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
            Ok(std::mem::take(&mut self.out))
        }

        fn next_wakeup(&self) -> Option<Ours> {
            None
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_watchdog_is_fed_only_while_the_replica_answers() {
        let temp = tempfile::tempdir().unwrap();
        let manager = Manager::new(temp.path());
        let notifier = manager.notifier(Some("300000"), Some(std::process::id()));
        let (let_go, go) = mpsc::channel();
        let machine = Wedged { asked: 0, go, out: Vec::new() };
        let core = Core::start(machine, MeshId::from_bytes([3; 32]), &Queue::default(), Box::new(drop)).unwrap();
        let stop = CancellationToken::new();
        let attended = tokio::spawn(attend(notifier, core.clone(), stop.clone()));
        tokio::task::spawn_blocking(move || {
            assert_eq!(manager.hear(), "WATCHDOG=1\nSTATUS=0 of 0 peers connected; 7 beads, 3 ready.");
            // Longer than the manager would wait: nothing but complaints.
            for _ in 0..4 {
                let said = manager.hear();
                assert!(said.starts_with("STATUS=The replica has not answered for "), "{said}");
            }
            let_go.send(()).unwrap();
            let next = std::iter::repeat_with(|| manager.hear()).find(|said| !said.contains("not answered"));
            assert!(next.unwrap().starts_with("WATCHDOG=1\n"));
            // The manager goes, and nobody minds.
        })
        .await
        .unwrap();
        stop.cancel();
        attended.await.unwrap();
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_fed_and_no_socket_means_silence() {
        let temp = tempfile::tempdir().unwrap();
        let manager = Manager::new(temp.path());
        assert_eq!(manager.notifier(Some("9000000"), None).watchdog, Some(Duration::from_secs(9)));
        assert_eq!(manager.notifier(Some("9000000"), None).look_interval(), Duration::from_secs(3));
        for (watchdog, pid) in [(Some("9000000"), Some(1)), (Some("0"), None), (Some("soon"), None), (None, None)] {
            assert_eq!(manager.notifier(watchdog, pid).watchdog, None);
        }
        assert!(Notifier::new(|_| None).unwrap().socket.is_none());
        assert!(Notifier::new(|name| (name == SOCKET_VARIABLE).then(|| "/nowhere/at/all".into())).is_err());
        manager.notifier(None, None).status("one\nREADY=1");
        assert_eq!(manager.hear(), "STATUS=one READY=1");
    }

    #[test]
    fn a_name_in_the_abstract_namespace_is_understood() {
        let name = format!("beadmesh-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::new(|variable| (variable == SOCKET_VARIABLE).then(|| format!("@{name}").into()));
        notifier.unwrap().ready();
        let mut bytes = [0; 64];
        let length = manager.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
    }
}
