//! What spares buying the same answer twice: the prompt cache, idempotency keys, the protection
//! against duplicate storms.

use std::time::Duration;

use super::reader::Fields;
use super::scalar::{Count, Size, Span, words};

words! {
    /// Who may get an answer that is kept.
    CacheScope {
        /// The user who asked.
        User = "user",
        /// Everybody.
        Shared = "shared",
    }
}

/// The prompt cache.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Whether answers are kept.
    pub enabled: bool,
    /// How long.
    pub ttl: Duration,
    /// In how much memory, in bytes.
    pub max_bytes: u64,
    /// For whom.
    pub scope: CacheScope,
    /// Whether identical calls in flight share one upstream call.
    pub coalesce: bool,
}

impl Cache {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            enabled: fields.get("enabled"),
            ttl: fields.get::<Span>("ttl").0,
            max_bytes: fields.get::<Size>("max_bytes").0,
            scope: fields.get("scope"),
            coalesce: fields.get("coalesce"),
        }
    }
}

/// How repeated idempotency keys are answered.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency {
    /// Whether they are heeded.
    pub enabled: bool,
    /// How long a key is known.
    pub ttl: Duration,
    /// In how much memory answers are kept, in bytes.
    pub max_bytes: u64,
}

impl Idempotency {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            enabled: fields.get("enabled"),
            ttl: fields.get::<Span>("ttl").0,
            max_bytes: fields.get::<Size>("max_bytes").0,
        }
    }
}

words! {
    /// What happens in a duplicate storm.
    StormAction {
        /// Somebody is told.
        Alert = "alert",
        /// The answer comes from the cache.
        ServeCached = "serve_cached",
        /// Calls are slowed down.
        Throttle = "throttle",
        /// Calls are refused for a time.
        Block = "block",
    }
}

/// Protection against duplicate storms.
#[derive(Clone, Copy, Debug)]
pub struct Duplicates {
    /// How many identical prompts make a storm; at least 2.
    pub identical: u32,
    /// Within which time.
    pub window: Duration,
    /// What happens then.
    pub action: StormAction,
    /// How long a block lasts.
    pub block_for: Duration,
}

impl Duplicates {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let duplicates = Self {
            identical: fields.get::<Count>("identical").0,
            window: fields.get::<Span>("window").0,
            action: fields.get("action"),
            block_for: fields.get::<Span>("block_for").0,
        };
        if duplicates.identical == 1 {
            let message = "`duplicates.identical`: a single prompt repeats nothing";
            fields.fail_at("identical", message.to_owned(), Some("use 2 or more".to_owned()));
        }
        duplicates
    }
}
