//! Requests of the OpenAI form: what is read, and what a change changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, requests};
use tollgate_wire::endpoint::Endpoint;

const ENDPOINTS: &[Endpoint] = &[
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Responses,
    Endpoint::ResponsesCompact,
    Endpoint::ResponsesInputTokens,
    Endpoint::Moderations,
    Endpoint::Images,
    Endpoint::Speech,
];

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    requests::check(input.endpoint_among(ENDPOINTS), input.body);
});
