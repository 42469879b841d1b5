//! What kind of machine it is: which calls are answered, and how.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The variable that names the scenario, or a file with its name.
const VARIABLE: &str = "BEADMESH_NVML_SCENARIO";

/// How long the call takes that takes its time.
const SLOW: Duration = Duration::from_millis(300);

/// Refusals, by their numbers in nvml.h.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Code {
    InvalidArgument = 2,
    NotSupported = 3,
    NoPermission = 4,
    NotFound = 6,
    InsufficientSize = 7,
    DriverNotLoaded = 9,
    Timeout = 10,
    GpuIsLost = 15,
    LibRmVersionMismatch = 18,
    Unknown = 999,
}

/// The machine as its scenario says.
pub(crate) struct Machine {
    /// The name of the scenario, and what follows a colon.
    name: String,
    about: String,
}

/// A card of the machine.
pub(crate) struct Card {
    pub(crate) index: usize,
    /// Parts that it is split into.
    pub(crate) slices: usize,
    /// Whether it tells no more than it must.
    terse: bool,
    forbidden: bool,
}

impl Machine {
    /// Reads the scenario as it is now.
    pub(crate) fn now() -> Self {
        let said = std::env::var(VARIABLE).unwrap_or_default();
        let said = if said.starts_with('/') { fs::read_to_string(said).unwrap_or_default() } else { said };
        let (name, about) = said.trim().split_once(':').unwrap_or((said.trim(), ""));
        Self { name: name.to_owned(), about: about.to_owned() }
    }

    pub(crate) fn start(&self) -> Result<(), Code> {
        match self.name.as_str() {
            "driver_not_loaded" => Err(Code::DriverNotLoaded),
            "version_mismatch" => Err(Code::LibRmVersionMismatch),
            _ => Ok(()),
        }
    }

    pub(crate) fn count(&self) -> usize {
        match self.name.as_str() {
            "no_devices" => 0,
            "gone" => 1,
            "eight" => 8,
            _ => 2,
        }
    }

    /// Returns whether little of any card's memory is free.
    pub(crate) fn is_full(&self) -> bool {
        self.name == "full"
    }

    /// Returns whether nobody uses any card.
    pub(crate) fn is_idle(&self) -> bool {
        self.name == "idle"
    }

    /// Returns a card, unless there is none or it fell off the bus: of a machine that loses one, the last.
    pub(crate) fn card(&self, index: usize) -> Result<Card, Code> {
        if index >= self.count() {
            return Err(Code::InvalidArgument);
        }
        if self.name == "lost" && index + 1 == self.count() {
            return Err(Code::GpuIsLost);
        }
        let slices = if self.name == "mig" && index == 0 { 2 } else { 0 };
        let (terse, forbidden) = (self.name == "partial", self.name == "no_permission");
        Ok(Card { index, slices, terse, forbidden })
    }

    /// Takes as long as the scenario says: for good, while somebody holds the pipe that it names open for nobody.
    pub(crate) fn linger(&self) {
        match self.name.as_str() {
            "slow" => thread::sleep(SLOW),
            // Opening a pipe waits for who opens its other end.
            "hung" => drop(File::open(&self.about)),
            _ => {}
        }
    }

    /// Returns whether waiting for errors fails.
    pub(crate) fn is_deaf(&self) -> bool {
        self.name == "deaf"
    }

    /// Returns the error that is to be told, once.
    pub(crate) fn xid(&self) -> Option<u64> {
        static TOLD: AtomicBool = AtomicBool::new(false);
        (self.name == "xid" && !TOLD.swap(true, Ordering::Relaxed)).then_some(79)
    }
}

impl Card {
    /// Tells something that not every card tells.
    pub(crate) fn told<T>(&self, value: T) -> Result<T, Code> {
        if self.terse { Err(Code::NotSupported) } else { Ok(value) }
    }

    /// Lets itself be asked.
    pub(crate) fn handle(&self) -> Result<(), Code> {
        if self.forbidden { Err(Code::NoPermission) } else { Ok(()) }
    }
}
