//! Laptops and workstations behind NATs: they join, write and read through a public node, and without it where they can.

use std::time::{Duration, Instant};

use beadmesh_protocol::invite::{Secret, Ticket};
use serde_json::Value;

use super::support::{Host, Lab, Nat, Net, Node, granted, settle, until};

/// How long a laptop may take to be back; a few seconds on a quiet machine.
const BACK_MAX: Duration = Duration::from_secs(30);

/// A sleep that a node takes note of.
const NAP: Duration = Duration::from_secs(20);

/// A mesh of a public node, a workstation and a laptop, the latter two behind boxes of a kind.
struct Mesh {
    vps: Node,
    desk: Node,
    laptop: Node,
    nets: [Net; 2],
    place: Host,
    lab: Lab,
}

impl Mesh {
    /// Starts the nodes; the laptop joins by a ticket of the workstation.
    fn start(lab: Lab, kind: Nat) -> Self {
        let nets = [lab.nat(kind), lab.nat(kind)];
        let place = lab.host(nets[1], 20);
        let mut vps = Node::hosted("vps", &lab.host(Net::Public, 10));
        let mut desk = Node::hosted("desk", &lab.host(nets[0], 30)).looking();
        let mut laptop = Node::hosted("laptop", &place);
        vps.up();
        assert_eq!(vps.status()["reach"]["is_relay"], true, "a node with a public address relays");
        desk.up();
        let ticket = vps.json(&["invite", "--role", "admin"])["ticket"].as_str().unwrap().to_owned();
        desk.json(&["join", &ticket]);
        until("the workstation's reservation", || desk.status()["reach"]["relays"] == serde_json::json!(["vps"]));
        laptop.up();
        laptop.join(&desk);
        let mesh = Self { vps, desk, laptop, nets, place, lab };
        settle(&mesh.nodes());
        mesh
    }

    fn nodes(&self) -> [&Node; 3] {
        [&self.vps, &self.desk, &self.laptop]
    }
}

/// Waits until a bead that one node makes is known to another.
fn passes(source: &Node, target: &Node, title: &str) {
    let bead = source.create(&[title]);
    until(&format!("{title:?} to arrive"), || target.run(&["bead", "show", &bead]).status.success());
}

fn is_direct(peer: &Value) -> bool {
    peer["connected"] == true && peer["route"] == "direct"
}

#[test]
fn a_laptop_joins_through_a_relay_and_meets_the_workstation_without_it() {
    let Some(lab) = granted(Lab::build()) else { return };
    let mut mesh = Mesh::start(lab, Nat::Plain);
    passes(&mesh.laptop, &mesh.desk, "Made behind a NAT");
    until("a direct link", || is_direct(&mesh.laptop.peer("desk")) && is_direct(&mesh.desk.peer("laptop")));
    assert!(mesh.laptop.peer("desk")["path"].as_str().unwrap().contains("203.0.113."), "by way of both boxes");

    // A second machine beside the workstation, which was off while the relay went away.
    let mut server = Node::hosted("server", &mesh.lab.host(mesh.nets[0], 40)).looking();
    server.up();
    let ticket = mesh.desk.ticket();
    server.json(&["join", &ticket]);
    settle(&[&mesh.vps, &mesh.desk, &mesh.laptop, &server]);
    server.down();
    mesh.vps.down();
    passes(&mesh.laptop, &mesh.desk, "Without the relay");
    passes(&mesh.desk, &mesh.laptop, "And back");
    server.up();
    until("the neighbours to meet", || is_direct(&server.peer("desk")));
    passes(&server, &mesh.laptop, "From beside the workstation");
}

