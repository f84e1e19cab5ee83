//! Byte-pair merging: from the bytes of a piece to the number of its tokens.
//!
//! Of all neighbours that together are a token, those of the lowest rank are merged, the leftmost
//! first, until none are left (Sennrich, Haddow, Birch 2016, arXiv 1508.07909). A queue holds the
//! pairs, so that a piece of n bytes takes n log n and not n².

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vocabulary::Vocabulary;

/// The rank of a pair that is no token.
const NO_TOKEN: u32 = u32::MAX;
/// Before the first part.
const NOWHERE: u32 = u32::MAX;
/// Pieces that are longer are cut, so that places are small numbers. No caller counts as much.
const MOST: usize = 1 << 30;

/// What is, at this moment, one token of the piece. It stands at its first byte.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Where the part before begins.
    before: u32,
    /// Where this part ends and the next begins.
    end: u32,
    /// The rank of this part and the next together.
    joined: u32,
}

/// Merges one piece after another, with memory that is kept in between.
#[derive(Debug)]
pub(super) struct Merger<'a> {
    vocabulary: &'a Vocabulary,
    /// One for each byte; where no part begins any more, `joined` is [`NO_TOKEN`].
    parts: Vec<Part>,
    /// Pairs: the rank in the upper half, the place in the lower. A pair that is not the one in
    /// `parts` has passed.
    queue: BinaryHeap<Reverse<u64>>,
}

impl<'a> Merger<'a> {
    pub(super) const fn new(vocabulary: &'a Vocabulary) -> Self {
        Self { vocabulary, parts: Vec::new(), queue: BinaryHeap::new() }
    }

    /// How many tokens the piece is.
    pub(super) fn count(&mut self, piece: &[u8]) -> u64 {
        if self.vocabulary.rank(piece).is_some() {
            return 1;
        }
        piece.chunks(MOST).map(|piece| self.merge_all(piece)).sum()
    }

    fn merge_all(&mut self, piece: &[u8]) -> u64 {
        self.take_apart(piece);
        let mut tokens = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        while let Some(Reverse(pair)) = self.queue.pop() {
            let (rank, at) = (high(pair), low(pair));
            if self.merge(piece, rank, at).is_some() {
                tokens -= 1;
            }
        }
        tokens
    }

    /// Makes a part of each byte.
    fn take_apart(&mut self, piece: &[u8]) {
        self.parts.clear();
        self.queue.clear();
        let pairs = piece.windows(2).map(|pair| self.vocabulary.rank(pair)).chain([None]);
        for (at, rank) in (0..).zip(pairs) {
            let before = u32::checked_sub(at, 1).unwrap_or(NOWHERE);
            self.parts.push(Part { before, end: at + 1, joined: rank.unwrap_or(NO_TOKEN) });
            self.queue.extend(rank.map(|rank| queued(rank, at)));
        }
    }

    /// Merges the part at this place with the next, unless the pair has passed.
    fn merge(&mut self, piece: &[u8], rank: u32, at: u32) -> Option<()> {
        let left = *self.part(at)?;
        if left.joined != rank {
            return None;
        }
        let right = self.part(left.end)?;
        right.joined = NO_TOKEN;
        let end = right.end;
        self.part(at)?.end = end;
        if let Some(next) = self.part(end) {
            next.before = at;
        }
        self.offer(piece, at);
        self.offer(piece, left.before);
        Some(())
    }

    /// Looks up what the part at this place makes with the next, and queues it.
    fn offer(&mut self, piece: &[u8], at: u32) {
        let Some(part) = self.part(at).copied() else { return };
        let next = self.part(part.end).map(|next| index(at)..index(next.end));
        let pair = next.and_then(|pair| piece.get(pair));
        let rank = pair.and_then(|pair| self.vocabulary.rank(pair));
        if let Some(part) = self.part(at) {
            part.joined = rank.unwrap_or(NO_TOKEN);
        }
        self.queue.extend(rank.map(|rank| queued(rank, at)));
    }

    fn part(&mut self, at: u32) -> Option<&mut Part> {
        self.parts.get_mut(index(at))
    }
}

fn queued(rank: u32, at: u32) -> Reverse<u64> {
    Reverse(u64::from(rank) << 32 | u64::from(at))
}

fn high(pair: u64) -> u32 {
    u32::try_from(pair >> 32).unwrap_or(NO_TOKEN)
}

fn low(pair: u64) -> u32 {
    u32::try_from(pair & u64::from(u32::MAX)).unwrap_or(NOWHERE)
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
