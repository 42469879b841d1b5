//! The node.

pub mod net;
