//! The shipped book and the arithmetic beside another implementation of the same data, which
//! computes in binary floats: names must match alike, and prices to less than 10⁻⁹ USD.

use std::time::{Duration, UNIX_EPOCH};

use genai_prices::{Calculator, ErrorKind, PriceRequest, Usage as Reported};
use jiff::Timestamp;
use proptest::prelude::*;
use tollgate_domain::money::Exact;
use tollgate_domain::price::{PriceBook, Served};
use tollgate_domain::usage::Usage;

const TIERS: [Option<&str>; 6] =
    [None, Some("default"), Some("flex"), Some("priority"), Some("fast"), Some("unheard-of")];
const SUFFIXES: [&str; 9] =
    ["", "", "-20251211", ":free", "-2025-12-11", "-latest", "@20250101", "-tts", "-001-x"];
const PREFIXES: [&str; 5] = ["", "", "us.", "openai/", "labs-"];

/// What of a call is known, in numbers that add up.
#[derive(Clone, Debug)]
struct Parts([u64; 22]);

fn parts() -> impl Strategy<Value = Parts> {
    let count = prop_oneof![3 => Just(0_u64), 2 => 0_u64..500, 2 => 0_u64..90_000];
    proptest::collection::vec(count, 22).prop_map(|parts| Parts(parts.try_into().unwrap()))
}

impl Parts {
    fn usage(&self) -> Usage {
        let [
            text,
            audio,
            image,
            video,
            cached_text,
            cached_audio,
            cached_image,
            cached_video,
            write_5m,
            write_1h,
            out,
            out_text,
            reasoning,
            citation,
            out_audio,
            out_image,
            out_video,
            web,
            file,
            seconds,
            characters,
            pages,
        ] = self.0;
        let cache_read = cached_text + cached_audio + cached_image + cached_video;
        Usage {
            input: text + audio + image + video + cache_read + write_5m + write_1h,
            cache_read,
            cache_write: write_5m + write_1h,
            cache_write_5m: write_5m,
            cache_write_1h: write_1h,
            input_text: text + cached_text,
            input_audio: audio + cached_audio,
            input_image: image + cached_image,
            input_video: video + cached_video,
            cache_read_text: cached_text,
            cache_read_audio: cached_audio,
            cache_read_image: cached_image,
            cache_read_video: cached_video,
            output: out + out_text + reasoning + citation + out_audio + out_image + out_video,
            reasoning,
            output_text: out_text,
            output_audio: out_audio,
            output_image: out_image,
            output_video: out_video,
            output_citation: citation,
            web_searches: web % 50,
            file_searches: file % 50,
            audio_seconds: seconds,
            characters,
            pages,
            annotated_pages: pages / 3,
            messages: web % 7,
            tool_input: 0,
        }
    }
}

fn reported(usage: &Usage) -> Reported {
    [
        ("input_tokens", usage.input),
        ("cache_read_tokens", usage.cache_read),
        ("cache_write_tokens", usage.cache_write),
        ("cache_write_5m_tokens", usage.cache_write_5m),
        ("cache_write_1h_tokens", usage.cache_write_1h),
        ("input_text_tokens", usage.input_text),
        ("input_audio_tokens", usage.input_audio),
        ("input_image_tokens", usage.input_image),
        ("input_video_tokens", usage.input_video),
        ("cache_text_read_tokens", usage.cache_read_text),
        ("cache_audio_read_tokens", usage.cache_read_audio),
        ("cache_image_read_tokens", usage.cache_read_image),
        ("cache_video_read_tokens", usage.cache_read_video),
        ("output_tokens", usage.output),
        ("output_reasoning_tokens", usage.reasoning),
        ("output_text_tokens", usage.output_text),
        ("output_audio_tokens", usage.output_audio),
        ("output_image_tokens", usage.output_image),
        ("output_video_tokens", usage.output_video),
        ("output_citation_tokens", usage.output_citation),
        ("web_searches", usage.web_searches),
        ("storage_searches", usage.file_searches),
        ("audio_seconds", usage.audio_seconds),
        ("input_audio_seconds", usage.audio_seconds),
        ("input_characters", usage.characters),
        ("input_document_pages", usage.pages),
        ("input_annotated_document_pages", usage.annotated_pages),
        ("input_text_messages", usage.messages),
    ]
    .into_iter()
    .map(|(key, count)| (key, f64::from(u32::try_from(count).unwrap())))
    .collect()
}

