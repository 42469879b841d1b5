//! The mesh as this node knows it: control entries, the roster and projects they fold to; `invites` let others in.

use std::collections::BTreeSet;
use std::sync::Arc;

use beadmesh_protocol::agent::Directory;
use beadmesh_protocol::alias;
use beadmesh_protocol::entry::{Entry, RawOp, Sealed};
use beadmesh_protocol::id::{AgentId, EntryId, MeshId, NodeId, ProjectId};
use beadmesh_protocol::lease::{Epoch, Start, Succession};
use beadmesh_protocol::near::is_near;
use beadmesh_protocol::op::{CutEnd, NodeFacts, Op, ProjectKeys};
use beadmesh_protocol::project::{ProjectKey, Projects};
use beadmesh_protocol::reconcile::Summary;
use beadmesh_protocol::roster::Roster;

use super::cuts::Cuts;
use super::entries::Entries;
use crate::command::{CommandError, ProjectAnswer, ProjectContext};
use crate::folds::Folds;
use crate::stage::{Stage, StoreError};

pub(crate) mod invites;

/// The project of beads made outside every repository.
const DEFAULT_PROJECT: &str = "name:default";

/// What minted aliases begin with where nobody chose anything.
const DEFAULT_PREFIX: &str = "bm";

/// Letters of the start of an id that name a node: fewer would name one by mistake.
const ID_START_MIN: usize = 4;

/// Letters of a name that is not known, as far as they are repeated.
const NAME_SHOWN_MAX: usize = 80;

/// Nodes that may have been meant, where several are or none is.
const CANDIDATES_MAX: usize = 10;
const NEAR_MAX: usize = 5;

/// The mesh as this node knows it.
#[derive(Debug)]
pub(crate) struct Mesh {
    node: NodeId,
    control: Arc<Control>,
    cuts: Cuts,
    folds: Option<Folds>,
}

/// Control entries and what they fold to, whoever holds them.
#[derive(Debug)]
pub(crate) struct Control {
    /// In the order in which they came to whoever folded them.
    entries: Vec<Entry>,
    set: Summary,
    /// Those that count for nothing since their nodes were cut off.
    void: Summary,
    /// Whether entries may be known that have no effect because of their author.
    has_void: bool,
    pub(crate) roster: Arc<Roster>,
    projects: Projects,
    directory: Directory,
    succession: Arc<Succession>,
    /// The epoch of voters in force, and how it began.
    epoch: (Epoch, Start),
}

/// What new control entries have changed.
#[derive(Debug)]
pub(crate) struct Learned {
    /// What was known before.
    pub(crate) before: Arc<Control>,
    /// Whether projects known before go by other ids now.
    pub(crate) renamed: bool,
    /// Agents that are known now and were not before, the other way round, or since another time.
    pub(crate) turned: BTreeSet<AgentId>,
    /// Whether anything about agents is otherwise than before.
    pub(crate) agents: bool,
    /// Whether beads may be assigned to agents of this node otherwise than before.
    pub(crate) assignable: bool,
    /// Entries of nodes that were cut off or let in again that count now, or count no more.
    pub(crate) judged: Vec<(NodeId, EntryId)>,
}

impl Control {
    /// Folds entries, whose roster is known.
    ///
    /// What was known of voters before, by so many of the first entries, need not be folded again.
    fn of(roster: Arc<Roster>, cuts: &Cuts, entries: Vec<Entry>, known: Option<(Arc<Succession>, usize)>) -> Self {
        let counts = |entry: &Entry| cuts.counts(&roster, entry.content().author, entry.id());
        let projects = fold_projects(counts, &entries);
        let directory = Directory::fold(counts, &entries);
        let set = Summary::of(entries.iter().map(Entry::id));
        let void = void_of(&roster, cuts, &entries);
        let first = || (Arc::new(Succession::new(roster.mesh, roster.founder, roster.recovery)), 0);
        let (mut succession, from) = known.unwrap_or_else(first);
        for entry in &entries[from..] {
            for op in entry.content().ops.iter().filter(|raw| Op::is_of_voters(raw)) {
                take(Arc::make_mut(&mut succession), entry.content().author, op);
            }
        }
        if succession.owner() != roster.owner {
            Arc::make_mut(&mut succession).set_owner(roster.owner);
        }
        let epoch = succession.current();
        let has_void = !roster.standings.is_empty() || roster.known.iter().any(|node| !roster.may_write(*node));
        Self { entries, set, void, has_void, roster, projects, directory, succession, epoch }
    }

