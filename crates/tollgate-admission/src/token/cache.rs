//! Tokens that proved good, by digest, so that proving them again costs one digest.
//!
//! Bounded: two halves, of which the older is dropped when the newer is full. What is in use moves
//! to the newer half. Only proven tokens come in, so strangers cannot fill it. An entry holds for
//! the keys that proved it and no others.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest as sha256};
use parking_lot::RwLock;

use super::Claims;

/// Most tokens in one half.
const HALF: usize = 8_192;

/// The digest of a token.
pub(super) type Digest = [u8; 32];

/// The digest of a token.
pub(super) fn digest(token: &[u8]) -> Digest {
    sha256(&SHA256, token).as_ref().try_into().unwrap_or_default()
}

/// A token that proved good.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// What it says.
    pub(super) claims: Claims,
    /// The second from which it no longer holds.
    pub(super) until: i64,
    /// The mark of the keys that proved it.
    pub(super) proof: [u8; 32],
}

/// Tokens that proved good.
#[derive(Debug, Default)]
pub(super) struct Cache(RwLock<Halves>);

#[derive(Debug, Default)]
struct Halves {
    newer: HashMap<Digest, Kept>,
    older: HashMap<Digest, Kept>,
}

impl Cache {
    /// What was proven of a token by these keys.
    pub(super) fn get(&self, digest: &Digest, proof: &[u8; 32]) -> Option<Kept> {
        let halves = self.0.read();
        if let Some(kept) = halves.newer.get(digest) {
            return (kept.proof == *proof).then(|| kept.clone());
        }
        let kept = halves.older.get(digest).filter(|kept| kept.proof == *proof)?.clone();
        drop(halves);
        self.put(*digest, kept.clone());
        Some(kept)
    }

    /// Remembers a token.
    pub(super) fn put(&self, digest: Digest, kept: Kept) {
        let mut halves = self.0.write();
        if halves.newer.len() >= HALF && !halves.newer.contains_key(&digest) {
            halves.older = std::mem::take(&mut halves.newer);
        }
        halves.newer.insert(digest, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(proof: u8) -> Kept {
        let claims = Claims { user: "alice".into(), plan: None };
        Kept { claims, until: 1, proof: [proof; 32] }
    }

    #[test]
    fn it_is_bounded_keeps_what_is_used_and_holds_for_the_keys_that_proved() {
        let cache = Cache::default();
        let used = digest(b"used");
        cache.put(used, kept(1));
        for n in 0..4 * HALF {
            cache.put(digest(&n.to_be_bytes()), kept(1));
            assert!(n % HALF != 0 || cache.get(&used, &[1; 32]).is_some(), "{n}");
        }
        let halves = cache.0.read();
        assert!(halves.newer.len() + halves.older.len() <= 2 * HALF);
        drop(halves);
        assert!(cache.get(&digest(&0_usize.to_be_bytes()), &[1; 32]).is_none());
        assert!(cache.get(&used, &[2; 32]).is_none());
    }
}