/// Dollars as a float, for the comparison alone.
#[expect(clippy::cast_precision_loss, reason = "the oracle computes in floats")]
fn dollars(amount: Exact) -> f64 {
    amount.femtos() as f64 / 1e15
}

/// One question to both: the same answer, or the same refusal.
fn compare(provider: &str, model: &str, usage: &Usage, served: &Served<'_>) -> Result<(), String> {
    let book = BOOK.with(|book| book.find(provider, model));
    let reported = reported(usage);
    let second = u64::try_from(served.at.as_second()).unwrap();
    let mut request = PriceRequest::new(model, &reported)
        .with_provider_id(provider)
        .with_timestamp(UNIX_EPOCH + Duration::from_secs(second));
    if let Some(tier) = served.service_tier {
        request = request.with_price_context("service_tier", tier);
    }
    if served.batch {
        request = request.with_price_context("processing", "batch");
    }
    let oracle = match (Calculator::bundled().calculate(&request), &book) {
        (Ok(oracle), Some(_)) => oracle,
        (Err(error), None)
            if matches!(error.kind(), ErrorKind::ModelNotFound | ErrorKind::ProviderNotFound) =>
        {
            return Ok(());
        }
        (oracle, book) => {
            return Err(format!("{provider}/{model}: {oracle:?}, but the book has {book:?}"));
        }
    };
    let price = book.unwrap();
    if **price.id() != *oracle.model_id {
        return Err(format!("{provider}/{model}: {} is not {}", price.id(), oracle.model_id));
    }
    let charge = price.charge(usage, served);
    for (side, ours, theirs) in [
        ("input", charge.input, oracle.input_price),
        ("output", charge.output, oracle.output_price),
        ("total", charge.total, oracle.total_price),
    ] {
        if (dollars(ours) - theirs).abs() >= 1e-9 {
            return Err(format!("{provider}/{model} {side}: {ours:?} is not {theirs}; {usage:?}"));
        }
    }
    let lines = price.explain(usage, served);
    let sum: Exact = lines.iter().map(|line| line.amount).sum();
    if sum == charge.total { Ok(()) } else { Err(format!("{provider}/{model}: {lines:?}")) }
}

