//! Reading all mail at once, by the lists that agents are shown.

use std::collections::BTreeSet;

use beadmesh_protocol::id::{AgentId, LetterId};

use super::super::super::mail::load;
use super::super::{Failure, Replica};
use crate::command::{Answer, ExportedInbox, ExportedLetter, ExportedSystemLetter, InboxFilter, MailExport};

impl Replica {
    /// Reads every letter that has effect, every thread and every inbox.
    pub(in super::super) fn export_mail(&mut self) -> Result<Answer, Failure> {
        self.mail.finish_review(&mut self.stage, &self.mesh)?;
        self.mail.finish_overdue(&mut self.stage, &self.mesh, self.now.wall)?;
        let mut export = MailExport::default();
        let mut agents: BTreeSet<AgentId> = self.mesh.directory().all().map(|(id, _)| id).collect();
        for id in self.mail.all(&self.stage)? {
            let Some(record) = self.mail.record(&self.stage, id)? else { continue };
            agents.extend(record.letter.recipients());
            let receipts = self.receipts(id, &record.letter)?;
            let letter = load(&self.stage, &self.mesh, record.carried)?;
            let thread = &letter.thread;
            if !export.threads.contains_key(thread) {
                export.threads.insert(thread.clone(), self.mail.thread(&self.stage, thread)?);
            }
            export.letters.insert(id, ExportedLetter { letter, node: record.node, receipts });
        }
        for record in self.mail.all_system(&self.stage)? {
            let (id, agent, cause, at) = (record.id(), record.agent, record.cause, record.at);
            agents.insert(agent);
            export.system.insert(id, ExportedSystemLetter { agent, cause, at, listed: 0, unread: false });
        }
        for agent in agents {
            let list = |unread| self.mail.inbox(&self.stage, agent, &InboxFilter { unread, ..InboxFilter::default() });
            let (letters, _) = list(false)?;
            let (unread, _) = list(true)?;
            let system = &mut export.system;
            let letters = apart(letters, |id| system.get_mut(id).map(|letter| letter.listed += 1).is_some());
            let unread = apart(unread, |id| system.get_mut(id).map(|letter| letter.unread = true).is_some());
            export.inboxes.insert(agent, ExportedInbox { letters, unread });
        }
        Ok(Answer::MailExport(Box::new(export)))
    }
}

/// Returns the letters of a list that are no system letters, having looked at each.
fn apart(letters: Vec<LetterId>, mut is_system: impl FnMut(&LetterId) -> bool) -> Vec<LetterId> {
    letters.into_iter().filter(|id| !is_system(id)).collect()
}
