//! Tells what happens while it happens, and keeps it for programs.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::Failure;
use crate::output::Printer;
use crate::output::paint::Paint;
use crate::output::text;

/// Columns of who acts: as many as the longest address has.
const WHO_COLUMNS: usize = 20;

/// Columns before what is said: time, who, and the gaps behind them.
const LEAD_COLUMNS: usize = 8 + 2 + WHO_COLUMNS + 2;

/// Columns that what is said has at least, however narrow the terminal is.
const SAID_COLUMNS_MIN: usize = 24;

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// The part of the story.
    chapter: &'static str,
    /// Milliseconds since the begin.
    at_ms: u64,
    /// The node, or the address of the agent, that acts.
    who: String,
    /// What it does, or what became of it.
    said: String,
}

/// Tells the story.
pub(super) struct Teller<'a> {
    /// Prints.
    pub(super) printer: &'a mut Printer,
    begin: Instant,
    chapter: &'static str,
    steps: Vec<Step>,
}

impl<'a> Teller<'a> {
    /// Returns who tells from now on.
    pub(super) fn new(printer: &'a mut Printer) -> Self {
        Self { printer, begin: Instant::now(), chapter: "", steps: Vec::new() }
    }

    /// Begins a part of the story.
    pub(super) fn chapter(&mut self, title: &'static str) -> Result<(), Failure> {
        let is_first = self.steps.is_empty();
        self.chapter = title;
        if self.is_silent() {
            return Ok(());
        }
        if !is_first {
            self.printer.line("")?;
        }
        self.printer.line(Paint::Strong.on(title))?;
        self.printer.flush()
    }

    /// Tells one thing, at once.
    pub(super) fn tell(&mut self, who: &str, said: impl Into<String>) -> Result<(), Failure> {
        let (at, said) = (self.begin.elapsed(), said.into());
        if !self.is_silent() {
            for line in lines(at, who, &said, self.printer.columns) {
                self.printer.line(line)?;
            }
            self.printer.flush()?;
        }
        self.steps.push(Step { chapter: self.chapter, at_ms: millis(at), who: who.to_owned(), said });
        Ok(())
    }

    /// Returns how long the story has taken, and all that was told.
    pub(super) fn end(&mut self) -> (Duration, Vec<Step>) {
        (self.begin.elapsed(), std::mem::take(&mut self.steps))
    }

    fn is_silent(&self) -> bool {
        self.printer.json || self.printer.quiet
    }
}

/// Returns a time as milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns one step as lines of the terminal, in columns.
fn lines(at: Duration, who: &str, said: &str, columns: Option<u16>) -> Vec<String> {
    let room = columns.map_or(usize::MAX, |columns| usize::from(columns).saturating_sub(LEAD_COLUMNS));
    let rows = text::wrap(said, room.max(SAID_COLUMNS_MIN));
    let lead = |row: usize| match row {
        0 => {
            let time = Paint::Faint.on(&format!("{:>6.2} s", at.as_secs_f64()));
            format!("{time}  {}", Paint::Name.on(&format!("{:WHO_COLUMNS$}", text::clean_line(who))))
        }
        _ => " ".repeat(LEAD_COLUMNS - 2),
    };
    rows.iter().enumerate().map(|(row, said)| format!("{}  {said}", lead(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(columns: Option<u16>) -> String {
        let at = Duration::from_millis(1_234);
        let said = "closes rollout.9: All probes are green, and nobody was paged.";
        let mut rows = lines(at, "AmberFox@workstation", said, columns);
        rows.extend(lines(at * 10, "laptop", "is cut off", columns));
        anstream::adapter::strip_str(&rows.join("\n")).to_string()
    }

    #[test]
    fn steps_stand_in_columns_and_keep_to_the_terminal() {
        insta::assert_snapshot!(told(None), @r"
          1.23 s  AmberFox@workstation  closes rollout.9: All probes are green, and nobody was paged.
         12.34 s  laptop                is cut off
        ");
        insta::assert_snapshot!(told(Some(72)), @r"
          1.23 s  AmberFox@workstation  closes rollout.9: All probes are green,
                                        and nobody was paged.
         12.34 s  laptop                is cut off
        ");
    }
}
