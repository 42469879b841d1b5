//! System letters as they are shown: what they say is made when they are read, so that it is so then.

use beadmesh_protocol::bead::{Bead, Status};
use beadmesh_protocol::claim::Why;
use beadmesh_protocol::id::{AgentId, BeadId, ClaimId, LetterId, ProjectId};
use beadmesh_protocol::limits::SUBJECT_BYTES_MAX;
use beadmesh_protocol::mail::system::{ACK_OVERDUE, Cause, SENDER};
use beadmesh_protocol::mail::{Importance, ReceiptKind};

use super::super::super::Event;
use super::super::super::leases::News;
use super::super::super::mail::{SystemRecord, read_at, receipt_at};
use super::super::{Failure, Replica};
use crate::command::{CommandError, LetterAnswer, LetterHead, Party, ReceiptAnswer};
use crate::keys;
use crate::stage::StoreError;

/// Beads that a letter names among those that are still waited for.
const NAMED_MAX: usize = 10;

/// What a system letter says.
struct Told {
    subject: String,
    body: String,
    project: Option<ProjectId>,
    in_reply_to: Option<LetterId>,
}

impl Replica {
    /// Returns a system letter as lists show it.
    pub(super) fn system_head(&mut self, agent: AgentId, record: &SystemRecord) -> Result<LetterHead, Failure> {
        let told = self.told(record)?;
        Ok(self.system_letter(agent, record, told)?.head)
    }

    /// Returns a system letter with all that it says.
    pub(super) fn system_answer(&mut self, agent: AgentId, record: &SystemRecord) -> Result<LetterAnswer, Failure> {
        let told = self.told(record)?;
        self.system_letter(agent, record, told)
    }

    /// Returns what is told to who watches of a system letter that has come; `None` if it is gone again.
    pub(in super::super::super) fn system_event(&mut self, letter: LetterId) -> Result<Option<Event>, StoreError> {
        let Some(record) = self.mail.system(&self.stage, letter)? else { return Ok(None) };
        let Told { subject, .. } = self.told(&record)?;
        let (from, to, thread) = (SENDER.to_owned(), vec![record.agent], record.thread);
        Ok(Some(Event::Letter { letter, from, to, thread, subject, importance: Importance::Normal }))
    }

    /// Refuses what can not be done with a system letter.
    pub(super) fn refuse_system(&self, letter: LetterId, what: &str, hint: &str) -> Result<(), Failure> {
        if self.mail.system(&self.stage, letter)?.is_none() {
            return Ok(());
        }
        let problem = format!("{} is a system letter: {what}", self.mail.short(&self.stage, letter)?);
        Err(CommandError::Refused { problem, hint: hint.to_owned() }.into())
    }

    fn system_letter(&self, agent: AgentId, record: &SystemRecord, told: Told) -> Result<LetterAnswer, Failure> {
        let id = record.id();
        let read = read_at(&self.stage, &self.mesh, id, record.agent)?;
        let receipt = |read_at| ReceiptAnswer { party: self.party(record.agent), read_at, acknowledged_at: None };
        let head = LetterHead {
            id,
            short: self.mail.short(&self.stage, id)?,
            project: told.project,
            thread: record.thread.clone(),
            from: Party { agent: AgentId::from_bytes([0; AgentId::BYTES]), address: SENDER.to_owned() },
            to: vec![self.party(record.agent)],
            cc: Vec::new(),
            subject: told.subject,
            importance: Importance::Normal,
            ack_required: false,
            in_reply_to: told.in_reply_to,
            attachments: Vec::new(),
            sent_at: record.at,
            node: self.mesh.here(),
            unread: agent == record.agent && read.is_none(),
            ack_due: false,
            cause: Some(record.cause),
        };
        let receipts = read.map(|read| receipt(read.wall())).into_iter().collect();
        Ok(LetterAnswer { head, body: told.body, receipts })
    }

