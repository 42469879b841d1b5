//! The `beadmesh` binary.

fn main() {}
