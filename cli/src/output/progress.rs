//! Progress bars: on stderr, only where a person watches, and only for what takes a while.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Printer;

/// A bar that counts bytes; hidden where nobody watches.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Returns a bar that says what is going on; `total` is the bytes to come, where they are known.
    pub(crate) fn bytes(printer: &Printer, what: &'static str, total: Option<u64>) -> Self {
        if !printer.is_watched() {
            return Self { bar: ProgressBar::hidden() };
        }
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {bytes} of {total_bytes}",
            None => "{msg} {bytes} {spinner}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Counts bytes.
    pub(crate) fn add(&self, bytes: usize) {
        self.bar.inc(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Takes the bar away, so that what is said next stands alone.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
