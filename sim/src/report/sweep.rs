//! The report of a sweep: what many seeds came to.

use super::{Page, Row, Tone, told};
use crate::quantity::{count, counted, share, span};
use crate::scenario::Scenario;
use crate::sweep::{Failed, Sweep, TWICE_EVERY};

/// Failing seeds that are shown.
const FAILED_SHOWN: usize = 10;

/// What a report of a sweep tells of.
#[derive(Debug, Clone, Copy)]
pub struct SweepFacts<'a> {
    /// What it came to.
    pub sweep: &'a Sweep,
    /// The first seed.
    pub first: u64,
    /// How many seeds were to run.
    pub seeds: u64,
    /// Real milliseconds it took.
    pub real_ms: u64,
    /// Threads that ran it.
    pub threads: usize,
}

/// Returns the report of a sweep.
pub fn sweep(facts: &SweepFacts<'_>) -> Vec<Row> {
    let mut page = Page::default();
    headline(&mut page, facts);
    scenarios(&mut page, facts.sweep);
    seen(&mut page, facts.sweep);
    failed(&mut page, facts.sweep);
    page.rows
}

fn headline(page: &mut Page, facts: &SweepFacts<'_>) {
    let SweepFacts { sweep, first, seeds, real_ms, threads } = *facts;
    let total = sweep.total();
    let fate = if total.failed == 0 { "none failed".to_owned() } else { format!("{} failed", count(total.failed)) };
    let done = if total.seeds < seeds { format!("{} of ", count(total.seeds)) } else { String::new() };
    let text = format!("{done}{} from {first}: {fate}.", counted(seeds, "seed", "seeds"));
    page.told(if total.failed == 0 { Tone::Strong } else { Tone::Bad }, "", &text);
    let ms = real_ms.max(1);
    let (rate, times) = (total.seeds * 1_000 / ms, total.virtual_us / 1_000 / ms);
    let threads = counted(u64::try_from(threads).unwrap_or(u64::MAX), "thread", "threads");
    let pace = format!("{} a second, {} times as fast as life", counted(rate, "seed", "seeds"), count(times));
    page.told(Tone::Faint, "  ", &format!("It took {} on {threads}: {pace}.", span(real_ms)));
    let twice = format!("every {TWICE_EVERY}th seed ran twice");
    page.told(Tone::Faint, "  ", &format!("The digest of all digests is {:016x}; {twice}.", sweep.digest()));
}

fn scenarios(page: &mut Page, sweep: &Sweep) {
    let total = sweep.total();
    page.row(Tone::Plain, String::new());
    let row = |name: &str, cells: [String; 4]| {
        let [seeds, failed, events, time] = cells;
        format!("{name:14}{seeds:>10}{failed:>8}{events:>18}  {time:>16}")
    };
    page.row(Tone::Strong, row("Scenario", ["seeds", "failed", "events", "virtual time"].map(str::to_owned)));
    let in_order = Scenario::ALL.iter().filter_map(|scenario| sweep.scenarios.get_key_value(scenario.name()));
    let mut rows: Vec<_> = in_order.map(|(name, row)| (*name, row)).collect();
    if rows.len() > 1 {
        rows.push(("all", &total));
    }
    for (name, what) in rows {
        let failed = if what.failed == 0 { "-".to_owned() } else { count(what.failed) };
        let cells = [count(what.seeds), failed, count(what.events), span(what.virtual_us / 1_000)];
        let tone = if what.failed > 0 { Tone::Bad } else { Tone::Plain };
        page.row(tone, row(name, cells));
    }
}

fn seen(page: &mut Page, sweep: &Sweep) {
    let seeds = sweep.total().seeds;
    let (mut seen, never): (Vec<_>, Vec<_>) = sweep.seen.iter().partition(|(_, sight)| sight.times > 0);
    seen.sort_by_key(|(name, sight)| (sight.seeds, **name));
    if !seen.is_empty() {
        page.heading("What was seen, the rarest first");
    }
    for (name, sight) in seen {
        let seeds = format!("in {} of the seeds", share(sight.seeds, seeds));
        page.row(Tone::Plain, format!("  {name:41}{:>14}  {seeds:>21}", count(sight.times)));
    }
    if !never.is_empty() {
        page.heading("What was never seen");
    }
    for (name, _) in never {
        page.told(Tone::Bad, "  ", name);
    }
}

fn failed(page: &mut Page, sweep: &Sweep) {
    if sweep.failed.is_empty() {
        return;
    }
    page.heading("What failed");
    for failed in sweep.failed.values().take(FAILED_SHOWN) {
        let Failed { seed, scenario, violations, replay, plan } = failed;
        page.told(Tone::Bad, "  ", &format!("seed {seed}, {scenario}"));
        if let Some(first) = violations.first() {
            let mut part = Page::default();
            told(&mut part, first, first.at_ms);
            page.rows.extend(part.rows.into_iter().map(|row| Row { text: format!("  {}", row.text), ..row }));
        }
        if let Some(more @ 1..) = violations.len().checked_sub(1) {
            page.told(Tone::Faint, "    ", &format!("and {more} more"));
        }
        if let Some(plan) = plan {
            page.row(Tone::Faint, format!("    Plan:  {plan}"));
        }
        page.row(Tone::Faint, format!("    Again: {replay}"));
    }
    let total = sweep.total().failed;
    let shown = u64::try_from(FAILED_SHOWN).unwrap_or(u64::MAX);
    if let Some(more @ 1..) = total.checked_sub(shown) {
        page.told(Tone::Faint, "  ", &format!("and {} more; --json lists them", count(more)));
    }
}
