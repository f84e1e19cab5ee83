//! The price book as text: what is refused and where, and what is found under which name.

use jiff::Timestamp;
use proptest::prelude::*;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::price::{PriceBook, Reason, Served, Unit};
use tollgate_domain::usage::Usage;

const HEAD: &str = "tollgate-price-book 1\nversion\t7 2026-01-01\n";

fn book(rest: &str) -> PriceBook {
    PriceBook::parse(format!("{HEAD}{rest}")).unwrap()
}

fn served(at: &str) -> Served<'static> {
    Served::at(at.parse::<Timestamp>().unwrap())
}

#[test]
fn a_bad_book_is_refused_with_its_line() {
    for (text, line) in [
        ("", 0),
        ("tollgate-price-book 2\n", 1),
        ("tollgate-price-book 1\n", 1),
        ("tollgate-price-book 1\nversion\t7\n", 2),
        ("tollgate-price-book 1\nversion\t7 soon\n", 2),
        ("tollgate-price-book 1\nprovider\tp\nmodel\tm\t-\t=\tfree\n", 3),
        ("tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\n", 3),
        ("tollgate-price-book 1\n\n# note\nmodel\tm\t-\t=\tfree\n", 4),
        ("tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\nmodel\tm\t-\t=\tinput=x\n", 4),
        ("tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\nmodel\tm\t-\t?\tfree\n", 4),
        ("tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\nmodel\tm\t-\t=\n", 4),
        (
            "tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\nmodel\tm\tsize=1\t=\tfree\n",
            4,
        ),
        ("tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\nprovider\tp\n", 4),
        (
            "tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\nfallback\tq\n\
             model\tm\t-\t=\tfree\n",
            5,
        ),
        ("<html>", 1),
    ] {
        let error = PriceBook::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
    }
    let twice = format!("{HEAD}provider\tp\nmodel\tm\t-\t=\tfree\nmodel\tm\t-\t=\tfree\n");
    assert_eq!(PriceBook::parse(twice).unwrap_err().reason, Reason::Twice("m".to_owned()));
}

#[test]
fn the_shipped_book_prices_well_known_models() {
    let book = PriceBook::bundled().unwrap();
    assert_eq!(&**book.version(), "0.2.1");
    assert_eq!(book.providers().count(), 47);
    let price = book.find("openai", "gpt-4o-mini-2024-07-18").unwrap();
    assert_eq!(&**price.version(), "book 0.2.1 openai/gpt-4o-mini");
    let charge = price.charge(&Usage::tokens(8, 9), &served("2026-11-21T12:00:00Z"));
    assert_eq!(charge.total.charge().to_string(), "0.000006600");
    assert!(book.find("openai", "gpt-nonesuch").is_none());
    assert!(book.find("nobody", "gpt-4o-mini").is_none());
    assert!(book.find("openai", "").is_none());
    assert!(book.sellers("gpt-4o-mini").contains(&"openai"));
    assert_eq!(book.provider_for_model("gpt-4o-mini"), Some("openai"));
    assert_eq!(book.provider_for_model("claude-sonnet-5"), Some("anthropic"));
    assert_eq!(book.provider_for_model("no-such-thing"), None);
    assert!(book.models("openai").any(|model| model == "gpt-4o-mini"));
}

#[test]
fn litellm_names_the_real_provider_in_front_of_the_model() {
    let book = PriceBook::bundled().unwrap();
    let price = book.find("litellm", "anthropic/claude-haiku-4-5").unwrap();
    assert_eq!(&**price.id(), "claude-haiku-4-5");
    assert!(book.find("litellm", "nobody/claude-haiku-4-5").is_none());
}

#[test]
fn a_model_that_is_sold_on_has_the_standard_price_alone() {
    let book = book(
        "provider\ta\nmodel\tm\t-\t=\tinput=2 output=4\t?processing=batch input=1 output=2\n\
         provider\tb\nfallback\ta\nmodel\tn\t-\t=\tfree\n",
    );
    let batch = Served { batch: true, ..served("2026-01-01T00:00:00Z") };
    let cost = |provider| {
        let price = book.find(provider, "m").unwrap();
        price.charge(&Usage::tokens(1_000_000, 0), &batch).total.charge()
    };
    assert_eq!(cost("a"), NanoUsd::from_nanos(1_000_000_000));
    assert_eq!(cost("b"), NanoUsd::from_nanos(2_000_000_000));
    let free = book.find("b", "n").unwrap();
    assert!(free.is_free(&batch));
    assert!(!book.find("a", "m").unwrap().is_free(&batch));
}

