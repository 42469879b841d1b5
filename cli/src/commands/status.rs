//! `beadmesh status` and `beadmesh peers`: how this node and its mesh stand.

use beadmesh_node::api::model::{ClaimsBody, PeersBody, Reach, StatusBody, VotersBody};
use jiff::Timestamp;

use super::{Context, members};
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::{lease, peer, text};

/// Members from which on a mesh is better off with three voters than with one.
const MEMBERS_FOR_THREE: usize = 3;

/// How leases stand, as far as the node says; one of an older version says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Leases {
    voters: Option<VotersBody>,
    claims: Option<ClaimsBody>,
}

/// Prints the state of the node.
pub(super) async fn run(context: &mut Context) -> Result<(), Failure> {
    let mut client = context.client().await?;
    if let Ok(identity) = context.identity() {
        // A status is for everybody: who can not prove who they are sees it without their letters.
        let _ = client.act_as(&identity);
    }
    let body: StatusBody = client.get("/v1/status").await?;
    if context.printer.json {
        return context.printer.answer(&body);
    }
    // A status shows what can be had: what is missing is missing.
    let leases = Leases { voters: client.get("/v1/voters").await.ok(), claims: client.get("/v1/claims").await.ok() };
    let printer = &mut context.printer;
    for line in lines(&body, &leases, printer.columns, Timestamp::now()) {
        printer.line(line)?;
    }
    Ok(())
}

/// Lists the other nodes.
pub(super) async fn peers(context: &mut Context) -> Result<(), Failure> {
    let mut client = context.node().await?;
    let body: PeersBody = client.get("/v1/peers").await?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    if body.peers.is_empty() {
        return printer.note("No other node is in this mesh; `beadmesh invite` prints a ticket for one.");
    }
    for line in peer::lines(&body.peers, printer.columns, Timestamp::now()) {
        printer.line(line)?;
    }
    Ok(())
}

fn lines(body: &StatusBody, leases: &Leases, columns: Option<u16>, now: Timestamp) -> Vec<String> {
    let room = columns.map_or(usize::MAX, |columns| usize::from(columns).saturating_sub(8).max(20));
    let mut lines = Vec::new();
    let mut fact = |name: &str, parts: &[String]| {
        for (at, row) in text::flow(parts, "  ", room).iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            lines.push(format!("{}  {row}", Paint::Faint.on(&format!("{name:6}"))));
        }
    };
    let state = if body.running { Paint::Good.on("running") } else { Paint::Slow.on("not running") };
    let name = Paint::Strong.on(&text::clean_line(&body.node.name));
    fact("Node", &[name, state, Paint::Faint.on(&short(&body.node.id))]);
    let members = match body.peers.len() + usize::from(body.removed.is_none()) {
        1 => "1 member".to_owned(),
        count => format!("{count} members"),
    };
    let mesh = Paint::Strong.on(&text::clean_line(&body.mesh.name));
    let role = if body.removed.is_some() { "removed" } else { members::role(body.role) };
    fact("Mesh", &[mesh, format!("{members}, {role} here"), Paint::Faint.on(&short(&body.mesh.id))]);
    fact("Beads", &[format!("{}, {} ready", body.beads, body.ready)]);
    fact("Agent", &[agents(body)]);
    if body.running {
        let addresses: Vec<String> = body.listen.iter().map(|address| text::clean_line(address)).collect();
        fact("At", &addresses);
        if let Some(reach) = &body.reach {
            fact("Reach", &[reached(reach)]);
        }
    }
    for (name, trouble) in troubles(body) {
        fact(name, &[trouble]);
    }
    if let Some(voters) = &leases.voters {
        let paint = if voters.reached < voters.quorum { Paint::Slow } else { Paint::Plain };
        fact("Voters", &[paint.on(&lease::reach(voters))]);
    }
    if let Some(held) = leases.claims.as_ref().and_then(held) {
        fact("Leases", &[held]);
    }
    if !body.peers.is_empty() {
        let connected = body.peers.iter().filter(|peer| peer.connected).count();
        fact("Peers", &[format!("{connected} of {} connected", body.peers.len())]);
        lines.push(String::new());
        lines.extend(peer::lines(&body.peers, columns, now));
    }
    if let Some(removed) = &body.removed {
        let by = text::clean_line(&removed.removed_by);
        let told = if removed.id == body.node.id && removed.removed_by == body.node.name {
            "This node has left the mesh: nothing it writes has effect, and no member talks to it.".to_owned()
        } else {
            format!(
                "This node was removed from the mesh by {by}: nothing it writes has effect, and no member talks to it. A \
                 new ticket would let it in again."
            )
        };
        lines.push(String::new());
        lines.extend(text::wrap(&told, columns.map_or(usize::MAX, usize::from)));
    }
    for sentence in advice(body, leases) {
        lines.push(String::new());
        lines.extend(text::wrap(sentence, columns.map_or(usize::MAX, usize::from)));
    }
    lines
}