    /// Returns what names the entries, and those of them that count for nothing since their nodes were cut off.
    pub(crate) fn sets(&self) -> (Summary, Summary) {
        (self.set, self.void)
    }
}

/// A project as a context names it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) id: ProjectId,
    /// What aliases minted in it begin with.
    pub(crate) prefix: String,
    /// What makes the mesh know it like that, when it does not yet.
    pub(crate) op: Option<RawOp>,
}

impl Mesh {
    /// Folds the control entries of a mesh; `None` while the founding entry is not among them.
    pub(crate) fn of(mesh: MeshId, node: NodeId, entries: Vec<Entry>, folds: Option<Folds>) -> Option<Self> {
        let cuts = Cuts::default();
        let set = Summary::of(entries.iter().map(Entry::id));
        let roster = match folds.as_ref().and_then(|folds| folds.roster(mesh, set)) {
            Some(roster) => roster,
            None => Arc::new(Roster::fold(mesh, &entries)?),
        };
        let sets = (set, void_of(&roster, &cuts, &entries));
        let found = folds.as_ref().and_then(|folds| folds.control(mesh, sets));
        let control = found.unwrap_or_else(|| Arc::new(Control::of(roster, &cuts, entries, None)));
        Some(Self { node, control, cuts, folds })
    }

    /// Finds out what counts of the entries of nodes that were cut off, as far as they are here.
    pub(crate) fn open_cuts(&mut self, stage: &mut Stage, entries: &Entries) -> Result<(), StoreError> {
        self.cuts = Cuts::open(stage, entries, self.roster())?;
        if !self.roster().standings.is_empty() {
            self.fold(self.control.roster.clone(), Vec::new());
        }
        Ok(())
    }

    /// Returns whether an entry has effect, by all that is known of its author.
    pub(crate) fn counts(&self, author: NodeId, entry: EntryId) -> bool {
        self.cuts.counts(self.roster(), author, entry)
    }

    /// Returns whether entries may be here that have no effect because of their author.
    pub(crate) fn has_void(&self) -> bool {
        self.control.has_void
    }

    /// Notes an entry that is stored now; returns others of its author that have come to count by it.
    pub(crate) fn note(&mut self, stage: &mut Stage, entry: &Entry) -> Vec<(NodeId, EntryId)> {
        let author = entry.content().author;
        let gained = self.cuts.note(stage, entry);
        let roster = &self.control.roster;
        let gained = gained.into_iter().filter(|_| roster.standings.contains_key(&author));
        gained.map(|entry| (author, entry)).collect()
    }

    /// Returns where a removal of a node would cut it off now.
    pub(crate) fn ends(
        &mut self,
        stage: &mut Stage,
        entries: &Entries,
        node: NodeId,
    ) -> Result<Vec<CutEnd>, StoreError> {
        self.cuts.ends(stage, entries, (&self.control.roster, node))
    }

    /// Returns the entries of a node that was cut off.
    pub(crate) fn entries_of(&self, node: NodeId) -> Vec<EntryId> {
        self.cuts.entries_of(node)
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.control.roster
    }

    /// Returns what is known of the epochs of voters.
    pub(crate) fn succession(&self) -> &Succession {
        &self.control.succession
    }

    /// Returns the epoch of voters in force, and how it began.
    pub(crate) fn epoch(&self) -> (&Epoch, &Start) {
        (&self.control.epoch.0, &self.control.epoch.1)
    }

    /// Returns who the agents of the mesh are.
    pub(crate) fn directory(&self) -> &Directory {
        &self.control.directory
    }

    /// Takes new control entries, or none where others have come to count, and folds again.
    pub(crate) fn extend(
        &mut self,
        stage: &mut Stage,
        held: &Entries,
        entries: Vec<Entry>,
    ) -> Result<Learned, StoreError> {
        let roster = self.roster_with(&entries);
        let judged = self.cuts.judge(stage, held, (&self.control.roster, &roster))?;
        let before = self.fold(roster, entries);
        let renamed = before.projects.is_renamed_in(&self.control.projects);
        let turned: BTreeSet<AgentId> = before.directory.turned(self.directory()).collect();
        let agents = before.directory != *self.directory();
        let here = |agent: &AgentId| {
            let known = before.directory.agent(*agent).or_else(|| self.directory().agent(*agent));
            known.is_some_and(|agent| agent.node == self.node)
        };
        let name = |roster: &Roster| roster.members.contains_key(&self.node).then(|| roster.display_name(self.node));
        let assignable = turned.iter().any(here) || name(&before.roster) != name(self.roster());
        Ok(Learned { before, renamed, turned, agents, assignable, judged })
    }

