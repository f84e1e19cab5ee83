//! Promises in code: a mark or a word that says the work is not finished. What is not built is an
//! issue of the tracker; what stands in the tree is whole.

use super::Finding;
use super::file::File;

/// Marks, as words of their own, in any file that is written by hand.
const MARKS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
/// Words in comments and messages outside of tests.
const WORDS: &[&str] = &[
    concat!("for ", "now"),
    concat!("un", "implemented"),
    concat!("not ", "implemented"),
    concat!("not yet ", "implemented"),
    concat!("place", "holder"),
];
const WRITTEN_BY_HAND: &[&str] = &[
    "rs", "md", "toml", "sh", "py", "js", "mjs", "ts", "tsx", "html", "css", "sql", "yml", "yaml",
];

/// Marks anywhere, words in Rust that is not test code.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let script = !file.name().contains('.') && file.text.starts_with("#!");
    if !script && !WRITTEN_BY_HAND.iter().any(|extension| file.is(extension)) {
        return Vec::new();
    }
    let marks = file.lines().filter_map(|(at, line)| {
        let mut words = line.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        Some((at, words.find(|word| MARKS.contains(word))?))
    });
    let words = file.code().filter_map(|(at, line)| {
        let said = format!("{} {}", line.comment, line.strings).to_lowercase();
        let word = WORDS.iter().find(|word| has_phrase(&said, word))?;
        Some((at, *word))
    });
    marks
        .chain(words)
        .map(|(at, word)| {
            Finding::new(
                &file.path,
                at,
                format!("`{word}` promises work"),
                "do it, or open an issue and say in the code only what is true",
            )
        })
        .collect()
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + phrase.len()..).and_then(|tail| tail.chars().next());
        let bounds = |char: Option<char>| !char.is_some_and(char::is_alphanumeric);
        bounds(before) && bounds(after) && after != Some('(')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::table::holds;

    #[test]
    fn promises_are_found_and_plain_words_are_not() {
        let a = "crates/a/src/a.rs";
        let mark = concat!("// TO", "DO: later\n");
        let word = concat!("/// Good for ", "now.\n");
        let message = concat!("say(\"un", "implemented\")\n");
        let tested = format!("#[cfg(test)]\nmod tests {{\n{message}}}\n");
        holds(
            check,
            &[
                (a, mark, "promises work"),
                ("scripts/test", concat!("#!/bin/sh\n# FIX", "ME\n"), ":2:"),
                ("docs/a.md", concat!("XX", "X\n"), "promises"),
                (a, word, "promises work"),
                (a, message, "promises work"),
                (a, &tested, ""),
                (a, "// waits for nowhere, asks for now() only\n", ""),
                (a, "// XXXL and TODOS\n", ""),
                ("crates/a/data/x.json", concat!("TO", "DO\n"), ""),
            ],
        );
    }
}
