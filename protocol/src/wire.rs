//! Frames: what two nodes say to each other on one link, as canonical postcard.
//!
//! Decoding a frame opens and checks every entry in it, so what reaches the core is sound in form.

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, EntryError, Sealed, Set};
use crate::id::{EntryId, MeshId};
use crate::limits::{FRAME_BYTES_MAX, FRAME_IDS_MAX};
use crate::reconcile::Summary;

/// What a link carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// First on every link, and again whenever a side wants the sets compared.
    Hello(Hello),
    /// One message of a reconciliation.
    Reconcile(Reconcile),
    /// The end of a reconciliation, from the side that began it.
    Reconciled(Reconciled),
    /// Asks for entries by id.
    Want(Vec<EntryId>),
    /// Entries, wanted or pushed.
    Entries(Vec<Entry>),
    /// Entries that are durable here now; the sender of an id not yet known to the receiver can be asked for it.
    Ack(Vec<EntryId>),
    /// The last frame before the link is closed, with a reason for people.
    Bye(String),
}

/// Says who speaks and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The wire version.
    pub version: u16,
    /// The mesh both must be in.
    pub mesh: MeshId,
    /// What the sender holds of the control set.
    pub control: Summary,
    /// What the sender holds of the data set.
    pub data: Summary,
}

/// One message of a reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconcile {
    /// The set that is compared.
    pub set: Set,
    /// Whether this begins a reconciliation; the receiver then freezes a new snapshot.
    pub first: bool,
    /// A message of negentropy protocol version 1.
    #[serde(with = "serde_bytes")]
    pub message: Vec<u8>,
}

/// What a reconciliation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// The set that was compared.
    pub set: Set,
    /// Entries the sender of this frame lacks, and will want.
    pub lacking: u64,
    /// Entries the receiver of this frame lacks, and will get.
    pub coming: u64,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than any may be.
    #[error("frame of {0} bytes exceeds the limit of {FRAME_BYTES_MAX}")]
    TooLong(usize),
    /// The bytes do not decode, or something follows what they decode to.
    #[error("frame does not decode")]
    Malformed,
    /// The frame lists more ids than any may.
    #[error("frame lists {0} ids, the limit is {FRAME_IDS_MAX}")]
    TooManyIds(usize),
    /// An entry in the frame is not sound.
    #[error("unsound entry: {0}")]
    Entry(#[from] EntryError),
}

/// The form in which frames travel.
#[derive(Serialize, Deserialize)]
enum Encoded<'a> {
    Hello(Hello),
    Reconcile(Reconcile),
    Reconciled(Reconciled),
    Want(Vec<EntryId>),
    Entries(Vec<Sealed>),
    Ack(Vec<EntryId>),
    Bye(&'a str),
}

impl Frame {
    /// Encodes the frame.
    pub fn encode(&self) -> Vec<u8> {
        let encoded = match self {
            Self::Hello(hello) => Encoded::Hello(hello.clone()),
            Self::Reconcile(reconcile) => Encoded::Reconcile(reconcile.clone()),
            Self::Reconciled(reconciled) => Encoded::Reconciled(*reconciled),
            Self::Want(ids) => Encoded::Want(ids.clone()),
            Self::Entries(entries) => Encoded::Entries(entries.iter().map(Entry::seal).collect()),
            Self::Ack(ids) => Encoded::Ack(ids.clone()),
            Self::Bye(reason) => Encoded::Bye(reason),
        };
        postcard::to_stdvec(&encoded).expect("frames have a postcard form")
    }

    /// Decodes a frame and checks every entry in it, signatures included.
    ///
    /// This is the dear part of receiving, and it is pure: a driver may run it on any thread.
    ///
    /// # Errors
    /// When the peer has broken the form; the link is then closed and nothing of the frame is kept.
    pub fn decode(mesh: MeshId, bytes: &[u8]) -> Result<Self, FrameError> {
        Self::decode_by(bytes, &mut |sealed| Entry::open(mesh, sealed))
    }

