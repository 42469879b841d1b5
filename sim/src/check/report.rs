//! What one checker found, a few findings in full and the others counted, and how they are worded.

use beadmesh_protocol::id::{BeadId, NodeId};

use super::Ending;
use crate::outcome::Violation;
use crate::view::View;

/// Violations that one checker reports in full: the first ones tell as a rule, the others follow from them.
const KEPT_MAX: usize = 5;

/// Characters of a value that are shown.
const SHORT_CHARS_MAX: usize = 100;

/// Characters of what two values have in common that are shown before the place where they part.
const COMMON_CHARS: usize = 16;

/// Nodes that are named before the others are only counted.
const NAMED_MAX: usize = 8;

/// What one checker found.
#[derive(Debug)]
pub(super) struct Report {
    check: &'static str,
    at_ms: u64,
    kept: Vec<Violation>,
    more: u64,
}

impl Report {
    pub(super) fn new(check: &'static str, ending: &Ending<'_>) -> Self {
        Self { check, at_ms: ending.at_ms, kept: Vec::new(), more: 0 }
    }

    /// Takes a finding, a sentence, at a node where it is about one.
    pub(super) fn note(&mut self, node: Option<u32>, what: String) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(Violation { check: self.check, at_ms: self.at_ms, node, what });
        } else {
            self.more += 1;
        }
    }

    /// Returns the findings, the last of which counts those that were left out.
    pub(super) fn finish(mut self) -> Vec<Violation> {
        if self.more > 0 {
            let what = format!("{} more like these.", self.more);
            self.kept.push(Violation { check: self.check, at_ms: self.at_ms, node: None, what });
        }
        self.kept
    }
}

/// Cuts a text to what fits a line.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Cuts two texts to where they part.
pub(super) fn apart(one: &str, other: &str) -> (String, String) {
    let common = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let skipped = common.saturating_sub(COMMON_CHARS);
    let cut = |text: &str| {
        let rest: String = text.chars().skip(skipped).collect();
        if skipped == 0 { short(&rest) } else { format!("…{}", short(&rest)) }
    };
    (cut(one), cut(other))
}

/// Names who shows something.
pub(super) fn viewer(view: &View) -> String {
    view.place.map_or_else(|| "the reference".to_owned(), |place| format!("node {place}"))
}

/// Names some nodes, in order: `node 3`, or `nodes 1, 2 and 5`.
pub(super) fn nodes(places: &[u32]) -> String {
    let named: Vec<String> = places.iter().take(NAMED_MAX).map(u32::to_string).collect();
    match (named.as_slice(), places.len().saturating_sub(named.len())) {
        ([], _) => "no node".to_owned(),
        ([one], 0) => format!("node {one}"),
        ([others @ .., last], 0) => format!("nodes {} and {last}", others.join(", ")),
        (_, more) => format!("nodes {} and {more} more", named.join(", ")),
    }
}

/// Names an author by its place in the plan, or by its key.
pub(super) fn author(ending: &Ending<'_>, key: NodeId) -> String {
    ending.place(key).map_or_else(|| format!("the stranger {}", key.short()), |place| format!("node {place}"))
}

/// Names a bead by alias and id, as far as somebody shows it.
pub(super) fn bead(ending: &Ending<'_>, id: BeadId) -> String {
    let alias = ending.shown().find_map(|view| view.beads.get(&id)).map(|answer| short(&answer.alias));
    alias.map_or_else(|| format!("bead {id}"), |alias| format!("bead {alias} ({id})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::Scene;

    #[test]
    fn the_first_findings_are_kept_and_the_others_counted() {
        let scene = Scene::sound();
        let mut report = Report::new("test", &scene.ending());
        for number in 0..7 {
            report.note(Some(number), format!("{number}."));
        }
        let told: Vec<String> = report.finish().into_iter().map(|violation| violation.what).collect();
        assert_eq!(told, ["0.", "1.", "2.", "3.", "4.", "2 more like these."]);
    }

    #[test]
    fn texts_are_cut_to_where_they_part() {
        assert_eq!(short("ü"), "ü");
        assert_eq!(short(&"ü".repeat(101)), format!("{}…", "ü".repeat(100)));
        assert_eq!(apart("one", "two"), ("one".to_owned(), "two".to_owned()));
        let (one, other) = (format!("{}one", "x".repeat(50)), format!("{}two", "x".repeat(50)));
        assert_eq!(apart(&one, &other), (format!("…{}one", "x".repeat(16)), format!("…{}two", "x".repeat(16))));
    }

    #[test]
    fn nodes_are_named_as_people_would() {
        assert_eq!(nodes(&[3]), "node 3");
        assert_eq!(nodes(&[1, 2]), "nodes 1 and 2");
        assert_eq!(nodes(&[1, 2, 5]), "nodes 1, 2 and 5");
        assert_eq!(nodes(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), "nodes 0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
