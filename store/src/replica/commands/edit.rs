//! Creating and changing beads.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::alias;
use beadmesh_protocol::bead::{Bead, Comment, Criterion, Dep, DepKey, Edit, Field, FieldValue, Status, Target};
use beadmesh_protocol::claim::Why;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::RawOp;
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::scope::Pattern;

use super::super::beads::BeadRecord;
use super::super::random;
use super::value::{check_alias, check_line, invalid, keep, set};
use super::{Failure, Replica};
use crate::command::{Action, Answer, BeadEdit, CommandError, NewBead};

const PARENT_CHILD: &str = "parent-child";

/// What beads itself writes beside the status of a tombstone: when, by whom and why.
const DELETED_AT: &str = "deleted_at";
const DELETED_BY: &str = "deleted_by";
const DELETE_REASON: &str = "delete_reason";

impl Replica {
    /// Creates a bead.
    pub(super) fn create(&mut self, new: &NewBead) -> Result<Answer, Failure> {
        check_line("by", &new.by)?;
        let mut id = random(&mut self.rng);
        if planted::is(Bug::ShortIds) {
            id[1..].fill(0);
        }
        let id = BeadId::from_bytes(id);
        let parent = new.parent.as_deref().map(|parent| self.find(parent)).transpose()?;
        let mut deps = Vec::new();
        for (kind, target) in &new.deps {
            deps.push((kind.clone(), self.find(target)?));
        }
        deps.extend(parent.map(|parent| (PARENT_CHILD.to_owned(), parent)));
        let blocked: BTreeSet<BeadId> = new.blocks.iter().map(|bead| self.find(bead)).collect::<Result<_, _>>()?;
        let via = new.alias.as_deref().unwrap_or("the new bead");
        for (kind, target) in &deps {
            for bead in &blocked {
                self.refuse_cycle(*bead, Some(via), *target, kind)?;
            }
        }
        let mut edits = self.new_edits(new)?;
        for (kind, target) in deps {
            edits.push(Edit::AddDep(dep_key(&kind, target), self.dep(&new.by)));
        }
        check_all(&edits)?;
        if let Some(alias) = &new.alias {
            self.check_free(alias)?;
        }
        let project = self.mesh.project(&new.project)?;
        let alias = self.new_alias(new, id, (&project.prefix, parent))?;
        edits.push(Edit::Set(Field::Alias, FieldValue::Text(alias)));
        edits.push(Edit::Set(Field::Project, FieldValue::Text(project.id.to_string())));
        let mut wishes = vec![(id, edits)];
        wishes.extend(blocked.into_iter().map(|bead| {
            let dep = Edit::AddDep(dep_key("blocks", id), self.dep(&new.by));
            (bead, vec![dep])
        }));
        // Nothing is staged before here, and the edits are made all or none.
        let ops = self.edit_beads(self.now.wall, &wishes)?;
        if let Some(op) = project.op {
            self.author(vec![op])?;
        }
        self.author(ops)?;
        self.bead_answer(id)
    }

    fn new_edits(&self, new: &NewBead) -> Result<Vec<Edit>, Failure> {
        let title = new.fields.iter().find(|(field, _)| *field == Field::Title);
        if !matches!(title, Some((_, FieldValue::Text(title))) if !title.trim().is_empty()) {
            return Err(invalid("title", "a bead needs a title", "say in one line what is to be done").into());
        }
        let mut blank = Bead::new(BeadId::from_bytes([0; 16]), String::new(), String::new());
        blank.created_at = Some(self.now.wall.to_string());
        blank.created_by = Some(new.by.clone());
        let given: BTreeSet<Field> = new.fields.iter().map(|(field, _)| *field).collect();
        let defaults = beadmesh_protocol::bead::import::created(&blank);
        let mut edits: Vec<Edit> =
            defaults.into_iter().filter(|edit| !matches!(edit, Edit::Set(field, _) if given.contains(field))).collect();
        for (field, value) in &new.fields {
            edits.push(set(*field, value.clone())?);
        }
        edits.extend(labels(&new.labels)?);
        edits.extend(scopes(&new.scopes)?.into_iter().map(Edit::AddScope));
        edits.extend(needs(&new.needs));
        for (order, text) in (0..).zip(&new.criteria) {
            edits.push(Edit::AddCriterion(Criterion { order, text: text.clone() }));
        }
        Ok(edits)
    }

