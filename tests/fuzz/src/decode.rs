//! Decoders of all that comes from elsewhere: whatever is taken is said again in the same bytes, or at least means the same.

use std::str::FromStr;
use std::sync::OnceLock;

use beadmesh_protocol::agent::{self, Token};
use beadmesh_protocol::bead::Status;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::blob;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, RawOp, Sealed};
use beadmesh_protocol::id::{AgentId, BeadId, EntryId, MeshId, NodeId, base32};
use beadmesh_protocol::invite::{JoinAnswer, JoinRequest, Ticket};
use beadmesh_protocol::lease::{Answer, Ask, Message};
use beadmesh_protocol::notice::Notice;
use beadmesh_protocol::op::Op;
use beadmesh_protocol::project::ProjectKey;
use beadmesh_protocol::testing::MeshFixture;
use beadmesh_protocol::wire::Frame;

/// Returns the mesh that all inputs are of.
pub(crate) fn mesh() -> MeshId {
    static MESH: OnceLock<MeshId> = OnceLock::new();
    *MESH.get_or_init(|| MeshFixture::founded().mesh)
}

/// Takes a signature of 64 bytes and the content that it is said to be of.
pub fn entry(data: &[u8]) {
    let Some((signature, bytes)) = data.split_first_chunk::<64>() else { return };
    let sealed = Sealed { bytes: bytes.to_vec(), signature: *signature };
    let opened = Entry::open(mesh(), sealed.clone());
    let trusted = Entry::open_trusted(mesh(), sealed.clone());
    if let Ok(opened) = opened {
        assert_eq!(Some(&opened), trusted.as_ref().ok(), "who is signed is well-formed");
    }
    let Ok(entry) = trusted else { return };
    assert_eq!(entry.seal(), sealed);
    assert!(entry.control_ops().len() <= entry.content().ops.len());
    entry.content().ops.iter().for_each(decode);
}

/// Takes the number of a kind, two bytes, and the body of an operation.
pub fn op(data: &[u8]) {
    let Some((kind, body)) = data.split_first_chunk::<2>() else { return };
    decode(&RawOp { kind: u16::from_le_bytes(*kind), body: body.to_vec() });
}

fn decode(raw: &RawOp) {
    let Ok(op) = Op::decode(raw) else { return };
    assert_eq!(op.encode(), *raw);
    if let Op::Bead(bead) = op
        && let Ok(change) = Change::from_wire(&bead.change)
    {
        assert_eq!(change.to_wire(), bead.change);
    }
}

/// Takes a frame of a link. Its entries need no right signature, for no fuzzer makes one.
pub fn frame(data: &[u8]) {
    let decode = |bytes: &[u8]| Frame::decode_by(bytes, &mut |sealed| Entry::open_trusted(mesh(), sealed));
    let _ = Frame::decode(mesh(), data);
    let Ok(frame) = decode(data) else { return };
    assert_eq!(decode(&frame.encode()), Ok(frame));
}

/// Takes a node and what it says to all.
pub fn notice(data: &[u8]) {
    let Some((from, bytes)) = data.split_first_chunk::<32>() else { return };
    let from = NodeId::from_bytes(*from);
    let _ = Notice::decode(mesh(), from, bytes);
    if let Ok(notice) = Notice::decode_by(from, bytes, &mut |sealed| Entry::open_trusted(mesh(), sealed)) {
        assert_eq!(notice.encode(), bytes);
    }
}

/// Takes a message about leases.
pub fn lease(data: &[u8]) {
    let Ok(message) = Message::decode(data) else { return };
    assert_eq!(Message::decode(&message.encode()), Ok(message.clone()));
    let shown = match &message {
        Message::Ask(Ask::Acquire(ask)) => {
            assert!(!ask.terms.excludes(&ask.terms) || ask.terms.scope.meets(&ask.terms.scope));
            ask.held_by.as_slice()
        }
        Message::Answer(Answer::Granted { promise, .. }) => std::slice::from_ref(promise),
        _ => &[],
    };
    for promise in shown {
        assert!(!promise.is_by(mesh(), NodeId::from_bytes([1; 32])), "no fuzzer signs");
    }
}

/// Takes what kind it is and then a request, an answer, or a ticket without its checksum or as a text.
pub fn join(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 4 {
        0 => {
            if let Ok(request) = JoinRequest::decode(bytes) {
                assert_eq!(JoinRequest::decode(&request.encode()), Ok(request));
            }
        }
        1 => {
            let Ok(answer) = JoinAnswer::decode(bytes) else { return };
            assert_eq!(JoinAnswer::decode(&answer.encode()), Ok(answer.clone()));
            let JoinAnswer::Welcome(sealed) = answer else { return };
            sealed.into_iter().for_each(|sealed| drop(Entry::open_trusted(mesh(), sealed)));
        }
        2 => {
            let checksum = blake3::hash(bytes);
            let text = format!("bm1{}", base32(&[bytes, &checksum.as_bytes()[..4]].concat()));
            reads_back::<Ticket>(&text);
        }
        _ => reads_back::<Ticket>(&String::from_utf8_lossy(bytes)),
    }
}

/// Takes a request for a blob, or an answer.
pub fn blob(data: &[u8]) {
    if let Ok(request) = blob::Request::decode(data) {
        assert_eq!(blob::Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(answer) = blob::Answer::decode(data) {
        assert_eq!(blob::Answer::decode(&answer.encode()), Ok(answer));
    }
}

/// Takes a text as each kind of name that people and other nodes write.
pub fn name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    reads_back::<NodeId>(&text);
    reads_back::<EntryId>(&text);
    reads_back::<BeadId>(&text);
    reads_back::<AgentId>(&text);
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.reveal().parse(), Ok(token.clone()));
    }
    for key in [ProjectKey::from_remote(&text), ProjectKey::parse(&text), ProjectKey::from_name(&text)] {
        let Ok(key) = key else { continue };
        assert_eq!(ProjectKey::parse(key.as_str()).as_ref(), Ok(&key));
    }
    let _ = ProjectKey::from_root_commit(&text);
    let _ = agent::check_name(&text);
    if let Some(wall) = Wall::parse_lenient(&text) {
        assert_eq!(Wall::parse(&wall.to_string()), Some(wall));
    }
    let status = Status::from(text.to_string());
    assert_eq!(Status::from(status.as_str().to_owned()), status);
}

/// Reads a text and what is written for it again, which must be the same.
fn reads_back<T: FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert!(value.to_string().parse::<T>().is_ok_and(|again| again == value), "{text} does not read back");
    }
}
