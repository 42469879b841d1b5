//! What is wrong with what was set, where, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::{FILE_VARIABLE, KEYS};

/// Where something is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On a flag, or one of several.
    Flag(&'static str),
    /// In a variable of the environment.
    Variable(&'static str),
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl Place {
    /// Returns the word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Variable(_) => "environment",
            Self::File { .. } => "file",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One thing that is wrong with what was set.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// The file can not be read.
    #[error("{} can not be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than any that somebody wrote.
    #[error("{} has {bytes} bytes, at most {bytes_max} are read", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The file is no TOML.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong there.
        problem: String,
    },
    /// There is no such key.
    #[error("{place}: there is no key {key}{}", near.map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    Unknown {
        /// Where it stands.
        place: Place,
        /// The key as written.
        key: String,
        /// One that may have been meant.
        near: Option<&'static str>,
    },
    /// A value means nothing, or is out of bounds.
    #[error("{place}: {key} {problem}")]
    Wrong {
        /// Where it stands.
        place: Place,
        /// The key.
        key: &'static str,
        /// What is wrong with the value, with its bound.
        problem: String,
        /// What to write instead.
        remedy: String,
    },
}

impl Mistake {
    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => format!("see to the file, or name another with --config or {FILE_VARIABLE}"),
            Self::TooLong { .. } => "is it the right file? Every key can be set in a few lines".to_owned(),
            Self::Syntax { .. } => "write it like: mdns = false, below [net]".to_owned(),
            Self::Unknown { near: Some(near), .. } => format!("write {near}, or take the line out"),
            Self::Unknown { .. } => {
                let keys: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
                format!("the keys are {}", keys.join(", "))
            }
            Self::Wrong { remedy, .. } => remedy.clone(),
        }
    }
}

/// All that is wrong with what was set: one thing at least.
#[derive(Debug)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Returns them, if there are any.
    pub(super) fn new(mistakes: Vec<Mistake>) -> Option<Self> {
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    /// Returns each.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        "config"
    }

    /// Returns what to do about them, a sentence each.
    pub fn hint(&self) -> String {
        let mut hints: Vec<String> = self.0.iter().map(Mistake::hint).collect();
        hints.dedup();
        hints.join("; ")
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&told.join("; "))
    }
}

impl std::error::Error for Mistakes {}
