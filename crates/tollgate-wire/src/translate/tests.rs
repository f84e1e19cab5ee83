//! What holds for every form that is read and written, and for every pair of forms.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::dispatch::{self, AnyReader, AnyWriter};
use super::flow::Flow;
use super::reply::{Answer, Block, Event, Reason, Stop};
use super::*;

const FORMS: [(Form, Endpoint); 4] = [
    (Form::Chat, Endpoint::ChatCompletions),
    (Form::Responses, Endpoint::Responses),
    (Form::Messages, Endpoint::Messages),
    (Form::Gemini, Endpoint::StreamGenerateContent),
];

fn view() -> View {
    View {
        model: "asked".to_owned(),
        created: 1_700_000_000,
        fallback_id: "77".to_owned(),
        include_usage: true,
        ..View::default()
    }
}

/// An answer: a thought, a text, calls, and where they are cut into pieces.
#[derive(Clone, Debug)]
struct Said {
    thought: String,
    text: String,
    calls: Vec<Value>,
    piece: usize,
    reason: Reason,
}

fn said() -> impl Strategy<Value = Said> {
    let text = "[a-z \"\\\\\n\u{e9}\u{1f600}]{0,40}";
    let call = (text, 0i64..99).prop_map(|(text, n)| json!({"path": text, "n": n, "x": [{}]}));
    let reason = prop_oneof![Just(Reason::End), Just(Reason::Length), Just(Reason::Filtered)];
    (text, text, proptest::collection::vec(call, 0..3), 1usize..9, reason).prop_map(
        |(thought, text, calls, piece, reason)| {
            let reason = match (reason, calls.is_empty()) {
                (Reason::End, false) => Reason::Calls,
                (reason, _) => reason,
            };
            Said { thought, text, calls, piece, reason }
        },
    )
}

impl Said {
    fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Begin {
            id: Some("answer_1".to_owned()),
            model: Some("served".to_owned()),
            created: Some(1_700_000_001),
        }];
        let mut number = 0;
        let mut block = |block: Block, text: &str| {
            events.push(Event::Open(number, block));
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(self.piece) {
                events.push(Event::Delta(number, piece.iter().collect()));
            }
            events.push(Event::Close(number));
            number += 1;
        };
        if !self.thought.is_empty() {
            block(Block::Thought, &self.thought);
        }
        if !self.text.is_empty() {
            block(Block::Text, &self.text);
        }
        for (at, arguments) in self.calls.iter().enumerate() {
            let call = Block::Call { id: format!("call_{at}"), name: format!("tool_{at}") };
            block(call, &arguments.to_string());
        }
        let native = "native".to_owned();
        events.push(Event::Stop(Stop { reason: self.reason, native, sequence: None }));
        let mut usage = tollgate_domain::usage::Usage::tokens(100, 20);
        (usage.cache_read, usage.cache_write) = (30, 5);
        events.push(Event::Usage(usage));
        events.push(Event::End);
        events
    }
}

fn ordered(events: Vec<Event>, from: Form, to: Form) -> Vec<Event> {
    let (mut flow, mut out) = (Flow::new(from, to), Vec::new());
    for event in events {
        flow.push(event, &mut out);
    }
    flow.finish(&mut out);
    out
}

/// Blocks with their texts, the reason to stop, and input, output and cached tokens.
type Gist = (Vec<(String, String)>, Option<Reason>, Option<(u64, u64, u64)>);

/// What was said, without what a form may add or leave out.
fn gist(events: &[Event]) -> Gist {
    let answer = Answer::of(events);
    assert_eq!(answer.error, None);
    let blocks = answer.blocks.iter().filter(|filled| !filled.text.is_empty()).map(|filled| {
        let text = match &filled.block {
            Block::Call { .. } => serde_json::from_str::<Value>(&filled.text).unwrap().to_string(),
            _ => filled.text.clone(),
        };
        let kind = match &filled.block {
            Block::Call { id, name } => format!("{name} {id}"),
            other => format!("{other:?}"),
        };
        (kind, text)
    });
    let usage = answer.usage.map(|usage| (usage.input, usage.output, usage.cache_read));
    (blocks.collect(), answer.stop.map(|stop| stop.reason), usage)
}

fn streamed(form: Form, events: &[Event]) -> Option<Vec<u8>> {
    let mut writer = AnyWriter::new(form, &view())?;
    let mut out = Vec::new();
    for event in events {
        writer.push(event, &mut out);
    }
    Some(out)
}

