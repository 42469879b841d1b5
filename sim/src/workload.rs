//! The workload: turns a wish into commands of the replica, and says what must hold once they are done.
//!
//! A wish says little, so that a plan stays small and can be cut down. What is asked exactly follows from its salt and
//! from what the node knows then; two nodes with one salt ask for nearly the same.

use std::collections::BTreeSet;

use beadmesh_protocol::bead::import::value_of;
use beadmesh_protocol::bead::{Field, FieldValue};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::scope::Pattern;
use beadmesh_store::command::{Action, Answer, BeadEdit, Command, Filter, NewBead, ProjectContext};

use crate::desk::Desk;
use crate::journal::{Effect, MailEffect};
use crate::plan::{Wish, WishKind};
use crate::random::Stream;

mod claims;
mod mail;
mod records;
mod values;

/// Stands in effects for a bead that the node names itself.
pub(crate) const NEW: BeadId = BeadId::from_bytes([0; 16]);

/// Stands in effects for the value that is shown when a conflict is settled without naming one.
const KEPT: &str = "(what is shown)";

/// What a mark begins with.
const MARK: char = 'w';

/// The type that joins a child to its parent.
const PARENT_CHILD: &str = "parent-child";

/// Beads, the first by id, that half of all edits are about, so that nodes meet there: that many, or one of so many
/// where more are known.
const HOT_BEADS: usize = 4;
const HOT_SHARE: usize = 20;

/// What can settle a conflict without knowing whether there is one.
const RESOLVED: [Field; 8] = [
    Field::Title,
    Field::Status,
    Field::Priority,
    Field::Assignee,
    Field::Description,
    Field::Notes,
    Field::Kind,
    Field::CloseReason,
];

/// Fields that one edit sets, the status aside.
const SETTABLE: [Field; 13] = [
    Field::Title,
    Field::Description,
    Field::Design,
    Field::Acceptance,
    Field::Notes,
    Field::Priority,
    Field::Kind,
    Field::Assignee,
    Field::EstimateMinutes,
    Field::DueAt,
    Field::DeferUntil,
    Field::ExternalRef,
    Field::Alias,
];

/// A command, and what must hold once it is done.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The command.
    pub(crate) command: Command,
    /// What must hold; beads that the node names itself are `NEW` until `learn` is told the answer.
    pub(crate) effects: Vec<Effect>,
    /// What must hold in mail; likewise.
    pub(crate) mail: Vec<MailEffect>,
    /// The agent of the node that it is asked as, or is about, by name.
    pub(crate) agent: Option<String>,
}

impl Asked {
    fn only(command: Command) -> Self {
        Self::with(command, Vec::new())
    }

    fn with(command: Command, effects: Vec<Effect>) -> Self {
        Self { command, effects, mail: Vec::new(), agent: None }
    }
}

/// What an agent sees when it asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight<'a> {
    /// The beads that its node has told of.
    pub(crate) known: &'a BTreeSet<BeadId>,
    /// What agents have kept, and know of each other.
    pub(crate) desk: &'a Desk,
    /// The nodes that its node is linked to, by name.
    pub(crate) linked: &'a [String],
    /// The node's wall clock.
    pub(crate) wall: Wall,
}

