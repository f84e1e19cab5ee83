//! Prints how long each tokenizer takes to load, and how fast it counts after that.
//!
//! `cargo run --release -p tollgate-wire --example tokenizer_load [FILE]`; without a file it counts
//! text that is made up. Loading is the first count less a later one of the same text.

use std::io::Write as _;

use tollgate_domain::clock::Clock;
use tollgate_wire::count::count_tokens;

/// The longest text that is counted whole.
const TEXT: usize = 256 * 1024;
const ROUNDS: u32 = 10;

fn main() -> std::io::Result<()> {
    let mut text = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => "Count the tokens of 1,234 words, \u{d55c}\u{ad6d}\u{c5b4}\u{b3c4}.\n".to_owned(),
    };
    if !text.is_empty() {
        text = text.repeat(TEXT.div_ceil(text.len()));
    }
    text.truncate(text.floor_char_boundary(TEXT));

    let clock = Clock::system();
    let mut out = std::io::stdout().lock();
    for (encoding, model) in [("o200k_base", "gpt-4o"), ("cl100k_base", "gpt-4")] {
        let begun = clock.monotonic();
        let tokens = count_tokens(model, &text);
        let first = clock.monotonic().saturating_sub(begun);
        let begun = clock.monotonic();
        for _ in 0..ROUNDS {
            count_tokens(model, &text);
        }
        let each = clock.monotonic().saturating_sub(begun) / ROUNDS;
        let load = first.saturating_sub(each);
        let size = text.len();
        writeln!(
            out,
            "{encoding}: loaded in {load:.1?}, {tokens} tokens of {size} bytes in {each:.1?}"
        )?;
    }
    Ok(())
}
