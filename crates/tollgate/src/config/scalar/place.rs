//! Places in space and time: addresses, URLs, time zones, instants, schedules.

use std::net::SocketAddr;

use http::Uri;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_admission::network::Network;

use super::{Blank, Scalar, Wrong};

impl Scalar for SocketAddr {
    fn read(text: &str) -> Result<Self, Wrong> {
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => text.parse(),
        };
        address.map_err(|_| Wrong {
            expected: "an address with a port".to_owned(),
            remedy: Some(
                "write it like \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\"".to_owned(),
            ),
        })
    }
}

impl Blank for SocketAddr {
    fn blank() -> Self {
        Self::from(([0, 0, 0, 0], 0))
    }
}

impl Scalar for Network {
    fn read(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| {
            Wrong::expected("a range of addresses such as 10.0.0.0/8 or 2001:db8::/32")
        })
    }
}

impl Scalar for TimeZone {
    fn read(text: &str) -> Result<Self, Wrong> {
        Self::get(text).map_err(|_| {
            let known: Vec<String> =
                jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
            let near = crate::config::problem::nearest(text, known.iter().map(String::as_str));
            Wrong {
                expected: "the name of a time zone such as \"Asia/Seoul\" or \"UTC\"".to_owned(),
                remedy: near.map(|near| format!("did you mean `{near}`?")),
            }
        })
    }
}

impl Blank for TimeZone {
    fn blank() -> Self {
        Self::UTC
    }
}

impl Scalar for Timestamp {
    fn read(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| {
            Wrong::expected("an instant such as \"2027-01-01T00:00:00Z\", offset included")
        })
    }
}

/// An `http` or `https` URL without credentials, kept without a slash at its end.
#[derive(Clone, Debug)]
pub(in crate::config) struct HttpUrl(pub(in crate::config) String);

impl Scalar for HttpUrl {
    /// Somebody may have put a password into it.
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, Wrong> {
        let uri: Option<Uri> = text.parse().ok();
        let authority = uri
            .as_ref()
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
            .and_then(|uri| uri.authority().filter(|authority| !authority.host().is_empty()));
        match authority {
            None => Err(Wrong::expected("a URL that starts with http:// or https://")),
            Some(authority) if authority.as_str().contains('@') => Err(Wrong {
                expected: "a URL without credentials in it".to_owned(),
                remedy: Some("put them into `api_key` or `headers`".to_owned()),
            }),
            Some(_) if uri.as_ref().is_some_and(|uri| uri.query().is_some()) => {
                Err(Wrong::expected("a URL without a query"))
            }
            Some(_) => Ok(Self(text.trim_end_matches('/').to_owned())),
        }
    }
}

impl Blank for HttpUrl {
    fn blank() -> Self {
        Self(String::new())
    }
}

/// A schedule in the five fields of cron: minute, hour, day of month, month, day of week.
#[derive(Clone, Debug)]
pub(in crate::config) struct Cron(pub(in crate::config) String);

impl Scalar for Cron {
    fn read(text: &str) -> Result<Self, Wrong> {
        const FIELDS: [(&str, u32, u32); 5] = [
            ("minute", 0, 59),
            ("hour", 0, 23),
            ("day of month", 1, 31),
            ("month", 1, 12),
            ("day of week", 0, 7),
        ];
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(Wrong {
                expected: "a schedule of five fields".to_owned(),
                remedy: Some(
                    "write minute, hour, day of month, month, day of week: \"0 3 * * *\" is \
                     every day at 03:00"
                        .to_owned(),
                ),
            });
        }
        for (field, (name, low, high)) in fields.iter().zip(FIELDS) {
            if !field.split(',').all(|part| is_cron_part(part, low, high)) {
                return Err(Wrong::expected(&format!(
                    "a schedule whose {name} is `*`, a number from {low} to {high}, a range, a \
                     list or a step such as `*/5`"
                )));
            }
        }
        Ok(Self(fields.join(" ")))
    }
}

impl Blank for Cron {
    fn blank() -> Self {
        Self(String::new())
    }
}

/// Whether one element of a cron list is in range: `*`, `5`, `1-5`, `mon-fri`, each with a step.
fn is_cron_part(part: &str, low: u32, high: u32) -> bool {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|step| (1..=high).contains(&step))) {
        return false;
    }
    let number = |text: &str| cron_number(text, high).filter(|n| (low..=high).contains(n));
    match range.split_once('-') {
        _ if range == "*" => true,
        Some((from, to)) => matches!((number(from), number(to)), (Some(a), Some(b)) if a <= b),
        None => number(range).is_some(),
    }
}

/// A number of a cron field; months and weekdays may be named.
fn cron_number(text: &str, high: u32) -> Option<u32> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let named = |names: &[&str], first: u32| {
        let index = names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
        Some(u32::try_from(index).ok()? + first)
    };
    match high {
        12 => named(&MONTHS, 1),
        7 => named(&DAYS, 0),
        _ => None,
    }
    .or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_fields_in_range() {
        for good in ["0 3 * * *", "*/5 0-6,22 1,15 jan-mar MON-fri", " 0  9 * * 7 "] {
            assert!(Cron::read(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "* * * * * *",
            "@daily",
        ] {
            assert!(Cron::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_are_absolute_and_carry_no_credentials() {
        assert_eq!(
            HttpUrl::read("https://api.example.com/v1/").unwrap().0,
            "https://api.example.com/v1"
        );
        assert_eq!(HttpUrl::read("http://[::1]:8080").unwrap().0, "http://[::1]:8080");
        for bad in [
            "",
            "api.example.com",
            "ftp://host",
            "http://",
            "http://u:p@host",
            "http://h/?k=v",
            "http://a b",
            "/v1",
        ] {
            assert!(HttpUrl::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mistyped_time_zone_gets_its_neighbour() {
        let wrong = TimeZone::read("Asia/Seol").unwrap_err();
        assert_eq!(wrong.remedy.as_deref(), Some("did you mean `Asia/Seoul`?"));
        assert!(TimeZone::read("UTC").is_ok());
    }

    #[test]
    fn addresses_may_say_localhost() {
        assert_eq!(SocketAddr::read("localhost:80").unwrap().to_string(), "127.0.0.1:80");
        assert!(SocketAddr::read("8080").is_err());
        assert!(SocketAddr::read("example.com:80").is_err());
    }
}
