//! What the replica's thread has done since it was started, counted where it happens.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Bounds of the times of flushes: some tenths of a millisecond on a good disk, and a second or two on a bad one.
const FLUSH_SECONDS: [f64; 10] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

/// The counts; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    flush_seconds: Histogram,
    flush_failures: Counter,
    batches: Counter,
    inputs: Counter,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let flush_seconds = Histogram::new(FLUSH_SECONDS);
        let (flush_failures, batches, inputs) = (Counter::default(), Counter::default(), Counter::default());
        Self { flush_seconds, flush_failures, batches, inputs }
    }

    /// Takes note of a batch that was handled.
    pub(super) fn batch(&self, inputs: usize) {
        self.batches.inc();
        self.inputs.inc_by(u64::try_from(inputs).unwrap_or(u64::MAX));
    }

    /// Takes note of a flush.
    pub(super) fn flush(&self, took: Duration, is_done: bool) {
        self.flush_seconds.observe(took.as_secs_f64());
        if !is_done {
            self.flush_failures.inc();
        }
    }

    /// Has the counts shown.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "How long it took to make a batch durable";
        registry.register_with_unit("store_flush", help, Unit::Seconds, self.flush_seconds.clone());
        let help = "Flushes that failed; after one the node takes nothing more";
        registry.register("store_flush_failures", help, self.flush_failures.clone());
        registry.register("core_batches", "Batches that the replica has handled", self.batches.clone());
        registry.register("core_inputs", "Inputs in these batches", self.inputs.clone());
    }
}
