//! Every recorded price case, priced from the prices that it states and from the shipped book.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;
use tollgate_domain::money::{Exact, parse_scaled};
use tollgate_domain::price::{Charge, ModelPrice, PriceBook, Served};
use tollgate_domain::usage::Usage;

const KEYS: [(&str, &str); 14] = [
    ("input_mtok", "input"),
    ("output_mtok", "output"),
    ("cache_read_mtok", "cached_input"),
    ("cache_write_mtok", "cache_write"),
    ("cache_write_1h_mtok", "cache_write_1h"),
    ("input_audio_mtok", "input_audio"),
    ("input_image_mtok", "input_image"),
    ("cache_audio_read_mtok", "cached_input_audio"),
    ("cache_image_read_mtok", "cached_input_image"),
    ("output_audio_mtok", "output_audio"),
    ("output_image_mtok", "output_image"),
    ("output_reasoning_mtok", "reasoning"),
    ("output_citation_mtok", "citation"),
    ("web_searches_kcount", "web_search_per_1k"),
];

#[test]
fn every_recorded_case_costs_exactly_what_it_says() {
    let Some(cases) = cases() else { return };
    for case in &cases {
        let price = stated_price(&case["prices"]);
        check(case, &price.charge(&usage(&case["expected_usage"]), &served(case)));
    }
}

#[test]
fn the_shipped_book_agrees_with_every_case_whose_prices_are_still_in_force() {
    let Some(cases) = cases() else { return };
    let book = PriceBook::bundled().unwrap();
    let mut agreed = 0;
    for case in &cases {
        let provider = case["price_provider"].as_str().unwrap();
        let Some(shipped) = book.find(provider, case["model"].as_str().unwrap()) else {
            continue;
        };
        let stated = stated_price(&case["prices"]);
        let same = probes().all(|usage| {
            shipped.charge(&usage, &served(case)) == stated.charge(&usage, &served(case))
        });
        if same {
            agreed += 1;
            check(case, &shipped.charge(&usage(&case["expected_usage"]), &served(case)));
        }
    }
    assert!(agreed >= 30, "only {agreed} of {} cases have the prices of the book", cases.len());
}

fn cases() -> Option<Vec<Value>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases/prices.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        let mut err = std::io::stderr().lock();
        std::io::Write::write_all(&mut err, b"skipped: shared/cases/prices.json is absent\n")
            .unwrap();
        return None;
    };
    let document: Value = serde_json::from_str(&text).unwrap();
    let cases = document["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 62);
    Some(cases)
}

/// The price of a case, by way of a book with that one model.
fn stated_price(prices: &Value) -> ModelPrice {
    let words: BTreeMap<&str, &str> = KEYS.into_iter().collect();
    let terms: Vec<String> = prices
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| format!("{}={}", words[key.as_str()], price(value)))
        .collect();
    let text = format!(
        "tollgate-price-book 1\nversion\t1 2026-01-01\nprovider\tp\nmodel\tm\t-\t=\t{}\n",
        terms.join(" ")
    );
    let book = PriceBook::parse(text).unwrap();
    ModelPrice::clone(&book.find("p", "m").unwrap())
}

fn price(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Object(tiered) => {
            let tiers = tiered["tiers"].as_array().unwrap().iter();
            let tiers = tiers.map(|tier| format!(">{}:{}", tier["start"], price(&tier["price"])));
            price(&tiered["base"]) + &tiers.collect::<String>()
        }
        other => panic!("{other} is no price"),
    }
}

fn served(case: &Value) -> Served<'static> {
    let at = case["at"].as_str().unwrap_or("2026-11-21T12:00:00Z");
    Served::at(at.parse::<Timestamp>().unwrap())
}

fn usage(stated: &Value) -> Usage {
    let mut usage = Usage::default();
    for (name, count) in stated.as_object().unwrap() {
        let field = match name.as_str() {
            "input_tokens" => &mut usage.input,
            "input_text_tokens" => &mut usage.input_text,
            "input_audio_tokens" => &mut usage.input_audio,
            "input_image_tokens" => &mut usage.input_image,
            "input_video_tokens" => &mut usage.input_video,
            "cache_read_tokens" => &mut usage.cache_read,
            "cache_text_read_tokens" => &mut usage.cache_read_text,
            "cache_audio_read_tokens" => &mut usage.cache_read_audio,
            "cache_image_read_tokens" => &mut usage.cache_read_image,
            "cache_video_read_tokens" => &mut usage.cache_read_video,
            "cache_write_tokens" => &mut usage.cache_write,
            "cache_write_5m_tokens" => &mut usage.cache_write_5m,
            "cache_write_1h_tokens" => &mut usage.cache_write_1h,
            "input_tool_tokens" => &mut usage.tool_input,
            // A part of the tool tokens, which nobody prices apart.
            "input_text_tool_tokens" => continue,
            "output_tokens" => &mut usage.output,
            "output_text_tokens" => &mut usage.output_text,
            "output_audio_tokens" => &mut usage.output_audio,
            "output_image_tokens" => &mut usage.output_image,
            "output_reasoning_tokens" => &mut usage.reasoning,
            "output_citation_tokens" => &mut usage.output_citation,
            "web_searches" => &mut usage.web_searches,
            other => panic!("{other} has no field"),
        };
        *field = count.as_u64().unwrap();
    }
    usage
}

fn check(case: &Value, charge: &Charge) {
    let expected = &case["expected_price_usd"];
    for (side, amount) in
        [("input", charge.input), ("output", charge.output), ("total", charge.total)]
    {
        let Some(text) = expected[side].as_str() else {
            continue;
        };
        let femtos = parse_scaled(text, 15).unwrap();
        assert_eq!(amount, Exact::from_femtos(femtos), "{} {side}", case["id"]);
    }
    assert_eq!(charge.total, charge.input + charge.output + charge.other);
}

/// Usages that tell two prices apart: each kind by itself, short and long.
fn probes() -> impl Iterator<Item = Usage> {
    let kinds: [fn(&mut Usage, u64); 14] = [
        |usage, n| usage.input = n,
        |usage, n| usage.output = n,
        |usage, n| (usage.input, usage.cache_read) = (n, n),
        |usage, n| (usage.input, usage.cache_write) = (n, n),
        |usage, n| (usage.input, usage.cache_write, usage.cache_write_1h) = (n, n, n),
        |usage, n| (usage.input, usage.input_audio) = (n, n),
        |usage, n| (usage.input, usage.input_image) = (n, n),
        |usage, n| {
            usage.input = n;
            (usage.cache_read, usage.input_audio, usage.cache_read_audio) = (n, n, n);
        },
        |usage, n| {
            usage.input = n;
            (usage.cache_read, usage.input_image, usage.cache_read_image) = (n, n, n);
        },
        |usage, n| (usage.output, usage.output_audio) = (n, n),
        |usage, n| (usage.output, usage.output_image) = (n, n),
        |usage, n| (usage.output, usage.reasoning) = (n, n),
        |usage, n| (usage.output, usage.output_citation) = (n, n),
        |usage, n| usage.web_searches = n,
    ];
    [1_000, 500_000].into_iter().flat_map(move |n| {
        kinds.map(|kind| {
            let mut usage = Usage::default();
            kind(&mut usage, n);
            usage
        })
    })
}
