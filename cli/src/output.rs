//! The only printer: what was asked for goes to stdout, everything else to stderr.
//!
//! A closed pipe ends a command without a word. Colour adds nothing that the text does not say.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use beadmesh_node::api::model::Answer;
use serde::Serialize;

use crate::args::{Color, Global};
use crate::failure::{Exit, Failure};

pub(crate) mod bead;
pub(crate) mod chart;
pub(crate) mod container;
pub(crate) mod lease;
pub(crate) mod letter;
pub(crate) mod list;
pub(crate) mod machine;
pub(crate) mod paint;
pub(crate) mod peer;
pub(crate) mod progress;
mod report;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;

/// Columns of text that is not written to a terminal.
const PIPE_COLUMNS: u16 = 80;

/// Begins a frame in the upper left corner: shown when it is whole, and cut where it is wider than the terminal.
///
/// Source: modes 2026 and 7 of xterm; a terminal that does not know the first passes over it.
const FRAME_BEGIN: &str = "\u{1b}[?2026h\u{1b}[?7l\u{1b}[H";

/// Ends a line, and clears what stood behind it.
const LINE_END: &str = "\u{1b}[K\r\n";

/// Ends a frame: clears all lines from the cursor on.
const FRAME_END: &str = "\u{1b}[J\u{1b}[?7h\u{1b}[?2026l";

/// Returns whether a stream is to have colours, where nobody says so: a pipe has none, also in a build on a server, which
/// `anstream` takes for somebody who looks.
fn choice(stream: &impl RawStream) -> ColorChoice {
    let is_forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|forced| forced != "0");
    if stream.is_terminal() || is_forced { AutoStream::choice(stream) } else { ColorChoice::Never }
}

/// Prints for one command.
pub(crate) struct Printer {
    /// Whether the answer is one JSON object.
    pub(crate) json: bool,
    /// Whether to say only what was asked for.
    pub(crate) quiet: bool,
    /// Columns of the terminal; tables are not cut without one.
    pub(crate) columns: Option<u16>,
    /// Columns that sentences are wrapped at, where a terminal shows them.
    sentence_columns: usize,
    out: BufWriter<AutoStream<io::Stdout>>,
    err: AutoStream<io::Stderr>,
}

impl Printer {
    /// Returns the printer of a command line.
    pub(crate) fn new(global: &Global) -> Self {
        Self::for_flags(global.json, global.quiet, global.color)
    }

    /// Returns a printer for these flags.
    pub(crate) fn for_flags(json: bool, quiet: bool, color: Color) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_choice, err_choice) = match color {
            Color::Auto => (choice(&out), choice(&err)),
            Color::Always => (ColorChoice::AlwaysAnsi, ColorChoice::AlwaysAnsi),
            Color::Never => (ColorChoice::Never, ColorChoice::Never),
        };
        let columns = columns(&out);
        Self {
            json,
            quiet,
            columns,
            sentence_columns: terminal_columns(&err).map_or(usize::MAX, usize::from),
            out: BufWriter::new(AutoStream::new(out, out_choice)),
            err: AutoStream::new(err, err_choice),
        }
    }

    /// Returns the columns that running text may take: few enough to read well.
    pub(crate) fn text_columns(&self) -> usize {
        usize::from(self.columns.unwrap_or(PIPE_COLUMNS).clamp(20, 100))
    }

    /// Returns the lines of the terminal, if there is one; `LINES` overrides what it says.
    pub(crate) fn rows(&self) -> Option<u16> {
        let given = std::env::var("LINES").ok().and_then(|text| text.parse().ok());
        given.or_else(|| terminal_size(&io::stdout()).map(|size| size.ws_row)).filter(|rows| *rows > 0)
    }

    /// Looks again how wide the terminal is, for who goes on printing.
    pub(crate) fn measure(&mut self) {
        self.columns = columns(&io::stdout());
    }

    /// Returns whether what was asked for may be coloured.
    pub(crate) fn is_coloured(&self) -> bool {
        self.out.get_ref().current_choice() != ColorChoice::Never
    }

    /// Returns whether a person sees what goes to stderr.
    pub(crate) fn is_watched(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// Prints an answer as one JSON object with its schema.
    pub(crate) fn answer<T: Serialize>(&mut self, body: &T) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.out, &Answer::new(body)).map_err(io::Error::from);
        written.and_then(|()| self.out.write_all(b"\n")).map_err(|error| unwritten(&error))
    }

    /// Prints a line, or several, of what was asked for.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(text.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Prints bytes of what was asked for, as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| unwritten(&error))
    }

    /// Writes bytes that are no text: where nothing is coloured, `bytes` takes out what looks like a colour.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.flush()?;
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| unwritten(&error))
    }

    /// Prints lines in the place of those before them on a terminal, and below them elsewhere.
    pub(crate) fn frame(&mut self, lines: &[String]) -> Result<(), Failure> {
        if !io::stdout().is_terminal() {
            return lines.iter().try_for_each(|line| self.line(line)).and_then(|()| self.flush());
        }
        let mut frame = String::from(FRAME_BEGIN);
        for line in lines {
            match self.is_coloured() {
                true => frame.push_str(line),
                false => frame.extend(anstream::adapter::strip_str(line)),
            }
            frame.push_str(LINE_END);
        }
        frame.push_str(FRAME_END);
        self.raw(frame.as_bytes())
    }

    /// Says a sentence that a person may want to read, and no script.
    pub(crate) fn note(&mut self, sentence: impl AsRef<str>) -> Result<(), Failure> {
        if self.quiet || self.json {
            return Ok(());
        }
        self.flush()?;
        let rows = text::wrap(sentence.as_ref(), self.sentence_columns);
        writeln!(self.err, "{}", rows.join("\n")).map_err(|error| unwritten(&error))
    }

    /// Shows lines on stderr whatever the flags are, for what must not be missed.
    pub(crate) fn urgent(&mut self, text: &str) -> Result<(), Failure> {
        self.flush()?;
        writeln!(self.err, "{text}").map_err(|error| unwritten(&error))
    }

    /// Hands on everything printed so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| unwritten(&error))
    }

    /// Ends the command: prints the failure, if there is one, and returns how the process ends.
    pub(crate) fn finish(&mut self, outcome: Result<(), Failure>) -> Exit {
        let failure = match outcome.and_then(|()| self.flush()) {
            Ok(()) => return Exit::Ok,
            Err(failure) if failure.exit == Exit::Ok => return Exit::Ok,
            Err(failure) => failure,
        };
        // What was printed before the failure still counts; whether it or the failure arrives cannot be mended here.
        let _ = self.out.flush();
        let text = if self.json { report::json(&failure) } else { report::human(&failure, self.sentence_columns) };
        let _ = self.err.write_all(text.as_bytes());
        failure.exit
    }
}

/// Returns the columns of the terminal, if there is one; `COLUMNS` overrides what it says.
fn columns(out: &io::Stdout) -> Option<u16> {
    let given = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    given.or_else(|| terminal_columns(out)).filter(|columns| *columns > 0)
}

/// Returns the columns of a stream that is a terminal.
fn terminal_columns(stream: &(impl AsFd + IsTerminal)) -> Option<u16> {
    terminal_size(stream).map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// Returns columns and lines of a stream that is a terminal.
fn terminal_size(stream: &(impl AsFd + IsTerminal)) -> Option<rustix::termios::Winsize> {
    if stream.is_terminal() { rustix::termios::tcgetwinsize(stream).ok() } else { None }
}

/// Says why nothing more can be printed.
fn unwritten(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::closed_pipe();
    }
    Failure::io("the output cannot be written", error)
}
