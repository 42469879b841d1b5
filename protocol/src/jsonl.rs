//! One line of `.beads/issues.jsonl` to a bead and back, by the keys that beads uses.
//!
//! What is not kept letter by letter is listed in `docs/JSONL.md`, and nothing else is. Merging a record with a bead
//! that is known already is decided in `bead`.

use crate::alias;
use crate::bead::Bead;
use crate::id::{BeadId, ProjectId};
use crate::limits::{
    ESTIMATE_MINUTES_MAX, IMPORT_LINE_BYTES_MAX, MAP_ITEMS_MAX, PRIORITY_MAX, TEXT_BYTES_MAX, TITLE_BYTES_MAX,
    WORD_BYTES_MAX,
};

mod error;
mod fields;
mod json;
mod lists;
mod write;

pub use error::RecordError;
pub use json::{Json, JsonError};
pub use write::write;

/// The BLAKE3 context under which the id of an imported bead is derived.
const ID_CONTEXT: &str = "beadmesh imported bead v1";

/// One line, read: the bead it describes, and which dates it carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The bead, with every value in canonical form.
    pub bead: Bead,
    /// Whether the line said when the bead last changed; without it only unset fields are merged.
    pub has_updated_at: bool,
    /// Whether the line said when the bead was made; without it the id comes from the project.
    pub has_created_at: bool,
}

impl Record {
    /// Reads one line; the project is that of the file it stands in.
    ///
    /// # Errors
    ///
    /// Names the field, the bound and the value of the first thing that is wrong. No input makes this panic.
    pub fn parse(line: &str, project: Option<ProjectId>) -> Result<Self, RecordError> {
        if line.len() > IMPORT_LINE_BYTES_MAX {
            return Err(RecordError::LineBytes { bytes: line.len(), bound: IMPORT_LINE_BYTES_MAX });
        }
        let mut fields = fields::Fields::read(line)?;
        let source = fields.text("id", WORD_BYTES_MAX)?.ok_or_else(|| RecordError::missing("id"))?;
        let title = fields.text("title", TITLE_BYTES_MAX)?.ok_or_else(|| RecordError::missing("title"))?;
        let created_at = fields.text("created_at", WORD_BYTES_MAX)?;
        let updated_at = fields.text("updated_at", WORD_BYTES_MAX)?;
        let (has_created_at, has_updated_at) = (created_at.is_some(), updated_at.is_some());
        let (id, alias) = identity(&mut fields, &source, created_at.as_deref(), project)?;
        let mut bead = Bead::new(id, alias, title);
        bead.project = project;
        bead.created_at = created_at;
        bead.updated_at = updated_at;
        texts(&mut fields, &mut bead)?;
        words(&mut fields, &mut bead)?;
        lists::read(&mut fields, &mut bead)?;
        bead.extra = fields.rest()?;
        Ok(Self { bead, has_updated_at, has_created_at })
    }
}

/// Returns the id of an imported bead that carries none of ours: BLAKE3 over its source id and its date.
///
/// The date counts as a point in time, so that two spellings of it are one bead; a text that is no date counts as it
/// stands. A bead without a date is told apart by its project.
pub fn derived_id(source: &str, created_at: Option<&str>, project: Option<ProjectId>) -> BeadId {
    let mut hasher = blake3::Hasher::new_derive_key(ID_CONTEXT);
    // A length first, so that no two lists of parts are one text.
    hasher.update(&(source.len() as u64).to_be_bytes());
    hasher.update(source.as_bytes());
    match (created_at, project) {
        (Some(date), _) => match date.parse::<jiff::Timestamp>() {
            Ok(instant) => hasher.update(b"instant").update(&instant.as_nanosecond().to_be_bytes()),
            Err(_) => hasher.update(b"text").update(date.as_bytes()),
        },
        (None, Some(project)) => hasher.update(b"project").update(project.as_bytes()),
        (None, None) => hasher.update(b"nothing"),
    };
    let hash = hasher.finalize();
    BeadId::from_slice(&hash.as_bytes()[..BeadId::BYTES]).expect("a hash is longer than an id")
}

/// Reads id and alias: `beadmesh_id` where it is given, and then without the suffix that `alias::display` adds.
fn identity(
    fields: &mut fields::Fields,
    source: &str,
    created_at: Option<&str>,
    project: Option<ProjectId>,
) -> Result<(BeadId, String), RecordError> {
    let given = fields.text("beadmesh_id", WORD_BYTES_MAX)?;
    let given: Option<BeadId> = match given {
        Some(text) => Some(text.parse().map_err(|source| RecordError::Id { field: "beadmesh_id".to_owned(), source })?),
        None => None,
    };
    let id = given.unwrap_or_else(|| derived_id(source, created_at, project));
    let name = match (given, alias::split(source)) {
        (Some(id), (name, Some(suffix))) if !suffix.is_empty() && id.to_string().starts_with(suffix) => name,
        _ => source,
    };
    alias::check(name).map_err(|source| RecordError::Alias { field: "id".to_owned(), source })?;
    Ok((id, name.to_owned()))
}

/// Reads the long texts.
fn texts(fields: &mut fields::Fields, bead: &mut Bead) -> Result<(), RecordError> {
    bead.description = fields.text("description", TEXT_BYTES_MAX)?;
    bead.design = fields.text("design", TEXT_BYTES_MAX)?;
    bead.acceptance = fields.text("acceptance_criteria", TEXT_BYTES_MAX)?;
    bead.notes = fields.text("notes", TEXT_BYTES_MAX)?;
    bead.close_reason = fields.text("close_reason", TEXT_BYTES_MAX)?;
    Ok(())
}

/// Reads the short texts and the numbers.
fn words(fields: &mut fields::Fields, bead: &mut Bead) -> Result<(), RecordError> {
    if let Some(status) = fields.text("status", WORD_BYTES_MAX)? {
        bead.status = status.into();
    }
    if let Some(priority) = fields.number("priority", u64::from(PRIORITY_MAX))? {
        bead.priority = u8::try_from(priority).unwrap_or(PRIORITY_MAX);
    }
    if let Some(kind) = fields.text("issue_type", WORD_BYTES_MAX)? {
        bead.kind = kind;
    }
    let minutes = fields.number("estimated_minutes", u64::from(ESTIMATE_MINUTES_MAX))?;
    bead.estimate_minutes = minutes.and_then(|minutes| u32::try_from(minutes).ok());
    bead.assignee = fields.text("assignee", WORD_BYTES_MAX)?;
    bead.created_by = fields.text("created_by", WORD_BYTES_MAX)?;
    bead.closed_at = fields.text("closed_at", WORD_BYTES_MAX)?;
    bead.due_at = fields.text("due_at", WORD_BYTES_MAX)?;
    bead.defer_until = fields.text("defer_until", WORD_BYTES_MAX)?;
    bead.external_ref = fields.text("external_ref", WORD_BYTES_MAX)?;
    Ok(())
}

#[cfg(test)]
mod tests;
