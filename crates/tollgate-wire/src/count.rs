//! Counts tokens where no provider has: bounds for reservations, estimates for cut answers.
//!
//! The bound costs nothing and is tried first (a token is at least one byte). A tokenizer takes
//! about 10 MB and 0.1 s to load, so it is loaded by the first estimate, and never by a bound.

use std::borrow::Cow;

use crate::endpoint::Endpoint;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::peek::Peek;
use crate::tokenizer;

/// Beyond this many bytes a sample is counted.
const SAMPLE_ABOVE: usize = 256 * 1024;
/// Pieces of a sample, spread over the text.
const PIECES: usize = 8;
/// Bytes of a piece.
const PIECE: usize = 32 * 1024;
/// What templates, roles and a vendor's own preamble add to a prompt.
const OVERHEAD: u64 = 128;
/// The tokens of one picture at most; gpt-4o-mini counts pictures many times over.
pub(crate) const IMAGE: u64 = 12_000;
const IMAGE_MINI: u64 = 50_000;
/// What a picture takes on the average, for estimates.
pub(crate) const IMAGE_USUAL: u64 = 1_100;
/// Base64 bytes of sound per token, at the lowest bit rate that providers take: 8 kbit/s make
/// 1 333 bytes a second, and a second makes ten tokens. Halved for safety.
const AUDIO_BYTES: u64 = 64;
/// What frames a message, in tokens.
const PER_MESSAGE: u64 = 4;

/// How many input tokens a request has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputBound {
    /// The bound, as far as the body tells.
    pub tokens: u64,
    /// Whether the body tells all. Files, earlier turns, stored prompts and tools that the provider
    /// runs add input that no body shows: then the model's context window is the bound.
    pub complete: bool,
}

/// The bound that needs no tokenizer.
pub fn upper_bound_input_tokens(peek: &Peek) -> InputBound {
    let input = &peek.input;
    let text = input.bytes.saturating_sub(input.image_bytes).saturating_sub(input.audio_bytes);
    let each = if peek.model.contains("4o-mini") { IMAGE_MINI } else { IMAGE };
    let tokens = text
        .saturating_add(input.images.saturating_mul(each))
        .saturating_add(input.audio_bytes.div_ceil(AUDIO_BYTES))
        .saturating_add(input.hidden_tokens)
        .saturating_add(OVERHEAD);
    let hidden = input.files > 0 || input.earlier_turns || input.stored_prompt || peek.tools.hosted;
    InputBound { tokens, complete: !hidden }
}

/// Tokens of a text in the tokenizer of this model. For a model without a public tokenizer: two
/// tokens per five characters where most letters are Hangul, else the count of a current one.
///
/// Takes time linear in the text, but n log n in a run of letters without a break; above 32 kB the
/// caller moves it off the async threads.
pub fn count_tokens(model: &str, text: &str) -> u64 {
    if text.len() > SAMPLE_ABOVE {
        return sampled(model, text);
    }
    count_all(model, text)
}

fn count_all(model: &str, text: &str) -> u64 {
    let family = Family::of(model);
    if family == Family::Other && mostly_hangul(text) {
        let chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        return chars.saturating_mul(2).div_ceil(5);
    }
    let tokenizer = match family {
        Family::Cl100k => tokenizer::cl100k_base(),
        Family::O200k | Family::Other => tokenizer::o200k_base(),
    };
    tokenizer.count(text)
}

fn sampled(model: &str, text: &str) -> u64 {
    let step = text.len() / PIECES;
    let (mut bytes, mut tokens) = (0u128, 0u128);
    for piece in 0..PIECES {
        let start = text.floor_char_boundary(piece * step);
        let end = text.floor_char_boundary((start + PIECE).min(text.len()));
        let part = text.get(start..end).unwrap_or_default();
        bytes += u128::try_from(part.len()).unwrap_or(0);
        tokens += u128::from(count_all(model, part));
    }
    let all = u128::try_from(text.len()).unwrap_or(0);
    let scaled = tokens.saturating_mul(all).div_ceil(bytes.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Which tokenizer a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Cl100k,
    O200k,
    Other,
}

impl Family {
    fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let old = ["gpt-4-", "gpt-3.5", "text-embedding-", "davinci-002", "babbage-002"];
        let new =
            ["gpt-", "chatgpt-", "o1", "o3", "o4", "codex-", "omni-moderation", "computer-use"];
        if name == "gpt-4" || old.iter().any(|start| name.starts_with(start)) {
            return Self::Cl100k;
        }
        if new.iter().any(|start| name.starts_with(start)) { Self::O200k } else { Self::Other }
    }
}

