//! The secret key of a home, and the one that is to go on in its place.

use std::fs;
use std::io;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::{Home, HomeError};

pub(super) const KEY: &str = "node.key";
pub(super) const NEXT_KEY: &str = "node.key.next";
const KEY_BYTES: usize = 32;

impl Home {
    /// Returns the node's secret key, if there is one.
    pub(crate) fn existing_key(&self) -> Result<Option<SigningKey>, HomeError> {
        self.read_key(KEY)
    }

    /// Returns the node's secret key, made and kept at the first call. The caller holds the lock.
    ///
    /// # Errors
    /// When the key can not be read or kept, is open to others, or has another length.
    pub fn key(&self) -> Result<SigningKey, HomeError> {
        match self.existing_key()? {
            Some(key) => Ok(key),
            None => self.make_key(KEY),
        }
    }

    /// Returns the key that is to go on in the place of the node's, if there is one.
    pub(crate) fn next_key(&self) -> Result<Option<SigningKey>, HomeError> {
        self.read_key(NEXT_KEY)
    }

    /// Makes the key that is to go on in the place of the node's, and keeps it beside that.
    pub(crate) fn make_next_key(&self) -> Result<SigningKey, HomeError> {
        self.make_key(NEXT_KEY)
    }

    /// Puts the next key in the place of the node's, which is gone.
    pub(crate) fn place_next_key(&self) -> Result<(), HomeError> {
        let path = self.key_path(KEY);
        fs::rename(self.key_path(NEXT_KEY), &path).map_err(|source| HomeError::io(&path, source))?;
        self.sync()
    }

    /// Forgets the next key, which nothing has been signed by.
    pub(crate) fn drop_next_key(&self) -> Result<(), HomeError> {
        let path = self.key_path(NEXT_KEY);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HomeError::io(&path, error)),
            _ => self.sync(),
        }
    }

    fn read_key(&self, name: &str) -> Result<Option<SigningKey>, HomeError> {
        let Some(read) = self.read_private(name)? else { return Ok(None) };
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if read.len() != KEY_BYTES {
            return Err(HomeError::KeyBytes { path: self.key_path(name), bytes: read.len() });
        }
        bytes.copy_from_slice(&read);
        Ok(Some(SigningKey::from_bytes(&bytes)))
    }

    fn make_key(&self, name: &str) -> Result<SigningKey, HomeError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| HomeError::Random)?;
        self.write_private(name, bytes.as_slice())?;
        Ok(SigningKey::from_bytes(&bytes))
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }
}