    fn new_alias(
        &mut self,
        new: &NewBead,
        id: BeadId,
        (prefix, parent): (&str, Option<BeadId>),
    ) -> Result<String, Failure> {
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let taken = |alias: &str| index.rows.is_taken(alias);
        if let Some(given) = &new.alias {
            return Ok(given.clone());
        }
        // The stored alias of the parent counts: the suffix that it may be shown with can not be in an alias.
        let parent = parent.and_then(|parent| index.rows.alias(parent));
        let child = parent.map(|parent| alias::child(parent, index.rows.child_numbers(parent)));
        let fits = |child: &String| alias::check(child).is_ok() && !taken(child);
        Ok(child.filter(fits).unwrap_or_else(|| alias::mint(prefix, id, taken)))
    }

    /// Refuses an alias that is malformed or spoken for.
    fn check_free(&mut self, alias: &str) -> Result<(), Failure> {
        check_alias(alias)?;
        if self.beads.index(&self.stage, &self.mesh)?.rows.is_taken(alias) {
            let hint = "choose another, or leave it out to have one minted".to_owned();
            return Err(CommandError::Conflict { problem: format!("id: {alias} exists already"), hint }.into());
        }
        Ok(())
    }

    /// Changes a bead.
    pub(super) fn edit(&mut self, edit: &BeadEdit) -> Result<Answer, Failure> {
        check_line("by", &edit.by)?;
        let id = self.find(&edit.bead)?;
        let missing = || CommandError::NotFound { what: "bead", name: edit.bead.clone() };
        let present = self.beads.record(&self.stage, &self.mesh, id)?.ok_or_else(missing)?;
        self.refuse_deleted(&present.bead, &edit.action)?;
        let edits = self.edits_of(&present, edit)?;
        check_all(&edits)?;
        let mut ops = Vec::new();
        if present.stale_close.is_some() && edits.iter().any(|edit| matches!(edit, Edit::Set(Field::Status, _))) {
            // The document still says closed, so that closing it would change nothing.
            let undone = opening(&present.bead, &present.bead.status);
            ops = self.edit_beads(self.now.wall, &[(id, undone)])?;
        }
        ops.extend(self.edit_beads(self.now.wall, &[(id, edits)])?);
        self.author_edit(id, &present.bead, ops, &edit.by)?;
        self.bead_answer(id)
    }

    /// Writes the operations of an edit; a close by the agent that holds the bead says so, and ends its claim.
    fn author_edit(&mut self, id: BeadId, before: &Bead, mut ops: Vec<RawOp>, by: &str) -> Result<(), Failure> {
        let after = self.beads.record(&self.stage, &self.mesh, id)?;
        let is_done = after.is_some_and(|after| after.bead.status.is_done());
        let agent = self.mesh.agent_here(by).filter(|_| is_done);
        let Some(agent) = agent else { return Ok(self.author(ops).map(|_| ())?) };
        let (claim, token) = self.closes_under(agent, id)?;
        let closes = !before.status.is_done();
        if closes {
            ops.extend(self.closing_op(id, token)?);
        }
        let entries = self.author(ops)?;
        if let Some(claim) = claim {
            let close = entries.last().filter(|_| closes);
            self.end_claim_by(claim, Why::Done, close.map(|entry| (id, *entry)))?;
        }
        Ok(())
    }

    /// Refuses to change a deleted bead, unless the change says what becomes of it.
    fn refuse_deleted(&mut self, present: &Bead, action: &Action) -> Result<(), Failure> {
        let decides = matches!(action, Action::Reopen | Action::Delete(_) | Action::Resolve(..));
        if present.status != Status::Tombstone || decides {
            return Ok(());
        }
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let alias = index.name(present.id);
        let hint = format!("`beadmesh bead reopen {alias}` brings it back");
        Err(CommandError::Conflict { problem: format!("{alias} was deleted"), hint }.into())
    }

