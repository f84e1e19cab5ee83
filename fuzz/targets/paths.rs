//! Paths and names of models: what they lead to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::Input;
use tollgate_wire::bedrock::model;
use tollgate_wire::bedrock::sigv4::path_segment;
use tollgate_wire::endpoint::Route;
use tollgate_wire::{openai, passthrough};

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let Ok(path) = str::from_utf8(input.body) else { return };
    for method in ["GET", "POST", "DELETE", "PUT", path] {
        let _ = passthrough::purpose(method, path);
    }
    let _ = passthrough::endpoint(path);
    let _ = openai::vendor::vendor(path, path);
    let _ = (model::model_id(path), model::is_claude(path), model::price_names(path).count());
    let segment = path_segment(path);
    assert!(!segment.contains('/') && segment.is_ascii(), "{segment:?}");
    match Route::from_path(path) {
        Some(Route::PassThrough(provider, below)) => {
            assert_eq!(path, format!("/providers/{provider}{below}"));
        }
        Some(Route::Model(id)) => assert!(!id.is_empty() && path.ends_with(id)),
        Some(Route::Response(id) | Route::CancelResponse(id) | Route::ResponseItems(id)) => {
            assert!(!id.is_empty() && !id.contains(['/', '.', '%']), "{id:?}");
        }
        _ => {}
    }
});
