//! What beadmesh decides: entries, beads, roster, reconciliation and sync as state machines without input or output.
//!
//! Nothing here reads a clock, opens a file or a socket, starts a thread or draws a random number: time and randomness
//! are handed in. Equal inputs give equal bytes on every machine.

pub mod agent;
pub mod alias;
pub mod bead;
pub mod blob;
pub mod claim;
pub mod clock;
pub mod entry;
pub mod graph;
pub mod id;
pub mod invite;
pub mod jsonl;
pub mod lease;
pub mod limits;
pub mod mail;
pub mod near;
pub mod needs;
pub mod notice;
pub mod op;
pub mod planted;
pub mod project;
pub mod reconcile;
pub mod roster;
pub mod sample;
pub mod scope;
pub mod sync;
pub mod testing;
pub mod wire;
