//! Checks of the node among others: whether it runs, whom it reaches, who reaches it, who votes.

use std::time::Duration;

use beadmesh_protocol::id::NodeId;
use beadmesh_store::command::{MemberAnswer, PeerAnswer, StatusAnswer, VotersAnswer};
use tokio::task::JoinSet;

use crate::api::model::Check;
use crate::net::{Footing, Reach, Reachability, reach};
use crate::network::Network;

/// Members without a link that are dialled at most.
const DIALLED_MAX: usize = 16;

/// How long one of them has to answer.
const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// Members from which on a mesh is better off with three voters than with one.
const MEMBERS_FOR_THREE: usize = 3;

/// What is known of the mesh.
pub(crate) struct Mesh {
    pub(crate) status: StatusAnswer,
    pub(crate) members: Vec<MemberAnswer>,
    pub(crate) voters: VotersAnswer,
}

/// Returns the rows about the mesh, a function each; whoever is not linked is dialled.
pub(crate) async fn checks(network: Option<&Network>, mesh: &Mesh) -> Vec<Check> {
    let mut rows = vec![running(network.is_some()), opened(&mesh.status)];
    if let Some(network) = network {
        rows.push(listen(&network.handle.listen_addresses()));
        rows.push(dial(&mesh.status.peers, &mesh.members).await);
        rows.push(relay(&network.handle.footing(), &mesh.status.peers));
    }
    rows.push(voters(mesh, network.is_some()));
    rows
}

fn running(is_running: bool) -> Check {
    const ID: &str = "node.running";
    if is_running {
        return Check::ok(ID, format!("The node runs, version {}.", env!("CARGO_PKG_VERSION")));
    }
    let remedy = "start it with `beadmesh up`, or for good with `beadmesh service install`";
    Check::warn(ID, "No node is running: nothing is sent or received.", remedy)
}

fn opened(status: &StatusAnswer) -> Check {
    Check::ok("store.opens", format!("The store is open and holds {} entries.", status.entries))
}

fn listen(addresses: &[String]) -> Check {
    const ID: &str = "net.listen";
    match addresses.len() {
        0 => Check::warn(
            ID,
            "The node listens nowhere: others can not reach it, and it can invite nobody.",
            "take `net.listen` out of what is set, or see that the machine has an address",
        ),
        1 => Check::ok(ID, "The node listens at 1 address."),
        count => Check::ok(ID, format!("The node listens at {count} addresses.")),
    }
}

/// Says who is linked, and what becomes of it when the others are dialled by TCP.
async fn dial(peers: &[PeerAnswer], members: &[MemberAnswer]) -> Check {
    const ID: &str = "net.dial";
    let away: Vec<&PeerAnswer> = peers.iter().filter(|peer| !peer.connected).collect();
    let linked = peers.len() - away.len();
    if peers.is_empty() {
        return Check::ok(ID, "This mesh is this node.");
    }
    if away.is_empty() {
        return Check::ok(ID, format!("All {linked} peers are linked."));
    }
    let mut dialled = JoinSet::new();
    for peer in away.iter().take(DIALLED_MAX) {
        let member = members.iter().find(|member| member.node == peer.node);
        let (name, addresses) = (peer.name.clone(), member.map(|member| member.addresses.clone()).unwrap_or_default());
        dialled.spawn(async move { (name, reach(&addresses, DIAL_PATIENCE).await) });
    }
    let mut told: Vec<String> = dialled.join_all().await.iter().map(|(name, found)| sentence(name, found)).collect();
    told.sort_unstable();
    if away.len() > DIALLED_MAX {
        told.push(format!("{} more are not linked.", away.len() - DIALLED_MAX));
    }
    let remedy =
        "see that these machines are on and run `beadmesh up`, and that a firewall lets 7117 by TCP and UDP through";
    Check::warn(ID, format!("{linked} of {} peers are linked. {}", peers.len(), told.join(" ")), remedy)
}

fn sentence(name: &str, reach: &Reach) -> String {
    match reach {
        Reach::Nowhere => format!("{name} has told no address that can be dialled."),
        Reach::Answers { address } => {
            format!("{name} answers at {address}, and there is no link: the other program there may be no node.")
        }
        Reach::Fails { address, reason } => format!("{name} is not reached at {address}: {reason}."),
    }
}

/// Says who reaches this node from outside and through whom, and whom it helps to be reached.
fn relay(footing: &Footing, peers: &[PeerAnswer]) -> Check {
    const ID: &str = "net.relay";
    let Footing { reach, is_relay, circuits, relays } = footing;
    if peers.is_empty() {
        return Check::ok(ID, "This mesh is this node.");
    }
    let reached = match reach {
        Reachability::Public => "This node is reached from anywhere",
        Reachability::Private => "This node is behind a NAT or a firewall",
        Reachability::Unknown => "Nobody has tried whether this node is reached from outside",
    };
    let relaying = match (is_relay, circuits) {
        (false, _) => "it relays for nobody".to_owned(),
        (true, 1) => "it relays for others, 1 circuit now".to_owned(),
        (true, circuits) => format!("it relays for others, {circuits} circuits now"),
    };
    let name = |node: &NodeId| {
        peers.iter().find(|peer| peer.node == *node).map_or_else(|| node.short(), |peer| peer.name.clone())
    };
    let through: Vec<String> = relays.iter().map(name).collect();
    let through = match &through[..] {
        [] => "it holds no reservation at a relay".to_owned(),
        [one] => format!("it holds 1 reservation, at {one}"),
        names => format!("it holds {} reservations, at {}", names.len(), names.join(" and ")),
    };
    let found = format!("{reached}; {relaying}; {through}.");
    let away = peers.iter().any(|peer| !peer.connected);
    if *reach == Reachability::Private && relays.is_empty() && away {
        let remedy = "run a node on a machine with a public address and let it join, or forward port 7117 to this one and \
                      start it with --external";
        return Check::warn(ID, found, remedy);
    }
    Check::ok(ID, found)
}

