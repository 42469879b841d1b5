//! What is done with mail bit by bit, and the searches that wait until all letters have been read.

use std::time::Duration;

use super::{Output, Replica, RequestId};
use crate::command::{Answer, Command, CommandError, Credential, MailQuery};
use crate::stage::StoreError;

/// Searches that may wait; a further one is answered at once, with what has been read so far.
const SEARCHES_MAX: usize = 64;

/// Time between two slices, in which others are served.
const SLICE_PAUSE: Duration = Duration::from_millis(1);

/// The searches that wait.
#[derive(Debug, Default)]
pub(super) struct Searches {
    waiting: Vec<(RequestId, Option<Credential>, MailQuery)>,
}

impl Searches {
    /// Keeps a search for later, if there is room; returns whether there was.
    pub(super) fn keep(&mut self, request: RequestId, (by, query): (Option<Credential>, MailQuery)) -> bool {
        let is_room = self.waiting.len() < SEARCHES_MAX;
        if is_room {
            self.waiting.push((request, by, query));
        }
        is_room
    }
}

impl Replica {
    /// Replies to a command, unless it is a search that has to wait.
    pub(super) fn reply(
        &mut self,
        request: RequestId,
        search: Option<(Option<Credential>, MailQuery)>,
        reply: Result<Answer, CommandError>,
    ) {
        let waits = reply.is_ok() && self.mail.is_reading();
        let kept = search.filter(|_| waits).is_some_and(|search| self.searches.keep(request, search));
        if !kept {
            self.outputs.push(Output::Reply(request, Box::new(reply)));
        }
    }

    /// Returns whether something is left to do with mail.
    pub(super) fn is_mail_left(&self) -> bool {
        self.mail.is_reviewing() || self.mail.is_reading() || !self.searches.waiting.is_empty()
    }

    /// Does one slice of what is left to do with mail, if that is due, and answers searches that need wait no longer.
    pub(super) fn on_mail_due(&mut self) -> Result<(), StoreError> {
        if !self.is_mail_left() || self.now.mono < self.mail_at {
            return Ok(());
        }
        self.mail_at = self.now.mono.after(SLICE_PAUSE);
        if self.mail.is_reviewing() {
            return self.mail.review_on(&mut self.stage, &self.mesh);
        }
        self.mail.read_on(&self.stage, &self.mesh)?;
        if self.mail.is_reading() {
            return Ok(());
        }
        for (request, by, query) in std::mem::take(&mut self.searches.waiting) {
            let search = Command::MailSearch(query);
            let search = match by {
                Some(by) => Command::As(by, Box::new(search)),
                None => search,
            };
            self.on_command(request, search)?;
        }
        Ok(())
    }
}
