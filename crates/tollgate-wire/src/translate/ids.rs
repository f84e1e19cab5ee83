//! The ids by which the results of tools name their calls.
//!
//! Gemini often states none; Anthropic and Bedrock are strict about letters and length.

use super::prompt::{CallResult, Part, Turn};

/// An id in the letters that Anthropic and Bedrock take, at most `most` bytes long. Ids that differ
/// stay different: what is cut off leaves its hash.
pub(crate) fn tidy(id: &str, most: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !id.is_empty() && id.len() <= most && id.chars().all(plain) {
        return id.to_owned();
    }
    let letters = id.chars().map(|c| if plain(c) { c } else { '_' });
    let kept: String = letters.take(most.saturating_sub(17)).collect();
    format!("{kept}_{:016x}", hash(id.as_bytes()))
}

/// FNV-1a: the same on every run, for ids that must be made from what is there.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Makes ids for calls that have none. A result without an id belongs to the first call of its name
/// that has no result yet; where there is none, the turn and part of the result are the error.
pub(crate) fn pair(turns: &mut [Turn]) -> Result<(), (usize, usize)> {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut made = 0_u32;
    for (turn, said) in turns.iter_mut().enumerate() {
        for (part, each) in said.parts.iter_mut().enumerate() {
            match each {
                Part::Call(call) => {
                    if call.id.is_empty() {
                        call.id = format!("call_{made}");
                        made += 1;
                    }
                    open.push((call.id.clone(), call.name.clone()));
                }
                Part::Result(result) => answer(result, &mut open).ok_or((turn, part))?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// `None` where the result has no id and there is no call that it could answer.
fn answer(result: &mut CallResult, open: &mut Vec<(String, String)>) -> Option<()> {
    let answers = |(id, name): &(String, String)| match result.id.as_str() {
        "" => result.name.as_ref().is_none_or(|wanted| wanted == name),
        wanted => wanted == id,
    };
    match open.iter().position(answers) {
        Some(at) => {
            let (id, name) = open.remove(at);
            result.id = id;
            result.name = Some(result.name.take().unwrap_or(name));
            Some(())
        }
        None => (!result.id.is_empty()).then_some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_other_letters_or_too_long_becomes_one_that_bedrock_takes() {
        assert_eq!(tidy("toolu_1-a", 64), "toolu_1-a");
        let long = "x".repeat(200);
        for (one, other) in [("functions.f:0", "functions.f.0"), (&*long, &*"x".repeat(201))] {
            let (one, other) = (tidy(one, 64), tidy(other, 64));
            assert_ne!(one, other);
            assert!(one.len() <= 64 && other.len() <= 64);
            assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        }
        assert!(!tidy("", 64).is_empty());
    }
}
