//! Server-sent events read in the plainest way, to hold the scanner against.
//!
//! It follows the specification step by step over the whole text and knows nothing of chunks.
//! Source: the WHATWG specification of server-sent events.

/// Name and data of each event that has data. As in the scanner, an event counts whose blank line
/// is missing at the end of the stream.
pub fn read(mut text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut events, mut name, mut data) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
    for line in lines(text) {
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            events.extend(data.take().map(|data| (name, data)));
            continue;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (field, &mut data) {
            (b"event", _) => name = value.to_vec(),
            (b"data", Some(data)) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            (b"data", None) => data = Some(value.to_vec()),
            _ => {}
        }
    }
    events.extend(data.map(|data| (name, data)));
    events
}

/// Lines that end in LF, CRLF, CR or with the text.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        lines.push(&rest[..end]);
        rest = match &rest[end..] {
            [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
            [] => &[],
        };
    }
    lines
}
