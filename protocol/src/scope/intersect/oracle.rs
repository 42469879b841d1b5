//! What two patterns share, by other means: both as regular expressions, and the product of their automata.
//!
//! It reads the text of a pattern anew and shares no code with what it judges. It knows the characters of
//! [`pairs::ALPHABET`] alone, which stand for all when patterns name no others.

use std::cell::RefCell;
use std::collections::BTreeSet;

use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::start;

use super::super::pairs::ALPHABET;

/// The language of some patterns over the small alphabet.
pub(super) struct Language {
    automaton: Automaton,
    /// The patterns that are one path.
    literals: Vec<String>,
}

impl Language {
    /// Reads patterns without braces.
    pub(super) fn of(patterns: &[String]) -> Self {
        let expressions: Vec<String> = patterns.iter().map(|pattern| expression(pattern)).collect();
        let literals = patterns.iter().filter_map(|pattern| literal(pattern)).collect();
        Self { automaton: Automaton::new(&format!("(?:{})", expressions.join("|"))), literals }
    }

    /// Returns the language of all paths.
    pub(super) fn paths() -> Self {
        let (any, plain) = (set(|_| true), set(|char| char != '.'));
        let name = format!(r"(?:{plain}{any}*|\.{plain}{any}*|\.\.{any}+)");
        Self { automaton: Automaton::new(&format!("{name}(?:/{name})*")), literals: Vec::new() }
    }

    /// Returns whether the path, in lower case, is in the language.
    pub(super) fn holds(&self, path: &str) -> bool {
        let start = self.automaton.start();
        self.automaton.accepts(path.bytes().fold(start, |state, byte| self.automaton.next(state, byte)))
    }

    /// Returns whether both languages and that of all paths share a path, or one has a path below a path of the other.
    pub(super) fn meets(&self, other: &Self, paths: &Self) -> bool {
        let below = |short: &str, long: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'));
        let mut literals =
            self.literals.iter().flat_map(|ours| other.literals.iter().map(move |theirs| (ours, theirs)));
        literals.any(|(ours, theirs)| below(ours, theirs) || below(theirs, ours))
            || share([&self.automaton, &other.automaton, &paths.automaton])
    }
}

/// A deterministic automaton, whose states are made when they are first asked for.
struct Automaton {
    dfa: DFA,
    /// Large enough that no state is ever forgotten.
    states: RefCell<Cache>,
}

impl Automaton {
    fn new(expression: &str) -> Self {
        let config = DFA::config().cache_capacity(64 * 1024 * 1024);
        let dfa = DFA::builder().configure(config).build(&format!(r"{expression}\z")).expect("a regular expression");
        let states = RefCell::new(dfa.create_cache());
        Self { dfa, states }
    }

    fn start(&self) -> LazyStateID {
        let config = start::Config::new().anchored(Anchored::Yes);
        self.dfa.start_state(&mut self.states.borrow_mut(), &config).expect("room for a state")
    }

    fn next(&self, state: LazyStateID, byte: u8) -> LazyStateID {
        self.dfa.next_state(&mut self.states.borrow_mut(), state, byte).expect("room for a state")
    }

    /// Returns whether what led to the state is in the language.
    fn accepts(&self, state: LazyStateID) -> bool {
        let mut states = self.states.borrow_mut();
        let accepts = self.dfa.next_eoi_state(&mut states, state).expect("room for a state").is_match();
        assert_eq!(states.clear_count(), 0, "all states are remembered");
        accepts
    }
}

/// Searches the product of all three for a state that accepts at the end.
fn share(automata: [&Automaton; 3]) -> bool {
    let bytes: BTreeSet<u8> = ALPHABET.bytes().chain([b'/']).collect();
    let first = automata.map(Automaton::start);
    let mut seen = BTreeSet::from([first]);
    let mut open = vec![first];
    while let Some(states) = open.pop() {
        if automata.iter().zip(states).all(|(automaton, state)| automaton.accepts(state)) {
            return true;
        }
        for byte in &bytes {
            let next = [0, 1, 2].map(|at| automata[at].next(states[at], *byte));
            if next.iter().all(|state| !state.is_dead()) && seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}

/// Returns a set of characters of the alphabet as a regular expression.
fn set(holds: impl Fn(char) -> bool) -> String {
    let held: String =
        ALPHABET.chars().filter(|char| holds(*char)).map(|char| format!(r"\x{{{:x}}}", char as u32)).collect();
    if held.is_empty() { "[a&&b]".to_owned() } else { format!("[{held}]") }
}

/// One character of a segment, as a person reads it.
enum Sign {
    Star,
    /// The characters of the alphabet that fit.
    OneOf(BTreeSet<char>),
}

fn signs(segment: &str) -> Vec<Sign> {
    let lower = |char: char| char.to_lowercase().next().expect("a lower case");
    let mut signs = Vec::new();
    let mut rest = segment.chars();
    while let Some(char) = rest.next() {
        let sign = match char {
            '*' => Sign::Star,
            '?' => Sign::OneOf(ALPHABET.chars().collect()),
            '[' => {
                let inside: Vec<char> = rest.by_ref().take_while(|char| *char != ']').collect();
                let (negated, inside) = inside.strip_prefix(&['!']).map_or((false, &inside[..]), |left| (true, left));
                let mut held = BTreeSet::new();
                let mut at = 0;
                while at < inside.len() {
                    let high = if inside.get(at + 1) == Some(&'-') { at + 2 } else { at };
                    held.extend((inside[at]..=inside[high]).flat_map(|char| [char, lower(char)]));
                    at = high + 1;
                }
                Sign::OneOf(ALPHABET.chars().filter(|char| held.contains(char) != negated).collect())
            }
            char => Sign::OneOf(BTreeSet::from([lower(char)])),
        };
        signs.push(sign);
    }
    signs
}

/// Returns the path that the pattern is, if it is one.
fn literal(pattern: &str) -> Option<String> {
    let name = |segment: &str| {
        // A set of one is a character, unless the alphabet merely has no other: those start with `!` or are ranges.
        let open = segment.contains(['*', '?', '!', '-']);
        let chars = signs(segment).into_iter().map(|sign| match sign {
            Sign::OneOf(held) if held.len() == 1 => held.first().copied(),
            _ => None,
        });
        (!open).then(|| chars.collect::<Option<String>>()).flatten()
    };
    Some(pattern.split('/').map(name).collect::<Option<Vec<_>>>()?.join("/"))
}

fn expression(pattern: &str) -> String {
    let any = set(|_| true);
    let segments: Vec<&str> = pattern.split('/').collect();
    let mut out = String::new();
    let mut begun = false;
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        if matches!(*segment, "**" | "") {
            out += &match (begun, last) {
                (false, false) => format!("(?:{any}+/)*"),
                (false, true) => format!("{any}+(?:/{any}+)*"),
                (true, _) => format!("(?:/{any}+)*"),
            };
            continue;
        }
        if begun {
            out.push('/');
        }
        begun = true;
        for sign in signs(segment) {
            match sign {
                Sign::Star => out += &format!("{any}*"),
                Sign::OneOf(held) => out += &set(|char| held.contains(&char)),
            }
        }
    }
    out
}
