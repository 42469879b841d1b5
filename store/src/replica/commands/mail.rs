//! Reading mail: inboxes, letters, threads, and what is found in them.

use beadmesh_protocol::id::{AgentId, BlobHash, LetterId};
use beadmesh_protocol::limits::LETTER_BODY_BYTES_MAX;
use beadmesh_protocol::mail::{Letter, Receipt, ReceiptKind};
use beadmesh_protocol::op::Op;

use super::super::mail::{FindLetterError, LetterRecord, Reader, read_at, receipt_at};
use super::agent::refused;
use super::{Failure, Replica};
use crate::command::{
    Answer, Command, CommandError, InboxFilter, LetterAnswer, LetterHead, LetterPage, MailQuery, Party, ReceiptAnswer,
    ThreadAnswer, ThreadQuery,
};

mod export;
mod recipients;
mod send;
mod system;

/// Bytes of entries that are read for one page of a thread before it ends early: a page of short letters is whole, and
/// one of the longest takes a few milliseconds.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

impl Replica {
    /// Carries out a command on the mail of an agent that has proved who it is.
    pub(super) fn obey_on_mail(&mut self, agent: AgentId, command: Command) -> Result<Answer, Failure> {
        match command {
            Command::MailSend(new) => self.send(agent, *new),
            Command::MailInbox(filter) => self.inbox(agent, &filter),
            Command::MailShow { letter, peek } => self.show_letter(agent, &letter, peek),
            Command::MailThread(query) => self.thread(agent, &query),
            Command::MailAck(letter) => self.acknowledge(agent, &letter),
            Command::MailSearch(query) => self.search(agent, &query),
            _ => self.unread(agent),
        }
    }

    /// Lists the letters that have come to an agent.
    fn inbox(&mut self, agent: AgentId, filter: &InboxFilter) -> Result<Answer, Failure> {
        let (ids, next) = self.mail.inbox(&self.stage, agent, filter)?;
        let (settling, truncated) = (self.mail.is_reviewing(), false);
        Ok(Answer::Letters(LetterPage { letters: self.heads(agent, &ids)?, next, settling, truncated }))
    }

    /// Finds letters by their words.
    fn search(&mut self, agent: AgentId, query: &MailQuery) -> Result<Answer, Failure> {
        if query.query.len() > LETTER_BODY_BYTES_MAX {
            let problem = format!("it has {} bytes, at most {LETTER_BODY_BYTES_MAX} are allowed", query.query.len());
            return Err(super::value::invalid("query", &problem, "look for fewer words").into());
        }
        let found = self.mail.search(&self.stage, &self.mesh, query)?;
        let next = found.letters.last().copied().filter(|_| found.is_more);
        let settling = self.mail.is_reviewing() || self.mail.is_reading();
        let letters = self.heads(agent, &found.letters)?;
        Ok(Answer::Letters(LetterPage { letters, next, settling, truncated: found.is_cut }))
    }

    /// Counts the letters that an agent has not read.
    fn unread(&mut self, agent: AgentId) -> Result<Answer, Failure> {
        Ok(Answer::Unread(self.mail.unread(&self.stage, agent)?))
    }

    /// Tells which letters carry blobs.
    pub(super) fn blob_uses(&self, blobs: &[BlobHash]) -> Result<Answer, Failure> {
        let here = self.entries.node();
        let uses = blobs.iter().map(|blob| self.mail.blob_use(&self.stage, *blob, here));
        Ok(Answer::BlobUses(uses.collect::<Result<_, _>>()?))
    }

    /// Shows a letter, and notes that a recipient has read it.
    fn show_letter(&mut self, agent: AgentId, letter: &str, peek: bool) -> Result<Answer, Failure> {
        let id = self.find_either(letter)?;
        let is_read = read_at(&self.stage, &self.mesh, id, agent)?.is_some();
        if !peek && !is_read && self.is_recipient(id, agent)? {
            let receipt = Receipt { letter: id, agent, kind: ReceiptKind::Read };
            self.author(vec![Op::Receipt(receipt).encode()])?;
        }
        self.letter_answer(agent, id)
    }

