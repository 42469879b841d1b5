//! Whether two globs share a name, exactly, and which one.
//!
//! The product of both over characters, where `*` may be skipped or eat a character and stay, and any other token eats
//! one. What is special about names: they are not empty, `.` or `..`, so the first characters are followed more closely
//! than the rest ([`Start`]).

use super::super::pattern::fold::lower;
use super::super::pattern::glob::is_usable;
use super::super::pattern::{Class, Token};

/// Tokens of either glob that the first characters of a name can lead to: two stars are never neighbours, so each
/// character goes past two tokens at most, and the third makes a name that is allowed.
const CORNER: usize = 6;

/// Letters and digits: what a witness is made of where it is free.
const PLAIN: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

/// Where the search for a character begins that neither of two negated brackets leaves out: from there on there are more
/// characters than they can name.
const SEARCH_START: char = '\u{4e00}';

/// What of a name was spelled, as far as it decides whether it may end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    /// Nothing, and no dot may come: names that begin with a dot are asked for last.
    Plain,
    /// Nothing.
    Nothing,
    /// `.`
    Dot,
    /// `..`
    Dots,
    /// What is a name, whatever follows.
    Name,
}

impl Start {
    /// The starts that are no name yet, the furthest first.
    const SHORT: [Self; 4] = [Self::Dots, Self::Dot, Self::Nothing, Self::Plain];

