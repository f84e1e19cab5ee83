//! What has happened and the engine has not looked at yet: bounded, and never waited for.

use std::mem;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tollgate_admission::engine::{Subject, Warning};
use tollgate_domain::call::CallRecord;
use tollgate_domain::limit::Limit;

/// Most calls that wait: what comes in seconds at the highest rate.
const MOST_CALLS: usize = 200_000;
/// Most steps that wait.
const MOST_STEPS: usize = 10_000;

/// A step of use that a limit has reached.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "a step is what limits call it")]
pub(super) struct Step {
    pub(super) limit: Arc<Limit>,
    pub(super) plan: Option<Arc<str>>,
    pub(super) step: u16,
    pub(super) used: i64,
    pub(super) max: i64,
    /// Whose counter it is: names of scopes and their values.
    pub(super) scope: Vec<(String, String)>,
}

/// What has happened.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) calls: Vec<Arc<CallRecord>>,
    pub(super) steps: Vec<Step>,
    /// Whose prompts were sent too often, and when.
    pub(super) storms: Vec<(Arc<str>, Timestamp)>,
}

/// What waits for the engine.
#[derive(Debug)]
pub(crate) struct Feed {
    news: Mutex<News>,
    dropped: Counter,
}

impl Feed {
    pub(super) fn new(dropped: Counter) -> Self {
        Self { news: Mutex::default(), dropped }
    }

    /// Takes finished calls; those there is no room for are counted and not seen.
    pub(crate) fn calls(&self, calls: &[Arc<CallRecord>]) {
        let mut news = self.news.lock();
        let room = MOST_CALLS.saturating_sub(news.calls.len()).min(calls.len());
        news.calls.extend(calls.iter().take(room).map(Arc::clone));
        drop(news);
        let lost = u64::try_from(calls.len().saturating_sub(room)).unwrap_or(0);
        if lost > 0 {
            self.dropped.inc_by(lost);
        }
    }

    /// Takes steps that limits have reached.
    pub(crate) fn steps(&self, subject: &Subject<'_>, warnings: &[Warning]) {
        let step = |warning: &Warning| {
            let scopes = warning.limit.scope.iter().filter_map(|scope| {
                let value = subject.value(*scope).filter(|value| !value.is_empty())?;
                Some((scope.as_str().to_owned(), value.to_owned()))
            });
            Step {
                limit: Arc::clone(&warning.limit),
                plan: warning.plan.clone(),
                step: warning.step,
                used: warning.used,
                max: warning.max,
                scope: scopes.collect(),
            }
        };
        let mut news = self.news.lock();
        if news.steps.len() < MOST_STEPS {
            news.steps.extend(warnings.iter().map(step));
        }
    }

    /// Takes a duplicate storm of this user.
    pub(crate) fn storm(&self, user: &Arc<str>, at: Timestamp) {
        let mut news = self.news.lock();
        if news.storms.len() < MOST_STEPS {
            news.storms.push((Arc::clone(user), at));
        }
    }

    /// Takes what is there.
    pub(super) fn take(&self) -> News {
        mem::take(&mut *self.news.lock())
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::call::CacheState;

    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let feed = Feed::new(Counter::default());
        let text = serde_json::json!({
            "call_id": "019a0000-0000-7000-8000-000000000000", "request_id": "r",
            "time": "2026-11-21T00:00:00Z", "user": "a", "key": null, "team": null,
            "session": null, "feature": null, "tags": {}, "dialect": "openai", "endpoint": "e",
            "provider": "p", "model_asked": "m", "model": "m", "stream": false, "status": 200,
            "outcome": "success", "error_type": null, "attempts": 1,
            "cache": CacheState::Miss, "input_tokens": 0, "cached_input_tokens": 0,
            "cache_write_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0,
            "cost_usd": "0.000000000", "estimated": false, "latency_ms": 0, "ttft_ms": null,
        });
        let call: Arc<CallRecord> = Arc::new(serde_json::from_value(text).unwrap());
        let calls = vec![call; MOST_CALLS / 2 + 1];
        feed.calls(&calls);
        feed.calls(&calls);
        assert_eq!(feed.dropped.get(), 2);
        assert_eq!(feed.take().calls.len(), MOST_CALLS);
        assert_eq!(feed.take().calls.len(), 0);
    }
}
