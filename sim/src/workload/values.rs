//! The values that wishes put into beads: mostly ones that no other wish has, so that a lost one is noticed; some from
//! small pools, so that nodes write the same at once; some that are refused.

use beadmesh_protocol::bead::{Field, FieldValue};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::limits::{
    ALIAS_BYTES_MAX, ESTIMATE_MINUTES_MAX, TEXT_BYTES_MAX, TITLE_BYTES_MAX, WORD_BYTES_MAX,
};
use beadmesh_store::command::ProjectContext;

use super::mail::NAMES;
use super::{Draw, records};
use crate::journal::Effect;

const AGENTS: [&str; 5] = ["ada", "bob", "cy", "dee", "Zoë, the second"];

const LABELS: [&str; 6] = ["urgent", "ui", "store", "good first bead", "wontfix", "größer"];

const KINDS: [&str; 6] = ["task", "bug", "feature", "epic", "chore", "spike"];

const STATUSES: [&str; 10] =
    ["open", "in_progress", "blocked", "hooked", "pinned", "deferred", "closed", "tombstone", "review", "in qa"];

const DEP_KINDS: [&str; 10] = [
    "blocks",
    "blocks",
    "parent-child",
    "conditional-blocks",
    "waits-for",
    "related",
    "discovered-from",
    "replies-to",
    "duplicates",
    "tested-by",
];

const PATTERNS: [&str; 9] = [
    "src/**",
    "src/store/",
    "docs/*.md",
    "src/{client,server}/**",
    "**/*.rs",
    "tests/[a-c]*.rs",
    "Cargo.toml",
    "src/?.rs",
    "a/{b,c/d,e*}",
];

/// Patterns outside the grammar.
const NO_PATTERNS: [&str; 4] = ["../up", "a//b", "{a", "/absolute"];

/// Returns the effects of a list of fields, as the replica stores them.
pub(super) fn field_effects(bead: BeadId, fields: &[(Field, FieldValue)]) -> Vec<Effect> {
    let effect = |(field, value): &(Field, FieldValue)| {
        let value = match value {
            FieldValue::Absent => None,
            FieldValue::Number(number) => Some(number.to_string()),
            FieldValue::Text(text) if text.is_empty() => None,
            FieldValue::Text(text) if matches!(field, Field::DueAt | Field::DeferUntil) => Some(stored_date(text)),
            FieldValue::Text(text) => Some(text.clone()),
        };
        Effect::Field { bead, field: field.as_str(), value }
    };
    fields.iter().map(effect).collect()
}

/// Returns a date as it is stored: an instant as written, anything else as one in UTC.
fn stored_date(text: &str) -> String {
    match (Wall::parse(text), Wall::parse_lenient(text)) {
        (None, Some(wall)) => wall.to_string(),
        _ => text.trim().to_owned(),
    }
}

