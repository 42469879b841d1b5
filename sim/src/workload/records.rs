//! Records to import: lines of JSONL as another tracker would export them, the same on every node of a plan.
//!
//! What is drawn from the plan's seed, the source id and the version alone is the same change wherever it is imported.

use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::jsonl::Record;
use beadmesh_protocol::project::ProjectKey;
use beadmesh_store::command::{Command, Prepared, ProjectContext};
use serde_json::{Map, Value, json};

use super::{Asked, Draw};
use crate::journal::Effect;
use crate::random::Stream;

/// Keys that projects go by in a plan.
pub(super) const PROJECT_KEYS: [&str; 5] = [
    "name:lab",
    "github.com/acme/api",
    "git.example.org/Team/web",
    "root:0123456789abcdef0123456789abcdef01234567",
    "name:größer",
];

/// Keys that imports are made under: few, so that records meet.
const IMPORT_KEYS: [&str; 2] = ["name:lab", "github.com/acme/api"];

/// Records that there are in other trackers.
const SOURCES: u64 = 30;

/// Versions of each, with rising dates.
pub(super) const VERSIONS: u64 = 4;

/// Years in which the versions were last changed: before, about and after a simulation's clocks.
const VERSION_YEARS: [u64; 4] = [2021, 2022, 2023, 2031];

impl Draw<'_> {
    /// Imports records of some versions.
    pub(super) fn import(&mut self, low: u64, high: u64) -> Vec<Asked> {
        let count = self.stream.between(1, 6);
        let first = self.stream.below(SOURCES);
        let lines = (0..count).map(|at| {
            let version = self.stream.between(low, high);
            // Neighbours are exported together, and refer to each other.
            Value::Object(record(self.plan_seed, (first + at) % SOURCES, version)).to_string()
        });
        let lines: Vec<String> = lines.collect();
        self.importing(&lines)
    }

    /// Imports records that are odd in some way.
    pub(super) fn import_odd(&mut self) -> Vec<Asked> {
        let count = self.stream.between(1, 4);
        let lines: Vec<String> = (0..count).map(|_| self.odd_line()).collect();
        self.importing(&lines)
    }

    /// Makes the commands that a node makes of an import: it names the project, then hands over what can be read.
    fn importing(&mut self, lines: &[String]) -> Vec<Asked> {
        let key = *self.stream.pick(&IMPORT_KEYS);
        let project = ProjectKey::parse(key).expect("the keys are sound").project_id();
        let prepare = |(line, text): (u64, &String)| {
            let Record { bead, has_updated_at, has_created_at } = Record::parse(text, Some(project)).ok()?;
            let changes = import_change(&bead).ok()?;
            Some(Prepared { line, bead, changes, has_updated_at, has_created_at })
        };
        let records: Vec<Prepared> = (1..).zip(lines).filter_map(prepare).collect();
        let effects = records.iter().map(|record| Effect::Imported { bead: record.bead.id }).collect();
        let context = ProjectContext { keys: vec![key.to_owned()], prefix: None };
        let mut asked = vec![Asked::only(Command::Project(context))];
        if !records.is_empty() {
            asked.push(Asked::with(Command::Import(records), effects));
        }
        asked
    }

    fn odd_line(&mut self) -> String {
        let (source, version) = (self.stream.below(SOURCES), self.stream.below(VERSIONS));
        let mut line = record(self.plan_seed, source, version);
        let mut set = |key: &str, value: Value| line.insert(key.to_owned(), value);
        match self.stream.below(12) {
            0 => drop(set("priority", json!(9))),
            1 => return "{\"id\": \"cut off".to_owned(),
            2 => drop(set("id", json!(format!("task-{}", self.stream.below(24))))),
            3 => {
                // Another task under an id that is taken: its date would tell them apart.
                set("created_at", Value::Null);
                set("title", json!(format!("another task, {}", self.stream.below(3))));
            }
            4 => {
                // What we exported comes back, changed elsewhere.
                if !self.sight.known.is_empty() {
                    set("beadmesh_id", json!(self.known().to_string()));
                }
            }
            5 => drop(set("updated_at", json!("last week"))),
            6 => drop(set("created_at", json!("2020-01-01T01:00:00+01:00"))),
            7 => {
                set("updated_at", Value::Null);
                set("labels", json!(["undated", "urgent"]));
            }
            8 => {
                let targets: Vec<Value> = (0..4).map(|at| dependency(&name(at), "blocks")).collect();
                set("dependencies", Value::Array(targets));
            }
            9 => drop(set("scopes", json!(["../up"]))),
            10 => drop(set("description", json!("long ".repeat(10_000)))),
            _ => {
                set("a key nobody knows", json!({"deep": [1, 2.50, null, {"er": "🐝"}]}));
                set("ephemeral", json!(true));
            }
        }
        Value::Object(line).to_string()
    }
}

