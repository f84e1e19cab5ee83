//! Sound in and out: transcriptions, whose request is a form with a file, and speech, whose answer
//! is mostly sound and nothing else.
//!
//! What the provider states counts: tokens, or seconds. Where it states nothing there is an estimate
//! and never a zero (PRICE-1):
//! - speech is billed by the characters of its input, which the request tells exactly, or by tokens:
//!   then the text is counted and the sound is estimated from how long it takes to say it;
//! - a transcription as text or subtitles tells no length: that of a WAV file is in its head, that
//!   of other files follows from their bytes at a low bit rate, so that it errs towards more.
//!
//! An estimate holds seconds and tokens at once: a price takes those that it is for.

use tollgate_domain::money::parse_scaled;
use tollgate_domain::usage::Usage;

use super::usage;
use super::vendor::UsageRules;
use crate::facts::AnswerFacts;
use crate::figures;
use crate::json::Text;
use crate::json::lenient::Pull;

/// Tokens of a second of sound that is heard.
const HEARD: u64 = 10;
/// Tokens of a minute of sound that is spoken (OpenAI states $0.015 a minute at $12 a million).
const SPOKEN_A_MINUTE: u64 = 1_250;
/// Characters of text that are spoken in a minute: letters, and syllables of Hangul or ideographs.
const LETTERS_A_MINUTE: u64 = 900;
const SYLLABLES_A_MINUTE: u64 = 250;
/// Bytes of a second of sound: 32 kbit/s, below what recorders use for speech.
const USUAL_BYTES: u64 = 4_000;
/// The same at the lowest rate that is taken (6 kbit/s Opus).
const LEAST_BYTES: u64 = 750;

/// How long a file of sound is, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// What to charge where the provider does not say.
    pub likely: u64,
    /// What it can be at most, for the reservation.
    pub at_most: u64,
}

/// The length of a file, by its head where that tells, else by its bytes.
pub fn length(file: &[u8]) -> Length {
    let bytes = u64::try_from(file.len()).unwrap_or(u64::MAX);
    match wav_rate(file) {
        // The head is the client's word: the least of what uncompressed sound takes bounds it.
        Some(rate) => {
            let seconds = bytes.div_ceil(rate);
            Length { likely: seconds, at_most: seconds }
        }
        None => {
            Length { likely: bytes.div_ceil(USUAL_BYTES), at_most: bytes.div_ceil(LEAST_BYTES) }
        }
    }
}

/// Bytes a second of a WAV file with uncompressed sound.
fn wav_rate(file: &[u8]) -> Option<u64> {
    let head = file.get(..36)?;
    let (riff, rest) = head.split_first_chunk::<4>()?;
    let rest = rest.get(4..)?;
    let (kind, rest) = rest.split_first_chunk::<8>()?;
    // Length of the block, then: coding, channels, samples a second, bytes a second.
    let (coding, rest) = rest.get(4..)?.split_first_chunk::<2>()?;
    let (rate, _) = rest.get(6..)?.split_first_chunk::<4>()?;
    let plain =
        riff == b"RIFF" && kind == b"WAVEfmt " && matches!(u16::from_le_bytes(*coding), 1 | 3);
    // 8 bits at 4 kHz are the least that anybody records.
    let rate = u64::from(u32::from_le_bytes(*rate));
    (plain && rate <= 4_000_000).then_some(rate).filter(|rate| *rate >= 4_000)
}

/// What a transcription consumed whose answer states nothing: `output` are the tokens of its text.
pub fn transcription_usage(seconds: u64, output: u64) -> Usage {
    let heard = seconds.saturating_mul(HEARD);
    Usage { audio_seconds: seconds, input_audio: heard, ..Usage::tokens(heard, output) }
}

/// What speech consumed whose answer is only sound: `input` are the tokens of the text.
pub fn speech_usage(text: &str, input: u64) -> Usage {
    let (mut letters, mut syllables) = (0u64, 0u64);
    for c in text.chars() {
        if c >= '\u{1100}' { syllables += 1 } else { letters += 1 }
    }
    let spoken =
        |count: u64, a_minute: u64| count.saturating_mul(SPOKEN_A_MINUTE).div_ceil(a_minute);
    let output = spoken(letters, LETTERS_A_MINUTE) + spoken(syllables, SYLLABLES_A_MINUTE);
    Usage {
        characters: letters + syllables,
        output_audio: output,
        audio_seconds: output.saturating_mul(60).div_ceil(SPOKEN_A_MINUTE),
        ..Usage::tokens(input, output)
    }
}

/// What speech consumes at most: a text has no more tokens than bytes, and voices may be slow.
pub fn speech_most(text: &str) -> Usage {
    let input = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let output = speech_most_tokens(text);
    let usage = speech_usage(text, input);
    let audio_seconds = usage.audio_seconds.saturating_mul(4);
    Usage { output, output_audio: output, audio_seconds, ..usage }
}

/// The most tokens of sound that a text makes: four times the estimate, for slow voices.
pub(super) fn speech_most_tokens(text: &str) -> u64 {
    speech_usage(text, 0).output.saturating_mul(4)
}

/// The text that a request for speech wants spoken.
pub fn speech_input(body: &[u8]) -> String {
    let mut text = String::new();
    let mut pull = Pull::new(body);
    if pull.enter_object() {
        while let Some(key) = pull.next_key() {
            let value = pull.string_or_skip();
            if key == b"input" {
                text = value.map(Text::decode_lossy).unwrap_or_default();
            }
        }
    }
    text
}

