//! What a call consumed, on one scale for all providers.
//!
//! `input` and `output` are totals; every other count is a part of one of them (rule 1 of the wire
//! reference: some providers state totals, some state remainders; the readers in `tollgate-wire`
//! bring both to this scale).

use serde::{Deserialize, Serialize};

/// Counts of one answer. A part that a provider does not state is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Every input token: plain, read from a cache, written to a cache, fed in by server tools.
    pub input: u64,
    /// Part of `input` that was read from the provider's cache.
    pub cache_read: u64,
    /// Part of `input` that was written to the provider's cache, whatever its lifetime.
    pub cache_write: u64,
    /// Part of `cache_write` that is kept for five (Anthropic) or thirty (OpenAI) minutes.
    pub cache_write_5m: u64,
    /// Part of `cache_write` that is kept for an hour or longer.
    pub cache_write_1h: u64,
    /// Part of `input` that server-side tools fed in.
    pub tool_input: u64,
    /// Part of `input` that is text, where the provider says so.
    pub input_text: u64,
    /// Part of `input` that is audio.
    pub input_audio: u64,
    /// Part of `input` that is images.
    pub input_image: u64,
    /// Part of `input` that is video.
    pub input_video: u64,
    /// Part of `cache_read` that is text.
    pub cache_read_text: u64,
    /// Part of `cache_read` that is audio.
    pub cache_read_audio: u64,
    /// Part of `cache_read` that is images.
    pub cache_read_image: u64,
    /// Part of `cache_read` that is video.
    pub cache_read_video: u64,
    /// Every output token, reasoning included.
    pub output: u64,
    /// Part of `output` that is reasoning (thinking).
    pub reasoning: u64,
    /// Part of `output` that is text, where the provider says so.
    pub output_text: u64,
    /// Part of `output` that is audio.
    pub output_audio: u64,
    /// Part of `output` that is images.
    pub output_image: u64,
    /// Part of `output` that is video.
    pub output_video: u64,
    /// Part of `output` that cites sources at a rate of its own.
    pub output_citation: u64,
    /// Searches of the web that a server tool made.
    pub web_searches: u64,
    /// Searches of files that a server tool made.
    pub file_searches: u64,
    /// Seconds of audio that were transcribed or spoken.
    pub audio_seconds: u64,
    /// Characters that were spoken.
    pub characters: u64,
    /// Pages of documents that were read (OCR).
    pub pages: u64,
    /// Part of `pages` that was annotated.
    pub annotated_pages: u64,
    /// Text messages sent into a voice session that bills each of them.
    pub messages: u64,
}

impl Usage {
    /// Plain text in and out.
    pub fn tokens(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// All tokens, in and out.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Brings parts that exceed their whole back to it and says whether any did.
    ///
    /// Providers do state such figures (a cache read of 4 632 in a prompt of 3 472 has been
    /// recorded); the charge must not turn negative for it.
    pub fn clamp_parts(&mut self) -> bool {
        let before = *self;
        self.cache_read = self.cache_read.min(self.input);
        self.cache_write = self.cache_write.min(self.input - self.cache_read);
        self.cache_write_1h = self.cache_write_1h.min(self.cache_write);
        self.cache_write_5m = self.cache_write_5m.min(self.cache_write - self.cache_write_1h);
        self.tool_input = self.tool_input.min(self.input);
        for part in [
            &mut self.input_text,
            &mut self.input_audio,
            &mut self.input_image,
            &mut self.input_video,
        ] {
            *part = (*part).min(self.input);
        }
        for part in [
            &mut self.cache_read_text,
            &mut self.cache_read_audio,
            &mut self.cache_read_image,
            &mut self.cache_read_video,
        ] {
            *part = (*part).min(self.cache_read);
        }
        for part in [
            &mut self.reasoning,
            &mut self.output_text,
            &mut self.output_audio,
            &mut self.output_image,
            &mut self.output_video,
            &mut self.output_citation,
        ] {
            *part = (*part).min(self.output);
        }
        self.annotated_pages = self.annotated_pages.min(self.pages);
        *self != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_larger_than_their_whole_are_brought_back_and_reported() {
        let mut usage =
            Usage { input: 3_472, cache_read: 4_632, cache_write: 5, ..Usage::tokens(0, 1) };
        assert!(usage.clamp_parts());
        assert_eq!((usage.cache_read, usage.cache_write), (3_472, 0));
        assert!(!usage.clamp_parts());
    }
}