fn read_stream(form: Form, endpoint: Endpoint, bytes: &[u8]) -> Vec<Event> {
    let mut reader = AnyReader::new(form, &view());
    let mut scanner = crate::sse::Scanner::default();
    let (mut events, mut from) = (Vec::new(), 0);
    assert_eq!(Form::of(endpoint), Some(form));
    while let Ok(crate::framing::Step::Event { end }) = scanner.step(bytes, from) {
        let event = scanner.read(&bytes[from..end]);
        reader.event(event.name, &event.data.unwrap(), &mut events);
        from = end;
    }
    reader.finish(&mut events);
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back_the_same_whole_and_streamed(said in said()) {
        for (form, endpoint) in FORMS {
            let events = ordered(said.events(), form, form);
            let Some(stream) = streamed(form, &events) else { continue };
            let expected = gist(&events);
            let back = ordered(read_stream(form, endpoint, &stream), form, form);
            prop_assert_eq!(gist(&back), expected.clone(), "{:?} streamed", form);
            let whole = dispatch::write_whole(form, &events, &view());
            let back = ordered(dispatch::read_whole(form, &whole, &view()), form, form);
            prop_assert_eq!(gist(&back), expected, "{:?} whole", form);
        }
    }

    #[test]
    fn a_stream_gives_the_client_the_same_however_it_is_cut(said in said(), size in 1usize..50) {
        for (from, upstream) in FORMS {
            let Some(bytes) = streamed(from, &ordered(said.events(), from, from)) else { continue };
            for (_, client) in FORMS.iter().filter(|(to, _)| *to != from) {
                let Some(mut whole) = Translator::new(upstream, *client, &view()) else { continue };
                let mut cut = Translator::new(upstream, *client, &view()).unwrap();
                let (mut expected, mut out) = (Vec::new(), Vec::new());
                whole.push(&bytes, &mut expected);
                whole.finish(&mut expected);
                bytes.chunks(size).for_each(|chunk| cut.push(chunk, &mut out));
                cut.finish(&mut out);
                prop_assert!(whole.is_whole());
                prop_assert_eq!(out.concat(), expected.concat());
            }
        }
    }

    #[test]
    fn no_bytes_make_a_stream_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for body in [bytes, format!("data: {{\"choices\":[{{\"delta\":{text}\n\n").into_bytes(),
            format!("event: response.output_item.done\ndata: {{\"item\":{text}\n\n").into_bytes()] {
            for (_, upstream) in FORMS {
                for (_, client) in FORMS {
                    let mut out = Vec::new();
                    if let Some(mut stream) = Translator::new(upstream, client, &view()) {
                        stream.push(&body, &mut out);
                        stream.finish(&mut out);
                    }
                }
            }
        }
    }
}

#[test]
fn a_stream_that_breaks_off_does_not_end_well_and_can_be_ended() {
    let said = Said {
        thought: String::new(),
        text: "half a text".to_owned(),
        calls: Vec::new(),
        piece: 4,
        reason: Reason::End,
    };
    let events: Vec<Event> = said.events().into_iter().take(4).collect();
    for (from, upstream) in FORMS {
        let Some(bytes) = streamed(from, &events) else { continue };
        for (to, client) in FORMS.into_iter().filter(|(to, _)| *to != from) {
            let Some(mut stream) = Translator::new(upstream, client, &view()) else { continue };
            let mut out = Vec::new();
            stream.push(&bytes, &mut out);
            stream.finish(&mut out);
            assert!(!stream.is_whole(), "{from:?} to {to:?}");
            let usage = tollgate_domain::usage::Usage::tokens(7, 3);
            stream.cut(Some(&usage), &mut out);
            assert!(stream.is_whole());
            let back = ordered(read_stream(to, client, &out.concat()), to, to);
            assert_eq!(gist(&back).1, Some(Reason::Length), "{from:?} to {to:?}");
            assert_eq!(gist(&back).2, Some((7, 3, 0)), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn an_error_ends_the_clients_stream_in_its_own_words() {
    for (_, upstream) in FORMS {
        for (to, client) in FORMS {
            let Some(mut stream) = Translator::new(upstream, client, &view()) else { continue };
            let mut out = Vec::new();
            let error = crate::facts::InbandError {
                kind: Some("overloaded_error".into()),
                message: "busy".into(),
                ..crate::facts::InbandError::default()
            };
            stream.fail(error, &mut out);
            let text = String::from_utf8(out.concat()).unwrap();
            assert!(text.contains("busy") && !text.contains("[DONE]"), "{text}");
            let events = read_stream(to, client, text.as_bytes());
            let failed = |event: &Event| matches!(event, Event::Error(e) if &*e.message == "busy");
            assert!(events.iter().any(failed), "{to:?}: {events:?}");
        }
    }
}

#[test]
fn more_answers_than_one_are_refused() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}],"n":2}"#;
    let target = Target { model: "t", ..Target::default() };
    let (from, to) = (Endpoint::ChatCompletions, Endpoint::Responses);
    let error = translate_request(from, to, None, body, &target).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("n"));
    let error = translate_request(Endpoint::Embeddings, to, None, body, &target).unwrap_err();
    assert_eq!(error.param, None);
}
