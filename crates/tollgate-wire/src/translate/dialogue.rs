//! The conversation as the forms want it in which two speakers alternate (Anthropic, Gemini,
//! Bedrock): neighbours of one role are one message, results come first and in the order of their
//! calls, what is empty is left out.
//!
//! An instruction in the middle of the conversation stays in its place: moved to the front it would
//! mean something else. Where the model knows no such role it is said by the user, in a tag.

use std::borrow::Cow;

use super::names::{refusal, refusal_as};
use super::prompt::{Part, Prompt, Role};
use crate::peek::BodyError;

/// A message: a run of turns of one role.
#[derive(Debug)]
pub(crate) struct Said<'p> {
    /// Who speaks. `System` only where [`alternate`] was asked to keep it.
    pub(crate) role: Role,
    /// What is said, with the place of each part in the prompt.
    pub(crate) parts: Vec<(At, Cow<'p, Part>)>,
}

/// The place of a part: turn and part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(pub(crate) usize, pub(crate) usize);

impl At {
    /// Refuses the part by the client's name for it; `kind` says what it is, such as `input_audio`.
    pub(crate) fn refuse(self, prompt: &Prompt, kind: &str) -> BodyError {
        let Self(turn, part) = self;
        match prompt.turns.get(turn) {
            Some(turn) => prompt.refuse_part(turn, part, kind),
            None => refusal(prompt.names().turns),
        }
    }
}

/// What stands before the conversation, and the conversation.
#[derive(Debug)]
pub(crate) struct Dialogue<'p> {
    /// Instructions, in order; none is empty.
    pub(crate) system: Vec<&'p str>,
    /// Messages; no two neighbours have the same role, none is empty.
    pub(crate) messages: Vec<Said<'p>>,
}

/// Brings the turns of a prompt into alternating messages. `keeps_system` says whether the model
/// takes an instruction behind a message of the user.
pub(crate) fn alternate(prompt: &Prompt, keeps_system: bool) -> Result<Dialogue<'_>, BodyError> {
    let mut system: Vec<&str> = prompt.system.iter().map(String::as_str).collect();
    let mut messages: Vec<Said<'_>> = Vec::new();
    for (turn, said) in prompt.turns.iter().enumerate() {
        let parts = said.parts.iter().enumerate().filter(|(_, part)| !is_empty(part));
        for (part, each) in parts {
            let at = At(turn, part);
            match (said.role, each) {
                (Role::System, Part::Text(text)) if messages.is_empty() => system.push(text),
                (Role::System, Part::Text(text)) if !keeps_system => {
                    let text = format!("<system>\n{text}\n</system>");
                    add(&mut messages, Role::User, at, Cow::Owned(Part::Text(text)));
                }
                (Role::System, Part::Text(_)) => {
                    add(&mut messages, Role::System, at, Cow::Borrowed(each));
                }
                (Role::System, _) => return Err(at.refuse(prompt, "media")),
                (role, _) => add(&mut messages, role, at, Cow::Borrowed(each)),
            }
        }
    }
    system.retain(|text| !text.is_empty());
    if keeps_system {
        move_displaced(&mut messages);
    }
    if messages.is_empty()
        && let Some(last) = system.pop()
    {
        // These forms do not answer without a message; the instruction is one.
        add(&mut messages, Role::User, At(0, 0), Cow::Owned(Part::Text(last.to_owned())));
    }
    order_results(&mut messages);
    if messages.is_empty() {
        return Err(refusal_as(prompt.names().turns, "must have a message that is not empty"));
    }
    Ok(Dialogue { system, messages })
}

/// Whether a part says nothing; such parts are rejected by Anthropic and Gemini.
fn is_empty(part: &Part) -> bool {
    match part {
        Part::Text(text) | Part::Refusal(text) => text.is_empty(),
        Part::Thought(thought) => thought.text.is_empty() && thought.proof.is_none(),
        _ => false,
    }
}

fn add<'p>(messages: &mut Vec<Said<'p>>, role: Role, at: At, part: Cow<'p, Part>) {
    match messages.last_mut() {
        Some(last) if last.role == role => last.parts.push((at, part)),
        _ => messages.push(Said { role, parts: vec![(at, part)] }),
    }
}

/// An instruction may stand only behind the user's message and before the model's, or last; one
/// that stands elsewhere is said by the user.
fn move_displaced(messages: &mut Vec<Said<'_>>) {
    let mut placed: Vec<Said<'_>> = Vec::with_capacity(messages.len());
    let mut rest = std::mem::take(messages).into_iter().peekable();
    while let Some(said) = rest.next() {
        let after_user = placed.last().is_some_and(|before| before.role == Role::User);
        let before_user = rest.peek().is_some_and(|next| next.role == Role::User);
        if said.role != Role::System || (after_user && !before_user) {
            for (at, part) in said.parts {
                add(&mut placed, said.role, at, part);
            }
            continue;
        }
        for (at, part) in said.parts {
            let Part::Text(text) = part.as_ref() else { continue };
            let text = format!("<system>\n{text}\n</system>");
            add(&mut placed, Role::User, at, Cow::Owned(Part::Text(text)));
        }
    }
    *messages = placed;
}

