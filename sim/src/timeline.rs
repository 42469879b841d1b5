//! A run as a picture: one row a node, virtual time from left to right. An SVG that needs nothing but itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::outcome::{Life, Outcome, Violation};
use crate::plan::{Fault, Plan, Trouble};
use crate::quantity::{count, counted, moment, span};

mod axis;
mod lag;

use axis::Axis;

/// Width of the picture.
const WIDTH: u64 = 1_200;

/// Where time begins.
const LEFT: u64 = 76;

/// Where it ends.
const RIGHT: u64 = WIDTH - 56;

/// Where the rows begin.
const TOP: u64 = 92;

/// Rows; with more nodes, several share one.
const ROWS_MAX: usize = 60;

/// Faults that are drawn; more can not be told apart.
const FAULTS_MAX: usize = 5_000;

/// Violations that are written below.
const VIOLATIONS_MAX: usize = 5;

/// Height of what stands between the rows and the violations.
const LEGEND_HEIGHT: u64 = 104;

/// Letters of one line below.
const LINE_LETTERS: usize = 170;

/// The looks: light, and dark where the reader's screen is.
const STYLE: &str = "\
.bg{fill:#ffffff}.stripe{fill:#f5f6f8}.grid{stroke:#e4e7ec}.ink{fill:#1d2433}.soft{fill:#667085}\
.title{font-size:19px;font-weight:600}.name{font-size:11px;text-anchor:end}.tick{font-size:11px;text-anchor:middle}\
.small{font-size:12px}.life{fill:#98a2b3}.lag{fill:#3b7dd8;fill-opacity:.55}.net{fill:#f0a020}.stop{fill:#d6336c}\
.disk{fill:#8a5a2b}.clock{fill:#12a594}.evil{fill:#7c3aed}.band{fill-opacity:.2}.edge{fill-opacity:.95}\
.healed{stroke:#2b8a3e;stroke-dasharray:5 4;stroke-width:1.5}.equal{stroke:#2b8a3e;stroke-width:1.5}\
.good{fill:#2b8a3e}.wrong{fill:#e03131}.wrongline{stroke:#e03131;stroke-width:1.5}\
@media (prefers-color-scheme:dark){.bg{fill:#12161f}.stripe{fill:#181d28}.grid{stroke:#2a3140}.ink{fill:#e6e9ef}\
.soft{fill:#98a2b3}.life{fill:#596377}.lag{fill:#6aa5f5}.net{fill:#f5b547}.stop{fill:#f06595}.disk{fill:#c08c5a}\
.clock{fill:#2fcbb9}.evil{fill:#a685f5}.healed,.equal{stroke:#51cf66}.good{fill:#51cf66}.wrong{fill:#ff6b6b}\
.wrongline{stroke:#ff6b6b}}";

/// Kinds of faults that share a colour: the class of the style, and what the legend says.
const KINDS: [(&str, &str); 5] = [
    ("net", "cut off, or a bad network"),
    ("stop", "killed, or without power"),
    ("disk", "disk full, failing, slow or lost"),
    ("clock", "asleep, or a wrong clock"),
    ("evil", "a copy, an old disk, or lies"),
];

/// Returns the picture of a run.
pub fn svg(plan: &Plan, outcome: &Outcome) -> String {
    let picture = Picture::new(plan, outcome);
    let mut svg = String::new();
    picture.head(&mut svg);
    picture.rows(&mut svg);
    picture.faults(&mut svg);
    picture.lags(&mut svg);
    picture.lives(&mut svg);
    picture.moments(&mut svg);
    picture.violations(&mut svg);
    picture.legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// What is drawn, and where.
struct Picture<'a> {
    plan: &'a Plan,
    outcome: &'a Outcome,
    axis: Axis,
    /// Nodes, copies included.
    nodes: usize,
    /// Nodes that share a row.
    per_row: usize,
    rows: usize,
    row_height: u64,
}

impl<'a> Picture<'a> {
    fn new(plan: &'a Plan, outcome: &'a Outcome) -> Self {
        let copies = outcome.lives.iter().map(|life| place(life.node) + 1).max().unwrap_or(0);
        let nodes = plan.nodes.len().max(copies);
        let per_row = nodes.div_ceil(ROWS_MAX).max(1);
        let rows = nodes.div_ceil(per_row);
        let row_height = match rows {
            ..=12 => 42,
            13..=30 => 26,
            _ => 16,
        };
        let end_ms = (outcome.virtual_us / 1_000).max(plan.span_ms).max(1);
        Self { plan, outcome, axis: Axis::new(LEFT, RIGHT, end_ms), nodes, per_row, rows, row_height }
    }

    /// Returns the row of a node.
    fn row(&self, node: u32) -> usize {
        (place(node) / self.per_row).min(self.rows - 1)
    }

