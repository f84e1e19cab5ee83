//! The keys of where calls go and what they cost: providers, models, prices.

use super::{Key, Section, key, optional, required, table};

pub(in crate::config) static PROVIDER: Section = Section {
    header: "[providers.NAME]",
    about: "A provider. `latency` and the keys after it are for the kind `simulated`, the others for providers on the network.",
    keys: &[
        required(
            "kind",
            "`openai` \\| `anthropic` \\| `gemini` \\| `azure` \\| `vertex` \\| `bedrock` \\| `simulated`",
            "Its dialect; `openai` is any OpenAI-compatible service.",
        ),
        optional(
            "base_url",
            "URL",
            "Where its API is. `openai`: up to and without `/chat/completions`. `azure`: the resource, `https://NAME.openai.azure.com`. `vertex`: up to the location, `https://REGION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/REGION`. Where left out, the own service of `openai`, `anthropic` and `gemini`, and the region's of `bedrock`.",
        ),
        optional(
            "api_key",
            "secret",
            "Its credential. Empty or `unset` means none: calls are sent without. For `vertex` an access token, for `bedrock` an API key of Bedrock.",
        ),
        optional(
            "price_book",
            "text",
            "The provider's id in the price book, where it is not this provider's name.",
        ),
        optional("headers", "table of text", "Headers that every request to it carries."),
        optional(
            "responses",
            "`true` \\| `false`",
            "Whether it serves `/responses` itself. Where not, responses are translated. Known services need no word.",
        ),
        key(
            "unmetered",
            "`estimate` \\| `refuse` \\| `allow`",
            "\"estimate\"",
            "What becomes of a call through `/providers/NAME/…` whose use nobody can read: `estimate` charges by its size, `refuse` refuses it. What is billed later (batches, training) is refused by both; `allow` lets it through uncharged.",
        ),
        optional(
            "api_version",
            "text",
            "`azure`: the version of its API; deployments are then named in the path. Without it, Azure's `/openai/v1`.",
        ),
        optional("region", "text", "`bedrock`: the region, such as `us-east-1`. Required there."),
        optional(
            "access_key_id",
            "text",
            "`bedrock`: who signs the requests, where no `api_key` is set.",
        ),
        optional("secret_access_key", "secret", "`bedrock`: what they are signed with."),
        optional("session_token", "secret", "`bedrock`: the token of temporary keys."),
        optional(
            "credentials_file",
            "path",
            "`vertex`: the JSON file of a service account; access tokens are fetched with it and renewed.",
        ),
        table("timeout", "[providers.NAME.timeout]", "Time limits."),
        table("retry", "[providers.NAME.retry]", "Repeated attempts."),
        table("breaker", "[providers.NAME.breaker]", "The circuit breaker."),
        key("latency", "duration", "\"200ms\"", "How long a simulated answer takes to begin."),
        key("error_rate", "share", "0.0", "The share of simulated calls that fail."),
        key(
            "chunk_interval",
            "duration",
            "\"10ms\"",
            "The time between chunks of a simulated stream.",
        ),
        key("chunks", "number", "8", "How many chunks a simulated stream has."),
        optional(
            "output_tokens",
            "number",
            "How many output tokens a simulated answer states. Without it, as many as its text has.",
        ),
    ],
};

pub(in crate::config) static TIMEOUT: Section = Section {
    header: "[providers.NAME.timeout]",
    about: "Time limits of a call to a provider.",
    keys: &[
        key("connect", "duration", "\"3s\"", "To make a connection."),
        key(
            "first_byte",
            "duration",
            "\"60s\"",
            "From the request to the first byte of the answer.",
        ),
        key("idle", "duration", "\"60s\"", "Between two chunks of the answer."),
        key("total", "duration", "\"10m\"", "For the whole call."),
    ],
};

pub(in crate::config) static RETRY: Section = Section {
    header: "[providers.NAME.retry]",
    about: "Repeated attempts after 429, 5xx, time-outs and connection errors, never after the first byte reached the client. Another target of the same model is asked first, and at once. Retries are at most a fifth of a provider's calls within 10 seconds, or ten.",
    keys: &[
        key(
            "attempts",
            "number",
            "3",
            "Attempts of one call at a target of this provider, the first included.",
        ),
        key(
            "base",
            "duration",
            "\"1s\"",
            "The pause before the second attempt; it doubles each time, and varies by a quarter. A `retry-after` of the provider holds instead.",
        ),
        key(
            "max",
            "duration",
            "\"30s\"",
            "The longest pause. Where the provider asks for a longer one, it is not tried again.",
        ),
    ],
};

