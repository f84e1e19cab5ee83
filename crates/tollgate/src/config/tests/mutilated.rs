//! Whatever becomes of a file, reading it ends in a configuration or in a list of problems.

use proptest::prelude::*;

use super::{EXAMPLE, nothing};
use crate::config::Config;

/// Pieces that break things in interesting places.
const PIECES: &[&str] = &[
    "",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "\\",
    "${",
    "}",
    "-1",
    "1e400",
    "nan",
    "inf",
    "99999999999999999999",
    "0x10",
    "\u{0}",
    "\u{d55c}",
    "[[",
    "]]",
    "\"\"\"",
    "true",
    "[]",
    "{}",
    "1979-05-27T07:32:00Z",
    "a.b.c",
    "${A:-${B}}",
    "preset = \"diary\"\n",
    "#",
];

/// The example with some of its ranges replaced. Ranges snap to characters.
fn mutilate(cuts: &[(prop::sample::Index, usize, usize)]) -> String {
    let mut text = EXAMPLE.to_owned();
    for (at, length, piece) in cuts {
        let mut from = at.index(text.len().max(1)).min(text.len());
        let mut to = (from + length).min(text.len());
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        while !text.is_char_boundary(to) {
            to += 1;
        }
        text.replace_range(from..to, PIECES[piece % PIECES.len()]);
    }
    text
}

proptest! {
    #[test]
    fn a_mutilated_example_never_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0usize..64), 1..6)
    ) {
        let text = mutilate(&cuts);
        if let Err(errors) = Config::parse("f", &text, &nothing) {
            prop_assert!(!errors.problems().is_empty());
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn a_value_of_any_kind_in_any_place_never_panics(line in any::<prop::sample::Index>(), piece in 0usize..64) {
        let mut lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
        let at = line.index(lines.len());
        if let Some((key, _)) = lines[at].clone().split_once(" = ") {
            lines[at] = format!("{key} = {}", PIECES[piece % PIECES.len()]);
        }
        let result = Config::parse("f", &lines.join("\n"), &nothing);
        if let Err(errors) = result {
            prop_assert!(!errors.problems().is_empty());
        }
    }
}
