//! Aliases: the names people give to beads and read them by.
//!
//! An alias is display; the id is what counts. Which bead an alias inside a dependency means is said in `graph`.

use crate::clock::Wall;
use crate::id::BeadId;
use crate::limits::{ALIAS_BYTES_MAX, ALIAS_PREFIX_BYTES_MAX};

/// Characters of the id in a minted alias, and in the suffix that tells two beads of one alias apart.
const ID_CHARS_MIN: usize = 4;

/// Characters of the start of an alias or id that finds a bead, as of a commit in git.
const START_CHARS_MIN: usize = 4;

/// What stands between an alias and the suffix that tells its bearers apart.
const SUFFIX_MARK: char = '~';

/// Makes a new bead's alias: the prefix and the shortest start of the id, at least 4 characters, that is not taken.
///
/// Only an equal alias counts as taken: a whole alias is always found before a prefix is tried, so one alias may start
/// another.
pub fn mint(prefix: &str, id: BeadId, taken: impl Fn(&str) -> bool) -> String {
    let text = id.to_string();
    let free = (ID_CHARS_MIN..text.len()).map(|chars| format!("{prefix}-{}", &text[..chars])).find(|name| !taken(name));
    free.unwrap_or_else(|| format!("{prefix}-{text}"))
}

/// Makes a child's alias, `parent.n`, one above the highest number in use.
pub fn child(parent: &str, numbers: impl IntoIterator<Item = u32>) -> String {
    let next = numbers.into_iter().max().unwrap_or(0).saturating_add(1);
    format!("{parent}.{next}")
}

/// Returns the number of a child's alias under its parent's, `3` for `x.3` under `x`.
pub fn child_number(parent: &str, alias: &str) -> Option<u32> {
    let digits = alias.strip_prefix(parent)?.strip_prefix('.')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Returns what is shown for a bead: the alias for the oldest bead that bears it, `alias~k7f3` for any other.
pub fn display(alias: &str, id: BeadId, oldest: BeadId) -> String {
    if id == oldest {
        return alias.to_owned();
    }
    format!("{alias}{SUFFIX_MARK}{}", &id.to_string()[..ID_CHARS_MIN])
}

/// Splits a name into its alias and the suffix behind `~`, if it has one.
pub fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(SUFFIX_MARK) {
        Some((alias, suffix)) => (alias, Some(suffix)),
        None => (name, None),
    }
}

/// Checks that a text can be an alias: 1 to 128 bytes without spaces, control characters, `~`, `,` or a leading `bead:`.
///
/// # Errors
///
/// Names the bound or the character that is not allowed.
pub fn check(text: &str) -> Result<(), AliasError> {
    if text.is_empty() {
        return Err(AliasError::Empty);
    }
    if text.len() > ALIAS_BYTES_MAX {
        return Err(AliasError::Bytes(text.len()));
    }
    if text.starts_with("bead:") {
        return Err(AliasError::BeadMark);
    }
    let bad = |char: &char| char.is_whitespace() || char.is_control() || matches!(char, ',' | '~');
    match text.chars().find(bad) {
        Some(char) => Err(AliasError::Character(char)),
        None => Ok(()),
    }
}

/// Checks that minted aliases can begin with a text: 1 to 20 ASCII letters, digits, `-`, `_` or `.`, a letter or digit
/// first.
///
/// # Errors
///
/// Names the bound or the character that is not allowed.
pub fn check_prefix(text: &str) -> Result<(), PrefixError> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    if let Some(char) = text.chars().find(|char| !allowed(*char)) {
        return Err(PrefixError::Character(char));
    }
    if text.len() > ALIAS_PREFIX_BYTES_MAX {
        return Err(PrefixError::Bytes(text.len()));
    }
    match text.chars().next() {
        Some(first) if first.is_ascii_alphanumeric() => Ok(()),
        _ => Err(PrefixError::Start),
    }
}

/// Why minted aliases can not begin with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// More bytes than allowed.
    #[error("a prefix has at most {ALIAS_PREFIX_BYTES_MAX} bytes, this one has {0}")]
    Bytes(usize),
    /// A character that not every shell and tool takes as it is.
    #[error("a prefix can not contain {0:?}")]
    Character(char),
    /// Neither a letter nor a digit comes first.
    #[error("a prefix starts with a letter or a digit")]
    Start,
}

/// Why a text can not be an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// Nothing stands there.
    #[error("an alias can not be empty")]
    Empty,
    /// More bytes than allowed.
    #[error("an alias has at most {ALIAS_BYTES_MAX} bytes, this one has {0}")]
    Bytes(usize),
    /// A character that would end the alias elsewhere.
    #[error("an alias can not contain {0:?}")]
    Character(char),
    /// The start that marks an id.
    #[error("an alias can not start with \"bead:\", which marks an id")]
    BeadMark,
}

