//! Streams of every form in every other form: any cuts give the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, frames, translated};

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let upstream = input.endpoint_among(&translated::PROVIDERS);
    translated::check_stream(&input, upstream, &frames::stream_bytes(&input, upstream));
});
