//! Lines as the printer paints them, read for a screen: the same looks, drawn cell by cell.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::output::paint::Paint;

/// Reads a painted line; without colours, what stands out does so by weight alone.
pub(super) fn line(painted: &str, is_coloured: bool) -> Line<'static> {
    let mut spans = Vec::new();
    let mut style = Style::new();
    for (at, piece) in painted.split("\u{1b}[").enumerate() {
        // What is printed was cleaned of what would steer a terminal, so the marks are the printer's own.
        let text = match piece.split_once('m').filter(|_| at > 0) {
            Some((code, text)) => {
                style = turned(style, code, is_coloured);
                text
            }
            None => piece,
        };
        if !text.is_empty() {
            spans.push(Span::styled(text.to_owned(), style));
        }
    }
    Line::from(spans)
}

/// Returns the look after one of the codes that the printer and its tables write.
///
/// Source: ECMA-48, 8.3.117.
fn turned(style: Style, code: &str, is_coloured: bool) -> Style {
    let colour = |colour| if is_coloured { style.fg(colour) } else { style };
    match code {
        "0" => Style::new(),
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        "39" => Style { fg: None, ..style },
        "31" | "38;5;1" => colour(Color::Red),
        "32" | "38;5;2" => colour(Color::Green),
        "33" | "38;5;3" => colour(Color::Yellow),
        "36" | "38;5;6" => colour(Color::Cyan),
        _ => style,
    }
}

/// Returns a text in a look.
pub(super) fn span(paint: Paint, text: impl Into<String>, is_coloured: bool) -> Span<'static> {
    let painted = line(&paint.on("-"), is_coloured);
    let style = painted.spans.first().map(|span| span.style).unwrap_or_default();
    Span::styled(text.into(), style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::table::{self, Column};

    #[test]
    fn a_look_is_read_as_it_was_painted_by_hand_and_by_a_table() {
        let table = table::lines(&[Column::new("A")], &[vec![(Paint::Bad, "lost".to_owned())]], Some(20));
        for painted in [Paint::Bad.on("lost"), table[1].clone()] {
            let read = line(&painted, true);
            assert_eq!(read.to_string(), "lost", "{painted:?}");
            assert_eq!(read.spans[0].style.fg, Some(Color::Red), "{painted:?}");
            assert_eq!(line(&painted, false).spans[0].style.fg, None, "{painted:?}");
        }
        let strong = line(&format!("{} plain", Paint::Strong.on("strong")), false);
        assert_eq!(strong.to_string(), "strong plain");
        assert_eq!(strong.spans[0].style.add_modifier, Modifier::BOLD);
        assert_eq!(strong.spans[1].style, Style::new());
    }
}
