//! How figures, names and windows of a decision are written: integers seven bits a byte, texts after
//! their length, words as one byte. A code is never given a second meaning.

use smallvec::SmallVec;

use crate::limit::{Metric, Window};

/// A decision while it is written: those over a few limits fit without a place of their own in memory.
pub(super) type Output = SmallVec<[u8; 512]>;

/// Seven bits a byte, least significant first, the high bit set while more follow (LEB128).
pub(super) fn put_varint(out: &mut Output, mut value: u64) {
    // Put together first: a push asks for room each time.
    let mut bytes = [0; 10];
    let mut length = 0;
    for byte in &mut bytes {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        length += 1;
        if value == 0 {
            *byte = low & 0x7f;
            break;
        }
        *byte = low | 0x80;
    }
    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// Folds the sign into the lowest bit, so that small negative numbers stay short.
pub(super) fn put_signed(out: &mut Output, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63).cast_unsigned());
}

pub(super) fn put_text(out: &mut Output, text: &str) {
    put_varint(out, u64::try_from(text.len()).unwrap_or(0));
    out.extend_from_slice(text.as_bytes());
}

pub(super) const fn metric(metric: Metric) -> u8 {
    match metric {
        Metric::Requests => 0,
        Metric::Successes => 1,
        Metric::InputTokens => 2,
        Metric::OutputTokens => 3,
        Metric::Tokens => 4,
        Metric::CostUsd => 5,
        Metric::Concurrency => 6,
        Metric::Units => 7,
    }
}

pub(super) const fn metric_from(code: u8) -> Option<Metric> {
    Some(match code {
        0 => Metric::Requests,
        1 => Metric::Successes,
        2 => Metric::InputTokens,
        3 => Metric::OutputTokens,
        4 => Metric::Tokens,
        5 => Metric::CostUsd,
        6 => Metric::Concurrency,
        7 => Metric::Units,
        _ => return None,
    })
}

/// A word, and its figure where it has one.
pub(super) fn put_window(out: &mut Output, window: Window) {
    let (code, figure) = match window {
        Window::Sliding { millis } => (0, Some(millis)),
        Window::Day => (1, None),
        Window::Week => (2, None),
        Window::Month => (3, None),
        Window::Rolling { days } => (4, Some(days.into())),
        Window::Total => (5, None),
        Window::Balance => (6, None),
        Window::Now => (7, None),
    };
    out.push(code);
    if let Some(figure) = figure {
        put_varint(out, figure);
    }
}

pub(super) fn take_window(input: &mut Input<'_>) -> Option<Window> {
    Some(match input.byte()? {
        0 => Window::Sliding { millis: input.varint()? },
        1 => Window::Day,
        2 => Window::Week,
        3 => Window::Month,
        4 => Window::Rolling { days: u16::try_from(input.varint()?).ok()? },
        5 => Window::Total,
        6 => Window::Balance,
        7 => Window::Now,
        _ => return None,
    })
}

/// What remains to be read.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let folded = self.varint()?;
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }
}