    /// Returns the roster of the entries that are known and some more.
    fn roster_with(&self, new: &[Entry]) -> Arc<Roster> {
        if new.is_empty() {
            return self.control.roster.clone();
        }
        let mesh = self.roster().mesh;
        let mut set = self.control.set;
        new.iter().for_each(|entry| set.add(entry.id()));
        if let Some(found) = self.folds.as_ref().and_then(|folds| folds.roster(mesh, set)) {
            return found;
        }
        let entries = self.control.entries.iter().chain(new);
        let roster = Arc::new(Roster::fold(mesh, entries).expect("the founding entry is still there"));
        if let Some(folds) = &self.folds {
            folds.keep_roster(set, &roster);
        }
        roster
    }

    /// Folds the entries that are known and some more, whose roster is known; returns what was known before, which may
    /// have lost its entries.
    fn fold(&mut self, roster: Arc<Roster>, new: Vec<Entry>) -> Arc<Control> {
        let mesh = roster.mesh;
        let mut set = self.control.set;
        new.iter().for_each(|entry| set.add(entry.id()));
        let void = void_of(&roster, &self.cuts, self.control.entries.iter().chain(&new));
        let found = self.folds.as_ref().and_then(|folds| folds.control(mesh, (set, void)));
        let control = found.unwrap_or_else(|| {
            let held = Arc::get_mut(&mut self.control).map(|control| std::mem::take(&mut control.entries));
            let mut held = held.unwrap_or_else(|| self.control.entries.clone());
            let known = Some((self.control.succession.clone(), held.len()));
            held.extend(new);
            let control = Arc::new(Control::of(roster, &self.cuts, held, known));
            if let Some(folds) = &self.folds {
                folds.keep_control(mesh, &control);
            }
            control
        });
        std::mem::replace(&mut self.control, control)
    }

    /// Returns the operations on projects, to take along into another mesh.
    pub(crate) fn project_ops(&self) -> Vec<RawOp> {
        let ops = self.control.entries.iter().flat_map(Entry::control_ops);
        ops.filter(|op| matches!(op, Op::Project(_))).map(Op::encode).collect()
    }

    /// Returns the operations that make this node's agents known, to take along into another mesh.
    pub(crate) fn agent_ops(&self) -> Vec<RawOp> {
        let ours = self.directory().all().filter(|(_, agent)| agent.node == self.node);
        ours.map(|(_, agent)| Op::Agent(agent.facts()).encode()).collect()
    }

    /// Returns where letters reach an agent, `Name@node`, or the start of its id where it is not known.
    pub(crate) fn address(&self, agent: AgentId) -> String {
        let known = self.directory().agent(agent);
        known
            .map_or_else(|| agent.short(), |agent| format!("{}@{}", agent.name, self.roster().display_name(agent.node)))
    }

    /// Returns the agent of this node that a text names: `Name`, or `Name@node` where that is this node.
    pub(crate) fn agent_here(&self, text: &str) -> Option<AgentId> {
        let text = text.trim();
        let name = match text.split_once('@') {
            Some((name, node)) if self.is_called(self.node, node.trim()) => name.trim_end(),
            Some(_) => return None,
            None => text,
        };
        self.directory().named(self.node, name).map(|(id, _)| id)
    }

    /// Returns the member that a person means: called so, or of that id; otherwise the one whose id begins so.
    ///
    /// # Errors
    /// Names who may have been meant, where it is nobody or several.
    pub(crate) fn member_called(&self, name: &str) -> Result<NodeId, CommandError> {
        let name = name.trim();
        let members = || self.roster().members.keys().copied();
        let called: Vec<NodeId> = members().filter(|node| self.is_called(*node, name)).collect();
        let start = name.to_ascii_lowercase();
        let begins = |node: &NodeId| start.len() >= ID_START_MIN && node.to_string().starts_with(&start);
        let meant = if called.is_empty() { members().filter(begins).collect() } else { called };
        let shown = || name.chars().take(NAME_SHOWN_MAX).collect();
        match meant[..] {
            [node] => Ok(node),
            [] => {
                let names = members().map(|node| self.roster().display_name(node));
                let near: Vec<String> = names.filter(|other| is_near(name, other)).take(NEAR_MAX).collect();
                let (what, name) = ("node", shown());
                Err(match near.is_empty() {
                    true => CommandError::NotFound { what, name },
                    false => CommandError::Unknown { what, name, near },
                })
            }
            _ => {
                let candidates = meant.iter().take(CANDIDATES_MAX).map(|node| self.roster().display_name(*node));
                Err(CommandError::Ambiguous { name: shown(), candidates: candidates.collect() })
            }
        }
    }

