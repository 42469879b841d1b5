//! Reading mail: inboxes, letters, threads, and what is found in them.

use beadmesh_protocol::id::{AgentId, BlobHash, LetterId};
use beadmesh_protocol::limits::LETTER_BODY_BYTES_MAX;
use beadmesh_protocol::mail::{Letter, Receipt, ReceiptKind};
use beadmesh_protocol::op::Op;

use super::super::mail::{FindLetterError, LetterRecord, load, read_at, receipt_at};
use super::agent::refused;
use super::{Failure, Replica, count};
use crate::command::{
    Answer, CommandError, InboxFilter, LetterAnswer, LetterHead, LetterPage, MailQuery, Party, ReceiptAnswer,
    ThreadAnswer, ThreadQuery,
};

mod export;
mod recipients;
mod send;

impl Replica {
    /// Lists the letters that have come to an agent.
    pub(super) fn inbox(&mut self, agent: AgentId, filter: &InboxFilter) -> Result<Answer, Failure> {
        let (ids, next) = self.mail.inbox(&self.stage, agent, filter)?;
        self.letters_answer(agent, &ids, next)
    }

    /// Finds letters by their words.
    pub(super) fn search(&mut self, agent: AgentId, query: &MailQuery) -> Result<Answer, Failure> {
        if query.query.len() > LETTER_BODY_BYTES_MAX {
            let problem = format!("it has {} bytes, at most {LETTER_BODY_BYTES_MAX} are allowed", query.query.len());
            return Err(super::value::invalid("query", &problem, "look for fewer words").into());
        }
        let found = self.mail.search(&self.stage, &self.mesh, &query.query)?;
        let (ids, next) = page_after(&found, query.after, query.limit);
        self.letters_answer(agent, ids, next)
    }

    /// Counts the letters that an agent has not read.
    pub(super) fn unread(&mut self, agent: AgentId) -> Result<Answer, Failure> {
        Ok(Answer::Unread(self.mail.unread(&self.stage, agent)?))
    }

    /// Tells which letters carry blobs.
    pub(super) fn blob_uses(&self, blobs: &[BlobHash]) -> Result<Answer, Failure> {
        let here = self.entries.node();
        let uses = blobs.iter().map(|blob| self.mail.blob_use(&self.stage, *blob, here));
        Ok(Answer::BlobUses(uses.collect::<Result<_, _>>()?))
    }

    /// Shows a letter, and notes that a recipient has read it.
    pub(super) fn show_letter(&mut self, agent: AgentId, letter: &str, peek: bool) -> Result<Answer, Failure> {
        let (id, record) = self.find_letter(letter)?;
        let is_read = read_at(&self.stage, &self.mesh, id, agent)?.is_some();
        if !peek && !is_read && record.letter.recipients().contains(&agent) {
            let receipt = Receipt { letter: id, agent, kind: ReceiptKind::Read };
            self.author(vec![Op::Receipt(receipt).encode()])?;
        }
        self.letter_answer(agent, id)
    }

    /// Acknowledges a letter, once.
    pub(super) fn acknowledge(&mut self, agent: AgentId, letter: &str) -> Result<Answer, Failure> {
        let (id, record) = self.find_letter(letter)?;
        if !record.letter.recipients().contains(&agent) {
            let problem = format!("{} did not get that letter", self.mesh.address(agent));
            return Err(refused(problem, "`beadmesh mail inbox` lists the letters that it got").into());
        }
        let kind = ReceiptKind::Acknowledged;
        if receipt_at(&self.stage, &self.mesh, (id, agent), kind)?.is_none() {
            self.author(vec![Op::Receipt(Receipt { letter: id, agent, kind }).encode()])?;
        }
        self.letter_answer(agent, id)
    }

    /// Shows a thread.
    pub(super) fn thread(&mut self, agent: AgentId, query: &ThreadQuery) -> Result<Answer, Failure> {
        let mut thread = query.thread.trim().to_owned();
        if !self.mail.is_thread(&self.stage, &thread)? {
            let (_, record) = self.find_letter(&thread).map_err(|error| match error {
                Failure::Command(CommandError::NotFound { name, .. }) => {
                    Failure::Command(CommandError::NotFound { what: "thread", name })
                }
                other => other,
            })?;
            thread = record.letter.thread;
        }
        let order = self.mail.thread(&self.stage, &thread)?;
        let (ids, next) = page_after(&order, query.after, query.limit);
        let letters = ids.iter().map(|id| self.letter(agent, *id)).collect::<Result<_, _>>()?;
        Ok(Answer::Thread(ThreadAnswer { thread, letters, total: count(order.len()), next }))
    }

