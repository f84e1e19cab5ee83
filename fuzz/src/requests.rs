//! Requests: what is read of them, and what changing them changes.

use bytes::Bytes;
use serde_json::Value;
use tollgate_wire::count::{estimate_prompt, upper_bound_input_tokens};
use tollgate_wire::dialect::{Rewrite, peek, rewrite};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::peek::Peek;

use crate::assert_json;

/// Reads a request and changes it.
pub fn check(endpoint: Endpoint, body: &[u8]) {
    let path_model = endpoint.names_model_in_path().then_some("path-model");
    let Ok(seen) = peek(endpoint, path_model, body) else { return };
    let _ = tollgate_wire::unknown::look(path_model, body);
    let bound = upper_bound_input_tokens(&seen);
    let estimate = estimate_prompt(endpoint, &seen, body);
    assert!(estimate <= bound.tokens || !bound.complete, "{estimate} of at most {}", bound.tokens);
    assert!(!seen.model.is_empty(), "a request without a model passes");
    assert_json(body, "a request that passes");
    let body = Bytes::copy_from_slice(body);
    let same = rewrite(endpoint, &body, &seen, &Rewrite::default());
    assert_eq!(same.as_ptr(), body.as_ptr(), "copied for nothing");
    one_meaning(endpoint, &seen, &body);
    changed(endpoint, path_model, &seen, &body);
}

/// Another reader finds the same model, and only the model changes where that is all that must.
fn one_meaning(endpoint: Endpoint, seen: &Peek, body: &Bytes) {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return };
    if endpoint.names_model_in_path() || seen.model_span().is_none() {
        return;
    }
    assert_eq!(value["model"], *seen.model, "{endpoint:?}: the model is read in two ways");
    // Where a stream is asked for by another member, or by none.
    let otherwise = [Endpoint::OllamaChat, Endpoint::Speech].contains(&endpoint);
    if !endpoint.always_streams() && endpoint.streams() && !otherwise {
        assert_eq!(value["stream"] == true, seen.stream, "{endpoint:?}: stream");
    }
    let change = Rewrite { model: Some("other"), ..Rewrite::default() };
    let changed = rewrite(endpoint, body, seen, &change);
    value["model"] = "other".into();
    let changed: Value = serde_json::from_slice(&changed).expect("a changed request is JSON");
    assert_eq!(changed, value, "{endpoint:?}: more than the model has changed");
}

/// What is changed reads as it was meant, and there is nothing left to change.
fn changed(endpoint: Endpoint, path_model: Option<&str>, seen: &Peek, body: &Bytes) {
    let most = 16;
    let change = Rewrite {
        model: (path_model.is_none()).then_some("oth\"er"),
        include_usage: true,
        max_output: Some(most),
        legacy_max_tokens: seen.stream,
    };
    let changed = rewrite(endpoint, body, seen, &change);
    let shown = String::from_utf8_lossy(&changed);
    let again = match peek(endpoint, path_model, &changed) {
        Ok(again) => again,
        Err(error) => panic!("{endpoint:?}: refused once changed: {error:?}: {shown}"),
    };
    if path_model.is_none() {
        assert_eq!(&*again.model, "oth\"er", "{endpoint:?}: {shown}");
    }
    assert_eq!((again.stream, again.choices), (seen.stream, seen.choices), "{shown}");
    if seen.max_output.is_some_and(|max| max > most) && again.max_output != seen.max_output {
        assert_eq!(again.max_output, Some(most), "{endpoint:?}: {shown}");
    }
    let twice = rewrite(endpoint, &changed, &again, &change);
    assert_eq!(twice, changed, "{endpoint:?}: a change that does not last");
}
