//! A bead in full, laid out as a page.

use std::collections::BTreeMap;

use beadmesh_node::api::model::{Bead, Comment, Conflict, Scalar, StaleClose};
use jiff::Timestamp;
use serde_json::Value;

use super::paint::Paint;
use super::{text, time};

/// Returns the lines of the page, at most `columns` wide.
pub(crate) fn lines(bead: &Bead, columns: usize, now: Timestamp) -> Vec<String> {
    let mut page = Page { columns, lines: Vec::new() };
    page.head(bead, now);
    page.facts(bead);
    page.text("Description", bead.description.as_deref());
    page.text("Design", bead.design.as_deref());
    page.text("Acceptance", bead.acceptance.as_deref());
    page.items("Criteria", &bead.criteria);
    page.text("Notes", bead.notes.as_deref());
    page.graph(bead);
    page.items("Scopes", &bead.scopes);
    page.values("Metadata", &bead.metadata);
    page.values("Extra", &bead.extra);
    page.comments(&bead.comments, now);
    page.conflicts(bead);
    page.stale_close(bead);
    page.lines
}

struct Page {
    columns: usize,
    lines: Vec<String>,
}

impl Page {
    /// The title, and one line that says what kind of thing it is and where it stands.
    fn head(&mut self, bead: &Bead, now: Timestamp) {
        let alias = text::clean_line(&bead.alias);
        let room = self.columns.saturating_sub(text::width(&alias) + 2).max(10);
        let rows = text::wrap(&text::clean_line(&bead.title), room);
        let indent = " ".repeat(text::width(&alias) + 2);
        for (at, row) in rows.iter().enumerate() {
            let lead = if at == 0 { format!("{}  ", Paint::Name.on(&alias)) } else { indent.clone() };
            self.lines.push(format!("{lead}{}", Paint::Strong.on(row)));
        }
        let status = text::clean_line(&bead.status);
        let mut meta = vec![Paint::status(&bead.status).on(&status)];
        meta.push(Paint::priority(bead.priority).on(&format!("P{}", bead.priority)));
        meta.push(text::clean_line(&bead.kind));
        if bead.ready {
            meta.push(Paint::Good.on("ready"));
        }
        meta.extend(bead.assignee.as_deref().map(at));
        meta.extend(holder(bead).map(|holder| format!("held by {}", text::clean_line(holder))));
        self.lines.extend(text::flow(&meta, &Paint::Faint.on(" · "), self.columns));
        let by = bead.created_by.as_deref().map(|name| format!(" by {}", text::clean_line(name))).unwrap_or_default();
        let mut dates = Vec::new();
        dates.extend(bead.created_at.as_deref().map(|date| format!("Created {}{by}", time::ago(date, now))));
        dates.extend(bead.closed_at.as_deref().map(|date| format!("Closed {}", time::ago(date, now))));
        let updated = bead.updated_at.as_deref().filter(|date| Some(*date) != bead.created_at.as_deref());
        dates.extend(updated.map(|date| format!("Updated {}", time::ago(date, now))));
        let rows = text::flow(&dates, " · ", self.columns);
        self.lines.extend(rows.iter().map(|row| Paint::Faint.on(row)));
    }

