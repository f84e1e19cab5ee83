//! How long to wait before the same target is asked again.

use std::time::Duration;

use crate::provider::RetryPolicy;

/// The pause before the next attempt after so many at the target have failed; `None` where the
/// provider asks for a longer one than the policy allows.
///
/// The pause doubles with each failure and lies within a quarter of that, as `draw` falls, so that
/// calls which failed together do not come back together. What the provider asks for is waited in
/// full, and a little longer.
pub(super) fn pause_before(
    policy: &RetryPolicy,
    failed: u32,
    asked: Option<Duration>,
    draw: u64,
) -> Option<Duration> {
    // A number below 256, of which 128 is the middle.
    let chance = u32::try_from(draw % 256).unwrap_or(128);
    if let Some(asked) = asked {
        let longer = asked.saturating_add(policy.base.min(asked) / 4 * chance / 256);
        return (asked <= policy.max).then_some(longer);
    }
    let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
    let pause = policy.base.saturating_mul(doubled).min(policy.max);
    let spread = pause.saturating_mul(3) / 4 + (pause / 2).saturating_mul(chance) / 256;
    Some(spread.min(policy.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 5, base: Duration::from_secs(1), max: Duration::from_secs(6) };

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        for (failed, middle) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 6_000), (90, 6_000)] {
            let pauses: Vec<_> = (0..256)
                .map(|draw| pause_before(&POLICY, failed, None, draw).unwrap().as_millis())
                .collect();
            assert!(pauses.iter().all(|pause| *pause >= middle * 3 / 4), "{failed}");
            assert!(pauses.iter().all(|pause| *pause <= (middle * 5 / 4).min(6_000)), "{failed}");
            assert!(pauses.first() < pauses.last(), "{failed}");
        }
    }

    #[test]
    fn what_the_provider_asks_for_is_waited_in_full_or_not_at_all() {
        let seconds = Duration::from_secs;
        for draw in [0, 100, 255] {
            let pause = pause_before(&POLICY, 3, Some(seconds(2)), draw).unwrap();
            assert!(pause >= seconds(2) && pause <= Duration::from_millis(2_250), "{pause:?}");
        }
        assert_eq!(pause_before(&POLICY, 1, Some(Duration::ZERO), 255), Some(Duration::ZERO));
        assert_eq!(pause_before(&POLICY, 1, Some(seconds(7)), 0), None);
    }
}
