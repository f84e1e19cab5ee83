//! A pull reader over JSON that a provider sent: it reads what is asked for and jumps the rest.
//!
//! A jump looks only for quotes and for brackets of the kind that it must balance, so megabytes of
//! embeddings cost next to nothing. It does not validate: a broken document just ends early, and
//! [`Pull::ended_well`] says so.

use super::{Text, plain_prefix};

/// Bytes that a short string has at most.
const SHORT: usize = 32;

/// The reader. After an end or a break every method returns nothing.
#[derive(Clone, Debug)]
pub(crate) struct Pull<'a> {
    rest: &'a [u8],
    broken: bool,
}

impl<'a> Pull<'a> {
    pub(crate) fn new(document: &'a [u8]) -> Self {
        Self { rest: document, broken: false }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all that was read stood where it should.
    pub(crate) fn ended_well(&self) -> bool {
        !self.broken
    }

    /// The first byte of the next value.
    pub(crate) fn next_byte(&mut self) -> Option<u8> {
        self.space();
        self.rest.first().copied()
    }

    /// Steps into an object; `false`, with nothing read, where the next value is none.
    pub(crate) fn enter_object(&mut self) -> bool {
        self.enter(b'{')
    }

    /// Steps into an array; `false`, with nothing read, where the next value is none.
    pub(crate) fn enter_array(&mut self) -> bool {
        self.enter(b'[')
    }

    /// The next key of the object that was entered (its raw bytes); `None` after the last.
    pub(crate) fn next_key(&mut self) -> Option<&'a [u8]> {
        if !self.more(b'}') {
            return None;
        }
        let Some(key) = self.string() else {
            return self.fail();
        };
        if self.next_byte() != Some(b':') {
            return self.fail();
        }
        self.advance(1);
        Some(key.raw)
    }

    /// Whether the array that was entered has another item, which is then to be read.
    pub(crate) fn next_item(&mut self) -> bool {
        self.more(b']')
    }

    /// Reads a string; `None` where the next value is none.
    pub(crate) fn string(&mut self) -> Option<Text<'a>> {
        let (b'"', tail) = (self.next_byte()?, self.rest.get(1..)?) else { return None };
        // Most strings are short keys, for which the search that is made for long ones is slow.
        let mut from = plain_prefix(tail.get(..SHORT).unwrap_or(tail));
        loop {
            let at = match tail.get(from) {
                Some(b'"' | b'\\') => from,
                _ => match tail.get(from..).and_then(|t| memchr::memchr2(b'"', b'\\', t)) {
                    Some(hit) => from + hit,
                    None => return self.fail(),
                },
            };
            if tail.get(at) == Some(&b'"') {
                self.rest = tail.get(at + 1..)?;
                return Some(Text { raw: tail.get(..at)? });
            }
            from = at + 2;
        }
    }

    /// Reads a string, or jumps what is none.
    pub(crate) fn string_or_skip(&mut self) -> Option<Text<'a>> {
        if self.next_byte() == Some(b'"') {
            return self.string();
        }
        self.skip();
        None
    }

    /// Reads an object, giving each key to `each`, which must read its value; jumps what is none.
    pub(crate) fn object(&mut self, mut each: impl FnMut(&mut Self, &'a [u8])) {
        if !self.enter_object() {
            self.skip();
            return;
        }
        while let Some(key) = self.next_key() {
            each(self, key);
        }
    }

    /// Reads an array, calling `each` for every item, which must read it; jumps what is none.
    pub(crate) fn array(&mut self, mut each: impl FnMut(&mut Self)) {
        if !self.enter_array() {
            self.skip();
            return;
        }
        while self.next_item() {
            each(self);
        }
    }

    /// Keeps a text that is not empty; the last one counts. Allocates only where it differs.
    pub(crate) fn keep(&mut self, slot: &mut Option<Box<str>>) {
        let Some(text) = self.string_or_skip().filter(|text| !text.raw.is_empty()) else {
            return;
        };
        if slot.as_ref().is_none_or(|kept| kept.as_bytes() != text.raw) {
            *slot = Some(text.decode_lossy().into());
        }
    }

    /// Reads the whole part of a number that is not negative.
    pub(crate) fn whole(&mut self) -> Option<u64> {
        let text = str::from_utf8(self.skip()?).ok()?;
        text.split('.').next()?.parse().ok()
    }

    /// Jumps one value and returns it as it stands.
    pub(crate) fn skip(&mut self) -> Option<&'a [u8]> {
        let first = self.next_byte()?;
        let from = self.rest;
        match first {
            b'"' => self.string().map(drop)?,
            b'{' => self.jump(b'{', b'}')?,
            b'[' => self.jump(b'[', b']')?,
            _ => {
                let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let length = from.iter().position(ends).unwrap_or(from.len());
                if length == 0 {
                    return self.fail();
                }
                self.advance(length);
            }
        }
        from.get(..from.len() - self.rest.len())
    }

    fn jump(&mut self, open: u8, close: u8) -> Option<()> {
        let mut depth = 0u64;
        loop {
            let Some(at) = memchr::memchr3(b'"', open, close, self.rest) else {
                return self.fail();
            };
            self.advance(at);
            match self.rest.first() {
                Some(b'"') => self.string().map(drop)?,
                Some(byte) => {
                    depth = if *byte == open { depth + 1 } else { depth.saturating_sub(1) };
                    self.advance(1);
                    if depth == 0 {
                        return Some(());
                    }
                }
                None => return self.fail(),
            }
        }
    }

    fn enter(&mut self, bracket: u8) -> bool {
        let there = self.next_byte() == Some(bracket);
        if there {
            self.advance(1);
        }
        there
    }

    fn more(&mut self, close: u8) -> bool {
        loop {
            match self.next_byte() {
                Some(b',') => self.advance(1),
                Some(byte) if byte == close => {
                    self.advance(1);
                    return false;
                }
                Some(_) => return true,
                None => {
                    self.broken = true;
                    return false;
                }
            }
        }
    }

    fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] = self.rest {
            self.rest = tail;
        }
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn fail<T>(&mut self) -> Option<T> {
        self.broken = true;
        self.rest = &[];
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_jump_passes_brackets_and_quotes_inside_strings() {
        let mut pull = Pull::new(br#"{"a":["}]\"",{"b":"["}], "c" : 7 , "d":"x"}"#);
        assert!(pull.enter_object());
        assert_eq!(pull.next_key(), Some(&b"a"[..]));
        assert_eq!(pull.skip(), Some(&br#"["}]\"",{"b":"["}]"#[..]));
        assert_eq!(pull.next_key(), Some(&b"c"[..]));
        assert_eq!(pull.skip(), Some(&b"7"[..]));
        assert_eq!(pull.next_key(), Some(&b"d"[..]));
        assert_eq!(pull.string().unwrap().raw, b"x");
        assert_eq!(pull.next_key(), None);
        assert!(pull.ended_well());
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_make_it_panic_or_run_on(bytes in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'\\'),
                Just(b','), Just(b':'), any::<u8>()], 0..60)
        ) {
            let mut pull = Pull::new(&bytes);
            let mut steps = 0;
            if pull.enter_object() {
                while pull.next_key().is_some() {
                    pull.skip();
                    steps += 1;
                    prop_assert!(steps <= bytes.len());
                }
            } else if pull.enter_array() {
                while pull.next_item() && pull.skip().is_some() {
                    steps += 1;
                    prop_assert!(steps <= bytes.len());
                }
            } else {
                pull.skip();
            }
        }
    }
}
