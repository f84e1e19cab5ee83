//! What is configured about saving: for how long answers are kept, for whom, in how much memory, and
//! what happens in a duplicate storm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is configured about saving. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SavingsSettings {
    /// The prompt cache; `None` is none.
    pub cache: Option<CacheSettings>,
    /// How repeated idempotency keys are answered; `None` ignores them.
    pub repetitions: Option<RepetitionSettings>,
    /// Protection against duplicate storms; `None` is none.
    pub storms: Option<StormSettings>,
    /// Whether calls under a plan may use the cache, where the plan says so.
    pub plans: Arc<BTreeMap<Arc<str>, bool>>,
}

/// The prompt cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long an answer is kept.
    pub ttl: Duration,
    /// In how much memory, in bytes: three quarters for kept answers, one for those on their way.
    pub max_bytes: usize,
    /// Whether an answer may be given to other users than the one who asked first.
    pub shared: bool,
    /// Whether identical calls in flight share one upstream call.
    pub coalesce: bool,
}

/// How repeated idempotency keys are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepetitionSettings {
    /// How long a key is known.
    pub ttl: Duration,
    /// How much memory their answers may take, in bytes.
    pub max_bytes: usize,
}

/// Protection against duplicate storms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StormSettings {
    /// How many identical prompts of one subject make a storm; at least 2.
    pub identical: u32,
    /// Within which time.
    pub window: Duration,
    /// What happens then.
    pub action: StormAction,
    /// How long a block lasts.
    pub block_for: Duration,
}

/// What happens in a duplicate storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StormAction {
    /// It is told, and nothing else.
    Alert,
    /// Its calls get a kept answer, whatever the cache is set to.
    ServeCached,
    /// Its calls are slowed down to the rate that is no storm.
    Throttle,
    /// Its subject is refused for a time.
    Block,
}

impl StormAction {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Alert, Self::ServeCached, Self::Throttle, Self::Block];

    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::ServeCached => "serve_cached",
            Self::Throttle => "throttle",
            Self::Block => "block",
        }
    }
}

/// Memory for answers that a storm has kept where no cache is configured, in bytes.
const OF_STORMS: usize = 64 << 20;

impl SavingsSettings {
    /// Memory for what the cache keeps, in bytes.
    pub(super) fn cache_bytes(&self) -> usize {
        let all = self.cache.map_or(OF_STORMS, |cache| cache.max_bytes);
        all - all / 4
    }

    /// Memory for answers on their way, in bytes.
    pub(super) fn flight_bytes(&self) -> usize {
        self.cache.map_or(OF_STORMS, |cache| cache.max_bytes) / 4
    }

    /// Memory for answers under an idempotency key, in bytes.
    pub(super) fn repetition_bytes(&self) -> usize {
        self.repetitions.map_or(0, |it| it.max_bytes)
    }
}
