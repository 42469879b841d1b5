//! Threads, and pages of them: each letter after those it names.

use beadmesh_protocol::id::{AgentId, LetterId};
use beadmesh_protocol::mail::system::Cause;
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
    ///
    /// The system letters that an agent has in the thread are among them.
    pub(crate) fn thread_page(
        &self,
        stage: &Stage,
        agent: AgentId,
        (thread, after): (&str, Option<LetterId>),
        limit: usize,
    ) -> Result<Page, StoreError> {
        let limit = if limit == 0 { PAGE_LETTERS_MAX } else { limit.min(PAGE_LETTERS_MAX) };
        let hash = thread_hash(thread);
        let lists = [keys::thread(&hash), keys::system_in(&hash, agent)];
        let mut rows = Vec::new();
        for list in &lists {
            rows.extend(stage.keys_from(list, list, THREAD_WHOLE_MAX + 1)?);
        }
        if rows.len() <= THREAD_WHOLE_MAX {
            let order = self.in_order(stage, &lists::letters(&rows))?;
            let place = after.map(|after| order.iter().position(|letter| *letter == after));
            let start = place.map_or(0, |place| place.map_or(order.len(), |place| place + 1));
            let letters: Vec<LetterId> = order[start..].iter().take(limit).copied().collect();
            let is_more = start + letters.len() < order.len();
            return Ok(Page { letters, is_more, by_time: false });
        }
        let after = match after {
            None => None,
            Some(after) => match self.hlc(stage, after)? {
                Some(hlc) => Some((hlc, after)),
                None => return Ok(Page::default()),
            },
        };
        // Behind their lists, rows of both kinds are ordered alike.
        let mut dated = Vec::new();
        for list in &lists {
            let first = |(hlc, after)| lists::past(keys::oldest_first(list.clone(), hlc, after));
            let rows = stage.keys_from(list, &after.map_or(list.clone(), first), limit + 1)?;
            dated.extend(rows.into_iter().map(|row| row[list.len()..].to_vec()));
        }
        dated.sort_unstable();
        let is_more = dated.len() > limit;
        dated.truncate(limit);
        Ok(Page { letters: lists::letters(&dated), is_more, by_time: true })
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

    /// Counts the letters of a thread, and the system letters that an agent has in it.
    pub(crate) fn thread_total(&self, stage: &Stage, agent: AgentId, thread: &str) -> Result<u64, StoreError> {
        let hash = thread_hash(thread);
        let letters: u64 = stage.record(&keys::thread_count(&hash))?.unwrap_or(0);
        let system: u64 = stage.record(&keys::system_count(&hash, agent))?.unwrap_or(0);
        Ok(letters.saturating_add(system))
    }

    /// Puts letters of either kind in order, each after those it names.
    pub(crate) fn in_order(&self, stage: &Stage, letters: &[LetterId]) -> Result<Vec<LetterId>, StoreError> {
        let mut places = Vec::with_capacity(letters.len());
        for letter in letters {
            places.extend(self.place(stage, *letter)?);
        }
        Ok(order(places))
    }

    /// Returns where a letter of either kind stands in its thread.
    fn place(&self, stage: &Stage, letter: LetterId) -> Result<Option<Place>, StoreError> {
        if let Some(record) = self.record(stage, letter)? {
            return Ok(Some(Place { letter, hlc: record.carried.hlc, named: record.letter.named() }));
        }
        let Some(record) = self.system(stage, letter)? else { return Ok(None) };
        let named = match record.cause {
            Cause::AckOverdue { letter, .. } => vec![letter],
            Cause::BeadClosed { .. }
            | Cause::LeaseLapsed { .. }
            | Cause::ClaimYielded { .. }
            | Cause::ClaimContested { .. }
            | Cause::Alarm { .. } => Vec::new(),
        };
        Ok(Some(Place { letter, hlc: record.hlc(), named }))
    }
}