/// Turns the wish at that place of the plan into commands, to be asked one after the other.
///
/// What is about a bead creates one where none is known yet.
pub(crate) fn commands(plan_seed: u64, index: usize, wish: &Wish, sight: &Sight<'_>) -> Vec<Asked> {
    let stream = Stream::keyed(plan_seed, "workload", wish.salt, 0);
    let mut draw = Draw { stream, plan_seed, index, sight };
    match wish.kind {
        WishKind::Create => vec![draw.create()],
        WishKind::CreateRich => vec![draw.create_rich()],
        WishKind::CreateNamed => vec![draw.create_named()],
        WishKind::Import => draw.import(0, 1),
        WishKind::ImportNewer => draw.import(1, records::VERSIONS - 1),
        WishKind::ImportOdd => draw.import_odd(),
        WishKind::Project => vec![draw.project()],
        WishKind::RegisterAgent => vec![draw.register()],
        WishKind::RetireAgent => vec![draw.retire()],
        WishKind::SendLetter => vec![draw.send()],
        WishKind::ReadLetter => vec![draw.read_letter()],
        WishKind::AckLetter => vec![draw.acknowledge()],
        WishKind::Read => draw.read(),
        WishKind::Rebuild => vec![Asked::only(Command::Rebuild)],
        WishKind::TakeLease => vec![draw.take_lease()],
        WishKind::RenewClaim => vec![draw.renew_claim()],
        WishKind::EndClaim => vec![draw.end_claim()],
        WishKind::CloseClaimed => vec![draw.close_claimed()],
        WishKind::ReadClaims => vec![draw.read_claims()],
        WishKind::ChooseVoters => vec![draw.choose_voters()],
        _ if sight.known.is_empty() => vec![draw.create()],
        WishKind::Set => vec![draw.set()],
        WishKind::SetStatus => vec![draw.set_status()],
        WishKind::Close => vec![draw.close()],
        WishKind::Reopen => vec![draw.status_edit(Action::Reopen, "open")],
        WishKind::Delete => {
            let reason = draw.reason();
            vec![draw.status_edit(Action::Delete(reason), "tombstone")]
        }
        WishKind::Resolve => draw.resolve(),
        WishKind::AddLabel => vec![draw.labels(true)],
        WishKind::RemoveLabel => vec![draw.labels(false)],
        WishKind::AddScope => vec![draw.scopes(true)],
        WishKind::RemoveScope => vec![draw.scopes(false)],
        WishKind::Comment => vec![draw.comment()],
        WishKind::AddDep => vec![draw.add_dep()],
        WishKind::RemoveDep => vec![draw.remove_dep()],
        WishKind::Claim => vec![draw.claim()],
    }
}

/// Returns the mark that every word of its own bears which a wish brings in, such as `w17-`: by it a word is traced.
pub(crate) fn mark(wish: usize) -> String {
    format!("{MARK}{wish}-")
}

/// Returns the numbers of the wishes whose marks are in a text.
pub(crate) fn marked(text: &str) -> impl Iterator<Item = usize> {
    text.split(MARK).skip(1).filter_map(|rest| {
        let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        rest[digits..].starts_with('-').then(|| rest[..digits].parse().ok()).flatten()
    })
}

/// Puts into effects what only the answer tells: the new bead and its alias, the new agent, the letter.
pub(crate) fn learn(effects: &mut [Effect], mail: &mut [MailEffect], answer: &Answer) {
    mail::learn(mail, answer);
    let Answer::Bead(told) = answer else { return };
    let made = told.bead.id;
    for effect in effects {
        match effect {
            Effect::Created { bead, alias } => {
                *bead = made;
                alias.clone_from(&told.bead.alias);
            }
            Effect::Dep { bead, target, .. } => {
                for id in [bead, target] {
                    *id = if *id == NEW { made } else { *id };
                }
            }
            Effect::Field { field, value, .. } if value.as_deref() == Some(KEPT) => {
                *value = Field::parse(field).and_then(|field| text_of(&value_of(&told.bead, field)));
            }
            Effect::Imported { bead }
            | Effect::Field { bead, .. }
            | Effect::Label { bead, .. }
            | Effect::Scope { bead, .. }
            | Effect::Comment { bead, .. }
            | Effect::Worked { bead } => {
                *bead = if *bead == NEW { made } else { *bead };
            }
        }
    }
}

/// Returns a value as effects name it.
fn text_of(value: &FieldValue) -> Option<String> {
    match value {
        FieldValue::Absent => None,
        FieldValue::Number(number) => Some(number.to_string()),
        FieldValue::Text(text) => Some(text.clone()),
    }
}

/// One wish while it is turned into commands.
struct Draw<'a> {
    stream: Stream,
    plan_seed: u64,
    index: usize,
    sight: &'a Sight<'a>,
}

