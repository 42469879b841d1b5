//! What the screen can list.

use clap::ValueEnum;

/// One list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Machines.
    #[default]
    Nodes,
    /// Cards of machines.
    Gpus,
    /// Containers of machines.
    Containers,
    /// Tasks that are not done.
    Beads,
    /// Claims on paths and beads.
    Leases,
    /// Letters to who looks.
    Mail,
    /// Links to other nodes.
    Peers,
}

impl View {
    /// All of them, in their order on the screen.
    pub(crate) const ALL: [Self; 7] =
        [Self::Nodes, Self::Gpus, Self::Containers, Self::Beads, Self::Leases, Self::Mail, Self::Peers];

    /// Returns what it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Gpus => "gpus",
            Self::Containers => "containers",
            Self::Beads => "beads",
            Self::Leases => "leases",
            Self::Mail => "mail",
            Self::Peers => "peers",
        }
    }

    /// Returns the first that begins so; a single letter is enough.
    pub(crate) fn named(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        Self::ALL.into_iter().find(|view| !text.is_empty() && view.name().starts_with(&text))
    }

    /// Returns the names of all of them, as a list.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Returns the one with a number on the screen, from 1.
    pub(crate) fn numbered(number: usize) -> Option<Self> {
        Self::ALL.get(number.checked_sub(1)?).copied()
    }

    /// Returns the next one; the first after the last.
    pub(crate) fn after(self) -> Self {
        self.at(1)
    }

    /// Returns the one before it; the last before the first.
    pub(crate) fn before(self) -> Self {
        self.at(Self::ALL.len() - 1)
    }

    fn at(self, steps: usize) -> Self {
        let here = Self::ALL.iter().position(|view| *view == self).unwrap_or_default();
        Self::ALL[(here + steps) % Self::ALL.len()]
    }
}