fn voters(mesh: &Mesh, is_running: bool) -> Check {
    const ID: &str = "voters.count";
    let VotersAnswer { seats, reached, quorum, .. } = &mesh.voters;
    let count = if seats.len() == 1 { "1 voter".to_owned() } else { format!("{} voters", seats.len()) };
    if is_running && reached < quorum {
        let found = format!("{reached} of {count} in reach, and it takes {quorum}: claims stay tentative.");
        let remedy = "get the voters' machines back, or choose others: `beadmesh voters list`";
        return Check::warn(ID, found, remedy);
    }
    if seats.len() == 1 && mesh.members.len() >= MEMBERS_FOR_THREE {
        let found = format!("1 voter for {} members: while it is away nobody gets a lease.", mesh.members.len());
        return Check::warn(ID, found, "choose three on machines that stay up: `beadmesh voters set a b c`");
    }
    let verb = if seats.len() == 1 { "decides" } else { "decide" };
    Check::ok(ID, format!("{count} {verb} who holds a lease."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::Grade;

    fn member(at: u8) -> MemberAnswer {
        MemberAnswer {
            node: NodeId::from_bytes([at; 32]),
            name: format!("n{at}"),
            role: beadmesh_protocol::op::Role::Member,
            owner: at == 0,
            here: at == 0,
            admitted_by: "n0".into(),
            admitted_at: crate::clock::wall(),
            addresses: vec![],
        }
    }

    fn peer(at: u8, connected: bool) -> PeerAnswer {
        PeerAnswer {
            node: NodeId::from_bytes([at; 32]),
            name: format!("n{at}"),
            connected,
            path: None,
            lag_entries: 0,
            last_seen: None,
            last_heard: None,
            progress: None,
        }
    }

    #[test]
    fn a_node_behind_a_nat_without_a_relay_is_warned_of_while_somebody_is_away() {
        let hidden = Footing { reach: Reachability::Private, ..Footing::default() };
        let check = relay(&hidden, &[peer(1, true), peer(2, false)]);
        assert_eq!(check.grade, Grade::Warn);
        assert!(
            check.found.starts_with("This node is behind a NAT or a firewall; it relays for nobody; "),
            "{check:?}"
        );
        assert!(check.remedy.unwrap().contains("public address"));
        assert_eq!(relay(&hidden, &[peer(1, true)]).grade, Grade::Ok, "all are linked");
        let helped = Footing { relays: [peer(1, true).node, peer(2, true).node].into(), ..hidden };
        let check = relay(&helped, &[peer(1, true), peer(2, false)]);
        assert_eq!(check.grade, Grade::Ok);
        assert!(check.found.ends_with("; it holds 2 reservations, at n1 and n2."), "{}", check.found);
    }

    #[test]
    fn a_relay_says_for_how_many_it_relays() {
        let footing = Footing { reach: Reachability::Public, is_relay: true, circuits: 3, ..Footing::default() };
        let check = relay(&footing, &[peer(1, true)]);
        let found = "This node is reached from anywhere; it relays for others, 3 circuits now; it holds no reservation at a \
                     relay.";
        assert_eq!((check.grade, check.found.as_str()), (Grade::Ok, found));
        assert_eq!(relay(&Footing::default(), &[]).found, "This mesh is this node.");
    }

    #[tokio::test]
    async fn who_is_not_linked_is_dialled_and_named_with_the_reason() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let addresses = vec![format!("/ip4/127.0.0.1/tcp/{port}")];
        let members = [member(0), MemberAnswer { addresses: addresses.clone(), ..member(1) }, member(2), member(3)];
        let peers = [peer(1, false), peer(2, false), peer(3, true)];
        let check = dial(&peers, &members).await;
        assert_eq!(check.grade, Grade::Warn);
        assert!(
            check.found.starts_with("1 of 3 peers are linked. n1 answers at /ip4/127.0.0.1/tcp/"),
            "{}",
            check.found
        );
        assert!(check.found.contains("n2 has told no address"), "{}", check.found);
        drop(free);
        let check = dial(&peers, &members).await;
        assert!(check.found.contains("n1 is not reached at ") && check.found.contains("refused"), "{}", check.found);
        assert_eq!(dial(&[peer(3, true)], &members).await.grade, Grade::Ok);
        assert_eq!(dial(&[], &members[..1]).await.grade, Grade::Ok);
    }
}
