//! Text as a terminal shows it: cleaned of what would steer the terminal, measured in columns, and wrapped.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, ContentArrangement, Row, Table};

/// Returns the text with every character that steers a terminal or the direction of writing made visible.
///
/// Line ends and tabs stay. Beads come from other machines; a title must not be able to move the cursor.
pub(crate) fn clean(text: &str) -> String {
    let steers = |letter: char| {
        letter.is_control() && !matches!(letter, '\n' | '\t')
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text = text.replace("\r\n", "\n");
    text.chars().map(|letter| if steers(letter) { '\u{fffd}' } else { letter }).collect()
}

/// Returns the text as one clean line.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// Returns the columns that a line takes.
pub(crate) fn width(line: &str) -> usize {
    if line.is_empty() {
        return 0;
    }
    let mut table = Table::new();
    table.load_style(NOTHING).add_row([line]);
    table.column_max_content_widths().first().copied().unwrap_or(0).into()
}

/// Returns the clean line cut to `columns`, with an ellipsis where something is missing.
#[cfg(test)]
pub(crate) fn cut(line: &str, columns: usize) -> String {
    fit(&clean_line(line), columns, Some(1)).swap_remove(0)
}

/// Returns the clean text as lines of at most `columns`; lines that fit stay as they are, indents included.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let text = clean(text).replace('\t', "    ");
    let lines = text.trim_end().lines();
    lines
        .flat_map(|line| if line.len() <= columns { vec![line.to_owned()] } else { wrap_line(line, columns) })
        .collect()
}

/// Wraps one line; what goes on below it keeps the indent, and stands behind the mark of a list item.
fn wrap_line(line: &str, columns: usize) -> Vec<String> {
    let body = line.trim_start();
    let mut indent = line.len() - body.len();
    let marks = ["- ", "* ", "+ ", "> "];
    let hang = if marks.iter().any(|mark| body.starts_with(mark)) { 2 } else { 0 };
    if indent + hang + 10 > columns {
        indent = 0;
    }
    let room = columns.saturating_sub(indent + hang).max(1);
    let (mark, rest) = body.split_at(hang);
    let rows = fill(rest, room);
    let lead = |at: usize| if at == 0 { mark.to_owned() } else { " ".repeat(hang) };
    rows.iter().enumerate().map(|(at, row)| format!("{}{}{row}", " ".repeat(indent), lead(at))).collect()
}

/// Returns parts side by side, in rows of at most `columns`; a part is broken only when it is wider than that.
///
/// The parts may be painted.
pub(crate) fn flow(parts: &[String], between: &str, columns: usize) -> Vec<String> {
    let wide = |part: &str| width(&anstream::adapter::strip_str(part).to_string());
    let mut rows: Vec<String> = Vec::new();
    let mut taken = 0;
    for part in parts {
        let needed = wide(part);
        match rows.last_mut() {
            Some(row) if taken + wide(between) + needed <= columns => {
                row.push_str(between);
                row.push_str(part);
                taken += wide(between) + needed;
            }
            _ if needed > columns => {
                // What is broken loses its paint.
                rows.extend(wrap(&anstream::adapter::strip_str(part).to_string(), columns));
                taken = rows.last().map_or(0, |row| width(row));
            }
            _ => {
                rows.push(part.clone());
                taken = needed;
            }
        }
    }
    rows
}

/// Breaks a line between its words into rows of at most `columns`; a word that is longer begins a row and is broken.
fn fill(line: &str, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = String::new();
    let mut taken = 0;
    for word in line.split(' ') {
        let needed = if word.is_ascii() { word.len() } else { width(word) };
        if taken > 0 && taken + 1 + needed > columns {
            rows.push(std::mem::take(&mut row));
            taken = 0;
        }
        if needed > columns {
            let mut broken = fit(word, columns, None);
            row = broken.pop().unwrap_or_default();
            taken = width(&row);
            rows.extend(broken);
        } else if taken > 0 {
            row.push(' ');
            row.push_str(word);
            taken += 1 + needed;
        } else {
            row.push_str(word);
            taken = needed;
        }
    }
    rows.push(row);
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

/// Breaks a line into rows of at most `columns`, and keeps at most `rows` of them.
fn fit(line: &str, columns: usize, rows: Option<usize>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_truncation_indicator("…");
    table.set_width(u16::try_from(columns).unwrap_or(u16::MAX));
    let mut row = Row::new();
    row.add_cell(Cell::new(line));
    if let Some(rows) = rows {
        row.max_height(rows);
    }
    table.add_row(row);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 0));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{clean, cut, flow, width, wrap};

    #[test]
    fn what_steers_a_terminal_is_made_visible() {
        assert_eq!(clean("a\u{1b}[31mb\u{7}\u{202e}c\r\nd\te"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c\nd\te");
    }

    #[test]
    fn width_counts_columns_and_not_letters() {
        assert_eq!(width("naïve"), 5);
        assert_eq!(width("日本語"), 6);
        assert_eq!(width(""), 0);
    }

    #[test]
    fn a_line_is_cut_where_it_no_longer_fits() {
        assert_eq!(cut("short", 10), "short");
        for (line, columns) in [("Rotate the signing keys of every node", 20), ("日本語の長い題名です", 9)] {
            let cut = cut(line, columns);
            assert!(width(&cut) <= columns && cut.ends_with('…'), "{cut}");
        }
    }

    #[test]
    fn wrapped_text_keeps_its_indents_and_lists() {
        let text = "One two three four five.\n\n  let code = 1;\n- an item that is long\n";
        let lines = wrap(text, 16);
        assert_eq!(lines, ["One two three", "four five.", "", "  let code = 1;", "- an item that", "  is long"]);
    }

    #[test]
    fn a_long_word_begins_a_row() {
        let lines = wrap("see https://example.org/a/long/path for more", 20);
        assert_eq!(lines, ["see", "https://example.org/", "a/long/path for more"]);
        assert_eq!(wrap("日本語 の題名 はとても", 10), ["日本語", "の題名", "はとても"]);
    }

    #[test]
    fn parts_stay_whole_while_they_fit_a_row() {
        let parts = ["Created 3 h ago by bob".to_owned(), "\u{1b}[2mUpdated 1 h ago\u{1b}[0m".to_owned()];
        assert_eq!(flow(&parts, " · ", 40).len(), 1);
        assert_eq!(flow(&parts, " · ", 39), parts);
        assert_eq!(flow(&parts, " · ", 16), ["Created 3 h ago", "by bob", &parts[1]]);
    }

    #[test]
    fn a_word_without_spaces_is_broken_rather_than_lost() {
        let lines = wrap(&"x".repeat(25), 10);
        assert_eq!(lines, ["x".repeat(10), "x".repeat(10), "x".repeat(5)]);
    }
}
