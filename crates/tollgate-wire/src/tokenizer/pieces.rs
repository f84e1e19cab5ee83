//! Cuts a text into the pieces across which no token reaches.
//!
//! The patterns are those that tiktoken publishes with its vocabularies, but for their last part,
//! which asks what comes after a run of white space. Automata that run in linear time cannot look
//! ahead, so that part is a second pattern, and the rule is applied to what it matched.

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use super::LoadError;

/// What goes before the white space in `cl100k_base`.
pub(super) const CL100K_BASE: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+",
);
/// What goes before the white space in `o200k_base`.
pub(super) const O200K_BASE: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"|\s*[\r\n]+",
);
/// `\s+(?!\S)|\s+`, without the look ahead.
const WHITE_SPACE: &str = r"\s+";
/// The place of [`WHITE_SPACE`] among the patterns.
const WHITE_SPACE_AT: usize = 1;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Splitter {
    patterns: Regex,
}

impl Splitter {
    pub(super) fn new(pattern: &str) -> Result<Self, LoadError> {
        let patterns = Regex::new_many(&[pattern, WHITE_SPACE])
            .map_err(|error| LoadError::Pattern(Box::new(error)))?;
        Ok(Self { patterns })
    }

    /// The pieces of the text, in order; together they are the text.
    pub(super) fn pieces<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let (piece, after) = rest.split_at_checked(self.piece_end(rest)?)?;
            rest = after;
            Some(piece)
        })
    }

    /// Where the first piece ends; none where nothing is left.
    fn piece_end(&self, rest: &str) -> Option<usize> {
        let first = rest.chars().next()?;
        let Some(found) = self.patterns.find(Input::new(rest).anchored(Anchored::Yes)) else {
            return Some(first.len_utf8());
        };
        if found.pattern().as_usize() != WHITE_SPACE_AT || found.end() == rest.len() {
            return Some(found.end());
        }
        // Before a word, the last blank of a run goes with the word, unless it is all of the run.
        let run = rest.get(..found.end())?;
        let last = run.chars().next_back()?.len_utf8();
        Some(if last == run.len() { last } else { run.len() - last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_the_published_patterns_cut_it() {
        let rows: [(&str, &[&str], &[&str]); 10] = [
            ("", &[], &[]),
            ("Hello, world!", &["Hello", ",", " world", "!"], &["Hello", ",", " world", "!"]),
            ("we'Ll see", &["we", "'Ll", " see"], &["we'Ll", " see"]),
            ("12345", &["123", "45"], &["123", "45"]),
            ("a   b", &["a", "  ", " b"], &["a", "  ", " b"]),
            ("a   ", &["a", "   "], &["a", "   "]),
            ("a \n\n  b", &["a", " \n\n", " ", " b"], &["a", " \n\n", " ", " b"]),
            (
                "a\u{3000}\u{3000}1",
                &["a", "\u{3000}", "\u{3000}", "1"],
                &["a", "\u{3000}", "\u{3000}", "1"],
            ),
            ("fooBar", &["fooBar"], &["foo", "Bar"]),
            ("a //\n/b", &["a", " //\n", "/b"], &["a", " //\n/", "b"]),
        ];
        let old = Splitter::new(CL100K_BASE).unwrap();
        let new = Splitter::new(O200K_BASE).unwrap();
        for (text, by_old, by_new) in rows {
            assert_eq!(old.pieces(text).collect::<Vec<_>>(), by_old, "{text:?}");
            assert_eq!(new.pieces(text).collect::<Vec<_>>(), by_new, "{text:?}");
        }
    }

    #[test]
    fn no_character_is_outside_of_the_patterns() {
        for pattern in [CL100K_BASE, O200K_BASE] {
            let splitter = Splitter::new(pattern).unwrap();
            for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
                let text = c.to_string();
                let input = Input::new(&text).anchored(Anchored::Yes);
                assert!(splitter.patterns.find(input).is_some(), "{c:?}");
            }
        }
    }
}
