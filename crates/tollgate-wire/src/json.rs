//! JSON without a tree: what relayed bodies are read with.
//!
//! Two readers, because the two sides deserve different trust and speed. [`strict`] reads what a
//! client sends: it checks the whole document, so that no broken or ambiguous body is forwarded.
//! [`lenient`] reads what a provider answers: it jumps over what is not asked for and never fails,
//! it only ends. Neither copies; both work on the bytes as they arrived.

pub(crate) mod lenient;
pub(crate) mod strict;

use std::borrow::Cow;

/// The inside of a JSON string as it stands in the document, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    /// The bytes between the quotes.
    pub(crate) raw: &'a [u8],
}

impl<'a> Text<'a> {
    /// The text that is meant; `None` where an escape is broken or names half a character.
    pub(crate) fn decode(self) -> Option<Cow<'a, str>> {
        let text = str::from_utf8(self.raw).ok()?;
        if memchr::memchr(b'\\', self.raw).is_none() {
            return Some(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(text.len());
        let whole = unescape_into(text, &mut out);
        whole.then_some(Cow::Owned(out))
    }

    /// The text that is meant, with U+FFFD for what cannot be read.
    pub(crate) fn decode_lossy(self) -> String {
        let text = String::from_utf8_lossy(self.raw);
        let mut out = String::with_capacity(text.len());
        unescape_into(&text, &mut out);
        out
    }
}

/// Appends the meaning of an escaped text; says whether all of it could be read.
fn unescape_into(text: &str, out: &mut String) -> bool {
    let mut whole = true;
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = after.chars();
        let meant = match chars.next() {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('u') => {
                let (meant, behind) = unicode_escape(chars.as_str());
                chars = behind.chars();
                meant
            }
            Some(same @ ('"' | '\\' | '/')) => Some(same),
            _ => None,
        };
        whole &= meant.is_some();
        out.push(meant.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = chars.as_str();
    }
    out.push_str(rest);
    whole
}

/// Reads the four digits behind `\u`, and the second half of a pair where there is one.
fn unicode_escape(digits: &str) -> (Option<char>, &str) {
    let Some((high, rest)) = four_digits(digits) else {
        return (None, digits);
    };
    if let Some(single) = char::from_u32(high) {
        return (Some(single), rest);
    }
    let second = rest.strip_prefix("\\u").and_then(four_digits);
    match second {
        Some((low, behind)) if high < 0xdc00 && (0xdc00..0xe000).contains(&low) => {
            (char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), behind)
        }
        _ => (None, rest),
    }
}

fn four_digits(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u32::from_str_radix(digits, 16).ok().map(|n| (n, rest))).flatten()
}

/// How many bytes stand before the next quote, backslash or control character.
///
/// Eight bytes at a time: the lowest bit that lights up marks the first such byte (borrows can only
/// disturb the bytes above it).
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut count = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        let hit = (word.wrapping_sub(ONES * 0x20) & !word)
            | (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash);
        if hit & HIGH != 0 {
            return count + ((hit & HIGH).trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | 0..0x20);
    count + tail.iter().take_while(plain).count()
}

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend(HEX.get(usize::from(byte >> 4)));
                out.extend(HEX.get(usize::from(byte & 15)));
            }
            plain => out.push(plain),
        }
    }
    out.push(b'"');
}

/// Appends `text` as a JSON string, or `null`.
pub(crate) fn push_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends what `format_args!` describes; writing to memory cannot fail.
pub(crate) fn push_fmt(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let written = out.write_fmt(arguments);
    debug_assert!(written.is_ok(), "a vector takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_surrogate_pair_is_no_text_but_is_read_lossily() {
        for broken in ["\\ud800", "\\ud800\\u0041", "\\udc00", "\\u12", "\\x", "\\"] {
            let text = Text { raw: broken.as_bytes() };
            assert_eq!(text.decode(), None, "{broken}");
            assert!(text.decode_lossy().contains('\u{fffd}'), "{broken}");
        }
        assert_eq!(Text { raw: b"\\ud83d\\ude00" }.decode().unwrap(), "\u{1f600}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_serde_reads_and_what_we_read(text in any::<String>()) {
            let mut out = Vec::new();
            push_string(&mut out, &text);
            prop_assert_eq!(&serde_json::from_slice::<String>(&out).unwrap(), &text);
            let raw = &out[1..out.len() - 1];
            prop_assert_eq!(Text { raw }.decode().unwrap(), text);
        }
    }
}
