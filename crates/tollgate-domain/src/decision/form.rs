//! How the words of a decision are written: metrics and windows as one byte, and the figure of a
//! window behind it. A code is never given a second meaning.

use smallvec::SmallVec;

use crate::limit::{Metric, Window};
use crate::packed::{Input, signed, varint};

/// A decision while it is written: those over a few limits fit without a place of their own in memory.
pub(super) type Output = SmallVec<[u8; 512]>;

pub(super) fn put_varint(out: &mut Output, value: u64) {
    out.extend_from_slice(&varint(value));
}

pub(super) fn put_signed(out: &mut Output, value: i64) {
    out.extend_from_slice(&signed(value));
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
