//! The HTTP API: one router, answered on the Unix socket of a node and inside a single command alike.

pub mod model;
