//! `beadmesh config`: what can be set, what is, and where that comes from.

use beadmesh_node::config::{Config, FILE, Origin, Place, Row};
use serde_json::{Value, json};

use super::Context;
use crate::args::{ConfigArgs, ConfigCommand};
use crate::client;
use crate::failure::Failure;
use crate::output::paint::Paint;
use crate::output::table::{self, Column, Painted};

/// The columns of the list.
const LAYOUT: [Column; 3] = [Column::new("KEY"), Column::new("VALUE").flexible(), Column::new("UNIT").spare(1)];

/// The columns of the list with origins.
const ORIGIN_LAYOUT: [Column; 5] = [
    Column::new("KEY"),
    Column::new("VALUE").flexible(),
    Column::new("UNIT").spare(2),
    Column::new("FROM"),
    Column::new("ALSO SET BY").spare(1),
];

/// Carries out a command on what is set.
pub(super) fn run(context: &mut Context, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(args) => show(context, args),
    }
}

/// Lists every key.
fn show(context: &mut Context, args: &ConfigArgs) -> Result<(), Failure> {
    let directory = context.home()?;
    let config = client::config(&directory, &args.set.flags())?;
    let printer = &mut context.printer;
    let usual = directory.join(FILE);
    if printer.json {
        let file = config.file.as_ref().unwrap_or(&usual).display().to_string();
        let keys: Vec<Value> = config.rows.iter().map(described).collect();
        let home = directory.display().to_string();
        return printer
            .answer(&json!({ "home": home, "file": file, "file_read": config.file.is_some(), "keys": keys }));
    }
    for line in lines(&config, args.origin, printer.columns) {
        printer.line(line)?;
    }
    match &config.file {
        Some(path) => printer.note(format!("Read from {}.", path.display())),
        None => printer.note(format!("There is no {}: what it would set goes before the defaults.", usual.display())),
    }
}

fn lines(config: &Config, with_origin: bool, columns: Option<u16>) -> Vec<String> {
    let cells = |row: &Row| {
        let value = row.text.clone().map_or((Paint::Faint, "-".to_owned()), |text| (Paint::Plain, text));
        let mut cells: Vec<Painted> =
            vec![(Paint::Name, row.key.name.to_owned()), value, (Paint::Faint, row.unit.to_owned())];
        if with_origin {
            let from = match &row.origin {
                Origin::Default => (Paint::Faint, "default".to_owned()),
                set @ Origin::Set(_) => (Paint::Plain, set.to_string()),
            };
            let others = [row.key.variables.join(", "), row.key.flag.to_owned()];
            let others: Vec<String> = others.into_iter().filter(|other| !other.is_empty()).collect();
            cells.extend([from, (Paint::Faint, others.join(", "))]);
        }
        cells
    };
    let rows: Vec<Vec<Painted>> = config.rows.iter().map(cells).collect();
    table::lines(if with_origin { &ORIGIN_LAYOUT } else { &LAYOUT }, &rows, columns)
}

/// Returns a key for programs.
pub(super) fn described(row: &Row) -> Value {
    let mut origin = json!({ "kind": "default" });
    if let Origin::Set(place) = &row.origin {
        origin = json!({ "kind": place.kind() });
        match place {
            Place::Flag(name) | Place::Variable(name) => origin["name"] = json!(name),
            Place::File { path, line } => {
                origin["path"] = json!(path.display().to_string());
                origin["line"] = json!(line);
            }
        }
    }
    let unit = Some(row.unit).filter(|unit| !unit.is_empty());
    json!({
        "key": row.key.name, "value": row.json, "unit": unit, "text": row.text, "origin": origin,
        "variables": row.key.variables, "flag": Some(row.key.flag).filter(|flag| !flag.is_empty()),
        "about": row.key.about,
    })
}