thread_local! {
    static BOOK: PriceBook = PriceBook::bundled().unwrap();
    static NAMES: Vec<(String, String)> = Calculator::bundled()
        .providers()
        .flat_map(|provider| {
            provider.models().map(move |model| (provider.id().to_owned(), model.id().to_owned()))
        })
        .collect();
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn every_model_of_the_book_is_found_and_priced_alike() {
    let usage = Parts([7; 22]).usage();
    let names = NAMES.with(Clone::clone);
    assert!(names.len() > 2_000);
    for (provider, model) in names {
        for second in [1_762_430_400, 1_795_262_400] {
            compare(&provider, &model, &usage, &Served::at(at(second))).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn any_call_costs_alike(
        name in any::<prop::sample::Index>(),
        parts in parts(),
        second in 1_690_000_000_i64..1_830_000_000,
        tier in prop::sample::select(TIERS.to_vec()),
        batch in prop::bool::weighted(0.2),
    ) {
        let (provider, model) = NAMES.with(|names| names[name.index(names.len())].clone());
        let served = Served { service_tier: tier, batch, ..Served::at(at(second)) };
        compare(&provider, &model, &parts.usage(), &served).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn any_name_is_matched_alike(
        provider in any::<prop::sample::Index>(),
        model in any::<prop::sample::Index>(),
        own in any::<bool>(),
        prefix in prop::sample::select(PREFIXES.to_vec()),
        suffix in prop::sample::select(SUFFIXES.to_vec()),
        upper in any::<bool>(),
    ) {
        let (provider, model) = NAMES.with(|names| {
            let (its_own, model) = names[model.index(names.len())].clone();
            let other = names[provider.index(names.len())].0.clone();
            (if own { its_own } else { other }, model)
        });
        let model = format!("{prefix}{model}{suffix}");
        let model = if upper { model.to_uppercase() } else { model };
        let served = Served::at(at(1_795_262_400));
        compare(&provider, &model, &Usage::tokens(1_000, 1_000), &served)
            .map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_ceiling_is_never_below_a_charge(
        name in any::<prop::sample::Index>(),
        parts in parts(),
        second in 1_690_000_000_i64..1_830_000_000,
        tier in prop::sample::select(TIERS.to_vec()),
        batch in any::<bool>(),
    ) {
        let (provider, model) = NAMES.with(|names| names[name.index(names.len())].clone());
        // A few ids of the data do not satisfy their own rule.
        let Some(price) = BOOK.with(|book| book.find(&provider, &model)) else {
            return Ok(());
        };
        let served = Served { service_tier: tier, batch, ..Served::at(at(second)) };
        let usage = parts.usage();
        let ceiling = price.ceiling(&served, usage.input);
        let most = ceiling.input.of(usage.input)
            + ceiling.output.of(usage.output)
            + ceiling.per_call
            + ceiling.audio_second.of(usage.audio_seconds.max(10))
            + ceiling.character.of(usage.characters)
            + ceiling.page.of(usage.pages)
            + (0..usage.web_searches).map(|_| ceiling.per_web_search).sum()
            + (0..usage.file_searches).map(|_| ceiling.per_file_search).sum();
        let charge = price.charge(&Usage { messages: 0, ..usage }, &served);
        prop_assert!(charge.total <= most, "{charge:?} over {ceiling:?}");
        if price.is_free(&served) {
            prop_assert_eq!(charge.total, Exact::ZERO);
        }
    }
}

#[test]
fn providers_are_known_by_name_and_host_alike() {
    for name in [
        "openai",
        "OpenAI",
        " anthropic ",
        "vertex",
        "google-gla",
        "xai",
        "together_ai",
        "bedrock",
        "amazon",
        "mistralai",
        "huggingface_groq",
        "nobody",
        "",
    ] {
        let oracle = Calculator::bundled().find_provider(Some(name), None).unwrap();
        let id = oracle.map(|provider| provider.id().to_owned());
        let models = BOOK.with(|book| book.models(name).count());
        let expected = oracle.map_or(0, |provider| provider.models().count());
        assert_eq!(models, expected, "{name} is {id:?}");
    }
    for url in [
        "https://api.openai.com/v1",
        "https://api.openai.com",
        "https://api.anthropic.com/v1/messages",
        "https://generativelanguage.googleapis.com/v1beta",
        "https://us-central1-aiplatform.googleapis.com/",
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/x/converse",
        "https://my-team.openai.azure.com/openai/deployments/x",
        "https://openrouter.ai/api/v1",
        "https://api.moonshot.ai/v1",
        "https://api.minimaxi.com/v1",
        "https://router.huggingface.co/groq/openai/v1",
        "https://router.huggingface.co/together/v1",
        "https://api.cloudflare.com/client/v4/accounts/abc/ai/v1",
        "https://api.cloudflare.com/client/v4/zones",
        "https://api.elevenlabs.io/v1",
        "https://api.us.elevenlabs.io/v1",
        "https://x.cloud.databricks.com/serving-endpoints/y",
        "https://api.deepseek.com",
        "https://api.holysheep.ai/v1",
    ] {
        let oracle = Calculator::bundled().find_provider(None, Some(url)).unwrap();
        let expected = oracle.map(|provider| provider.id().to_owned());
        let found = BOOK.with(|book| book.provider_for_url(url).map(str::to_owned));
        assert_eq!(found, expected, "{url}");
    }
}
