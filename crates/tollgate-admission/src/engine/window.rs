//! Where windows begin and end: a pure function of the kind, the zone and the instant (LIMIT-3).
//!
//! Instants are milliseconds since the epoch. A calendar window is what lies between the first
//! instants of two dates; the windows of one kind follow each other without gap or overlap, also
//! where the clocks change. It remembers nothing and resets nothing.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tollgate_domain::limit::Window;

/// The date from which days are numbered.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// From `start` (included) to `end` (not included), in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Span {
    /// All of time. Its start differs from the mark of "no window" in the counters.
    pub(super) const EVER: Self = Self { start: i64::MIN + 1, end: i64::MAX };

    /// Whether the instant lies in it.
    pub(super) const fn holds(self, at: i64) -> bool {
        self.start <= at && at < self.end
    }
}

/// The window of this kind in which the instant lies. What has no calendar is one window for ever.
pub(super) fn span(window: Window, zone: &TimeZone, at: i64) -> Span {
    match window {
        Window::Day => between(zone, at, |date| Some((date, date.tomorrow().ok()?))),
        Window::Week => between(zone, at, |date| {
            let past = i64::from(date.weekday().to_monday_zero_offset());
            let monday = date.checked_sub(past.days()).ok()?;
            Some((monday, monday.checked_add(1.week()).ok()?))
        }),
        Window::Month => between(zone, at, |date| {
            let first = date.first_of_month();
            Some((first, first.checked_add(1.month()).ok()?))
        }),
        Window::Rolling { .. }
        | Window::Sliding { .. }
        | Window::Total
        | Window::Balance
        | Window::Now => Span::EVER,
    }
}

/// The day in which the instant lies, and its number since 1970-01-01.
pub(super) fn day(zone: &TimeZone, at: i64) -> (Span, i64) {
    let span = span(Window::Day, zone, at);
    let number = date_of(zone, span.start).map_or(0, number_of);
    (span, number)
}

/// The first instant of the day with this number; `None` beyond the calendar.
pub(super) fn day_start(zone: &TimeZone, number: i64) -> Option<i64> {
    let days = jiff::Span::new().try_days(number).ok()?;
    start_of(zone, EPOCH.checked_add(days).ok()?)
}

/// An instant in milliseconds as a timestamp; `None` beyond the calendar.
pub(super) fn timestamp(at: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(at).ok()
}

/// The window around an instant, where `window` gives its first date and the first date after it.
fn between(zone: &TimeZone, at: i64, window: impl Fn(Date) -> Option<(Date, Date)>) -> Span {
    let find = |date: Date| {
        let (first, next) = window(date)?;
        Some(Span { start: start_of(zone, first)?, end: start_of(zone, next)? })
    };
    let found = || {
        let date = date_of(zone, at)?;
        let span = find(date)?;
        // Where clocks go back over midnight a date ends twice, and where they go forward over it
        // a date starts late: then the instant belongs to the neighbour.
        if at < span.start {
            return find(date.yesterday().ok()?);
        }
        if at >= span.end {
            return find(window(date)?.1);
        }
        Some(span)
    };
    found().unwrap_or(Span::EVER)
}

fn date_of(zone: &TimeZone, at: i64) -> Option<Date> {
    Some(zone.to_datetime(timestamp(at)?).date())
}

fn start_of(zone: &TimeZone, date: Date) -> Option<i64> {
    Some(zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_millisecond())
}

fn number_of(date: Date) -> i64 {
    date.since(EPOCH).map_or(0, |span| i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// Kind, zone, an instant, and the window that it lies in.
    const MIDNIGHTS: [(Window, &str, &str, &str, &str); 9] = [
        (
            Window::Day,
            "Asia/Seoul",
            "2026-11-21T14:59:59.999Z",
            "2026-11-20T15:00Z",
            "2026-11-21T15:00Z",
        ),
        (Window::Day, "Asia/Seoul", "2026-11-21T15:00Z", "2026-11-21T15:00Z", "2026-11-22T15:00Z"),
        (Window::Week, "Asia/Seoul", "2026-11-22T14:00Z", "2026-11-15T15:00Z", "2026-11-22T15:00Z"),
        (
            Window::Month,
            "Asia/Seoul",
            "2026-11-30T15:00Z",
            "2026-11-30T15:00Z",
            "2026-12-31T15:00Z",
        ),
        // 23 and 25 hours.
        (
            Window::Day,
            "America/New_York",
            "2026-03-08T12:00Z",
            "2026-03-08T05:00Z",
            "2026-03-09T04:00Z",
        ),
        (
            Window::Day,
            "America/New_York",
            "2026-11-01T12:00Z",
            "2026-11-01T04:00Z",
            "2026-11-02T05:00Z",
        ),
        // Clocks that jump from 24:00 to 01:00, and that go back from 24:00 to 23:00.
        (
            Window::Day,
            "America/Sao_Paulo",
            "2018-11-04T12:00Z",
            "2018-11-04T03:00Z",
            "2018-11-05T02:00Z",
        ),
        (
            Window::Day,
            "America/Sao_Paulo",
            "2018-02-18T02:30Z",
            "2018-02-17T02:00Z",
            "2018-02-18T03:00Z",
        ),
        // A day that ended, went back to its last hour and ended again.
        (
            Window::Day,
            "America/St_Johns",
            "2010-11-07T02:45Z",
            "2010-11-07T02:30Z",
            "2010-11-08T03:30Z",
        ),
    ];

    #[test]
    fn windows_start_at_local_midnight() {
        for (window, zone, at, start, end) in MIDNIGHTS {
            let zone = TimeZone::get(zone).unwrap();
            let expected = Span { start: millis(start), end: millis(end) };
            assert_eq!(span(window, &zone, millis(at)), expected, "{window} {at}");
            assert!(expected.holds(millis(at)), "{window} {at}");
        }
    }

    #[test]
    fn days_are_numbered_from_1970_and_found_again() {
        let zone = TimeZone::get("Asia/Seoul").unwrap();
        let (span, number) = day(&zone, millis("2026-11-20T15:00Z"));
        assert_eq!(number, 20_778);
        assert_eq!(day_start(&zone, number), Some(span.start));
        assert_eq!(day_start(&zone, number + 1), Some(span.end));
        assert_eq!(day_start(&zone, i64::MAX), None);
    }

    #[test]
    fn instants_beyond_the_calendar_fall_into_one_window() {
        let zone = TimeZone::UTC;
        assert_eq!(span(Window::Day, &zone, i64::MAX), Span::EVER);
        assert_eq!(span(Window::Month, &zone, i64::MIN), Span::EVER);
    }
}
