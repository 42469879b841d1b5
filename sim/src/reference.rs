//! The reference: what the union of all sets folds to, in a replica that never crashed and got it in an order of its own.
//!
//! A node's state is a pure function of the set of its entries. So whatever nodes went through, each must show what one
//! shows that was handed the whole set at once, shuffled.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::entry::{Entry, Sealed, Set};
use beadmesh_protocol::id::{EntryId, MeshId, NodeId};
use beadmesh_protocol::limits::WIRE_VERSION;
use beadmesh_protocol::reconcile::Summary;
use beadmesh_protocol::sync::WINDOW_BYTES;
use beadmesh_protocol::wire::{Frame, Hello};
use beadmesh_store::command::{AgentAnswer, Answer, ClaimFilter, Command, CommandError, Filter};
use beadmesh_store::memory::{MemoryKv, SharedKv};
use beadmesh_store::replica::{Config, Input, LinkId, Output, Replica, RequestId};
use beadmesh_store::{Kv as _, Membership};
use ed25519_dalek::SigningKey;

use crate::disk;
use crate::random::Stream;
use crate::view::View;

/// Bytes of entries in one frame. No bytes are made of it, so it may be longer than one that travels: a thousand members
/// then come to know each other at once, and not in halves that differ from node to node.
const FRAME_BYTES: usize = 4 * 1024 * 1024;

/// Folds a union of entries and returns what it shows. `from` is a member in whose name they are handed over.
///
/// # Errors
/// Says in words why the replica did not take them.
pub(crate) fn fold(
    seed: u64,
    mesh: MeshId,
    union: &BTreeMap<EntryId, Sealed>,
    from: NodeId,
    now: Now,
) -> Result<View, String> {
    let now = Now { mono: Instant::default(), wall: now.wall };
    let mut stream = Stream::keyed(seed, "model", 0, 0);
    let mut entries = Vec::with_capacity(union.len());
    for sealed in union.values() {
        entries.push(Entry::open(mesh, sealed.clone()).map_err(|error| error.to_string())?);
    }
    stream.shuffle(&mut entries);
    let (control, data): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.set() == Set::Control);
    let store = SharedKv::new(MemoryKv::seeded(seed));
    let config = Config {
        key: SigningKey::from_bytes(&stream.bytes()),
        seed: stream.bytes(),
        machine: "reference".to_owned(),
        node_name: "reference".to_owned(),
        mesh_name: "sim".to_owned(),
        boot: [0; 16],
        votes: false,
        renew_instance: false,
        documents_max: 64,
        window_bytes: WINDOW_BYTES,
        membership: Some(Membership { mesh, control: control.iter().map(Entry::seal).collect() }),
        folds: None,
    };
    let opened = Replica::open(Box::new(store.clone()), config, now).map_err(|error| error.to_string())?;
    let mut replica = opened.replica;
    hand_over(&mut replica, now, (mesh, from), data)?;
    let mut requests = 0;
    let mut view = look(None, Look::Shown, &mut |command| {
        requests += 1;
        ask(&mut replica, now, RequestId(requests), command).ok()
    })
    .ok_or("it does not answer")?;
    view.entries = disk::signed(mesh, union);
    view.stored_bytes = store.lock().size_on_disk().unwrap_or(0);
    Ok(view)
}

/// Hands entries over as a peer would push them; returns the members that the replica names anew, if it does.
///
/// # Errors
/// Says in words why the replica did not take them.
pub(crate) fn hand_over(
    replica: &mut Replica,
    now: Now,
    (mesh, from): (MeshId, NodeId),
    entries: Vec<Entry>,
) -> Result<Option<BTreeSet<NodeId>>, String> {
    let link = LinkId(1);
    let empty = Summary::default();
    let hello = Hello { version: WIRE_VERSION, mesh, control: empty, data: empty };
    let mut frames = vec![Frame::Hello(hello)];
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        bytes += entry.bytes_len();
        batch.push(entry);
        if bytes > FRAME_BYTES {
            frames.push(Frame::Entries(std::mem::take(&mut batch)));
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        frames.push(Frame::Entries(batch));
    }
    let mut inputs = vec![Input::LinkUp(link, from, "/reference".to_owned())];
    inputs.extend(frames.into_iter().map(|frame| Input::Frame(link, frame)));
    inputs.push(Input::LinkDown(link));
    let mut known = None;
    for input in inputs {
        replica.handle(now, input);
        for output in replica.flush().map_err(|error| error.to_string())? {
            match output {
                Output::Close { reason, .. } => return Err(reason),
                Output::Members(members) => known = Some(members.into_iter().map(|(node, _)| node).collect()),
                _ => {}
            }
        }
    }
    Ok(known)
}