    fn after_dot(self) -> Option<Self> {
        match self {
            Self::Plain => None,
            Self::Nothing => Some(Self::Dot),
            Self::Dot => Some(Self::Dots),
            Self::Dots | Self::Name => Some(Self::Name),
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Returns whether some name is spelled by both globs.
pub(super) fn meets(ours: &[Token], theirs: &[Token]) -> bool {
    Product::new(ours, theirs).is_some_and(|product| product.start().is_some())
}

/// Returns a short name that both globs spell, of letters where it can be.
pub(super) fn shared(ours: &[Token], theirs: &[Token]) -> Option<String> {
    let product = Product::new(ours, theirs)?;
    let mut start = product.start()?;
    let mut name = String::new();
    let (mut our, mut their) = (0, 0);
    // Each turn goes forward in one glob, or spells one of the first three characters.
    while start != Start::Name || our < ours.len() || their < theirs.len() {
        let is_star = |tokens: &[Token], at: usize| tokens.get(at) == Some(&Token::AnyChars);
        if is_star(ours, our) && product.lives(our + 1, their, start) {
            our += 1;
        } else if is_star(theirs, their) && product.lives(our, their + 1, start) {
            their += 1;
        } else {
            let bite = product.bite(our, their)?;
            let char = if start != Start::Name && product.lives(bite.our, bite.their, Start::Name) {
                bite.char(true).or_else(|| bite.char(false))?
            } else if start == Start::Name {
                bite.char(false)?
            } else {
                '.'
            };
            start = if char == '.' { start.after_dot()? } else { Start::Name };
            name.push(char);
            (our, their) = (bite.our, bite.their);
        }
    }
    Some(name)
}

/// From which pairs of places the ends of both globs are reached.
struct Product<'a> {
    ours: &'a [Token],
    theirs: &'a [Token],
    /// One bit for each pair of places, for what is a name whatever follows.
    ends: Vec<u64>,
    /// For the first places of both, one bit for each start.
    corner: [[u8; CORNER]; CORNER],
}

impl<'a> Product<'a> {
    /// Returns `None` where the ends are out of reach whatever a name is.
    fn new(ours: &'a [Token], theirs: &'a [Token]) -> Option<Self> {
        if clash(ours.first(), theirs.first()) || clash(ours.last(), theirs.last()) {
            return None;
        }
        let bits = (ours.len() + 1) * (theirs.len() + 1);
        let mut product = Self { ours, theirs, ends: vec![0; bits.div_ceil(64)], corner: [[0; CORNER]; CORNER] };
        for our in (0..=ours.len()).rev() {
            for their in (0..=theirs.len()).rev() {
                if product.reaches_ends(our, their) {
                    let bit = product.bit(our, their);
                    product.ends[bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        if !product.lives(0, 0, Start::Name) {
            return None;
        }
        for our in (0..=ours.len().min(CORNER - 1)).rev() {
            for their in (0..=theirs.len().min(CORNER - 1)).rev() {
                for start in Start::SHORT {
                    if product.reaches_name(our, their, start) {
                        product.corner[our][their] |= start.bit();
                    }
                }
            }
        }
        Some(product)
    }

    /// Returns how a shared name may start, if there is one.
    fn start(&self) -> Option<Start> {
        [Start::Plain, Start::Nothing].into_iter().find(|start| self.lives(0, 0, *start))
    }

    fn bit(&self, our: usize, their: usize) -> usize {
        our * (self.theirs.len() + 1) + their
    }

    /// Returns whether a shared name goes on from there.
    fn lives(&self, our: usize, their: usize, start: Start) -> bool {
        if our > self.ours.len() || their > self.theirs.len() {
            return false;
        }
        if start == Start::Name {
            let bit = self.bit(our, their);
            return self.ends[bit / 64] & (1 << (bit % 64)) != 0;
        }
        our < CORNER && their < CORNER && self.corner[our][their] & start.bit() != 0
    }

    /// Decides one place from those behind it, for what is a name already.
    fn reaches_ends(&self, our: usize, their: usize) -> bool {
        let lives = |our, their| self.lives(our, their, Start::Name);
        match (self.ours.get(our), self.theirs.get(their)) {
            (None, None) => true,
            // A star is skipped, or eats what stands opposite; a star there is skipped, which leads to the same place.
            (Some(Token::AnyChars), _) => lives(our + 1, their) || lives(our, their + 1),
            (_, Some(Token::AnyChars)) => lives(our, their + 1) || lives(our + 1, their),
            (Some(ours), Some(theirs)) => lives(our + 1, their + 1) && overlap(ours, theirs),
            _ => false,
        }
    }

    /// Decides one place from those behind it and from later starts, for what is no name yet.
    fn reaches_name(&self, our: usize, their: usize, start: Start) -> bool {
        let is_star = |token: Option<&Token>| token == Some(&Token::AnyChars);
        if is_star(self.ours.get(our)) && self.lives(our + 1, their, start)
            || is_star(self.theirs.get(their)) && self.lives(our, their + 1, start)
        {
            return true;
        }
        self.bite(our, their).is_some_and(|bite| {
            let dotted =
                start.after_dot().is_some_and(|next| bite.takes('.') && self.lives(bite.our, bite.their, next));
            dotted || (self.lives(bite.our, bite.their, Start::Name) && bite.char(true).is_some())
        })
    }

    /// Returns the step that eats one character on both sides, if both can.
    fn bite(&self, our: usize, their: usize) -> Option<Bite<'a>> {
        let (ours, theirs) = (self.ours.get(our)?, self.theirs.get(their)?);
        let past = |token: &Token| usize::from(*token != Token::AnyChars);
        Some(Bite { tokens: [ours, theirs], our: our + past(ours), their: their + past(theirs) })
    }
}

/// One character, eaten by a token of either glob, and the places after it.
struct Bite<'a> {
    tokens: [&'a Token; 2],
    our: usize,
    their: usize,
}

impl Bite<'_> {
    fn takes(&self, char: char) -> bool {
        self.tokens.iter().all(|token| token.takes(char))
    }

    /// Returns the most readable character that both take, if there is one.
    fn char(&self, no_dot: bool) -> Option<char> {
        let fits = |char: &char| !(no_dot && *char == '.') && self.takes(*char);
        match self.tokens {
            [Token::Char(char), _] | [_, Token::Char(char)] => Some(*char).filter(fits),
            [Token::OneOf(ours), Token::OneOf(theirs)] => {
                PLAIN.chars().find(fits).or_else(|| rare(ours, theirs, no_dot))
            }
            [Token::OneOf(class), _] | [_, Token::OneOf(class)] => {
                PLAIN.chars().find(fits).or_else(|| rare(class, class, no_dot))
            }
            _ => PLAIN.chars().next(),
        }
    }
}

/// Returns whether two tokens at one end of both globs rule out every name.
fn clash(ours: Option<&Token>, theirs: Option<&Token>) -> bool {
    matches!((ours, theirs), (Some(Token::Char(ours)), Some(Token::Char(theirs))) if ours != theirs)
}

/// Returns whether one character is taken by both tokens, neither of which is a star.
fn overlap(ours: &Token, theirs: &Token) -> bool {
    match (ours, theirs) {
        (Token::Char(ours), Token::Char(theirs)) => ours == theirs,
        (Token::Char(char), token) | (token, Token::Char(char)) => token.takes(*char),
        (Token::OneOf(ours), Token::OneOf(theirs)) => {
            ours.negated && theirs.negated || first_shared(ours, theirs, |_| true).is_some()
        }
        _ => true,
    }
}

/// Returns a character of both sets that is neither a letter nor a digit of ASCII.
fn rare(ours: &Class, theirs: &Class, no_dot: bool) -> Option<char> {
    if ours.negated && theirs.negated {
        let mut char = SEARCH_START;
        // Each turn leaves a range behind, or one of the characters that no folded name has.
        while let Some(next) = behind(ours, char).or_else(|| behind(theirs, char)) {
            char = next;
        }
        return Some(char);
    }
    first_shared(ours, theirs, |char| !(no_dot && char == '.'))
}

/// Returns the character to go on with if a negated set leaves this one out.
fn behind(class: &Class, char: char) -> Option<char> {
    let at = class.ranges.partition_point(|(_, high)| *high < char);
    let high = class.ranges.get(at).filter(|(low, _)| *low <= char).map(|(_, high)| *high);
    let unfit = !is_usable(char) || lower(char) != char;
    high.or(unfit.then_some(char)).and_then(after)
}

/// Returns the first character of both sets, one of which is not negated, that fits.
///
/// What a set that is not negated holds occurs in folded names, so only ranges have to be compared.
fn first_shared(ours: &Class, theirs: &Class, fits: impl Fn(char) -> bool) -> Option<char> {
    let (listed, other) = if ours.negated { (theirs, ours) } else { (ours, theirs) };
    for &(low, high) in &listed.ranges {
        let mut char = low;
        while char <= high {
            let at = other.ranges.partition_point(|(_, last)| *last < char);
            let next = match (other.ranges.get(at), other.negated) {
                (Some((first, last)), true) if *first <= char => after(*last),
                (Some((first, _)), false) if *first > char => Some(*first),
                (None, false) => return None,
                _ if fits(char) => return Some(char),
                _ => after(char),
            };
            match next {
                Some(next) => char = next,
                None => break,
            }
        }
    }
    None
}

fn after(char: char) -> Option<char> {
    (char..=char::MAX).nth(1)
}

#[cfg(test)]
mod tests;