    fn told(&mut self, record: &SystemRecord) -> Result<Told, StoreError> {
        let mut told = match record.cause {
            Cause::BeadClosed { bead, waiting, .. } => self.told_of_close(record, bead, waiting)?,
            Cause::AckOverdue { letter, recipient } => self.told_of_ack(record, letter, recipient)?,
            Cause::LeaseLapsed { .. }
            | Cause::ClaimYielded { .. }
            | Cause::ClaimContested { .. }
            | Cause::Alarm { .. } => self.told_of_news(record)?,
        };
        told.subject.truncate(told.subject.floor_char_boundary(SUBJECT_BYTES_MAX));
        Ok(told)
    }

    fn told_of_close(&mut self, record: &SystemRecord, bead: BeadId, waiting: BeadId) -> Result<Told, StoreError> {
        let now = self.now.wall;
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let (closed, ours) = (index.name(bead), index.name(waiting));
        let mut blockers: Vec<BeadId> = index.graph.blockers(waiting).into_iter().map(|(id, _)| id).collect();
        blockers.dedup();
        let is_done = index.rows.get(waiting).is_some_and(|row| row.status.is_done());
        let is_open = index.rows.get(waiting).is_some_and(|row| row.status == Status::Open);
        let state = match blockers.len() {
            _ if is_done => "is done".to_owned(),
            0 if index.graph.is_ready(waiting, now) => "is ready".to_owned(),
            0 if is_open => "waits for no other bead".to_owned(),
            0 => "has nothing left to wait for".to_owned(),
            count => format!("still waits for {count}"),
        };
        let names: Vec<String> = blockers.iter().take(NAMED_MAX).map(|id| format!("`{}`", index.name(*id))).collect();
        let more = blockers.len().saturating_sub(NAMED_MAX);
        let record_of = |id| self.beads.record(&self.stage, &self.mesh, id);
        let (its, our) = (record_of(bead)?.map(|it| it.bead), record_of(waiting)?.map(|it| it.bead));
        let title = |bead: &Option<Bead>| match bead {
            Some(bead) => format!(" ({})", bead.title),
            None => String::new(),
        };
        let mut body = format!("`{closed}`{} was closed on {}.", title(&its), record.at);
        if let Some(reason) = its.as_ref().and_then(|bead| bead.close_reason.as_deref()) {
            body.push_str(&format!("\n\n> {}", reason.replace('\n', "\n> ")));
        }
        body.push_str(&format!("\n\n`{ours}`{}, which is yours, waited for it, and {state}", title(&our)));
        if !names.is_empty() {
            body.push_str(&format!(": {}", names.join(", ")));
        }
        if more > 0 {
            body.push_str(&format!(" and {more} more"));
        }
        body.push_str(&format!(".\n\n`beadmesh bead show {ours}` shows it."));
        let project = our.and_then(|bead| bead.project).map(|project| self.mesh.canonical(project));
        Ok(Told { subject: format!("{closed} is closed: {ours} {state}"), body, project, in_reply_to: None })
    }

    fn told_of_news(&mut self, record: &SystemRecord) -> Result<Told, StoreError> {
        let key = keys::news(record.id());
        let news: Option<News> = self.stage.record(&key)?;
        let Some(News { about, by, at, .. }) = news else {
            return Err(StoreError::Undecodable { key: beadmesh_protocol::id::base32(&key) });
        };
        let (who, witness) = by.unwrap_or_else(|| ("somebody".to_owned(), about.clone()));
        let (subject, body) = match record.cause {
            Cause::LeaseLapsed { token, .. } => {
                let lost =
                    format!("Your lease on `{about}` with token {token} was not renewed in time; it ended by {at}.");
                let then = "Others may have it now: write nothing more under it. The node tries to get it back, and \
                     `beadmesh lease list` shows how it stands.";
                (format!("Your lease on {about} has lapsed"), format!("{lost} {then}"))
            }
            Cause::ClaimContested { claim, with } => {
                self.told_of_contest(record.agent, (claim, with), &about, (&who, &witness))?
            }
            Cause::Alarm { .. } => {
                let then = "What is watched is set in the node's configuration, under `watch`, and `beadmesh status` shows \
                     how it stands.";
                (about.trim_end_matches('.').to_owned(), format!("{about} {then}"))
            }
            Cause::ClaimYielded { .. } | Cause::BeadClosed { .. } | Cause::AckOverdue { .. } => {
                told_of_yield(&about, (&who, &witness))
            }
        };
        Ok(Told { subject, body, project: None, in_reply_to: None })
    }

