//! Runs many replicas on a false clock, network and disk: one seed, one plan, one trace.
//!
//! It starts no threads, reads no clock and no file: who calls it does. The replicas are those of the node, driven
//! through bytes and the real decoders.

pub mod check;
pub mod journal;
pub mod outcome;
pub mod plan;
pub mod quantity;
pub mod report;
pub mod shrink;
pub mod sweep;
pub mod timeline;
pub mod view;
