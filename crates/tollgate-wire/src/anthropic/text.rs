//! Finds the text that a model generated, in whole messages and in the events of streams.
//!
//! What server tools bring in is input and is left out, as are signatures and thoughts that are
//! not shown.

use crate::endpoint::Endpoint;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::tally::Tally;

/// Counts the generated text of a whole answer with `count`, for an answer without usage.
pub(crate) fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    let mut tally = Tally::default();
    if endpoint.generates() {
        Pull::new(body).object(|pull, key| match key {
            b"content" => pull.array(|pull| {
                block(pull, &mut tally);
            }),
            _ => {
                pull.skip();
            }
        });
    }
    tally.estimate(count)
}

/// What a content block is, as far as it bears on what is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A search of the web that the provider makes.
    Search,
    /// Anything else.
    Other,
}

/// Takes the generated text of a content block, whole or as it begins.
pub(super) fn block(pull: &mut Pull<'_>, tally: &mut Tally) -> Block {
    let (mut kind, mut name, mut input, mut text, mut content) = (None, None, None, None, None);
    pull.object(|pull, key| match key {
        b"type" => kind = pull.string_or_skip(),
        b"name" => name = pull.string_or_skip(),
        b"input" => input = pull.skip(),
        b"text" | b"thinking" => text = pull.string_or_skip(),
        b"content" => content = pull.string_or_skip(),
        _ => {
            pull.skip();
        }
    });
    let kind = kind.map_or(&b""[..], |kind| kind.raw);
    let mut push = |text: Option<Text<'_>>| {
        if let Some(text) = text {
            tally.push(text);
        }
    };
    push(text);
    match kind {
        b"tool_use" | b"server_tool_use" | b"mcp_tool_use" => {
            push(name);
            push(input.filter(|input| *input != b"{}").map(|raw| Text { raw }));
        }
        b"compaction" => push(content),
        _ => {}
    }
    let searches = kind == b"server_tool_use" && name.is_some_and(|name| name.raw == b"web_search");
    if searches { Block::Search } else { Block::Other }
}

/// Takes the generated text of a delta.
pub(super) fn delta(pull: &mut Pull<'_>, tally: &mut Tally) {
    pull.object(|pull, key| match key {
        b"text" | b"partial_json" | b"thinking" | b"content" => {
            if let Some(text) = pull.string_or_skip() {
                tally.push(text);
            }
        }
        _ => {
            pull.skip();
        }
    });
}
