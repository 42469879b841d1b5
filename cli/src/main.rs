//! The `beadmesh` binary.

fn main() -> std::process::ExitCode {
    beadmesh::run()
}
