//! What is read of the cards of a machine at one time, wherever it comes from.

use std::collections::BTreeSet;

use beadmesh_protocol::sample::gpu::{Driver, Facts, Process, Sample, SliceFacts, SliceSample, State};

/// What was read of the cards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// What drives them.
    pub(super) driver: Driver,
    /// How it stands with them as a whole.
    pub(super) state: State,
    /// The cards, by index.
    pub(super) facts: Vec<Facts>,
    /// The parts that they are split into.
    pub(super) slices: Vec<SliceFacts>,
    /// What was measured on them.
    pub(super) samples: Vec<Sample>,
    /// What was measured on their parts.
    pub(super) slice_samples: Vec<SliceSample>,
    /// Who uses them, by card and process id.
    pub(super) processes: Vec<Process>,
    /// The cards of which it is known that nobody does; who uses one is not always told.
    pub(super) unused: BTreeSet<u8>,
}

impl Reading {
    /// Returns that nothing is known but how it stands.
    pub(super) fn only(state: State) -> Self {
        Self { state, ..Self::default() }
    }

    /// Returns what remains of a reading while the driver does not answer: what stays as it is, and no measurement.
    pub(super) fn stalled(before: Option<Self>) -> Self {
        let Self { driver, facts, slices, .. } = before.unwrap_or_default();
        Self { driver, state: State::Stalled, facts, slices, ..Self::default() }
    }
}
