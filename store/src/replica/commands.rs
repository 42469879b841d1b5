//! Commands: each is checked whole before anything is staged, so that one that fails has changed nothing.

use std::collections::BTreeSet;

use beadmesh_protocol::alias::{FindError, Reference};
use beadmesh_protocol::bead::edit::EditError;
use beadmesh_protocol::entry::{Entry, RawOp};
use beadmesh_protocol::id::{BeadId, InstanceId, MeshId, NodeId, ProjectId};
use beadmesh_protocol::jsonl;
use beadmesh_protocol::op::Op;
use beadmesh_protocol::roster::cut::instance_after;
use beadmesh_protocol::roster::storable;

use super::entries::{Entries, Identity};
use super::mesh::{Mesh, Named};
use super::{Event, Failure, Output, Replica, RequestId, random};
use crate::command::{
    Answer, Command, CommandError, Credential, Filter, MemberAnswer, Page, PeerAnswer, ProjectContext, StatusAnswer,
};
use crate::keys;
use crate::membership::Membership;
use crate::rows::Wanted;
use crate::stage::StoreError;

mod agent;
mod check;
mod claim;
mod edit;
mod import;
mod invites;
mod mail;
mod measure;
mod members;
mod show;
mod value;

/// No project goes by the keys of a filter.
struct UnknownProject;

impl Replica {
    /// Carries a command out.
    pub(super) fn obey(&mut self, command: Command) -> Result<Answer, Failure> {
        self.obey_as(None, command)
    }

    /// Carries a command out for whoever has given a credential, if somebody has.
    fn obey_as(&mut self, credential: Option<&Credential>, command: Command) -> Result<Answer, Failure> {
        if command.is_for_members() {
            self.mesh.check_writer()?;
        }
        if let Some(by) = command.by() {
            self.check_by(by, credential)?;
        }
        match command {
            Command::As(given, inner) => self.obey_as(Some(&given), *inner),
            Command::Status => self.status(),
            Command::Members => Ok(Answer::Members(self.members(), self.former())),
            Command::FindMember(name) => self.member_answer(self.mesh.member_called(&name)?),
            Command::Member(wish) => self.obey_on_member(wish),
            Command::Invite(_)
            | Command::Invites
            | Command::RevokeInvite(_)
            | Command::Welcome(..)
            | Command::Applicants
            | Command::Approve(_)
            | Command::Deny(_) => self.obey_on_invites(command),
            Command::Project(context) => {
                self.mesh.project(&context).map_err(Failure::from).and_then(|it| self.know(it))
            }
            Command::Unite(context) => self.mesh.united(&context).map_err(Failure::from).and_then(|it| self.know(it)),
            Command::Create(new) => self.create(&new),
            Command::Show(bead) => self.find(&bead).and_then(|id| self.bead_answer(id)),
            Command::List(filter) => self.list(&filter),
            Command::Ready(filter) => self.ready(&filter),
            Command::Blocked(filter) => self.blocked(&filter),
            Command::Edit(edit) => self.edit(&edit),
            Command::Import(records) => self.import(records),
            Command::ExportIndex(context) => self.export_index(context.as_ref()),
            Command::ExportLines(ids) => self.export_lines(&ids),
            Command::Enter(mesh, control) => self.enter(mesh, control),
            Command::Membership => Ok(Answer::Membership(self.membership())),
            Command::Announce(addresses) => self.announce(addresses),
            Command::AgentRegister(new) => self.register(credential, &new),
            Command::AgentList { all } => self.agents_answer(all),
            Command::AgentRotate(name) => self.rotate(&name),
            Command::AgentRetire(name) => self.retire(&name),
            Command::AgentAlarm(name, told) => self.alarm(&name, &told),
            Command::MailSend(_)
            | Command::MailInbox(_)
            | Command::MailShow { .. }
            | Command::MailThread(_)
            | Command::MailAck(_)
            | Command::MailSearch(_)
            | Command::MailUnread => self.authenticate(credential).and_then(|agent| self.obey_on_mail(agent, command)),
            Command::Claim(_)
            | Command::Unclaim(_)
            | Command::Renew(..)
            | Command::ShowClaim(_)
            | Command::ListClaims(_)
            | Command::CheckPaths(..)
            | Command::Voters
            | Command::SetVoters(_) => self.obey_on_claims(credential, command),
            Command::BlobUses(blobs) => self.blob_uses(&blobs),
            Command::MailExport => self.export_mail(),
            Command::Measure => self.measure(),
            Command::Check => self.check(),
            Command::AcceptCopies => {
                self.entries.copies_mut().accept(&mut self.stage);
                Ok(Answer::Done)
            }
            Command::BackupIndex => Ok(Answer::BackupIndex(self.backup_index())),
            Command::BackupEntries(ids) => self.backup_entries(&ids),
            Command::TakeBack(mesh, entries) => self.take_back(mesh, entries),
            Command::Rebuild => self.rebuild_answer(),
        }
    }

