//! Requests of the Gemini form: what is read, and what a change changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, requests};
use tollgate_wire::endpoint::Endpoint;

const ENDPOINTS: &[Endpoint] = &[
    Endpoint::GenerateContent,
    Endpoint::StreamGenerateContent,
    Endpoint::CountTokens,
    Endpoint::EmbedContent,
    Endpoint::BatchEmbedContents,
];

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    requests::check(input.endpoint_among(ENDPOINTS), input.body);
});
