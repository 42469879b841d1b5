//! What was measured: one row a figure, beside its budget; as a table for people and as JSON for scripts.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

/// The side of its budget that a figure must stay on.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case", tag = "bound", content = "budget")]
pub(crate) enum Budget {
    AtMost(f64),
    AtLeast(f64),
    /// Told, and not judged.
    Free,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    /// Absent when it could not be measured; the note says why.
    value: Option<f64>,
    unit: &'static str,
    #[serde(flatten)]
    budget: Budget,
    pass: bool,
    note: String,
}

/// All figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    schema: u32,
    quick: bool,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(quick: bool) -> Self {
        Self { schema: 1, quick, rows: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: &'static str, budget: Budget, note: String) {
        let pass = match budget {
            Budget::AtMost(most) => value <= most,
            Budget::AtLeast(least) => value >= least,
            Budget::Free => true,
        };
        self.rows.push(Row { name: name.to_owned(), value: Some(value), unit, budget, pass, note });
    }

    /// Adds the median of some times, in milliseconds; the note names their 99th percentile.
    pub(crate) fn add_median(&mut self, name: &str, times: &mut [Duration], budget: Budget) {
        let (median, high) = (percentile(times, 50), percentile(times, 99));
        self.add(name, median, "ms", budget, format!("p99 {high:.2} ms of {}", times.len()));
    }

    /// Adds what could not be measured; that counts as short.
    pub(crate) fn fail(&mut self, name: &str, why: &str) {
        let row =
            Row { name: name.to_owned(), value: None, unit: "", budget: Budget::Free, pass: false, note: why.into() };
        self.rows.push(row);
    }

    /// Returns the figure of a row by its name.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name)?.value
    }

    /// Returns whether every row keeps its budget.
    pub(crate) fn passes(&self) -> bool {
        self.rows.iter().all(|row| row.pass)
    }

    /// Writes the table for people.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let wide = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        for row in &self.rows {
            let value = row.value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} {}", row.unit));
            let (budget, verdict) = match row.budget {
                Budget::AtMost(most) => (format!("<= {most} {}", row.unit), if row.pass { "pass" } else { "short" }),
                Budget::AtLeast(least) => (format!(">= {least} {}", row.unit), if row.pass { "pass" } else { "short" }),
                Budget::Free => (String::new(), if row.pass { "" } else { "failed" }),
            };
            writeln!(out, "{:wide$}  {value:>14}  {budget:>16}  {verdict:6}  {}", row.name, row.note)?;
        }
        Ok(())
    }
}

/// Returns a percentile of some times, in milliseconds.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).max(1) - 1;
    times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}
