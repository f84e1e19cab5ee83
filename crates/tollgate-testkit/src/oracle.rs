//! A provider whose figures can be foretold: the usage that it states is a pure function of a nonce
//! in the request. So a test can work out, from the tally alone, what every call must have cost, and
//! hold the ledger against it. The arithmetic here is on purpose not the program's own.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use crate::upstream::{Received, Reply};

/// The model that the oracle serves.
pub const MODEL: &str = "oracle-1";
/// Most output tokens that a request asks for; the oracle never gives more.
pub const MAX_TOKENS: u64 = 64;
/// Prices in USD per million tokens, as a configuration writes them.
pub const PRICES: [(&str, &str); 3] =
    [("input", "2.50"), ("cached_input", "1.25"), ("output", "10.00")];

/// What the oracle states for a nonce. Input stays below the bytes of [`request`], output below
/// [`MAX_TOKENS`], so that a sound reservation always covers it.
pub fn usage(nonce: u64) -> Usage {
    let dice = mix(nonce);
    let input = 20 + dice % 41;
    Usage {
        input,
        cache_read: (input / 4) * ((dice >> 8) % 4),
        output: 1 + (dice >> 16) % (MAX_TOKENS - 1),
        ..Usage::default()
    }
}

/// What the call of a nonce costs: nano-dollars, half to even.
pub fn cost(nonce: u64) -> NanoUsd {
    let usage = usage(nonce);
    price(&usage, 2_500_000_000, 1_250_000_000, 10_000_000_000)
}

/// Plain token price: rates in nano-dollars per million tokens, rounded once, half to even.
pub fn price(usage: &Usage, input: u64, cached: u64, output: u64) -> NanoUsd {
    let plain = usage.input - usage.cache_read;
    let femtos = u128::from(plain) * u128::from(input)
        + u128::from(usage.cache_read) * u128::from(cached)
        + u128::from(usage.output) * u128::from(output);
    let (whole, rest) = (femtos / 1_000_000, femtos % 1_000_000);
    let up = rest > 500_000 || (rest == 500_000 && whole % 2 == 1);
    NanoUsd::from_nanos(i64::try_from(whole + u128::from(up)).unwrap())
}

/// A chat completion request that carries the nonce.
pub fn request(nonce: u64, stream: bool) -> Value {
    json!({
        "model": MODEL,
        "stream": stream,
        "max_tokens": MAX_TOKENS,
        "messages": [{
            "role": "user",
            "content": format!("nonce-{nonce:020} please count to ten, then stop, and say thank you"),
        }],
    })
}

/// The nonce that a request carries, found in its bytes.
pub fn nonce(body: &[u8]) -> Option<u64> {
    let at = body.windows(6).position(|six| six == b"nonce-")?;
    std::str::from_utf8(body.get(at + 6..at + 26)?).ok()?.parse().ok()
}

/// The oracle's answer to a request, streamed where it asks so, `pause` between two chunks.
pub fn reply(request: &Received, pause: Duration) -> Reply {
    let Some(nonce) = nonce(&request.body) else {
        return Reply::json(400, &json!({"error": {"message": "no nonce", "type": "bad"}}));
    };
    let body = request.json();
    if body["stream"].as_bool().unwrap_or_default() {
        let include = body["stream_options"]["include_usage"].as_bool().unwrap_or_default();
        Reply::events(events(nonce, include)).paced(pause)
    } else {
        Reply::json(200, &answer(nonce))
    }
}

/// A whole chat completion for a nonce.
pub fn answer(nonce: u64) -> Value {
    json!({
        "id": format!("chatcmpl-{nonce}"),
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": MODEL,
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": format!("answer-{nonce:020}")},
        }],
        "usage": stated(&usage(nonce)),
    })
}

/// The events of a streamed answer, one a chunk; the last is `[DONE]`.
pub fn events(nonce: u64, include_usage: bool) -> Vec<String> {
    let chunk = |delta: Value, finish: Option<&str>| {
        json!({
            "id": format!("chatcmpl-{nonce}"),
            "object": "chat.completion.chunk",
            "created": 1_764_000_000,
            "model": MODEL,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
    };
    let mut chunks = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    let words = usage(nonce).output.min(6);
    chunks.extend((1..=words).map(|word| chunk(json!({"content": format!(" {word}")}), None)));
    chunks.push(chunk(json!({}), Some("stop")));
    if include_usage {
        let mut last = chunk(json!({}), None);
        last["choices"] = json!([]);
        last["usage"] = stated(&usage(nonce));
        chunks.push(last);
    }
    let mut events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn stated(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
    })
}

/// A well-mixed function of its argument (the finaliser of `SplitMix64`).
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_survives_its_request_and_its_usage_stays_within_what_was_asked() {
        for seed in 0..10_000 {
            let body = serde_json::to_vec(&request(seed, false)).unwrap();
            assert_eq!(nonce(&body), Some(seed));
            let usage = usage(seed);
            assert!(usage.input < 80 && usage.cache_read <= usage.input);
            assert!((1..=MAX_TOKENS).contains(&usage.output));
        }
    }

    #[test]
    fn a_price_is_rounded_once_half_to_even() {
        // 1 token at 0.0005 and 0.0015 USD a million: 0.5 and 1.5 nano-dollars.
        assert_eq!(price(&Usage::tokens(1, 0), 500_000, 0, 0).nanos(), 0);
        assert_eq!(price(&Usage::tokens(1, 0), 1_500_000, 0, 0).nanos(), 2);
    }
}
