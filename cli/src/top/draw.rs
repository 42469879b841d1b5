//! Draws the screen: a head of two lines, the list or a page, and a foot of two lines. Nothing is ever wrapped.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::keys::{HELP, Line as Typed};
use super::{Mode, Screen, View, details, paint, rows};
use crate::output::paint::Paint;
use crate::output::text;

/// Lines above the list and below it.
const HEAD_ROWS: u16 = 2;
const FOOT_ROWS: u16 = 2;

/// Remarks on a list that are shown, where there is room.
const REMARKS_MAX: usize = 4;

/// Columns before each row, for the mark of the chosen one.
const MARK_COLUMNS: u16 = 2;

impl Screen {
    /// Draws what is known at `now`.
    pub(crate) fn draw(&self, frame: &mut Frame, now: Timestamp) {
        let area = frame.area();
        let [head, tabs] = [self.head(), self.tabs(area.width.into(), now)];
        let columns = area.width;
        put(frame.buffer_mut(), 0, &head);
        put(frame.buffer_mut(), 1, &tabs);
        let foot = area.height.saturating_sub(FOOT_ROWS).max(HEAD_ROWS);
        let body = Rect { y: HEAD_ROWS.min(area.height), height: foot.saturating_sub(HEAD_ROWS), ..area };
        match self.mode {
            Mode::Help => self.page(frame.buffer_mut(), body, &help()),
            Mode::Details => {
                let key = self.chosen_key.as_deref().unwrap_or_default();
                let lines = details::lines(&self.facts, self.view, key, columns.into(), now);
                self.page(frame.buffer_mut(), body, &lines);
            }
            Mode::List | Mode::Typing(_) => self.list(frame.buffer_mut(), body, now),
        }
        put(frame.buffer_mut(), foot, &self.trouble(now));
        let (keys, cursor) = self.foot();
        put(frame.buffer_mut(), foot + 1, &keys);
        if let Some(column) = cursor.filter(|column| *column < columns && foot + 1 < area.height) {
            frame.set_cursor_position(Position::new(column, foot + 1));
        }
    }

