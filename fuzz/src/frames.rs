//! Frames of an AWS event stream out of plain text.
//!
//! Blind changes to a frame only ever break its checksums, so what stands behind them would never
//! be reached. Here a text says what the frames carry, and the checksums are made to fit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tollgate_wire::bedrock::frame::{push_event, push_frame};
use tollgate_wire::endpoint::Endpoint;

use crate::Input;

/// The bytes of a stream: the body itself, or its frames where the endpoint streams frames.
///
/// The lowest bit of the choice leaves the bytes alone even so.
pub fn stream_bytes(input: &Input<'_>, endpoint: Endpoint) -> Bytes {
    let framed = matches!(endpoint, Endpoint::ConverseStream | Endpoint::InvokeStream);
    if framed && input.choice & 1 == 0 {
        of_lines(input.body, endpoint == Endpoint::InvokeStream).into()
    } else {
        Bytes::copy_from_slice(input.body)
    }
}

/// A frame a line: its event type, a space, its payload. A type with `!` in front is an exception,
/// one with `?` an error of a gateway. `chunks` says whether the payload of a `chunk` is wrapped the
/// way that invocations wrap the events of a model.
pub fn of_lines(text: &[u8], chunks: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (kind, payload) = line.split_at(at);
        let payload = payload.get(1..).unwrap_or_default();
        let kind = String::from_utf8_lossy(kind);
        if let Some(name) = kind.strip_prefix('!') {
            let headers = [(":exception-type", name), (":message-type", "exception")];
            push_frame(&mut out, &headers, payload);
        } else if let Some(code) = kind.strip_prefix('?') {
            let said = String::from_utf8_lossy(payload);
            let headers =
                [(":message-type", "error"), (":error-code", code), (":error-message", &*said)];
            push_frame(&mut out, &headers, b"");
        } else if chunks && kind == "chunk" {
            let wrapped = format!("{{\"bytes\":\"{}\"}}", STANDARD.encode(payload));
            push_event(&mut out, &kind, wrapped.as_bytes());
        } else {
            push_event(&mut out, &kind, payload);
        }
    }
    out
}