    /// Finds the letter that a person means.
    fn find_letter(&self, text: &str) -> Result<(LetterId, LetterRecord), Failure> {
        let name = || text.chars().take(80).collect();
        let not_found = || CommandError::NotFound { what: "letter", name: name() };
        let id = match self.mail.find(&self.stage, text) {
            Ok(id) => id,
            Err(FindLetterError::None) => return Err(not_found().into()),
            Err(FindLetterError::Several(ids)) => {
                let candidates = ids.iter().map(|id| self.mail.short(&self.stage, *id)).collect::<Result<_, _>>()?;
                return Err(CommandError::Ambiguous { name: name(), candidates }.into());
            }
            Err(FindLetterError::Store(error)) => return Err(error.into()),
        };
        let record = self.mail.record(&self.stage, id)?.ok_or_else(not_found)?;
        Ok((id, record))
    }

    fn letters_answer(&self, agent: AgentId, ids: &[LetterId], next: Option<LetterId>) -> Result<Answer, Failure> {
        let mut letters = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(record) = self.mail.record(&self.stage, *id)? {
                letters.push(self.head(agent, (*id, &record))?);
            }
        }
        Ok(Answer::Letters(LetterPage { letters, next }))
    }

    /// Answers with a letter and what became of it.
    fn letter_answer(&self, agent: AgentId, id: LetterId) -> Result<Answer, Failure> {
        Ok(Answer::Letter(Box::new(self.letter(agent, id)?)))
    }

    fn letter(&self, agent: AgentId, id: LetterId) -> Result<LetterAnswer, Failure> {
        let missing = || CommandError::NotFound { what: "letter", name: id.to_string() };
        let record = self.mail.record(&self.stage, id)?.ok_or_else(missing)?;
        let Letter { body, .. } = load(&self.stage, &self.mesh, record.carried)?;
        let receipts = self.receipts(id, &record.letter)?;
        Ok(LetterAnswer { head: self.head(agent, (id, &record))?, body, receipts })
    }

    /// Returns what the recipients of a letter did with it, in the order in which it names them.
    fn receipts(&self, id: LetterId, letter: &Letter) -> Result<Vec<ReceiptAnswer>, Failure> {
        let mut receipts = Vec::new();
        for recipient in letter.recipients() {
            let Some(read) = read_at(&self.stage, &self.mesh, id, recipient)? else { continue };
            let kind = ReceiptKind::Acknowledged;
            let acknowledged = receipt_at(&self.stage, &self.mesh, (id, recipient), kind)?;
            receipts.push(ReceiptAnswer {
                party: self.party(recipient),
                read_at: read.wall(),
                acknowledged_at: acknowledged.map(|at| at.wall()),
            });
        }
        Ok(receipts)
    }

    fn head(&self, agent: AgentId, (id, record): (LetterId, &LetterRecord)) -> Result<LetterHead, Failure> {
        let letter = &record.letter;
        let parties = |agents: &[AgentId]| agents.iter().map(|agent| self.party(*agent)).collect();
        let is_recipient = letter.to.contains(&agent) || letter.cc.contains(&agent);
        let is_due = is_recipient && letter.ack_required;
        let (stage, mesh) = (&self.stage, &self.mesh);
        Ok(LetterHead {
            id,
            short: self.mail.short(stage, id)?,
            project: letter.project.map(|project| mesh.canonical(project)),
            thread: letter.thread.clone(),
            from: self.party(letter.from),
            to: parties(&letter.to),
            cc: parties(&letter.cc),
            subject: letter.subject.clone(),
            importance: letter.importance,
            ack_required: letter.ack_required,
            in_reply_to: letter.in_reply_to,
            attachments: letter.attachments.clone(),
            sent_at: letter.sent_at,
            node: record.node,
            unread: is_recipient && read_at(stage, mesh, id, agent)?.is_none(),
            ack_due: is_due && receipt_at(stage, mesh, (id, agent), ReceiptKind::Acknowledged)?.is_none(),
        })
    }

    fn party(&self, agent: AgentId) -> Party {
        Party { agent, address: self.mesh.address(agent) }
    }
}

/// Takes a page from letters: those after one, `limit` of them (all for 0), and the letter to continue after.
fn page_after(letters: &[LetterId], after: Option<LetterId>, limit: usize) -> (&[LetterId], Option<LetterId>) {
    let start = after
        .map_or(0, |after| letters.iter().position(|letter| *letter == after).map_or(letters.len(), |place| place + 1));
    let rest = &letters[start..];
    let wanted = if limit == 0 { rest.len() } else { limit.min(rest.len()) };
    let next = (wanted < rest.len()).then(|| rest[..wanted].last().copied()).flatten();
    (&rest[..wanted], next)
}

#[cfg(test)]
mod tests;