pub(in crate::config) static BREAKER: Section = Section {
    header: "[providers.NAME.breaker]",
    about: "When a target (a provider and one of its models) that fails is left alone. Errors are 5xx, 401, time-outs, broken connections, garbage and errors inside an answer; 429 lets the target rest instead, and what the caller is to blame for does not count.",
    keys: &[
        key("error_rate", "share", "0.5", "The share of errors that opens it."),
        key("window", "duration", "\"30s\"", "Over which time."),
        key("min_calls", "number", "10", "The fewest calls in that time."),
        key("open_for", "duration", "\"15s\"", "How long it stays open before a probe."),
        key(
            "slow_first_byte",
            "duration",
            "\"5s\"",
            "A first byte later than this counts as an error. The first byte of an answer that is not streamed comes when all of it is made, so 50 ms more are allowed for each of its tokens out.",
        ),
    ],
};

pub(in crate::config) static MODEL: Section = Section {
    header: "[models.\"NAME\"]",
    about: "A public model name. A model without an entry goes to the provider that prices it.",
    keys: &[
        required("targets", "list of tables", "Who can serve it; see `targets` below."),
        key(
            "route",
            "`weighted` \\| `priority` \\| `least_latency` \\| `cheapest`",
            "\"weighted\"",
            "How one of the targets is chosen.",
        ),
        optional(
            "fallback",
            "list of models",
            "Models of this file that are tried after all targets failed, each with its own fallbacks.",
        ),
        key(
            "attempts",
            "number",
            "6",
            "Attempts that a call for this model may make in all, over all its targets and fallbacks. Its time is `timeout.total` of the provider that is asked first.",
        ),
        optional(
            "max_output_tokens",
            "number",
            "The output that is assumed where the caller sets none.",
        ),
        optional(
            "cache",
            "true or false",
            "Whether its calls may use the prompt cache; `true` where left out.",
        ),
    ],
};

pub(in crate::config) static TARGET: Section = Section {
    header: "targets = [{ … }]",
    about: "A provider's model that can serve a public name.",
    keys: &[
        required("provider", "provider", "The provider."),
        optional("model", "text", "Its name for the model; without one, the public name."),
        key("weight", "number", "1", "Its share of the calls where `route` is `weighted`."),
    ],
};

pub(in crate::config) static PRICE: Section = Section {
    header: "[prices.\"PROVIDER/MODEL\"]",
    about: "A price that overrides the price book, in USD per million tokens unless the key says otherwise. A part without a price of its own costs what the whole costs: `input` covers cached and audio tokens that have no key.",
    keys: PRICE_KEYS,
};

const PRICE_KEYS: &[Key] = &[
    optional("input", "decimal", "All tokens in."),
    optional("output", "decimal", "All tokens out."),
    optional("cached_input", "decimal", "Tokens read from the provider's cache."),
    optional("cache_write", "decimal", "Tokens written to the provider's cache."),
    optional("cache_write_5m", "decimal", "The same, kept for minutes."),
    optional("cache_write_1h", "decimal", "The same, kept for an hour or longer."),
    optional("reasoning", "decimal", "Reasoning tokens out."),
    optional("citation", "decimal", "Tokens out that cite sources."),
    optional("input_text", "decimal", "Text tokens in."),
    optional("input_audio", "decimal", "Audio tokens in."),
    optional("input_image", "decimal", "Image tokens in."),
    optional("input_video", "decimal", "Video tokens in."),
    optional("cached_input_text", "decimal", "Text tokens read from the cache."),
    optional("cached_input_audio", "decimal", "Audio tokens read from the cache."),
    optional("cached_input_image", "decimal", "Image tokens read from the cache."),
    optional("cached_input_video", "decimal", "Video tokens read from the cache."),
    optional("output_text", "decimal", "Text tokens out."),
    optional("output_audio", "decimal", "Audio tokens out."),
    optional("output_image", "decimal", "Image tokens out."),
    optional("output_video", "decimal", "Video tokens out."),
    optional("characters_per_1m", "decimal", "USD for a million characters to be spoken."),
    optional("input_audio_per_hour", "decimal", "USD for an hour of audio in."),
    optional("audio_per_hour", "decimal", "USD for an hour of audio."),
    optional("annotated_pages_per_1k", "decimal", "USD for a thousand pages read and annotated."),
    optional("pages_per_1k", "decimal", "USD for a thousand pages read."),
    optional("messages_per_1k", "decimal", "USD for a thousand messages into a voice session."),
    optional("web_search_per_1k", "decimal", "USD for a thousand searches of the web."),
    optional("file_search_per_1k", "decimal", "USD for a thousand searches of files."),
    optional("requests_per_1k", "decimal", "USD for a thousand calls."),
    optional("per_request", "decimal", "USD for the call itself."),
    optional("effective_from", "instant or day", "From when the price holds."),
    optional("effective_to", "instant or day", "Until when the price holds."),
];

pub(in crate::config) static DEFAULT_PRICE: Section = Section {
    header: "[prices.default]",
    about: "What a model costs that nothing else prices. Without it such models are refused.",
    keys: &[
        required("input", "decimal", "USD per million tokens in."),
        required("output", "decimal", "USD per million tokens out."),
    ],
};
