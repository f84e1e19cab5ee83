//! The body of a bulk request: for each call a line that says what to do and a line that is the
//! document (`application/x-ndjson`).

use jiff::fmt::strtime;
use tollgate_domain::call::CallRecord;

use crate::event::{Call, WriteLine, line_with};

/// The index of a call: the day in the pattern is that of the call, in UTC.
fn index_of(pattern: &str, call: &CallRecord) -> String {
    // A pattern without a date stands for itself; so does one that cannot be read.
    strtime::format(pattern, call.time).unwrap_or_else(|_| pattern.to_owned())
}

/// Whether a pattern can name an index of Elasticsearch.
pub fn is_index(pattern: &str) -> bool {
    strtime::format(pattern, jiff::Timestamp::UNIX_EPOCH).is_ok_and(|name| {
        let bad = |c: char| c.is_uppercase() || "\\/*?\"<>| ,#:".contains(c) || c.is_control();
        !name.is_empty()
            && name.len() <= 255
            && !name.starts_with(['-', '_', '+', '.'])
            && !name.chars().any(bad)
    })
}

/// The body of a request that creates these documents.
pub(super) fn bulk(batch: &[Call], pattern: &str, line: WriteLine) -> Vec<u8> {
    let mut body = Vec::with_capacity(batch.len() * 1_024);
    for call in batch {
        let index = index_of(pattern, call);
        let action = format!(
            "{{\"create\":{{\"_index\":{},\"_id\":\"{}\"}}}}\n",
            serde_json::Value::from(index),
            call.call_id
        );
        let first = format!("\"@timestamp\":\"{}\"", call.time);
        let begin = body.len();
        body.extend_from_slice(action.as_bytes());
        let document = body.len();
        line_with(line, call, &first, &mut body);
        if body.len() == document {
            body.truncate(begin);
        } else {
            body.push(b'\n');
        }
    }
    body
}
