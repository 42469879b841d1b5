//! Commands on members: removing them, giving them roles and names, leaving, and who owns the mesh.

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits::{NAME_BYTES_MAX, OWNERSHIPS_GIVEN_MAX};
use beadmesh_protocol::op::{Admit, CutEnd, Naming, Op, Removal, Role};
use beadmesh_protocol::roster::Ownership;
use ed25519_dalek::SigningKey;

use super::super::{Failure, Replica};
use crate::command::{Answer, CommandError, FormerAnswer, MemberAnswer, MemberWish};

impl Replica {
    /// Carries out a wish about a member.
    pub(super) fn obey_on_member(&mut self, wish: MemberWish) -> Result<Answer, Failure> {
        match wish {
            MemberWish::Remove(name) => self.remove_member(&name),
            MemberWish::Role(name, role) => self.set_role(&name, role),
            MemberWish::Rename(name, new) => self.rename_member(&name, &new),
            MemberWish::Leave => self.leave_mesh(),
            MemberWish::Give(name) => self.give_mesh(&name),
            MemberWish::Take(key) => self.take_mesh(&key),
        }
    }

    fn remove_member(&mut self, name: &str) -> Result<Answer, Failure> {
        let node = self.mesh.member_called(name)?;
        if node == self.entries.node() {
            let problem = "this node does not remove itself".to_owned();
            return Err(refused(problem, "run `beadmesh leave` to take it out of the mesh"));
        }
        self.check_authority(node)?;
        self.check_no_voter(node)?;
        self.take_from(node, None)?;
        let former = self.former().into_iter().find(|former| former.node == node);
        former.map(|former| Answer::Removed(Box::new(former))).ok_or_else(no_effect)
    }

    fn leave_mesh(&mut self) -> Result<Answer, Failure> {
        let (roster, here) = (self.mesh.roster(), self.entries.node());
        if roster.members.len() == 1 && roster.members.contains_key(&here) {
            return Err(refused("this node is alone in its mesh".to_owned(), "`beadmesh join` takes it into another"));
        }
        if roster.role(here).is_none() {
            let problem = "this node is in the mesh no more".to_owned();
            return Err(CommandError::Conflict { problem, hint: back_in() }.into());
        }
        if roster.owner == here {
            let problem = "this node owns the mesh, and the owner does not leave it".to_owned();
            return Err(refused(problem, "give it to another first: `beadmesh members owner NODE`"));
        }
        self.check_no_voter(here)?;
        self.take_from(here, None)?;
        let former = self.former().into_iter().find(|former| former.node == here);
        former.map(|former| Answer::Removed(Box::new(former))).ok_or_else(no_effect)
    }

    /// Gives the mesh to another member.
    fn give_mesh(&mut self, name: &str) -> Result<Answer, Failure> {
        let (node, here) = (self.mesh.member_called(name)?, self.entries.node());
        let roster = self.mesh.roster();
        let owner = roster.display_name(roster.owner);
        if roster.owner == node {
            let problem = format!("{owner} owns the mesh already");
            return Err(CommandError::Conflict { problem, hint: "there is nothing to do".to_owned() }.into());
        }
        if roster.owner != here {
            let problem = "only the owner gives the mesh to another".to_owned();
            let hint = format!("run it on {owner}; if that is lost, `beadmesh recovery take` takes the mesh");
            return Err(refused(problem, &hint));
        }
        if roster.gifts == OWNERSHIPS_GIVEN_MAX {
            let problem =
                format!("it was given {OWNERSHIPS_GIVEN_MAX} times since it was taken last: that is the most");
            return Err(refused(problem, "run `beadmesh recovery take` on the machine that is to own it"));
        }
        // Voters that have handed over for one successor do not do so for another.
        if self.mesh.succession().proposed(self.mesh.epoch().0).is_some() {
            let problem = "other voters have been chosen, and those before have not handed over yet".to_owned();
            let hint = "wait until `beadmesh voters list` shows them".to_owned();
            return Err(CommandError::Conflict { problem, hint }.into());
        }
        let (seen, before) = (roster.seen_about(here, node), roster.ownership);
        self.own(Ownership::given(seen, before, node))
    }

    /// Takes the mesh for this node, whoever owns it.
    fn take_mesh(&mut self, key: &SigningKey) -> Result<Answer, Failure> {
        let (roster, node) = (self.mesh.roster(), self.entries.node());
        if key.verifying_key().to_bytes() != roster.recovery {
            let problem = "this is not the recovery key of this mesh".to_owned();
            return Err(refused(problem, "it was shown once, when the mesh was founded"));
        }
        if roster.owner == node {
            let problem = "this node owns the mesh already".to_owned();
            return Err(CommandError::Conflict { problem, hint: "there is nothing to do".to_owned() }.into());
        }
        let (seen, before) = (roster.seen_about(node, node), roster.taking);
        self.own(Ownership::taken(seen, before, node, (roster.mesh, key)))
    }

    fn own(&mut self, ownership: Ownership) -> Result<Answer, Failure> {
        let node = ownership.node;
        self.author(vec![Op::Own(ownership).encode()])?;
        if self.mesh.roster().owner == node { self.member_answer(node) } else { Err(no_effect()) }
    }