/// What a person wrote to name a bead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The whole id.
    Id(BeadId),
    /// An alias and the start of the id, as `display` writes it.
    Suffixed {
        /// The alias.
        alias: String,
        /// The start of the id in base32, lower case.
        suffix: String,
    },
    /// An alias, or the start of an alias or of an id.
    Name(String),
}

impl Reference {
    /// Reads what a person wrote.
    ///
    /// # Errors
    ///
    /// Refuses what no alias and no id can start with.
    pub fn parse(text: &str) -> Result<Self, AliasError> {
        let text = text.trim();
        if let Ok(id) = text.strip_prefix("bead:").unwrap_or(text).parse() {
            return Ok(Self::Id(id));
        }
        let (alias, suffix) = split(text);
        check(alias)?;
        match suffix {
            Some(suffix) if is_base32(suffix) => {
                Ok(Self::Suffixed { alias: alias.to_owned(), suffix: suffix.to_ascii_lowercase() })
            }
            Some(_) => Err(AliasError::Character(SUFFIX_MARK)),
            None => Ok(Self::Name(alias.to_owned())),
        }
    }

    /// Finds the bead that is meant among candidates of alias, id and age.
    ///
    /// A whole id or alias comes first, and of beads that share an alias the oldest; else one bead alone may start so.
    /// A start has at least 4 characters, and cuts neither a number nor a child from its parent: `bd-1` starts neither
    /// `bd-10` nor `bd-1.1`.
    ///
    /// # Errors
    ///
    /// Says that nothing fits, or lists what does.
    pub fn find<'a>(&self, beads: impl IntoIterator<Item = (&'a str, BeadId, Wall)>) -> Result<BeadId, FindError> {
        let mut whole: Option<(Wall, BeadId)> = None;
        let mut starts = Vec::new();
        for (alias, id, created_at) in beads {
            match self.fits(alias, id) {
                Some(Fit::Whole) => whole = Some(whole.map_or((created_at, id), |best| best.min((created_at, id)))),
                Some(Fit::Start) => starts.push(id),
                None => {}
            }
        }
        if let Some((_, id)) = whole {
            return Ok(id);
        }
        starts.sort_unstable();
        match starts.as_slice() {
            [] => Err(FindError::None),
            [id] => Ok(*id),
            _ => Err(FindError::Several(starts)),
        }
    }

    /// Returns how well a bead fits.
    pub fn fits(&self, alias: &str, id: BeadId) -> Option<Fit> {
        match self {
            Self::Id(wanted) => (*wanted == id).then_some(Fit::Whole),
            Self::Suffixed { alias: wanted, suffix } => {
                (wanted == alias && id.to_string().starts_with(suffix)).then_some(Fit::Start)
            }
            Self::Name(name) if name == alias => Some(Fit::Whole),
            Self::Name(name) if name.chars().count() < START_CHARS_MIN => None,
            Self::Name(name) => {
                let starts_id = || is_base32(name) && id.to_string().starts_with(&name.to_ascii_lowercase());
                (starts_alias(name, alias) || starts_id()).then_some(Fit::Start)
            }
        }
    }
}

/// Returns whether an alias starts so, and goes on in a way that a person would leave out.
fn starts_alias(start: &str, alias: &str) -> bool {
    let Some(rest) = alias.strip_prefix(start) else { return false };
    let cuts_number =
        start.ends_with(|char: char| char.is_ascii_digit()) && rest.starts_with(|char: char| char.is_ascii_digit());
    !cuts_number && !rest.starts_with('.')
}

/// How a bead fits a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The reference starts its alias or its id.
    Start,
    /// The reference is its alias or its id.
    Whole,
}

/// Why no bead was found for a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nothing fits.
    #[error("no such bead")]
    None,
    /// More than one bead starts so; all are listed, by id.
    #[error("{} beads start so", .0.len())]
    Several(Vec<BeadId>),
}

