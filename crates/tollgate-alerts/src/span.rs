//! Spans of time that windows are, as functions of zone and instant.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};

use crate::measure::Window;

/// From when to when: the end does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// From here on.
    pub from: Timestamp,
    /// Up to here.
    pub to: Timestamp,
}

impl Span {
    /// The span that ends at `to` and is so long.
    pub(crate) fn before(to: Timestamp, length: SignedDuration) -> Self {
        Self { from: to.checked_sub(length).unwrap_or(Timestamp::MIN), to }
    }
}

/// The calendar window that an instant lies in; for the others the time up to it.
pub fn window(window: Window, zone: &TimeZone, at: Timestamp) -> Span {
    let Some(start) = start_of(window, &at.to_zoned(zone.clone())) else {
        let length = match window {
            Window::Last(length) => SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX),
            _ => SignedDuration::ZERO,
        };
        return Span::before(at, length);
    };
    let next = match window {
        Window::Week => start.checked_add(7.days()),
        Window::Month => start.checked_add(1.month()),
        _ => start.tomorrow(),
    };
    let end = next.and_then(|next| next.start_of_day());
    let to = end.map_or(Timestamp::MAX, |end| end.timestamp());
    Span { from: start.timestamp(), to }
}

fn start_of(window: Window, at: &Zoned) -> Option<Zoned> {
    let day = match window {
        Window::Day => at.clone(),
        Window::Week => {
            let past = at.weekday().since(Weekday::Monday);
            at.checked_sub(i64::from(past).days()).ok()?
        }
        Window::Month => at.first_of_month().ok()?,
        Window::Last(_) | Window::Now => return None,
    };
    day.start_of_day().ok()
}

/// The same time of the clock so many days earlier, daylight saving regarded.
pub(crate) fn days_before(at: Timestamp, days: i64, zone: &TimeZone) -> Timestamp {
    let earlier = at.to_zoned(zone.clone()).checked_sub(days.days());
    earlier.map_or(Timestamp::MIN, |earlier| earlier.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_windows_begin_and_end_with_days_of_the_zone() {
        let seoul = TimeZone::get("Asia/Seoul").unwrap();
        let at: Timestamp = "2026-11-21T16:30:00Z".parse().unwrap();
        for (kind, from, to) in [
            (Window::Day, "2026-11-21T15:00:00Z", "2026-11-22T15:00:00Z"),
            (Window::Week, "2026-11-15T15:00:00Z", "2026-11-22T15:00:00Z"),
            (Window::Month, "2026-10-31T15:00:00Z", "2026-11-30T15:00:00Z"),
            (
                Window::Last(std::time::Duration::from_hours(1)),
                "2026-11-21T15:30:00Z",
                "2026-11-21T16:30:00Z",
            ),
        ] {
            let span = window(kind, &seoul, at);
            assert_eq!((span.from.to_string(), span.to.to_string()), (from.into(), to.into()));
        }
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let after = "2026-10-26T09:00:00Z".parse().unwrap();
        assert_eq!(days_before(after, 7, &berlin).to_string(), "2026-10-19T08:00:00Z");
    }
}
