//! Invites opened here, and who may come in by them; nothing here lets anybody in by itself.

use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::invite::{Applicant, Invite, JoinAnswer, JoinRefusal, JoinRequest, Secret, Ticket};
use beadmesh_protocol::limits::{APPLICANTS_MAX, JOIN_MESSAGE_BYTES_MAX, NODES_MAX};
use beadmesh_protocol::op::{Admit, Op, Role};
use beadmesh_protocol::roster::{Introduction, Roster};

use super::Mesh;
use crate::command::{CommandError, NewInvite};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// How long after its expiry or last use an invite still gets a plain answer rather than a closed door.
const EXPIRED_GRACE: Duration = Duration::from_secs(600);

/// Bytes of an answer to a join apart from its entries: the variant and their count.
const ANSWER_BYTES: usize = 16;

/// How a stranger with a good ticket is let in.
#[derive(Debug)]
pub(crate) enum Welcome {
    /// By counting a use of the invite and writing the operation.
    First(Invite, Op),
    /// Once an admin has approved it.
    Wait(Applicant),
    /// It is in already and only lost the answer.
    Again(Vec<Sealed>),
}

impl Mesh {
    /// Opens an invite and returns its ticket.
    pub(crate) fn invite(
        &self,
        stage: &mut Stage,
        wall: Wall,
        secret: Secret,
        wanted: NewInvite,
    ) -> Result<Ticket, CommandError> {
        if self.roster().role(self.node) != Some(Role::Admin) {
            let owner = self.roster().display_name(self.roster().owner);
            return Err(CommandError::Refused {
                problem: "only admins let nodes in, and this node is none".to_owned(),
                hint: format!("run `beadmesh invite` on {owner}"),
            });
        }
        let expires = wall.after(wanted.ttl);
        let NewInvite { uses: uses_left, role, approval, addresses, .. } = wanted;
        let invite = Invite { secret: secret.clone(), expires, uses_left, used_by: Vec::new(), role, approval };
        stage.put_record(keys::invite(secret.invite()), &invite);
        let mesh = self.roster().mesh;
        Ok(Ticket { mesh, inviter: self.node, addresses, secret, expires })
    }

    /// Decides whether a stranger is let in; nothing is written yet.
    pub(crate) fn welcome(
        &self,
        stage: &Stage,
        wall: Wall,
        joiner: NodeId,
        request: &JoinRequest,
    ) -> Result<Result<Welcome, JoinRefusal>, StoreError> {
        let Some(invite) = stage.record::<Invite>(&keys::invite(request.invite))? else {
            return Ok(Err(JoinRefusal::UnknownTicket));
        };
        if let Err(refusal) = invite.check(self.roster().mesh, self.node, joiner, request, wall) {
            return Ok(Err(refusal));
        }
        if self.roster().members.contains_key(&joiner) {
            let introduction = self.roster().introduction(joiner, &self.control.entries);
            return Ok(introduction.ok_or(JoinRefusal::NotAdmin).and_then(welcome_of).map(Welcome::Again));
        }
        if let Some(refusal) = stage.record::<JoinRefusal>(&keys::barred(request.invite, joiner))? {
            return Ok(Err(refusal));
        }
        if let Err(refusal) = self.check_room(joiner) {
            return Ok(Err(refusal));
        }
        let (id, name) = (request.invite, request.name.clone());
        if !invite.approval {
            let op = self.admission(joiner, &Applicant { invite: id, name, since: wall }, invite.role);
            return Ok(Ok(Welcome::First(invite, op)));
        }
        // What an admin has looked at stays as it is until it is decided, as long as it can be approved.
        if let Some(known) = stage.record::<Applicant>(&keys::applicant(joiner))?
            && stage.record::<Invite>(&keys::invite(known.invite))?.is_some_and(|invite| invite.is_open(wall))
        {
            return Ok(Ok(Welcome::Wait(known)));
        }
        let applicants = stage.records::<Applicant>(keys::APPLICANTS)?;
        if applicants.iter().filter(|(_, applicant)| applicant.invite == id).count() >= APPLICANTS_MAX {
            return Ok(Err(JoinRefusal::Crowded));
        }
        Ok(Ok(Welcome::Wait(Applicant { invite: id, name, since: wall })))
    }

    /// Refuses to let a node in where this node may not, or there is no room.
    pub(crate) fn check_room(&self, joiner: NodeId) -> Result<(), JoinRefusal> {
        if !self.roster().may_act_on(self.node, joiner) {
            return Err(JoinRefusal::NotAdmin);
        }
        if self.roster().members.len() >= NODES_MAX { Err(JoinRefusal::MeshFull) } else { Ok(()) }
    }

    /// Returns the operation that lets a node in.
    pub(crate) fn admission(&self, joiner: NodeId, applicant: &Applicant, role: Role) -> Op {
        Op::Admit(Admit {
            seen: self.roster().seen_about(self.node, joiner),
            node: joiner,
            name: applicant.name.clone(),
            role,
            invite: Some(applicant.invite),
        })
    }

    /// Returns what a node is given that `admission` would let in, if it has that effect and the answer is not too long.
    pub(crate) fn admit(&self, joiner: NodeId, admission: &Entry) -> Result<Vec<Sealed>, JoinRefusal> {
        let control = || self.control.entries.iter().chain([admission]);
        let roster = Roster::fold(self.roster().mesh, control()).expect("the founding entry is still there");
        welcome_of(roster.introduction(joiner, control()).ok_or(JoinRefusal::NotAdmin)?)
    }

    /// Returns whether an invite is open, or closed so lately that its holder deserves an answer; forgets older ones.
    pub(crate) fn join_open(&self, stage: &mut Stage, wall: Wall) -> Result<bool, StoreError> {
        let mut open = false;
        for (_, invite) in stage.records::<Invite>(keys::INVITES)? {
            if wall <= invite.expires.after(EXPIRED_GRACE) {
                open = true;
            } else {
                close(stage, &invite)?;
            }
        }
        Ok(open)
    }
}

/// Forgets an invite, who waits to come by it, and who may not.
pub(crate) fn close(stage: &mut Stage, invite: &Invite) -> Result<(), StoreError> {
    let id = invite.secret.invite();
    stage.delete(keys::invite(id));
    for barred in stage.keys(&keys::barred_from(id))? {
        stage.delete(barred);
    }
    for (key, applicant) in stage.records::<Applicant>(keys::APPLICANTS)? {
        if applicant.invite == id {
            stage.delete(key);
        }
    }
    Ok(())
}

/// Returns as many of the control entries that a node needs as one answer takes.
fn welcome_of(introduction: Introduction<'_>) -> Result<Vec<Sealed>, JoinRefusal> {
    let mut bytes = ANSWER_BYTES;
    let mut fits = |entry: &&Entry| {
        bytes += JoinAnswer::entry_bytes(entry);
        bytes <= JOIN_MESSAGE_BYTES_MAX
    };
    if !introduction.needed.iter().all(&mut fits) {
        return Err(JoinRefusal::TooLong);
    }
    let helpful = introduction.helpful.into_iter().take_while(fits);
    Ok(introduction.needed.into_iter().chain(helpful).map(Entry::seal).collect())
}