    fn rebuild_answer(&mut self) -> Result<Answer, Failure> {
        let entries = self.rebuild()?;
        let beads = count(self.beads.index(&self.stage, &self.mesh)?.rows.len());
        Ok(Answer::Rebuilt { entries, beads })
    }

    /// Carries out a command on claims, leases or voters.
    fn obey_on_claims(&mut self, credential: Option<&Credential>, command: Command) -> Result<Answer, Failure> {
        match command {
            Command::Claim(new) => self.authenticate(credential).and_then(|agent| self.claim(agent, &new)),
            Command::Unclaim(claim) => self.authenticate(credential).and_then(|agent| self.unclaim(agent, &claim)),
            Command::Renew(claim, term) => {
                self.authenticate(credential).and_then(|agent| self.renew(agent, &claim, term))
            }
            Command::ShowClaim(claim) => self.show_claim(&claim),
            Command::ListClaims(filter) => self.list_claims(&filter),
            Command::CheckPaths(project, paths) => self.check_paths(credential, &project, &paths),
            Command::SetVoters(new) => self.choose_voters(&new),
            _ => Ok(Answer::Voters(self.voters())),
        }
    }

    fn membership(&self) -> Membership {
        Membership { mesh: self.entries.mesh(), control: self.mesh.sealed_control() }
    }

    fn export_index(&mut self, context: Option<&ProjectContext>) -> Result<Answer, Failure> {
        let Ok(project) = self.filter_project(context) else { return Ok(Answer::ExportIndex(Vec::new())) };
        let ids = self.beads.index(&self.stage, &self.mesh)?.rows.by_alias(project);
        Ok(Answer::ExportIndex(ids))
    }

    fn announce(&mut self, addresses: Vec<String>) -> Result<Answer, Failure> {
        let name = self.config.node_name.clone();
        if let Some(op) = self.mesh.announce(&name, addresses) {
            self.author(vec![op.encode()])?;
        }
        Ok(Answer::Done)
    }

    fn status(&mut self) -> Result<Answer, Failure> {
        let hello = self.entries.hello();
        let total = hello.control.count + hello.data.count;
        let mut digest = blake3::Hasher::new();
        digest.update(&hello.control.sum).update(&hello.data.sum);
        let peers = self.peers(total)?;
        let (wall, applicants) = (self.now.wall, count(self.waiting()?.len()));
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let (beads, ready) = (count(index.rows.len()), count(index.graph.ready_count(wall)));
        let (roster, node) = (self.mesh.roster(), self.entries.node());
        Ok(Answer::Status(Box::new(StatusAnswer {
            node,
            node_name: roster.display_name(node),
            instance: self.entries.identity().instance,
            mesh: roster.mesh,
            mesh_name: roster.name.clone(),
            role: roster.role(node).unwrap_or(beadmesh_protocol::op::Role::Observer),
            removed: self.former().into_iter().find(|former| former.node == node),
            entries: total,
            beads,
            ready,
            digest: digest.finalize().to_hex().to_string(),
            entries_from_future: self.entries.future_count(),
            applicants,
            copies: self.copies_found(),
            peers,
        })))
    }

    /// Returns how every other member stands, where this node holds so many entries.
    fn peers(&self, total: u64) -> Result<Vec<PeerAnswer>, Failure> {
        let mut peers = Vec::new();
        for (node, _) in self.mesh.peers() {
            let (lag_entries, last_seen, progress) = self.links.standing(&self.stage, node, total, self.now)?;
            let link = self.links.of(node);
            peers.push(PeerAnswer {
                node,
                name: self.mesh.roster().display_name(node),
                connected: link.is_some(),
                path: link.map(|link| link.path.clone()),
                lag_entries,
                last_seen,
                last_heard: self.notices.last_heard(node),
                progress,
            });
        }
        Ok(peers)
    }