    /// Returns subject and body of what an agent is told of a rival, as its claim stands by now.
    fn told_of_contest(
        &self,
        agent: AgentId,
        (claim, with): (ClaimId, ClaimId),
        about: &str,
        (who, witness): (&str, &str),
    ) -> Result<(String, String), StoreError> {
        let subject = format!("{who} also claims {about}");
        let both = format!("{who} claims `{about}` as you do: both cover `{witness}`.");
        let end = self.claims.facts(&self.stage, claim)?.and_then(|facts| facts.end());
        let yielded = keys::news(Cause::ClaimYielded { claim }.letter_id(agent));
        let is_told = self.stage.get(&yielded)?.is_some();
        let is_held = self.leases.own(claim).is_some_and(|own| own.valid(self.now.mono).is_some());
        let then = match end {
            // Where a letter of its own says so, to whom it gave way need not be who this one is about.
            Some(Why::Yielded) if !is_told => return Ok(told_of_yield(about, (who, witness))),
            Some(_) => "Your claim is over.".to_owned(),
            None if is_held => "You have the lease by now: the other claim waits, or gives way.".to_owned(),
            None => {
                let first = if self.is_ahead(claim, with) { "yours" } else { "the other" };
                format!(
                    "Your claim has no lease. As far as is known here {first} goes first; only a majority of the voters \
                     decides, once it can be reached. Until then agree by letter."
                )
            }
        };
        Ok((subject, format!("{both} {then}")))
    }

    fn told_of_ack(&mut self, record: &SystemRecord, letter: LetterId, recipient: AgentId) -> Result<Told, StoreError> {
        let about = self.mail.record(&self.stage, letter)?.map(|record| record.letter);
        let subject = about.as_ref().map_or("", |letter| letter.subject.as_str());
        let (who, short) = (self.mesh.address(recipient), self.mail.short(&self.stage, letter)?);
        let receipt = |kind| receipt_at(&self.stage, &self.mesh, (letter, recipient), kind);
        let (lead, then) = match (receipt(ReceiptKind::Acknowledged)?, receipt(ReceiptKind::Read)?) {
            (Some(at), _) => ("Late acknowledgement", format!("It did so on {}.", at.wall())),
            (None, Some(at)) => ("No acknowledgement", format!("It has read the letter, on {}.", at.wall())),
            (None, None) => ("No acknowledgement", "As far as is known here it has not read the letter.".to_owned()),
        };
        let hours = ACK_OVERDUE.as_secs() / 3_600;
        let asked = format!("{who} was to acknowledge this letter of yours by {}, {hours} h after it", record.at);
        let body = format!(
            "{asked} was written, and had not:\n\n> {subject}\n\n{then}\n\n`beadmesh mail show {short}` shows it."
        );
        let project = about.as_ref().and_then(|letter| letter.project).map(|project| self.mesh.canonical(project));
        Ok(Told { subject: format!("{lead} from {who}: {subject}"), body, project, in_reply_to: Some(letter) })
    }
}

/// Returns subject and body of what an agent is told whose claim gave way.
fn told_of_yield(about: &str, (who, witness): (&str, &str)) -> (String, String) {
    let lost = format!("{who} has the lease that clashes with your claim on `{about}`: both cover `{witness}`.");
    let then = "Your claim is over. Keep what you did on a branch of its own and agree with the holder before you \
         merge it.";
    (format!("{who} has {about}"), format!("{lost} {then}"))
}
