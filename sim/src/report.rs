//! The report of a run, for people: rows of at most 80 columns. It prints nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::outcome::{Figures, Line, Outcome, Violation};
use crate::plan::{Plan, Trouble};
use crate::quantity::{bytes, count, counted, moment, span};

mod story;
mod sweep;

pub use sweep::{SweepFacts, sweep};

/// Columns that a row takes at most.
pub const COLUMNS: usize = 80;

/// Violations that are shown.
const VIOLATIONS_SHOWN: usize = 10;

/// Nodes that are named in a list.
const NODES_NAMED: usize = 12;

/// Rows about who was cut off.
const ABSENCES_SHOWN: usize = 12;

/// One row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How it reads; the text says as much without it.
    pub tone: Tone,
    /// The text.
    pub text: String,
}

/// How a row reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Strong,
    /// Can be passed over.
    Faint,
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
}

/// What a report tells of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What was to happen.
    pub plan: &'a Plan,
    /// What happened.
    pub outcome: &'a Outcome,
    /// Real milliseconds it took.
    pub real_ms: u64,
    /// The command that does it again.
    pub replay: &'a str,
    /// How much of the story is told.
    pub story: Story,
}

/// How much of the story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// The lines that tell most.
    Short,
    /// Every line.
    Whole,
}

/// Returns the report of a run.
pub fn run(facts: &Facts<'_>) -> Vec<Row> {
    let mut page = Page::default();
    headline(&mut page, facts);
    story::tell(&mut page, facts);
    absences(&mut page, facts.plan, facts.outcome);
    ending(&mut page, facts.plan, facts.outcome);
    figures(&mut page, facts.outcome);
    violations(&mut page, facts);
    page.rows
}

/// The rows of a report while it is written.
#[derive(Debug, Default)]
struct Page {
    rows: Vec<Row>,
}

impl Page {
    /// Begins a part.
    fn heading(&mut self, text: &str) {
        self.row(Tone::Plain, String::new());
        self.row(Tone::Strong, text.to_owned());
    }

    /// Adds a row as it is.
    fn row(&mut self, tone: Tone, text: String) {
        self.rows.push(Row { tone, text });
    }

    /// Adds a text behind a lead; it goes on below itself where it does not fit.
    fn told(&mut self, tone: Tone, lead: &str, text: &str) {
        let indent = lead.chars().count();
        let mut row = lead.to_owned();
        let mut taken = indent;
        for word in text.split_whitespace() {
            let wide = word.chars().count();
            let gap = usize::from(taken > indent);
            if gap == 1 && taken + gap + wide > COLUMNS {
                self.row(tone, std::mem::replace(&mut row, " ".repeat(indent)));
                taken = indent;
            } else if gap == 1 {
                row.push(' ');
                taken += 1;
            }
            row.push_str(word);
            taken += wide;
        }
        self.row(tone, row);
    }
}

fn headline(page: &mut Page, facts: &Facts<'_>) {
    let Facts { plan, outcome, real_ms, .. } = facts;
    let virtual_ms = outcome.virtual_us / 1_000;
    let nodes = counted(outcome.nodes.into(), "node", "nodes");
    page.told(
        Tone::Strong,
        "",
        &format!("{}, seed {}: {nodes} lived through {}.", plan.scenario, plan.seed, span(virtual_ms)),
    );
    if let Some(bug) = &plan.planted {
        page.told(Tone::Bad, "  ", &format!("The bug {bug} was planted in the core."));
    }
    page.told(Tone::Faint, "  ", &pace(*real_ms, virtual_ms, outcome.events));
    page.told(Tone::Faint, "  ", &format!("The digest of it all is {:016x}.", outcome.digest));
}

