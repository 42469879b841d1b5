//! A node under a service manager: what it says to it, and what it says where there is none.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Node, left_out};

/// A service manager's end: hears what the node says, for as long as a busy machine needs.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn hear(&self) -> String {
        let mut bytes = [0; 1_024];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Hears until something of this is said, and returns all that was said before and it.
    fn hear_until(&self, what: &str) -> Vec<String> {
        let mut heard = vec![self.hear()];
        while !heard.last().unwrap().contains(what) {
            assert!(heard.len() < 10_000, "{what} in vain: {heard:?}");
            heard.push(self.hear());
        }
        heard
    }
}

#[test]
fn a_manager_hears_that_the_node_is_ready_alive_and_stopping() {
    let mut node = Node::new("ada");
    let path = node.work().join("notify");
    let manager = Manager { socket: UnixDatagram::bind(&path).unwrap() };
    manager.socket.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    node.up_in(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "600000")]);
    let heard = manager.hear_until("READY=1");
    assert_eq!(heard, ["STATUS=Opening the store.", "READY=1"]);
    // Ready means that everybody is answered.
    node.create(&["First"]);
    let heard = manager.hear_until("1 beads, 1 ready");
    assert!(heard.iter().all(|said| said.starts_with("WATCHDOG=1\nSTATUS=")), "{heard:?}");
    manager.hear_until("WATCHDOG=1");
    // A node that is stopped where it stands does not feed the watchdog, and one that goes on does.
    node.freeze();
    manager.socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut bytes = [0; 1_024];
    let mut fed = 0;
    while manager.socket.recv(&mut bytes).is_ok() {
        fed += 1;
        assert!(fed < 10, "a frozen node says that it is alive");
    }
    // Whoever asks it hears so soon, and which process that is.
    let told = node.run(&["status"]);
    let (process, told) =
        (std::fs::read_to_string(node.home().join("lock")).unwrap(), String::from_utf8(told.stderr).unwrap());
    assert!(told.contains(&format!("process {}, answers nothing", process.trim())), "{told}");
    manager.socket.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    node.thaw();
    manager.hear_until("WATCHDOG=1");
    node.down();
    manager.hear_until("STOPPING=1");
}

/// Returns whether the program was built among temporary files, which a service does not see: then it writes no unit.
fn is_temporary() -> bool {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_beadmesh-tested"));
    let is_temporary = ["/tmp", "/var/tmp"].iter().any(|above| program.starts_with(above));
    if is_temporary {
        left_out("the program lies in a directory for temporary files");
    }
    is_temporary
}

#[test]
fn the_unit_is_printed_without_systemd_and_changes_nothing() {
    if is_temporary() {
        return;
    }
    let node = Node::new("ada");
    let output = node.run(&["service", "install", "--system", "--print"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in ["Type=notify", "WatchdogSec=3min", "NoNewPrivileges=yes", "ProtectSystem=strict", "DynamicUser=yes"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!node.home().exists());
    let output = node.run(&["service", "install", "--user", "--system"]);
    assert_eq!(output.status.code(), Some(2));
    let output = node.run(&["service", "install", "--run-as", "ada"]);
    assert_eq!(output.status.code(), Some(2), "a user's service runs as that user");
}

#[test]
fn a_machine_without_systemd_says_so_plainly() {
    if std::path::Path::new("/run/systemd/system").exists() || is_temporary() {
        return;
    }
    let node = Node::new("ada");
    for command in ["install", "status", "uninstall"] {
        let output = node.run(&["service", command, "--system", "--json"]);
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((output.status.code(), &error["error"]["code"]), (Some(1), &json!("no_systemd")), "{command}");
    }
}
