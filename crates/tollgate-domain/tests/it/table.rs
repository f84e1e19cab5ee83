//! What overrides the book: configuration over environment over book, and what stands alone.

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::money::Rate;
use tollgate_domain::price::{EnvPrices, Override, PriceBook, PriceTable, Served, TableError};
use tollgate_domain::usage::Usage;

const BOOK: &str = "tollgate-price-book 1\nversion\t7 2026-01-01\nprovider\tp\nmodel\tm-1\t-\t^m-1\t\
                    input=2 output=4 cached_input=1\t?processing=batch input=1 output=2\n\
                    model\tm-2\t-\t=\tinput=9 output=9 web_search_per_1k=10\n";

fn book() -> Arc<PriceBook> {
    Arc::new(PriceBook::parse(BOOK).unwrap())
}

fn entry(pairs: &[(&str, &str)]) -> Override {
    Override::from_pairs(pairs.iter().copied()).unwrap()
}

fn env(vars: &[(&str, &str)]) -> EnvPrices {
    EnvPrices::from_vars(vars.iter().copied()).unwrap()
}

fn now() -> Served<'static> {
    Served::at("2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap())
}

/// Input, cached input and output of a model in USD for a million, and which price that is.
fn prices(table: &PriceTable, provider: &str, model: &str) -> Option<(String, [i64; 3])> {
    let price = table.resolve(provider, model)?;
    let million = 1_000_000;
    let cost = |usage: &Usage| price.charge(usage, &now()).total.charge().nanos() / 1_000_000_000;
    let cached = Usage { cache_read: million, ..Usage::tokens(million, 0) };
    let costs = [&Usage::tokens(million, 0), &cached, &Usage::tokens(0, million)].map(cost);
    Some((price.version().to_string(), costs))
}

#[test]
fn the_configuration_wins_over_the_environment_and_that_over_the_book() {
    let table = PriceTable::builder(book())
        .env(env(&[("P_M1_INPUT_PER_1M_USD", "5"), ("P_M1_OUTPUT_PER_1K_USD", "0.006")]))
        .price("p", "m-1", entry(&[("input", "7")]))
        .build()
        .unwrap();
    let expected = ("config+env+book 7 p/m-1".to_owned(), [7, 1, 6]);
    assert_eq!(prices(&table, "p", "m-1"), Some(expected.clone()));
    assert_eq!(prices(&table, "p", "M-1-20260101"), Some(expected.clone()));
    assert_eq!(prices(&table, "p", "m-1"), Some(expected), "the second time too");
    assert_eq!(prices(&table, "p", "m-2"), Some(("book 7 p/m-2".to_owned(), [9, 9, 9])));
    assert_eq!(prices(&table, "p", "m-3"), None);
}

#[test]
fn an_override_wins_over_special_prices_of_the_same_kind() {
    let table = PriceTable::builder(book()).price("p", "m-1", entry(&[("input", "7")]));
    let price = table.build().unwrap().resolve("p", "m-1").unwrap();
    let batch = Served { batch: true, ..now() };
    let charge = price.charge(&Usage::tokens(1_000_000, 1_000_000), &batch);
    assert_eq!(charge.input.charge().to_string(), "7.000000000");
    assert_eq!(charge.output.charge().to_string(), "2.000000000");
}

#[test]
fn nothing_is_charged_above_an_override() {
    let book = Arc::new(PriceBook::bundled().unwrap());
    let table =
        PriceTable::builder(book).price("anthropic", "claude-opus-5", entry(&[("input", "7")]));
    let price = table.build().unwrap().resolve("anthropic", "claude-opus-5").unwrap();
    let fast = Served { speed: Some("fast"), ..now() };
    let charge = price.charge(&Usage::tokens(1_000_000, 1_000_000), &fast);
    assert_eq!(charge.input.charge().to_string(), "7.000000000");
    assert_eq!(charge.output.charge().to_string(), "50.000000000");
}

#[test]
fn a_name_as_asked_for_is_more_particular_than_the_plain_id() {
    let table = PriceTable::builder(book())
        .price("p", "m-1", entry(&[("input", "7")]))
        .price("p", "M-1-Turbo", entry(&[("input", "8")]))
        .build()
        .unwrap();
    assert_eq!(prices(&table, "p", "m-1-turbo").unwrap().1[0], 8);
    assert_eq!(prices(&table, "p", "m-1-other").unwrap().1[0], 7);
}

#[test]
fn configured_providers_go_by_their_own_name_and_by_the_books() {
    let table = PriceTable::builder(book())
        .provider("mine", Some("p"))
        .provider("holysheep", None)
        .price("holysheep", "gpt-4.1", entry(&[("input", "8.00"), ("output", "8.00")]))
        .price("p", "m-2", entry(&[("output", "3")]))
        .env(env(&[("MINE_M1_INPUT_PER_1M_USD", "3")]))
        .build()
        .unwrap();
    let expected = ("config holysheep/gpt-4.1".to_owned(), [8, 8, 8]);
    assert_eq!(prices(&table, "holysheep", "GPT-4.1"), Some(expected));
    assert_eq!(prices(&table, "holysheep", "m-1"), None);
    assert_eq!(prices(&table, "mine", "m-1").unwrap().1, [3, 1, 4]);
    assert_eq!(prices(&table, "p", "m-1").unwrap().1, [2, 1, 4]);
    assert_eq!(prices(&table, "mine", "m-2").unwrap().1, [9, 9, 3]);
}

