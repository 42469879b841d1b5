//! Peers as a table: whether each is linked, and what it holds.

use beadmesh_node::api::model::Peer;
use jiff::Timestamp;

use super::paint::Paint;
use super::table::{self, Column, Painted};
use super::time;

/// The columns of the list of peers.
const LAYOUT: [Column; 5] = [
    Column::new("PEER"),
    Column::new("LINK").spare(1),
    Column::new("HOLDS").flexible(),
    Column::new("RTT").spare(3),
    Column::new("PATH").spare(2),
];

/// Returns a line for each peer, below a heading.
pub(crate) fn lines(peers: &[Peer], columns: Option<u16>, now: Timestamp) -> Vec<String> {
    let rows: Vec<Vec<Painted>> = peers.iter().map(|peer| row(peer, now)).collect();
    table::lines(&LAYOUT, &rows, columns)
}

fn row(peer: &Peer, now: Timestamp) -> Vec<Painted> {
    // Heard by what others pass on: it is there, and only no link to it stands.
    let heard = peer.last_heard.as_ref().filter(|heard| Some(*heard) > peer.last_seen.as_ref());
    let link = match (&peer.last_seen, heard) {
        _ if peer.banned => (Paint::Bad, "kept out".to_owned()),
        _ if peer.connected => (Paint::Good, linked(peer)),
        (_, Some(date)) => (Paint::Slow, format!("heard {}", time::ago(date, now))),
        (Some(date), None) => (Paint::Faint, format!("seen {}", time::ago(date, now))),
        (None, None) => (Paint::Faint, "never seen".to_owned()),
    };
    let entries = if peer.lag_entries == 1 { "entry" } else { "entries" };
    let holds = match (peer.progress.filter(|_| peer.connected), peer.lag_entries) {
        (Some(progress), _) => (Paint::Slow, format!("catching up, {} of {}", progress.done, progress.total)),
        (None, 0) => (Paint::Good, "all that is here".to_owned()),
        (None, lag) if peer.connected => (Paint::Slow, format!("{lag} {entries} behind")),
        // What a node did not live to write down, or got from others since, is not known here.
        (None, lag) => {
            let then = peer.last_seen.as_deref().map(|date| format!(", as of {}", time::ago(date, now)));
            (Paint::Slow, format!("at most {lag} {entries} behind{}", then.unwrap_or_default()))
        }
    };
    let path = if peer.connected { peer.path.clone().unwrap_or_default() } else { String::new() };
    let round_trip = peer.round_trip_us.filter(|_| peer.connected).map(round_trip).unwrap_or_default();
    vec![(Paint::Strong, peer.name.clone()), link, holds, (Paint::Faint, round_trip), (Paint::Faint, path)]
}

/// Says which way a link takes.
fn linked(peer: &Peer) -> String {
    match (peer.route.as_deref(), &peer.through) {
        (Some("relayed"), Some(relay)) => format!("through {relay}"),
        (Some(route), _) => route.to_owned(),
        (None, _) => "connected".to_owned(),
    }
}

/// Shows microseconds as people read them.
fn round_trip(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{} ms", micros / 1_000),
    }
}
