//! How rows are printed: as a table for eyes, as JSON (one object a line) or CSV for programs.

use std::io;

use clap::ValueEnum;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Map, Value};

use crate::out;

/// The form of printed rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For eyes
    #[default]
    Table,
    /// One JSON object a line
    Json,
    /// With a header line
    Csv,
}

/// A column: its name in JSON and CSV, and where numbers stand in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// The key of the value in a row.
    pub(crate) key: &'static str,
    /// The heading in the table.
    pub(crate) heading: &'static str,
    /// Whether it holds numbers.
    pub(crate) number: bool,
}

/// A column of text.
pub(crate) const fn text(key: &'static str, heading: &'static str) -> Column {
    Column { key, heading, number: false }
}

/// A column of numbers.
pub(crate) const fn number(key: &'static str, heading: &'static str) -> Column {
    Column { key, heading, number: true }
}

/// Prints rows. JSON and CSV carry every field of a row, a table the columns named.
pub(crate) fn print(
    format: Format,
    columns: &[Column],
    rows: &[Map<String, Value>],
) -> io::Result<()> {
    match format {
        Format::Json => rows
            .iter()
            .try_for_each(|row| out::line(serde_json::to_string(row).unwrap_or_default())),
        Format::Csv => print_csv(columns, rows),
        Format::Table => print_table(columns, rows),
    }
}

fn print_table(columns: &[Column], rows: &[Map<String, Value>]) -> io::Result<()> {
    if rows.is_empty() {
        out::note("nothing to show");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.heading));
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(row.get(column.key))));
    }
    for (index, _) in columns.iter().enumerate().filter(|(_, column)| column.number) {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    out::line(table)
}

fn print_csv(columns: &[Column], rows: &[Map<String, Value>]) -> io::Result<()> {
    let mut text = String::new();
    match rows.first() {
        Some(row) => csv_header(row, &mut text),
        None => {
            let keys: Vec<&str> = columns.iter().map(|column| column.key).collect();
            text.push_str(&keys.join(","));
            text.push('\n');
        }
    }
    for row in rows {
        csv_row(row, &mut text);
    }
    out::text(&text)
}

/// Appends the header line of rows like this one.
pub(crate) fn csv_header(row: &Map<String, Value>, text: &mut String) {
    let keys: Vec<String> = row.keys().map(|key| csv_field(key)).collect();
    text.push_str(&keys.join(","));
    text.push('\n');
}

/// Appends the line of a row. All rows of one kind have the same fields in the same order.
pub(crate) fn csv_row(row: &Map<String, Value>, text: &mut String) {
    let fields: Vec<String> = row.values().map(|value| csv_field(&cell(Some(value)))).collect();
    text.push_str(&fields.join(","));
    text.push('\n');
}

/// A value as it stands in a table or a CSV field.
pub(crate) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) => {
            let pairs = map.iter().map(|(name, value)| format!("{name}={}", cell(Some(value))));
            pairs.collect::<Vec<_>>().join(" ")
        }
        Some(Value::Array(values)) => {
            let texts = values.iter().map(|value| cell(Some(value)));
            texts.collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

/// A CSV field after RFC 4180. A leading `=`, `+`, `-` or `@` is kept from spreadsheets, which
/// would run it as a formula; numbers are left alone.
fn csv_field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r'])
        && text.parse::<i64>().is_err()
        && !is_decimal(text);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// A serialisable row as a map.
pub(crate) fn row(value: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_and_formulas_disarmed() {
        for (text, field) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("-5", "-5"),
            ("-0.000001000", "-0.000001000"),
            ("@cmd", "'@cmd"),
        ] {
            assert_eq!(csv_field(text), field);
        }
    }
}