    /// Returns where a row begins.
    fn top(&self, row: usize) -> u64 {
        TOP + self.row_height * number(row)
    }

    /// Returns where the rows end.
    fn bottom(&self) -> u64 {
        self.top(self.rows)
    }

    /// Returns the base line of a row, on which its life is drawn.
    fn base(&self, row: usize) -> u64 {
        self.top(row + 1) - 4
    }

    fn height(&self) -> u64 {
        let violations = self.outcome.violations.len().min(VIOLATIONS_MAX + 1);
        self.bottom() + LEGEND_HEIGHT + if violations > 0 { 16 + 18 * number(violations) } else { 0 }
    }

    /// Writes the frame, the looks and the title.
    fn head(&self, svg: &mut String) {
        let (plan, outcome) = (self.plan, self.outcome);
        let (height, end) = (self.height(), self.bottom());
        let title = format!("{}, seed {}", plan.scenario, plan.seed);
        let nodes = counted(outcome.nodes.into(), "node", "nodes");
        let fate = match (outcome.violations.len(), outcome.figures.converged_ms) {
            (0, Some(ms)) => format!("equal {} after healing", span(ms)),
            (0, None) => "never equal".to_owned(),
            (violations, _) => counted(number(violations), "violation", "violations"),
        };
        let entries = counted(outcome.figures.entries, "entry", "entries");
        let lived = span(outcome.virtual_us / 1_000);
        let told = format!("{nodes} · {lived} · {entries} · {fate} · digest {:016x}", outcome.digest);
        put(
            svg,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" "
            ),
        );
        put(
            svg,
            format_args!(
                "height=\"{height}\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,sans-serif\" role=\"img\">\n"
            ),
        );
        put(svg, format_args!("<title>{}</title>\n<style>{STYLE}</style>\n", escaped(&format!("{title}: {told}"))));
        put(svg, format_args!("<rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\"/>\n"));
        put(svg, format_args!("<text class=\"ink title\" x=\"{LEFT}\" y=\"34\">{}</text>\n", escaped(&title)));
        put(svg, format_args!("<text class=\"soft small\" x=\"{LEFT}\" y=\"54\">{}</text>\n", escaped(&told)));
        for row in (0..self.rows).step_by(2) {
            let (top, width, height) = (self.top(row), RIGHT - LEFT, self.row_height);
            put(
                svg,
                format_args!(
                    "<rect class=\"stripe\" x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\n"
                ),
            );
        }
        for (at_ms, label) in self.axis.ticks() {
            let (x, top, below) = (self.axis.x(at_ms), TOP, end + 18);
            put(svg, format_args!("<path class=\"grid\" d=\"M{x} {top}V{end}\"/>"));
            put(svg, format_args!("<text class=\"soft tick\" x=\"{x}\" y=\"{below}\">{label}</text>\n"));
        }
    }

    /// Writes the names of the rows.
    fn rows(&self, svg: &mut String) {
        for row in 0..self.rows {
            let first = row * self.per_row;
            let (name, about) = if self.per_row > 1 {
                let last = (first + self.per_row).min(self.nodes) - 1;
                (format!("n{first}–{last}"), format!("{} nodes", last - first + 1))
            } else {
                let about = self.plan.nodes.get(first).map(|node| {
                    let rogue = if node.rogue { ", made to lie" } else { "" };
                    format!("{:?}{rogue}, joins at {}", node.role, moment(node.joins_ms, self.axis.end_ms))
                });
                (format!("n{first}"), about.unwrap_or_else(|| "a copy".to_owned()))
            };
            let is_rogue = self.per_row == 1 && self.plan.nodes.get(first).is_some_and(|node| node.rogue);
            let class = if is_rogue { "evil" } else { "ink" };
            let (x, y) = (LEFT - 10, self.top(row) + self.row_height / 2 + 4);
            put(
                svg,
                format_args!("<text class=\"{class} name\" x=\"{x}\" y=\"{y}\">{name}<title>{about}</title></text>\n"),
            );
        }
    }

    /// Writes each fault over the rows it befalls: its whole time pale, its beginning strong.
    fn faults(&self, svg: &mut String) {
        for fault in self.plan.faults.iter().take(FAULTS_MAX) {
            let until = fault.at_ms.saturating_add(fault.for_ms).min(self.axis.end_ms);
            let until = if ends_with_healing(fault) { until.min(self.plan.span_ms.max(fault.at_ms)) } else { until };
            let (from, width) = (self.axis.x(fault.at_ms), self.axis.width(fault.at_ms, until));
            let (class, height) = (KINDS[kind(fault)].0, self.row_height - 2);
            let told = format!(
                "{} at {} for {}",
                fault.trouble.name(),
                moment(fault.at_ms, self.axis.end_ms),
                span(fault.for_ms)
            );
            let nodes = match &fault.trouble {
                Trouble::Partition { side, .. } => side.clone(),
                trouble => trouble.nodes(),
            };
            let mut rows: Vec<usize> = nodes.into_iter().map(|node| self.row(node)).collect();
            rows.sort_unstable();
            rows.dedup();
            put(svg, format_args!("<g class=\"{class}\"><title>{told}</title>"));
            for row in rows {
                let y = self.top(row) + 1;
                if width != "0.0" {
                    put(
                        svg,
                        format_args!(
                            "<rect class=\"band\" x=\"{from}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
                        ),
                    );
                }
                put(svg, format_args!("<rect class=\"edge\" x=\"{from}\" y=\"{y}\" width=\"2\" height=\"{height}\"/>"));
            }
            svg.push_str("</g>\n");
        }
    }

    /// Writes how far each row was behind, as an area that stands on its base line.
    fn lags(&self, svg: &mut String) {
        let most = lag::most(self.outcome).max(1);
        for row in 0..self.rows {
            let room = self.row_height - 9;
            let path = lag::path(self.outcome, &self.axis, row * self.per_row..(row + 1) * self.per_row, |lacks| {
                // The root lets a few entries be seen beside thousands.
                let tenths = lacks.saturating_mul(100 * room * room).div_ceil(most).isqrt();
                self.base(row) * 10 - tenths.min(room * 10)
            });
            if !path.is_empty() {
                put(svg, format_args!("<path class=\"lag\" d=\"{path}\"/>\n"));
            }
        }
    }

    /// Writes when each node ran; in a row of several, the paler the fewer of them did.
    fn lives(&self, svg: &mut String) {
        let mut by_row: BTreeMap<usize, Vec<&Life>> = BTreeMap::new();
        for life in &self.outcome.lives {
            by_row.entry(self.row(life.node)).or_default().push(life);
        }
        let opacity = if self.per_row > 1 {
            format!(" fill-opacity=\"0.{:02}\"", (99 / self.per_row).max(4))
        } else {
            String::new()
        };
        for (row, lives) in by_row {
            put(svg, format_args!("<g class=\"life\"{opacity}>"));
            for life in lives {
                let (x, width) = (self.axis.x(life.from_ms), self.axis.width(life.from_ms, life.to_ms));
                let y = self.base(row);
                put(svg, format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"3\" rx=\"1\"/>"));
            }
            svg.push_str("</g>\n");
        }
    }

    /// Writes when everything was healed, and when all were equal.
    fn moments(&self, svg: &mut String) {
        let (top, bottom) = (TOP - 8, self.bottom());
        let mut line = |class: &str, at_ms: u64, text: &str, anchor: &str, gap: i64| {
            let x = self.axis.x(at_ms);
            put(svg, format_args!("<path class=\"{class}\" d=\"M{x} {top}V{bottom}\"/>"));
            let y = top - 4;
            put(
                svg,
                format_args!(
                    "<text class=\"good small\" x=\"{x}\" dx=\"{gap}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>\n"
                ),
            );
        };
        line("healed", self.plan.span_ms, "healed", "end", 0);
        if let Some(ms) = self.outcome.figures.converged_ms {
            line("equal", self.plan.span_ms.saturating_add(ms), "equal", "start", 4);
        }
    }

    /// Marks the violations, and writes the first of them below.
    fn violations(&self, svg: &mut String) {
        let violations = &self.outcome.violations;
        for Violation { check, at_ms, node, what } in violations.iter().take(FAULTS_MAX) {
            let x = self.axis.x(*at_ms);
            let (top, bottom) =
                node.map_or((TOP, self.bottom()), |node| (self.top(self.row(node)), self.base(self.row(node)) + 4));
            let (told, middle) = (escaped(&format!("{check}: {what}")), top.midpoint(bottom));
            put(svg, format_args!("<g><title>{told}</title><path class=\"wrongline\" d=\"M{x} {top}V{bottom}\"/>"));
            put(svg, format_args!("<circle class=\"wrong\" cx=\"{x}\" cy=\"{middle}\" r=\"5\"/></g>\n"));
        }
        let mut y = self.bottom() + LEGEND_HEIGHT;
        let mut line = |text: &str| {
            put(svg, format_args!("<text class=\"wrong small\" x=\"{LEFT}\" y=\"{y}\">{}</text>\n", escaped(text)));
            y += 18;
        };
        for Violation { check, at_ms, node, what } in violations.iter().take(VIOLATIONS_MAX) {
            let node = node.map(|node| format!(" at n{node}")).unwrap_or_default();
            let text = format!("{check}, {}{node}: {what}", moment(*at_ms, self.axis.end_ms));
            let cut: String = text.chars().take(LINE_LETTERS).collect();
            line(&if cut.len() < text.len() { format!("{cut}…") } else { cut });
        }
        if let Some(more @ 1..) = violations.len().checked_sub(VIOLATIONS_MAX) {
            line(&format!("and {more} more"));
        }
    }

    /// Writes what the colours mean, of those that are there.
    fn legend(&self, svg: &mut String) {
        let (mut x, mut y) = (LEFT, self.bottom() + 48);
        let mut item = |sample: &str, text: &str| {
            let width = 42 + 7 * number(text.chars().count());
            if x + width > WIDTH {
                (x, y) = (LEFT, y + 22);
            }
            let behind = x + 20;
            put(svg, format_args!("<g transform=\"translate({x} {y})\">{sample}</g>"));
            put(svg, format_args!("<text class=\"soft small\" x=\"{behind}\" y=\"{y}\">{}</text>\n", escaped(text)));
            x += width;
        };
        item("<rect class=\"life\" y=\"-6\" width=\"14\" height=\"3\" rx=\"1\"/>", "runs");
        let most = count(lag::most(self.outcome));
        item("<path class=\"lag\" d=\"M0 0C6 0 8 -10 14 -10V0Z\"/>", &format!("lacks entries, {most} at most"));
        for (at, (class, text)) in KINDS.iter().enumerate() {
            if self.plan.faults.iter().any(|fault| kind(fault) == at) {
                let sample = format!(
                    "<g class=\"{class}\"><rect class=\"band\" y=\"-10\" width=\"14\" height=\"11\"/>\
                     <rect class=\"edge\" y=\"-10\" width=\"2\" height=\"11\"/></g>"
                );
                item(&sample, text);
            }
        }
    }
}