    /// Returns whether people call a node so, or it is its id.
    pub(crate) fn is_called(&self, node: NodeId, text: &str) -> bool {
        let name = self.roster().members.get(&node).map(|member| member.name.as_str());
        let named = |name: &str| name.eq_ignore_ascii_case(text);
        named(&self.roster().display_name(node)) || name.is_some_and(named) || text.parse() == Ok(node)
    }

    /// Returns the node that this mesh is seen from.
    pub(crate) fn here(&self) -> NodeId {
        self.node
    }

    /// Returns every control entry in its stored form, the founding entry first.
    pub(crate) fn sealed_control(&self) -> Vec<Sealed> {
        let mut entries: Vec<&Entry> = self.control.entries.iter().collect();
        entries.sort_by_key(|entry| (!entry.is_founding(), entry.content().hlc, entry.id()));
        entries.into_iter().map(Entry::seal).collect()
    }

    /// Returns the members other than this node, each with where it says it can be reached.
    pub(crate) fn peers(&self) -> Vec<(NodeId, Vec<String>)> {
        peers_in(self.roster(), self.node).map(|(node, addresses)| (node, addresses.to_vec())).collect()
    }

    /// Returns whether the other members, or where they can be reached, are not those of a roster before.
    pub(crate) fn names_other_peers(&self, before: &Roster) -> bool {
        !peers_in(before, self.node).eq(peers_in(self.roster(), self.node))
    }

    /// Returns what to write so that the mesh knows this node's name and addresses; nothing when it does.
    pub(crate) fn announce(&self, name: &str, addresses: Vec<String>) -> Option<Op> {
        let present = self.roster().members.get(&self.node)?;
        let known = present.own_name == name && present.addresses == addresses;
        let facts = NodeFacts { seen: self.roster().facts_seen_by(self.node), name: name.to_owned(), addresses };
        (!known).then_some(Op::Node(facts))
    }

    /// Returns the project a context names, and what to write when the mesh does not know its strongest key yet.
    ///
    /// Such a key joins what a weaker one is known for, as when a remote is added later. Keys are not united otherwise:
    /// forks share their root commit.
    pub(crate) fn project(&self, context: &ProjectContext) -> Result<Named, CommandError> {
        let keys = keys_of(context)?;
        let known = keys.iter().position(|key| self.control.projects.resolve([key.as_str()]).is_some());
        let taken = known.filter(|place| *place > 0).map(|place| keys[place].clone());
        let keys = keys.into_iter().take(1).chain(taken).collect();
        self.named(&ProjectKeys { keys, prefix: context.prefix.clone() })
    }

    /// Returns the project that goes by all keys of a context, and what to write when the mesh does not know it so.
    pub(crate) fn united(&self, context: &ProjectContext) -> Result<Named, CommandError> {
        self.named(&ProjectKeys { keys: keys_of(context)?, prefix: context.prefix.clone() })
    }

    fn named(&self, op: &ProjectKeys) -> Result<Named, CommandError> {
        if let Some(prefix) = &op.prefix {
            let hint = "use a few ASCII letters or digits, such as api".to_owned();
            alias::check_prefix(prefix).map_err(|error| CommandError::Invalid {
                field: "prefix".to_owned(),
                problem: error.to_string(),
                hint,
            })?;
        }
        let raw = Op::Project(op.clone()).encode();
        Op::decode(&raw).map_err(|error| unnamed(error.to_string()))?;
        let resolve = |projects: &Projects| projects.resolve(op.keys.iter().map(String::as_str));
        let prefix = |projects: &Projects, id| projects.prefix(id).unwrap_or(DEFAULT_PREFIX).to_owned();
        let known = resolve(&self.control.projects).filter(|id| {
            op.keys.iter().all(|key| self.control.projects.resolve([key.as_str()]) == Some(*id))
                && op.prefix.as_deref().is_none_or(|prefix| self.control.projects.prefix(*id) == Some(prefix))
        });
        if let Some(id) = known {
            return Ok(Named { id, prefix: prefix(&self.control.projects, id), op: None });
        }
        let mut projects = self.control.projects.clone();
        projects.apply(op);
        let id = resolve(&projects).expect("its keys were just applied");
        Ok(Named { id, prefix: prefix(&projects, id), op: Some(raw) })
    }

