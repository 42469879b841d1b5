//! What happened, as a chronology; the lines that tell most where there are many.

use std::collections::{BTreeMap, BTreeSet};

use super::{COLUMNS, Facts, Line, Page, Story, Tone, name};
use crate::quantity::{count, moment};

/// Lines of a short story.
const LINES_MAX: usize = 40;

/// Tells what happened.
pub(super) fn tell(page: &mut Page, facts: &Facts<'_>) {
    let lines = &facts.outcome.story;
    if lines.is_empty() {
        return;
    }
    page.heading("What happened");
    let told: Vec<&Line> = match facts.story {
        Story::Whole => lines.iter().collect(),
        Story::Short => telling(lines, &facts.outcome.violations.iter().filter_map(|found| found.node).collect()),
    };
    let end_ms = lines.iter().map(|line| line.at_ms).max().unwrap_or(0).max(facts.outcome.virtual_us / 1_000);
    let times: Vec<String> = told.iter().map(|line| moment(line.at_ms, end_ms)).collect();
    let names: Vec<String> = told.iter().map(|line| line.node.map(name).unwrap_or_default()).collect();
    let widest = |texts: &[String]| texts.iter().map(String::len).max().unwrap_or(0);
    let (time_columns, name_columns) = (widest(&times), widest(&names));
    for ((line, time), name) in told.iter().zip(&times).zip(&names) {
        let lead = format!("  {time:>time_columns$}  {name:name_columns$}{}", if name_columns > 0 { "  " } else { "" });
        debug_assert!(lead.len() < COLUMNS / 2, "times and names are short");
        page.told(Tone::Plain, &lead, &line.what);
    }
    if let Some(more @ 1..) = lines.len().checked_sub(told.len()) {
        let more = count(u64::try_from(more).unwrap_or(u64::MAX));
        page.told(Tone::Faint, "  ", &format!("{more} lines more with --trace"));
    }
}

/// Returns the lines that tell most, in order: something of each kind before much of one, and first what befell the
/// nodes at which something was found wrong.
fn telling<'a>(lines: &'a [Line], blamed: &BTreeSet<u32>) -> Vec<&'a Line> {
    if lines.len() <= LINES_MAX {
        return lines.iter().collect();
    }
    let mut kinds: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let is_blamed = line.node.is_some_and(|node| blamed.contains(&node));
        let kind = line.what.split(|letter: char| letter.is_ascii_digit()).collect();
        kinds.entry((!is_blamed, kind)).or_default().push(at);
    }
    let mut ranked: Vec<(usize, bool, usize)> = Vec::new();
    for ((is_innocent, _), places) in kinds {
        let order = spread(places.len());
        ranked.extend(order.into_iter().enumerate().map(|(rank, at)| (rank, is_innocent, places[at])));
    }
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().take(LINES_MAX).map(|(_, _, at)| at).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|at| &lines[at]).collect()
}

/// Returns the places of a row of things so that the first few are far apart: the first, the last, then between.
fn spread(len: usize) -> Vec<usize> {
    let mut order = vec![0];
    order.extend((len > 1).then(|| len - 1));
    let mut taken: BTreeSet<usize> = order.iter().copied().collect();
    let mut parts = 2;
    while order.len() < len.min(LINES_MAX) {
        let between = (1..parts).map(|part| part * (len - 1) / parts).filter(|at| taken.insert(*at));
        order.extend(between.collect::<Vec<_>>());
        parts *= 2;
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{LINES_MAX, Line, spread, telling};

    #[test]
    fn a_short_story_has_something_of_each_kind() {
        let mut lines: Vec<Line> =
            (0..500).map(|at| Line { at_ms: at, node: Some(1), what: format!("link {at} went down") }).collect();
        lines[250].what = "lost its disk".into();
        lines[300].node = Some(7);
        let told = telling(&lines, &BTreeSet::from([7]));
        assert_eq!(told.len(), LINES_MAX);
        for wanted in [0, 250, 300, 499] {
            assert!(told.contains(&&lines[wanted]), "{wanted}");
        }
        assert!(told.is_sorted_by_key(|line| line.at_ms));
    }

    #[test]
    fn few_of_many_lie_far_apart() {
        assert_eq!(spread(1), [0]);
        assert_eq!(spread(5), [0, 4, 2, 1, 3]);
        assert_eq!(spread(101)[..5], [0, 100, 50, 25, 75]);
    }
}
