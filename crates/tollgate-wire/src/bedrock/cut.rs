//! Ends a Bedrock stream from our side, in frames that say that the maximum was reached; and says
//! an error where a stream has begun.

use bytes::Bytes;
use tollgate_domain::fault::Code;
use tollgate_domain::usage::Usage;

use super::frame::{push_event, push_frame};
use crate::endpoint::Endpoint;
use crate::error::ErrorView;
use crate::json::{push_fmt, push_string};
use crate::meter::Cut;

/// The frames that end the stream. `usage` is always stated in this form, as far as it is known.
pub(crate) fn cut(cut: &Cut<'_>, model: &str, usage: Option<&Usage>) -> Bytes {
    let mut out = Vec::with_capacity(512);
    if cut.endpoint == Endpoint::InvokeStream {
        super::invoke::push_end(&mut out, model, usage);
        return out.into();
    }
    if cut.seen.events == 0 {
        push_event(&mut out, "messageStart", b"{\"role\":\"assistant\"}");
    }
    for index in &cut.seen.blocks {
        let payload = format!("{{\"contentBlockIndex\":{index}}}");
        push_event(&mut out, "contentBlockStop", payload.as_bytes());
    }
    push_event(&mut out, "messageStop", b"{\"stopReason\":\"max_tokens\"}");
    let mut metadata = b"{\"metrics\":{\"latencyMs\":0}".to_vec();
    if let Some(usage) = usage {
        metadata.extend_from_slice(b",\"usage\":");
        push_usage(&mut metadata, usage);
    }
    metadata.push(b'}');
    push_event(&mut out, "metadata", &metadata);
    out.into()
}

/// Writes a usage as Converse states it: the input leaves out both caches.
pub(crate) fn push_usage(out: &mut Vec<u8>, usage: &Usage) {
    let caches = usage.cache_read.saturating_add(usage.cache_write);
    push_fmt(
        out,
        format_args!(
            "{{\"inputTokens\":{},\"outputTokens\":{},\"totalTokens\":{},\
             \"cacheReadInputTokens\":{},\"cacheWriteInputTokens\":{}}}",
            usage.input.saturating_sub(caches),
            usage.output,
            usage.total(),
            usage.cache_read,
            usage.cache_write
        ),
    );
}

/// The body of an error answer as AWS's clients read it; the type goes into the header
/// `x-amzn-errortype`, see [`error_type`]. Our stable code travels in the body.
pub fn error_body(error: &ErrorView<'_>) -> Bytes {
    let mut out = Vec::with_capacity(128);
    push_error(&mut out, error);
    out.into()
}

/// The same as a frame, where a stream has begun.
pub fn error_frame(error: &ErrorView<'_>) -> Bytes {
    let kind = match error.status {
        408 | 504 => "modelTimeoutException",
        424 => "modelStreamErrorException",
        429 => "throttlingException",
        503 => "serviceUnavailableException",
        400..500 => "validationException",
        _ => "internalServerException",
    };
    let mut payload = Vec::with_capacity(128);
    push_error(&mut payload, error);
    let headers = [
        (":exception-type", kind),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    let mut out = Vec::with_capacity(256);
    push_frame(&mut out, &headers, &payload);
    out.into()
}

/// What AWS's clients raise for an error of this code.
pub fn error_type(code: Code) -> &'static str {
    match code.status() {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        408 | 504 => "ModelTimeoutException",
        400..500 => "ValidationException",
        _ => "InternalServerException",
    }
}

fn push_error(out: &mut Vec<u8>, error: &ErrorView<'_>) {
    out.extend_from_slice(b"{\"message\":");
    push_string(out, error.message);
    push_fmt(out, format_args!(",\"code\":\"{}\"}}", error.code.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::frame::Frame;

    #[test]
    fn an_error_is_an_exception_that_our_own_reader_understands() {
        let view = ErrorView::new(Code::RateLimited, "slow \"down\"");
        let bytes = error_frame(&view);
        let frame = Frame::read(&bytes).unwrap();
        assert_eq!(frame.message_type(), "exception");
        assert_eq!(frame.header(":exception-type"), Some("throttlingException"));
        assert_eq!(frame.payload, &error_body(&view)[..]);
        let read =
            super::super::read_error(&error_body(&view), Some("ThrottlingException")).unwrap();
        assert_eq!(&*read.message, "slow \"down\"");
        for code in Code::ALL {
            assert!(error_type(*code).ends_with("Exception"));
        }
    }
}
