//! The command line as users run it, built so that tests of this package find it.

fn main() -> std::process::ExitCode {
    beadmesh::run()
}