/// The name of a record in its tracker.
fn name(source: u64) -> String {
    format!("imp-{source}")
}

fn dependency(target: &str, kind: &str) -> Value {
    json!({"issue_id": "ignored", "depends_on_id": target, "type": kind, "created_by": "tracker"})
}

/// Draws one version of a record.
fn record(seed: u64, source: u64, version: u64) -> Map<String, Value> {
    let mut stream = Stream::keyed(seed, "record", source, version);
    let mut always = Stream::keyed(seed, "record", source, u64::MAX);
    let year = VERSION_YEARS[usize::try_from(version).unwrap_or(0) % VERSION_YEARS.len()];
    let day = 1 + source % 28;
    let mut line = Map::new();
    let mut set = |key: &str, value: Value| line.insert(key.to_owned(), value);
    set("id", json!(name(source)));
    // Where nothing says when it was made, the title tells one task from another.
    let has_created_at = always.chance(850);
    if has_created_at {
        set("created_at", json!(format!("2020-03-{day:02}T10:00:00.123456Z")));
        set("title", json!(format!("imported {source}, version {version}")));
    } else {
        set("title", json!(format!("imported {source}")));
    }
    if always.chance(800) {
        set("updated_at", json!(format!("{year}-06-{day:02}T12:00:00Z")));
    }
    let statuses = ["open", "open", "in_progress", "closed", "blocked", "deferred", "tombstone", "triage"];
    let status = *stream.pick(&statuses);
    set("status", json!(status));
    if status == "closed" {
        set("closed_at", json!(format!("{year}-06-{day:02}T11:00:00Z")));
        set("close_reason", json!(format!("done in version {version}")));
    }
    set("priority", json!(stream.below(5)));
    set("issue_type", json!(*stream.pick(&["task", "bug", "epic"])));
    set("labels", json!([*stream.pick(&["urgent", "ui", "imported"]), format!("version-{version}")]));
    let targets = (0..stream.below(3)).map(|_| {
        let kind = *stream.pick(&["blocks", "blocked-by", "parent_child", "related", "waits-for"]);
        dependency(&name((source + 1 + stream.below(3)) % SOURCES), kind)
    });
    let targets: Vec<Value> = targets.collect();
    set("dependencies", Value::Array(targets));
    let comments = (0..=version).filter(|at| at % 2 == source % 2);
    let comments = comments
        .map(|at| json!({"author": "tracker", "created_at": "2020-04-01T00:00:00Z", "text": format!("remark {at}")}));
    set("comments", comments.collect());
    if stream.chance(300) {
        set("assignee", json!(*stream.pick(&["ada", "bob"])));
        set("estimated_minutes", json!(stream.below(500)));
        set("external_ref", json!(format!("gh-{source}")));
    }
    if stream.chance(200) {
        set("acceptance", json!(["it builds", format!("version {version} passes")]));
        set("needs", json!({"gpu": 1, "os": "linux"}));
        set("metadata", json!({"points": version, "tags": ["a", "b"]}));
        set("scopes", json!(["src/{a,b}/**", format!("imported/{source}/")]));
    }
    if stream.chance(150) {
        set("sprint", json!({"number": version}));
        set("defer_until", json!(format!("{}-01-01T00:00:00Z", year + 1)));
    }
    line
}
