//! Usage: Gemini counts thoughts beside the answer and the results of its tools beside the prompt;
//! we count them in.

use serde_json::{Map, Value, json};
use tollgate_domain::usage::Usage;

use crate::translate::tree::Tree as _;

/// The usage that is stated, where one is.
pub(super) fn read(usage: &Value) -> Option<Usage> {
    let count = |name: &str| usage.of(name).as_u64();
    let prompt = count("promptTokenCount");
    // A chunk at the beginning may tell no more than how it is charged.
    prompt.or_else(|| count("totalTokenCount"))?;
    let part = |name: &str| count(name).unwrap_or(0);
    let (tools, thoughts) = (part("toolUsePromptTokenCount"), part("thoughtsTokenCount"));
    let mut read = Usage {
        input: prompt.unwrap_or(0).saturating_add(tools),
        cache_read: part("cachedContentTokenCount"),
        tool_input: tools,
        output: part("candidatesTokenCount").saturating_add(thoughts),
        reasoning: thoughts,
        ..Usage::default()
    };
    read.clamp_parts();
    Some(read)
}

/// A usage object.
pub(super) fn object(usage: &Usage) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, count: u64, always: bool| {
        if always || count > 0 {
            object.insert(name.to_owned(), json!(count));
        }
    };
    put("promptTokenCount", usage.input.saturating_sub(usage.tool_input), true);
    put("cachedContentTokenCount", usage.cache_read, false);
    put("candidatesTokenCount", usage.output.saturating_sub(usage.reasoning), true);
    put("thoughtsTokenCount", usage.reasoning, false);
    put("toolUsePromptTokenCount", usage.tool_input, false);
    put("totalTokenCount", usage.total(), true);
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_and_the_results_of_tools_are_counted_in_and_out_again() {
        let stated = json!({"promptTokenCount": 32, "cachedContentTokenCount": 8,
            "candidatesTokenCount": 25, "toolUsePromptTokenCount": 4610, "thoughtsTokenCount": 37,
            "totalTokenCount": 4704});
        let usage = read(&stated).unwrap();
        assert_eq!((usage.input, usage.tool_input, usage.cache_read), (4_642, 4_610, 8));
        assert_eq!((usage.output, usage.reasoning), (62, 37));
        assert_eq!(object(&usage), stated);
    }

    #[test]
    fn what_says_nothing_of_tokens_is_no_usage() {
        assert_eq!(read(&json!({"trafficType": "ON_DEMAND"})), None);
        assert_eq!(read(&Value::Null), None);
        let blocked = read(&json!({"promptTokenCount": 7, "totalTokenCount": 7}));
        assert_eq!(blocked, Some(Usage::tokens(7, 0)));
    }
}
