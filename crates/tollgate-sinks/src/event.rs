//! What a sink sends: something that happened, and that can lie on disk until it is sent.

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::call::CallRecord;

/// Appends the log line of a call as one JSON object with a newline. It begins with `{"`, so that
/// a sink can put fields of its own before the first.
pub type WriteLine = fn(&CallRecord, &mut Vec<u8>);

/// Something that is sent.
pub(crate) trait Event: Clone + Send + Sync + 'static {
    /// Its form on disk.
    fn encode(&self) -> Vec<u8>;

    /// What was written by [`Event::encode`]; `None` for any other bytes.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// When it happened.
    fn at(&self) -> Timestamp;

    /// Roughly how many bytes it will be on the wire; batches are cut by it.
    fn weight(&self) -> usize;
}

/// What a line takes beside the texts in it.
const LINE: usize = 800;

/// A finished call.
pub(crate) type Call = Arc<CallRecord>;

impl Event for Call {
    fn encode(&self) -> Vec<u8> {
        // A record that cannot be written would be one that cannot be a line either.
        serde_json::to_vec(&**self).unwrap_or_default()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self::new)
    }

    fn at(&self) -> Timestamp {
        self.time
    }

    fn weight(&self) -> usize {
        let texts = [&self.request_id, &self.user, &self.model, &self.model_asked, &self.endpoint];
        LINE + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

/// The line of a call without its newline, and what a sink puts before its first field.
pub(crate) fn line_with(write: WriteLine, call: &CallRecord, first: &str, out: &mut Vec<u8>) {
    let begin = out.len();
    out.push(b'{');
    out.extend_from_slice(first.as_bytes());
    let line = out.len();
    write(call, out);
    // The line's own brace gives way to the fields before it; nothing is written for a line that
    // could not be made.
    if out.get(line) == Some(&b'{') {
        if let Some(brace) = out.get_mut(line) {
            *brace = b',';
        }
    } else {
        out.truncate(begin);
        return;
    }
    while out.last() == Some(&b'\n') {
        out.pop();
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: impl Iterator<Item = u8>) -> String {
    let digits = bytes.flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
