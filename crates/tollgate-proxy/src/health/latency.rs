//! How long a target lets one wait.

use std::time::Duration;

/// Time in which a peak of latency falls to a third.
const DECAY: Duration = Duration::from_secs(10);

/// The recent peak of latency: it rises at once and falls slowly, so that a target that has just
/// been slow is left alone for a while (peak EWMA, as in Finagle and Linkerd).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    /// In seconds.
    peak: f64,
    at: Duration,
}

impl Latency {
    pub(super) fn see(&mut self, took: Duration, now: Duration) {
        let (took, old) = (took.as_secs_f64(), self.peak(now));
        let since = now.saturating_sub(self.at).as_secs_f64();
        let share = (-since / DECAY.as_secs_f64()).exp();
        self.peak = if took > old { took } else { self.peak * share + took * (1.0 - share) };
        self.at = now;
    }

    /// In seconds.
    pub(super) fn peak(&self, now: Duration) -> f64 {
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.peak * (-since / DECAY.as_secs_f64()).exp()
    }

    pub(super) fn shown(&self, now: Duration) -> Option<Duration> {
        let peak = Duration::try_from_secs_f64(self.peak(now)).ok();
        peak.filter(|_| self.peak > 0.0)
    }
}