#[test]
fn a_model_that_the_book_does_not_know_needs_its_whole_price() {
    let build = |pairs: &[(&str, &str)]| {
        PriceTable::builder(book()).price("x", "new", entry(pairs)).build()
    };
    assert_eq!(
        build(&[("input", "1")]).unwrap_err(),
        [TableError::Missing { model: "x/new".to_owned(), missing: "output" }]
    );
    let gap = [("input", "1"), ("output", "0"), ("effective_from", "2026-12-01")];
    assert_eq!(build(&gap).unwrap_err(), [TableError::Gap { model: "x/new".to_owned() }]);
    let embedding = build(&[("input", "0.02"), ("output", "0")]).unwrap();
    assert_eq!(prices(&embedding, "x", "new").unwrap().1, [0, 0, 0]);
    assert!(!embedding.resolve("x", "new").unwrap().is_free(&now()));
    let free = build(&[("input", "0"), ("output", "0")]).unwrap();
    assert!(free.resolve("x", "new").unwrap().is_free(&now()));
    let call = build(&[("per_request", "0.01")]).unwrap().resolve("x", "new").unwrap();
    assert_eq!(call.charge(&Usage::default(), &now()).total.charge().to_string(), "0.010000000");
    assert_eq!(call.ceiling(&now(), 0).hold(0, 0).to_string(), "0.010000000");
}

#[test]
fn the_environment_alone_can_price_a_model_when_it_states_both_directions() {
    let half = env(&[("X_NEW_INPUT_PER_1M_USD", "1")]);
    let whole = env(&[("X_NEW_INPUT_PER_1M_USD", "1"), ("X_NEW_OUTPUT_PER_1M_USD", "2")]);
    let table = |env| PriceTable::builder(book()).env(env).build().unwrap();
    assert_eq!(prices(&table(half.clone()), "x", "new"), None);
    assert_eq!(table(half).unmatched_env(), ["X_NEW_INPUT_PER_1M_USD"]);
    assert_eq!(prices(&table(whole), "x", "new"), Some(("env x/new".to_owned(), [1, 1, 2])));
    let with_config = PriceTable::builder(book())
        .env(env(&[("X_NEW_OUTPUT_PER_1M_USD", "2"), ("P_M2_INPUT_PER_1M_USD", "1")]))
        .price("x", "new", entry(&[("input", "5")]))
        .build()
        .unwrap();
    assert_eq!(prices(&with_config, "x", "new").unwrap().1, [5, 5, 2]);
    assert!(with_config.unmatched_env().is_empty());
}

#[test]
fn a_dated_override_applies_within_its_dates() {
    let dated = entry(&[
        ("input", "7"),
        ("effective_from", "2026-11-01"),
        ("effective_to", "2026-11-30T12:00:00Z"),
    ]);
    let table = PriceTable::builder(book()).price("p", "m-1", dated).build().unwrap();
    let price = table.resolve("p", "m-1").unwrap();
    for (at, usd) in [
        ("2026-10-31T23:59:59Z", "2.000000000"),
        ("2026-11-01T00:00:00Z", "7.000000000"),
        ("2026-11-30T11:59:59Z", "7.000000000"),
        ("2026-11-30T12:00:00Z", "2.000000000"),
    ] {
        let served = Served::at(at.parse().unwrap());
        let charge = price.charge(&Usage::tokens(1_000_000, 0), &served);
        assert_eq!(charge.total.charge().to_string(), usd, "{at}");
    }
}

#[test]
fn audio_with_a_price_of_its_own_is_not_paid_twice_when_it_was_cached() {
    let table = PriceTable::builder(book()).price("p", "m-1", entry(&[("input_audio", "20")]));
    let price = table.build().unwrap().resolve("p", "m-1").unwrap();
    let usage = Usage {
        cache_read: 400_000,
        cache_read_audio: 300_000,
        input_audio: 500_000,
        ..Usage::tokens(1_000_000, 0)
    };
    // 0.4 cached at 1, 0.2 audio at 20, and the remaining 0.4 at 2.
    let charge = price.charge(&usage, &now());
    assert_eq!(charge.total.charge().to_string(), "5.200000000");
}

#[test]
fn a_default_rate_prices_what_nobody_else_does() {
    let rate = |usd: &str| Rate::parse_usd_per_million(usd).unwrap();
    let table = PriceTable::builder(book()).default_rate(rate("30"), rate("60")).build().unwrap();
    assert_eq!(prices(&table, "x", "new"), Some(("default".to_owned(), [30, 30, 60])));
    assert_eq!(prices(&table, "p", "m-1").unwrap().1, [2, 1, 4]);
}

#[test]
fn any_number_of_names_can_be_asked_for() {
    let table = PriceTable::builder(book()).build().unwrap();
    for number in 0..10_000 {
        assert!(table.resolve("p", &format!("nonesuch-{number}")).is_none());
    }
    assert!(table.resolve("p", &"m-1".repeat(1_000)).is_some());
    assert_eq!(prices(&table, "p", "m-1").unwrap().1, [2, 1, 4]);
}
