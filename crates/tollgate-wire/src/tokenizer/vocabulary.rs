//! The tokens of an encoding, each under its rank.
//!
//! The data is tiktoken's own file, compressed: a line per token, base64 and rank. Here it becomes
//! the bytes of all tokens in a row, and a table from a token's hash to its rank.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::LoadError;

/// Ranks by token. A lower rank is merged first.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// All tokens in a row, in the order of their ranks.
    tokens: Vec<u8>,
    /// Where in `tokens` the token of each rank begins, and where the last ends.
    bounds: Vec<usize>,
    /// Ranks under the hash of their token.
    ranks: HashTable<u32>,
    /// Bytes of the longest token.
    longest: usize,
}

impl Vocabulary {
    /// Reads a gzip file of lines.
    pub(super) fn unpack(packed: &[u8]) -> Result<Self, LoadError> {
        let mut lines = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut lines).map_err(LoadError::Packed)?;
        let mut vocabulary =
            Self { tokens: Vec::new(), bounds: vec![0], ranks: HashTable::new(), longest: 0 };
        for (at, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            if !line.is_empty() {
                let rank = vocabulary.append(line).ok_or(LoadError::Line { line: at + 1 })?;
                vocabulary.index(rank).ok_or(LoadError::Twice { line: at + 1 })?;
            }
        }
        vocabulary.tokens.shrink_to_fit();
        vocabulary.bounds.shrink_to_fit();
        Ok(vocabulary)
    }

    /// The rank of these bytes, where they are a token.
    pub(super) fn rank(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.longest {
            return None;
        }
        self.ranks.find(hash(bytes), |rank| self.token(*rank) == Some(bytes)).copied()
    }

    fn token(&self, rank: u32) -> Option<&[u8]> {
        token(&self.tokens, &self.bounds, rank)
    }

    /// Takes in the token of a line, whose rank must be the next one.
    fn append(&mut self, line: &[u8]) -> Option<u32> {
        let blank = line.iter().position(|byte| *byte == b' ')?;
        let (token, rank) = line.split_at_checked(blank)?;
        let rank: u32 = str::from_utf8(rank.get(1..)?).ok()?.parse().ok()?;
        if usize::try_from(rank) != Ok(self.bounds.len() - 1) {
            return None;
        }
        let start = self.tokens.len();
        STANDARD.decode_vec(token, &mut self.tokens).ok()?;
        self.longest = self.longest.max(self.tokens.len() - start);
        self.bounds.push(self.tokens.len());
        (self.tokens.len() > start).then_some(rank)
    }

    /// Makes the newest token findable; none if it was there already.
    fn index(&mut self, rank: u32) -> Option<()> {
        let (tokens, bounds) = (&self.tokens, &self.bounds);
        let bytes = token(tokens, bounds, rank)?;
        let hash_of = |rank: &u32| hash(token(tokens, bounds, *rank).unwrap_or_default());
        let same = |other: &u32| token(tokens, bounds, *other) == Some(bytes);
        match self.ranks.entry(hash(bytes), same, hash_of) {
            hashbrown::hash_table::Entry::Occupied(_) => None,
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(rank);
                Some(())
            }
        }
    }
}

fn token<'a>(tokens: &'a [u8], bounds: &[usize], rank: u32) -> Option<&'a [u8]> {
    let rank = usize::try_from(rank).ok()?;
    tokens.get(*bounds.get(rank)?..*bounds.get(rank + 1)?)
}

/// The same in every run: all keys are known, so nobody can choose them to collide.
fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn unpack(lines: &str) -> Result<Vocabulary, String> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(lines.as_bytes()).unwrap();
        Vocabulary::unpack(&packer.finish().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_found_under_its_rank_and_nothing_else_is_found() {
        let vocabulary = unpack("YQ== 0\nYg== 1\nYWI= 2\n").unwrap();
        for (bytes, rank) in [
            ("a", Some(0)),
            ("b", Some(1)),
            ("ab", Some(2)),
            ("ba", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(vocabulary.rank(bytes.as_bytes()), rank, "{bytes}");
        }
    }

    #[test]
    fn a_file_that_is_no_vocabulary_is_refused() {
        for (lines, reason) in [
            ("YQ== 1\n", "line 1 of the vocabulary is not a token and its rank"),
            ("YQ== 0\nYg==\n", "line 2 of the vocabulary is not a token and its rank"),
            ("YQ 0\n", "line 1 of the vocabulary is not a token and its rank"),
            (" 0\n", "line 1 of the vocabulary is not a token and its rank"),
            ("YQ== 0\nYQ== 1\n", "the token of line 2 stood there before"),
        ] {
            assert_eq!(unpack(lines).unwrap_err(), reason, "{lines:?}");
        }
        let torn = Vocabulary::unpack(&[0x1f, 0x8b, 8, 0]).unwrap_err();
        assert_eq!(torn.to_string(), "the vocabulary cannot be unpacked");
    }
}
