//! Streams of every endpoint through the meter: any cuts give the same bytes and the same charge,
//! and a stream that is ended from our side has an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, frames, metered};
use tollgate_wire::endpoint::Endpoint;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let streaming: Vec<Endpoint> = Endpoint::all()
        .filter(|endpoint| endpoint.streams() && *endpoint != Endpoint::Read)
        .collect();
    let endpoint = input.endpoint_among(&streaming);
    metered::check(&input, endpoint, &frames::stream_bytes(&input, endpoint));
});
