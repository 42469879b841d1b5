//! What is read from standard input because the command line says `-`.

use std::io::{self, IsTerminal, Read};

use crate::failure::Failure;

/// Bytes read from standard input for one field; more than any field may have.
const INPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes that the end of a line takes, which is no part of a field.
const LINE_END_BYTES: u64 = 2;

/// Standard input, which can be read one time.
#[derive(Debug, Default)]
pub(super) struct Input {
    is_read: bool,
}

impl Input {
    /// Returns the text, or what standard input holds where the text is `-`.
    ///
    /// # Errors
    ///
    /// Fails when standard input cannot be read, or was read before.
    pub(super) fn text(&mut self, text: String) -> Result<String, Failure> {
        let over = || Failure::usage(format!("standard input holds more than {INPUT_BYTES_MAX} bytes"));
        self.read(text, INPUT_BYTES_MAX, over)
    }

    /// Does the same for a field that may have so many bytes.
    ///
    /// # Errors
    ///
    /// As `text` does, and when there is more.
    pub(super) fn bounded(&mut self, text: String, field: &str, bytes_max: usize) -> Result<String, Failure> {
        let over = || {
            let failure = Failure::usage(format!("{field}: it may have {bytes_max} bytes, and has more"));
            failure.field(field).hint("write less, or say where the rest is to be found")
        };
        let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let text = self.read(text, bound.saturating_add(LINE_END_BYTES), over)?;
        if text.len() > bytes_max { Err(over()) } else { Ok(text) }
    }

    fn read(&mut self, text: String, bytes_max: u64, over: impl Fn() -> Failure) -> Result<String, Failure> {
        if text != "-" {
            return Ok(text);
        }
        if std::mem::replace(&mut self.is_read, true) {
            return Err(Failure::usage("standard input can be read for one field, not for two"));
        }
        if io::stdin().is_terminal() {
            // Whoever typed - by hand wonders what happens now.
            let _ = io::Write::write_all(&mut anstream::stderr(), b"Reading from the terminal; end with Ctrl-D.\n");
        }
        let bytes = bytes(bytes_max)?.ok_or_else(over)?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is not UTF-8 text"))?;
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Does the same for a text that may be absent.
    ///
    /// # Errors
    ///
    /// As `text` does.
    pub(super) fn optional(&mut self, text: Option<String>) -> Result<Option<String>, Failure> {
        text.map(|text| self.text(text)).transpose()
    }
}

/// Reads standard input to its end; `None` where it holds more than so many bytes.
///
/// # Errors
///
/// Fails when it cannot be read.
pub(super) fn bytes(bytes_max: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.map_err(|error| Failure::io("standard input cannot be read", &error))?;
    Ok((u64::try_from(read).unwrap_or(u64::MAX) <= bytes_max).then_some(bytes))
}