    fn edits_of(&mut self, present: &BeadRecord, edit: &BeadEdit) -> Result<Vec<Edit>, Failure> {
        let (wall, bead) = (self.now.wall.to_string(), &present.bead);
        match &edit.action {
            Action::Set(fields) => self.set_fields(bead, fields),
            Action::SetNeeds(fields, needs) => {
                let mut edits = self.set_fields(bead, fields)?;
                let gone = bead.needs.keys().filter(|key| !needs.contains_key(*key));
                edits.extend(gone.map(|key| Edit::Need(key.clone(), None)));
                edits.extend(self::needs(needs));
                Ok(edits)
            }
            Action::Close(reason) => Ok(closing(bead, &wall, reason.as_deref())),
            Action::Reopen if bead.status == Status::Open => Ok(Vec::new()),
            Action::Reopen => Ok(opening(bead, &Status::Open)),
            Action::Delete(reason) => Ok(deleting(bead, &wall, (&edit.by, reason.as_deref()))),
            Action::Resolve(field, value) => Ok(vec![resolving(present, *field, value.as_ref())?]),
            Action::Labels { add, remove } => {
                let removed = remove.iter().cloned().map(Edit::RemoveLabel);
                Ok(labels(add)?.into_iter().chain(removed).collect())
            }
            Action::Scopes { add, remove } => {
                let removed = scopes(remove)?.into_iter().map(Edit::RemoveScope);
                Ok(scopes(add)?.into_iter().map(Edit::AddScope).chain(removed).collect())
            }
            Action::Comment(text) => {
                if text.trim().is_empty() {
                    return Err(invalid("text", "a comment needs a text", "write it, or pipe it to `-`").into());
                }
                let comment = Comment {
                    author: edit.by.clone(),
                    created_at: Some(wall),
                    text: text.clone(),
                    extra: BTreeMap::new(),
                };
                Ok(vec![Edit::AddComment(comment)])
            }
            Action::AddDep(kind, target) => {
                let target = self.find(target)?;
                self.refuse_cycle(bead.id, None, target, kind)?;
                Ok(vec![Edit::AddDep(dep_key(kind, target), self.dep(&edit.by))])
            }
            Action::RemoveDep(kind, target) => self.dep_removals(bead, kind.as_deref(), target),
        }
    }

    fn set_fields(&mut self, bead: &Bead, fields: &[(Field, FieldValue)]) -> Result<Vec<Edit>, Failure> {
        let mut edits = Vec::new();
        for (field, value) in fields {
            edits.extend(self.set_field(bead, *field, value)?);
        }
        Ok(edits)
    }

    fn set_field(&mut self, bead: &Bead, field: Field, value: &FieldValue) -> Result<Vec<Edit>, Failure> {
        let FieldValue::Text(text) = value else { return Ok(vec![set(field, value.clone())?]) };
        match field {
            Field::Status => match Status::from(text.clone()) {
                status if status == bead.status => Ok(Vec::new()),
                Status::Closed => Ok(closing(bead, &self.now.wall.to_string(), None)),
                status if bead.status.is_done() => Ok(opening(bead, &status)),
                status => Ok(vec![set(Field::Status, FieldValue::Text(status.to_string()))?]),
            },
            Field::Alias => {
                let index = self.beads.index(&self.stage, &self.mesh)?;
                if index.rows.display(bead.id).is_some_and(|alias| alias == *text) {
                    return Ok(vec![keep(field, value.clone())?]);
                }
                self.check_free(text)?;
                Ok(vec![set(field, value.clone())?])
            }
            _ => Ok(vec![set(field, value.clone())?]),
        }
    }

    fn dep_removals(&mut self, bead: &Bead, kind: Option<&str>, target: &str) -> Result<Vec<Edit>, Failure> {
        let wanted = self.find(target).ok();
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let edits: Vec<Edit> = bead
            .deps
            .keys()
            .filter(|key| kind.is_none_or(|kind| kind == key.kind))
            .filter(|key| {
                let found = index.graph.resolve(&key.target, bead.id);
                (found.is_some() && found == wanted) || key.target == Target::Alias(target.to_owned())
            })
            .cloned()
            .map(Edit::RemoveDep)
            .collect();
        if edits.is_empty() {
            return Err(CommandError::NotFound { what: "dependency", name: target.to_owned() }.into());
        }
        Ok(edits)
    }

    /// Refuses a dependency that would close a cycle; `via` is a bead to be that stands between its ends.
    fn refuse_cycle(&mut self, from: BeadId, via: Option<&str>, to: BeadId, kind: &str) -> Result<(), Failure> {
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let Some(cycle) = index.graph.would_cycle(from, to, kind) else { return Ok(()) };
        let mut path: Vec<String> = cycle.into_iter().map(|id| index.name(id)).collect();
        path.splice(1..1, via.map(str::to_owned));
        Err(CommandError::Cycle { path }.into())
    }

    /// Edits the documents of beads as of a date, all or none; the operations are to be written by the caller.
    pub(super) fn edit_beads(&mut self, at: Wall, wishes: &[(BeadId, Vec<Edit>)]) -> Result<Vec<RawOp>, Failure> {
        let author = self.entries.node();
        self.beads.edit(&mut self.stage, &self.mesh, (author, at), wishes)
    }

    fn dep(&self, by: &str) -> Dep {
        Dep { created_at: Some(self.now.wall.to_string()), created_by: Some(by.to_owned()), ..Dep::default() }
    }
}