impl Draw<'_> {
    /// Returns a name of an agent; hardly ever one that is refused.
    pub(super) fn agent(&mut self) -> String {
        if self.stream.chance(3) { "two\nlines".to_owned() } else { (*self.stream.pick(&AGENTS)).to_owned() }
    }

    /// Returns a project to work in: mostly the usual one.
    pub(super) fn context(&mut self) -> ProjectContext {
        let named = self.stream.chance(300).then(|| (*self.stream.pick(&records::PROJECT_KEYS)).to_owned());
        ProjectContext { keys: named.into_iter().collect(), prefix: None }
    }

    /// Returns a field with a value for a new bead.
    pub(super) fn field(&mut self, field: Field) -> (Field, FieldValue) {
        (field, self.value(field))
    }

    /// Returns a field with a value to change it to: now and then it is cleared, which not every field can be.
    pub(super) fn changed(&mut self, field: Field) -> (Field, FieldValue) {
        let is_required = matches!(field, Field::Title | Field::Status | Field::Priority | Field::Kind | Field::Alias);
        let clears = self.stream.chance(if is_required { 15 } else { 150 });
        match (clears, self.stream.chance(300)) {
            (true, true) => (field, FieldValue::Text(String::new())),
            (true, false) => (field, FieldValue::Absent),
            _ => (field, self.value(field)),
        }
    }

    fn value(&mut self, field: Field) -> FieldValue {
        let stream = &mut self.stream;
        match field {
            Field::Priority => {
                FieldValue::Number(*stream.pick(&[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 0, 1, 2, 3, 4, -1, 5]))
            }
            Field::EstimateMinutes => {
                let most = i64::from(ESTIMATE_MINUTES_MAX);
                // The second half of the numbers tells whose they are.
                let own = i64::try_from(self.index).unwrap_or(0) % most;
                FieldValue::Number(*stream.pick(&[0, 30, 60, own, own, own, own, most, most + 1]))
            }
            Field::Title => FieldValue::Text(self.title()),
            Field::Status => FieldValue::Text(self.status()),
            Field::Kind => FieldValue::Text(self.word(&KINDS, "kind")),
            Field::Assignee => {
                let names = if self.stream.chance(500) { &NAMES[..] } else { &AGENTS[..] };
                FieldValue::Text(self.word(names, "agent"))
            }
            Field::ExternalRef => FieldValue::Text(self.word(&["gh-1", "gh-2"], "gh")),
            Field::Alias => FieldValue::Text(self.alias()),
            Field::DueAt | Field::DeferUntil => FieldValue::Text(self.date()),
            _ => FieldValue::Text(self.text(field.as_str())),
        }
    }

    fn title(&mut self) -> String {
        let own = self.unique("title");
        match self.stream.below(100) {
            0..10 => (*self.stream.pick(&["the same title", "another"])).to_owned(),
            10..12 => padded(&own, TITLE_BYTES_MAX),
            12 => padded(&own, TITLE_BYTES_MAX + 1),
            13 => format!("{own}\nof two lines"),
            14 => " ".to_owned(),
            15..20 => format!("{own} ‒ \"quoted\" \\ ünïcödé 🐝"),
            _ => own,
        }
    }

    /// Returns a long text.
    pub(super) fn text(&mut self, what: &str) -> String {
        let own = self.unique(what);
        match self.stream.below(400) {
            0..40 => (*self.stream.pick(&["+1", "same here", "done"])).to_owned(),
            40..42 => padded(&own, TEXT_BYTES_MAX),
            42..44 => padded(&own, TEXT_BYTES_MAX + 1),
            // Quotation marks take two bytes where a comment is written as JSON.
            44 => format!("{own}{}", "\"".repeat(TEXT_BYTES_MAX / 2)),
            45..60 => padded(&own, 5_000),
            60..120 => format!("{own}\nwith a second line\tand \"marks\" of {}", "many kinds 🐝, ".repeat(4)),
            120..124 => String::new(),
            _ => own,
        }
    }

    /// Returns a status; some are words of a project's own.
    pub(super) fn status(&mut self) -> String {
        match self.stream.below(40) {
            0 => padded("long", WORD_BYTES_MAX + 1),
            1..4 => self.unique("status"),
            _ => (*self.stream.pick(&STATUSES)).to_owned(),
        }
    }

    /// Returns a word, half of the time from a pool.
    fn word(&mut self, pool: &[&str], what: &str) -> String {
        let own = self.unique(what);
        match self.stream.below(100) {
            0 => padded(&own, WORD_BYTES_MAX + 1),
            1 => padded(&own, WORD_BYTES_MAX),
            2..50 => own,
            _ => (*self.stream.pick(pool)).to_owned(),
        }
    }

    /// Returns the `at`th label of a command.
    pub(super) fn label(&mut self, at: u64) -> String {
        let own = self.unique(&format!("label-{at}"));
        match self.stream.below(100) {
            0 => String::new(),
            1 => format!("{own}\u{7}"),
            2 => padded(&own, WORD_BYTES_MAX),
            3..40 => own,
            _ => (*self.stream.pick(&LABELS)).to_owned(),
        }
    }

    /// Returns the `at`th scope pattern of a command, as somebody writes it.
    pub(super) fn pattern(&mut self, at: u64) -> String {
        let own = self.unique(&format!("scope-{at}"));
        match self.stream.below(100) {
            0..4 => (*self.stream.pick(&NO_PATTERNS)).to_owned(),
            4..20 => format!("{own}/{{src,tests}}/**/*.rs"),
            20..40 => format!("{own}/"),
            _ => (*self.stream.pick(&PATTERNS)).to_owned(),
        }
    }

    /// Returns the type of a dependency.
    pub(super) fn dep_kind(&mut self) -> String {
        match self.stream.below(60) {
            0 => "with|bar".to_owned(),
            1 => self.unique("dep"),
            _ => (*self.stream.pick(&DEP_KINDS)).to_owned(),
        }
    }

    /// Returns an alias, mostly from a pool that others take from.
    pub(super) fn alias(&mut self) -> String {
        let own = self.unique("alias");
        match self.stream.below(100) {
            0 => padded(&own, ALIAS_BYTES_MAX + 1),
            1 => padded(&own, ALIAS_BYTES_MAX),
            2 => format!("{own} with spaces"),
            3 => format!("{own}~k7f3"),
            4..30 => own,
            30..40 => format!("task-1.{}", self.stream.below(4)),
            _ => format!("task-{}", self.stream.below(24)),
        }
    }

    /// Returns a date as somebody may write it, round what the node's clock shows.
    fn date(&mut self) -> String {
        let away = self.stream.scaled(1_000, 40 * 24 * 3_600_000);
        let now = self.sight.wall.as_millis();
        let wall = Wall::from_millis(if self.stream.chance(600) {
            now.saturating_add(away)
        } else {
            now.saturating_sub(away)
        });
        match self.stream.below(20) {
            0 => "2027-01-31".to_owned(),
            1 => "2027-01-31T09:00".to_owned(),
            2 => "2031-05-06T07:08:09+02:00".to_owned(),
            3 => " 2019-12-31T23:59:59.5Z ".to_owned(),
            4 => "tomorrow".to_owned(),
            _ => wall.to_string(),
        }
    }
}

/// Returns a text made that many bytes long.
pub(super) fn padded(text: &str, bytes: usize) -> String {
    format!("{text}{}", "x".repeat(bytes.saturating_sub(text.len())))
}
