//! Keeps count of generated text, so that a stream without usage can be estimated.
//!
//! It counts all bytes and keeps the first [`KEPT`] of them for the tokenizer. The text lives as
//! long as the call and is shown nowhere (PRIVACY-1).

use std::fmt;

use crate::json::Text;

/// How much text is kept; beyond it the estimate is scaled up.
const KEPT: usize = 32 * 1024;

#[derive(Clone, Default)]
pub(crate) struct Tally {
    bytes: u64,
    kept: Vec<u8>,
}

impl Tally {
    /// Takes a piece of text as it stands in a document, escapes and all.
    pub(crate) fn push(&mut self, piece: Text<'_>) {
        self.bytes += u64::try_from(piece.raw.len()).unwrap_or(0);
        let room = KEPT.saturating_sub(self.kept.len());
        // A piece that does not fit is left out whole, so that no escape or character is halved.
        if piece.raw.len() <= room {
            self.kept.extend_from_slice(piece.raw);
        }
    }

    /// Bytes so far; escapes count as written, so it never falls short.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The estimate for all, given how to count the kept part.
    pub(crate) fn estimate(&self, count: impl FnOnce(&str) -> u64) -> u64 {
        if self.bytes == 0 {
            return 0;
        }
        let kept = u64::try_from(self.kept.len()).unwrap_or(0);
        if kept == 0 {
            return self.bytes.div_ceil(4);
        }
        // What is put in for bytes that are no text may be longer than they are.
        let tokens = count(&Text { raw: &self.kept }.decode_lossy()).min(kept);
        let scaled = (u128::from(tokens) * u128::from(self.bytes)).div_ceil(u128::from(kept));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tally({} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_kept_text_is_scaled() {
        let mut tally = Tally::default();
        assert_eq!(tally.estimate(|_| 9), 0);
        for _ in 0..64 {
            tally.push(Text { raw: &[b'x'; 1024] });
        }
        assert_eq!(tally.bytes(), 65_536);
        assert_eq!(tally.estimate(|text| text.len() as u64 / 4), 16_384);
    }

    #[test]
    fn bytes_that_are_no_text_count_no_more_tokens_than_they_are() {
        let mut tally = Tally::default();
        tally.push(Text { raw: &[0xff; 10] });
        assert_eq!(tally.estimate(|text| text.len() as u64), 10);
    }

    #[test]
    fn the_text_does_not_show_in_debug_output() {
        let mut tally = Tally::default();
        tally.push(Text { raw: b"secret" });
        assert_eq!(format!("{tally:?}"), "Tally(6 bytes)");
    }
}
