//! Requests of a form that nobody here knows: what stands in the usual places is read, nothing is
//! refused.

use crate::json::Text;
use crate::json::lenient::Pull;
use crate::peek::{Input, Peek};

/// What a body says about its cost, as far as it says it in the words that most APIs share:
/// `model` (or `modelId`) where the path names none, `stream`, and a maximum of output tokens. A body that is no JSON says
/// nothing but its length.
pub fn look(path_model: Option<&str>, body: &[u8]) -> Peek {
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let input = Input { bytes, items: 1, ..Input::default() };
    let mut peek =
        Peek { model: path_model.unwrap_or_default().into(), choices: 1, input, ..Peek::default() };
    let mut pull = Pull::new(body);
    if !pull.enter_object() {
        return peek;
    }
    while let Some(key) = pull.next_key() {
        match key {
            b"model" | b"modelId" if path_model.is_none() => {
                if let Some(name) = pull.string_or_skip().and_then(Text::decode) {
                    peek.model = Box::from(&*name);
                }
            }
            b"stream" => peek.stream = pull.skip() == Some(b"true"),
            b"max_tokens" | b"max_output_tokens" | b"max_completion_tokens" | b"maxTokens" => {
                let digits = pull.skip().and_then(|raw| str::from_utf8(raw).ok());
                peek.max_output = digits.and_then(|digits| digits.parse().ok());
            }
            _ => {
                pull.skip();
            }
        }
    }
    peek
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_places_are_read_and_nothing_is_refused() {
        let peek = look(None, br#"{"a":[1],"model":"m","stream":true,"max_tokens":7}"#);
        assert_eq!((&*peek.model, peek.stream, peek.max_output), ("m", true, Some(7)));
        for body in [&b"\xff\x00"[..], b"", b"[1", b"{\"model\":3", b"{\"max_tokens\":-1}"] {
            let peek = look(Some("of-the-path"), body);
            assert_eq!((&*peek.model, peek.stream, peek.max_output), ("of-the-path", false, None));
        }
    }

    #[test]
    fn the_model_of_the_path_is_the_one_that_serves() {
        let peek = look(Some("dear"), br#"{"model":"cheap","modelId":"cheaper"}"#);
        assert_eq!(&*peek.model, "dear");
    }
}
