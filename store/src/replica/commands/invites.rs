//! Commands on invites, and on the nodes that come by them.

use beadmesh_protocol::entry::Sealed;
use beadmesh_protocol::id::{InviteId, NodeId};
use beadmesh_protocol::invite::{Applicant, Invite, JoinRefusal, JoinRequest, Secret, fingerprint, is_fingerprint_of};
use beadmesh_protocol::op::Op;

use super::super::mesh::invites::{Welcome, close};
use super::super::{Event, Failure, Output, Replica, random};
use crate::command::{Answer, ApplicantAnswer, Command, CommandError, NewInvite, OpenInviteAnswer};
use crate::keys;
use crate::stage::StoreError;

impl Replica {
    /// Carries out a command on invites, or on who comes by them.
    pub(super) fn obey_on_invites(&mut self, command: Command) -> Result<Answer, Failure> {
        match command {
            Command::Invite(new) => self.invite(new),
            Command::RevokeInvite(name) => self.revoke_invite(&name),
            Command::Welcome(joiner, request) => self.welcome(joiner, &request),
            Command::Applicants => self.applicants(),
            Command::Approve(name) => self.approve(&name),
            Command::Deny(name) => self.deny(&name),
            _ => self.invites(),
        }
    }

    fn invite(&mut self, new: NewInvite) -> Result<Answer, Failure> {
        let secret = Secret::from_bytes(random(&mut self.rng));
        let ticket = self.mesh.invite(&mut self.stage, self.now.wall, secret, new)?;
        self.update_join_open()?;
        Ok(Answer::Invited(ticket))
    }

    /// Lists the invites that this node has opened, the first to expire first.
    fn invites(&self) -> Result<Answer, Failure> {
        let roster = self.mesh.roster();
        let answer = |invite: Invite| OpenInviteAnswer {
            invite: invite.secret.invite(),
            role: invite.role,
            approval: invite.approval,
            expires: invite.expires,
            uses_left: invite.uses_left,
            used_by: invite.used_by.iter().map(|node| roster.display_name(*node)).collect(),
        };
        let mut invites: Vec<OpenInviteAnswer> =
            self.stage.records(keys::INVITES)?.into_iter().map(|(_, invite)| answer(invite)).collect();
        invites.sort_by_key(|invite| (invite.expires, invite.invite));
        Ok(Answer::Invites(invites))
    }

    /// Closes an invite, which a person names by its id or the start of it.
    fn revoke_invite(&mut self, name: &str) -> Result<Answer, Failure> {
        let wanted = name.trim().to_ascii_lowercase();
        let invites = self.stage.records::<Invite>(keys::INVITES)?.into_iter().map(|(_, invite)| invite);
        let is_meant = |id: InviteId| !wanted.is_empty() && id.to_string().starts_with(&wanted);
        let found: Vec<Invite> = invites.filter(|invite| is_meant(invite.secret.invite())).collect();
        let shown: String = name.chars().take(80).collect();
        match &found[..] {
            [invite] => close(&mut self.stage, invite)?,
            [] => return Err(CommandError::NotFound { what: "invite", name: shown }.into()),
            _ => {
                let candidates = found.iter().take(10).map(|invite| invite.secret.invite().to_string()).collect();
                return Err(CommandError::Ambiguous { name: shown, candidates }.into());
            }
        }
        self.update_join_open()?;
        Ok(Answer::Done)
    }

    /// Lets a stranger in who proves an invite, or has it wait until somebody has approved it.
    fn welcome(&mut self, joiner: NodeId, request: &JoinRequest) -> Result<Answer, Failure> {
        let wall = self.now.wall;
        let decision = match self.mesh.welcome(&self.stage, wall, joiner, request)? {
            Err(refusal) => Err(refusal),
            Ok(Welcome::Again(control)) => Ok(control),
            Ok(Welcome::Wait(applicant)) => {
                let key = keys::applicant(joiner);
                if self.stage.get(&key)?.is_none() {
                    let (name, fingerprint) = (applicant.name.clone(), fingerprint(joiner));
                    self.outputs.push(Output::Event(Event::Applicant { name, fingerprint }));
                }
                self.stage.put_record(key, &applicant);
                Err(JoinRefusal::Pending)
            }
            Ok(Welcome::First(invite, op)) => self.let_in(joiner, invite, &op)?,
        };
        Ok(Answer::JoinDecision(decision))
    }