/// Puts results before everything else that the user says, in the order of the calls that the
/// message before made.
fn order_results(messages: &mut [Said<'_>]) {
    let mut calls: Vec<String> = Vec::new();
    for said in messages {
        if said.role == Role::User {
            let place = |part: &Part| match part {
                Part::Result(result) => {
                    calls.iter().position(|id| *id == result.id).unwrap_or(calls.len())
                }
                _ => usize::MAX,
            };
            said.parts.sort_by_key(|(_, part)| place(part));
        }
        calls = said
            .parts
            .iter()
            .filter_map(|(_, part)| match part.as_ref() {
                Part::Call(call) => Some(call.id.clone()),
                _ => None,
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::prompt::{Call, CallResult, Turn};

    fn turn(role: Role, parts: Vec<Part>) -> Turn {
        Turn { role, at: 0, parts }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn prompt(turns: Vec<Turn>) -> Prompt {
        Prompt { turns, ..Prompt::default() }
    }

    fn shape(dialogue: &Dialogue<'_>) -> Vec<(Role, Vec<String>)> {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Result(result) => format!("={}", result.id),
            Part::Call(call) => format!("?{}", call.id),
            other => panic!("{other:?}"),
        };
        let said =
            |said: &Said<'_>| (said.role, said.parts.iter().map(|(_, each)| part(each)).collect());
        dialogue.messages.iter().map(said).collect()
    }

    #[test]
    fn results_come_first_and_in_the_order_of_the_calls() {
        let call = |id: &str| {
            let (id, name) = (id.to_owned(), "f".to_owned());
            Part::Call(Call { id, name, arguments: String::new(), signature: None })
        };
        let result = |id: &str| {
            let id = id.to_owned();
            Part::Result(CallResult { id, name: None, parts: Vec::new(), failed: false })
        };
        let prompt = prompt(vec![
            turn(Role::User, vec![text("go")]),
            turn(Role::Assistant, vec![call("a")]),
            turn(Role::Assistant, vec![call("b")]),
            turn(Role::User, vec![text("and then"), result("b")]),
            turn(Role::User, vec![result("a")]),
        ]);
        let seen = shape(&alternate(&prompt, false).unwrap());
        assert_eq!(seen[1], (Role::Assistant, vec!["?a".to_owned(), "?b".to_owned()]));
        let answer = ["=a", "=b", "and then"].map(str::to_owned).to_vec();
        assert_eq!(seen[2], (Role::User, answer));
    }

    #[test]
    fn an_instruction_amid_the_conversation_keeps_its_place() {
        let prompt = prompt(vec![
            turn(Role::System, vec![text("first")]),
            turn(Role::User, vec![text("a")]),
            turn(Role::System, vec![text("now")]),
            turn(Role::Assistant, vec![text("b")]),
            turn(Role::System, vec![text("later")]),
            turn(Role::User, vec![text("c")]),
        ]);
        let seen = alternate(&prompt, false).unwrap();
        assert_eq!(seen.system, ["first"]);
        let user = |parts: &[&str]| (Role::User, parts.iter().map(|p| (*p).to_owned()).collect());
        let later = "<system>\nlater\n</system>";
        assert_eq!(shape(&seen)[0], user(&["a", "<system>\nnow\n</system>"]));
        assert_eq!(shape(&seen)[2], user(&[later, "c"]));
        let seen = alternate(&prompt, true).unwrap();
        assert_eq!(shape(&seen)[1], (Role::System, vec!["now".to_owned()]));
        assert_eq!(shape(&seen)[3], user(&[later, "c"]), "it may not stand behind the model's");
    }

    #[test]
    fn what_is_empty_is_left_out_and_nothing_at_all_is_refused() {
        let turns = vec![
            turn(Role::User, vec![text("a")]),
            turn(Role::Assistant, vec![text("")]),
            turn(Role::User, vec![text("b")]),
        ];
        let seen = prompt(turns);
        assert_eq!(alternate(&seen, false).unwrap().messages.len(), 1);
        let nothing = prompt(vec![turn(Role::User, vec![text("")])]);
        assert_eq!(alternate(&nothing, false).unwrap_err().param.as_deref(), Some("messages"));
        let system = Prompt { system: vec!["do it".to_owned()], ..Prompt::default() };
        let seen = alternate(&system, false).unwrap();
        assert_eq!((shape(&seen).len(), seen.system.len()), (1, 0));
    }
}