/// Returns what somebody has to look at, each with what it is about.
fn troubles(body: &StatusBody) -> Vec<(&'static str, String)> {
    let mut troubles = Vec::new();
    if body.applicants > 0 {
        let machines = body.applicants;
        let wait = if machines == 1 { "1 machine waits".to_owned() } else { format!("{machines} machines wait") };
        troubles.push(("Joins", Paint::Slow.on(&format!("{wait} to be approved: `beadmesh members requests`"))));
    }
    if body.entries_from_future > 0 {
        let entries = body.entries_from_future;
        troubles.push(("Clock", Paint::Slow.on(&format!("{entries} entries come from the future: check the clocks"))));
    }
    if !body.findings.is_empty() {
        let found = format!("{}: `beadmesh doctor` says more", body.findings.join(", "));
        troubles.push(("Store", Paint::Bad.on(&text::clean_line(&found))));
    }
    troubles
}

/// Says what had better be done about how things stand.
fn advice(body: &StatusBody, leases: &Leases) -> Vec<&'static str> {
    let mut advice = Vec::new();
    if !body.running {
        advice.push("No node is running: nothing is sent or received. Start one with `beadmesh up`.");
    } else if body.peers.is_empty() {
        advice.push("This mesh is this node. `beadmesh invite` prints a ticket for another machine.");
    }
    let has_one_voter = leases.voters.as_ref().is_some_and(|voters| voters.voters.len() == 1 && voters.next.is_none());
    if has_one_voter && body.peers.len() + 1 >= MEMBERS_FOR_THREE {
        advice.push(
            "One voter decides who holds a lease, and while it is away nobody gets one. Choose three on machines that \
             stay up: `beadmesh voters set a b c`.",
        );
    }
    advice
}

/// Counts the leases of this node's agents by how they stand; nothing where there are none.
fn held(claims: &ClaimsBody) -> Option<String> {
    let count = |state: &str| claims.claims.iter().filter(|claim| claim.here && claim.state == state).count();
    let counted = [("held", Paint::Good), ("tentative", Paint::Slow), ("lapsed", Paint::Bad)].map(|(state, paint)| {
        let count = count(state);
        (count > 0).then(|| paint.on(&format!("{count} {state}")))
    });
    let counted: Vec<String> = counted.into_iter().flatten().collect();
    (!counted.is_empty()).then(|| counted.join(", "))
}

/// Says how others reach this node.
fn reached(reach: &Reach) -> String {
    let relays = text::clean_line(&reach.relays.join(", "));
    let reached = match (reach.from_anywhere.as_str(), reach.relays.is_empty()) {
        ("public", _) => Paint::Good.on("from anywhere"),
        (_, false) => Paint::Good.on(&format!("through {relays}")),
        ("private", true) => {
            Paint::Slow.on("only by who is near: a NAT or firewall is in between, and no member relays")
        }
        (_, true) => "by who is near; nobody from outside has tried".to_owned(),
    };
    match (reach.is_relay, reach.circuits) {
        (false, _) => reached,
        (true, 0) => format!("{reached}, and relays for others"),
        (true, 1) => format!("{reached}, and relays 1 circuit for others"),
        (true, circuits) => format!("{reached}, and relays {circuits} circuits for others"),
    }
}