#[test]
fn claude_costs_more_in_fast_mode_and_where_it_runs_in_the_united_states_on_request() {
    let book = PriceBook::bundled().unwrap();
    let usage = Usage {
        cache_read: 1_000,
        cache_write: 1_000,
        cache_write_1h: 1_000,
        web_searches: 1,
        ..Usage::tokens(4_000, 1_000)
    };
    let cost = |provider: &str, model: &str, speed: Option<&'static str>, geo: &'static str| {
        let served = Served { speed, geo: Some(geo), ..served("2026-11-21T12:00:00Z") };
        let price = book.find(provider, model).unwrap();
        let charge = price.charge(&usage, &served).total.charge();
        // No token costs more than the ceiling says for a call that asks for the same.
        let most = price.ceiling(&served, usage.input);
        let hold = most.input.of(4_000) + most.output.of(1_000) + most.per_web_search;
        assert!(hold.hold() >= charge, "{model}");
        charge.to_string()
    };
    // Opus 5 costs 5 in, 25 out, 0.50 from the cache, 10 into it for an hour; a search one cent.
    let fast = Some("fast");
    for (speed, geo, charged) in [
        (None, "global", "0.055500000"),
        (Some("standard"), "not_available", "0.055500000"),
        (fast, "global", "0.101000000"),
        (None, "us", "0.060050000"),
        (fast, "us", "0.110100000"),
    ] {
        assert_eq!(cost("anthropic", "claude-opus-5", speed, geo), charged, "{speed:?} {geo}");
    }
    // 30 in and 150 out a million: six times the price.
    assert_eq!(cost("anthropic", "claude-opus-4-6", fast, "global"), "0.283000000");
    // Older models, and those of others who sell them on, have one price.
    assert_eq!(
        cost("anthropic", "claude-sonnet-4-5", fast, "us"),
        cost("anthropic", "claude-sonnet-4-5", None, "global"),
    );
    assert_eq!(
        cost("openai", "gpt-4o-mini", fast, "us"),
        cost("openai", "gpt-4o-mini", None, "global"),
    );
}

#[test]
fn two_tokens_of_an_embedding_cost_forty_nanodollars() {
    let book = PriceBook::bundled().unwrap();
    let price = book.find("openai", "text-embedding-3-small").unwrap();
    let charge = price.charge(&Usage::tokens(2, 0), &served("2026-11-21T12:00:00Z"));
    assert_eq!(charge.total.charge().to_string(), "0.000000040");
}

#[test]
fn a_sum_is_rounded_once_and_half_to_even() {
    let book = book("provider\tp\nmodel\tm\t-\t=\tinput=0.0005 output=0.0005\n");
    let price = book.find("p", "m").unwrap();
    for (input, output, nanos) in [(1, 0, 0), (3, 0, 2), (5, 0, 2), (1, 1, 1), (3, 2, 2), (4, 3, 4)]
    {
        let charge = price.charge(&Usage::tokens(input, output), &served("2026-01-01T00:00:00Z"));
        assert_eq!(charge.total.charge().nanos(), nanos, "{input} and {output} halves");
    }
}

#[test]
fn a_tier_applies_to_the_whole_call_and_only_above_its_edge() {
    let book =
        book("provider\tp\nmodel\tm\t-\t=\tinput=3>200000:6>400000:7 output=15>200000:22.5\n");
    let price = book.find("p", "m").unwrap();
    let now = served("2026-01-01T00:00:00Z");
    for (input, rates) in
        [(200_000, ["3", "15"]), (200_001, ["6", "22.5"]), (400_001, ["7", "22.5"])]
    {
        let lines = price.explain(&Usage::tokens(input, 10), &now);
        let rate = |text: &str| NanoUsd::nanos(text.parse().unwrap());
        let found: Vec<i64> = lines.iter().map(|line| line.rate.nanos_per_million()).collect();
        assert_eq!(found, rates.map(rate), "{input}");
    }
    assert_eq!(price.ceiling(&now, 200_000).input.nanos_per_million(), 3_000_000_000);
    assert_eq!(price.ceiling(&now, u64::MAX).input.nanos_per_million(), 7_000_000_000);
}

