//! Progress bars: on stderr, only where a person watches, and only for what takes a while.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Printer;

/// A bar; hidden where nobody watches.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Returns a bar that says what is going on; `total` is the bytes to come, where they are known.
    pub(crate) fn bytes(printer: &Printer, what: &'static str, total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {bytes} of {total_bytes}",
            None => "{msg} {bytes} {spinner}",
        };
        Self::shown(printer, what, total, template)
    }

    /// Returns a bar that counts steps of which it is known how many there are.
    pub(crate) fn steps(printer: &Printer, what: &'static str, total: u64) -> Self {
        Self::shown(printer, what, Some(total), "{msg} [{bar:30}] {human_pos} of {human_len}, {eta} left")
    }

    /// Returns a bar that shows how much of something is done.
    pub(crate) fn share(printer: &Printer, what: &'static str, total: u64) -> Self {
        Self::shown(printer, what, Some(total), "{msg} [{bar:30}] {percent} %, {eta} left")
    }

    fn shown(printer: &Printer, what: &'static str, total: Option<u64>, template: &str) -> Self {
        if !printer.is_watched() {
            return Self { bar: ProgressBar::hidden() };
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Says how many steps there are, once that is known.
    pub(crate) fn expect(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Counts bytes.
    pub(crate) fn add(&self, bytes: usize) {
        self.bar.inc(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Says how far it is.
    pub(crate) fn reach(&self, place: u64) {
        self.bar.set_position(place);
    }

    /// Says something else is going on.
    pub(crate) fn say(&self, what: String) {
        self.bar.set_message(what);
    }

    /// Takes the bar away, so that what is said next stands alone.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
