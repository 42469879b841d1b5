//! Reads JSON (RFC 8259) from a text, borrowing what needs no change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{DEPTH_MAX, Json, JsonError, JsonFault};

pub(super) fn read(text: &str) -> Result<Json<'_>, JsonError> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.document();
    value.map_err(|fault| reader.error(fault))
}

/// A place in the text; a fault is always at this place.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Json<'a>, JsonFault> {
        let value = self.value(0)?;
        self.skip_space();
        if self.at < self.text.len() { Err(self.unexpected("the end of the line")) } else { Ok(value) }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonFault> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'{' | b'[') if depth == DEPTH_MAX => Err(JsonFault::Depth),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, JsonFault> {
        self.at += 1;
        let mut items = BTreeMap::new();
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Json::Object(items));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let key = self.string()?;
            let Entry::Vacant(place) = items.entry(key) else {
                let end = std::mem::replace(&mut self.at, start);
                return Err(JsonFault::DuplicateKey(
                    self.text[start..end].trim_matches('"').chars().take(80).collect(),
                ));
            };
            self.skip_space();
            self.expect(b':', "`:`")?;
            place.insert(self.value(depth)?);
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Json::Object(items));
            }
            self.expect(b',', "`,` or `}`")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, JsonFault> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Json::List(items));
            }
            self.expect(b',', "`,` or `]`")?;
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonFault> {
        self.at += 1;
        let mut owned: Option<String> = None;
        let mut start = self.at;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    let tail = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        Some(text) => Cow::Owned(text + tail),
                        None => Cow::Borrowed(tail),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[start..self.at]);
                    let char = self.escape()?;
                    owned.get_or_insert_default().push(char);
                    start = self.at;
                }
                Some(control) => return Err(JsonFault::Control(char::from(control))),
                None => return Err(JsonFault::End),
            }
        }
    }

    /// Reads an escape from its backslash on; a fault is left at the backslash.
    fn escape(&mut self) -> Result<char, JsonFault> {
        let (char, length) = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => ('"', 2),
            Some(b'\\') => ('\\', 2),
            Some(b'/') => ('/', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => self.unicode()?,
            Some(_) => return Err(JsonFault::Escape),
            None => return Err(JsonFault::End),
        };
        self.at += length;
        Ok(char)
    }

    /// Reads `\uXXXX`, or two of them for a character beyond 16 bits, without moving on; returns the length too.
    fn unicode(&self) -> Result<(char, usize), JsonFault> {
        let first = self.unit(self.at)?;
        if let Some(char) = char::from_u32(first) {
            return Ok((char, 6));
        }
        let second = self.unit(self.at + 6).map_err(|_| JsonFault::Surrogate)?;
        if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
            return Err(JsonFault::Surrogate);
        }
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).map(|char| (char, 12)).ok_or(JsonFault::Surrogate)
    }

    fn unit(&self, at: usize) -> Result<u32, JsonFault> {
        let bytes = self.text.as_bytes().get(at..at + 6).ok_or(JsonFault::Escape)?;
        let mut unit = 0;
        for byte in &bytes[2..] {
            unit = unit * 16 + char::from(*byte).to_digit(16).ok_or(JsonFault::Escape)?;
        }
        if bytes.starts_with(b"\\u") { Ok(unit) } else { Err(JsonFault::Escape) }
    }

    fn number(&mut self) -> Result<Json<'a>, JsonFault> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static str, value: Json<'a>) -> Result<Json<'a>, JsonFault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonFault> {
        if self.eat(byte) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &'static str) -> JsonFault {
        match self.text[self.at..].chars().next() {
            Some(found) => JsonFault::Unexpected { expected, found },
            None => JsonFault::End,
        }
    }

    fn error(&self, fault: JsonFault) -> JsonError {
        let before = &self.text[..self.at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        JsonError { line, column: before[line_start..].chars().count() + 1, fault }
    }
}