    fn members(&self) -> Vec<MemberAnswer> {
        let roster = self.mesh.roster();
        let answer = |(node, member): (&NodeId, &beadmesh_protocol::roster::Member)| MemberAnswer {
            node: *node,
            name: roster.display_name(*node),
            role: member.role,
            owner: *node == roster.owner,
            here: *node == self.entries.node(),
            admitted_by: roster.display_name(member.admitted_by),
            admitted_at: member.admitted_at.wall(),
            addresses: member.addresses.clone(),
        };
        roster.members.iter().map(answer).collect()
    }

    /// Makes the mesh know a project as it was named.
    fn know(&mut self, mut named: Named) -> Result<Answer, Failure> {
        if let Some(op) = named.op.take() {
            self.author(vec![op])?;
        }
        Ok(Answer::Project(self.mesh.project_answer(named)))
    }

    /// Returns the project a filter is narrowed to.
    ///
    /// A repository names its project before the mesh has heard of it, so one that is not known is no error: it has no
    /// beads.
    fn filter_project(&self, context: Option<&ProjectContext>) -> Result<Option<ProjectId>, UnknownProject> {
        context.map(|context| self.mesh.find_project(context).ok_or(UnknownProject)).transpose()
    }

    /// Finds the bead that a person means.
    pub(super) fn find(&mut self, name: &str) -> Result<BeadId, Failure> {
        let not_found = || CommandError::NotFound { what: "bead", name: name.chars().take(80).collect() };
        let reference = Reference::parse(name).map_err(|_| not_found())?;
        let index = self.beads.index(&self.stage, &self.mesh)?;
        match index.rows.find(&reference) {
            Ok(id) => Ok(id),
            Err(FindError::None) => Err(not_found().into()),
            Err(FindError::Several(ids)) => {
                let candidates = ids.into_iter().take(10).filter_map(|id| index.rows.display(id)).collect();
                Err(CommandError::Ambiguous { name: name.to_owned(), candidates }.into())
            }
        }
    }

    fn wanted(&self, filter: &Filter) -> Result<Wanted, UnknownProject> {
        Ok(Wanted {
            project: self.filter_project(filter.project.as_ref())?,
            statuses: filter.statuses.clone(),
            done: filter.all,
            priorities: filter.priorities.clone(),
            kinds: filter.kinds.clone(),
            labels: filter.labels.clone(),
            assignee: filter.assignee.clone(),
        })
    }

    fn list(&mut self, filter: &Filter) -> Result<Answer, Failure> {
        let parent = filter.parent.as_deref().map(|parent| self.find(parent)).transpose()?;
        let Ok(wanted) = self.wanted(filter) else { return Ok(Answer::Beads(empty_page())) };
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let children = parent.map(|parent| index.graph.children(parent));
        let family = |id: &BeadId| children.as_ref().is_none_or(|children| children.contains(id));
        let ids = index.rows.list(&wanted, filter.after).filter(family);
        let total = if children.is_some() { None } else { index.rows.count(&wanted) };
        let (ids, next) = page(ids, filter.limit);
        self.beads_answer(&ids, total, next)
    }

    fn ready(&mut self, filter: &Filter) -> Result<Answer, Failure> {
        let parent = filter.parent.as_deref().map(|parent| self.find(parent)).transpose()?;
        let Ok(wanted) = self.wanted(filter) else { return Ok(Answer::Beads(empty_page())) };
        let wall = self.now.wall;
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let children = parent.map(|parent| index.graph.children(parent));
        let admits = |id: &BeadId| {
            index.rows.get(*id).is_some_and(|row| wanted.admits(row))
                && children.as_ref().is_none_or(|children| children.contains(id))
        };
        let ids = index.graph.ready_after(wanted.project, filter.after, wall).filter(admits);
        let (ids, next) = page(ids, filter.limit);
        self.beads_answer(&ids, None, next)
    }

