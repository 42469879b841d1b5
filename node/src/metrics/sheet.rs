//! Numbers that are read when somebody asks, and kept by nobody.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Label, PREFIX};

type Level = Gauge<f64, AtomicU64>;

/// One reading of everything.
#[derive(Debug)]
pub(crate) struct Sheet(Registry);

/// What a family is called, what it says, and in what unit.
#[derive(Debug)]
pub(crate) struct Title {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
}

impl Title {
    /// Names something that is counted in pieces.
    pub(crate) const fn of(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: None }
    }

    /// Names something in bytes, which its name says in the end.
    pub(crate) const fn bytes(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: Some(Unit::Bytes) }
    }

    /// Names something in seconds, which its name says in the end.
    pub(crate) const fn seconds(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: Some(Unit::Seconds) }
    }
}

impl Sheet {
    pub(crate) fn new() -> Self {
        Self(Registry::with_prefix(PREFIX))
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0
    }

    /// Notes how much there is of something now.
    pub(crate) fn level(&mut self, title: Title, value: f64) {
        let level = Level::default();
        level.set(value);
        self.register(title, level);
    }

    /// Notes how much there is of something now, by the values of a label.
    pub(crate) fn levels(
        &mut self,
        title: Title,
        label: &'static str,
        values: impl IntoIterator<Item = (String, f64)>,
    ) {
        let levels: Family<Label, Level> = Family::default();
        for (value, level) in values {
            levels.get_or_create(&[(label, value)]).set(level);
        }
        self.register(title, levels);
    }

    /// Notes what is so now, by the values of several labels; the value itself is 1.
    pub(crate) fn facts(&mut self, title: Title, facts: impl IntoIterator<Item = Vec<(&'static str, String)>>) {
        let levels: Family<Vec<(&'static str, String)>, Level> = Family::default();
        for labels in facts {
            levels.get_or_create(&labels).set(1.0);
        }
        self.register(title, levels);
    }

    /// Notes how often something has happened since the start.
    pub(crate) fn total(&mut self, title: Title, count: u64) {
        let total: Counter = Counter::default();
        total.inc_by(count);
        self.register(title, total);
    }

    /// Notes how much of something was used since the start.
    pub(crate) fn used(&mut self, title: Title, amount: f64) {
        let total: Counter<f64, AtomicU64> = Counter::default();
        total.inc_by(amount);
        self.register(title, total);
    }

    /// Notes how often something has happened since the start, by the values of a label.
    pub(crate) fn totals(
        &mut self,
        title: Title,
        label: &'static str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) {
        let totals: Family<Label, Counter> = Family::default();
        for (value, count) in values {
            totals.get_or_create(&[(label, value)]).inc_by(count);
        }
        self.register(title, totals);
    }

    fn register(&mut self, title: Title, metric: impl prometheus_client::registry::Metric) {
        let Title { name, help, unit } = title;
        match unit {
            Some(unit) => self.0.register_with_unit(name, help, unit, metric),
            None => self.0.register(name, help, metric),
        }
    }
}
