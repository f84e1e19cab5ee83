//! Writes one flat JSON object, member by member. A line is written for each call, and a general
//! serialiser looks through the name of every member for what must be escaped; here names are known.

/// An object that is being written; [`Object::end`] closes it.
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// Begins a member. The name is one that needs no escape.
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        put_text(self.name(name), text);
    }

    /// Left out where there is none.
    pub(super) fn text_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// `null` where there is none.
    pub(super) fn text_or_null(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.name(name).extend_from_slice(b"null"),
        }
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        let out = self.name(name);
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// `null` where there is none.
    pub(super) fn number_or_null(&mut self, name: &str, number: Option<u64>) {
        match number {
            Some(number) => self.number(name, number),
            None => self.name(name).extend_from_slice(b"null"),
        }
    }

    pub(super) fn truth(&mut self, name: &str, truth: bool) {
        self.name(name).extend_from_slice(if truth { b"true" } else { b"false" });
    }

    /// `1.25` from 1250; `null` where there is none.
    pub(super) fn thousandths_or_null(&mut self, name: &str, thousandths: Option<u64>) {
        let out = self.name(name);
        let Some(thousandths) = thousandths else {
            return out.extend_from_slice(b"null");
        };
        out.extend_from_slice(itoa::Buffer::new().format(thousandths / 1_000).as_bytes());
        out.push(b'.');
        let rest = 1_000 + thousandths % 1_000;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(rest).as_bytes().get(1..).unwrap_or_default();
        let kept = digits.iter().rposition(|digit| *digit != b'0').unwrap_or_default();
        out.extend_from_slice(digits.get(..=kept).unwrap_or_default());
    }

    /// A list of words that need no escape.
    pub(super) fn words(&mut self, name: &str, words: &[&str]) {
        let out = self.name(name);
        out.push(b'[');
        for (place, word) in words.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            put_text(out, word);
        }
        out.push(b']');
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a text to memory does not fail.
        drop(serde_json::to_writer(out, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.text("plain", "한국어 a/b");
        object.text("escaped", "a\"b\\c\nd\u{1}");
        object.text_if("absent", None);
        object.text_or_null("none", None);
        object.number("number", u64::MAX);
        object.number_or_null("nothing", None);
        object.truth("truth", true);
        object.words("words", &["a", "b"]);
        for (name, thousandths) in [("a", 500), ("b", 1_000), ("c", 1_250), ("d", 12_001)] {
            object.thousandths_or_null(name, Some(thousandths));
        }
        object.thousandths_or_null("e", None);
        object.end();
        let expected = serde_json::json!({
            "plain": "한국어 a/b", "escaped": "a\"b\\c\nd\u{1}", "none": null, "number": u64::MAX,
            "nothing": null, "truth": true, "words": ["a", "b"],
            "a": 0.5, "b": 1.0, "c": 1.25, "d": 12.001, "e": null,
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), expected);
    }
}
