//! The zone of the day rollups, as the database names it.

use jiff::tz::{Offset, TimeZone};
use rusqlite::Connection;

use crate::database::meta_text;
use crate::error::StoreError;

/// The value of `meta` that names the zone.
pub(crate) const META: &str = "zone";

/// A name from which [`parse`] makes the zone again: of the time zone database, or seconds from UTC.
pub(crate) fn name(zone: &TimeZone) -> Result<String, StoreError> {
    zone.iana_name()
        .map(str::to_owned)
        .or_else(|| zone.to_fixed_offset().ok().map(|offset| offset.seconds().to_string()))
        .ok_or(StoreError::Malformed { what: "time zone without a name" })
}

fn parse(name: &str) -> Option<TimeZone> {
    match name.parse::<i32>() {
        Ok(seconds) => Offset::from_seconds(seconds).ok().map(TimeZone::fixed),
        Err(_) => TimeZone::get(name).ok(),
    }
}

/// The zone whose days the rollups of this database follow; UTC before a server has opened it.
pub(crate) fn of(connection: &Connection) -> Result<TimeZone, StoreError> {
    match meta_text(connection, META)? {
        Some(name) => parse(&name).ok_or(StoreError::Malformed { what: "time zone" }),
        None => Ok(TimeZone::UTC),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_read_back_from_their_names() {
        for zone in [
            TimeZone::UTC,
            TimeZone::get("Asia/Seoul").unwrap(),
            TimeZone::fixed(Offset::from_seconds(-12_600).unwrap()),
        ] {
            assert_eq!(parse(&name(&zone).unwrap()), Some(zone));
        }
        assert_eq!(parse("Nowhere/Land"), None);
    }
}
