//! Reads a `usageMetadata` object of the Gemini form onto our scale.
//!
//! Thoughts are outside of the candidates' count and are output; what server tools fed in is
//! outside of the prompt's count and is input. A count that is absent is none. The details by
//! modality are never a total: an entry may lack its count, and they need not add up, so what they
//! do not name is text.

use tollgate_domain::usage::Usage;

use crate::facts::AnswerFacts;
use crate::figures;
use crate::json::Text;
use crate::json::lenient::Pull;

use super::tier;

/// Figures as they are stated.
#[derive(Debug, Default)]
struct Stated {
    prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    tool_prompt: Option<u64>,
    total: Option<u64>,
    input_by: Modalities,
    cached_by: Modalities,
    output_by: Modalities,
    odd: bool,
}

/// Tokens by modality; what is neither of these is billed as text.
#[derive(Clone, Copy, Debug, Default)]
struct Modalities {
    audio: u64,
    image: u64,
    video: u64,
}

impl Modalities {
    /// Reads a list of details, or the one that newer embeddings have, on top of what there is.
    fn read(&mut self, pull: &mut Pull<'_>, odd: &mut bool) {
        if pull.next_byte() == Some(b'[') {
            pull.array(|pull| self.detail(pull, odd));
        } else {
            self.detail(pull, odd);
        }
    }

    fn detail(&mut self, pull: &mut Pull<'_>, odd: &mut bool) {
        let (mut modality, mut tokens) = (None, None);
        pull.object(|pull, key| match key {
            b"modality" => modality = pull.string_or_skip(),
            b"tokenCount" => tokens = figures::count(pull, odd),
            _ => {
                pull.skip();
            }
        });
        let slot = match modality.map(|modality| modality.raw) {
            Some(b"AUDIO") => &mut self.audio,
            Some(b"IMAGE") => &mut self.image,
            Some(b"VIDEO") => &mut self.video,
            _ => return,
        };
        *slot = slot.saturating_add(tokens.unwrap_or(0));
    }

    /// The same within a whole; says whether it had to be brought back to it.
    fn within(self, whole: u64) -> (Self, bool) {
        let audio = self.audio.min(whole);
        let image = self.image.min(whole - audio);
        let video = self.video.min(whole - audio - image);
        let clamped = (audio, image, video) != (self.audio, self.image, self.video);
        (Self { audio, image, video }, clamped)
    }
}

/// Reads the usage that comes next and puts it into `facts`, in the place of what was there: the
/// figures of a stream are cumulative. `generates` says whether there can be an output.
pub(super) fn read(pull: &mut Pull<'_>, generates: bool, facts: &mut AnswerFacts) {
    let mut stated = Stated::default();
    let mut served = None;
    pull.object(|pull, key| match key {
        b"serviceTier" | b"trafficType" => {
            served = pull.string_or_skip().and_then(Text::decode).or_else(|| served.take());
        }
        _ => stated.member(key, pull),
    });
    if let Some(word) = served.filter(|word| !word.ends_with("_UNSPECIFIED")) {
        facts.service_tier = Some(tier(&word));
    }
    if let Some((usage, odd)) = stated.settle(generates) {
        facts.usage = Some(usage);
        facts.anomaly = odd;
    }
}

impl Stated {
    fn member(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        let odd = &mut self.odd;
        match key {
            b"promptTokenCount" => self.prompt = figures::count(pull, odd),
            b"cachedContentTokenCount" => self.cached = figures::count(pull, odd),
            b"candidatesTokenCount" => self.candidates = figures::count(pull, odd),
            b"thoughtsTokenCount" => self.thoughts = figures::count(pull, odd),
            b"toolUsePromptTokenCount" => self.tool_prompt = figures::count(pull, odd),
            b"totalTokenCount" => self.total = figures::count(pull, odd),
            // Embeddings spell it in the singular.
            b"promptTokensDetails" | b"promptTokenDetails" | b"toolUsePromptTokensDetails" => {
                self.input_by.read(pull, odd);
            }
            b"cacheTokensDetails" => self.cached_by.read(pull, odd),
            b"candidatesTokensDetails" => self.output_by.read(pull, odd),
            _ => {
                pull.skip();
            }
        }
    }

    fn settle(&self, generates: bool) -> Option<(Usage, bool)> {
        let prompt = self.prompt.or_else(|| self.total.filter(|_| !generates))?;
        let tool_input = self.tool_prompt.unwrap_or(0);
        let input = prompt.saturating_add(tool_input);
        let reasoning = self.thoughts.unwrap_or(0);
        let stated = self.candidates.unwrap_or(0).saturating_add(reasoning);
        // Total and sum have agreed in every recorded answer; where they one day do not, what is
        // beyond the parts is billed at the dearer rate.
        let sum = input.saturating_add(stated);
        let beyond = self.total.map_or(0, |total| total.saturating_sub(sum));
        let output = stated.saturating_add(beyond);
        let cache_read = self.cached.unwrap_or(0);
        let (inputs, odd_inputs) = self.input_by.within(input);
        let (cached, odd_cached) = self.cached_by.within(cache_read);
        let (outputs, odd_outputs) = self.output_by.within(output);
        let mut usage = Usage {
            cache_read,
            tool_input,
            input_audio: inputs.audio,
            input_image: inputs.image,
            input_video: inputs.video,
            cache_read_audio: cached.audio,
            cache_read_image: cached.image,
            cache_read_video: cached.video,
            reasoning,
            output_audio: outputs.audio,
            output_image: outputs.image,
            output_video: outputs.video,
            ..Usage::tokens(input, output)
        };
        let differs = self.total.is_some_and(|total| total != sum);
        let clamped = usage.clamp_parts();
        let contradicts = odd_inputs || odd_cached || odd_outputs || clamped || differs;
        Some((usage, contradicts || self.odd))
    }
}
