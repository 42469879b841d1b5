//! Threads, and pages of them: each letter after those it names.

use beadmesh_protocol::id::LetterId;
use beadmesh_protocol::mail::thread::{Place, order};

use super::{Mail, lists, thread_hash};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Letters of a thread that are read at one time to be put in order.
///
/// The pages of a longer thread follow the time of its letters, and each page is in order in itself. That differs only
/// where a letter's clock was behind that of a letter it names, which hybrid clocks do not let happen unless a clock is
/// minutes wrong.
pub(crate) const THREAD_WHOLE_MAX: usize = 512;

/// Letters that a page of a thread holds at most.
const PAGE_LETTERS_MAX: usize = 100;

/// Letters to show, in the order in which they are read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) letters: Vec<LetterId>,
    /// Whether there are more after these.
    pub(crate) is_more: bool,
    /// Whether they are in the order of their times, and still to be put into that of the thread.
    pub(crate) by_time: bool,
}

impl Mail {
    /// Returns a page of a thread: the letters after one, so many of them (as many as a page holds for 0).
    pub(crate) fn thread_page(
        &self,
        stage: &Stage,
        (thread, after): (&str, Option<LetterId>),
        limit: usize,
    ) -> Result<Page, StoreError> {
        let limit = if limit == 0 { PAGE_LETTERS_MAX } else { limit.min(PAGE_LETTERS_MAX) };
        let hash = thread_hash(thread);
        let list = keys::thread(&hash);
        let rows = stage.keys_from(&list, &list, THREAD_WHOLE_MAX + 1)?;
        if rows.len() <= THREAD_WHOLE_MAX {
            let order = self.in_order(stage, &lists::letters(&rows))?;
            let place = after.map(|after| order.iter().position(|letter| *letter == after));
            let start = place.map_or(0, |place| place.map_or(order.len(), |place| place + 1));
            let letters: Vec<LetterId> = order[start..].iter().take(limit).copied().collect();
            let is_more = start + letters.len() < order.len();
            return Ok(Page { letters, is_more, by_time: false });
        }
        let from = match after {
            None => list.clone(),
            Some(after) => match self.record(stage, after)? {
                Some(record) => lists::past(keys::in_thread(&hash, record.carried.hlc, after)),
                None => return Ok(Page::default()),
            },
        };
        let mut letters = lists::letters(&stage.keys_from(&list, &from, limit + 1)?);
        let is_more = letters.len() > limit;
        letters.truncate(limit);
        Ok(Page { letters, is_more, by_time: true })
    }

    /// Returns all letters of a thread, each after those it names, however many there are.
    pub(crate) fn thread(&self, stage: &Stage, thread: &str) -> Result<Vec<LetterId>, StoreError> {
        self.in_order(stage, &lists::letters(&stage.keys(&keys::thread(&thread_hash(thread)))?))
    }

    /// Returns the letters of a thread in the order of their times; `None` where there are more than are read at once.
    pub(crate) fn whole_thread(&self, stage: &Stage, thread: &str) -> Result<Option<Vec<LetterId>>, StoreError> {
        let list = keys::thread(&thread_hash(thread));
        let rows = stage.keys_from(&list, &list, THREAD_WHOLE_MAX + 1)?;
        Ok((rows.len() <= THREAD_WHOLE_MAX).then(|| lists::letters(&rows)))
    }

    /// Counts the letters of a thread.
    pub(crate) fn thread_total(&self, stage: &Stage, thread: &str) -> Result<u64, StoreError> {
        Ok(stage.record(&keys::thread_count(&thread_hash(thread)))?.unwrap_or(0))
    }

    /// Puts letters in order, each after those it names.
    pub(crate) fn in_order(&self, stage: &Stage, letters: &[LetterId]) -> Result<Vec<LetterId>, StoreError> {
        let mut places = Vec::with_capacity(letters.len());
        for letter in letters {
            let Some(record) = self.record(stage, *letter)? else { continue };
            places.push(Place { letter: *letter, hlc: record.carried.hlc, named: record.letter.named() });
        }
        Ok(order(places))
    }
}
