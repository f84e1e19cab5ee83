//! How a call was served, as far as prices depend on it: when it started, in which service tier,
//! in a batch or not. Windows in time and conditions of a price are compared here.

use jiff::Timestamp;

const SECONDS_PER_DAY: i64 = 86_400;

/// The circumstances of a call that choose among prices. What is unknown stays `None`, and the
/// standard price applies.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// When the request started; prices with dates or times of day go by it.
    pub at: Timestamp,
    /// The service tier, as the answer states it (`default`, `priority`, `flex`).
    pub service_tier: Option<&'a str>,
    /// The speed, where a provider sells speeds apart from tiers.
    pub speed: Option<&'a str>,
    /// Where the model ran, where that has a price.
    pub geo: Option<&'a str>,
    /// Whether it went through a batch interface.
    pub batch: bool,
    /// The route of a reseller that chooses among upstreams.
    pub route: Option<&'a str>,
    /// The kind of search, where a model sells several.
    pub search_type: Option<&'a str>,
}

impl Served<'_> {
    /// A standard call that started at `at`.
    pub const fn at(at: Timestamp) -> Self {
        Self {
            at,
            service_tier: None,
            speed: None,
            geo: None,
            batch: false,
            route: None,
            search_type: None,
        }
    }
}

/// When a price is in force, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// First second.
    pub(super) from: i64,
    /// First second after.
    pub(super) until: i64,
    /// Seconds of the day, from and until; `until` below `from` passes midnight.
    pub(super) daily: Option<(u32, u32)>,
}

impl Window {
    pub(super) const ALWAYS: Self = Self { from: i64::MIN, until: i64::MAX, daily: None };

    pub(super) fn holds(&self, at: Timestamp) -> bool {
        let second = at.as_second();
        let of_day = second.rem_euclid(SECONDS_PER_DAY);
        let daily = self.daily.is_none_or(|(from, until)| {
            let (from, until) = (i64::from(from), i64::from(until));
            let (after, before) = (of_day >= from, of_day < until);
            if until < from { after || before } else { after && before }
        });
        daily && second >= self.from && second < self.until
    }
}

macro_rules! questions {
    ($($variant:ident, $key:literal;)*) => {
        /// What a condition asks about a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Question { $($variant,)* }

        impl Question {
            pub(super) fn from_key(key: &str) -> Option<Self> {
                match key { $($key => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

questions! {
    ServiceTier, "service_tier";
    Processing, "processing";
    Speed, "speed";
    Route, "route";
    SearchType, "search_type";
}

/// A condition of a special price: a question and the answer that it wants.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) question: Question,
    pub(super) answer: Box<str>,
}

impl Condition {
    pub(super) fn holds(&self, served: &Served<'_>) -> bool {
        let answer = match self.question {
            Question::ServiceTier => served.service_tier,
            Question::Speed => served.speed,
            Question::Route => served.route,
            Question::SearchType => served.search_type,
            Question::Processing => {
                // Anthropic states a batch as a service tier.
                let batch = served.batch || served.service_tier == Some("batch");
                batch.then_some("batch")
            }
        };
        answer.is_some_and(|answer| answer.eq_ignore_ascii_case(&self.answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_the_day_may_pass_midnight() {
        let night = Window { daily: Some((23 * 3_600, 3_600)), ..Window::ALWAYS };
        let morning = Window { daily: Some((1_800, 59_400)), ..Window::ALWAYS };
        let never = Window { daily: Some((60, 60)), ..Window::ALWAYS };
        for (time, in_night, in_morning) in [
            ("22:59:59.999", false, false),
            ("23:00:00", true, false),
            ("00:00:00", true, false),
            ("00:29:59", true, false),
            ("00:30:00", true, true),
            ("00:59:59.999", true, true),
            ("01:00:00", false, true),
            ("16:29:59", false, true),
            ("16:30:00", false, false),
        ] {
            let at: Timestamp = format!("2026-11-21T{time}Z").parse().unwrap();
            assert_eq!(night.holds(at), in_night, "{time}");
            assert_eq!(morning.holds(at), in_morning, "{time}");
            assert!(!never.holds(at));
        }
    }

    #[test]
    fn a_dated_window_begins_and_ends_on_the_second() {
        let window = Window { from: 100, until: 200, daily: None };
        for (second, holds) in [(99, false), (100, true), (199, true), (200, false)] {
            assert_eq!(window.holds(Timestamp::from_second(second).unwrap()), holds, "{second}");
        }
    }
}
