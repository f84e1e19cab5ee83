//! A validating cursor over a JSON document that a client sent.
//!
//! It accepts what RFC 8259 accepts and nothing else, down to [`MAX_DEPTH`], in one pass and in
//! time linear in the length. What it refuses is refused before anything is forwarded, so that we
//! and the provider cannot read one body in two ways.

use super::{Text, plain_prefix};

/// How deep arrays and objects may nest; deeper is no request that anybody serves.
pub(crate) const MAX_DEPTH: u32 = 128;

/// Where and why a document is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Bytes before the place.
    pub(crate) offset: usize,
    /// What was expected there.
    pub(crate) expected: &'static str,
}

/// What kind of value was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Null,
    Bool(bool),
    Number,
    String(Text<'a>),
    Array,
    Object,
}

/// One value, and where it stands: `start..end` with its quotes or brackets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) raw: &'a [u8],
}

/// Sees the members of nested objects while they are validated.
pub(crate) trait Watch {
    /// An object has a member `key` with this string value.
    fn text(&mut self, key: Text<'_>, value: Text<'_>);

    /// An object has a member `key`, whatever its value.
    fn key(&mut self, key: Text<'_>);
}

/// Sees nothing.
impl Watch for () {
    fn text(&mut self, _: Text<'_>, _: Text<'_>) {}
    fn key(&mut self, _: Text<'_>) {}
}

/// The cursor.
#[derive(Debug)]
pub(crate) struct Strict<'a> {
    total: usize,
    rest: &'a [u8],
    depth: u32,
}

impl<'a> Strict<'a> {
    /// A cursor at the start of a document, which must be UTF-8.
    pub(crate) fn new(document: &'a [u8]) -> Result<Self, Invalid> {
        match str::from_utf8(document) {
            Ok(_) => Ok(Self { total: document.len(), rest: document, depth: 0 }),
            Err(bad) => Err(Invalid { offset: bad.valid_up_to(), expected: "UTF-8" }),
        }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    /// Reads an object, giving each key to `each`, which must read exactly the value.
    pub(crate) fn object<E: From<Invalid>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{', "an object")?;
        if self.closes(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.take(b':', "a colon")?;
            self.space();
            each(self, key)?;
            if !self.continues(b'}', "a comma or the end of the object")? {
                return Ok(());
            }
        }
    }

    /// Reads an array, calling `each` for every item, which must read exactly that item.
    pub(crate) fn array<E: From<Invalid>>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[', "an array")?;
        if self.closes(b']') {
            return Ok(());
        }
        loop {
            self.space();
            each(self)?;
            if !self.continues(b']', "a comma or the end of the array")? {
                return Ok(());
            }
        }
    }

    /// Reads any value; `watch` sees what it contains.
    pub(crate) fn value<W: Watch>(&mut self, watch: &mut W) -> Result<Item<'a>, Invalid> {
        let (start, from) = (self.offset(), self.rest);
        let kind = match from.first() {
            Some(b'"') => Kind::String(self.string()?),
            Some(b'{') => {
                self.object(|inner, key| {
                    watch.key(key);
                    if let Kind::String(text) = inner.value(watch)?.kind {
                        watch.text(key, text);
                    }
                    Ok::<(), Invalid>(())
                })?;
                Kind::Object
            }
            Some(b'[') => {
                self.array(|inner| inner.value(watch).map(drop))?;
                Kind::Array
            }
            Some(b't') => self.word(b"true", Kind::Bool(true))?,
            Some(b'f') => self.word(b"false", Kind::Bool(false))?,
            Some(b'n') => self.word(b"null", Kind::Null)?,
            _ => self.number()?,
        };
        let raw = from.get(..from.len() - self.rest.len()).unwrap_or_default();
        Ok(Item { kind, start, end: self.offset(), raw })
    }

    /// The byte that the next value starts with, without reading it.
    pub(crate) fn next_byte(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skips white space.
    pub(crate) fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] = self.rest {
            self.rest = tail;
        }
    }

