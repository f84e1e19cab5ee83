//! Pictures and sound: what they take at most, and what is charged where the provider states nothing.
//! Their measure is not text, so the counts of text do not serve.

use tollgate_domain::usage::Usage;
use tollgate_wire::count::count_tokens;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::openai::{audio, images};

use crate::read::Asked;

/// What a request for pictures or sound takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// At most.
    pub most: Usage,
    /// What is charged where the provider states nothing.
    pub likely: Usage,
}

impl Media {
    /// What this request takes; `None` where it is about text.
    pub fn of(endpoint: Endpoint, asked: &Asked) -> Option<Self> {
        let peek = &asked.peek;
        match endpoint {
            Endpoint::Images => {
                let each = peek.max_output.unwrap_or_else(|| images::most_tokens(&asked.body));
                let output = each.saturating_mul(peek.choices.max(1));
                let with = |input| Usage { output, output_image: output, ..input };
                let most = with(images::most_input(&peek.input));
                Some(Self { most, likely: with(images::likely_input(&peek.input)) })
            }
            Endpoint::Speech => {
                let text = audio::speech_input(&asked.body);
                let likely = audio::speech_usage(&text, count_tokens(&peek.model, &text));
                let most = audio::speech_most(&text);
                Some(Self { most, likely })
            }
            Endpoint::Transcriptions => {
                let file = asked.file.and_then(|file| asked.body.get(file.start..file.end));
                let length = audio::length(file.unwrap_or(&asked.body));
                // Nobody says more than some four words a second.
                let said = |seconds: u64| seconds.saturating_mul(8);
                let usage = |seconds| audio::transcription_usage(seconds, said(seconds));
                Some(Self { most: usage(length.at_most), likely: usage(length.likely) })
            }
            _ => None,
        }
    }
}