fn dep_key(kind: &str, target: BeadId) -> DepKey {
    DepKey { kind: kind.to_owned(), target: Target::Id(target) }
}

/// Settles a conflict by writing a value over all concurrent ones.
fn resolving(present: &BeadRecord, field: Field, value: Option<&FieldValue>) -> Result<Edit, CommandError> {
    let Some(conflict) = present.conflicts.iter().find(|conflict| conflict.field == field.as_str()) else {
        let hint = "`beadmesh bead show` lists conflicts".to_owned();
        return Err(CommandError::Conflict { problem: format!("{}: no conflict to settle", field.as_str()), hint });
    };
    match value {
        // What stands there may have come by an import, as people would not write it.
        Some(value) if *value != conflict.shown && !conflict.others.contains(value) => set(field, value.clone()),
        value => keep(field, value.unwrap_or(&conflict.shown).clone()),
    }
}

/// Closes a bead; one that is closed keeps its date, and its reason unless another is given.
fn closing(bead: &Bead, wall: &str, reason: Option<&str>) -> Vec<Edit> {
    let reason = text_or_absent(reason);
    if bead.status == Status::Closed {
        let is_new = reason != FieldValue::Absent && reason != text_or_absent(bead.close_reason.as_deref());
        return is_new.then_some(Edit::Set(Field::CloseReason, reason)).into_iter().collect();
    }
    vec![
        Edit::Set(Field::Status, FieldValue::Text(Status::Closed.to_string())),
        Edit::Set(Field::ClosedAt, FieldValue::Text(wall.to_owned())),
        Edit::Set(Field::CloseReason, reason),
    ]
}

fn opening(bead: &Bead, status: &Status) -> Vec<Edit> {
    let mut edits = vec![
        Edit::Set(Field::Status, FieldValue::Text(status.to_string())),
        Edit::Set(Field::ClosedAt, FieldValue::Absent),
        Edit::Set(Field::CloseReason, FieldValue::Absent),
    ];
    if bead.status == Status::Tombstone {
        edits.extend([DELETED_AT, DELETED_BY, DELETE_REASON].map(|key| Edit::Extra(key.to_owned(), None)));
    }
    edits
}

/// Marks a bead deleted; one that is deleted takes another reason at most.
fn deleting(bead: &Bead, wall: &str, (by, reason): (&str, Option<&str>)) -> Vec<Edit> {
    let json = |text: &str| Some(serde_json::Value::from(text).to_string());
    let reason = reason.filter(|reason| !reason.is_empty()).and_then(json);
    if bead.status == Status::Tombstone {
        let is_new = reason.is_some() && reason.as_ref() != bead.extra.get(DELETE_REASON);
        return is_new.then_some(Edit::Extra(DELETE_REASON.to_owned(), reason)).into_iter().collect();
    }
    vec![
        Edit::Set(Field::Status, FieldValue::Text(Status::Tombstone.to_string())),
        Edit::Extra(DELETED_AT.to_owned(), json(wall)),
        Edit::Extra(DELETED_BY.to_owned(), json(by)),
        Edit::Extra(DELETE_REASON.to_owned(), reason),
    ]
}

fn text_or_absent(text: Option<&str>) -> FieldValue {
    text.filter(|text| !text.is_empty()).map_or(FieldValue::Absent, |text| FieldValue::Text(text.to_owned()))
}

fn needs(needs: &BTreeMap<String, String>) -> impl Iterator<Item = Edit> {
    needs.iter().map(|(key, amount)| Edit::Need(key.clone(), Some(amount.clone())))
}

fn labels(words: &[String]) -> Result<Vec<Edit>, CommandError> {
    words.iter().map(|label| check_line("labels", label).map(|()| Edit::AddLabel(label.clone()))).collect()
}

/// Reads scope patterns as a person writes them and returns their canonical texts.
fn scopes(patterns: &[String]) -> Result<Vec<String>, CommandError> {
    let mut canonical = Vec::new();
    for pattern in patterns {
        let parsed = Pattern::parse(pattern)
            .map_err(|error| invalid("scope", &error.to_string(), "see docs/SCOPES.md for the grammar of patterns"))?;
        canonical.extend(parsed.iter().map(|pattern| pattern.as_str().to_owned()));
    }
    Ok(canonical)
}

fn check_all(edits: &[Edit]) -> Result<(), CommandError> {
    edits.iter().try_for_each(|edit| beadmesh_protocol::bead::edit::check(edit).map_err(|error| (&error).into()))
}
