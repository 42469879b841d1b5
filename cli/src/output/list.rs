//! Lists of beads: one line each, cut to the width of the terminal.

use beadmesh_node::api::model::{Bead, Unfit};

use super::paint::Paint;
use super::table::{self, Column, Painted};
use super::text;

/// What a list is about; some columns say something only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All sorts of beads.
    All,
    /// What can be worked on now.
    Ready,
    /// What waits for other beads.
    Blocked,
}

/// Returns the lines of a list of beads.
pub(crate) fn lines(beads: &[Bead], kind: Kind, columns: Option<u16>) -> Vec<String> {
    let rows: Vec<Vec<Painted>> = beads.iter().map(|bead| row(bead, kind)).collect();
    table::lines(&layout(kind), &rows, columns)
}

/// Returns the lines of a list of all sorts of beads, with what can be worked on and what waits beside each other.
pub(crate) fn watched(beads: &[Bead], columns: Option<u16>) -> Vec<String> {
    let mut layout = layout(Kind::All);
    let place = layout.len() - 1;
    layout.insert(place, Column::new("NEXT").spare(2));
    let rows: Vec<Vec<Painted>> = beads
        .iter()
        .map(|bead| {
            let mut row = row(bead, Kind::All);
            row.insert(place, next(bead));
            row
        })
        .collect();
    table::lines(&layout, &rows, columns)
}

fn layout(kind: Kind) -> Vec<Column> {
    let mut layout = vec![Column::new("ID"), Column::new("PRI"), Column::new("TYPE").spare(3)];
    if kind != Kind::Ready {
        layout.push(Column::new("STATUS").spare(if kind == Kind::Blocked { 2 } else { 1 }));
    }
    layout.push(Column::new("TITLE").flexible());
    if kind == Kind::Blocked {
        layout.push(Column::new("WAITS FOR").spare(1));
    }
    layout.push(Column::new("ASSIGNEE").spare(4));
    layout
}

/// Returns for each bead what it needs, what this machine lacks of that, and how it stands with the others.
pub(crate) fn unfit(beads: &[Unfit], columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for bead in beads {
        let name = text::clean_line(&bead.alias);
        let rows = text::wrap(&format!("{name}  {}", text::clean_line(&bead.title)), columns);
        // Colours are no text to wrap.
        let painted = rows.iter().enumerate().map(|(at, row)| match row.strip_prefix(&name).filter(|_| at == 0) {
            Some(rest) => format!("{}{rest}", Paint::Name.on(&name)),
            None => row.clone(),
        });
        lines.extend(painted);
        let needs: Vec<String> = bead.needs.iter().map(|need| text::clean_line(need)).collect();
        let mut say = |who: &str, what: &str| {
            lines.extend(
                text::wrap(&format!("{who}: {what}"), columns.saturating_sub(2))
                    .into_iter()
                    .map(|row| format!("  {row}")),
            );
        };
        say("needs", &needs.join(", "));
        say("this machine", &text::clean_line(&bead.lacks.join("; ")));
        for machine in &bead.others {
            say(&text::clean_line(&machine.node), &text::clean_line(&machine.lacks.join("; ")));
        }
        for node in &bead.fits {
            say(&text::clean_line(node), "has all of it");
        }
    }
    lines
}

fn row(bead: &Bead, kind: Kind) -> Vec<Painted> {
    let done = matches!(bead.status.as_str(), "closed" | "tombstone");
    let priority = if done { Paint::Faint } else { Paint::priority(bead.priority) };
    let mut row = vec![
        (Paint::Name, bead.alias.clone()),
        (priority, format!("P{}", bead.priority)),
        (Paint::Plain, bead.kind.clone()),
    ];
    if kind != Kind::Ready {
        row.push((Paint::status(&bead.status), status(bead)));
    }
    row.push((if done { Paint::Faint } else { Paint::Plain }, bead.title.clone()));
    if kind == Kind::Blocked {
        row.push((Paint::Plain, waits_for(&bead.blocked_by)));
    }
    row.push((Paint::Plain, bead.assignee.clone().unwrap_or_default()));
    row
}

/// Returns the status; one that several people set at once is marked.
fn status(bead: &Bead) -> String {
    let mark = if bead.conflicts.is_empty() { "" } else { " (!)" };
    format!("{}{mark}", bead.status)
}

/// Says whether a bead can be worked on now, or what it waits for.
fn next(bead: &Bead) -> Painted {
    match bead.ready {
        true => (Paint::Good, "ready".to_owned()),
        false if bead.blocked_by.is_empty() => (Paint::Plain, String::new()),
        false => (Paint::Slow, format!("after {}", waits_for(&bead.blocked_by))),
    }
}

/// Returns the first beads that hold one up, and how many more there are.
fn waits_for(aliases: &[String]) -> String {
    match aliases {
        [] => String::new(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} +{}", rest.len()),
    }
}