    /// Makes sure that nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Invalid> {
        self.space();
        if self.rest.is_empty() { Ok(()) } else { Err(self.invalid("the end of the document")) }
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<(), Invalid> {
        self.take(bracket, expected)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.invalid("at most 128 levels of nesting"));
        }
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        self.space();
        let closed = self.next_byte() == Some(bracket);
        if closed {
            self.rest = self.rest.get(1..).unwrap_or_default();
            self.depth -= 1;
        }
        closed
    }

    fn continues(&mut self, bracket: u8, expected: &'static str) -> Result<bool, Invalid> {
        if self.closes(bracket) {
            return Ok(false);
        }
        self.take(b',', expected).map(|()| true)
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Invalid> {
        match self.rest.split_first() {
            Some((first, tail)) if *first == byte => {
                self.rest = tail;
                Ok(())
            }
            _ => Err(self.invalid(expected)),
        }
    }

    fn word(&mut self, word: &'static [u8], kind: Kind<'a>) -> Result<Kind<'a>, Invalid> {
        match self.rest.strip_prefix(word) {
            Some(tail) => {
                self.rest = tail;
                Ok(kind)
            }
            None => Err(self.invalid("a value")),
        }
    }

    fn string(&mut self) -> Result<Text<'a>, Invalid> {
        self.take(b'"', "a string")?;
        let from = self.rest;
        loop {
            let plain = plain_prefix(self.rest);
            let (byte, tail) = match self.rest.split_at_checked(plain) {
                Some((_, [byte, tail @ ..])) => (*byte, tail),
                _ => return Err(self.invalid("a string that ends")),
            };
            self.rest = tail;
            match byte {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return Err(self.invalid("no control character in a string")),
            }
        }
        let length = from.len() - self.rest.len() - 1;
        Ok(Text { raw: from.get(..length).unwrap_or_default() })
    }

    fn escape(&mut self) -> Result<(), Invalid> {
        let tail = match self.rest {
            [b'u', a, b, c, d, tail @ ..] if [a, b, c, d].iter().all(|x| x.is_ascii_hexdigit()) => {
                tail
            }
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', tail @ ..] => tail,
            _ => return Err(self.invalid("a known escape")),
        };
        self.rest = tail;
        Ok(())
    }

    fn number(&mut self) -> Result<Kind<'a>, Invalid> {
        if let [b'-', tail @ ..] = self.rest {
            self.rest = tail;
        }
        match self.rest {
            [b'0', tail @ ..] => self.rest = tail,
            _ => self.digits("a value")?,
        }
        if let [b'.', tail @ ..] = self.rest {
            self.rest = tail;
            self.digits("a digit")?;
        }
        if let [b'e' | b'E', tail @ ..] = self.rest {
            self.rest = match tail {
                [b'+' | b'-', behind @ ..] => behind,
                _ => tail,
            };
            self.digits("a digit")?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self, expected: &'static str) -> Result<(), Invalid> {
        let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.invalid(expected));
        }
        self.rest = self.rest.get(count..).unwrap_or_default();
        Ok(())
    }

    fn invalid(&self, expected: &'static str) -> Invalid {
        Invalid { offset: self.offset(), expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn valid(document: &[u8]) -> bool {
        let Ok(mut cursor) = Strict::new(document) else {
            return false;
        };
        cursor.space();
        cursor.value(&mut ()).and_then(|_| cursor.end()).is_ok()
    }

    /// The oracle: serde reads the grammar, except that it refuses half surrogates, which RFC 8259
    /// lets through, and numbers that a float cannot hold.
    fn oracle(document: &[u8]) -> bool {
        serde_json::from_slice::<&serde_json::value::RawValue>(document).is_ok()
    }

    #[test]
    fn the_grammar_is_that_of_the_rfc() {
        let documents = [
            "null",
            "true",
            " false ",
            "0",
            "-0",
            "01",
            "1.",
            ".5",
            "1e5",
            "1E+5",
            "1e",
            "-",
            "+1",
            "\"\"",
            "\"\\u00e9\"",
            "\"\\u00g9\"",
            "\"\\q\"",
            "\"a\nb\"",
            "\"",
            "[]",
            "[1,]",
            "[,]",
            "[1 2]",
            "{}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1 \"b\":2}",
            "[",
            "]",
            "{\"a\":[{}]}",
            "nul",
            "tru",
            "1 2",
            "",
            " ",
            "NaN",
            "'a'",
            "[1]]",
            "\u{feff}1",
        ];
        for document in documents {
            assert_eq!(valid(document.as_bytes()), oracle(document.as_bytes()), "{document}");
        }
        assert!(valid(b"\"\\ud800\""), "half a surrogate pair is grammar");
        assert!(!valid(b"\"\xff\""), "not UTF-8");
        assert!(!valid(b"\"\0\""), "NUL");
    }

    #[test]
    fn nesting_is_bounded_and_does_not_exhaust_the_stack() {
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(valid(&nested(128)));
        assert!(!valid(&nested(129)));
        assert!(!valid(&nested(1_000_000)));
        assert!(!valid(&b"{\"a\":".repeat(100_000)));
    }

    #[test]
    fn positions_are_those_of_the_document() {
        let mut cursor = Strict::new(br#" {"a" : [1,"x"] } "#).unwrap();
        cursor.space();
        cursor
            .object(|inner, key| {
                assert_eq!(key.raw, b"a");
                let item = inner.value(&mut ())?;
                assert_eq!((item.start, item.end, item.raw), (8, 15, &b"[1,\"x\"]"[..]));
                Ok::<(), Invalid>(())
            })
            .unwrap();
        cursor.end().unwrap();
    }

    proptest! {
        #[test]
        fn mutilated_documents_are_judged_like_the_oracle_judges_them(
            at in 0usize..64,
            byte in any::<u8>(),
        ) {
            let mut document =
                br#"{"k":[1.5e3,-2,"a\u0041\n",{"x":null,"y":[true,false]}],"l":""}"#.to_vec();
            if at < document.len() {
                document[at] = byte;
            }
            prop_assert_eq!(valid(&document), oracle(&document));
        }

        #[test]
        fn plain_prefixes_end_where_the_slow_way_says(bytes in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\\'), 0u8..=255, 0x1fu8..0x24, 0x5au8..0x5e], 0..40)
        ) {
            let slow = bytes.iter().take_while(|b| !matches!(**b, b'"' | b'\\' | 0..0x20)).count();
            prop_assert_eq!(plain_prefix(&bytes), slow);
        }
    }
}
