//! Tables without lines: columns that fit the terminal, of which one gives way.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table};

use super::paint::Paint;
use super::text;

/// Columns of space between two columns of the table.
const GAP: u16 = 2;

/// The columns that the one which gives way keeps at least.
const FLEXIBLE_MIN: u16 = 12;

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) name: &'static str,
    /// Whether it gives way when the terminal is narrow; one column of a table does.
    pub(crate) flexible: bool,
    /// What goes first when there is no room: the column with the highest number; 0 always stays.
    pub(crate) spare: u8,
}

impl Column {
    /// Returns a column that always stays.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, flexible: false, spare: 0 }
    }

    /// Lets the column go when there is no room; higher numbers go first.
    pub(crate) const fn spare(mut self, order: u8) -> Self {
        self.spare = order;
        self
    }

    /// Lets the column give way.
    pub(crate) const fn flexible(mut self) -> Self {
        self.flexible = true;
        self
    }
}

/// One cell: a look and a text.
pub(crate) type Painted = (Paint, String);

/// Returns the lines of a table that is at most `columns` wide; as wide as it needs without a number.
pub(crate) fn lines(layout: &[Column], rows: &[Vec<Painted>], columns: Option<u16>) -> Vec<String> {
    let widths = content_widths(layout, rows);
    let empty = |at: &usize| layout[*at].spare > 0 && rows.iter().all(|row| row[*at].1.is_empty());
    let kept = kept(layout, &widths, columns, empty);
    let mut table = Table::new();
    table.load_style(NOTHING).enforce_styling().set_truncation_indicator("…");
    table.set_content_arrangement(ContentArrangement::Disabled);
    // Spaces at the end of a line are cut below, and must not hide in a look.
    table.style_text_only();
    let head = kept.iter().map(|at| cell(Paint::Faint, layout[*at].name));
    table.set_header(Row::from(head.collect::<Vec<_>>()));
    for row in rows {
        let cells = kept.iter().map(|at| cell(row[*at].0, &row[*at].1));
        let mut row = Row::from(cells.collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    let room = columns.map(|columns| flexible_room(layout, &widths, &kept, columns));
    for (place, at) in kept.iter().enumerate() {
        let Some(column) = table.column_mut(place) else { continue };
        let last = place + 1 == kept.len();
        column.set_padding((0, if last { 0 } else { GAP }));
        if let Some(room) = room.filter(|room| layout[*at].flexible && widths[*at] > *room) {
            let padded = if last { room } else { room + GAP };
            column.set_constraint(ColumnConstraint::Absolute(comfy_table::Width::Fixed(padded)));
        }
    }
    if columns.is_some() {
        table.set_width(u16::MAX).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Returns the columns that every column needs to show all it holds.
fn content_widths(layout: &[Column], rows: &[Vec<Painted>]) -> Vec<u16> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(layout.iter().map(|column| column.name));
    for row in rows {
        table.add_row(row.iter().map(|(_, text)| text::clean_line(text)));
    }
    table.column_max_content_widths()
}

/// Returns the places of the columns for which there is room; one that is empty in every row says nothing.
fn kept(layout: &[Column], widths: &[u16], columns: Option<u16>, empty: impl Fn(&usize) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..layout.len()).filter(|at| !empty(at)).collect();
    let Some(columns) = columns else { return kept };
    loop {
        let needed = |at: &usize| if layout[*at].flexible { widths[*at].min(FLEXIBLE_MIN * 2) } else { widths[*at] };
        let gaps = GAP * u16::try_from(kept.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let total = kept.iter().map(needed).fold(gaps, u16::saturating_add);
        let goes = kept.iter().copied().filter(|at| layout[*at].spare > 0).max_by_key(|at| layout[*at].spare);
        match goes {
            Some(goes) if total > columns => kept.retain(|at| *at != goes),
            _ => return kept,
        }
    }
}

/// Returns the columns left for the column that gives way.
fn flexible_room(layout: &[Column], widths: &[u16], kept: &[usize], columns: u16) -> u16 {
    let gaps = GAP * u16::try_from(kept.len().saturating_sub(1)).unwrap_or(u16::MAX);
    let fixed = kept.iter().filter(|at| !layout[**at].flexible).map(|at| widths[*at]);
    columns.saturating_sub(fixed.fold(gaps, u16::saturating_add)).max(FLEXIBLE_MIN)
}

/// Returns a cell in its look.
fn cell(paint: Paint, text: &str) -> Cell {
    let cell = Cell::new_owned(text::clean_line(text));
    match paint {
        _ if text.is_empty() => cell,
        Paint::Plain => cell,
        Paint::Strong => cell.add_attribute(Attribute::Bold),
        Paint::Faint => cell.add_attribute(Attribute::Dim),
        Paint::Name => cell.fg(Color::DarkCyan),
        Paint::Good => cell.fg(Color::DarkGreen),
        Paint::Slow => cell.fg(Color::DarkYellow),
        Paint::Bad => cell.fg(Color::DarkRed),
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Painted, lines};
    use crate::output::paint::Paint;
    use crate::output::text;

    const LAYOUT: [Column; 4] = [
        Column::new("ID"),
        Column::new("STATUS").spare(1),
        Column::new("TITLE").flexible(),
        Column::new("WHO").spare(2),
    ];

    fn rows() -> Vec<Vec<Painted>> {
        let row = |id: &str, status: &str, title: &str, who: &str| {
            [id, status, title, who].iter().map(|text| (Paint::Name, (*text).to_owned())).collect()
        };
        vec![
            row("bm-k7f3", "in_progress", "Rotate the signing keys of every node before the old ones lapse", "ada"),
            row("bm-2", "open", "日本語の題名はとても長いので切り詰められるべきです、そうでしょう", "BlueLake@gpu"),
        ]
    }

    fn plain(columns: Option<u16>) -> Vec<String> {
        lines(&LAYOUT, &rows(), columns).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in [40, 80, 200] {
            for line in plain(Some(columns)) {
                assert!(text::width(&line) <= usize::from(columns), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_loses_columns_before_titles() {
        insta::assert_snapshot!(plain(Some(40)).join("\n"), @r"
        ID       TITLE
        bm-k7f3  Rotate the signing keys of…
        bm-2     日本語の題名はとても長いので切…
        ");
        insta::assert_snapshot!(plain(Some(80)).join("\n"), @r"
        ID       STATUS       TITLE                                         WHO
        bm-k7f3  in_progress  Rotate the signing keys of every node befor…  ada
        bm-2     open         日本語の題名はとても長いので切り詰められる…   BlueLake@gpu
        ");
    }

    #[test]
    fn nothing_is_cut_without_a_terminal() {
        assert!(plain(None)[1].contains("before the old ones lapse"));
        assert!(!plain(None).concat().contains('…'));
    }
}
