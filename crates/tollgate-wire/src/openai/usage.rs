//! Reads a `usage` object of the OpenAI form, in any vendor's variant, onto our scale.
//!
//! Unknown members are passed over. A figure that is no count (negative, not a number) counts as
//! not stated and marks the usage as odd. What is not stated at all stays unknown (PRICE-1).

use tollgate_domain::money::{NanoUsd, parse_scaled};
use tollgate_domain::usage::Usage;

use crate::facts::AnswerFacts;
use crate::figures::{self, money, number};
use crate::json::lenient::Pull;

use super::vendor::UsageRules;

/// Figures as they are stated.
#[derive(Debug, Default)]
struct Stated {
    parts: Usage,
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    /// Cached tokens outside the details: only where the details have none.
    flat_cached: Option<u64>,
    detailed_cached: Option<u64>,
    cost: Option<NanoUsd>,
    upstream_cost: Option<NanoUsd>,
    own_key: bool,
    odd: bool,
}

/// Reads the usage that comes next and puts it into `facts`, replacing what was there: figures in a
/// stream are cumulative, so the last word counts and nothing is summed.
///
/// `generates` says whether an output that is not stated is unknown, or none.
pub(super) fn read(
    pull: &mut Pull<'_>,
    rules: UsageRules,
    generates: bool,
    facts: &mut AnswerFacts,
) -> bool {
    if !pull.enter_object() {
        pull.skip();
        return false;
    }
    let mut stated = Stated::default();
    while let Some(key) = pull.next_key() {
        stated.member(key, pull);
    }
    let Some((usage, odd)) = stated.settle(rules, generates) else {
        return false;
    };
    facts.usage = Some(usage);
    facts.anomaly = odd;
    if rules.states_cost {
        facts.provider_cost = stated.charged();
    }
    true
}

impl Stated {
    fn member(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        match key {
            b"prompt_tokens" | b"input_tokens" => self.input = self.count(pull),
            b"completion_tokens" | b"output_tokens" => self.output = self.count(pull),
            b"total_tokens" => self.total = self.count(pull),
            b"prompt_tokens_details" | b"input_tokens_details" | b"input_token_details" => {
                self.details(pull, Self::input_detail);
            }
            b"completion_tokens_details" | b"output_tokens_details" | b"output_token_details" => {
                self.details(pull, Self::output_detail);
            }
            // Mistral's `num_cached_tokens` is left out on purpose: it was never discounted.
            b"cached_tokens" | b"prompt_cache_hit_tokens" | b"cached_prompt_text_tokens" => {
                self.flat_cached = self.count(pull);
            }
            b"reasoning_tokens" => self.parts.reasoning = self.count(pull).unwrap_or(0),
            b"citation_tokens" => self.parts.output_citation = self.count(pull).unwrap_or(0),
            b"num_search_queries" => self.parts.web_searches = self.count(pull).unwrap_or(0),
            b"server_tool_use_details" | b"server_tool_use" => {
                self.details(pull, Self::tool_detail);
            }
            b"cost" => self.cost(pull),
            b"cost_in_usd_ticks" => self.ticks(pull),
            b"cost_details" => self.details(pull, Self::cost_detail),
            b"is_byok" => self.own_key = pull.skip() == Some(b"true"),
            _ => {
                pull.skip();
            }
        }
    }