/// Whether a request for speech wants events instead of plain sound.
pub fn speech_streams_events(body: &[u8]) -> bool {
    let mut events = false;
    let mut pull = Pull::new(body);
    if pull.enter_object() {
        while let Some(key) = pull.next_key() {
            let value = pull.string_or_skip();
            if key == b"stream_format" {
                events = value.is_some_and(|value| value.raw == b"sse");
            }
        }
    }
    events
}

/// The facts of a whole transcription, in whatever form: JSON states its usage, the other forms are
/// plain text and state nothing.
pub(super) fn read_transcription(rules: UsageRules, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut pull = Pull::new(body);
    if !pull.enter_object() {
        facts.cut = body.is_empty();
        return facts;
    }
    let mut seconds = None;
    while let Some(key) = pull.next_key() {
        match key {
            b"usage" => read_usage(&mut pull, rules, &mut facts),
            b"duration" => seconds = pull.skip().and_then(whole_seconds),
            _ => super::answer::member(key, &mut pull, rules, true, &mut facts),
        }
    }
    if let (None, Some(seconds)) = (facts.usage, seconds) {
        facts.usage = Some(Usage { audio_seconds: seconds, ..Usage::default() });
    }
    facts.cut = !pull.ended_well();
    facts
}

/// Reads a usage that is either `{type:"tokens",…}` or `{type:"duration",seconds}`.
pub(super) fn read_usage(pull: &mut Pull<'_>, rules: UsageRules, facts: &mut AnswerFacts) {
    let mut ahead = pull.clone();
    if usage::read(pull, rules, true, facts) || !ahead.enter_object() {
        return;
    }
    while let Some(key) = ahead.next_key() {
        let value = ahead.skip();
        if key == b"seconds"
            && let Some(seconds) = value.and_then(whole_seconds)
        {
            facts.usage = Some(Usage { audio_seconds: seconds, ..Usage::default() });
        }
    }
}

/// Seconds, rounded up: a part of one is billed as one.
fn whole_seconds(raw: &[u8]) -> Option<u64> {
    let milli = parse_scaled(figures::number(raw)?, 3)?;
    u64::try_from(milli).ok().map(|milli| milli.div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::vendor::UNKNOWN;

    fn read(body: &str) -> AnswerFacts {
        read_transcription(UNKNOWN.usage, body.as_bytes())
    }

    #[test]
    fn a_transcription_states_tokens_or_seconds() {
        let tokens = r#"{"text":"hi","usage":{"type":"tokens","input_tokens":14,"input_token_details":
            {"text_tokens":0,"audio_tokens":14},"output_tokens":45,"total_tokens":59}}"#;
        let expected = Usage { input_audio: 14, ..Usage::tokens(14, 45) };
        assert_eq!(read(tokens).usage, Some(expected));
        let seconds = |n| Some(Usage { audio_seconds: n, ..Usage::default() });
        let duration = r#"{"text":"hi","usage":{"type":"duration","seconds":9}}"#;
        assert_eq!(read(duration).usage, seconds(9));
        assert_eq!(read(r#"{"duration":8.470000267,"text":"hi"}"#).usage, seconds(9));
        let both = r#"{"duration":8.4,"usage":{"type":"duration","seconds":9}}"#;
        assert_eq!(read(both).usage, seconds(9));
    }

    #[test]
    fn text_and_subtitles_state_nothing_and_are_no_error() {
        for body in ["hello", "1\n00:00:00,000 --> 00:00:08,470\nhello\n", "WEBVTT\n"] {
            let facts = read(body);
            assert_eq!((facts.usage, facts.cut), (None, false), "{body}");
        }
        assert!(read("").cut && read("{\"text\":\"a").cut);
    }

    #[test]
    fn the_length_of_a_file_is_read_or_estimated_and_never_zero() {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend_from_slice(&16_000u32.to_le_bytes());
        wav.extend_from_slice(&32_000u32.to_le_bytes());
        wav.extend_from_slice(&[2, 0, 16, 0]);
        wav.resize(320_000, 0);
        assert_eq!(length(&wav), Length { likely: 10, at_most: 10 });
        wav[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(length(&wav).likely, 80, "a rate that nobody records is not believed");
        assert_eq!(length(&vec![0xff; 40_000]), Length { likely: 10, at_most: 54 });
        assert_eq!(length(&[1]), Length { likely: 1, at_most: 1 });
        assert_eq!(length(b""), Length::default());
        let usage = transcription_usage(10, 7);
        assert_eq!((usage.audio_seconds, usage.input_audio, usage.output), (10, 100, 7));
    }

    #[test]
    fn speech_is_estimated_from_its_characters() {
        let usage = speech_usage(&"a".repeat(900), 200);
        assert_eq!((usage.characters, usage.input, usage.output), (900, 200, 1_250));
        assert_eq!((usage.output_audio, usage.audio_seconds), (1_250, 60));
        let korean = speech_usage(&"\u{ac00}".repeat(250), 100);
        assert_eq!((korean.characters, korean.output), (250, 1_250));
        assert_eq!(speech_usage("", 0), Usage::default());
    }

    #[test]
    fn a_request_for_speech_tells_its_text_and_its_form() {
        let body = r#"{"model":"tts-1","input":"a tea\u00e9 \"x\"","stream_format":"sse"}"#;
        assert_eq!(speech_input(body.as_bytes()), "a tea\u{e9} \"x\"");
        assert!(speech_streams_events(body.as_bytes()));
        assert!(!speech_streams_events(br#"{"input":"sse","stream_format":"audio"}"#));
    }
}
