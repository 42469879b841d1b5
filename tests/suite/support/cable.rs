//! Two network namespaces with a cable between them, which can be pulled; laying it needs root on Linux.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Cables laid by this process, so that each has names of its own.
static LAID: AtomicU32 = AtomicU32::new(0);

/// The addresses of both ends; no other machine is on the cable.
const ADDRESSES: [&str; 2] = ["10.7.0.1", "10.7.0.2"];

/// Both ends of a cable; they go with the handle.
#[derive(Debug)]
pub(crate) struct Cable([Place; 2]);

/// Where a node can run: one end of a cable.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The network namespace.
    pub(crate) namespace: String,
    /// Its only address.
    pub(crate) address: &'static str,
}

impl Cable {
    /// Lays a cable; tells why where that is not possible.
    pub(crate) fn lay() -> Result<Self, String> {
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let place = |end: usize| Place {
            namespace: format!("bm{}-{number}-{end}", std::process::id()),
            address: ADDRESSES[end],
        };
        // What is laid is taken up again by the handle, even if the rest fails.
        let cable = Self([place(0), place(1)]);
        cable.set_up()?;
        Ok(cable)
    }

    /// Returns both ends.
    pub(crate) fn ends(&self) -> [Place; 2] {
        self.0.clone()
    }

    /// Pulls the cable: nothing passes, and nobody is told.
    pub(crate) fn pull(&self) {
        ip(&format!("-n {} link set cable down", self.0[1].namespace)).unwrap();
    }

    /// Plugs it in again.
    pub(crate) fn plug(&self) {
        ip(&format!("-n {} link set cable up", self.0[1].namespace)).unwrap();
    }

    fn set_up(&self) -> Result<(), String> {
        let [source, target] = self.0.each_ref().map(|place| place.namespace.as_str());
        for Place { namespace, .. } in &self.0 {
            ip(&format!("netns add {namespace}"))?;
        }
        ip(&format!("-n {source} link add cable type veth peer name cable netns {target}"))?;
        for Place { namespace, address } in &self.0 {
            ip(&format!("-n {namespace} address add {address}/24 dev cable"))?;
            ip(&format!("-n {namespace} link set cable up"))?;
            // Two nodes at one end reach each other without the cable.
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for Place { namespace, .. } in &self.0 {
            // One that was not made can not be removed.
            let _ = ip(&format!("netns delete {namespace}"));
        }
    }
}

/// Runs `ip`; returns what it says when it fails.
fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
