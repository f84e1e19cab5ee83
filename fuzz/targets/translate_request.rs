//! Requests of every form in every other form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, translated};

fuzz_target!(|data: &[u8]| {
    if let Some(input) = Input::of(data) {
        translated::check_request(&input);
    }
});
