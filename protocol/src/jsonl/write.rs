//! Writes a bead as one line of JSONL, the same line for the same bead everywhere.

use std::collections::BTreeMap;

use super::json::push_text;
use crate::bead::{Bead, Target};

/// Returns the line, without a newline; `target_alias` names what a dependency points at.
///
/// Absent values are left out; status, priority and issue_type are always there. `beadmesh_id` is written exactly when
/// the id is not the one that reading the line would derive.
pub fn write(bead: &Bead, display_alias: &str, target_alias: impl Fn(&Target) -> String) -> String {
    let mut line = Line { text: String::with_capacity(512), first: true };
    line.text.push('{');
    line.text_field("id", Some(display_alias));
    if super::derived_id(display_alias, bead.created_at.as_deref(), bead.project) != bead.id {
        line.text_field("beadmesh_id", Some(&bead.id.to_string()));
    }
    line.text_field("title", Some(&bead.title));
    line.text_field("description", bead.description.as_deref());
    line.text_field("design", bead.design.as_deref());
    line.text_field("acceptance_criteria", bead.acceptance.as_deref());
    line.list("acceptance", bead.criteria.iter().map(|criterion| criterion.text.as_str()));
    line.text_field("notes", bead.notes.as_deref());
    line.text_field("status", Some(bead.status.as_str()));
    line.raw_field("priority", &bead.priority.to_string());
    line.text_field("issue_type", Some(&bead.kind));
    line.text_field("assignee", bead.assignee.as_deref());
    if let Some(minutes) = bead.estimate_minutes {
        line.raw_field("estimated_minutes", &minutes.to_string());
    }
    line.text_field("created_at", bead.created_at.as_deref());
    line.text_field("created_by", bead.created_by.as_deref());
    line.text_field("updated_at", bead.updated_at.as_deref());
    line.text_field("closed_at", bead.closed_at.as_deref());
    line.text_field("close_reason", bead.close_reason.as_deref());
    line.text_field("due_at", bead.due_at.as_deref());
    line.text_field("defer_until", bead.defer_until.as_deref());
    line.text_field("external_ref", bead.external_ref.as_deref());
    line.list("labels", bead.labels.iter().map(String::as_str));
    line.list("scopes", bead.scopes.iter().map(String::as_str));
    dependencies(&mut line, bead, display_alias, target_alias);
    comments(&mut line, bead, display_alias);
    line.object("needs", bead.needs.iter().map(|(key, value)| (key, quoted(value))));
    line.object("metadata", bead.metadata.iter().map(|(key, value)| (key, value.clone())));
    line.raw_fields(&bead.extra);
    line.text.push('}');
    line.text
}

fn dependencies(line: &mut Line, bead: &Bead, display_alias: &str, target_alias: impl Fn(&Target) -> String) {
    let mut deps: Vec<_> = bead.deps.iter().map(|(key, dep)| (&key.kind, target_alias(&key.target), dep)).collect();
    deps.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    line.objects("dependencies", deps, |line, (kind, target, dep)| {
        line.text_field("issue_id", Some(display_alias));
        line.text_field("depends_on_id", Some(&target));
        line.text_field("type", Some(kind));
        line.text_field("created_at", dep.created_at.as_deref());
        line.text_field("created_by", dep.created_by.as_deref());
        line.raw_fields(&dep.extra);
    });
}

fn comments(line: &mut Line, bead: &Bead, display_alias: &str) {
    line.objects("comments", bead.comments.iter().collect(), |line, comment| {
        line.text_field("issue_id", Some(display_alias));
        line.text_field("author", Some(comment.author.as_str()).filter(|author| !author.is_empty()));
        line.text_field("text", Some(&comment.text));
        line.text_field("created_at", comment.created_at.as_deref());
        line.raw_fields(&comment.extra);
    });
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    push_text(&mut quoted, text);
    quoted
}

/// A line being written; knows whether a comma is due.
struct Line {
    text: String,
    first: bool,
}

impl Line {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.text.push(',');
        }
        push_text(&mut self.text, key);
        self.text.push(':');
    }

    fn text_field(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key);
            push_text(&mut self.text, value);
        }
    }

    fn raw_field(&mut self, key: &str, json: &str) {
        self.key(key);
        self.text.push_str(json);
    }

    fn raw_fields(&mut self, fields: &BTreeMap<String, String>) {
        for (key, json) in fields {
            self.raw_field(key, json);
        }
    }

    fn list<'a>(&mut self, key: &str, items: impl Iterator<Item = &'a str>) {
        let items: Vec<String> = items.map(quoted).collect();
        if !items.is_empty() {
            self.raw_field(key, &format!("[{}]", items.join(",")));
        }
    }

    fn object<'a>(&mut self, key: &str, items: impl Iterator<Item = (&'a String, String)>) {
        let items: Vec<String> = items.map(|(key, json)| format!("{}:{json}", quoted(key))).collect();
        if !items.is_empty() {
            self.raw_field(key, &format!("{{{}}}", items.join(",")));
        }
    }

    fn objects<T>(&mut self, key: &str, items: Vec<T>, mut write: impl FnMut(&mut Self, T)) {
        if items.is_empty() {
            return;
        }
        self.key(key);
        let mut mark = '[';
        for item in items {
            self.text.push(mark);
            self.text.push('{');
            self.first = true;
            write(self, item);
            self.text.push('}');
            mark = ',';
        }
        self.first = false;
        self.text.push(']');
    }
}