    /// Returns the project that a filter names, if it is known.
    pub(crate) fn find_project(&self, context: &ProjectContext) -> Option<ProjectId> {
        self.control.projects.resolve(context.keys.iter().map(String::as_str))
    }

    /// Returns the id a project goes by now.
    pub(crate) fn canonical(&self, project: ProjectId) -> ProjectId {
        self.control.projects.canonical(project)
    }

    /// Returns the key that a project has gone by the longest.
    pub(crate) fn project_key(&self, project: ProjectId) -> Option<String> {
        self.control.projects.first_key(project).map(str::to_owned)
    }

    /// Describes a project.
    pub(crate) fn project_answer(&self, named: Named) -> ProjectAnswer {
        let all = self.control.projects.all();
        let keys = all.get(&named.id).into_iter().flatten().map(|key| (*key).to_owned()).collect();
        ProjectAnswer { id: named.id, keys, prefix: named.prefix }
    }

    /// Returns whether what this node writes has effect.
    pub(crate) fn is_writer(&self) -> bool {
        self.roster().may_write(self.node)
    }

    /// Refuses to write in vain.
    pub(crate) fn check_writer(&self) -> Result<(), CommandError> {
        if self.is_writer() {
            return Ok(());
        }
        if self.roster().role(self.node).is_none() {
            return Err(CommandError::Refused {
                problem: "this node was removed from the mesh: what it writes has no effect".to_owned(),
                hint: "ask an admin for a new ticket and run `beadmesh join` with it".to_owned(),
            });
        }
        let owner = self.roster().display_name(self.roster().owner);
        Err(CommandError::Refused {
            problem: "this node is an observer: it reads, and what it writes has no effect".to_owned(),
            hint: format!(
                "ask an admin, such as {owner}, for a ticket with the role member, and join with an empty BEADMESH_HOME"
            ),
        })
    }
}

/// Returns the members other than a node, each with where it says it can be reached.
fn peers_in(roster: &Roster, here: NodeId) -> impl Iterator<Item = (NodeId, &[String])> {
    let others = roster.members.iter().filter(move |(node, _)| **node != here);
    others.map(|(node, member)| (*node, member.addresses.as_slice()))
}

/// Returns the keys of a context, or that of the default project where it has none.
fn keys_of(context: &ProjectContext) -> Result<Vec<String>, CommandError> {
    let mut keys = context.keys.clone();
    if keys.is_empty() {
        keys.push(DEFAULT_PROJECT.to_owned());
    }
    for key in &keys {
        ProjectKey::parse(key).map_err(|error| unnamed(error.to_string()))?;
    }
    Ok(keys)
}

fn unnamed(problem: String) -> CommandError {
    CommandError::Invalid {
        field: "project".to_owned(),
        problem,
        hint: "name it as host/path, root:<commit> or name:<word>".to_owned(),
    }
}

/// Takes an operation on voters; what is not sound changes nothing.
fn take(succession: &mut Succession, author: NodeId, raw: &RawOp) {
    match Op::decode(raw) {
        Ok(Op::Proposal(proposal)) => succession.on_proposal(author, proposal),
        Ok(Op::Handover(handover)) => succession.on_handover(author, *handover),
        Ok(Op::Recovery(recovery)) => succession.on_recovery(recovery),
        Ok(_) | Err(_) => {}
    }
}

/// Sums up the control entries that count for nothing since their nodes were cut off.
fn void_of<'a>(roster: &Roster, cuts: &Cuts, control: impl IntoIterator<Item = &'a Entry>) -> Summary {
    if roster.standings.is_empty() {
        return Summary::default();
    }
    let is_void = |entry: &&Entry| {
        let author = entry.content().author;
        roster.standings.contains_key(&author) && !cuts.counts(roster, author, entry.id())
    };
    Summary::of(control.into_iter().filter(is_void).map(Entry::id))
}

/// Folds the operations on projects of entries that count, in the order of their hybrid times.
fn fold_projects(counts: impl Fn(&Entry) -> bool, control: &[Entry]) -> Projects {
    let mut entries: Vec<&Entry> = control.iter().filter(|entry| counts(entry)).collect();
    entries.sort_by_key(|entry| (entry.content().hlc, entry.id()));
    let mut projects = Projects::default();
    for op in entries.into_iter().flat_map(Entry::control_ops) {
        if let Op::Project(keys) = op {
            projects.apply(keys);
        }
    }
    projects
}
