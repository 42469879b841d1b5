//! A small internet in network namespaces: a public switch, hosts on it, and private networks behind NAT boxes; building
//! it needs root on Linux, with `ip` and `nft`.
//!
//! Public are the addresses 203.0.113.0/24; behind the box number N lies 192.168.N.0/24. Whatever a lab has made goes
//! with it, also when its test fails; what a killed test left behind goes with the next lab.

use std::{
    cell::Cell,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Labs built by this process, so that each has names of its own.
static BUILT: AtomicU32 = AtomicU32::new(0);

/// What the name of a namespace begins with.
const MARK: &str = "bmlab";

/// How a box treats what passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nat {
    /// A connection from one port of a host has one port outside, whoever it goes to: hosts behind two such boxes can
    /// meet.
    Plain,
    /// Each connection has a port of its own outside, drawn at random: hosts behind two such boxes can not meet.
    Symmetric,
}

/// A network of a lab that hosts can be plugged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Net {
    /// The public one.
    Public,
    /// The one behind the box of that number.
    Behind(u8),
}

/// A host of a lab.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// The network namespace.
    pub(crate) namespace: String,
    /// What it has as the last number of its address, in every network.
    number: u8,
}

/// The switches, boxes and hosts; they go with the handle.
#[derive(Debug)]
pub(crate) struct Lab {
    prefix: String,
    boxes: Cell<u8>,
    /// Ports of switches used so far.
    ports: Cell<u32>,
}

impl Lab {
    /// Builds a lab with nothing but the public switch; tells why where that is not possible.
    pub(crate) fn build() -> Result<Self, String> {
        sweep();
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{MARK}{}-{number}", std::process::id());
        // What is built is torn down by the handle, even if the rest fails.
        let lab = Self { prefix, boxes: Cell::new(0), ports: Cell::new(0) };
        let switch = lab.switch(Net::Public);
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add switch type bridge"))?;
        ip(&format!("-n {switch} link set switch up"))?;
        run(Command::new("nft").arg("--version"))?;
        Ok(lab)
    }

    /// Sets up a NAT box between the public switch and a new private one.
    pub(crate) fn nat(&self, kind: Nat) -> Net {
        let number = self.boxes.get() + 1;
        self.boxes.set(number);
        let net = Net::Behind(number);
        let space = self.switch(net);
        ip(&format!("netns add {space}")).unwrap();
        ip(&format!("-n {space} link set lo up")).unwrap();
        ip(&format!("-n {space} link add switch type bridge")).unwrap();
        ip(&format!("-n {space} address add 192.168.{number}.1/24 dev switch")).unwrap();
        ip(&format!("-n {space} link set switch up")).unwrap();
        self.plug_in(&space, Net::Public, "wan", &format!("203.0.113.{}/24", 200 + number)).unwrap();
        within(&space, "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).unwrap();
        // What comes unasked is dropped without an answer, as routers do: it must not take the port that a packet of
        // our own is about to leave by.
        let ports = if kind == Nat::Symmetric { "random,fully-random" } else { "" };
        let rules = format!(
            "table ip lab {{
                chain out {{ type nat hook postrouting priority 100; oifname wan masquerade {ports}; }}
                chain here {{ type filter hook input priority 0; policy drop;
                    ct state established,related accept; iifname {{ switch, lo }} accept; }}
                chain through {{ type filter hook forward priority 0; policy drop;
                    ct state established,related accept; iifname switch accept; }}
            }}"
        );
        fed("nft", &space, &["-f", "-"], &rules).unwrap();
        net
    }

    /// Sets up a host in a network; its number is the last one of its address, between 2 and 199.
    pub(crate) fn host(&self, net: Net, number: u8) -> Host {
        let host = Host { namespace: format!("{}-h{number}", self.prefix), number };
        ip(&format!("netns add {}", host.namespace)).unwrap();
        ip(&format!("-n {} link set lo up", host.namespace)).unwrap();
        self.plug(&host, net);
        host
    }

    /// Plugs a host into a network: it has an address and a way out there.
    pub(crate) fn plug(&self, host: &Host, net: Net) {
        let Host { namespace, number } = host;
        let address = match net {
            Net::Public => format!("203.0.113.{number}/24"),
            Net::Behind(inner) => format!("192.168.{inner}.{number}/24"),
        };
        self.plug_in(namespace, net, "eth0", &address).unwrap();
        if let Net::Behind(inner) = net {
            ip(&format!("-n {namespace} route add default via 192.168.{inner}.1")).unwrap();
        }
    }

    /// Unplugs a host; its interface and address are gone.
    pub(crate) fn unplug(&self, host: &Host) {
        ip(&format!("-n {} link delete eth0", host.namespace)).unwrap();
    }

    /// Makes what a host sends late by that many milliseconds, until it is unplugged; tells why where the kernel has no
    /// `netem`.
    pub(crate) fn delay(&self, host: &Host, milliseconds: u32) -> Result<(), String> {
        let arguments = format!("qdisc replace dev eth0 root netem delay {milliseconds}ms");
        within(&host.namespace, "tc", &arguments.split(' ').collect::<Vec<_>>())
    }

    /// Loses that many in a hundred of the packets that a host sends, in every network.
    pub(crate) fn lose(&self, host: &Host, percent: u32) {
        let rules = format!(
            "table ip weather {{
                chain loss {{ type filter hook output priority 0;
                    oifname eth0 numgen random mod 100 < {percent} drop; }}
            }}"
        );
        fed("nft", &host.namespace, &["-f", "-"], &rules).unwrap();
    }

    fn switch(&self, net: Net) -> String {
        match net {
            Net::Public => format!("{}-public", self.prefix),
            Net::Behind(number) => format!("{}-nat{number}", self.prefix),
        }
    }

    /// Lays a cable from an interface in a namespace to the switch of a network.
    fn plug_in(&self, space: &str, net: Net, name: &str, address: &str) -> Result<(), String> {
        let (switch, port) = (self.switch(net), format!("port{}", self.ports.get()));
        self.ports.set(self.ports.get() + 1);
        ip(&format!("-n {space} link add {name} type veth peer name {port} netns {switch}"))?;
        ip(&format!("-n {switch} link set {port} master switch"))?;
        ip(&format!("-n {switch} link set {port} up"))?;
        ip(&format!("-n {space} address add {address} dev {name}"))?;
        ip(&format!("-n {space} link set {name} up"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for space in spaces().iter().filter(|space| space.starts_with(&format!("{}-", self.prefix))) {
            let _ = ip(&format!("netns delete {space}"));
        }
    }
}

/// Removes the namespaces of labs whose process is gone.
fn sweep() {
    for space in spaces() {
        let process = space.strip_prefix(MARK).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = ip(&format!("netns delete {space}"));
        }
    }
}

fn spaces() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return vec![] };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Runs `ip`; returns what it says when it fails.
fn ip(line: &str) -> Result<(), String> {
    run(Command::new("ip").args(line.split(' ')))
}

fn within(space: &str, program: &str, arguments: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(["netns", "exec", space, program]).args(arguments))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Runs a program in a namespace that reads its input.
fn fed(program: &str, space: &str, arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space, program]).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| format!("{program}: {error}"))?;
    let output = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