    /// Says whose screen it is, and how its mesh stands.
    fn head(&self) -> Line<'static> {
        let Some(status) = &self.facts.status else { return Line::from("beadmesh") };
        let linked = status.peers.iter().filter(|peer| peer.connected).count();
        let mut parts = vec![format!("mesh {}", text::clean_line(&status.mesh.name))];
        parts.push(format!("{linked} of {} linked", status.peers.len()));
        parts.push(format!("{} beads, {} ready", status.beads, status.ready));
        parts.extend(status.unread.map(|unread| format!("{unread} unread")));
        let name = self.span(Paint::Strong, text::clean_line(&status.node.name));
        Line::from(vec![name, self.span(Paint::Plain, format!("  {}", parts.join(" · ")))])
    }

    /// Names the lists; the one that is shown stands in brackets. Where not all fits, the others are numbers alone.
    fn tabs(&self, columns: usize, now: Timestamp) -> Line<'static> {
        let whole = self.tabs_of(now, |view| format!(" {}", view.name()));
        if whole.width() <= columns {
            return whole;
        }
        self.tabs_of(now, |view| if view == self.view { format!(" {}", view.name()) } else { String::new() })
    }

    fn tabs_of(&self, now: Timestamp, name: impl Fn(View) -> String) -> Line<'static> {
        let mut spans = Vec::new();
        for (number, view) in (1..).zip(View::ALL) {
            let name = format!("{number}{}", name(view));
            spans.push(match view == self.view {
                true => self.span(Paint::Strong, format!("[{name}]")),
                false => self.span(Paint::Faint, format!(" {name} ")),
            });
        }
        let all = rows::count(&self.facts, self.view);
        let count = match self.filter.as_str() {
            "" => format!("  {all}"),
            filter => {
                let left = rows::keys(&self.facts, self.view, filter, now).len();
                format!("  {left} of {all} hold {:?}", text::clean_line(filter))
            }
        };
        spans.push(self.span(Paint::Plain, count));
        Line::from(spans)
    }

    /// Draws the list with what it does not say below it; the chosen row stays in sight.
    fn list(&self, buffer: &mut Buffer, area: Rect, now: Timestamp) {
        let columns = area.width.saturating_sub(MARK_COLUMNS);
        let lines = rows::lines(&self.facts, self.view, &self.filter, columns, now);
        let mut remarks = rows::remarks(&self.facts, self.view, columns.into(), now);
        remarks.truncate(REMARKS_MAX.min(usize::from(area.height) / 3));
        let (heading, listed) = lines.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
        let taken = usize::from(heading.is_some()) + remarks.len();
        let room = usize::from(area.height).saturating_sub(taken);
        let skipped = self.chosen.saturating_sub(room / 2).min(listed.len().saturating_sub(room));
        let mut at = area.y;
        if let Some(heading) = heading {
            self.row(buffer, at, heading, false);
            at += 1;
        }
        for (place, line) in listed.iter().enumerate().skip(skipped).take(room) {
            self.row(buffer, at, line, place == self.chosen);
            at += 1;
        }
        for remark in &remarks {
            self.row(buffer, at, remark, false);
            at += 1;
        }
    }

    /// Draws one row, with a mark where it is the chosen one.
    fn row(&self, buffer: &mut Buffer, at: u16, painted: &str, is_chosen: bool) {
        let mut line = paint::line(painted, self.is_coloured);
        line.spans.insert(0, Span::raw(if is_chosen { "> " } else { "  " }));
        put(buffer, at, &line);
        if is_chosen && buffer.area.contains(Position::new(0, at)) {
            let row = Rect { y: at, height: 1, ..buffer.area };
            buffer.set_style(row, Style::new().add_modifier(Modifier::REVERSED));
        }
    }

    /// Draws lines from the one that was scrolled to; the last page stays full.
    fn page(&self, buffer: &mut Buffer, area: Rect, lines: &[String]) {
        let room = usize::from(area.height);
        let skipped = self.scrolled.min(lines.len().saturating_sub(room));
        for (at, line) in (area.y..area.bottom()).zip(lines.iter().skip(skipped)) {
            put(buffer, at, &paint::line(line, self.is_coloured));
        }
    }

    /// Says what is wrong: that the node is silent, or what was typed.
    fn trouble(&self, now: Timestamp) -> Line<'static> {
        if let Some(why) = &self.facts.silence {
            let since = match self.facts.silent_s(now) {
                seconds if seconds < 1.0 => String::new(),
                seconds => format!(" for {seconds:.0} s"),
            };
            let told = format!("No answer{since}: {}. It is asked again.", text::clean_line(why));
            return Line::from(self.span(Paint::Bad, told));
        }
        match (&self.complaint, &self.facts.status) {
            (Some(complaint), _) => Line::from(self.span(Paint::Slow, text::clean_line(complaint))),
            (None, None) => Line::from("Asking the node."),
            (None, Some(_)) => Line::default(),
        }
    }

    /// Returns the last line, and the column of the cursor where something is typed.
    fn foot(&self) -> (Line<'static>, Option<u16>) {
        let keys = match self.mode {
            Mode::Typing(typed) => {
                let mark = if typed == Typed::Filter { "/" } else { ":" };
                let line = format!("{mark}{}", text::clean_line(self.input.value()));
                let cursor = u16::try_from(self.input.visual_cursor() + 1).ok();
                return (Line::from(line), cursor);
            }
            Mode::List => "? keys  / filter  : view  enter all of a row  tab next list  q quit",
            Mode::Help | Mode::Details => "esc back  j k down and up  q quit",
        };
        (Line::from(self.span(Paint::Faint, keys)), None)
    }

    fn span(&self, look: Paint, text: impl Into<String>) -> Span<'static> {
        paint::span(look, text, self.is_coloured)
    }
}

/// Draws a line that is cut at the edge.
fn put(buffer: &mut Buffer, at: u16, line: &Line<'_>) {
    let area = buffer.area;
    if at < area.height {
        buffer.set_line(0, at, line, area.width);
    }
}

fn help() -> Vec<String> {
    let key = |(key, means): (&str, &str)| format!("{}  {means}", Paint::Name.on(&format!("{key:14}")));
    HELP.into_iter().map(key).collect()
}
