//! Finds the text that a model generated, in whole answers and in chunks. Thoughts that are shown
//! and calls of functions are part of it; the output of code that the provider ran is not.

use crate::endpoint::Endpoint;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::tally::Tally;

/// Counts the generated text of a whole answer with `count`, for an answer without usage.
pub(crate) fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    let mut tally = Tally::default();
    if endpoint.generates() {
        let mut pull = Pull::new(body);
        if pull.next_byte() == Some(b'[') {
            pull.array(|pull| answer(pull, &mut tally));
        } else {
            answer(&mut pull, &mut tally);
        }
    }
    tally.estimate(count)
}

fn answer(pull: &mut Pull<'_>, tally: &mut Tally) {
    pull.object(|pull, key| match key {
        b"candidates" => pull.array(|pull| {
            pull.object(|pull, key| match key {
                b"content" => content(pull, tally),
                _ => {
                    pull.skip();
                }
            });
        }),
        _ => {
            pull.skip();
        }
    });
}

/// Takes the generated text of a content.
pub(super) fn content(pull: &mut Pull<'_>, tally: &mut Tally) {
    pull.object(|pull, key| match key {
        b"parts" => pull.array(|pull| part(pull, tally)),
        _ => {
            pull.skip();
        }
    });
}

fn part(pull: &mut Pull<'_>, tally: &mut Tally) {
    pull.object(|pull, key| match key {
        b"text" => push(pull, tally),
        b"functionCall" => pull.object(|pull, key| match key {
            b"name" => push(pull, tally),
            b"args" => {
                if let Some(raw) = pull.skip() {
                    tally.push(Text { raw });
                }
            }
            _ => {
                pull.skip();
            }
        }),
        b"executableCode" => pull.object(|pull, key| match key {
            b"code" => push(pull, tally),
            _ => {
                pull.skip();
            }
        }),
        _ => {
            pull.skip();
        }
    });
}

fn push(pull: &mut Pull<'_>, tally: &mut Tally) {
    if let Some(text) = pull.string_or_skip() {
        tally.push(text);
    }
}
