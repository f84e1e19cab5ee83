//! What addresses used, hour by hour. No rollup has addresses; what is usual for one is kept here.

use jiff::Timestamp;
use rusqlite::params;

use crate::error::StoreError;
use crate::registry::Registry;

/// What an address used in an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRecord {
    /// The start of the hour.
    pub hour: Timestamp,
    /// The address.
    pub address: String,
    /// Calls, failed ones, refused ones, tokens in, tokens out, nano-dollars.
    pub figures: [i64; 6],
}

impl Registry {
    /// Keeps what addresses used in an hour.
    pub fn put_addresses(&self, records: &[AddressRecord]) -> Result<(), StoreError> {
        self.write(|connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO alert_addresses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (address, hour) DO UPDATE SET
                     calls = calls + excluded.calls, failed = failed + excluded.failed,
                     refused = refused + excluded.refused,
                     input_tokens = input_tokens + excluded.input_tokens,
                     output_tokens = output_tokens + excluded.output_tokens,
                     cost_nanos = cost_nanos + excluded.cost_nanos",
            )?;
            for AddressRecord { hour, address, figures } in records {
                let [calls, failed, refused, input, output, cost] = figures;
                let hour = hour.as_second();
                statement
                    .execute(params![hour, address, calls, failed, refused, input, output, cost])?;
            }
            Ok(())
        })
    }

    /// What an address used between two times, by hour, oldest first.
    pub fn address_hours(
        &self,
        address: &str,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<AddressRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT * FROM alert_addresses WHERE address = ?1 AND hour >= ?2 AND hour < ?3
             ORDER BY hour",
        )?;
        let mut rows = statement.query((address, from.as_second(), to.as_second()))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let hour = Timestamp::from_second(row.get("hour")?);
            let mut figures = [0; 6];
            for (place, figure) in figures.iter_mut().enumerate() {
                *figure = row.get(2 + place)?;
            }
            found.push(AddressRecord {
                hour: hour.map_err(|_| StoreError::Malformed { what: "time" })?,
                address: row.get("address")?,
                figures,
            });
        }
        Ok(found)
    }
}
