//! The binary under test: the command line as it ships.

fn main() -> std::process::ExitCode {
    beadmesh::run()
}