impl Draw<'_> {
    /// Returns a bead that the node knows: half of the time one that others take too.
    fn known(&mut self) -> BeadId {
        let known = self.sight.known;
        let hot = (known.len() / HOT_SHARE).max(HOT_BEADS).min(known.len());
        let among = if self.stream.chance(500) { hot } else { known.len() };
        let place = self.stream.place(among);
        *known.iter().nth(place).expect("a place in the set")
    }

    /// Returns a bead as somebody may write it.
    fn reference(&mut self, bead: BeadId) -> String {
        let text = bead.to_string();
        match self.stream.below(32) {
            0 => format!("bead:{text}"),
            1 => text.to_uppercase(),
            2 => format!(" {text} "),
            // Long enough to be no other bead's.
            3 => text[..12].to_owned(),
            _ => text,
        }
    }

    /// Returns a value that no other wish has.
    fn unique(&self, what: &str) -> String {
        format!("{}{what}", mark(self.index))
    }

    /// Returns why a bead is closed or deleted, if somebody says so.
    fn reason(&mut self) -> Option<String> {
        self.stream.chance(700).then(|| self.text("reason"))
    }

    fn edit(&mut self, bead: BeadId, action: Action, effects: Vec<Effect>) -> Asked {
        let (bead, by) = (self.reference(bead), self.agent());
        Asked::with(Command::Edit(BeadEdit { bead, action, by }), effects)
    }

    fn create(&mut self) -> Asked {
        let fields = vec![self.field(Field::Title)];
        Self::creation(NewBead { fields, project: self.context(), by: self.agent(), ..NewBead::default() })
    }

    fn create_named(&mut self) -> Asked {
        let alias = self.alias();
        let fields = vec![self.field(Field::Title), self.field(Field::Priority)];
        let by = self.agent();
        Self::creation(NewBead { fields, alias: Some(alias), by, ..NewBead::default() })
    }

    fn create_rich(&mut self) -> Asked {
        let mut fields = vec![self.field(Field::Title)];
        let mut others = SETTABLE[1..SETTABLE.len() - 1].to_vec();
        others.push(Field::Status);
        self.stream.shuffle(&mut others);
        let count = self.stream.place(4);
        fields.extend(others.into_iter().take(count).map(|field| self.field(field)));
        let mut new = NewBead { fields, project: self.context(), by: self.agent(), ..NewBead::default() };
        new.labels = (0..self.stream.below(4)).map(|at| self.label(at)).collect();
        new.scopes = (0..self.stream.below(3)).map(|at| self.pattern(at)).collect();
        new.criteria = (0..self.stream.below(4)).map(|at| self.unique(&format!("criterion-{at}"))).collect();
        let mut effects = Vec::new();
        if !self.sight.known.is_empty() {
            self.tie(&mut new, &mut effects);
        }
        let mut asked = Self::creation(new);
        asked.effects.extend(effects);
        asked
    }

    /// Ties a new bead to those that are known.
    fn tie(&mut self, new: &mut NewBead, effects: &mut Vec<Effect>) {
        for _ in 0..self.stream.below(3) {
            let (kind, target) = (self.dep_kind(), self.known());
            effects.push(Effect::Dep { bead: NEW, kind: Some(kind.clone()), target, present: true });
            new.deps.push((kind, self.reference(target)));
        }
        for _ in 0..self.stream.below(6).saturating_sub(3) {
            let bead = self.known();
            effects.push(Effect::Dep { bead, kind: Some("blocks".to_owned()), target: NEW, present: true });
            new.blocks.push(self.reference(bead));
        }
        if self.stream.chance(300) {
            let target = self.known();
            effects.push(Effect::Dep { bead: NEW, kind: Some(PARENT_CHILD.to_owned()), target, present: true });
            new.parent = Some(self.reference(target));
        }
    }

    /// Makes a creation; what stands in it is its effect.
    fn creation(new: NewBead) -> Asked {
        let mut effects = vec![Effect::Created { bead: NEW, alias: String::new() }];
        effects.extend(values::field_effects(NEW, &new.fields));
        effects.extend(new.labels.iter().map(|label| Effect::Label { bead: NEW, label: label.clone(), present: true }));
        effects.extend(new.scopes.iter().flat_map(|pattern| scope_effects(NEW, pattern, true)));
        Asked::with(Command::Create(Box::new(new)), effects)
    }

    fn set(&mut self) -> Asked {
        let bead = self.known();
        let mut fields = SETTABLE.to_vec();
        self.stream.shuffle(&mut fields);
        fields.truncate(*self.stream.pick(&[1, 1, 1, 2, 3]));
        // An alias that is taken refuses all, so it stays alone.
        if fields.len() > 1 {
            fields.retain(|field| *field != Field::Alias);
        }
        let fields: Vec<(Field, FieldValue)> = fields.into_iter().map(|field| self.changed(field)).collect();
        let effects = values::field_effects(bead, &fields);
        self.edit(bead, Action::Set(fields), effects)
    }

    fn set_status(&mut self) -> Asked {
        let bead = self.known();
        let fields = vec![self.changed(Field::Status)];
        let effects = values::field_effects(bead, &fields);
        self.edit(bead, Action::Set(fields), effects)
    }

    fn close(&mut self) -> Asked {
        let bead = self.known();
        let reason = self.reason();
        let mut effects = vec![status_effect(bead, "closed")];
        // A reason of nothing keeps the one there is.
        if let Some(reason) = reason.as_ref().filter(|reason| !reason.is_empty()) {
            effects.push(Effect::Field { bead, field: Field::CloseReason.as_str(), value: Some(reason.clone()) });
        }
        self.edit(bead, Action::Close(reason), effects)
    }

    /// Makes an edit after which a bead has that status.
    fn status_edit(&mut self, action: Action, status: &str) -> Asked {
        let bead = self.known();
        self.edit(bead, action, vec![status_effect(bead, status)])
    }

    /// Settles whatever conflicts a bead has in some fields; most have none, which is refused.
    fn resolve(&mut self) -> Vec<Asked> {
        let bead = self.known();
        let mut fields = RESOLVED;
        self.stream.shuffle(&mut fields);
        let resolve = |field| {
            // Which value is kept when none is given, nobody knows beforehand.
            let value = self.stream.chance(400).then(|| self.changed(field));
            let kept = || Effect::Field { bead, field: field.as_str(), value: Some(KEPT.to_owned()) };
            let effects = if value.is_some() { values::field_effects(bead, value.as_slice()) } else { vec![kept()] };
            self.edit(bead, Action::Resolve(field, value.map(|(_, value)| value)), effects)
        };
        fields.into_iter().take(5).map(resolve).collect()
    }

    fn labels(&mut self, present: bool) -> Asked {
        let bead = self.known();
        let labels: BTreeSet<String> = (0..=self.stream.below(2)).map(|at| self.label(at)).collect();
        let effects = labels.iter().map(|label| Effect::Label { bead, label: label.clone(), present }).collect();
        let labels: Vec<String> = labels.into_iter().collect();
        let (add, remove) = if present { (labels, Vec::new()) } else { (Vec::new(), labels) };
        self.edit(bead, Action::Labels { add, remove }, effects)
    }

    fn scopes(&mut self, present: bool) -> Asked {
        let bead = self.known();
        let patterns: Vec<String> = (0..=self.stream.below(2)).map(|at| self.pattern(at)).collect();
        let effects = patterns.iter().flat_map(|pattern| scope_effects(bead, pattern, present)).collect();
        let (add, remove) = if present { (patterns, Vec::new()) } else { (Vec::new(), patterns) };
        self.edit(bead, Action::Scopes { add, remove }, effects)
    }

    fn comment(&mut self) -> Asked {
        let bead = self.known();
        let text = self.text("comment");
        let effects = vec![Effect::Comment { bead, text: text.clone() }];
        self.edit(bead, Action::Comment(text), effects)
    }

    fn add_dep(&mut self) -> Asked {
        let (bead, target) = self.pair();
        let target = if self.stream.chance(50) { bead } else { target };
        let kind = self.dep_kind();
        let effects = vec![Effect::Dep { bead, kind: Some(kind.clone()), target, present: true }];
        let name = if self.stream.chance(20) { "nothing-goes-by-this".to_owned() } else { self.reference(target) };
        self.edit(bead, Action::AddDep(kind, name), effects)
    }

    fn remove_dep(&mut self) -> Asked {
        let (bead, target) = self.pair();
        let kind = self.stream.chance(200).then(|| self.dep_kind());
        let effects = vec![Effect::Dep { bead, kind: kind.clone(), target, present: false }];
        let name = self.reference(target);
        self.edit(bead, Action::RemoveDep(kind, name), effects)
    }

    /// Returns two beads for a dependency: mostly of a few pairs, so that what is removed was once added.
    fn pair(&mut self) -> (BeadId, BeadId) {
        let hot: Vec<BeadId> = self.sight.known.iter().copied().take(HOT_BEADS).collect();
        if hot.len() > 1 && self.stream.chance(700) {
            let place = self.stream.place(hot.len() - 1);
            return (hot[place], hot[place + 1]);
        }
        (self.known(), self.known())
    }

    fn project(&mut self) -> Asked {
        let mut keys = records::PROJECT_KEYS.map(str::to_owned).to_vec();
        self.stream.shuffle(&mut keys);
        let count = *self.stream.pick(&[0, 1, 1, 2, 2, 3]);
        keys.truncate(count);
        let prefix =
            self.stream.chance(400).then(|| (*self.stream.pick(&["api", "web", "x", "not a prefix"])).to_owned());
        let context = ProjectContext { keys, prefix };
        Asked::only(if self.stream.chance(350) { Command::Unite(context) } else { Command::Project(context) })
    }

    fn read(&mut self) -> Vec<Asked> {
        let some: Vec<BeadId> = self.sight.known.iter().copied().take(HOT_BEADS).collect();
        let mut commands = vec![
            Command::Status,
            Command::Members,
            Command::List(self.filter()),
            Command::Ready(self.filter()),
            Command::Blocked(self.filter()),
            Command::ExportIndex(self.stream.chance(500).then(|| self.context())),
        ];
        if !some.is_empty() {
            let bead = self.known();
            // What many aliases begin with says too little.
            let name = if self.stream.chance(100) { "task".to_owned() } else { self.reference(bead) };
            commands.extend([Command::Show(name), Command::ExportLines(some)]);
        }
        self.stream.shuffle(&mut commands);
        let count = 2 + self.stream.place(3);
        commands.into_iter().take(count).map(Asked::only).collect()
    }

    fn filter(&mut self) -> Filter {
        let parent = (!self.sight.known.is_empty() && self.stream.chance(150)).then(|| self.known());
        Filter {
            project: self.stream.chance(200).then(|| self.context()),
            statuses: (0..self.stream.below(3)).map(|_| self.status().into()).collect(),
            all: self.stream.chance(300),
            priorities: if self.stream.chance(200) { vec![0, 1, 2] } else { Vec::new() },
            kinds: if self.stream.chance(200) { vec!["task".to_owned(), "bug".to_owned()] } else { Vec::new() },
            labels: (0..self.stream.below(4).saturating_sub(2)).map(|at| self.label(at)).collect(),
            assignee: self.stream.chance(150).then(|| self.agent()),
            parent: parent.map(|parent| self.reference(parent)),
            after: None,
            limit: *self.stream.pick(&[1, 5, 20, 100]),
        }
    }
}

fn status_effect(bead: BeadId, status: &str) -> Effect {
    Effect::Field { bead, field: Field::Status.as_str(), value: Some(status.to_owned()) }
}

/// Returns an effect for each pattern that a written one means; one that can not be read is refused.
fn scope_effects(bead: BeadId, written: &str, present: bool) -> Vec<Effect> {
    let patterns = Pattern::parse(written).unwrap_or_default();
    let effect = |pattern: &Pattern| Effect::Scope { bead, pattern: pattern.as_str().to_owned(), present };
    patterns.iter().map(effect).collect()
}

#[cfg(test)]
mod tests;
