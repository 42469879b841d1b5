//! A scope: what a claim covers, path patterns of one project and beads, and whether two of them clash.
//!
//! Beads are named beside the patterns and never as paths, so no file can be mistaken for one. Who holds a scope, and for
//! how long, is not decided here.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{BeadId, ProjectId};
use crate::limits::{SCOPE_BEADS_MAX, SCOPE_PATTERNS_MAX};

pub mod index;
mod intersect;
#[cfg(test)]
mod pairs;
pub mod pattern;

pub use index::Index;
pub use pattern::{Pattern, PatternError, fold};

/// What a claim covers: 1 to 16 patterns of one project, 1 to 16 beads, or both.
///
/// Equal sets of patterns make equal scopes, in whatever order and case they were given. A scope travels as it is kept;
/// one that is not in the canonical form is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Scope {
    project: Option<ProjectId>,
    beads: BTreeSet<BeadId>,
    /// Sorted by text; no two match the same way.
    patterns: Vec<Pattern>,
}

impl Scope {
    /// Joins beads and patterns; of patterns that differ in case alone, the first by text stays.
    ///
    /// Patterns without a project are a project of their own. A project known by several ids must be given by the one
    /// that it is shown by.
    ///
    /// # Errors
    ///
    /// Refuses a scope of nothing, and more beads or patterns than allowed.
    pub fn new(
        project: Option<ProjectId>,
        beads: impl IntoIterator<Item = BeadId>,
        patterns: impl IntoIterator<Item = Pattern>,
    ) -> Result<Self, ScopeError> {
        let beads: BTreeSet<BeadId> = beads.into_iter().collect();
        let mut patterns: Vec<Pattern> = patterns.into_iter().collect();
        patterns.sort_unstable_by(|a, b| (a.segments(), a.as_str()).cmp(&(b.segments(), b.as_str())));
        patterns.dedup_by(|later, earlier| later.segments() == earlier.segments());
        patterns.sort_unstable();
        if beads.is_empty() && patterns.is_empty() {
            return Err(ScopeError::Empty);
        }
        if beads.len() > SCOPE_BEADS_MAX {
            return Err(ScopeError::Beads(beads.len()));
        }
        if patterns.len() > SCOPE_PATTERNS_MAX {
            return Err(ScopeError::Patterns(patterns.len()));
        }
        Ok(Self { project, beads, patterns })
    }

    /// Reads patterns as people write them, braces and all, and joins them with beads.
    ///
    /// # Errors
    ///
    /// Refuses what [`Pattern::parse`] and [`Scope::new`] refuse; the error says which pattern it was.
    pub fn parse<T: AsRef<str>>(
        project: Option<ProjectId>,
        beads: impl IntoIterator<Item = BeadId>,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, ScopeError> {
        let mut parsed = Vec::new();
        for (index, text) in patterns.into_iter().enumerate() {
            let read = Pattern::parse(text.as_ref());
            parsed.extend(read.map_err(|source| ScopeError::Pattern { at: index + 1, source })?);
        }
        Self::new(project, beads, parsed)
    }

    /// Returns the project that the patterns are of.
    pub fn project(&self) -> Option<ProjectId> {
        self.project
    }

    /// Returns the beads, sorted.
    pub fn beads(&self) -> &BTreeSet<BeadId> {
        &self.beads
    }

    /// Returns the patterns, sorted by text.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Returns whether the path of the scope's project, in any case and normal form, is covered.
    ///
    /// What is no path of a repository is covered by nothing; see [`Pattern::matches`].
    pub fn matches(&self, path: &str) -> bool {
        let folded = fold(path);
        self.patterns.iter().any(|pattern| pattern.matches_folded(&folded))
    }

    /// Returns whether both scopes cover something in common; cheaper than asking what.
    pub fn meets(&self, other: &Self) -> bool {
        self.beads.intersection(&other.beads).next().is_some() || self.meeting_patterns(other).is_some()
    }

    /// Returns something that both scopes cover, the same whichever of the two is asked.
    ///
    /// Beads are the same whatever the projects; patterns of different projects have nothing in common.
    pub fn clash(&self, other: &Self) -> Option<Witness> {
        self.clash_between(other).map(|clash| clash.witness)
    }

    /// Returns something that both scopes cover, and by what on either side.
    pub fn clash_between(&self, other: &Self) -> Option<Clash> {
        if let Some(bead) = self.beads.intersection(&other.beads).next() {
            let witness = Witness::Bead(*bead);
            return Some(Clash { ours: witness.to_string(), theirs: witness.to_string(), witness });
        }
        let (ours, theirs) = if self <= other {
            self.meeting_patterns(other)?
        } else {
            let (theirs, ours) = other.meeting_patterns(self)?;
            (ours, theirs)
        };
        let witness = Witness::Path(ours.intersect(theirs).expect("patterns that meet have a witness"));
        Some(Clash { ours: ours.to_string(), theirs: theirs.to_string(), witness })
    }

    /// Returns the first patterns of both that meet.
    fn meeting_patterns<'a>(&'a self, other: &'a Self) -> Option<(&'a Pattern, &'a Pattern)> {
        if self.project != other.project {
            return None;
        }
        let pairs = self.patterns.iter().flat_map(|ours| other.patterns.iter().map(move |theirs| (ours, theirs)));
        pairs.into_iter().find(|(ours, theirs)| ours.meets(theirs))
    }
}