    /// Acknowledges a letter, once.
    fn acknowledge(&mut self, agent: AgentId, letter: &str) -> Result<Answer, Failure> {
        let hint = "`beadmesh mail show` notes that it was read, which is enough";
        let (id, record) = self.find_letter(letter, ("nobody waits for it to be acknowledged", hint))?;
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
    fn thread(&mut self, agent: AgentId, query: &ThreadQuery) -> Result<Answer, Failure> {
        let mut thread = query.thread.trim().to_owned();
        if !self.mail.is_thread(&self.stage, &thread, agent)? {
            let id = self.find_either(&thread).map_err(|error| match error {
                Failure::Command(CommandError::NotFound { name, .. }) => {
                    Failure::Command(CommandError::NotFound { what: "thread", name })
                }
                other => other,
            })?;
            thread = match self.mail.system(&self.stage, id)? {
                Some(record) => record.thread,
                None => self.mail.record(&self.stage, id)?.map(|record| record.letter.thread).unwrap_or_default(),
            };
        }
        let page = self.mail.thread_page(&self.stage, agent, (&thread, query.after), query.limit)?;
        let (mut reader, mut letters) = (Reader::default(), Vec::new());
        for id in &page.letters {
            if reader.bytes() >= PAGE_BYTES_MAX {
                break;
            }
            letters.push(self.letter(agent, *id, &mut reader)?);
        }
        let shown = &page.letters[..letters.len()];
        let is_more = page.is_more || shown.len() < page.letters.len();
        let next = shown.last().copied().filter(|_| is_more);
        if page.by_time {
            let order = self.mail.in_order(&self.stage, shown)?;
            letters.sort_by_key(|letter| order.iter().position(|id| *id == letter.head.id));
        }
        let total = self.mail.thread_total(&self.stage, agent, &thread)?;
        let settling = self.mail.is_reviewing();
        Ok(Answer::Thread(ThreadAnswer { thread, letters, total, next, settling }))
    }

    /// Finds the letter that a person means, which must not be a system letter: that is refused for the reason given, with
    /// a hint.
    fn find_letter(&self, text: &str, (what, hint): (&str, &str)) -> Result<(LetterId, LetterRecord), Failure> {
        let id = self.find_either(text)?;
        self.refuse_system(id, what, hint)?;
        let record = self.mail.record(&self.stage, id)?.ok_or_else(|| missing(text))?;
        Ok((id, record))
    }

    /// Finds the letter of either kind that a person means.
    fn find_either(&self, text: &str) -> Result<LetterId, Failure> {
        match self.mail.find(&self.stage, text) {
            Ok(id) => Ok(id),
            Err(FindLetterError::None) => Err(missing(text).into()),
            Err(FindLetterError::Several(ids)) => {
                let candidates = ids.iter().map(|id| self.mail.short(&self.stage, *id)).collect::<Result<_, _>>()?;
                Err(CommandError::Ambiguous { name: text.chars().take(80).collect(), candidates }.into())
            }
            Err(FindLetterError::Store(error)) => Err(error.into()),
        }
    }

    /// Returns whether a letter of either kind goes to an agent.
    fn is_recipient(&self, id: LetterId, agent: AgentId) -> Result<bool, Failure> {
        if let Some(record) = self.mail.system(&self.stage, id)? {
            return Ok(record.agent == agent);
        }
        let record = self.mail.record(&self.stage, id)?;
        Ok(record.is_some_and(|record| record.letter.recipients().contains(&agent)))
    }

    fn heads(&mut self, agent: AgentId, ids: &[LetterId]) -> Result<Vec<LetterHead>, Failure> {
        let mut letters = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(record) = self.mail.record(&self.stage, *id)? {
                letters.push(self.head(agent, (*id, &record))?);
            } else if let Some(record) = self.mail.system(&self.stage, *id)? {
                letters.push(self.system_head(agent, &record)?);
            }
        }
        Ok(letters)
    }

    /// Answers with a letter and what became of it.
    fn letter_answer(&mut self, agent: AgentId, id: LetterId) -> Result<Answer, Failure> {
        Ok(Answer::Letter(Box::new(self.letter(agent, id, &mut Reader::default())?)))
    }

    fn letter(&mut self, agent: AgentId, id: LetterId, reader: &mut Reader) -> Result<LetterAnswer, Failure> {
        if let Some(record) = self.mail.system(&self.stage, id)? {
            return self.system_answer(agent, &record);
        }
        let record = self.mail.record(&self.stage, id)?.ok_or_else(|| missing(&id.to_string()))?;
        let Letter { body, .. } = reader.letter(&self.stage, &self.mesh, record.carried)?;
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
            cause: None,
        })
    }

    fn party(&self, agent: AgentId) -> Party {
        Party { agent, address: self.mesh.address(agent) }
    }
}

/// Says that no letter is named so.
fn missing(name: &str) -> CommandError {
    CommandError::NotFound { what: "letter", name: name.chars().take(80).collect() }
}

#[cfg(test)]
mod tests;
