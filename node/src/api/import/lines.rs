//! A body cut into lines, with bounded memory: of a line that is too long nothing is kept.

use beadmesh_protocol::limits::IMPORT_LINE_BYTES_MAX;

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the body, from 1.
    pub(super) number: u64,
    /// Its bytes without the line's end; absent when it is too long.
    pub(super) bytes: Option<Vec<u8>>,
}

/// Cuts a body into lines as it comes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Whole lines that were not handed out yet.
    whole: std::collections::VecDeque<Line>,
    /// The beginning of the line under way.
    begun: Vec<u8>,
    /// Whether the line under way is too long already.
    skipping: bool,
    /// Lines that are complete, blank ones included.
    ended: u64,
}

impl Line {
    pub(super) fn bytes_len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }
}

impl Lines {
    /// Takes the next piece of the body.
    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.extend(&chunk[..end]);
            self.end_line();
            chunk = &chunk[end + 1..];
        }
        self.extend(chunk);
    }

    /// Returns the next whole line.
    pub(super) fn next(&mut self) -> Option<Line> {
        self.whole.pop_front()
    }

    /// Ends the body; returns the lines that are left.
    pub(super) fn finish(mut self) -> impl Iterator<Item = Line> {
        self.end_line();
        self.whole.into_iter()
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.skipping || self.begun.len() + bytes.len() > IMPORT_LINE_BYTES_MAX {
            self.skipping = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        self.ended += 1;
        let mut bytes = std::mem::take(&mut self.begun);
        if self.ended == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        if std::mem::take(&mut self.skipping) {
            self.whole.push_back(Line { number: self.ended, bytes: None });
        } else if !bytes.iter().all(u8::is_ascii_whitespace) {
            self.whole.push_back(Line { number: self.ended, bytes: Some(bytes) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &[u8], piece: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::default();
        let mut cut = Vec::new();
        for chunk in body.chunks(piece) {
            lines.push(chunk);
            cut.extend(std::iter::from_fn(|| lines.next()));
        }
        cut.extend(lines.finish());
        cut.into_iter().map(|line| (line.number, line.bytes)).collect()
    }

    #[test]
    fn lines_keep_their_numbers_wherever_the_body_is_cut() {
        let body = b"\xef\xbb\xbfone\r\n\n  \nfour\nfive";
        for piece in 1..=body.len() {
            let expected = [(1, Some(b"one\r".to_vec())), (4, Some(b"four".to_vec())), (5, Some(b"five".to_vec()))];
            assert_eq!(cut(body, piece), expected, "pieces of {piece}");
        }
        assert_eq!(cut(b"", 1), []);
    }

    #[test]
    fn a_line_over_the_bound_is_skipped_to_its_end() {
        let mut body = vec![b'x'; IMPORT_LINE_BYTES_MAX];
        assert_eq!(cut(&body, 65_536)[0].1.as_ref().map(Vec::len), Some(IMPORT_LINE_BYTES_MAX));
        body.extend_from_slice(b"x\nnext");
        assert_eq!(cut(&body, 65_536), [(1, None), (2, Some(b"next".to_vec()))]);
    }
}