/// Says who asks, with the letters they have not read, and how many agents there are.
fn agents(body: &StatusBody) -> String {
    let agents = if body.agents == 1 { "1 agent".to_owned() } else { format!("{} agents", body.agents) };
    let Some(agent) = &body.agent else { return agents };
    let letters = match body.unread {
        None | Some(0) => "nothing unread".to_owned(),
        Some(1) => Paint::Good.on("1 unread letter"),
        Some(unread) => Paint::Good.on(&format!("{unread} unread letters")),
    };
    format!("{}, {letters}, {agents} in the mesh", text::clean_line(agent))
}

/// Returns the first letters of an id, enough to tell it from others at a glance.
fn short(id: &str) -> String {
    text::clean_line(id).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::{
        Claim, ClaimsBody, Mesh, Node, Peer, Progress, Reach, Role, Seat, StatusBody, VotersBody,
    };

    use super::{Leases, lines};
    use crate::output::lease::tests::claim;

    fn status() -> StatusBody {
        let peer = |name: &str, connected, lag_entries, progress| Peer {
            id: format!("id-of-{name}"),
            name: name.into(),
            connected,
            path: Some("/ip4/10.0.0.7/udp/4001/quic-v1".into()),
            route: None,
            through: None,
            round_trip_us: None,
            lag_entries,
            last_seen: Some("2026-03-01T10:00:00Z".into()),
            last_heard: None,
            banned: false,
            progress,
        };
        StatusBody {
            node: Node { id: "abcdefghijklmnop".into(), name: "gpu-box".into() },
            instance: "i".into(),
            mesh: Mesh { id: "qrstuvwxyz234567".into(), name: "lab".into() },
            role: Role::Admin,
            entries: 1_204,
            beads: 311,
            ready: 42,
            agents: 6,
            agent: Some("ada@gpu-box".into()),
            unread: Some(2),
            digest: "d".into(),
            entries_from_future: 0,
            applicants: 0,
            api: None,
            refused: [].into(),
            findings: vec![],
            removed: None,
            version: "0.1.0".into(),
            running: true,
            listen: vec!["/ip4/10.0.0.5/udp/4001/quic-v1".into()],
            reach: None,
            socket: "/run/node.sock".into(),
            peers: vec![
                peer("laptop", true, 0, None),
                peer("vps", false, 14, None),
                peer("desk", true, 3, Some(Progress { done: 120, total: 400 })),
            ],
        }
    }

    #[test]
    fn a_peer_that_is_heard_and_not_linked_is_told_from_one_that_is_gone() {
        let mut status = status();
        status.peers[1].last_heard = Some("2026-03-01T11:55:00Z".into());
        assert!(plain(&status, 100).contains("vps     heard 5 min ago"), "{}", plain(&status, 100));
        status.peers[1].last_heard = Some("2026-03-01T09:00:00Z".into());
        assert!(plain(&status, 100).contains("vps     seen 2 h ago"), "{}", plain(&status, 100));
    }

    fn plain(status: &StatusBody, columns: u16) -> String {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let lines = lines(status, &Leases::default(), Some(columns), now);
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    #[test]
    fn the_state_of_a_mesh_reads_at_a_glance() {
        insta::assert_snapshot!(plain(&status(), 100), @r"
        Node    gpu-box  running  abcdefghij
        Mesh    lab  4 members, admin here  qrstuvwxyz
        Beads   311, 42 ready
        Agent   ada@gpu-box, 2 unread letters, 6 agents in the mesh
        At      /ip4/10.0.0.5/udp/4001/quic-v1
        Peers   2 of 3 connected

        PEER    LINK          HOLDS                                     PATH
        laptop  connected     all that is here                          /ip4/10.0.0.7/udp/4001/quic-v1
        vps     seen 2 h ago  at most 14 entries behind, as of 2 h ago
        desk    connected     catching up, 120 of 400                   /ip4/10.0.0.7/udp/4001/quic-v1
        ");
        let copied = StatusBody { findings: vec!["store.cloned".into()], ..status() };
        assert!(plain(&copied, 100).contains("\nStore   store.cloned: `beadmesh doctor` says more\n"));
        let asked = StatusBody { applicants: 2, ..status() };
        assert!(plain(&asked, 100).contains("\nJoins   2 machines wait to be approved: `beadmesh members requests`\n"));
        let alone = StatusBody { peers: vec![], running: false, ..status() };
        insta::assert_snapshot!(plain(&alone, 40), @r"
        Node    gpu-box  not running  abcdefghij
        Mesh    lab  1 member, admin here
                qrstuvwxyz
        Beads   311, 42 ready
        Agent   ada@gpu-box, 2 unread letters, 6
                agents in the mesh

        No node is running: nothing is sent or
        received. Start one with `beadmesh up`.
        ");
        insta::assert_snapshot!(plain(&status(), 40), @r"
        Node    gpu-box  running  abcdefghij
        Mesh    lab  4 members, admin here
                qrstuvwxyz
        Beads   311, 42 ready
        Agent   ada@gpu-box, 2 unread letters, 6
                agents in the mesh
        At      /ip4/10.0.0.5/udp/4001/quic-v1
        Peers   2 of 3 connected

        PEER    HOLDS
        laptop  all that is here
        vps     at most 14 entries behind, as o…
        desk    catching up, 120 of 400
        ");
    }

    #[test]
    fn ways_and_reach_are_told() {
        let mut status = status();
        let reach = |relays: &[&str], is_relay, circuits| Reach {
            from_anywhere: if is_relay { "public" } else { "private" }.into(),
            relays: relays.iter().map(|relay| (*relay).to_owned()).collect(),
            is_relay,
            circuits,
        };
        let [near, _, far] = status.peers.get_mut(..).unwrap() else { panic!("three peers") };
        (near.route, near.round_trip_us) = (Some("direct".into()), Some(1_260));
        (far.route, far.through, far.round_trip_us) = (Some("relayed".into()), Some("vps".into()), Some(48_700));
        status.reach = Some(reach(&["vps"], false, 0));
        let shown = plain(&status, 120);
        assert!(shown.contains("\nReach   through vps\n"), "{shown}");
        assert!(
            shown.contains("laptop  direct        all that is here                          1.2 ms  /ip4"),
            "{shown}"
        );
        assert!(
            shown.contains("desk    through vps   catching up, 120 of 400                   48 ms   /ip4"),
            "{shown}"
        );
        for (told, says) in [
            (reach(&[], false, 0), "only by who is near: a NAT or firewall is in between"),
            (reach(&[], true, 0), "from anywhere, and relays for others"),
            (reach(&[], true, 1), "from anywhere, and relays 1 circuit for others"),
        ] {
            status.reach = Some(told);
            assert!(plain(&status, 120).contains(says), "{}", plain(&status, 120));
        }
    }

    /// Shows a mesh with so many voters of which the first can be asked, where there are these claims.
    fn with(voters: usize, claims: Vec<Claim>) -> String {
        let seat = |at| Seat { node: format!("n{at}"), name: "v".into(), here: at == 0, reached: at == 0, note: None };
        let voters = VotersBody {
            epoch: 1,
            hold_ms: 90_000,
            voters: (0..voters).map(seat).collect(),
            reached: 1,
            quorum: voters / 2 + 1,
            next: None,
            leases: None,
        };
        let leases = Leases { voters: Some(voters), claims: Some(ClaimsBody { claims }) };
        let lines = lines(&status(), &leases, Some(100), "2026-03-01T12:00:00Z".parse().unwrap());
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    #[test]
    fn voters_and_leases_are_told_and_one_voter_is_advised_against() {
        let claims = ["held", "held", "lapsed", "ended", "shown"].map(claim);
        let elsewhere = Claim { here: false, ..claim("held") };
        let shown = with(1, claims.into_iter().chain([elsewhere]).collect());
        assert!(shown.contains("\nVoters  1 of 1 in reach.\nLeases  2 held, 1 lapsed\nPeers "), "{shown}");
        assert!(shown.contains("Choose three on machines") && shown.contains("voters set a b c"), "{shown}");
        let shown = with(3, vec![]);
        assert!(shown.contains("\nVoters  1 of 3 in reach, and it takes 2: claims stay tentative.\nPeers "), "{shown}");
        assert!(!shown.contains("Leases") && !shown.contains("Choose three"), "{shown}");
    }
}
