//! The one place where a node's id and a libp2p peer id turn into each other.

use beadmesh_protocol::id::NodeId;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use zeroize::Zeroizing;

/// What stands before the 32 bytes of an ed25519 key in a peer id: an identity multihash of 36 bytes, holding a
/// protobuf of key type 1 and 32 bytes of key.
///
/// Source: libp2p specification, peer-ids.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Returns the peer id of a node.
pub(super) fn peer_id(node: NodeId) -> PeerId {
    let mut bytes = [0; PREFIX.len() + NodeId::BYTES];
    bytes[..PREFIX.len()].copy_from_slice(&PREFIX);
    bytes[PREFIX.len()..].copy_from_slice(node.as_bytes());
    PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
}

/// Returns the node of a peer id, or `None` where its key is not an ed25519 key.
pub(super) fn node_id(peer: &PeerId) -> Option<NodeId> {
    NodeId::from_slice(peer.to_bytes().strip_prefix(&PREFIX)?)
}

/// Makes the libp2p identity of a node's secret.
pub(super) fn keypair(secret: &Zeroizing<[u8; 32]>) -> Keypair {
    let copy = secret.clone();
    Keypair::ed25519_from_bytes(copy).expect("any 32 bytes are an ed25519 secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_its_peer_id_name_the_same_key() {
        let key = keypair(&Zeroizing::new([7; 32]));
        let peer = key.public().to_peer_id();
        let node = node_id(&peer).unwrap();
        assert_eq!(peer_id(node), peer);
    }
}
