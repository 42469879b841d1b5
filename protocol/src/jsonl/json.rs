//! JSON as records need it: a key given twice is refused, and a number keeps its digits.
//!
//! serde_json is not used to read here, because it keeps the last of two equal keys and rounds numbers to 64 bits, so
//! that an import followed by an export would lose what it was given.

use std::borrow::Cow;
use std::collections::BTreeMap;

mod reader;

/// How deep lists and objects may stand inside each other: far deeper than records go, and little for any stack.
const DEPTH_MAX: usize = 64;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object.
    Object(BTreeMap<Cow<'a, str>, Json<'a>>),
}

impl<'a> Json<'a> {
    /// Reads one value with nothing but white space round it.
    ///
    /// # Errors
    ///
    /// Says what is wrong and in which column.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        reader::read(text)
    }

    /// Returns the canonical text: keys sorted by bytes, no white space, the least escapes, numbers as written.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        self.push_to(&mut text);
        text
    }

    fn push_to(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(true) => text.push_str("true"),
            Self::Bool(false) => text.push_str("false"),
            Self::Number(digits) => text.push_str(digits),
            Self::Text(inner) => push_text(text, inner),
            Self::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    item.push_to(text);
                }
                text.push(']');
            }
            Self::Object(items) => {
                text.push('{');
                for (index, (key, item)) in items.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    push_text(text, key);
                    text.push(':');
                    item.push_to(text);
                }
                text.push('}');
            }
        }
    }
}

/// Appends a text in quotes with the escapes that JSON asks for and no others.
pub(super) fn push_text(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "\\u00",
            _ => continue,
        };
        out.push_str(&text[start..index]);
        out.push_str(escape);
        if escape.len() == 4 {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
        start = index + 1;
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// Why a text is not JSON that can be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct JsonError {
    /// The line within the text, counted from 1.
    pub line: usize,
    /// The character within the line, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: JsonFault,
}

/// What is wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// The text ends too early.
    #[error("the text ends inside a value")]
    End,
    /// Another character was due.
    #[error("expected {expected}, found {found:?}")]
    Unexpected {
        /// What was due.
        expected: &'static str,
        /// What stands there.
        found: char,
    },
    /// A control character stands bare inside a text.
    #[error("control character {0:?} must be escaped")]
    Control(char),
    /// A backslash is not followed by an escape that JSON has.
    #[error("no such escape")]
    Escape,
    /// Half of a pair of surrogates stands alone.
    #[error("half of a surrogate pair")]
    Surrogate,
    /// An object gives one key twice.
    #[error("key {0:?} is given twice")]
    DuplicateKey(String),
    /// Lists and objects stand too deep inside each other.
    #[error("more than {DEPTH_MAX} lists and objects inside each other")]
    Depth,
}
