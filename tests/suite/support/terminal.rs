//! A terminal that a program runs on: what it would show to whoever sits there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Process, until};

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    keys: File,
    written: Receiver<Vec<u8>>,
    process: Process,
    screen: Screen,
}

impl Terminal {
    /// Runs a program on a terminal of so many columns and lines.
    pub(crate) fn of(command: &Command, (columns, lines): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&slave, Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        // It is the terminal that the program belongs to, and none that the tests may have been started on.
        let mut inside = Command::new("setsid");
        inside.arg("--ctty").arg(command.get_program()).args(command.get_args());
        inside.current_dir(command.get_current_dir().unwrap()).env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        let slave = File::from(slave);
        inside.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(Stdio::from(slave));
        let process = Process(inside.spawn().unwrap());
        // With the command goes the last handle of ours on the program's side, so that its end is seen.
        drop(inside);
        let mut output = File::from(master);
        let keys = output.try_clone().unwrap();
        let (sender, written) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count) = output.read(&mut bytes) {
                if count == 0 || sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, written, process, screen: Screen::new(columns.into(), lines.into()) }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Asks the program to end, as the system does.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.process.0), Signal::TERM).unwrap();
    }

    /// Waits until what is shown is so, and returns its lines.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        until(what, || {
            for bytes in self.written.try_iter() {
                self.screen.take(&bytes);
            }
            lines = self.screen.lines();
            is_so(&lines)
        });
        lines
    }

    /// Waits until the program has ended, and returns how, and what it leaves behind.
    pub(crate) fn ended(mut self) -> (Option<i32>, Screen) {
        until("the end of the program", || self.process.0.try_wait().unwrap().is_some());
        for bytes in self.written.iter() {
            self.screen.take(&bytes);
        }
        (self.process.0.wait().unwrap().code(), self.screen)
    }
}

/// What a terminal shows, of one that knows the few orders that our program gives.
///
/// Source: ECMA-48, 8.3; modes of xterm.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    columns: usize,
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// What is not read to its end yet.
    rest: Vec<u8>,
    /// What was shown before the frame that is being written, if one is.
    before: Option<Vec<String>>,
    /// Whether lines that are too long are cut.
    cuts: bool,
    /// Whether a line was too long.
    pub(crate) overlong: bool,
    /// Whether lines went out of sight at the upper edge.
    pub(crate) scrolled: bool,
    /// Whether the program has taken the whole screen, and not given it back.
    pub(crate) taken: bool,
    /// Whether the cursor is hidden.
    pub(crate) hidden: bool,
}

impl Screen {
    fn new(columns: usize, lines: usize) -> Self {
        let cells = vec![vec![' '; columns]; lines];
        Self { columns, cells, ..Self::default() }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.before.clone().unwrap_or_else(|| self.drawn())
    }

    fn drawn(&self) -> Vec<String> {
        self.cells.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend(bytes);
        // A letter may be cut in two.
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            Err(error) => error.valid_up_to(),
        };
        let text: Vec<char> = String::from_utf8(self.rest[..whole].to_vec()).unwrap().chars().collect();
        let mut tail = self.rest.split_off(whole);
        let mut at = 0;
        while let Some(letter) = text.get(at) {
            if *letter != '\u{1b}' {
                self.letter(*letter);
                at += 1;
                continue;
            }
            let end = text[at..].iter().skip(2).position(char::is_ascii_alphabetic);
            let Some(end) = end.map(|end| at + 2 + end) else { break };
            assert_eq!(text[at + 1], '[', "an order that this terminal does not know");
            let parameters: String = text[at + 2..end].iter().collect();
            self.order(&parameters, text[end]);
            at = end + 1;
        }
        self.rest = text[at..].iter().collect::<String>().into_bytes();
        self.rest.append(&mut tail);
    }

    fn letter(&mut self, letter: char) {
        match letter {
            '\r' => self.column = 0,
            '\n' => self.feed(),
            letter => {
                if self.column == self.columns {
                    self.overlong = true;
                    if self.cuts {
                        return;
                    }
                    self.column = 0;
                    self.feed();
                }
                self.cells[self.row][self.column] = letter;
                self.column += 1;
            }
        }
    }

    fn feed(&mut self) {
        if self.row + 1 < self.cells.len() {
            self.row += 1;
            return;
        }
        self.scrolled = true;
        self.cells.remove(0);
        self.cells.push(vec![' '; self.columns]);
    }

    fn order(&mut self, parameters: &str, order: char) {
        let (row, column) = (self.row, self.column.min(self.columns));
        match (order, parameters) {
            ('H', _) => {
                let mut places = parameters.split(';').map(|place| place.parse::<usize>().unwrap_or(1));
                let (row, column) = (places.next().unwrap_or(1), places.next().unwrap_or(1));
                (self.row, self.column) = (row.max(1) - 1, column.max(1) - 1);
            }
            ('K', "") => self.cells[row][column..].fill(' '),
            ('J', "") => {
                self.cells[row][column..].fill(' ');
                self.cells[row + 1..].iter_mut().for_each(|line| line.fill(' '));
            }
            ('J', "2") => self.cells.iter_mut().for_each(|line| line.fill(' ')),
            ('h' | 'l', "?1049") => self.taken = order == 'h',
            ('h' | 'l', "?25") => self.hidden = order == 'l',
            ('h' | 'l', "?7") => self.cuts = order == 'l',
            ('h' | 'l', "?2026") => self.before = (order == 'h').then(|| self.drawn()),
            ('m', _) | ('h' | 'l', _) => {}
            _ => panic!("an order that this terminal does not know: {parameters:?} {order:?}"),
        }
    }
}
