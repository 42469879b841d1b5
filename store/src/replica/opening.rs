//! What a replica begins with where its store has no identity yet: a mesh of its own, or the one it was in.

use beadmesh_protocol::clock::Now;
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{InstanceId, MeshId};
use beadmesh_protocol::op::{Found, Op};
use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;

use super::entries::{Entries, Identity};
use super::{Config, random};
use crate::membership::Membership;
use crate::stage::{Stage, StoreError};

/// Founds a mesh of one.
pub(super) fn found(
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
pub(super) fn rejoin(
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
