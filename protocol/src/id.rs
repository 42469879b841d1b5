//! Names of things: fixed-size byte strings that compare, print and parse one way everywhere.
//!
//! Nothing here decides what an id means; that is said where the noun lives.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD_NOCASE, Encoding, HEXLOWER};
use serde::{Deserialize, Serialize};

/// Why a text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected {expected} characters of {alphabet}, got {text:?}")]
pub struct ParseIdError {
    /// The kind of id that was wanted.
    pub kind: &'static str,
    /// The number of characters such an id has.
    pub expected: usize,
    /// The alphabet such an id is written in.
    pub alphabet: &'static str,
    /// The text as given, cut to 80 characters.
    pub text: String,
}

/// Writes bytes as lower-case base32 (RFC 4648, no padding).
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD_NOCASE.encode(bytes).to_ascii_lowercase()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $alphabet:literal, $encoding:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The number of bytes in such an id.
            pub const BYTES: usize = $bytes;

            /// Wraps the bytes of an id.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Reads an id from a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Returns the bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Returns the first characters of the printed id, enough for a person to tell two apart.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let encoding: &Encoding = &$encoding;
                f.write_str(&encoding.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let encoding: &Encoding = &$encoding;
                let error = || ParseIdError {
                    kind: stringify!($name),
                    expected: encoding.encode_len($bytes),
                    alphabet: $alphabet,
                    text: text.chars().take(80).collect(),
                };
                let bytes = encoding.decode(text.as_bytes()).map_err(|_| error())?;
                Self::from_slice(&bytes).ok_or_else(error)
            }
        }
    };
}

id! {
    /// Names a node: its ed25519 public key, which is also its libp2p identity.
    NodeId, 32, "base32", BASE32_NOPAD_NOCASE
}
id! {
    /// Names an entry: BLAKE3 over its domain, its mesh and its bytes.
    EntryId, 32, "hex", HEXLOWER
}
id! {
    /// Names a mesh: the id of its founding entry.
    MeshId, 32, "hex", HEXLOWER
}
id! {
    /// Names one opening of a store on one piece of hardware; an author's entries are counted within it.
    InstanceId, 8, "hex", HEXLOWER
}
id! {
    /// Names one bead everywhere: 16 bytes, random or derived from an imported id, shown by alias.
    BeadId, 16, "base32", BASE32_NOPAD_NOCASE
}
id! {
    /// Names a project: the first 16 bytes of BLAKE3 over the first key it was known by.
    ProjectId, 16, "base32", BASE32_NOPAD_NOCASE
}
id! {
    /// Names an automerge change: SHA-256 of its chunk, as automerge defines it.
    ChangeHash, 32, "hex", HEXLOWER
}
id! {
    /// Names an open invite: BLAKE3 of its secret, so the secret itself is never sent.
    InviteId, 16, "base32", BASE32_NOPAD_NOCASE
}

id! {
    /// Names an agent: 16 bytes of BLAKE3 over its node and its name, so that every copy of a node knows it alike.
    AgentId, 16, "base32", BASE32_NOPAD_NOCASE
}
id! {
    /// Names a voter: random bytes that die with the disk they were drawn on.
    VoterId, 16, "base32", BASE32_NOPAD_NOCASE
}
id! {
    /// Names a claim: 16 bytes of BLAKE3 over its node and what it says, so that it is one claim whoever brings it.
    ClaimId, 16, "base32", BASE32_NOPAD_NOCASE
}
id! {
    /// Names a letter: 16 bytes of BLAKE3 over what it says, so that it is one letter whoever brings it.
    LetterId, 16, "base32", BASE32_NOPAD_NOCASE
}
id! {
    /// Names a blob: BLAKE3 of its bytes.
    BlobHash, 32, "hex", HEXLOWER
}

impl MeshId {
    /// The mesh a founding entry is hashed under, because its own is not known before it is hashed.
    pub const NONE: Self = Self([0; 32]);
}

impl From<EntryId> for MeshId {
    fn from(founding: EntryId) -> Self {
        Self(founding.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_printed_form() {
        let bead = BeadId::from_bytes([0xab; 16]);
        assert_eq!(bead.to_string().parse(), Ok(bead));
        let entry = EntryId::from_bytes([0xcd; 32]);
        assert_eq!(entry.to_string().parse(), Ok(entry));
    }

    #[test]
    fn a_wrong_length_is_refused_with_the_right_one() {
        let error = "abcd".parse::<EntryId>().expect_err("4 characters are not 64");
        assert_eq!(error.to_string(), "not a EntryId: expected 64 characters of hex, got \"abcd\"");
    }

    #[test]
    fn upper_case_base32_names_the_same_bead() {
        let bead = BeadId::from_bytes([7; 16]);
        assert_eq!(bead.to_string().to_ascii_uppercase().parse(), Ok(bead));
    }
}
