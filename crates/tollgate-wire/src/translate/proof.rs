//! Proofs of thoughts: each is for the provider that made it.
//!
//! A conversation may go on at another provider than it began at, and a proof that is not the
//! provider's own fails the request there. So a translated proof is marked with the form it comes
//! from, an unmarked one is of the client's own form, and thoughts of other forms stay behind.
//!
//! The proof of a call (Gemini) hides in the call's id, because that is the one thing that every
//! client gives back. It is written there in letters, digits, `-` and `_` alone: Anthropic admits no
//! others, and some of its clients replace an id that has them by a digest.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use super::Form;
use super::prompt::{Part, Prompt};

const MARK: &str = "tollgate/";
const IN_ID: &str = "__thought__";

/// Whose proofs a form takes. Converse passes those of Claude through as they are.
const fn family(form: Form) -> &'static str {
    match form {
        Form::Chat => "chat/",
        Form::Responses => "responses/",
        Form::Messages | Form::Converse => "messages/",
        Form::Gemini => "gemini/",
    }
}

/// A proof of the provider's as it is given to the client. Gemini's clients read base64.
pub(super) fn marked(proof: &str, provider: Form, client: Form) -> String {
    let marked = [MARK, family(provider), proof].concat();
    if client == Form::Gemini { BASE64_STANDARD.encode(marked) } else { marked }
}

/// The proof as this provider made it; `None` where another did.
fn owned(proof: &str, client: Form, provider: Form) -> Option<String> {
    let decoded = (client == Form::Gemini)
        .then(|| BASE64_STANDARD.decode(proof.replace('-', "+").replace('_', "/")).ok())
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let proof = decoded.as_deref().filter(|text| text.starts_with(MARK)).unwrap_or(proof);
    match proof.strip_prefix(MARK) {
        Some(rest) => rest.strip_prefix(family(provider)).map(str::to_owned),
        None => (family(client) == family(provider)).then(|| proof.to_owned()),
    }
}

/// A call's id with its proof in it.
pub(super) fn with_signature(id: &str, signature: &str) -> String {
    [id, IN_ID, &BASE64_URL_SAFE_NO_PAD.encode(signature)].concat()
}

/// The provider's id and the proof of an id that [`with_signature`] made.
fn parted(id: &str) -> Option<(String, String)> {
    let (id, hidden) = id.split_once(IN_ID)?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(hidden).ok()?;
    Some((id.to_owned(), String::from_utf8(signature).ok()?))
}

/// Takes the proofs out of ids and leaves behind what is not for this provider; says whether any
/// thought was.
pub(super) fn settle(prompt: &mut Prompt, provider: Form) -> bool {
    let client = prompt.form;
    let mut forgotten = false;
    for turn in &mut prompt.turns {
        turn.parts.retain_mut(|part| match part {
            Part::Thought(thought) => {
                let stated = thought.proof.take().unwrap_or_default();
                let Some(own) = owned(&stated, client, provider) else {
                    forgotten = true;
                    return false;
                };
                thought.proof = Some(own).filter(|own| !own.is_empty());
                true
            }
            Part::Call(call) => {
                if let Some((id, signature)) = parted(&call.id) {
                    call.signature = Some(signature);
                    call.id = id;
                }
                call.signature.take_if(|_| provider != Form::Gemini);
                true
            }
            Part::Result(result) => {
                if let Some((id, _)) = parted(&result.id) {
                    result.id = id;
                }
                true
            }
            _ => true,
        });
    }
    prompt.turns.retain(|turn| !turn.parts.is_empty());
    forgotten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_with_a_signature_is_one_that_anthropic_admits() {
        let signature = "Es8F+cQH/NBmUzxq17Uw==";
        let id = with_signature("toolu_1", signature);
        assert!(
            id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "{id}"
        );
        assert_eq!(parted(&id), Some(("toolu_1".to_owned(), signature.to_owned())));
        assert_eq!(parted("call__thought__ + not ours"), None);
    }
}
