//! What became of an import: numbers, and notes on lines up to a bound.

use beadmesh_store::command::ImportReport;

use super::model::{ImportBody, LineNote};

/// Notes kept of each kind: more tells nobody more, and would let one import fill the memory.
const NOTES_MAX: usize = 10_000;

/// The sum over all batches.
#[derive(Debug, Default)]
pub(super) struct Notes {
    body: ImportBody,
    dropped: [Option<Dropped>; 3],
}

/// Notes of one kind that were not kept.
#[derive(Debug, Clone, Copy)]
struct Dropped {
    first_line: u64,
    count: u64,
}

impl Notes {
    /// Adds what became of a batch.
    pub(super) fn add(&mut self, report: ImportReport) {
        self.body.add(report);
        let kinds = [&mut self.body.conflicting, &mut self.body.older, &mut self.body.rejected];
        for (notes, dropped) in kinds.into_iter().zip(&mut self.dropped) {
            for note in notes.drain(NOTES_MAX.min(notes.len())..) {
                dropped.get_or_insert(Dropped { first_line: note.line, count: 0 }).count += 1;
            }
        }
    }

    /// Returns the sum; notes that were not kept are counted in a last one.
    pub(super) fn into_body(self) -> ImportBody {
        let mut body = self.body;
        let kinds = [&mut body.conflicting, &mut body.older, &mut body.rejected];
        for (notes, dropped) in kinds.into_iter().zip(self.dropped) {
            if let Some(Dropped { first_line, count }) = dropped {
                let reason = format!("and {} more lines like this from here on", count - 1);
                notes.push(LineNote { line: first_line, reason });
            }
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_store::command;

    use super::*;

    #[test]
    fn notes_beyond_the_bound_are_counted_only() {
        let mut notes = Notes::default();
        for line in 1..=10_002 {
            let rejected = vec![command::LineNote { line, reason: "no".into() }];
            notes.add(ImportReport { rejected, ..ImportReport::default() });
        }
        let body = notes.into_body();
        assert_eq!(body.rejected.len(), NOTES_MAX + 1);
        let last = LineNote { line: 10_001, reason: "and 1 more lines like this from here on".into() };
        assert_eq!(body.rejected.last(), Some(&last));
        assert!(body.older.is_empty());
    }
}
