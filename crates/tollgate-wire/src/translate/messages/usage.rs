//! Usage: Anthropic states the input that no cache has seen, we state all of it.

use serde_json::{Value, json};
use tollgate_domain::usage::Usage;

use crate::translate::tree::Tree as _;

/// Figures as they are stated: what a later event states replaces the same figure only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stated {
    plain: u64,
    read: u64,
    written: u64,
    written_5m: u64,
    written_1h: u64,
    output: u64,
    thinking: u64,
    searches: u64,
}

impl Stated {
    /// Takes the figures of a usage object; says whether there were any.
    pub(super) fn take(&mut self, usage: Option<&Value>) -> bool {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return false };
        let figures = [
            ("/input_tokens", &mut self.plain),
            ("/cache_read_input_tokens", &mut self.read),
            ("/cache_creation_input_tokens", &mut self.written),
            ("/cache_creation/ephemeral_5m_input_tokens", &mut self.written_5m),
            ("/cache_creation/ephemeral_1h_input_tokens", &mut self.written_1h),
            ("/output_tokens", &mut self.output),
            ("/output_tokens_details/thinking_tokens", &mut self.thinking),
            ("/server_tool_use/web_search_requests", &mut self.searches),
        ];
        for (place, figure) in figures {
            if let Some(stated) = usage.pointer(place).and_then(Value::as_u64) {
                *figure = stated;
            }
        }
        true
    }

    /// The same on our scale.
    pub(super) fn usage(self) -> Usage {
        let mut usage = Usage {
            input: self.plain.saturating_add(self.read).saturating_add(self.written),
            cache_read: self.read,
            cache_write: self.written,
            cache_write_5m: self.written_5m,
            cache_write_1h: self.written_1h,
            output: self.output,
            reasoning: self.thinking,
            web_searches: self.searches,
            ..Usage::default()
        };
        usage.clamp_parts();
        usage
    }
}

/// A usage object; all zeros where nothing is known, for clients must find one.
pub(super) fn object(usage: Option<&Usage>) -> Value {
    let usage = usage.copied().unwrap_or_default();
    let cached = usage.cache_read.saturating_add(usage.cache_write);
    let mut object = json!({
        "input_tokens": usage.input.saturating_sub(cached),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    });
    if usage.reasoning > 0 {
        object.put("output_tokens_details", json!({"thinking_tokens": usage.reasoning}));
    }
    if usage.web_searches > 0 {
        object.put("server_tool_use", json!({"web_search_requests": usage.web_searches}));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_input_is_added_on_the_way_in_and_subtracted_on_the_way_out() {
        let stated = json!({"input_tokens": 2, "cache_read_input_tokens": 30,
            "cache_creation_input_tokens": 10, "output_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 0},
            "output_tokens_details": {"thinking_tokens": 3}});
        let mut read = Stated::default();
        assert!(read.take(Some(&stated)));
        let usage = read.usage();
        assert_eq!((usage.input, usage.cache_read, usage.cache_write), (42, 30, 10));
        assert_eq!((usage.output, usage.reasoning), (7, 3));
        let written = object(Some(&usage));
        for figure in ["input_tokens", "cache_read_input_tokens", "output_tokens"] {
            assert_eq!(written[figure], stated[figure], "{figure}");
        }
        assert_eq!(object(None)["input_tokens"], 0);
    }

    #[test]
    fn later_figures_replace_earlier_ones_and_what_is_not_repeated_stays() {
        let mut read = Stated::default();
        read.take(Some(&json!({"input_tokens": 2068, "output_tokens": 3,
            "cache_read_input_tokens": 55096})));
        read.take(Some(&json!({"input_tokens": 22397, "output_tokens": 60,
            "cache_read_input_tokens": 0})));
        assert_eq!(read.usage(), Usage::tokens(22_397, 60));
        assert!(!read.take(None) && !read.take(Some(&Value::Null)));
    }
}
