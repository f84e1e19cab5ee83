//! Translation: every pair of forms, requests, whole answers and streams.

use bytes::Bytes;
use tollgate_domain::usage::Usage;
use tollgate_wire::dialect::peek;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::InbandError;
use tollgate_wire::meter::Meter;
use tollgate_wire::openai::UsageRules;
use tollgate_wire::translate::{Target, Translator, View, translate_request, translate_whole};

use crate::metered::meter;
use crate::{Input, assert_json};

/// Forms that clients speak.
const CLIENTS: [Endpoint; 4] = [
    Endpoint::ChatCompletions,
    Endpoint::Responses,
    Endpoint::Messages,
    Endpoint::StreamGenerateContent,
];
/// Forms that providers speak.
pub const PROVIDERS: [Endpoint; 5] = [
    Endpoint::ChatCompletions,
    Endpoint::Responses,
    Endpoint::Messages,
    Endpoint::StreamGenerateContent,
    Endpoint::ConverseStream,
];

/// Translates a request into every form: what is written must be a request of that form.
pub fn check_request(input: &Input<'_>) {
    let from = input.endpoint_among(&CLIENTS);
    let path_model = |endpoint: Endpoint| endpoint.names_model_in_path().then_some("path-model");
    let passes = peek(from, path_model(from), input.body).is_ok();
    let target = Target {
        model: "target",
        max_output: (input.choice & 1 == 0).then_some(4096),
        clamp: (input.choice & 2 == 0).then_some(64),
        include_usage: input.choice & 4 == 0,
        legacy_max_tokens: input.choice & 8 == 0,
        thinks: (input.choice & 16 == 0).then_some(input.choice & 32 == 0),
    };
    for to in PROVIDERS {
        let translated = translate_request(from, to, path_model(from), input.body, &target);
        let Ok((prompt, written)) = translated else { continue };
        if !passes {
            continue;
        }
        assert_json(&written.body, "a translated request");
        let shown = String::from_utf8_lossy(&written.body);
        let seen = match peek(to, path_model(to), &written.body) {
            Ok(seen) => seen,
            Err(error) => panic!("{from:?} to {to:?}: {error:?}: {shown}"),
        };
        if path_model(to).is_none() {
            assert_eq!(&*seen.model, "target", "{from:?} to {to:?}: {shown}");
            assert_eq!(seen.stream, prompt.stream, "{from:?} to {to:?}: {shown}");
        }
        if let (Some(clamp), Some(max)) = (target.clamp, seen.max_output) {
            assert!(max <= clamp, "{from:?} to {to:?}: asks for {max}: {shown}");
        }
    }
}

fn view(input: &Input<'_>) -> View {
    View {
        model: "asked".to_owned(),
        created: 1_700_000_000,
        fallback_id: "77".to_owned(),
        include_usage: input.choice & 2 == 0,
        array: input.choice & 4 == 0,
        custom_tools: vec!["lookup".to_owned()],
        rules: UsageRules::default(),
    }
}

/// Translates a whole answer into every form: what comes out is JSON.
pub fn check_whole(input: &Input<'_>) {
    let upstream = input.endpoint_among(&PROVIDERS);
    for client in CLIENTS {
        let answer = translate_whole(upstream, client, input.body, &view(input));
        assert_json(&answer, "a translated answer");
    }
}

/// Translates a stream into every form, whole and in pieces, and ends it in each way.
pub fn check_stream(input: &Input<'_>, upstream: Endpoint, body: &Bytes) {
    let view = view(input);
    for client in CLIENTS {
        let Some(whole) = Translator::new(upstream, client, &view) else { continue };
        let whole = run(whole, std::slice::from_ref(body), End::Own);
        let new = || Translator::new(upstream, client, &view).expect("made once before");
        let pieces = input.pieces(body);
        let cut = run(new(), &pieces, End::Own);
        let both = || format!("{}\nbut\n{}", shown(&cut.0), shown(&whole.0));
        assert!(cut == whole, "{upstream:?} to {client:?}: the cuts matter: {}", both());
        for end in [End::Cut, End::Error] {
            let (bytes, is_whole) = run(new(), std::slice::from_ref(body), end);
            assert!(is_whole, "{upstream:?} to {client:?}: not ended");
            let read = Bytes::from(bytes);
            let read = meter(Meter::new(client, UsageRules::default(), true), &[read]);
            let ended = read.facts.done || read.facts.answer.error.is_some();
            let left = || shown(&[&read.out[..], &read.held[..]].concat());
            assert!(ended, "{upstream:?} to {client:?}, {end:?}: no end: {}", left());
        }
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Own,
    Cut,
    Error,
}

fn run(mut translator: Translator, pieces: &[Bytes], end: End) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    for piece in pieces {
        translator.push(piece, &mut out);
    }
    match end {
        End::Own => translator.finish(&mut out),
        End::Cut => translator.cut(Some(&Usage::tokens(7, 3)), &mut out),
        End::Error => {
            let error = InbandError { message: "went wrong".into(), ..InbandError::default() };
            translator.fail(error, &mut out);
        }
    }
    (out.concat(), translator.is_whole())
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