/// Whether more than half of what is not white space is Hangul.
fn mostly_hangul(text: &str) -> bool {
    let hangul = |c: char| matches!(c, '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}');
    let (mut letters, mut korean) = (0usize, 0usize);
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        letters += 1;
        korean += usize::from(hangul(c));
    }
    korean * 2 > letters
}

/// Estimates the input tokens of a request: what `peek` was taken from, counted with a tokenizer.
///
/// It may fall short of what is billed (templates and tools are written out differently by each
/// model); it is no bound.
pub fn estimate_prompt(endpoint: Endpoint, peek: &Peek, body: &[u8]) -> u64 {
    let mut text = String::new();
    request(&mut Pull::new(body), &mut text, 2);
    let framing = match endpoint {
        Endpoint::ChatCompletions
        | Endpoint::Responses
        | Endpoint::ResponsesInputTokens
        | Endpoint::Messages
        | Endpoint::MessageTokens
        | Endpoint::GenerateContent
        | Endpoint::StreamGenerateContent
        | Endpoint::CountTokens => peek.input.items.saturating_mul(PER_MESSAGE).saturating_add(3),
        _ => 0,
    };
    count_tokens(&peek.model, &text)
        .saturating_add(framing)
        .saturating_add(peek.input.images.saturating_mul(IMAGE_USUAL))
        .saturating_add(peek.input.audio_bytes.div_ceil(AUDIO_BYTES))
}

/// Counts the input tokens of a request that `model` is to answer, for a provider that cannot
/// count itself: an estimate, as [`estimate_prompt`] makes it. 0 for a body that is no request.
pub fn count_request(endpoint: Endpoint, model: &str, body: &[u8]) -> u64 {
    let path_model = endpoint.names_model_in_path().then_some(model);
    let peeked = crate::dialect::peek(endpoint, path_model, body);
    peeked.map_or(0, |peek| estimate_prompt(endpoint, &Peek { model: model.into(), ..peek }, body))
}

/// Appends the texts of a request, of any dialect. Gemini's forms that count or embed have requests
/// within the request.
fn request(pull: &mut Pull<'_>, out: &mut String, depth: u8) {
    pull.object(|pull, key| match key {
        b"messages"
        | b"input"
        | b"prompt"
        | b"instructions"
        | b"system"
        | b"contents"
        | b"content"
        | b"systemInstruction"
        | b"system_instruction" => texts(pull, out, 0),
        b"tools" | b"functions" | b"response_format" | b"text" => {
            out.push_str(&String::from_utf8_lossy(pull.skip().unwrap_or_default()));
        }
        b"generateContentRequest" | b"generate_content_request" if depth > 0 => {
            request(pull, out, depth - 1);
        }
        b"requests" if depth > 0 => pull.array(|pull| request(pull, out, depth - 1)),
        _ => {
            pull.skip();
        }
    });
}

/// Members whose texts are no text of the prompt: media, where they are, and what they are.
fn is_medium(key: &[u8]) -> bool {
    matches!(
        key,
        b"type"
            | b"url"
            | b"image_url"
            | b"data"
            | b"file_data"
            | b"id"
            | b"media_type"
            | b"mimeType"
            | b"mime_type"
            | b"fileUri"
            | b"file_uri"
            | b"signature"
            | b"thoughtSignature"
            | b"thought_signature"
            | b"cache_control"
    )
}

/// Appends every string value, except media written out; token numbers become a character each.
fn texts(pull: &mut Pull<'_>, out: &mut String, depth: u8) {
    match pull.next_byte() {
        Some(b'"') => push_text(pull, out),
        Some(b'[') if depth < 16 && pull.enter_array() => {
            while pull.next_item() {
                texts(pull, out, depth + 1);
            }
        }
        Some(b'{') if depth < 16 && pull.enter_object() => {
            while let Some(key) = pull.next_key() {
                let opens = pull.next_byte() == Some(b'{');
                // What a tool takes and gives is no member of the dialect, whatever its keys.
                if opens && matches!(key, b"input" | b"args" | b"response") {
                    out.push_str(&String::from_utf8_lossy(pull.skip().unwrap_or_default()));
                } else if is_medium(key) && !opens {
                    pull.skip();
                } else {
                    texts(pull, out, depth + 1);
                }
            }
        }
        Some(b'0'..=b'9') => {
            pull.skip();
            out.push_str(" x");
        }
        _ => {
            pull.skip();
        }
    }
}