#[test]
fn where_nats_let_nobody_meet_the_relay_stays_in_between() {
    let Some(lab) = granted(Lab::build()) else { return };
    let mut mesh = Mesh::start(lab, Nat::Symmetric);
    passes(&mesh.laptop, &mesh.desk, "Made behind a strict NAT");
    passes(&mesh.desk, &mesh.laptop, "And back");
    let peer = mesh.laptop.peer("desk");
    assert_eq!((&peer["route"], &peer["through"]), (&"relayed".into(), &"vps".into()), "{peer}");
    let reach = mesh.desk.status()["reach"].take();
    until("the workstation to know of its NAT", || {
        mesh.desk.status()["reach"]["from_anywhere"] == "private" && mesh.vps.status()["reach"]["circuits"] != 0
    });
    assert_eq!(reach["is_relay"], false);

    // A relay that was away is used again once it is back.
    mesh.vps.down();
    until("the link to end", || mesh.laptop.peer("desk")["connected"] == false);
    let late = mesh.laptop.create(&["While nobody relays"]);
    mesh.vps.up();
    until("what was written meanwhile", || mesh.desk.run(&["bead", "show", &late]).status.success());
    until("the link through the relay", || mesh.laptop.peer("desk")["route"] == "relayed");
    settle(&mesh.nodes());
}

#[test]
fn a_laptop_that_changes_its_network_is_back_soon() {
    let Some(lab) = granted(Lab::build()) else { return };
    let mesh = Mesh::start(lab, Nat::Plain);
    let cafe = mesh.lab.nat(Nat::Plain);
    until("a direct link", || is_direct(&mesh.laptop.peer("desk")));
    mesh.lab.lose(&mesh.place, 1);
    for net in [cafe, mesh.nets[1]] {
        mesh.lab.unplug(&mesh.place);
        let bead = mesh.laptop.create(&["Between two networks"]);
        mesh.lab.plug(&mesh.place, net);
        // A kernel without it makes the network quicker than most.
        let _ = mesh.lab.delay(&mesh.place, 20);
        let began = Instant::now();
        until("the laptop's bead", || mesh.desk.run(&["bead", "show", &bead]).status.success());
        until("both links", || ["desk", "vps"].iter().all(|peer| mesh.laptop.peer(peer)["connected"] == true));
        assert!(began.elapsed() < BACK_MAX, "{:?}", began.elapsed());
        settle(&mesh.nodes());
    }
    // Nobody moves, but the laptop is shut for a while.
    let shut = Instant::now();
    mesh.laptop.freeze();
    until("a nap to be long enough", || shut.elapsed() > NAP);
    mesh.laptop.thaw();
    until("the laptop to wake up", || mesh.laptop.logged().contains("this node stood still"));
    passes(&mesh.laptop, &mesh.desk, "After a nap");
    settle(&mesh.nodes());
}

#[test]
fn who_has_no_ticket_gets_no_circuit() {
    let Some(lab) = granted(Lab::build()) else { return };
    let inner = lab.nat(Nat::Plain);
    let mut vps = Node::hosted("vps", &lab.host(Net::Public, 10));
    let mut desk = Node::hosted("desk", &lab.host(inner, 30));
    let mut stranger = Node::hosted("stranger", &lab.host(Net::Public, 66));
    vps.up();
    desk.up();
    let ticket = vps.json(&["invite", "--role", "admin"])["ticket"].as_str().unwrap().to_owned();
    desk.json(&["join", &ticket]);
    until("the workstation's reservation", || desk.status()["reach"]["relays"] == serde_json::json!(["vps"]));
    stranger.up();

    // All is true of this ticket but its secret, which nobody gave out; the relay itself has an invite open.
    let status = desk.status();
    let addresses = status["listen"].as_array().unwrap().iter().map(|address| address.as_str().unwrap().to_owned());
    let forged = Ticket {
        inviter: status["node"]["id"].as_str().unwrap().parse().unwrap(),
        addresses: addresses.filter(|address| address.contains("/p2p-circuit")).collect(),
        secret: Secret::from_bytes([7; 16]),
        ..ticket.parse().unwrap()
    };
    let refusal = || {
        let output = stranger.run(&["join", &forged.to_string(), "--json"]);
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        error["error"]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refusal(), "unreachable");
    assert_eq!(vps.status()["reach"]["circuits"], 0);
    assert!(!desk.logged().contains("not let in"), "nothing of it reached the workstation");
    // While the workstation expects somebody, strangers get as far as its own gate.
    desk.ticket();
    until("the workstation to be asked", || refusal() == "ticket_unknown");
}
