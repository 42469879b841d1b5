//! Colour: a few meanings, each with one look. The streams take it out where it is not wanted.

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// A heading, or what the eye should find first.
    Strong,
    /// What can be passed over.
    Faint,
    /// A name that can be used in a command.
    Name,
    /// Well.
    Good,
    /// Waiting, or behind.
    Slow,
    /// Wrong, or urgent.
    Bad,
}

impl Paint {
    /// Returns the text in that look; it is plain again behind it.
    pub(crate) fn on(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Name => "36",
            Self::Good => "32",
            Self::Slow => "33",
            Self::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Returns the look of a status.
    pub(crate) fn status(status: &str) -> Self {
        match status {
            "in_progress" | "hooked" => Self::Good,
            "blocked" => Self::Bad,
            "deferred" | "pinned" => Self::Slow,
            "closed" | "tombstone" => Self::Faint,
            _ => Self::Plain,
        }
    }

    /// Returns the look of a priority.
    pub(crate) fn priority(priority: u8) -> Self {
        match priority {
            0 => Self::Bad,
            1 => Self::Slow,
            2 => Self::Plain,
            _ => Self::Faint,
        }
    }
}