fn is_base32(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: BeadId = BeadId::from_bytes([0; 16]);
    const BOB: BeadId = BeadId::from_bytes([0xff; 16]);
    const OLD: Wall = Wall::from_millis(1);
    const NEW: Wall = Wall::from_millis(2);

    #[test]
    fn minting_takes_the_shortest_free_start_of_the_id() {
        assert_eq!(mint("bd", ADA, |_| false), "bd-aaaa");
        assert_eq!(mint("bd", ADA, |name| name.len() < "bd-aaaaaa".len()), "bd-aaaaaa");
        assert_eq!(mint("bd", ADA, |_| true), format!("bd-{ADA}"));
    }

    #[test]
    fn a_child_takes_the_number_after_the_highest() {
        assert_eq!(child("bd-x", []), "bd-x.1");
        assert_eq!(child("bd-x", [1, 7, 3]), "bd-x.8");
        assert_eq!(child_number("bd-x", "bd-x.8"), Some(8));
        assert_eq!(child_number("bd-x", "bd-x.8.1"), None);
        assert_eq!(child_number("bd-x", "bd-x."), None);
        assert_eq!(child_number("bd-x", "bd-y.1"), None);
    }

    #[test]
    fn the_younger_bearer_of_an_alias_shows_a_suffix() {
        assert_eq!(display("VED-D01", ADA, ADA), "VED-D01");
        assert_eq!(display("VED-D01", BOB, ADA), "VED-D01~7777");
        assert_eq!(split("VED-D01~7777"), ("VED-D01", Some("7777")));
    }

    #[test]
    fn a_reference_finds_whole_names_before_starts() {
        let beads = [("bd-1", ADA, NEW), ("bd-12", BOB, OLD)];
        let find = |text: &str| Reference::parse(text).expect("a reference").find(beads);
        assert_eq!(find("bd-1"), Ok(ADA));
        assert_eq!(find("bd-12"), Ok(BOB));
        assert_eq!(find("7777"), Ok(BOB));
        assert_eq!(find(&ADA.to_string()), Ok(ADA));
        assert_eq!(find(&format!("bead:{BOB}")), Ok(BOB));
        assert_eq!(find("bd-2"), Err(FindError::None));
    }

    #[test]
    fn a_start_is_long_enough_and_cuts_no_number_and_no_child_off() {
        for (start, alias, fits) in [
            ("bd-k", "bd-k7f3", true),
            ("bd-", "bd-k7f3", false),
            ("VED-D", "VED-D01", true),
            ("VED-D0", "VED-D01", false),
            ("bd-1", "bd-10", false),
            ("bd-1", "bd-1a", true),
            ("bd-10", "bd-10.1", false),
            ("bd-k7f3", "bd-k7f3.1", false),
            ("bd-k7f3.", "bd-k7f3.1", true),
            ("bd-k7f3.1", "bd-k7f3.12", false),
            ("bd-k7f3.1", "bd-k7f3.1.2", false),
        ] {
            let found = Reference::parse(start).expect("a reference").find([(alias, ADA, OLD)]);
            assert_eq!(found.is_ok(), fits, "{start} of {alias}");
        }
        let find = |text: &str| Reference::parse(text).expect("a reference").find([("a", ADA, NEW), ("b", BOB, OLD)]);
        assert_eq!((find("777"), find("7777")), (Err(FindError::None), Ok(BOB)));
        let both = [("bd-kx", ADA, NEW), ("bd-ky", BOB, OLD)];
        let several = Reference::parse("bd-k").expect("a reference").find(both);
        assert_eq!(several, Err(FindError::Several(vec![ADA, BOB])));
    }

    #[test]
    fn a_shared_alias_means_the_oldest_and_its_suffix_the_other() {
        let beads = [("VED-D01", BOB, NEW), ("VED-D01", ADA, OLD)];
        let find = |text: &str| Reference::parse(text).expect("a reference").find(beads);
        assert_eq!(find("VED-D01"), Ok(ADA));
        assert_eq!(find("VED-D01~7777"), Ok(BOB));
        assert_eq!(find("VED-D01~aaaa"), Ok(ADA));
    }

    #[test]
    fn what_can_not_be_an_alias_is_refused_with_the_reason() {
        assert_eq!(check("VED-D01.2"), Ok(()));
        assert_eq!(check(""), Err(AliasError::Empty));
        assert_eq!(check("a b"), Err(AliasError::Character(' ')));
        assert_eq!(check("a~b"), Err(AliasError::Character('~')));
        assert_eq!(check("bead:x"), Err(AliasError::BeadMark));
        let error = check(&"x".repeat(129)).expect_err("129 bytes are over the bound");
        assert_eq!(error.to_string(), "an alias has at most 128 bytes, this one has 129");
    }

    #[test]
    fn a_prefix_is_short_and_plain() {
        for prefix in ["bm", "VED-D", "a_b.c", "7"] {
            assert_eq!(check_prefix(prefix), Ok(()), "{prefix}");
        }
        assert_eq!(check_prefix("ü x"), Err(PrefixError::Character('ü')));
        assert_eq!(check_prefix("a b"), Err(PrefixError::Character(' ')));
        assert_eq!(check_prefix(""), Err(PrefixError::Start));
        assert_eq!(check_prefix("-x"), Err(PrefixError::Start));
        assert_eq!(check_prefix(&"x".repeat(20)), Ok(()));
        assert_eq!(check_prefix(&"x".repeat(21)), Err(PrefixError::Bytes(21)));
    }
}
