//! A screen that shows the mesh as it changes: what it shows, and what keys do to it.
//!
//! This is a state machine: it is told of keys and of what the node says, and draws itself when asked. Who reads the
//! terminal and asks the node is in `commands/top.rs`; nothing here waits, and the time is handed in.

use jiff::Timestamp;
use ratatui::crossterm::event::KeyEvent;
use tui_input::Input;

pub(crate) use facts::{Facts, Told};
pub(crate) use view::View;

mod details;
mod draw;
mod facts;
mod keys;
mod paint;
mod rows;
mod view;

use keys::{Line, Mode, Wish};

/// Rows that a page up or down goes.
const PAGE_ROWS: usize = 10;

/// What the screen shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Screen {
    /// What is listed.
    pub(crate) view: View,
    /// Whether colours may be used; what they say stands there in words too.
    pub(crate) is_coloured: bool,
    facts: Facts,
    /// What is done with keys.
    mode: Mode,
    /// What is being typed.
    input: Input,
    /// What a row must hold to be listed.
    filter: String,
    /// The row that keys are about.
    chosen: usize,
    /// What that row is about, so that it is found again where others come before it.
    chosen_key: Option<String>,
    /// The first line shown of what does not fit.
    scrolled: usize,
    /// What was typed and means nothing.
    complaint: Option<String>,
    /// When something came last: a key, or what the node said.
    now: Timestamp,
}

/// What the screen asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// To end.
    Quit,
    /// To give the terminal back for a while.
    Suspend,
    /// To ask the node for what a view lists.
    Look(View),
    /// To ask for the whole of a letter.
    Read(String),
}

impl Screen {
    /// Returns a screen that knows nothing yet.
    pub(crate) fn new(view: View, is_coloured: bool) -> Self {
        Self { view, is_coloured, ..Self::default() }
    }

    /// Takes what the node said at `now`.
    pub(crate) fn hear(&mut self, told: Told, now: Timestamp) {
        self.now = now;
        self.facts.hear(told, now);
        self.keep_choice();
    }

    /// Takes a key at `now`.
    pub(crate) fn key(&mut self, key: KeyEvent, now: Timestamp) -> Option<Order> {
        let wish = keys::wish(self.mode, key)?;
        // What has grown old since may have come or gone by the filter.
        self.now = now;
        self.keep_choice();
        self.complaint = None;
        match wish {
            Wish::Quit => Some(Order::Quit),
            Wish::Suspend => Some(Order::Suspend),
            Wish::Help => self.enter(Mode::Help),
            Wish::Back => self.back(),
            Wish::Ask(line) => self.ask(line),
            Wish::Edit(request) => {
                self.input.handle(request);
                self.typed()
            }
            Wish::Submit => self.submit(),
            Wish::Open => self.open(),
            Wish::Show(view) => self.show(view),
            Wish::ViewAfter => self.show(self.view.after()),
            Wish::ViewBefore => self.show(self.view.before()),
            Wish::Up => self.step(|at| at.saturating_sub(1)),
            Wish::Down => self.step(|at| at.saturating_add(1)),
            Wish::PageUp => self.step(|at| at.saturating_sub(PAGE_ROWS)),
            Wish::PageDown => self.step(|at| at.saturating_add(PAGE_ROWS)),
            Wish::First => self.step(|_| 0),
            Wish::Last => self.step(|_| usize::MAX),
        }
    }

    fn enter(&mut self, mode: Mode) -> Option<Order> {
        self.mode = mode;
        self.scrolled = 0;
        None
    }

    /// Leaves what was entered last: a prompt, a page, the filter.
    fn back(&mut self) -> Option<Order> {
        match self.mode {
            Mode::List | Mode::Typing(Line::Filter) => {
                self.filter.clear();
                self.keep_choice();
            }
            Mode::Help | Mode::Details | Mode::Typing(Line::Command) => {}
        }
        self.enter(Mode::List)
    }

    fn ask(&mut self, line: Line) -> Option<Order> {
        let typed = if line == Line::Filter { self.filter.clone() } else { String::new() };
        self.input = Input::new(typed);
        self.enter(Mode::Typing(line))
    }

    /// Lists what the filter leaves while it is typed.
    fn typed(&mut self) -> Option<Order> {
        if self.mode == Mode::Typing(Line::Filter) {
            self.input.value().clone_into(&mut self.filter);
            self.keep_choice();
        }
        None
    }

    fn submit(&mut self) -> Option<Order> {
        let typed = self.input.value().trim().to_owned();
        let line = self.mode;
        self.enter(Mode::List);
        if line != Mode::Typing(Line::Command) || typed.is_empty() {
            return None;
        }
        if matches!(typed.as_str(), "q" | "q!" | "quit" | "exit") {
            return Some(Order::Quit);
        }
        if matches!(typed.as_str(), "help" | "h") {
            return self.enter(Mode::Help);
        }
        match View::named(&typed) {
            Some(view) => self.show(view),
            None => {
                self.complaint = Some(format!("There is no view {typed:?}: write {}, or quit.", View::names()));
                None
            }
        }
    }

    fn show(&mut self, view: View) -> Option<Order> {
        self.enter(Mode::List);
        if view != self.view {
            self.view = view;
            self.filter.clear();
            (self.chosen, self.chosen_key) = (0, None);
            self.keep_choice();
        }
        Some(Order::Look(view))
    }

    /// Shows the chosen row in full.
    fn open(&mut self) -> Option<Order> {
        let key = self.chosen_key.clone()?;
        self.enter(Mode::Details);
        (self.view == View::Mail).then_some(Order::Read(key))
    }

    fn step(&mut self, to: impl Fn(usize) -> usize) -> Option<Order> {
        if self.mode == Mode::List {
            self.choose(to(self.chosen));
        } else {
            // What lies behind the end is not known before it is drawn, and is left there.
            self.scrolled = to(self.scrolled).min(details::LINES_MAX);
        }
        None
    }

    fn choose(&mut self, at: usize) {
        let keys = rows::keys(&self.facts, self.view, &self.filter, self.now);
        self.chosen = at.min(keys.len().saturating_sub(1));
        self.chosen_key = keys.into_iter().nth(self.chosen);
    }

    /// Finds the chosen row again after rows came and went.
    fn keep_choice(&mut self) {
        let keys = rows::keys(&self.facts, self.view, &self.filter, self.now);
        let found = self.chosen_key.as_ref().and_then(|chosen| keys.iter().position(|key| key == chosen));
        // Whoever reads of something goes on reading of it, and not of what took its row.
        if found.is_none() && self.mode == Mode::Details {
            return;
        }
        self.chosen = found.unwrap_or(self.chosen).min(keys.len().saturating_sub(1));
        self.chosen_key = keys.into_iter().nth(self.chosen);
    }
}

#[cfg(test)]
mod tests;
