//! What keys mean: a function of the key and of what is done with keys at the time.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tui_input::InputRequest;

use super::View;

/// What is done with keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They move in the list.
    #[default]
    List,
    /// They move in the page on keys.
    Help,
    /// They move in the page on one row.
    Details,
    /// They write a line.
    Typing(Line),
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// What rows must hold.
    Filter,
    /// What is to be listed.
    Command,
}

/// What somebody wants who presses a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To end.
    Quit,
    /// To do something else on the terminal.
    Suspend,
    /// To know the keys.
    Help,
    /// To leave what was entered last.
    Back,
    /// To write a line.
    Ask(Line),
    /// To change the line.
    Edit(InputRequest),
    /// To be done with the line.
    Submit,
    /// To see a row in full.
    Open,
    /// To see another list.
    Show(View),
    /// To see the list after this one.
    ViewAfter,
    /// To see the list before this one.
    ViewBefore,
    /// To go up one row.
    Up,
    /// To go down one row.
    Down,
    /// To go up a page.
    PageUp,
    /// To go down a page.
    PageDown,
    /// To go to the first row.
    First,
    /// To go to the last row.
    Last,
}

/// The keys, as the page on keys lists them.
pub(super) const HELP: [(&str, &str); 14] = [
    ("1 to 7", "another list, by its number"),
    ("tab, →, ←", "the next list, or the one before"),
    (":", "a list by its name; :q ends"),
    ("/", "only rows that hold what is typed; esc shows all again"),
    ("j, k, ↓, ↑", "a row down or up"),
    ("ctrl-d, ctrl-u", "ten rows down or up, as page down and page up do"),
    ("g, G", "the first row, the last row"),
    ("enter", "everything about a row"),
    ("esc", "back"),
    ("?", "this page"),
    ("q, ctrl-c", "the end"),
    ("ctrl-z", "back to the shell for a while; `fg` comes back"),
    ("", ""),
    ("stale", "linked, but silent; offline: neither linked nor heard"),
];

/// Returns what a key means; nothing for one that means nothing.
pub(crate) fn wish(mode: Mode, key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('c') => return Some(Wish::Quit),
            KeyCode::Char('z') => return Some(Wish::Suspend),
            _ => {}
        }
    }
    match mode {
        Mode::Typing(_) => typing(key),
        Mode::List => list(key).or_else(|| moving(key)),
        Mode::Help | Mode::Details => page(key).or_else(|| moving(key)),
    }
}

fn list(key: KeyEvent) -> Option<Wish> {
    match key.code {
        KeyCode::Char('/') => Some(Wish::Ask(Line::Filter)),
        KeyCode::Enter => Some(Wish::Open),
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Some(Wish::ViewAfter),
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => Some(Wish::ViewBefore),
        _ => None,
    }
}

fn page(key: KeyEvent) -> Option<Wish> {
    matches!(key.code, KeyCode::Enter | KeyCode::Left | KeyCode::Backspace).then_some(Wish::Back)
}

/// Returns what a key means in a list and on a page alike.
fn moving(key: KeyEvent) -> Option<Wish> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('d' | 'f') if is_control => Some(Wish::PageDown),
        KeyCode::Char('u' | 'b') if is_control => Some(Wish::PageUp),
        _ if is_control => None,
        KeyCode::Char('q') => Some(Wish::Quit),
        KeyCode::Char('?') => Some(Wish::Help),
        KeyCode::Char(':') => Some(Wish::Ask(Line::Command)),
        KeyCode::Esc => Some(Wish::Back),
        KeyCode::Char('j') | KeyCode::Down => Some(Wish::Down),
        KeyCode::Char('k') | KeyCode::Up => Some(Wish::Up),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Wish::PageDown),
        KeyCode::PageUp => Some(Wish::PageUp),
        KeyCode::Char('g') | KeyCode::Home => Some(Wish::First),
        KeyCode::Char('G') | KeyCode::End => Some(Wish::Last),
        KeyCode::Char(digit) => View::numbered(digit.to_digit(10)?.try_into().ok()?).map(Wish::Show),
        _ => None,
    }
}

fn typing(key: KeyEvent) -> Option<Wish> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    let request = match key.code {
        KeyCode::Enter => return Some(Wish::Submit),
        KeyCode::Esc => return Some(Wish::Back),
        KeyCode::Char('a') if is_control => InputRequest::GoToStart,
        KeyCode::Char('e') if is_control => InputRequest::GoToEnd,
        KeyCode::Char('u') if is_control => InputRequest::DeleteLine,
        KeyCode::Char('w') if is_control => InputRequest::DeletePrevWord,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char(letter) => InputRequest::InsertChar(letter),
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return None,
    };
    Some(Wish::Edit(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(mode: Mode, code: KeyCode) -> Option<Wish> {
        wish(mode, KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn a_letter_moves_in_a_list_and_is_typed_in_a_line() {
        for (letter, wish) in [
            ('j', Wish::Down),
            ('k', Wish::Up),
            ('g', Wish::First),
            ('G', Wish::Last),
            ('q', Wish::Quit),
            ('?', Wish::Help),
            ('/', Wish::Ask(Line::Filter)),
            (':', Wish::Ask(Line::Command)),
            ('4', Wish::Show(View::Beads)),
        ] {
            assert_eq!(pressed(Mode::List, KeyCode::Char(letter)), Some(wish), "{letter}");
            let typed = Some(Wish::Edit(InputRequest::InsertChar(letter)));
            assert_eq!(pressed(Mode::Typing(Line::Filter), KeyCode::Char(letter)), typed, "{letter}");
        }
        assert_eq!(pressed(Mode::List, KeyCode::Char('8')), None);
        assert_eq!(pressed(Mode::List, KeyCode::Char('0')), None);
    }

    #[test]
    fn control_c_ends_wherever_one_is_and_a_key_let_go_does_nothing() {
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for mode in [Mode::List, Mode::Help, Mode::Details, Mode::Typing(Line::Command)] {
            assert_eq!(wish(mode, control), Some(Wish::Quit));
            assert_eq!(wish(mode, KeyEvent { kind: KeyEventKind::Release, ..control }), None);
            assert_eq!(pressed(mode, KeyCode::Esc), Some(Wish::Back));
        }
    }

    #[test]
    fn enter_opens_a_row_closes_a_page_and_ends_a_line() {
        assert_eq!(pressed(Mode::List, KeyCode::Enter), Some(Wish::Open));
        assert_eq!(pressed(Mode::Details, KeyCode::Enter), Some(Wish::Back));
        assert_eq!(pressed(Mode::Typing(Line::Command), KeyCode::Enter), Some(Wish::Submit));
    }
}
