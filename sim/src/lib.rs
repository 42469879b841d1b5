//! Runs many replicas on a false clock, network and disk: one seed, one plan, one trace.
//!
//! It starts no threads, reads no clock and no file: who calls it does. The replicas are those of the node, driven
//! through bytes and the real decoders.

pub mod cell;
pub mod check;
mod clock;
pub mod coverage;
mod desk;
mod disk;
pub mod journal;
mod mesh;
mod network;
mod node;
mod opened;
pub mod outcome;
pub mod plan;
pub mod planner;
#[cfg(all(test, planted))]
mod planted;
pub mod quantity;
mod random;
mod reference;
#[cfg(test)]
mod regressions;
pub mod report;
mod said;
pub mod scenario;
pub mod shrink;
pub mod sweep;
pub mod tenure;
pub mod timeline;
mod trace;
pub mod view;
mod workload;

pub use mesh::run;
