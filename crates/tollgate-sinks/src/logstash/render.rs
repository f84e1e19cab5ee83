//! Lines as Logstash's own events begin: `@timestamp` and `@version`.

use crate::event::{Call, WriteLine, line_with};

/// The lines of a batch.
pub(super) fn lines(batch: &[Call], line: WriteLine) -> Vec<u8> {
    let mut body = Vec::with_capacity(batch.len() * 1_024);
    for call in batch {
        let begin = body.len();
        let first = format!("\"@timestamp\":\"{}\",\"@version\":\"1\"", call.time);
        line_with(line, call, &first, &mut body);
        if body.len() > begin {
            body.push(b'\n');
        }
    }
    body
}