    fn set_role(&mut self, name: &str, role: Role) -> Result<Answer, Failure> {
        let (node, here) = (self.mesh.member_called(name)?, self.entries.node());
        let present = self.mesh.roster().role(node);
        if node != here || present.is_none_or(|present| role >= present) || node == self.mesh.roster().owner {
            self.check_authority(node)?;
        }
        if present == Some(role) {
            let problem = format!("{} has that role", self.mesh.roster().display_name(node));
            let hint = "`beadmesh members` shows who may do what".to_owned();
            return Err(CommandError::Conflict { problem, hint }.into());
        }
        if present < Some(role) {
            let member = self.mesh.roster().members.get(&node);
            let name = member.map(|member| member.name.clone()).unwrap_or_default();
            let seen = self.mesh.roster().seen_about(here, node);
            self.author(vec![Op::Admit(Admit { seen, node, name, role, invite: None }).encode()])?;
        } else {
            if role == Role::Observer {
                self.check_no_voter(node)?;
            }
            self.take_from(node, Some(role))?;
        }
        self.member_answer(node)
    }

    fn rename_member(&mut self, name: &str, new: &str) -> Result<Answer, Failure> {
        let node = self.mesh.member_called(name)?;
        let here = self.entries.node();
        if node != here {
            self.check_authority(node)?;
        }
        let new = new.trim();
        if new.is_empty() || new.len() > NAME_BYTES_MAX || new.contains(|char: char| char.is_control() || char == '@') {
            return Err(CommandError::Invalid {
                field: "name".to_owned(),
                problem: format!("a node's name has 1 to {NAME_BYTES_MAX} bytes, without control characters or @"),
                hint: "use a short word, such as laptop".to_owned(),
            }
            .into());
        }
        let naming = Naming { seen: self.mesh.roster().seen_about(here, node), node, name: new.to_owned() };
        self.author(vec![Op::Name(naming).encode()])?;
        self.member_answer(node)
    }

    /// Describes those who were members.
    pub(super) fn former(&self) -> Vec<FormerAnswer> {
        let roster = self.mesh.roster();
        let answer = |(node, former): (&NodeId, &beadmesh_protocol::roster::Former)| FormerAnswer {
            node: *node,
            name: former.name.clone(),
            removed_by: roster.display_name(former.removed_by),
            removed_at: former.removed_at.wall(),
        };
        roster.former.iter().map(answer).collect()
    }

    /// Refuses what this node may not do about a member.
    fn check_authority(&self, node: NodeId) -> Result<(), Failure> {
        let (roster, here) = (self.mesh.roster(), self.entries.node());
        let owner = roster.display_name(roster.owner);
        if roster.role(here) != Some(Role::Admin) {
            let problem = "only admins do that, and this node is none".to_owned();
            return Err(refused(problem, &format!("run it on {owner}, or another admin")));
        }
        if node == roster.owner {
            let problem = format!("{owner} owns the mesh: nobody removes it or takes its role");
            return Err(refused(problem, "name another node; `beadmesh members` shows who owns the mesh"));
        }
        if !roster.may_act_on(here, node) {
            let problem = format!("{} has been an admin for longer than this node", roster.display_name(node));
            return Err(refused(problem, &format!("run it on {owner}, which owns the mesh")));
        }
        Ok(())
    }

    /// Refuses to take its word from a node on which leases rest.
    fn check_no_voter(&self, node: NodeId) -> Result<(), Failure> {
        let epoch = self.mesh.epoch().0;
        let next = self.mesh.succession().proposed(epoch);
        let seats = |epoch: &beadmesh_protocol::lease::Epoch| epoch.seats.iter().any(|seat| seat.node == node);
        if !seats(epoch) && !next.is_some_and(seats) {
            return Ok(());
        }
        let roster = self.mesh.roster();
        let problem = format!("{} is a voter: leases rest on its promises", roster.display_name(node));
        let owner = roster.display_name(roster.owner);
        Err(refused(problem, &format!("choose voters without it first: `beadmesh voters set …` on {owner}")))
    }

    /// Removes a node, or leaves it in a lesser role; what it has written up to now goes on to count.
    fn take_from(&mut self, node: NodeId, stays: Option<Role>) -> Result<(), Failure> {
        let cut: Vec<CutEnd> =
            if stays < Some(Role::Member) { self.mesh.ends(&mut self.stage, &self.entries, node)? } else { Vec::new() };
        let seen = self.mesh.roster().seen_about(self.entries.node(), node);
        self.author(vec![Op::Remove(Removal { seen, node, stays, cut }).encode()])?;
        Ok(())
    }

    pub(super) fn member_answer(&self, node: NodeId) -> Result<Answer, Failure> {
        let member: Option<MemberAnswer> = self.members().into_iter().find(|member| member.node == node);
        member.map(|member| Answer::Member(Box::new(member))).ok_or_else(no_effect)
    }
}

fn refused(problem: String, hint: &str) -> Failure {
    CommandError::Refused { problem, hint: hint.to_owned() }.into()
}

/// Says how a node that was removed comes back.
fn back_in() -> String {
    "ask an admin for a new ticket and run `beadmesh join` with it".to_owned()
}

/// Another admin has taken this node's authority away, or the node, and it was heard of just now.
fn no_effect() -> Failure {
    let problem = "it has no effect: another admin has changed the members meanwhile".to_owned();
    CommandError::Conflict { problem, hint: "see `beadmesh members`".to_owned() }.into()
}

#[cfg(test)]
mod tests;
