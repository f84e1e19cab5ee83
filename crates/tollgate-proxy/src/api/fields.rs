//! What requests of the callers' API carry: strict JSON bodies, query parameters, names.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::de::DeserializeOwned;

use crate::stop::Stop;

/// Longest name of a user, a feature, a label.
pub(super) const LONGEST_NAME: usize = 128;
/// Longest time for which anything is set aside.
const LONGEST_TTL: Duration = Duration::from_hours(366 * 24);

/// Reads a body; what it does not know is refused.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Stop> {
    serde_json::from_slice(bytes).map_err(|error| {
        Stop::field(format!("the body is not what this path takes: {error}"), None)
    })
}

/// A name that stands in a row or names a counter.
pub(super) fn name(field: &'static str, text: &str) -> Result<Arc<str>, Stop> {
    let good =
        !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
    if good {
        return Ok(Arc::from(text));
    }
    let message =
        format!("`{field}` must be 1 to {LONGEST_NAME} bytes of text without control characters");
    Err(Stop::field(message, Some(field.into())))
}

/// The same where it may be absent.
pub(super) fn optional(field: &'static str, text: Option<&str>) -> Result<Option<Arc<str>>, Stop> {
    text.map(|text| name(field, text)).transpose()
}

/// A time to live: `30s`, `10m`, `2h`, `7d`.
pub(super) fn ttl(text: &str) -> Result<Duration, Stop> {
    let wrong = || {
        let message = format!(
            "`ttl` must be a time such as 30s, 10m, 2h or 7d, at most {} days",
            LONGEST_TTL.as_secs() / 86_400
        );
        Stop::field(message, Some("ttl".into()))
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (count, unit) = text.split_at_checked(split).ok_or_else(wrong)?;
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let ttl = count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)?;
    if ttl.is_zero() || ttl > LONGEST_TTL { Err(wrong()) } else { Ok(ttl) }
}

/// The values of these query parameters, in their order. The credential's own parameter is passed
/// over; any other is refused.
pub(super) fn query<'a, const N: usize>(
    uri: &'a Uri,
    names: [&'static str; N],
) -> Result<[Option<Cow<'a, str>>; N], Stop> {
    let mut values = [const { None }; N];
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == "key" {
            continue;
        }
        let place = names.iter().position(|known| *known == name);
        let Some(slot) = place.and_then(|place| values.get_mut(place)) else {
            let shown: String = name.chars().take(LONGEST_NAME).collect();
            let message =
                format!("there is no query parameter `{shown}` here; known: {}", names.join(", "));
            return Err(Stop::field(message, Some(shown.into())));
        };
        let value = decoded(value).ok_or_else(|| {
            Stop::field(format!("the query parameter `{name}` is not UTF-8"), None)
        })?;
        *slot = Some(value).filter(|value| !value.is_empty());
    }
    Ok(values)
}

/// A value of a query (WHATWG form encoding): `+` is a space, `%XX` a byte.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(rest.next()?)? << 4 | digit(rest.next()?)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_are_read_and_bounded() {
        for (text, seconds) in
            [("30s", Some(30)), ("10m", Some(600)), ("2h", Some(7_200)), ("366d", Some(31_622_400))]
        {
            assert_eq!(ttl(text).ok().map(|ttl| ttl.as_secs()), seconds, "{text}");
        }
        for text in ["", "0s", "10", "m", "-1m", "367d", "1w", "99999999999999999999d", "\u{d55c}"]
        {
            let stop = ttl(text).unwrap_err();
            assert!(stop.message.contains("10m"), "{text}: {}", stop.message);
        }
    }

    #[test]
    fn parameters_are_decoded_and_unknown_ones_are_refused() {
        let read = |query: &str| {
            let uri: Uri = format!("/api/billing?{query}").parse().unwrap();
            super::query(&uri, ["user", "from"])
                .map(|values| values.map(|v| v.map(Cow::into_owned)))
        };
        let text = |text: &str| Some(text.to_owned());
        for (query, values) in [
            ("", [None, None]),
            ("user=%EB%AF%BC%EC%A7%80&key=tg_x", [text("\u{bbfc}\u{c9c0}"), None]),
            ("from=2026-11-01&user=a+b%2B", [text("a b+"), text("2026-11-01")]),
            ("user=&from", [None, None]),
        ] {
            assert_eq!(read(query).unwrap(), values, "{query}");
        }
        for bad in ["form=1", "user=%ff", "user=%4", "user=%zz"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_bounded_and_free_of_controls() {
        assert_eq!(&*name("user", "\u{bbfc}\u{c9c0}").unwrap(), "\u{bbfc}\u{c9c0}");
        for bad in ["", "a\nb", &"x".repeat(LONGEST_NAME + 1)] {
            assert!(name("user", bad).is_err());
        }
    }
}