/// Says how long it took, and how fast that was.
fn pace(real_ms: u64, virtual_ms: u64, events: u64) -> String {
    let ms = real_ms.max(1);
    let rate = u64::try_from(u128::from(events) * 1_000 / u128::from(ms)).unwrap_or(u64::MAX);
    let times = virtual_ms / ms;
    let pace =
        if times == 0 { "slower than life".to_owned() } else { format!("{} times as fast as life", count(times)) };
    format!("It took {}, {pace}: {}, {} a second.", span(real_ms), counted(events, "event", "events"), count(rate))
}

/// Names a node.
fn name(node: u32) -> String {
    format!("n{node}")
}

/// Names nodes, or says how many they are.
fn names(nodes: &[u32], all: usize) -> String {
    match nodes.len() {
        len if len == all && all > 1 => format!("all {} nodes", count(u64::try_from(all).unwrap_or(u64::MAX))),
        len if len > NODES_NAMED => format!("{} nodes", count(u64::try_from(len).unwrap_or(u64::MAX))),
        _ => nodes.iter().map(|node| name(*node)).collect::<Vec<_>>().join(", "),
    }
}

/// For how long a node was away, and why.
type Fate = Vec<(u64, &'static str)>;

/// Tells who was away from the others, for how long and why; those of one fate share a row.
fn absences(page: &mut Page, plan: &Plan, outcome: &Outcome) {
    let mut away: BTreeMap<(u32, &'static str), u64> = BTreeMap::new();
    for fault in &plan.faults {
        let why = match fault.trouble {
            Trouble::Partition { .. } => "beyond a partition",
            Trouble::Clog { .. } => "behind a clogged link",
            Trouble::Pause { .. } => "asleep",
            _ => continue,
        };
        let lasted = fault.for_ms.min(plan.span_ms.saturating_sub(fault.at_ms));
        let nodes = match &fault.trouble {
            Trouble::Partition { side, .. } => side.clone(),
            trouble => trouble.nodes(),
        };
        for node in nodes.into_iter().collect::<BTreeSet<u32>>() {
            *away.entry((node, why)).or_default() += lasted;
        }
    }
    for (node, ms) in downtimes(outcome) {
        away.insert((node, "not running"), ms);
    }
    // Who was away in the same way for as long is named in one breath.
    let mut fates: BTreeMap<Fate, Vec<u32>> = BTreeMap::new();
    let mut by_node: BTreeMap<u32, Fate> = BTreeMap::new();
    for ((node, why), ms) in away.into_iter().filter(|(_, ms)| *ms > 0) {
        by_node.entry(node).or_default().push((ms, why));
    }
    for (node, mut fate) in by_node {
        fate.sort_unstable_by(|one, other| other.cmp(one));
        fates.entry(fate).or_default().push(node);
    }
    if fates.is_empty() {
        return;
    }
    let mut rows: Vec<(Fate, Vec<u32>)> = fates.into_iter().collect();
    rows.sort_by_key(|(fate, nodes)| (std::cmp::Reverse(fate.iter().map(|(ms, _)| ms).sum::<u64>()), nodes[0]));
    page.heading("Who was cut off");
    for (fate, nodes) in rows.iter().take(ABSENCES_SHOWN) {
        let fate = fate.iter().map(|(ms, why)| format!("{} {why}", span(*ms))).collect::<Vec<_>>().join(", ");
        page.told(Tone::Plain, &format!("  {:12}", names(nodes, plan.nodes.len())), &fate);
    }
    if let Some(more @ 1..) = rows.len().checked_sub(ABSENCES_SHOWN) {
        page.told(Tone::Faint, "  ", &format!("and {more} more fates of shorter absences"));
    }
}

/// Returns for how long each node did not run between two of its lives.
fn downtimes(outcome: &Outcome) -> BTreeMap<u32, u64> {
    let mut ended: BTreeMap<u32, u64> = BTreeMap::new();
    let mut down: BTreeMap<u32, u64> = BTreeMap::new();
    let mut lives: Vec<_> = outcome.lives.iter().collect();
    lives.sort_by_key(|life| (life.node, life.from_ms));
    for life in lives {
        if let Some(before) = ended.insert(life.node, life.to_ms) {
            *down.entry(life.node).or_default() += life.from_ms.saturating_sub(before);
        }
    }
    down
}

/// Tells how the mesh became whole, and how fast news travelled in it.
fn ending(page: &mut Page, plan: &Plan, outcome: &Outcome) {
    page.heading("How it ended");
    let end_ms = outcome.virtual_us / 1_000;
    let healed = moment(plan.span_ms, end_ms);
    let text = match outcome.figures.converged_ms {
        Some(ms) => format!("All was healed at {healed}; {} later all nodes were equal.", span(ms)),
        None => format!("All was healed at {healed}; the nodes never became equal."),
    };
    page.told(if outcome.figures.converged_ms.is_some() { Tone::Good } else { Tone::Bad }, "  ", &text);
    let reached = ["half of the nodes", "99 % of them", "all"].iter().zip(outcome.figures.spread_ms);
    let reached: Vec<String> =
        reached.filter_map(|(whom, ms)| ms.map(|ms| format!("{whom} within {}", span(ms)))).collect();
    if !reached.is_empty() {
        page.told(Tone::Plain, "  ", &format!("While nothing was wrong, a new bead reached {}.", reached.join(", ")));
    }
}

fn figures(page: &mut Page, outcome: &Outcome) {
    let Figures { acknowledged, refused, unanswered, unasked, .. } = outcome.figures;
    let Figures { entries, beads, frames, bytes: sent, queue_bytes_max, stored_bytes, .. } = outcome.figures;
    let nodes = u64::from(outcome.nodes.max(1));
    page.heading("Figures");
    let mut wishes = vec![format!("{} carried out", count(acknowledged))];
    let others = [(refused, "refused"), (unanswered, "never answered"), (unasked, "of nodes that were down")];
    wishes.extend(
        others.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{} {what}", count(*number))),
    );
    let mut fact = |name: &str, text: &str| page.told(Tone::Plain, &format!("  {name:9}"), text);
    fact("wishes", &wishes.join(", "));
    fact("set", &format!("{} about {}", counted(entries, "entry", "entries"), counted(beads, "bead", "beads")));
    let frames_text = format!("{} with {}", counted(frames, "frame", "frames"), bytes(sent));
    fact("network", &format!("{frames_text}; a node, {} with {}", count(frames / nodes), bytes(sent / nodes)));
    fact("queue", &format!("{} at most in one direction of a link", bytes(queue_bytes_max)));
    fact("disk", &format!("{}; a node, {}", bytes(stored_bytes), bytes(stored_bytes / nodes)));
}

fn violations(page: &mut Page, facts: &Facts<'_>) {
    let violations = &facts.outcome.violations;
    let end_ms = facts.outcome.virtual_us / 1_000;
    if violations.is_empty() {
        page.heading("Nothing was violated");
    } else {
        let number = u64::try_from(violations.len()).unwrap_or(u64::MAX);
        page.heading(&counted(number, "violation", "violations"));
    }
    for violation in violations.iter().take(VIOLATIONS_SHOWN) {
        told(page, violation, end_ms);
    }
    if let Some(more @ 1..) = violations.len().checked_sub(VIOLATIONS_SHOWN) {
        page.told(Tone::Faint, "  ", &format!("and {more} more; --json lists all"));
    }
    // A command is copied, so it stays in one row.
    page.row(Tone::Faint, format!("  Again: {}", facts.replay));
}

/// Tells of one violation.
fn told(page: &mut Page, violation: &Violation, end_ms: u64) {
    let at = moment(violation.at_ms, end_ms);
    let node = violation.node.map(|node| format!(" at {}", name(node))).unwrap_or_default();
    page.told(Tone::Bad, "  ", &format!("{}, {at}{node}:", violation.check));
    page.told(Tone::Plain, "    ", &violation.what);
}

#[cfg(test)]
pub(crate) mod tests;