fn push_text(pull: &mut Pull<'_>, out: &mut String) {
    let Some(text) = pull.string() else { return };
    let decoded = text.decode().unwrap_or_else(|| Cow::Owned(Text::decode_lossy(text)));
    out.push_str(&decoded);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::peek;

    fn look(body: &str) -> Peek {
        peek(Endpoint::ChatCompletions, body.as_bytes()).unwrap()
    }

    #[test]
    fn each_family_counts_with_its_own_tokenizer() {
        for (model, family) in [
            ("gpt-4", Family::Cl100k),
            ("gpt-4-turbo", Family::Cl100k),
            ("gpt-3.5-turbo", Family::Cl100k),
            ("text-embedding-3-small", Family::Cl100k),
            ("gpt-4o-mini", Family::O200k),
            ("gpt-4.1", Family::O200k),
            ("openai/gpt-oss-120b", Family::O200k),
            ("o3-mini", Family::O200k),
            ("claude-sonnet-4-5", Family::Other),
            ("gemini-2.5-pro", Family::Other),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
        assert_eq!(count_tokens("gpt-4o", "Hello, world!"), 4);
        assert_eq!(count_tokens("gpt-4o", ""), 0);
    }

    #[test]
    fn korean_without_a_tokenizer_counts_two_tokens_per_five_characters() {
        let text = "\u{c624}\u{b298}\u{c740} \u{c88b}\u{c740} \u{b0a0}";
        assert_eq!(text.chars().count(), 8);
        assert_eq!(count_tokens("claude-sonnet-4-5", text), 4);
        assert_eq!(count_tokens("claude-sonnet-4-5", "hello"), count_tokens("gpt-4o", "hello"));
    }

    #[test]
    fn a_long_text_is_sampled_and_comes_out_near_the_count() {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(8_000);
        assert!(text.len() > SAMPLE_ABOVE);
        let (whole, sample) = (count_all("gpt-4o", &text), count_tokens("gpt-4o", &text));
        assert!(whole.abs_diff(sample) * 100 < whole, "{whole} {sample}");
    }

    #[test]
    fn the_bound_is_never_below_the_count() {
        for content in ["hi", "\u{d55c}\u{ad6d}\u{c5b4}", "\\ud83d\\ude00", "a b c d e f g"] {
            let body = format!(
                "{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}]}}"
            );
            let peek = look(&body);
            let bound = upper_bound_input_tokens(&peek);
            let estimate = estimate_prompt(Endpoint::ChatCompletions, &peek, body.as_bytes());
            assert!(bound.complete && bound.tokens >= estimate && estimate > 7, "{content}");
        }
    }

    #[test]
    fn what_no_body_shows_makes_the_bound_incomplete() {
        for extra in [
            r#""previous_response_id":"resp_1""#,
            r#""conversation":"conv_1""#,
            r#""prompt":{"id":"pmpt_1"}"#,
            r#""tools":[{"type":"web_search"}]"#,
            r#""web_search_options":{}"#,
            r#""input":[{"type":"item_reference","id":"x"}]"#,
            r#""input":[{"content":[{"type":"input_file","file_id":"f"}]}]"#,
            r#""input":[{"content":[{"\u0074ype":"input_file","\u0066ile_id":"f"}]}]"#,
            r#""plugins":[{"id":"web"}]"#,
        ] {
            let body = format!("{{\"model\":\"m\",\"messages\":[],{extra}}}");
            assert!(!upper_bound_input_tokens(&look(&body)).complete, "{extra}");
        }
    }

    #[test]
    fn pictures_count_by_the_piece_and_not_by_their_bytes() {
        let data = "A".repeat(400_000);
        let picture = |url: &str| {
            format!(
                "{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":[\
                 {{\"type\":\"image_url\",\"image_url\":{{\"url\":\"{url}\"}}}}]}}]}}"
            )
        };
        let inline = look(&picture(&format!("data:image/png;base64,{data}")));
        assert_eq!(inline.input.images, 1);
        assert!(upper_bound_input_tokens(&inline).tokens < 13_000);
        let remote = look(&picture("https://example.com/a.png"));
        assert_eq!((remote.input.images, remote.input.remote_media), (1, 1));
    }

    #[test]
    fn text_cannot_hide_in_a_member_that_looks_like_a_picture() {
        let data = "A".repeat(100_000);
        let body = format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\",\
             \"url\":\"data:image/png;base64,{data}\"}}]}}"
        );
        assert!(upper_bound_input_tokens(&look(&body)).tokens > 100_000);
    }
}