/// Whether others may hold a clashing scope at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nobody else may.
    Exclusive,
    /// Those may who hold theirs shared.
    Shared,
}

impl Mode {
    /// Returns whether two holders with these modes may not hold clashing scopes.
    pub const fn excludes(self, other: Self) -> bool {
        !matches!((self, other), (Self::Shared, Self::Shared))
    }
}

/// What two clashing scopes both cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Witness {
    /// A bead.
    Bead(BeadId),
    /// A path, relative to the repository, in the form that is compared. It need not exist.
    Path(String),
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bead(bead) => write!(f, "bead:{bead}"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// A witness, and what covers it on either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The pattern of the scope that was asked, or the bead as `bead:<id>`.
    pub ours: String,
    /// The pattern of the other scope, or the bead as `bead:<id>`.
    pub theirs: String,
    /// What both cover.
    pub witness: Witness,
}

/// Why something is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Neither beads nor patterns.
    #[error("scope covers nothing; name a bead or a pattern, `**` is the whole project")]
    Empty,
    /// More beads than allowed.
    #[error("scope has {0} beads, at most {SCOPE_BEADS_MAX} are allowed; make several claims")]
    Beads(usize),
    /// More patterns than allowed.
    #[error(
        "scope has {0} patterns, alternatives of braces counted, at most {SCOPE_PATTERNS_MAX} are allowed; name whole \
         directories or make several claims"
    )]
    Patterns(usize),
    /// One of the patterns is none.
    #[error("pattern {at} of the scope: {source}")]
    Pattern {
        /// Which one, counted from 1.
        at: usize,
        /// What is wrong with it.
        source: PatternError,
    },
    /// A scope that travelled was not in the form in which scopes travel.
    #[error("scope is not canonical; beads and patterns are sorted, each once and as `Scope` writes them")]
    NotCanonical,
}

/// A scope as it travels.
#[derive(Serialize, Deserialize)]
struct Wire {
    project: Option<ProjectId>,
    beads: Vec<BeadId>,
    patterns: Vec<String>,
}

impl From<Scope> for Wire {
    fn from(scope: Scope) -> Self {
        let patterns = scope.patterns.iter().map(Pattern::to_string).collect();
        Self { project: scope.project, beads: scope.beads.into_iter().collect(), patterns }
    }
}

impl TryFrom<Wire> for Scope {
    type Error = ScopeError;

    fn try_from(wire: Wire) -> Result<Self, ScopeError> {
        // Before anything is parsed: what came from a peer costs no more than what is allowed.
        if wire.beads.len() > SCOPE_BEADS_MAX {
            return Err(ScopeError::Beads(wire.beads.len()));
        }
        if wire.patterns.len() > SCOPE_PATTERNS_MAX {
            return Err(ScopeError::Patterns(wire.patterns.len()));
        }
        let scope = Self::parse(wire.project, wire.beads.iter().copied(), &wire.patterns)?;
        let is_canonical = scope.beads.iter().eq(&wire.beads)
            && scope.patterns.iter().map(Pattern::as_str).eq(wire.patterns.iter().map(String::as_str));
        if is_canonical { Ok(scope) } else { Err(ScopeError::NotCanonical) }
    }
}

#[cfg(test)]
mod tests;