    /// Short fields, one a line.
    fn facts(&mut self, bead: &Bead) {
        let mut facts: Vec<(&str, String)> = Vec::new();
        if !bead.labels.is_empty() {
            facts.push(("Labels", bead.labels.join(", ")));
        }
        facts.extend(bead.estimate_minutes.map(|minutes| ("Estimate", estimate(minutes))));
        facts.extend(bead.due_at.as_deref().map(|date| ("Due", time::day(date))));
        facts.extend(bead.defer_until.as_deref().map(|date| ("Put off until", time::day(date))));
        facts.extend(bead.external_ref.clone().map(|name| ("Elsewhere", name)));
        facts.extend(bead.close_reason.clone().map(|reason| ("Reason", reason)));
        if !bead.needs.is_empty() {
            let needs: Vec<String> = bead.needs.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            facts.push(("Needs", needs.join(", ")));
        }
        if facts.is_empty() {
            return;
        }
        self.lines.push(String::new());
        let names = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            let rows = text::wrap(&text::clean_line(&value), self.columns.saturating_sub(names + 2).max(10));
            for (at, row) in rows.iter().enumerate() {
                let name = if at == 0 { name } else { "" };
                self.lines.push(format!("{}  {row}", Paint::Faint.on(&format!("{name:names$}"))));
            }
        }
    }

    fn heading(&mut self, name: &str) {
        self.lines.push(String::new());
        self.lines.push(Paint::Strong.on(name));
    }

    fn indented(&mut self, value: &str, indent: &str) {
        for row in text::wrap(value, self.columns.saturating_sub(indent.len()).max(10)) {
            self.lines.push(format!("{indent}{row}").trim_end().to_owned());
        }
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.heading(name);
            self.indented(value, "  ");
        }
    }

    fn items(&mut self, name: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.heading(name);
        for item in items {
            self.indented(&format!("- {}", text::clean_line(item)), "  ");
        }
    }

    /// What it depends on, what depends on it, and its family.
    fn graph(&mut self, bead: &Bead) {
        let deps: Vec<_> = bead.deps.iter().filter(|dep| dep.kind != "parent-child").collect();
        if !deps.is_empty() {
            self.heading("Depends on");
            for dep in deps {
                let status = dep.status.as_deref().map_or("not known here", |status| status);
                let status = Paint::status(status).on(&text::clean_line(status));
                let holds = if bead.blocked_by.contains(&dep.target) { ", holds it up" } else { "" };
                let target = Paint::Name.on(&text::clean_line(&dep.target));
                let parts = [target, format!("{} ({status}{holds})", text::clean_line(&dep.kind))];
                for (at, row) in text::flow(&parts, "  ", self.columns.saturating_sub(4).max(10)).iter().enumerate() {
                    self.lines.push(format!("{}{row}", if at == 0 { "  " } else { "    " }));
                }
            }
        }
        let direct = |alias: &&String| !bead.deps.iter().any(|dep| dep.target == **alias);
        let statuses = &bead.statuses;
        self.names("Held up by", bead.blocked_by.iter().filter(direct), statuses);
        self.names("Part of", &bead.parent, statuses);
        self.names("Parts", &bead.children, statuses);
        self.names("Needed by", &bead.dependents, statuses);
    }

    /// Other beads, in the order of their names, each with where it stands.
    fn names<'a>(
        &mut self,
        name: &str,
        aliases: impl IntoIterator<Item = &'a String>,
        statuses: &BTreeMap<String, String>,
    ) {
        let mut aliases: Vec<&String> = aliases.into_iter().collect();
        if aliases.is_empty() {
            return;
        }
        self.heading(name);
        aliases.sort_by_cached_key(|alias| order(alias));
        for alias in aliases {
            let line = format!("  {}", Paint::Name.on(&text::clean_line(alias)));
            let status = statuses.get(alias).map(|status| Paint::status(status).on(&text::clean_line(status)));
            self.lines.push(status.map_or_else(|| line.clone(), |status| format!("{line}  ({status})")));
        }
    }

    /// Values by key, one a line.
    fn values(&mut self, name: &str, values: &BTreeMap<String, Value>) {
        if values.is_empty() {
            return;
        }
        self.heading(name);
        for (key, value) in values {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.indented(&text::clean_line(&format!("{key}: {value}")), "  ");
        }
    }

    fn comments(&mut self, comments: &[Comment], now: Timestamp) {
        if comments.is_empty() {
            return;
        }
        self.heading("Comments");
        for (at, comment) in comments.iter().enumerate() {
            if at > 0 {
                self.lines.push(String::new());
            }
            let date = comment.created_at.as_deref().map(|date| format!(", {}", time::ago(date, now)));
            let author = text::clean_line(&comment.author);
            self.lines.push(Paint::Faint.on(&format!("  {author}{}", date.unwrap_or_default())));
            self.indented(&comment.text, "  ");
        }
    }

    /// Fields that several people set at once: every value, and the commands that settle each.
    fn conflicts(&mut self, bead: &Bead) {
        if bead.conflicts.is_empty() {
            return;
        }
        self.heading("Changed in two places at once");
        for Conflict { field, shown, others } in &bead.conflicts {
            let field = text::clean_line(field);
            self.lines.push(format!("  {field}"));
            self.value("shown", &field, shown);
            for other in others {
                self.value("other", &field, other);
            }
            // An item of a map, as `metadata.sprint`, is no field that can be set.
            if !field.contains('.') {
                let command = format!("beadmesh bead resolve {} {field}", text::clean_line(&bead.alias));
                self.command("keep ", &command);
                self.command("set  ", &format!("{command} --value VALUE"));
            }
        }
    }

    /// A close that came too late, under a lease that another agent had by then.
    fn stale_close(&mut self, bead: &Bead) {
        let Some(StaleClose { by, token, holder, holder_token }) = &bead.stale_close else { return };
        self.heading("Closed too late");
        let (by, holder) = (text::clean_line(by), text::clean_line(holder));
        let told =
            format!("{by} closed it under token {token}, when {holder} had the lease with token {holder_token}.");
        self.indented(&format!("{told} The close counts for nothing; agree on what of it is kept."), "  ");
    }

    /// A command that can be copied, so it is not wrapped.
    fn command(&mut self, name: &str, command: &str) {
        self.lines.push(format!("    {}  {}", Paint::Faint.on(name), Paint::Name.on(command)));
    }

    fn value(&mut self, name: &str, field: &str, value: &Scalar) {
        let value = match value {
            Scalar::Absent => "(nothing)".to_owned(),
            Scalar::Number(number) if field == "priority" => format!("P{number}"),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text.clone(),
        };
        for (at, row) in text::wrap(&value, self.columns.saturating_sub(11).max(10)).iter().enumerate() {
            let name = Paint::Faint.on(if at == 0 { name } else { "     " });
            self.lines.push(format!("    {name}  {row}"));
        }
    }
}

/// Returns what a name is sorted by: its parts, those that are numbers by their value.
fn order(alias: &str) -> Vec<(Option<u64>, String)> {
    alias.split('.').map(|part| (part.parse().ok(), part.to_owned())).collect()
}

/// Returns minutes as people say them.
fn estimate(minutes: u32) -> String {
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Returns the agent that has the lease on a bead, where that is not who it is assigned to.
fn holder(bead: &Bead) -> Option<&str> {
    let holder = bead.holder.as_deref()?;
    let name = holder.split_once('@').map_or(holder, |(name, _)| name);
    bead.assignee.as_deref().is_none_or(|assignee| assignee != holder && assignee != name).then_some(holder)
}

/// Returns an assignee with its sign; an address has one already.
fn at(assignee: &str) -> String {
    let assignee = text::clean_line(assignee);
    if assignee.contains('@') { assignee } else { format!("@{assignee}") }
}

#[cfg(test)]
pub(crate) mod tests;
