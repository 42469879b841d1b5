//! One change taken in by a process of its own, so that what it costs is told from what anything else has cost.

use std::error::Error;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use beadmesh_protocol::bead::document::Document;
use beadmesh_protocol::bead::genesis;
use beadmesh_protocol::bead::intake::Change;
use beadmesh_protocol::id::BeadId;

use crate::node::memory;

/// Tells this program to take in one change from stdin.
pub(crate) const FLAG: &str = "--take-bomb";

/// Takes in a change in a process of its own; returns microseconds, and the peak of its memory in kB.
pub(crate) fn taken_apart(bytes: &[u8]) -> Result<(u32, u32), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg(FLAG).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("a process without stdin")?.write_all(bytes)?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let (micros, peak) = text.trim().split_once(' ').ok_or("the process has not survived the change")?;
    Ok((micros.parse()?, peak.parse()?))
}

/// Takes in the change on stdin, and writes what it has cost.
pub(crate) fn take() -> ExitCode {
    match cost() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no way to tell of a stderr that is closed.
            let _ = writeln!(stderr(), "Error: {error}");
            ExitCode::from(2)
        }
    }
}

fn cost() -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes)?;
    // Every node has it from its start.
    genesis::change();
    let started = Instant::now();
    if let Ok(change) = Change::from_wire(&bytes) {
        let mut document = Document::new(BeadId::from_bytes([5; 16]));
        document.receive(&change);
        document.bead();
    }
    let micros = started.elapsed().as_micros();
    let peak = memory("self", "VmHWM").ok_or("there is no /proc/self/status here")? / 1_000;
    writeln!(stdout(), "{micros} {peak}")?;
    Ok(())
}
