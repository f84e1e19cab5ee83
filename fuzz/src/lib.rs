//! What the targets share: how the bytes of a run are divided, and what is held against what.
//!
//! A target takes four bytes that choose (the endpoint, its options, the cuts) and a body. They are
//! counted from `a`, so that a seed is plain text. A target asserts; it mends nothing, and it knows
//! no answer by heart: what holds is a relation between two ways to the same thing.

pub mod frames;
pub mod metered;
pub mod plain_events;
pub mod requests;
pub mod translated;

use bytes::Bytes;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::openai::UsageRules;
use tollgate_wire::openai::vendor::VENDORS;

/// The bytes of one run.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The endpoint: an index into [`Endpoint::all`].
    endpoint: u8,
    /// Whatever else a target lets be chosen.
    pub choice: u8,
    /// The largest piece is 2 to the power of this.
    size: u8,
    /// 0 means pieces of one byte; anything else seeds their sizes.
    seed: u8,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Input<'a> {
    /// Divides the bytes of a run; `None` where there are too few.
    pub fn of(data: &'a [u8]) -> Option<Self> {
        let ([endpoint, choice, size, seed], body) = data.split_first_chunk::<4>()?;
        let [endpoint, choice, size, seed] =
            [endpoint, choice, size, seed].map(|byte| byte.wrapping_sub(b'a'));
        Some(Self { endpoint, choice, size, seed, body })
    }

    /// The endpoint among all.
    pub fn endpoint(&self) -> Endpoint {
        let all: Vec<Endpoint> = Endpoint::all().collect();
        all[usize::from(self.endpoint) % all.len()]
    }

    /// The endpoint where it is one of `group`, else one of the group.
    pub fn endpoint_among(&self, group: &[Endpoint]) -> Endpoint {
        let endpoint = self.endpoint();
        if group.contains(&endpoint) {
            endpoint
        } else {
            group[usize::from(self.endpoint) % group.len()]
        }
    }

    /// A vendor's way to count.
    pub fn rules(&self) -> UsageRules {
        VENDORS[usize::from(self.choice / 2) % VENDORS.len()].usage
    }

    /// The bytes in pieces.
    pub fn pieces(&self, bytes: &Bytes) -> Vec<Bytes> {
        let most = 1usize << (self.size % 10);
        let mut state = u32::from(self.seed);
        let (mut pieces, mut from) = (Vec::new(), 0);
        while from < bytes.len() {
            let mut length = 1;
            if self.seed != 0 {
                // Xorshift: any sizes will do, as long as the same bytes give the same.
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                length += state as usize % most;
            }
            let end = (from + length).min(bytes.len());
            pieces.push(bytes.slice(from..end));
            from = end;
        }
        pieces
    }
}

/// Fails where `text` is no JSON document. Depth and size of numbers do not matter.
pub fn assert_json(text: &[u8], what: &str) {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(text);
    let shown = String::from_utf8_lossy(text);
    assert!(read.is_ok() && str::from_utf8(text).is_ok(), "{what} is no JSON: {read:?}: {shown}");
}
