//! What a call is in the words of the conventions for generative AI.
//!
//! Names are those of the repository `open-telemetry/semantic-conventions-genai` (late 2026) and, for
//! the old generation, of the common conventions up to version 1.41. Content (prompts, answers) is an
//! option there and is never sent.

use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::usage::Usage;

use super::View;
use super::message::{Attributes, Value};

/// The operation that an endpoint performs. Where the conventions have no word for it, a word of
/// the same form.
pub(crate) fn operation(endpoint: &str) -> &'static str {
    let last = endpoint.rsplit(['/', ':']).next().unwrap_or_default();
    match last {
        "generateContent" | "streamGenerateContent" => "generate_content",
        "embeddings" | "embedContent" | "batchEmbedContents" => "embeddings",
        "generations" => "generate_image",
        "speech" => "generate_speech",
        "transcriptions" => "transcribe",
        "moderations" => "moderate",
        "completions" if !endpoint.ends_with("/chat/completions") => "text_completion",
        _ => "chat",
    }
}

/// Whether the operation is an inference, as the latest conventions call it.
pub(super) fn is_inference(operation: &str) -> bool {
    matches!(operation, "chat" | "generate_content" | "text_completion")
}

/// The class of the error, where the call ended in one.
pub(super) fn error_type(call: &CallRecord) -> Option<String> {
    let code = call.error_type.as_deref().map(str::to_owned);
    match call.outcome {
        Outcome::Success => None,
        _ => Some(code.unwrap_or_else(|| call.status.to_string())),
    }
}

/// Who served it, and where.
pub(super) fn provider(view: &View<'_>, call: &CallRecord, out: &mut Attributes) {
    let vendor = view.vendors.get(&*call.provider);
    let name = vendor.map_or(&*call.provider, |vendor| vendor.name.as_str());
    out.push(("gen_ai.provider.name", name.into()));
    if view.conventions.old {
        let system = vendor.map_or(&*call.provider, |vendor| vendor.system.as_str());
        out.push(("gen_ai.system", system.into()));
    }
    if let Some(host) = vendor.and_then(|vendor| vendor.host.as_deref()) {
        out.push(("server.address", host.into()));
        if let Some(port) = vendor.and_then(|vendor| vendor.port) {
            out.push(("server.port", u64::from(port).into()));
        }
    }
}

/// The attributes of a call's span.
pub(super) fn attributes(view: &View<'_>, call: &CallRecord) -> Attributes {
    let mut all: Attributes = vec![
        ("gen_ai.operation.name", operation(&call.endpoint).into()),
        ("gen_ai.request.model", (&*call.model_asked).into()),
    ];
    provider(view, call, &mut all);
    if call.outcome == Outcome::Success || call.usage.total() > 0 {
        all.push(("gen_ai.response.model", (&*call.model).into()));
    }
    if let Some(error) = error_type(call) {
        all.push(("error.type", error.into()));
    }
    if let Some(session) = call.session.as_deref() {
        all.push(("gen_ai.conversation.id", session.into()));
    }
    usage(view, &call.usage, &mut all);
    if view.conventions.latest {
        if call.stream {
            all.push(("gen_ai.request.stream", Value::Flag(true)));
        }
        if let Some(us) = call.ttft_us.filter(|_| call.stream) {
            let seconds = std::time::Duration::from_micros(us).as_secs_f64();
            all.push(("gen_ai.response.time_to_first_chunk", Value::Double(seconds)));
        }
    }
    ours(call, &mut all);
    all
}

fn usage(view: &View<'_>, usage: &Usage, out: &mut Attributes) {
    out.push(("gen_ai.usage.input_tokens", usage.input.into()));
    out.push(("gen_ai.usage.output_tokens", usage.output.into()));
    let mut part = |name, tokens: u64| {
        if tokens > 0 {
            out.push((name, tokens.into()));
        }
    };
    part("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
    if view.conventions.old {
        part("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
    }
    if view.conventions.latest {
        part("gen_ai.usage.cache_write.input_tokens", usage.cache_write);
        part("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
        part("gen_ai.usage.text.input_tokens", usage.input_text);
        part("gen_ai.usage.image.input_tokens", usage.input_image);
        part("gen_ai.usage.audio.input_tokens", usage.input_audio);
        part("gen_ai.usage.text.output_tokens", usage.output_text);
        part("gen_ai.usage.image.output_tokens", usage.output_image);
        part("gen_ai.usage.audio.output_tokens", usage.output_audio);
    }
}

/// What the conventions have no words for, cost above all, under a name of our own. The decimal is
/// exact; the integer is for back ends that add.
fn ours(call: &CallRecord, out: &mut Attributes) {
    out.push(("tollgate.cost.usd", call.cost.to_string().into()));
    out.push(("tollgate.cost.nano_usd", Value::Int(call.cost.nanos())));
    out.push(("tollgate.call_id", call.call_id.to_string().into()));
    out.push(("tollgate.request_id", (&*call.request_id).into()));
    out.push(("tollgate.user", (&*call.user).into()));
    for (name, value) in [
        ("tollgate.key", &call.key),
        ("tollgate.team", &call.team),
        ("tollgate.feature", &call.feature),
    ] {
        if let Some(value) = value {
            out.push((name, (&**value).into()));
        }
    }
    out.push(("tollgate.endpoint", (&*call.endpoint).into()));
    out.push(("tollgate.provider", (&*call.provider).into()));
    out.push(("tollgate.outcome", call.outcome.as_str().into()));
    out.push(("tollgate.cache", call.cache.as_str().into()));
    out.push(("tollgate.attempts", u64::from(call.attempts).into()));
    out.push(("tollgate.estimated", Value::Flag(call.estimated)));
    out.push(("tollgate.price_version", (&*call.price_version).into()));
    out.push(("http.response.status_code", u64::from(call.status).into()));
}
