//! What a replica begins with where its store has no identity yet: a mesh of its own, or the one it was in.

use beadmesh_protocol::clock::Now;
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{InstanceId, MeshId, VoterId};
use beadmesh_protocol::op::{Found, Op};
use beadmesh_protocol::planted::{self, Bug};
use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;

use super::beads::Beads;
use super::entries::{Entries, Identity};
use super::mesh::Mesh;
use super::voting::{self, Past, Votes, Voting};
use super::{Config, random};
use crate::keys;
use crate::membership::Membership;
use crate::stage::{Stage, StoreError};

/// What a replica begins with.
pub(super) struct Begun {
    pub(super) entries: Entries,
    pub(super) control: Vec<Entry>,
    /// The secret half of the recovery key of a mesh that is founded just now.
    pub(super) recovery: Option<SigningKey>,
    /// Whether what was promised before is known.
    pub(super) past: Past,
}

/// Goes on with what a store holds, or begins a mesh in an empty one.
pub(super) fn begin(
    stage: &mut Stage,
    rng: &mut ChaCha20Rng,
    config: &Config,
    beads: &Beads,
    now: Now,
) -> Result<Begun, StoreError> {
    let Some(identity) = stage.record::<Identity>(keys::IDENTITY)? else {
        // Views of nothing are built; building them would commit the mesh before its first flush.
        beads.mark_built(stage);
        let (past, begun) = match &config.membership {
            Some(membership) => (Past::Broken, rejoin(stage, rng, config, membership, now)?),
            None => (Past::Whole, found(stage, rng, config, now)),
        };
        let (entries, control, recovery) = begun;
        return Ok(Begun { entries, control, recovery, past });
    };
    let moved = config.renew_instance || identity.machine != config.machine;
    let moved = moved && !planted::is(Bug::InstanceKept);
    let mut entries = Entries::open(stage, config.key.clone(), identity, now.wall)?;
    if moved {
        let instance = InstanceId::from_bytes(random(rng));
        entries.renew_instance(stage, instance, config.machine.clone());
    }
    let control = entries.load_control(stage)?;
    let past = if moved { Past::Broken } else { Past::Whole };
    Ok(Begun { entries, control, recovery: None, past })
}

/// Opens this node's voter.
pub(super) fn voting(
    stage: &mut Stage,
    rng: &mut ChaCha20Rng,
    (config, mesh, past): (&Config, &Mesh, Past),
    now: Now,
) -> Result<Voting, StoreError> {
    let (node, founder) = (mesh.here(), mesh.roster().founder);
    let first = (founder == node).then(|| voting::first_epoch(mesh.roster().mesh, founder));
    let votes = if config.votes { Votes::Yes } else { Votes::No };
    let fresh = VoterId::from_bytes(random(rng));
    Voting::open(stage, (node, first), (config.boot, past, votes), fresh, now.mono)
}

/// Founds a mesh of one.
fn found(
    stage: &mut Stage,
    rng: &mut ChaCha20Rng,
    config: &Config,
    now: Now,
) -> (Entries, Vec<Entry>, Option<SigningKey>) {
    let recovery = SigningKey::from_bytes(&random(rng));
    let instance = InstanceId::from_bytes(random(rng));
    let identity = Identity { mesh: MeshId::NONE, instance, machine: config.machine.clone() };
    let mut entries = Entries::fresh(stage, config.key.clone(), identity);
    let found = Op::Found(Found {
        name: config.mesh_name.clone(),
        recovery: recovery.verifying_key().to_bytes(),
        node_name: config.node_name.clone(),
    });
    let founding = entries.found(stage, now.wall, found.encode());
    (entries, vec![founding], Some(recovery))
}

/// Goes on in a mesh as a new instance, with nothing but its control entries.
fn rejoin(
    stage: &mut Stage,
    rng: &mut ChaCha20Rng,
    config: &Config,
    membership: &Membership,
    now: Now,
) -> Result<(Entries, Vec<Entry>, Option<SigningKey>), StoreError> {
    let unsound = || StoreError::Undecodable { key: "of the membership kept beside the store".to_owned() };
    let control = membership.entries().ok_or_else(unsound)?;
    let instance = InstanceId::from_bytes(random(rng));
    let identity = Identity { mesh: membership.mesh, instance, machine: config.machine.clone() };
    let mut entries = Entries::fresh(stage, config.key.clone(), identity);
    for entry in &control {
        entries.keep(stage, now.wall, entry)?;
    }
    Ok((entries, control, None))
}

#[cfg(test)]
mod tests;
