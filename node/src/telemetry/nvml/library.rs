//! The library: found, initialised, and fit to be let go of again.

use std::ffi::OsStr;

use beadmesh_protocol::sample::gpu::State;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use tracing::debug;

use super::card::state_of;

/// What the library is called where only its driver is installed, and where its headers are, too.
const NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// Finds the library and initialises it; it is shut down when it is dropped.
///
/// # Errors
/// How it stands, where that is in vain.
pub(super) fn open() -> Result<Nvml, State> {
    for name in NAMES {
        match Nvml::builder().lib_path(OsStr::new(name)).init() {
            // Its end is a call that must be there: the wrapper panics without it.
            Ok(nvml) if nvml.lib().nvmlShutdown.is_err() => {
                debug!(name, "the library can not be shut down, so it is not used");
                std::mem::forget(nvml);
                return Err(State::Failed);
            }
            Ok(nvml) => return Ok(nvml),
            Err(NvmlError::LibloadingError(error)) => debug!(name, %error, "no library for cards"),
            Err(error) => {
                debug!(name, %error, "the library for cards does not start");
                return Err(state_of(&error));
            }
        }
    }
    Err(State::Absent)
}
