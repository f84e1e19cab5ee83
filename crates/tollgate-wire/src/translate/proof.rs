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
    use super::super::prompt::{Call, CallResult, Role, Thought, Turn};
    use super::*;

    const CLIENTS: [Form; 4] = [Form::Chat, Form::Responses, Form::Messages, Form::Gemini];
    const PROVIDERS: [Form; 5] =
        [Form::Chat, Form::Responses, Form::Messages, Form::Gemini, Form::Converse];

    fn prompt(form: Form, part: Part) -> Prompt {
        let turns = vec![Turn { role: Role::Assistant, at: 0, parts: vec![part] }];
        Prompt { form, turns, ..Prompt::default() }
    }

    #[test]
    fn a_proof_comes_back_to_its_own_provider_only() {
        let makers = PROVIDERS.iter().flat_map(|maker| PROVIDERS.map(|to| (*maker, to)));
        let ways: Vec<(Form, Form)> = makers.collect();
        for client in CLIENTS {
            for (maker, provider) in &ways {
                let proof = Some(marked("proof", *maker, client));
                let thought = Thought { text: "hm".to_owned(), proof, sealed: false };
                let mut prompt = prompt(client, Part::Thought(thought));
                let forgotten = settle(&mut prompt, *provider);
                let own = family(*maker) == family(*provider);
                assert_eq!(forgotten, !own, "{maker:?} to {provider:?} by {client:?}");
                let parts = prompt.turns.into_iter().flat_map(|turn| turn.parts);
                let proofs: Vec<Option<String>> = parts
                    .map(|part| match part {
                        Part::Thought(thought) => thought.proof,
                        _ => None,
                    })
                    .collect();
                let expected = own.then(|| Some("proof".to_owned()));
                assert_eq!(proofs, expected.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_proof_without_a_mark_is_of_the_clients_own_form() {
        let proof = Some("c2lnbmF0dXJl".to_owned());
        let thought = Part::Thought(Thought { text: String::new(), proof, sealed: true });
        assert!(!settle(&mut prompt(Form::Messages, thought.clone()), Form::Converse));
        assert!(settle(&mut prompt(Form::Messages, thought), Form::Responses));
    }

    #[test]
    fn the_proof_of_a_call_is_taken_out_of_ids_and_goes_to_gemini_only() {
        let id = with_signature("c1", "sig==");
        let call = Call {
            id: id.clone(),
            name: "f".to_owned(),
            arguments: "{}".to_owned(),
            signature: None,
        };
        let result = CallResult { id, name: None, parts: Vec::new(), failed: false };
        for provider in PROVIDERS {
            let mut prompt = prompt(Form::Chat, Part::Call(call.clone()));
            prompt.turns.push(Turn {
                role: Role::User,
                at: 1,
                parts: vec![Part::Result(result.clone())],
            });
            assert!(!settle(&mut prompt, provider));
            prompt.name_results();
            let parts: Vec<&Part> = prompt.turns.iter().flat_map(|turn| &turn.parts).collect();
            let [Part::Call(call), Part::Result(result)] = parts[..] else { panic!("{parts:?}") };
            assert_eq!((&*call.id, &*result.id), ("c1", "c1"));
            assert_eq!(result.name.as_deref(), Some("f"));
            let expected = (provider == Form::Gemini).then_some("sig==");
            assert_eq!(call.signature.as_deref(), expected);
        }
    }

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