    /// Reads an object of parts. `null` and absent mean zero.
    fn details(&mut self, pull: &mut Pull<'_>, each: fn(&mut Self, &[u8], &mut Pull<'_>)) {
        if !pull.enter_object() {
            pull.skip();
            return;
        }
        while let Some(key) = pull.next_key() {
            each(self, key, pull);
        }
    }

    fn input_detail(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        match key {
            b"cached_tokens" => self.detailed_cached = self.count(pull),
            b"cache_write_tokens" => self.parts.cache_write = self.count(pull).unwrap_or(0),
            b"audio_tokens" => self.parts.input_audio = self.count(pull).unwrap_or(0),
            b"text_tokens" => self.parts.input_text = self.count(pull).unwrap_or(0),
            b"image_tokens" => self.parts.input_image = self.count(pull).unwrap_or(0),
            b"video_tokens" => self.parts.input_video = self.count(pull).unwrap_or(0),
            b"cache_write_tokens_details" => self.details(pull, Self::write_detail),
            b"cached_tokens_details" => self.details(pull, Self::cached_detail),
            _ => {
                pull.skip();
            }
        }
    }

    fn write_detail(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        match key {
            b"ttl_30m_tokens" => self.parts.cache_write_5m = self.count(pull).unwrap_or(0),
            b"ttl_12h_tokens" => self.parts.cache_write_1h = self.count(pull).unwrap_or(0),
            _ => {
                pull.skip();
            }
        }
    }

    fn cached_detail(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        let count = self.count(pull).unwrap_or(0);
        match key {
            b"text_tokens" => self.parts.cache_read_text = count,
            b"audio_tokens" => self.parts.cache_read_audio = count,
            b"image_tokens" => self.parts.cache_read_image = count,
            b"video_tokens" => self.parts.cache_read_video = count,
            _ => {}
        }
    }

    fn output_detail(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        match key {
            b"reasoning_tokens" => self.parts.reasoning = self.count(pull).unwrap_or(0),
            b"audio_tokens" => self.parts.output_audio = self.count(pull).unwrap_or(0),
            b"text_tokens" => self.parts.output_text = self.count(pull).unwrap_or(0),
            b"image_tokens" => self.parts.output_image = self.count(pull).unwrap_or(0),
            _ => {
                pull.skip();
            }
        }
    }

    fn tool_detail(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        match key {
            b"web_search_requests" => self.parts.web_searches = self.count(pull).unwrap_or(0),
            _ => {
                pull.skip();
            }
        }
    }

    fn cost_detail(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        let value = pull.skip();
        if key == b"upstream_inference_cost" {
            self.upstream_cost = value.and_then(money);
        }
    }

    /// A number (OpenRouter), or an object with a total (Perplexity).
    fn cost(&mut self, pull: &mut Pull<'_>) {
        if !pull.enter_object() {
            self.cost = pull.skip().and_then(money);
            return;
        }
        while let Some(key) = pull.next_key() {
            let value = pull.skip();
            if key == b"total_cost" {
                self.cost = value.and_then(money);
            }
        }
    }

    /// Ticks of 10^-10 USD (xAI).
    fn ticks(&mut self, pull: &mut Pull<'_>) {
        let Some(text) = pull.skip().and_then(number) else {
            return;
        };
        let nanos = parse_scaled(&format!("{text}e-1"), 0).and_then(|n| i64::try_from(n).ok());
        self.cost = nanos.filter(|n| *n >= 0).map(NanoUsd::from_nanos);
    }

    fn count(&mut self, pull: &mut Pull<'_>) -> Option<u64> {
        figures::count(pull, &mut self.odd)
    }

    fn settle(&self, rules: UsageRules, generates: bool) -> Option<(Usage, bool)> {
        let mut usage = self.parts;
        let (input, output) = match (self.input, self.output, self.total) {
            (Some(input), Some(output), _) => (input, output),
            (Some(input), None, Some(total)) => (input, total.saturating_sub(input)),
            (None, Some(output), Some(total)) => (total.saturating_sub(output), output),
            (Some(input), None, None) if !generates => (input, 0),
            (None, None, Some(total)) if !generates => (total, 0),
            _ => return None,
        };
        let sum = input.saturating_add(output);
        let beyond = self.total.map_or(0, |total| total.saturating_sub(sum));
        usage.input = input;
        usage.output = output;
        usage.cache_read = self.detailed_cached.or(self.flat_cached).unwrap_or(0);
        // A vendor that one day counts reasoning inside says so by its total.
        if rules.reasoning_outside && self.total != Some(sum) {
            usage.output = output.saturating_add(usage.reasoning);
        } else if rules.citations_outside {
            let outside = usage.reasoning.saturating_add(usage.output_citation);
            usage.output = output.saturating_add(outside);
        } else if rules.thinking_in_total && beyond > 0 {
            usage.reasoning = usage.reasoning.max(beyond);
            usage.output = output.saturating_add(beyond);
        }
        let total_differs = self.total.is_some_and(|total| total != usage.total() && total != sum);
        let clamped = usage.clamp_parts();
        Some((usage, clamped || total_differs || self.odd))
    }

    /// With the caller's own key at the vendor, the money is what that key is charged.
    fn charged(&self) -> Option<NanoUsd> {
        match (self.cost, self.upstream_cost) {
            (Some(fee), Some(upstream)) if self.own_key => Some(fee + upstream),
            (cost, _) => cost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::vendor::vendor;

    fn read_as(name: &str, json: &str) -> AnswerFacts {
        let mut facts = AnswerFacts::default();
        read(&mut Pull::new(json.as_bytes()), vendor(name, "").usage, true, &mut facts);
        facts
    }

    #[test]
    fn details_that_are_null_or_absent_are_zeros() {
        let json = r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,
            "prompt_tokens_details":null,"completion_tokens_details":null,"extra":{"a":[1]}}"#;
        let facts = read_as("openai", json);
        assert_eq!((facts.usage, facts.anomaly), (Some(Usage::tokens(3, 4)), false));
    }

    #[test]
    fn cached_and_written_tokens_are_disjoint_parts_of_the_prompt() {
        let json = r#"{"input_tokens":4020,"output_tokens":4,"total_tokens":4024,
            "input_tokens_details":{"cached_tokens":0,"cache_write_tokens":4012,
            "cache_write_tokens_details":{"ttl_30m_tokens":4000,"ttl_12h_tokens":12}}}"#;
        let usage = read_as("openai", json).usage.unwrap();
        assert_eq!((usage.input, usage.cache_write), (4020, 4012));
        assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (4000, 12));
    }

    #[test]
    fn counts_as_floats_or_text_are_read_and_nonsense_is_not_stated() {
        for (count, read) in [
            ("25.0", Some(25)),
            ("\"25\"", Some(25)),
            ("2.5e1", Some(25)),
            ("25", Some(25)),
            ("-25", None),
            ("\"many\"", None),
            ("true", None),
            ("{}", None),
            ("null", None),
            ("1e30", None),
            ("99999999999999999999999999", None),
        ] {
            let json = format!("{{\"prompt_tokens\":{count},\"completion_tokens\":1}}");
            let facts = read_as("openai", &json);
            assert_eq!(facts.usage.map(|usage| usage.input), read, "{count}");
        }
    }

    #[test]
    fn an_output_that_is_not_stated_is_unknown_and_not_zero() {
        assert_eq!(read_as("openai", r#"{"prompt_tokens":3}"#).usage, None);
        assert_eq!(read_as("openai", "{}").usage, None);
        let from_total = read_as("openai", r#"{"prompt_tokens":3,"total_tokens":5}"#);
        assert_eq!(from_total.usage, Some(Usage::tokens(3, 2)));
    }

    #[test]
    fn xai_counts_reasoning_outside_of_the_completion() {
        let json = r#"{"prompt_tokens":213,"completion_tokens":3,"total_tokens":252,
            "prompt_tokens_details":{"cached_tokens":128},
            "completion_tokens_details":{"reasoning_tokens":36},"cost_in_usd_ticks":4680000}"#;
        let facts = read_as("xai", json);
        let usage = facts.usage.unwrap();
        assert_eq!((usage.output, usage.reasoning, usage.cache_read), (39, 36, 128));
        assert_eq!(facts.provider_cost.unwrap().to_string(), "0.000468000");
        assert!(!facts.anomaly);
        let inside = r#"{"prompt_tokens":10,"completion_tokens":39,"total_tokens":49,
            "completion_tokens_details":{"reasoning_tokens":36}}"#;
        assert_eq!(read_as("xai", inside).usage.unwrap().output, 39);
    }

    #[test]
    fn xai_cached_tokens_beyond_the_prompt_are_clamped_and_marked() {
        let json = r#"{"prompt_tokens":3472,"completion_tokens":3,"total_tokens":3475,
            "prompt_tokens_details":{"cached_tokens":4632}}"#;
        let facts = read_as("xai", json);
        assert_eq!(facts.usage.unwrap().cache_read, 3472);
        assert!(facts.anomaly);
    }

    #[test]
    fn gemini_behind_the_openai_form_hides_thinking_in_the_total() {
        let json = r#"{"prompt_tokens":35,"completion_tokens":12,"total_tokens":109}"#;
        let usage = read_as("gemini", json).usage.unwrap();
        assert_eq!((usage.output, usage.reasoning), (74, 62));
        assert!(read_as("openai", json).anomaly);
    }

    #[test]
    fn mistral_engine_cache_counts_are_not_discounted() {
        let json = r#"{"prompt_tokens":70,"completion_tokens":12,"total_tokens":82,
            "num_cached_tokens":69}"#;
        assert_eq!(read_as("mistral", json).usage, Some(Usage::tokens(70, 12)));
    }

    #[test]
    fn together_and_deepseek_cached_tokens_outside_the_details_count() {
        for flat in ["cached_tokens", "prompt_cache_hit_tokens"] {
            let json = format!(
                "{{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10,\"{flat}\":4}}"
            );
            assert_eq!(read_as("together", &json).usage.unwrap().cache_read, 4);
        }
    }

    #[test]
    fn openrouter_with_the_callers_own_key_costs_what_that_key_is_charged() {
        let json = r#"{"prompt_tokens":326,"completion_tokens":91,"total_tokens":417,"cost":0,
            "is_byok":true,"cost_details":{"upstream_inference_cost":0.0003253}}"#;
        assert_eq!(read_as("openrouter", json).provider_cost.unwrap().to_string(), "0.000325300");
        let own = r#"{"prompt_tokens":1,"completion_tokens":1,"cost":6e-05,
            "cost_details":{"upstream_inference_cost":0.5}}"#;
        assert_eq!(read_as("openrouter", own).provider_cost.unwrap().to_string(), "0.000060000");
        assert_eq!(read_as("openai", own).provider_cost, None);
    }

    #[test]
    fn perplexity_cites_and_reasons_outside_of_the_completion_and_states_its_cost() {
        let json = r#"{"prompt_tokens":10,"completion_tokens":100,"total_tokens":110,
            "citation_tokens":10,"reasoning_tokens":25,"num_search_queries":3,
            "cost":{"input_tokens_cost":0.1,"total_cost":0.25}}"#;
        let facts = read_as("perplexity", json);
        let usage = facts.usage.unwrap();
        assert_eq!((usage.output, usage.output_citation, usage.web_searches), (135, 10, 3));
        assert_eq!(facts.provider_cost.unwrap().to_string(), "0.250000000");
        assert!(!facts.anomaly);
    }
}
