//! Sending a letter: what was left out is filled in, and all is checked before anything is written.

use beadmesh_protocol::id::{AgentId, LetterId, base32};
use beadmesh_protocol::limits::SUBJECT_BYTES_MAX;
use beadmesh_protocol::mail::{Letter, secret};
use beadmesh_protocol::op::{Op, OpError};

use super::super::super::mail::LetterRecord;
use super::super::super::random;
use super::super::value::{check_line, invalid};
use super::super::{Failure, Replica};
use super::recipients::About;
use crate::command::{Answer, CommandError, NewLetter};

/// What the subject of an answer begins with.
const REPLY_MARK: &str = "Re: ";

impl Replica {
    /// Sends a letter.
    pub(in super::super) fn send(&mut self, sender: AgentId, new: NewLetter) -> Result<Answer, Failure> {
        let hint = "write to its thread: `beadmesh mail send --thread NAME`";
        let unanswered = ("nobody reads answers to it", hint);
        let answered = new.in_reply_to.as_deref().map(|letter| self.find_letter(letter, unanswered)).transpose()?;
        let thread = self.thread_of(&new, answered.as_ref())?;
        let project = new.project.as_ref().map(|context| self.mesh.project(context)).transpose()?;
        let about = About {
            sender,
            thread: &thread,
            project: match &project {
                Some(named) => Some(named.id),
                None => answered.as_ref().and_then(|(_, record)| record.letter.project),
            },
        };
        let mut to = self.recipients(&new.to, &about)?;
        let mut cc = self.recipients(&new.cc, &about)?;
        if new.to.is_empty() && new.cc.is_empty() {
            let Some((_, record)) = &answered else {
                return Err(invalid("to", "a letter needs a recipient", "name an agent, @thread or @project").into());
            };
            (to, cc) = self.answering(sender, &record.letter, new.reply_all)?;
        }
        cc.retain(|agent| !to.contains(agent));
        let letter = Letter {
            project: about.project,
            from: sender,
            to,
            cc,
            subject: subject_of(&new, answered.as_ref())?,
            body: new.body,
            importance: new.importance,
            ack_required: new.ack_required,
            in_reply_to: answered.map(|(id, _)| id),
            seen: self.mail.heads(&self.stage, &thread)?,
            attachments: new.attachments,
            sent_at: self.now.wall,
            nonce: random(&mut self.rng),
            thread,
        };
        for attachment in &letter.attachments {
            check_file_name(&attachment.name)?;
        }
        let id = letter.id();
        let op = Op::Letter(Box::new(letter.clone())).encode();
        Op::decode(&op).map_err(|error| over_limit(&error))?;
        if !new.allow_credentials {
            refuse_secrets("subject", &letter.subject)?;
            refuse_secrets("body", &letter.body)?;
        }
        // Nothing is staged before here.
        if let Some(op) = project.and_then(|project| project.op) {
            self.author(vec![op])?;
        }
        self.author(vec![op])?;
        self.letter_answer(sender, id)
    }

    fn thread_of(
        &mut self,
        new: &NewLetter,
        answered: Option<&(LetterId, LetterRecord)>,
    ) -> Result<String, CommandError> {
        match (&new.thread, answered) {
            (Some(thread), _) => {
                let thread = thread.trim();
                check_line("thread", thread)?;
                if thread.is_empty() {
                    return Err(invalid("thread", "it can not be empty", "leave it out to have a new one"));
                }
                Ok(thread.to_owned())
            }
            (None, Some((_, record))) => Ok(record.letter.thread.clone()),
            (None, None) => Ok(base32(&random::<5>(&mut self.rng))),
        }
    }

    /// Returns whom an answer goes to, where nobody is named: who wrote, and all who got the letter if that is wished.
    fn answering(
        &self,
        sender: AgentId,
        letter: &Letter,
        reply_all: bool,
    ) -> Result<(Vec<AgentId>, Vec<AgentId>), CommandError> {
        let others = |agents: &[AgentId]| -> Vec<AgentId> {
            let mut others = self.active(agents.iter().copied());
            others.retain(|agent| *agent != sender);
            others
        };
        let mut to = others(&[letter.from]);
        let mut cc = Vec::new();
        // Who answers a letter of its own goes on writing to those who got it.
        if reply_all || letter.from == sender {
            to.extend(others(&letter.to).into_iter().filter(|agent| *agent != letter.from));
            cc = others(&letter.cc);
        }
        if to.is_empty() && cc.is_empty() {
            return Err(invalid("to", "everybody that the answer would go to is retired", "name a recipient"));
        }
        Ok((to, cc))
    }
}

fn subject_of(new: &NewLetter, answered: Option<&(LetterId, LetterRecord)>) -> Result<String, CommandError> {
    let given = new.subject.trim();
    check_line("subject", given)?;
    match answered {
        _ if !given.is_empty() => Ok(given.to_owned()),
        None => Err(invalid("subject", "a letter needs a subject", "say in one line what it is about")),
        Some((_, record)) => {
            let subject = &record.letter.subject;
            let is_reply = subject.get(..REPLY_MARK.len()).is_some_and(|it| it.eq_ignore_ascii_case(REPLY_MARK));
            let mut subject = if is_reply { subject.clone() } else { format!("{REPLY_MARK}{subject}") };
            subject.truncate(subject.floor_char_boundary(SUBJECT_BYTES_MAX));
            Ok(subject)
        }
    }
}

/// Refuses a name that could lead out of the folder that an attachment is saved in.
fn check_file_name(name: &str) -> Result<(), CommandError> {
    check_line("attachment", name)?;
    if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
        let shown: String = name.chars().take(80).collect();
        let hint = "give the file's name alone, without folders";
        return Err(invalid("attachment", &format!("{shown:?} is not the name of a file"), hint));
    }
    Ok(())
}

/// Refuses a text that seems to hold a password or a key.
fn refuse_secrets(field: &str, text: &str) -> Result<(), CommandError> {
    let Some(secret::Finding { rule, line }) = secret::find(text) else { return Ok(()) };
    Err(CommandError::Refused {
        problem: format!("{field}: line {line} seems to hold a secret (rule {rule}), and letters stay on every node"),
        hint: "take it out; `--allow-credentials` sends it all the same".to_owned(),
    })
}

fn over_limit(error: &OpError) -> CommandError {
    match error {
        OpError::OverLimit { field, limit } => {
            let unit = if matches!(*field, "to" | "seen" | "attachments") { "of them" } else { "bytes" };
            invalid(field, &format!("there are more than {limit} {unit}"), "send less, or several letters")
        }
        other => invalid("letter", &other.to_string(), "change what it says"),
    }
}
