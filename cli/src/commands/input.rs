//! What is read from standard input because the command line says `-`.

use std::io::{self, IsTerminal, Read};

use crate::failure::Failure;

/// Bytes read from standard input for one field; more than any field may have.
const INPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;

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
        let mut bytes = Vec::new();
        let read = io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
        let read = read.map_err(|error| Failure::io("standard input cannot be read", &error))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > INPUT_BYTES_MAX {
            return Err(Failure::usage(format!("standard input holds more than {INPUT_BYTES_MAX} bytes")));
        }
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