    fn blocked(&mut self, filter: &Filter) -> Result<Answer, Failure> {
        let Ok(wanted) = self.wanted(filter) else { return Ok(Answer::Beads(empty_page())) };
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let admits = |id: &BeadId| index.rows.get(*id).is_some_and(|row| wanted.admits(row));
        let ids = index.graph.blocked_after(wanted.project, filter.after).filter(admits);
        let (ids, next) = page(ids, filter.limit);
        self.beads_answer(&ids, None, next)
    }

    fn beads_answer(&mut self, ids: &[BeadId], total: Option<u64>, next: Option<BeadId>) -> Result<Answer, Failure> {
        let beads = ids.iter().filter_map(|id| self.describe(*id).transpose()).collect::<Result<_, _>>()?;
        Ok(Answer::Beads(Page { beads, total, next }))
    }

    fn export_lines(&mut self, ids: &[BeadId]) -> Result<Answer, Failure> {
        self.beads.index(&self.stage, &self.mesh)?;
        let mut lines = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(record) = self.beads.record(&self.stage, &self.mesh, *id)? else { continue };
            let index = self.beads.index(&self.stage, &self.mesh)?;
            let alias = index.rows.display(*id).unwrap_or_default();
            let target = |target: &beadmesh_protocol::bead::Target| show::target_alias(index, *id, target);
            lines.push(jsonl::write(&record.bead, &alias, target));
        }
        Ok(Answer::Lines(lines))
    }

    /// Leaves a mesh of one and enters another, taking beads and projects along.
    fn enter(&mut self, mesh: MeshId, control: Vec<Entry>) -> Result<Answer, Failure> {
        if mesh == self.entries.mesh() {
            return self.enter_again(control);
        }
        let node = self.entries.node();
        let others = self.mesh.roster().members.keys().filter(|member| **member != node).count();
        if others > 0 {
            return Err(CommandError::Refused {
                problem: format!("this node is in a mesh with {others} other nodes"),
                hint: "only a node that is alone can join; start one with an empty BEADMESH_HOME".to_owned(),
            }
            .into());
        }
        let refused = |problem: String| CommandError::Refused { problem, hint: "ask for a new ticket".to_owned() };
        // All else comes over a link like everybody's, where its authors are checked.
        let control = storable(mesh, control);
        let entered = Mesh::of(mesh, node, control.clone(), self.config.folds.clone())
            .filter(|entered| entered.roster().members.contains_key(&node))
            .ok_or_else(|| refused("the inviter did not let this node in".to_owned()))?;
        let (control_ops, changes) = self.taken_along(&entered)?;
        self.leave(&entered, &control)?;
        self.mesh = entered;
        self.mesh.open_cuts(&mut self.stage, &self.entries)?;
        self.author(control_ops)?;
        let entries = self.entries.author(&mut self.stage, self.now.wall, changes);
        self.authored.extend(entries.iter().map(Entry::id));
        for entry in &entries {
            self.mesh.note(&mut self.stage, entry);
            self.apply_data(entry)?;
        }
        self.settle_views()?;
        self.mail.forget_gained(BTreeSet::new());
        self.beads.mark_built(&mut self.stage);
        self.outputs.push(Output::Mesh(mesh));
        self.outputs.push(Output::Members(self.mesh.peers()));
        self.outputs.push(Output::Event(Event::Roster));
        let beads = count(self.beads.index(&self.stage, &self.mesh)?.rows.len());
        Ok(Answer::Joined { mesh, name: self.mesh.roster().name.clone(), beads })
    }

    /// Goes on in the mesh that this node is in, where it was removed and has been let in again.
    fn enter_again(&mut self, control: Vec<Entry>) -> Result<Answer, Failure> {
        let mesh = self.entries.mesh();
        self.take(None, storable(mesh, control))?;
        if self.mesh.roster().role(self.entries.node()).is_none() {
            let problem = "the inviter did not let this node in again".to_owned();
            return Err(CommandError::Refused { problem, hint: "ask for a new ticket".to_owned() }.into());
        }
        self.settle_views()?;
        self.outputs.push(Output::Members(self.mesh.peers()));
        let beads = count(self.beads.index(&self.stage, &self.mesh)?.rows.len());
        Ok(Answer::Joined { mesh, name: self.mesh.roster().name.clone(), beads })
    }

    /// Collects the operations to write again in another mesh: on projects and agents, and on beads and mail in the order
    /// of their times.
    ///
    /// An observer takes nothing along, so one that has beads or letters is refused: they would be gone. Its agents are
    /// left behind, for they could not act there, and every home has one: its user.
    fn taken_along(&mut self, entered: &Mesh) -> Result<(Vec<RawOp>, Vec<RawOp>), Failure> {
        if !entered.is_writer() {
            let letters = self.stage.keys(keys::LETTERS)?.len();
            let what = match (self.beads.index(&self.stage, &self.mesh)?.rows.len(), letters) {
                (0, 0) => return Ok((Vec::new(), Vec::new())),
                (0, 1) => "its letter".to_owned(),
                (0, letters) => format!("its {letters} letters"),
                (1, _) => "its bead".to_owned(),
                (beads, _) => format!("its {beads} beads"),
            };
            return Err(CommandError::Refused {
                problem: format!("this node would be an observer there, and {what} would have no effect"),
                hint: "join with an empty BEADMESH_HOME, as a member if the beads are to come: export and import them"
                    .to_owned(),
            }
            .into());
        }
        let mut data = Vec::new();
        for id in self.entries.data_ids() {
            if let Some(entry) = self.entries.load(&self.stage, id)? {
                // Claims and leases are of the mesh they were made in.
                data.extend(entry.content().ops.iter().filter(|raw| !Op::is_claim(raw)).cloned());
            }
        }
        let control = self.mesh.project_ops().into_iter().chain(self.mesh.agent_ops());
        Ok((control.collect(), data))
    }

    /// Empties the store of the mesh that is left and begins with the control entries of the one entered.
    fn leave(&mut self, entered: &Mesh, control: &[Entry]) -> Result<(), StoreError> {
        // What is kept of tokens stays: agents are the same in every mesh that their node is in.
        let apart = [
            keys::ENTRIES,
            keys::INDEX,
            keys::CONTROL,
            keys::INVITES,
            keys::BARRED,
            keys::APPLICANTS,
            keys::PEERS,
            keys::AUTHORS,
        ];
        for prefix in apart.into_iter().chain([keys::LINKS]) {
            for key in self.stage.keys(prefix)? {
                self.stage.delete(key);
            }
        }
        self.beads.clear(&mut self.stage)?;
        self.mail.clear(&mut self.stage)?;
        self.leave_leases()?;
        let drawn = InstanceId::from_bytes(random(&mut self.rng));
        let node = self.entries.node();
        // Who was in that mesh before and was removed goes on where its entries count.
        let again = entered.roster().members.get(&node).filter(|_| entered.roster().standings.contains_key(&node));
        let identity = Identity {
            mesh: entered.roster().mesh,
            instance: again.map_or(drawn, |member| instance_after(member.admission)),
            machine: self.config.machine.clone(),
        };
        self.entries = Entries::fresh(&mut self.stage, self.config.key.clone(), identity);
        for entry in control {
            self.entries.keep(&mut self.stage, self.now.wall, entry)?;
        }
        self.entries.begin(&mut self.stage, self.now.wall);
        self.authored.clear();
        self.taken.clear();
        self.orphans.clear();
        self.notices.begin_anew();
        Ok(())
    }
}

/// Takes a page from ids: `limit` of them (all for 0), and the id to continue after if there are more.
fn page(mut ids: impl Iterator<Item = BeadId>, limit: usize) -> (Vec<BeadId>, Option<BeadId>) {
    let wanted = if limit == 0 { usize::MAX } else { limit };
    let page: Vec<BeadId> = ids.by_ref().take(wanted).collect();
    let next = ids.next().and(page.last().copied());
    (page, next)
}

fn empty_page() -> Page {
    Page { beads: Vec::new(), total: Some(0), next: None }
}

pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl From<&EditError> for CommandError {
    /// Takes apart what every such error says: `field: problem; remedy`.
    fn from(error: &EditError) -> Self {
        let text = error.to_string();
        let (field, rest) = text.split_once(": ").unwrap_or(("bead", &text));
        let (problem, hint) = rest.rsplit_once("; ").unwrap_or((rest, "change the value"));
        Self::Invalid { field: field.to_owned(), problem: problem.to_owned(), hint: hint.to_owned() }
    }
}

#[cfg(test)]
mod tests;
