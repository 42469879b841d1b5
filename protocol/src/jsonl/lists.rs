//! The lists and objects of a record: labels, dependencies, scopes, criteria, comments, needs and metadata.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::json::Json;
use super::{MAP_ITEMS_MAX, RecordError, TEXT_BYTES_MAX, WORD_BYTES_MAX};
use crate::bead::item::sort_comments;
use crate::bead::{Bead, Comment, Criterion, Dep, DepKey, Target};
use crate::scope::Pattern;

/// The dependency type that joins a child to its parent.
const PARENT_CHILD: &str = "parent-child";

/// Reads every list and object into the bead.
pub(super) fn read(fields: &mut Fields, bead: &mut Bead) -> Result<(), RecordError> {
    bead.labels = fields.texts("labels", WORD_BYTES_MAX)?.into_iter().collect();
    criteria(fields, bead)?;
    scopes(fields, bead)?;
    dependencies(fields, bead)?;
    comments(fields, bead)?;
    needs(fields, bead)?;
    bead.metadata = fields.object("metadata")?.rest()?;
    Ok(())
}

/// Reads `acceptance`: a list is single criteria, a text is what `acceptance_criteria` means.
fn criteria(fields: &mut Fields, bead: &mut Bead) -> Result<(), RecordError> {
    match fields.take("acceptance") {
        None => return Ok(()),
        Some(Json::Text(text)) if text.is_empty() => return Ok(()),
        Some(Json::Text(_)) if bead.acceptance.is_some() => {
            return Err(RecordError::Twice { field: "acceptance", other: "acceptance_criteria" });
        }
        Some(Json::Text(text)) => {
            super::fields::check_bytes("", "acceptance", text.len(), TEXT_BYTES_MAX)?;
            bead.acceptance = Some(text.into_owned());
            return Ok(());
        }
        Some(value) => fields.put("acceptance", value),
    }
    let mut seen = BTreeSet::new();
    for text in fields.texts("acceptance", TEXT_BYTES_MAX)? {
        if seen.insert(text.clone()) {
            let order = u32::try_from(bead.criteria.len()).unwrap_or(u32::MAX);
            bead.criteria.push(Criterion { order, text });
        }
    }
    Ok(())
}

fn scopes(fields: &mut Fields, bead: &mut Bead) -> Result<(), RecordError> {
    for (index, text) in fields.texts("scopes", TEXT_BYTES_MAX)?.into_iter().enumerate() {
        let field = || format!("scopes[{index}]");
        let patterns = Pattern::parse(&text).map_err(|source| RecordError::Scope { field: field(), source })?;
        bead.scopes.extend(patterns.iter().map(|pattern| pattern.as_str().to_owned()));
    }
    within("scopes", bead.scopes.len())
}

/// Reads `dependencies`, and `parent` as one of them.
fn dependencies(fields: &mut Fields, bead: &mut Bead) -> Result<(), RecordError> {
    for (index, item) in fields.list("dependencies")?.into_iter().enumerate() {
        let mut item = Fields::inside(&format!("dependencies[{index}]"), item)?;
        item.take("issue_id");
        let name = item.name("depends_on_id");
        let target = item.text("depends_on_id", WORD_BYTES_MAX)?.ok_or_else(|| RecordError::missing(&name))?;
        let key = DepKey { kind: kind(&mut item)?, target: Target::parse(&target) };
        let created_at = item.text("created_at", WORD_BYTES_MAX)?;
        let created_by = item.text("created_by", WORD_BYTES_MAX)?;
        let dep = Dep { created_at, created_by, extra: item.rest()? };
        bead.deps.entry(key).or_insert(dep);
    }
    if let Some(parent) = fields.text("parent", WORD_BYTES_MAX)? {
        let key = DepKey { kind: PARENT_CHILD.to_owned(), target: Target::parse(&parent) };
        bead.deps.entry(key).or_default();
    }
    within("dependencies", bead.deps.len())
}

/// Reads the type of a dependency in its one spelling; without one it blocks.
fn kind(item: &mut Fields) -> Result<String, RecordError> {
    let kind = item.text("type", WORD_BYTES_MAX)?.unwrap_or_else(|| "blocks".to_owned());
    // Inside documents `|` ends the type.
    if let Some(character) = kind.chars().find(|char| *char == '|' || char.is_control()) {
        return Err(RecordError::Character { field: item.name("type"), character });
    }
    Ok(match kind.as_str() {
        "blocked-by" | "blocked_by" => "blocks".to_owned(),
        "parent_child" => PARENT_CHILD.to_owned(),
        _ => kind,
    })
}

/// Reads `comments`, oldest first, each author, date and text once.
fn comments(fields: &mut Fields, bead: &mut Bead) -> Result<(), RecordError> {
    for (index, item) in fields.list("comments")?.into_iter().enumerate() {
        let mut item = Fields::inside(&format!("comments[{index}]"), item)?;
        item.take("issue_id");
        let author = item.text("author", WORD_BYTES_MAX)?.unwrap_or_default();
        let created_at = item.text("created_at", WORD_BYTES_MAX)?;
        let name = item.name("text");
        let text = item.text("text", TEXT_BYTES_MAX)?.ok_or_else(|| RecordError::missing(&name))?;
        bead.comments.push(Comment { author, created_at, text, extra: item.rest()? });
    }
    sort_comments(&mut bead.comments);
    bead.comments.dedup_by(|next, kept| {
        (&next.author, &next.created_at, &next.text) == (&kept.author, &kept.created_at, &kept.text)
    });
    Ok(())
}

/// Reads `needs`, whose values are texts or numbers.
fn needs(fields: &mut Fields, bead: &mut Bead) -> Result<(), RecordError> {
    let mut needs = fields.object("needs")?;
    within("needs", needs.keys().len())?;
    for key in needs.keys() {
        if key.len() > WORD_BYTES_MAX {
            let field = "needs: a key".to_owned();
            return Err(RecordError::Bytes { field, bytes: key.len(), bound: WORD_BYTES_MAX });
        }
        let value = match needs.take(&key) {
            Some(Json::Number(digits)) => digits.to_owned(),
            Some(value) => {
                needs.put(&key, value);
                needs.text(&key, WORD_BYTES_MAX)?.unwrap_or_default()
            }
            None => continue,
        };
        if !value.is_empty() {
            bead.needs.insert(key, value);
        }
    }
    Ok(())
}

fn within(field: &str, items: usize) -> Result<(), RecordError> {
    if items > MAP_ITEMS_MAX {
        return Err(RecordError::Items { field: field.to_owned(), items, bound: MAP_ITEMS_MAX });
    }
    Ok(())
}