#[test]
fn the_time_of_day_may_pass_midnight_and_the_last_price_in_force_wins() {
    let book = book(
        "provider\tp\nmodel\tm\t-\t=\tinput=1 output=1\t@2026-06-01 input=5 output=5\t\
         @22:30-01:00 input=2 output=2\n",
    );
    let price = book.find("p", "m").unwrap();
    for (at, usd) in [
        ("2026-05-31T22:29:59Z", 1),
        ("2026-05-31T22:30:00Z", 2),
        ("2026-06-01T00:59:59.9Z", 2),
        ("2026-06-01T01:00:00Z", 5),
        ("2026-06-01T23:00:00Z", 2),
    ] {
        let charge = price.charge(&Usage::tokens(1_000_000, 0), &served(at));
        assert_eq!(charge.total.charge().nanos(), usd * 1_000_000_000, "{at}");
    }
}

#[test]
fn cached_input_without_a_price_is_plain_input_and_parts_never_turn_a_charge_negative() {
    let book = book(
        "provider\tp\nmodel\ta\t-\t=\tinput=2 output=1\nmodel\tb\t-\t=\tinput=2 cached_input=1 output=1\n",
    );
    let now = served("2026-01-01T00:00:00Z");
    let usage = Usage { cache_read: 800_000, ..Usage::tokens(1_000_000, 0) };
    let cost = |model, usage: &Usage| {
        book.find("p", model).unwrap().charge(usage, &now).total.charge().to_string()
    };
    assert_eq!(cost("a", &usage), "2.000000000");
    assert_eq!(cost("b", &usage), "1.200000000");
    let lying = Usage { cache_read: 4_632, ..Usage::tokens(3_472, 0) };
    assert_eq!(cost("b", &lying), "0.004632000");
    let most = Usage { input: u64::MAX, cache_read: u64::MAX, cache_write: u64::MAX, ..lying };
    assert!(!cost("b", &most).starts_with('-'));
}

#[test]
fn groq_bills_ten_seconds_of_audio_at_least() {
    let book = PriceBook::bundled().unwrap();
    let price = book.find("groq", "whisper-large-v3").unwrap();
    let count = |seconds| {
        let usage = Usage { audio_seconds: seconds, ..Usage::default() };
        let lines = price.explain(&usage, &served("2026-11-21T12:00:00Z"));
        lines.iter().map(|line| (line.unit, line.count)).collect::<Vec<_>>()
    };
    assert_eq!(count(0), []);
    assert_eq!(count(3), [(Unit::InputAudioTime, 10)]);
    assert_eq!(count(11), [(Unit::InputAudioTime, 11)]);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(rest in "\\PC{0,80}", lines in proptest::collection::vec("(provider|model|url|names|sells|fallback|version)\t[=^~#|&!a-z0-9 \t.@:?-]{0,40}", 0..6)) {
        let text = format!("{HEAD}{}\n{rest}\n", lines.join("\n"));
        if let Ok(book) = PriceBook::parse(text) {
            for provider in book.providers() {
                for model in book.models(provider) {
                    drop(book.find(provider, model));
                }
            }
        }
    }

    #[test]
    fn no_url_makes_the_search_panic(url in "\\PC{0,60}", path in "(https?://)?[a-z.:@/?#-]{0,40}") {
        let book = book("provider\tp\nurl\tapi.x.com *.y.net/a/*/b\nmodel\tm\t-\t=\tfree\n");
        prop_assert_eq!(book.provider_for_url(&url), None);
        let found = book.provider_for_url(&format!("https://API.x.com:8443/{path}"));
        prop_assert_eq!(found, Some("p"));
    }
}