    /// Writes the admission of a node; first it is seen that it has effect and fits the answer to the node.
    fn let_in(
        &mut self,
        joiner: NodeId,
        mut invite: Invite,
        op: &Op,
    ) -> Result<Result<Vec<Sealed>, JoinRefusal>, StoreError> {
        let wall = self.now.wall;
        let entry = self.entries.draft(wall, vec![op.encode()]);
        let control = match self.mesh.admit(joiner, &entry) {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(control) => control,
        };
        invite.take(joiner, wall);
        self.stage.put_record(keys::invite(invite.secret.invite()), &invite);
        self.stage.delete(keys::applicant(joiner));
        self.entries.keep(&mut self.stage, wall, &entry)?;
        self.mesh.note(&mut self.stage, &entry);
        self.authored.push(entry.id());
        self.learn(vec![entry])?;
        Ok(Ok(control))
    }

    /// Lists the nodes that wait to be approved, those that have waited longest first.
    fn applicants(&self) -> Result<Answer, Failure> {
        let mut applicants = Vec::new();
        for (node, Applicant { invite, name, since }) in self.waiting()? {
            if let Some(Invite { role, .. }) = self.stage.record::<Invite>(&keys::invite(invite))? {
                applicants.push(ApplicantAnswer { node, name, role, since });
            }
        }
        applicants.sort_by_key(|applicant| (applicant.since, applicant.node));
        Ok(Answer::Applicants(applicants))
    }

    /// Lets in a node that waits for it, which a person names by its fingerprint. The node hears of it when it asks again.
    fn approve(&mut self, name: &str) -> Result<Answer, Failure> {
        let (node, applicant) = self.applicant(name)?;
        let invite = self.stage.record::<Invite>(&keys::invite(applicant.invite))?;
        let Some(invite) = invite.filter(|invite| invite.is_open(self.now.wall)) else {
            let problem = "the invite that it came by has expired or is used up".to_owned();
            let hint = "open another with `beadmesh invite --approve`, and give its ticket to that machine".to_owned();
            return Err(CommandError::Conflict { problem, hint }.into());
        };
        let allowed = self.mesh.check_room(node);
        let op = self.mesh.admission(node, &applicant, invite.role);
        let let_in = match allowed {
            Ok(()) => self.let_in(node, invite, &op)?,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = let_in {
            let hint = "see `beadmesh members` for who may let nodes in".to_owned();
            return Err(CommandError::Refused { problem: refusal.to_string(), hint }.into());
        }
        self.member_answer(node)
    }

    /// Turns a node away that waits to be approved: it comes in by that invite no more.
    fn deny(&mut self, name: &str) -> Result<Answer, Failure> {
        let (node, applicant) = self.applicant(name)?;
        self.stage.put_record(keys::barred(applicant.invite, node), &JoinRefusal::Denied);
        self.stage.delete(keys::applicant(node));
        Ok(Answer::Done)
    }

    /// Returns the node that waits and that a person means.
    fn applicant(&self, name: &str) -> Result<(NodeId, Applicant), Failure> {
        let mut found = self.waiting()?;
        found.retain(|(node, _)| is_fingerprint_of(name, *node));
        let shown = name.chars().take(80).collect();
        if found.len() > 1 {
            let candidates = found.iter().take(10).map(|(node, _)| node.to_string()).collect();
            return Err(CommandError::Ambiguous { name: shown, candidates }.into());
        }
        found.pop().ok_or_else(|| CommandError::NotFound { what: "node that waits to be approved", name: shown }.into())
    }

    /// Returns the nodes that wait to be approved.
    pub(super) fn waiting(&self) -> Result<Vec<(NodeId, Applicant)>, StoreError> {
        let records = self.stage.records::<Applicant>(keys::APPLICANTS)?.into_iter();
        let waiting = records.filter_map(|(key, applicant)| Some((keys::applicant_of(&key)?, applicant)));
        Ok(waiting.filter(|(node, _)| !self.mesh.roster().members.contains_key(node)).collect())
    }
}

#[cfg(test)]
mod tests;
