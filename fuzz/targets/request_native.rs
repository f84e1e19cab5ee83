//! Requests of providers' own forms: what is read, and what a change changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, requests};
use tollgate_wire::endpoint::Endpoint;

const ENDPOINTS: &[Endpoint] = &[
    Endpoint::Converse,
    Endpoint::ConverseStream,
    Endpoint::Invoke,
    Endpoint::InvokeStream,
    Endpoint::CohereChat,
    Endpoint::CohereEmbed,
    Endpoint::OllamaChat,
    Endpoint::Other,
];

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    requests::check(input.endpoint_among(ENDPOINTS), input.body);
});