    /// Decodes a frame whose entries are opened by the caller, who may remember which ones were found sound before.
    ///
    /// # Errors
    /// As `decode`.
    pub fn decode_by(
        bytes: &[u8],
        open: &mut dyn FnMut(Sealed) -> Result<Entry, EntryError>,
    ) -> Result<Self, FrameError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(bytes.len()));
        }
        let (encoded, rest) = postcard::take_from_bytes(bytes).map_err(|_| FrameError::Malformed)?;
        if !rest.is_empty() {
            return Err(FrameError::Malformed);
        }
        match encoded {
            Encoded::Hello(hello) => Ok(Self::Hello(hello)),
            Encoded::Reconcile(reconcile) => Ok(Self::Reconcile(reconcile)),
            Encoded::Reconciled(reconciled) => Ok(Self::Reconciled(reconciled)),
            Encoded::Want(ids) => Ok(Self::Want(bounded(ids)?)),
            Encoded::Ack(ids) => Ok(Self::Ack(bounded(ids)?)),
            Encoded::Entries(entries) => {
                let entries = entries.into_iter().map(open).collect::<Result<_, _>>()?;
                Ok(Self::Entries(entries))
            }
            Encoded::Bye(reason) => Ok(Self::Bye(reason.chars().take(200).collect())),
        }
    }
}

fn bounded(ids: Vec<EntryId>) -> Result<Vec<EntryId>, FrameError> {
    if ids.len() <= FRAME_IDS_MAX { Ok(ids) } else { Err(FrameError::TooManyIds(ids.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::MeshFixture;

    fn samples() -> (MeshId, Vec<Frame>) {
        let fixture = MeshFixture::founded();
        let summary = Summary::of([fixture.entries[0].id()]);
        let frames = vec![
            Frame::Hello(Hello { version: 1, mesh: fixture.mesh, control: summary, data: Summary::default() }),
            Frame::Reconcile(Reconcile { set: Set::Data, first: true, message: vec![0x61, 1, 2] }),
            Frame::Reconciled(Reconciled { set: Set::Control, lacking: 3, coming: 4 }),
            Frame::Want(vec![fixture.entries[0].id()]),
            Frame::Entries(fixture.entries.clone()),
            Frame::Ack(vec![]),
            Frame::Bye("closing".into()),
        ];
        (fixture.mesh, frames)
    }

    #[test]
    fn every_frame_reads_back_and_tolerates_no_trailing_byte() {
        let (mesh, frames) = samples();
        for frame in frames {
            let mut bytes = frame.encode();
            assert_eq!(Frame::decode(mesh, &bytes), Ok(frame));
            bytes.push(0);
            assert_eq!(Frame::decode(mesh, &bytes), Err(FrameError::Malformed));
        }
    }

    #[test]
    fn a_frame_with_one_forged_entry_is_refused_whole() {
        let fixture = MeshFixture::founded();
        let mut sealed = fixture.entries[0].seal();
        sealed.signature[0] ^= 1;
        let bytes = postcard::to_stdvec(&Encoded::Entries(vec![fixture.entries[0].seal(), sealed])).unwrap();
        let error = Frame::decode(fixture.mesh, &bytes);
        assert!(matches!(error, Err(FrameError::Entry(EntryError::BadSignature(_)))), "{error:?}");
    }

    #[test]
    fn bounds_are_named() {
        let (mesh, _) = samples();
        assert_eq!(Frame::decode(mesh, &vec![0; FRAME_BYTES_MAX + 1]), Err(FrameError::TooLong(FRAME_BYTES_MAX + 1)));
        let ids = vec![EntryId::from_bytes([0; 32]); FRAME_IDS_MAX + 1];
        assert_eq!(Frame::decode(mesh, &Frame::Want(ids).encode()), Err(FrameError::TooManyIds(FRAME_IDS_MAX + 1)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (mesh, _) = samples();
            let _ = Frame::decode(mesh, &bytes);
        }
    }
}