fn ask(replica: &mut Replica, now: Now, request: RequestId, command: Command) -> Result<Answer, CommandError> {
    replica.handle(now, Input::Command(request, command));
    let outputs = replica.flush().map_err(|error| CommandError::Store(error.to_string()))?;
    let reply = outputs.into_iter().find_map(|output| match output {
        Output::Reply(id, answer) if id == request => Some(*answer),
        _ => None,
    });
    reply.unwrap_or_else(|| Err(CommandError::Store("no reply".to_owned())))
}

/// How closely a replica is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// At what it shows.
    Shown,
    /// Also at what its own check finds, which folds every document again.
    Checked,
}

/// Looks at everything a replica shows; `None` once a question is not answered.
pub(crate) fn look(place: Option<u32>, how: Look, ask: &mut dyn FnMut(Command) -> Option<Answer>) -> Option<View> {
    let Answer::Status(status) = ask(Command::Status)? else { return None };
    let Answer::Members(members, _) = ask(Command::Members)? else { return None };
    let beads = listed(ask(Command::List(Filter { all: true, ..Filter::default() }))?);
    let ready = listed(ask(Command::Ready(Filter::default()))?);
    let blocked = listed(ask(Command::Blocked(Filter::default()))?);
    let all = ClaimFilter { all: true, ..ClaimFilter::default() };
    let Answer::Claims(claims) = ask(Command::ListClaims(all))? else { return None };
    let Answer::ExportIndex(ids) = ask(Command::ExportIndex(None))? else { return None };
    let Answer::Lines(lines) = ask(Command::ExportLines(ids))? else { return None };
    let Answer::Agents(agents) = ask(Command::AgentList { all: true })? else { return None };
    let Answer::MailExport(mut mail) = ask(Command::MailExport)? else { return None };
    let system = std::mem::take(&mut mail.system);
    let findings = match how {
        Look::Shown => Vec::new(),
        Look::Checked => {
            let Answer::Checked(findings) = ask(Command::Check)? else { return None };
            findings
        }
    };
    Some(View {
        place,
        sets: status.digest,
        entries: BTreeMap::new(),
        members,
        peers: status.peers,
        beads: beads.into_iter().map(|bead| (bead.bead.id, bead)).collect(),
        ready: ready.into_iter().map(|bead| bead.bead.id).collect(),
        blocked: blocked.into_iter().map(|bead| bead.bead.id).collect(),
        claims: claims.into_iter().map(|claim| (claim.id, claim)).collect(),
        lines,
        agents: seen_from_afar(agents),
        mail: *mail,
        system,
        findings,
        stored_bytes: 0,
    })
}

/// Returns agents in the order of ids, without what their own node alone says of them.
fn seen_from_afar(agents: Vec<AgentAnswer>) -> Vec<AgentAnswer> {
    let mut agents: Vec<AgentAnswer> = agents
        .into_iter()
        .map(|agent| AgentAnswer { here: false, last_used: None, in_reach: false, ..agent })
        .collect();
    agents.sort_by_key(|agent| agent.id);
    agents
}

/// Returns the beads of an answer that lists some.
fn listed(answer: Answer) -> Vec<beadmesh_store::command::BeadAnswer> {
    if let Answer::Beads(page) = answer { page.beads } else { Vec::new() }
}
