//! What is left of a whole answer (no stream) that broke off. Its provider has most likely made all
//! of it, and charges it: so what can still be read counts, and nothing is read that is not there.
//!
//! Facts are taken from members that came whole: of `"completion_tokens": 12` nobody knows whether
//! it was to be 123. Text is taken as far as it came.

use crate::dialect::{answer_text, read_answer};
use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::openai::UsageRules;

/// The facts that came whole, marked [`AnswerFacts::cut`]. A usage is one of the whole answer, but
/// where the body is a list of chunks.
pub fn read_remains(endpoint: Endpoint, rules: UsageRules, body: &[u8]) -> AnswerFacts {
    let remains = Remains::of(body);
    let mut facts = read_answer(endpoint, rules, &remains.members(body));
    if remains.brackets.first() == Some(&b']') {
        facts.break_off();
    }
    facts.cut = true;
    facts
}

/// Counts the generated text that came with `count`.
pub fn remaining_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    answer_text(endpoint, &Remains::of(body).closed(body), count)
}

/// Where a document of JSON breaks off.
#[derive(Debug, Default)]
struct Remains {
    /// What would close the brackets that are open, the outermost first.
    brackets: Vec<u8>,
    /// Within a text.
    in_text: bool,
    /// Behind the backslash of an escape.
    escaped: bool,
    /// Behind the last member of the outermost bracket that came whole.
    whole: usize,
}

impl Remains {
    fn of(body: &[u8]) -> Self {
        let mut remains = Self::default();
        for (at, byte) in body.iter().enumerate() {
            remains.step(at, *byte);
        }
        remains
    }

    fn step(&mut self, at: usize, byte: u8) {
        if self.in_text {
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' => self.open(at, b'}'),
            b'[' => self.open(at, b']'),
            b'}' | b']' => {
                self.brackets.pop();
                // The member that this bracket closes has come whole, and so has what it ends.
                if self.brackets.len() <= 1 {
                    self.whole = at + 1;
                }
            }
            b',' if self.brackets.len() == 1 => self.whole = at,
            _ => {}
        }
    }

    fn open(&mut self, at: usize, close: u8) {
        if self.brackets.is_empty() {
            self.whole = at + 1;
        }
        self.brackets.push(close);
    }

    /// The members that came whole, as a document.
    fn members(&self, body: &[u8]) -> Vec<u8> {
        let mut document = body.get(..self.whole).unwrap_or_default().to_vec();
        document.extend(self.brackets.first());
        document
    }

    /// All that came, with what is open closed.
    fn closed(&self, body: &[u8]) -> Vec<u8> {
        let end = body.len() - usize::from(self.escaped);
        let mut document = body.get(..end).unwrap_or_default().to_vec();
        if self.in_text {
            document.push(b'"');
        }
        document.extend(self.brackets.iter().rev());
        document
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::usage::Usage;

    use super::*;

    const CHAT: &str = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one \"two\" three"}}],"usage":{"prompt_tokens":11,"completion_tokens":123}}"#;
    const MESSAGE: &str = r#"{"id":"m","model":"m","content":[{"type":"text","text":"one two"},{"type":"tool_use","name":"f","input":{"a":"three"}}],"usage":{"input_tokens":11,"output_tokens":123}}"#;
    const GEMINI: &str = r#"{"candidates":[{"content":{"parts":[{"text":"one two three"}]}}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":123,"totalTokenCount":134}}"#;
    const CASES: [(Endpoint, &str); 3] = [
        (Endpoint::ChatCompletions, CHAT),
        (Endpoint::Messages, MESSAGE),
        (Endpoint::GenerateContent, GEMINI),
    ];

    fn length(text: &str) -> u64 {
        text.len() as u64
    }

    #[test]
    fn a_usage_counts_only_where_all_of_it_came_wherever_the_answer_breaks_off() {
        for (endpoint, body) in CASES {
            for end in 0..body.len() {
                let facts = read_remains(endpoint, UsageRules::default(), &body.as_bytes()[..end]);
                let came = end == body.len() - 1;
                assert_eq!(facts.usage, came.then(|| Usage::tokens(11, 123)), "{end} of {body}");
                assert!(facts.cut);
            }
        }
    }

    #[test]
    fn the_text_that_came_is_counted_wherever_the_answer_breaks_off() {
        for (endpoint, body) in CASES {
            let whole = answer_text(endpoint, body.as_bytes(), length);
            assert!(whole >= 13, "{body}");
            let mut before = 0;
            for end in 0..body.len() {
                let now = remaining_text(endpoint, &body.as_bytes()[..end], length);
                assert!((before..=whole).contains(&now), "{now} at {end} of {body}");
                before = now;
            }
            assert_eq!(before, whole);
        }
    }

    #[test]
    fn what_names_the_model_counts_and_half_a_name_does_not() {
        let read = |body: &str| {
            read_remains(Endpoint::ChatCompletions, UsageRules::default(), body.as_bytes())
        };
        assert_eq!(read(r#"{"model":"gpt-4o-mini","cho"#).model.as_deref(), Some("gpt-4o-mini"));
        assert_eq!(read(r#"{"model":"gpt-4o"#).model, None);
        assert_eq!(read(r#"{"created":17"#).created, None);
        assert_eq!(read("<html>").model, None);
    }

    #[test]
    fn the_usage_of_a_list_that_breaks_off_is_not_the_last_word() {
        let chunk = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":1,"totalTokenCount":12}}"#;
        let body = format!("[{chunk},\n{{\"candid");
        let facts =
            read_remains(Endpoint::StreamGenerateContent, UsageRules::default(), body.as_bytes());
        assert_eq!(facts.usage, None);
        assert_eq!(facts.partial.unwrap().input, 11);
    }
}