/// Returns which colour a fault has.
fn kind(fault: &Fault) -> usize {
    match fault.trouble {
        Trouble::Partition { .. } | Trouble::Clog { .. } | Trouble::Rough { .. } | Trouble::Narrow { .. } => 0,
        Trouble::Kill { .. } | Trouble::PowerCut { .. } => 1,
        Trouble::DiskFull { .. }
        | Trouble::SyncError { .. }
        | Trouble::SlowDisk { .. }
        | Trouble::Corrupt { .. }
        | Trouble::LoseDisk { .. } => 2,
        Trouble::Pause { .. } | Trouble::WallStep { .. } => 3,
        Trouble::Restore { .. } | Trouble::Clone { .. } | Trouble::Rogue { .. } => 4,
    }
}

/// Returns whether a fault is over when everything is healed; lies are told at one time.
fn ends_with_healing(fault: &Fault) -> bool {
    !matches!(fault.trouble, Trouble::Rogue { .. })
}

fn place(node: u32) -> usize {
    usize::try_from(node).expect("places are small")
}

fn number(count: usize) -> u64 {
    u64::try_from(count).expect("rows and letters are few")
}

/// Writes into the picture.
fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("a text takes all that is written");
}

/// Returns the text as it may stand in XML, which has no room for control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{ROWS_MAX, svg};
    use crate::report::tests::sample;

    /// Fails unless every element is closed in its turn.
    fn assert_well_formed(text: &str) {
        let mut open = Vec::new();
        for tag in text.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag ends");
            let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) => assert_eq!(open.pop(), Some(name)),
                (false, true) => {}
                (false, false) => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_picture_is_whole_and_shows_everything() {
        let (plan, outcome) = sample(6);
        let picture = svg(&plan, &outcome);
        assert_well_formed(&picture);
        for wanted in
            ["partition, seed 7", ">n5<", "healed", "equal", "power-cut at 12.3 s", "&lt;b&gt;&amp;", "1 violation"]
        {
            assert!(picture.contains(wanted), "{wanted}");
        }
        assert!(!picture.contains("<script") && !picture.contains("<b>"));
        if let Ok(path) = std::env::var("BEADMESH_PICTURE") {
            std::fs::write(path, picture).unwrap();
        }
    }

    #[test]
    fn many_nodes_share_rows() {
        let (plan, mut outcome) = sample(1_000);
        outcome.lives.push(crate::outcome::Life { node: 1_025, from_ms: 1, to_ms: 2 });
        let picture = svg(&plan, &outcome);
        assert_well_formed(&picture);
        assert!(picture.matches(" name\"").count() <= ROWS_MAX);
        assert!(picture.contains("n0–17") && picture.contains("–1025<"));
        assert!(picture.len() < 2_000_000, "{}", picture.len());
    }

    #[test]
    fn an_empty_run_has_a_picture_too() {
        let (mut plan, mut outcome) = sample(1);
        plan.span_ms = 0;
        plan.faults.clear();
        (outcome.virtual_us, outcome.samples, outcome.lives) = (0, vec![], vec![]);
        assert_well_formed(&svg(&plan, &outcome));
    }
}
