//! Remembers what the protocol decides: sled behind `Kv`, its opening and the lock of a home.
//!
//! It starts no threads of its own, waits for nothing but the disk, and knows no network.

pub mod backup;
pub mod blobs;
pub mod command;
mod directory;
pub mod folds;
mod keys;
pub mod kv;
pub mod lock;
mod membership;
pub mod memory;
pub mod open;
pub mod replica;
mod rows;
mod sled;
mod stage;
#[cfg(test)]
mod testing;

pub use blobs::{BlobError, Blobs};
pub use kv::{Batch, Kv, KvError};
pub use lock::Lock;
pub use membership::Membership;
pub use memory::{MemoryKv, SharedKv};
pub use open::{OpenError, Opened, Origin, open};
pub use sled::SledKv;
pub use stage::StoreError;
