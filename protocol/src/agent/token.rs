//! Tokens: how an agent proves to its node who it is. The node keeps a hash; the token is shown once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::base32;

/// What tokens begin with.
const TOKEN_MARK: &str = "bma1";

const BYTES: usize = 20;
const CHARS: usize = BYTES * 8 / 5;

/// The BLAKE3 context under which a token is hashed.
const HASH_CONTEXT: &str = "beadmesh 2026 agent token v1";

/// What an agent proves itself with: 160 random bits, `bma1` and base32 where it is written.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; BYTES]);

/// What a node keeps of a token.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHash([u8; 32]);

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin as tokens do.
    #[error("an agent's token begins with {TOKEN_MARK}")]
    NoMark,
    /// It is shorter or longer than a token.
    #[error("an agent's token has {CHARS} characters after {TOKEN_MARK}, this has {0}")]
    Length(usize),
    /// It holds a character that no token has.
    #[error("an agent's token is written in a-z and 2-7, and this holds another character: copy it again, whole")]
    Character,
}

impl Token {
    /// Wraps random bytes.
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns what is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(blake3::derive_key(HASH_CONTEXT, &self.0))
    }

    /// Writes the token out: for the one time that it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{TOKEN_MARK}{}", base32(&self.0)))
    }
}

impl TokenHash {
    /// Returns whether this is the hash of a token; how long that takes tells nothing.
    pub fn is_of(&self, token: &Token) -> bool {
        bool::from(self.0.ct_eq(&token.hash().0))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let encoded = text.trim().strip_prefix(TOKEN_MARK).ok_or(TokenError::NoMark)?;
        let chars = encoded.chars().count();
        if chars != CHARS {
            return Err(TokenError::Length(chars));
        }
        let decoded = data_encoding::BASE32_NOPAD_NOCASE.decode(encoded.as_bytes());
        let bytes = Zeroizing::new(decoded.map_err(|_| TokenError::Character)?);
        bytes.as_slice().try_into().map(Self).map_err(|_| TokenError::Length(chars))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_says_what_is_wrong_with_another_text() {
        let token = Token::from_bytes([0xa5; BYTES]);
        let text = token.reveal();
        assert_eq!((text.len(), text.parse()), (36, Ok(token.clone())));
        assert_eq!(format!(" {}\n", text.as_str()).parse(), Ok(token));
        assert_eq!("hello".parse::<Token>(), Err(TokenError::NoMark));
        assert_eq!(text[..35].parse::<Token>(), Err(TokenError::Length(31)));
        assert_eq!(format!("{}!", &text[..35]).parse::<Token>(), Err(TokenError::Character));
        assert_eq!(format!("{}ü", &text[..35]).parse::<Token>(), Err(TokenError::Character));
    }

    #[test]
    fn a_hash_is_of_its_token_alone_and_neither_is_shown() {
        let (token, other) = (Token::from_bytes([1; BYTES]), Token::from_bytes([2; BYTES]));
        assert!(token.hash().is_of(&token) && !token.hash().is_of(&other));
        assert_eq!(format!("{token:?} {:?}", token.hash()), "Token(..) TokenHash(..)");
    }
}
