//! Errors that the driver reports of cards, by their numbers in NVIDIA's list, as a thread of its own waits for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use beadmesh_protocol::sample::gpu::Xid;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{EventSet, Nvml};
use tracing::{debug, warn};

use super::library;

/// How long one wait lasts, in milliseconds: so long at most the thread goes on when it is to end.
const WAIT_MS: u32 = 500;

/// What the driver says where it can not name the error.
const UNKNOWN: u16 = 999;

/// Counts the errors that were reported of each card since this node looks.
#[derive(Debug, Default)]
pub(super) struct Xids {
    seen: Arc<Mutex<BTreeMap<u8, Xid>>>,
    /// How to end the thread that waits, and the thread, which says in the end whether it failed.
    waiting: Option<(Arc<AtomicBool>, JoinHandle<bool>)>,
}

impl Xids {
    /// Starts to wait.
    pub(super) fn start(&mut self) {
        let end = Arc::new(AtomicBool::new(false));
        let (seen, told) = (Arc::clone(&self.seen), Arc::clone(&end));
        let spawned = std::thread::Builder::new().name("gpu-events".to_owned()).spawn(move || {
            let waited = wait(&seen, &told);
            if let Err(error) = &waited {
                debug!(%error, "errors of cards are not waited for");
            }
            waited.is_err()
        });
        match spawned {
            Ok(thread) => self.waiting = Some((end, thread)),
            Err(error) => warn!(%error, "no thread waits for errors of cards"),
        }
    }

    /// Waits again where waiting failed; where no card reports errors, nothing is waited for.
    pub(super) fn tend(&mut self) {
        let Some((end, thread)) = self.waiting.take() else { return };
        if !thread.is_finished() {
            self.waiting = Some((end, thread));
        } else if thread.join().unwrap_or(false) {
            self.start();
        }
    }

    /// Stops to wait, once the wait under way is over.
    pub(super) fn stop(&mut self) {
        let Some((end, thread)) = self.waiting.take() else { return };
        end.store(true, Ordering::Relaxed);
        // One that panicked has said so.
        let _ = thread.join();
    }

    /// Returns what was reported.
    pub(super) fn seen(&self) -> BTreeMap<u8, Xid> {
        lock(&self.seen).clone()
    }
}

/// Waits until told to end, or until the driver fails.
fn wait(seen: &Mutex<BTreeMap<u8, Xid>>, end: &AtomicBool) -> Result<(), NvmlError> {
    // A use of the library of its own: the other thread may end its session at any time.
    let Ok(library) = library::open() else { return Ok(()) };
    let Some(events) = registered(&library)? else { return Ok(()) };
    while !end.load(Ordering::Relaxed) {
        match events.wait(WAIT_MS) {
            Ok(event) => {
                let code = match event.event_data {
                    Some(XidError::Value(code)) => u16::try_from(code).unwrap_or(UNKNOWN),
                    Some(XidError::Unknown) => UNKNOWN,
                    None => continue,
                };
                let Some(index) = event.device.index().ok().and_then(|index| u8::try_from(index).ok()) else {
                    continue;
                };
                let mut seen = lock(seen);
                let xid = seen.entry(index).or_default();
                *xid = Xid { code, count: xid.count.saturating_add(1) };
            }
            Err(NvmlError::Timeout) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns what to wait on for the errors of all cards that report some; nothing where none does.
fn registered(library: &Nvml) -> Result<Option<EventSet<'_>>, NvmlError> {
    // What is made is let go by a call that must be there: the wrapper panics without it.
    if library.lib().nvmlEventSetFree.is_err() {
        return Ok(None);
    }
    let mut refused = Vec::new();
    'anew: loop {
        let mut events = library.create_event_set()?;
        let mut count = 0;
        for index in (0..library.device_count()?).filter(|index| !refused.contains(index)).collect::<Vec<_>>() {
            let Ok(device) = library.device_by_index(index) else { continue };
            let supported = device.supported_event_types().unwrap_or(EventTypes::empty());
            if !supported.contains(EventTypes::CRITICAL_XID_ERROR) {
                continue;
            }
            events = match device.register_events(EventTypes::CRITICAL_XID_ERROR, events) {
                Ok(events) => events,
                Err(error) => {
                    // The set is gone with the refusal; each round is one card shorter.
                    debug!(index, error = %error.error, "a card reports no errors");
                    refused.push(index);
                    continue 'anew;
                }
            };
            count += 1;
        }
        return Ok((count > 0).then_some(events));
    }
}

fn lock(seen: &Mutex<BTreeMap<u8, Xid>>) -> MutexGuard<'_, BTreeMap<u8, Xid>> {
    // Nothing panics while it is held.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
