//! The checksum that every stored value carries: 4 bytes of CRC-32 over key and value, little-endian, at the end.
//!
//! The key is covered too, so that a value that turns up under another key is noticed. It guards against damage, not
//! against people.

use super::KvError;

/// Bytes that sealing adds.
pub(crate) const SUM_BYTES: usize = 4;

/// Returns `value` with its checksum.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + SUM_BYTES);
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&sum(key, value).to_le_bytes());
    sealed
}

/// Returns the value inside `sealed`.
pub(crate) fn open<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], KvError> {
    match sealed.split_last_chunk::<SUM_BYTES>() {
        Some((value, stored)) if sum(key, value) == u32::from_le_bytes(*stored) => Ok(value),
        _ => Err(damaged(key)),
    }
}

/// Says that the record under `key` is damaged.
pub(crate) fn damaged(key: &[u8]) -> KvError {
    KvError::Corrupt { what: format!("the record under key {}", hex(key)) }
}

fn sum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_under_its_own_key_only() {
        let sealed = seal(b"key", b"value");
        assert_eq!(open(b"key", &sealed).unwrap(), b"value");
        assert!(open(b"kez", &sealed).is_err());
    }

    #[test]
    fn any_flipped_bit_or_cut_is_noticed_and_names_the_key() {
        let sealed = seal(b"\x01\xab", b"value");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = open(b"\x01\xab", &damaged).unwrap_err();
            assert!(error.to_string().contains("01ab"), "{error}");
        }
        for len in 0..sealed.len() {
            assert!(open(b"\x01\xab", &sealed[..len]).is_err());
        }
    }
}
