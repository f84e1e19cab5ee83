//! The public tokenizers of OpenAI: how many tokens a text is, and nothing else.
//!
//! A text is cut into pieces by a pattern ([`pieces`]), and each piece is merged from bytes into
//! tokens ([`merge`]) by a vocabulary ([`vocabulary`]). Only the count is wanted, so no token is
//! kept and no text can be made from tokens; that is why a few megabytes do where a tokenizer that
//! encodes, decodes and searches takes eighty.
//!
//! The vocabularies are carried compressed. Each is unpacked once, by the first text that needs it:
//! a program that never estimates pays nothing.

mod merge;
mod pieces;
mod vocabulary;

use std::sync::LazyLock;

use merge::Merger;
use pieces::Splitter;
use vocabulary::Vocabulary;

/// The tokenizer of GPT-4, GPT-3.5 and the embedding models.
pub(crate) fn cl100k_base() -> &'static Tokenizer {
    static LOADED: LazyLock<Tokenizer> = LazyLock::new(|| {
        let packed = include_bytes!("../data/cl100k_base.tiktoken.gz");
        carried(packed, pieces::CL100K_BASE)
    });
    &LOADED
}

/// The tokenizer of GPT-4o and what came after it.
pub(crate) fn o200k_base() -> &'static Tokenizer {
    static LOADED: LazyLock<Tokenizer> = LazyLock::new(|| {
        let packed = include_bytes!("../data/o200k_base.tiktoken.gz");
        carried(packed, pieces::O200K_BASE)
    });
    &LOADED
}

#[expect(clippy::expect_used, reason = "the data is part of the program, and tests load all of it")]
fn carried(packed: &[u8], pattern: &str) -> Tokenizer {
    Tokenizer::load(packed, pattern).expect("the vocabulary that the program carries is sound")
}

/// A vocabulary and the pattern that goes with it.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    splitter: Splitter,
    vocabulary: Vocabulary,
}

impl Tokenizer {
    fn load(packed: &[u8], pattern: &str) -> Result<Self, LoadError> {
        Ok(Self { splitter: Splitter::new(pattern)?, vocabulary: Vocabulary::unpack(packed)? })
    }

    /// How many tokens the text is; special tokens are read as the text that they are written as.
    ///
    /// Takes n log n in the longest piece and is linear in all else.
    pub(crate) fn count(&self, text: &str) -> u64 {
        let mut merger = Merger::new(&self.vocabulary);
        self.splitter.pieces(text).map(|piece| merger.count(piece.as_bytes())).sum()
    }
}

/// Why a tokenizer cannot be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("the pattern is not valid")]
    Pattern(#[source] Box<regex_automata::meta::BuildError>),
    #[error("the vocabulary cannot be unpacked")]
    Packed(#[source] std::io::Error),
    #[error("line {line} of the vocabulary is not a token and its rank")]
    Line { line: usize },
    #[error("the token of line {line} stood there before")]
    Twice { line: usize },
}

#[cfg(test)]
mod tests;
