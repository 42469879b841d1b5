//! Values of the keys in `watch`: what something costs, and what is to be run.

use std::fmt;
use std::time::Duration;

use super::reader::{Raw, Shown};
use super::value::{Wrong, wrong};

/// Parts that an amount is counted in, of one unit of its currency.
const PARTS: u64 = 10_000;

/// Digits behind the point that these are.
const DIGITS: usize = 4;

/// The largest amount, in units of its currency: room for any currency, and for the multiplication with time.
const AMOUNT_MAX: u64 = 1_000_000_000;

/// What alarms this node's user wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watching {
    /// For how long a card may idle.
    pub gpu_idle: Option<Duration>,
    /// What an hour of this machine costs.
    pub cost_per_hour: Option<Amount>,
    /// What it may cost in all.
    pub budget: Option<Amount>,
    /// What to run when all cards idle or the budget is spent.
    pub stop_command: Option<StopCommand>,
}

/// An amount of money, in any currency, to a ten-thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(u64);

impl Amount {
    /// Returns so many ten-thousandths.
    pub(crate) const fn new(parts: u64) -> Self {
        Self(parts)
    }

    /// Returns how many ten-thousandths it is.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(rest) || rest.len() > DIGITS {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|whole| *whole <= AMOUNT_MAX)?;
        let rest: u64 = format!("{rest:0<DIGITS$}").parse().ok()?;
        Some(Self(whole * PARTS + rest)).filter(|amount| (1..=AMOUNT_MAX * PARTS).contains(&amount.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / PARTS, self.0 % PARTS);
        let rest = format!("{rest:0DIGITS$}");
        match rest.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            rest => write!(f, "{whole}.{rest:0<2}"),
        }
    }
}

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopCommand(Vec<String>);

impl StopCommand {
    /// Returns the command of these words; `None` without any.
    pub(crate) fn new(words: Vec<String>) -> Option<Self> {
        Some(Self(words)).filter(|command| command.0.first().is_some_and(|program| !program.is_empty()))
    }

    /// Returns the program.
    pub(crate) fn program(&self) -> &str {
        &self.0[0]
    }

    /// Returns its arguments.
    pub(crate) fn args(&self) -> &[String] {
        &self.0[1..]
    }
}

impl fmt::Display for StopCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Reads an amount of money.
pub(super) fn amount(raw: &Raw) -> Result<Amount, Wrong> {
    let remedy = format!("write 0.0001 to {AMOUNT_MAX}, with {DIGITS} digits behind the point at most, such as 2.49");
    let read = match raw {
        Raw::Text(text) | Raw::Other(text) => Amount::parse(text.trim()),
        Raw::List(_) | Raw::Switch(_) => None,
    };
    read.ok_or_else(|| wrong(format!("{raw} is no amount"), remedy))
}

/// Reads a command: the words of a text, or a list of words that may hold spaces.
pub(super) fn stop_command(raw: &Raw) -> Result<StopCommand, Wrong> {
    let remedy = "write a program with its arguments, such as \"/sbin/poweroff\" or [\"sh\", \"-c\", \"a | b\"]";
    let words = match raw {
        Raw::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        Raw::List(words) => words.clone(),
        Raw::Switch(_) | Raw::Other(_) => Vec::new(),
    };
    StopCommand::new(words).ok_or_else(|| wrong(format!("{raw} is no command"), remedy))
}

impl Shown for Amount {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Shown for StopCommand {
    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> serde_json::Value {
        self.0.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_to_a_ten_thousandth_and_shown_as_people_write_it() {
        for (text, parts, shown) in
            [("2.49", 24_900, "2.49"), ("50", 500_000, "50"), ("0.5", 5_000, "0.50"), ("0.0001", 1, "0.0001")]
        {
            let amount = Amount::parse(text).unwrap();
            assert_eq!((amount.get(), amount.to_string().as_str()), (parts, shown));
        }
        for text in ["", ".", ".5", "0", "0.00001", "-1", "1e3", "2,49", "1.2.3", "1000000001", "1_000"] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_command_is_words_and_those_of_a_list_may_hold_spaces() {
        let read = |raw| stop_command(&raw).ok().map(|command| command.0);
        assert_eq!(read(Raw::Text("/sbin/poweroff  -f".into())).unwrap(), ["/sbin/poweroff", "-f"]);
        assert_eq!(read(Raw::List(vec!["sh".into(), "-c".into(), "a | b".into()])).unwrap()[2], "a | b");
        assert_eq!((read(Raw::List(vec![])), read(Raw::Text(" ".into())), read(Raw::Switch(true))), (None, None, None));
    }
}
