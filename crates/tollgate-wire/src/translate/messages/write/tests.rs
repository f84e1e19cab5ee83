//! What Claude is asked, by the generation of the model.

use super::*;
use crate::translate::prompt::{
    Call, CallResult, Part, Reasoning, Sampling, Source, Thought, Turn,
};
use serde_json::Number;

const MODEL: &str = "claude-sonnet-4-5";

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, at: 0, parts }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn asked() -> Prompt {
    Prompt { turns: vec![turn(Role::User, vec![text("hi")])], ..Prompt::default() }
}

fn on(model: &str, prompt: &Prompt) -> Value {
    let target = Target { model, max_output: Some(64_000), ..Target::default() };
    serde_json::from_slice(&write(prompt, &target).unwrap().body).unwrap()
}

fn refused(prompt: &Prompt) -> String {
    let target = Target { model: MODEL, ..Target::default() };
    write(prompt, &target).unwrap_err().param.unwrap()
}

fn effort(word: &str) -> Reasoning {
    Reasoning { effort: Some(word.to_owned()), ..Reasoning::default() }
}

fn call(id: &str, arguments: &str) -> Part {
    let (id, name) = (id.to_owned(), "f".to_owned());
    Part::Call(Call { id, name, arguments: arguments.to_owned(), signature: None })
}

fn result(id: &str, parts: Vec<Part>, failed: bool) -> Part {
    Part::Result(CallResult { id: id.to_owned(), name: None, parts, failed })
}

#[test]
fn max_tokens_is_the_models_own_where_the_client_states_none() {
    assert_eq!(on(MODEL, &asked())["max_tokens"], 64_000);
    let clamped = Target { model: MODEL, clamp: Some(50), ..Target::default() };
    let body: Value = serde_json::from_slice(&write(&asked(), &clamped).unwrap().body).unwrap();
    assert_eq!(body["max_tokens"], 50);
    let unknown = Target { model: "claude-3-5-haiku-20241022", ..Target::default() };
    let body: Value = serde_json::from_slice(&write(&asked(), &unknown).unwrap().body).unwrap();
    assert_eq!(body["max_tokens"], 8_192);
    let more = Prompt { max_output: Some(100_000), ..asked() };
    assert_eq!(on(MODEL, &more)["max_tokens"], 64_000, "the model has no more");
}

#[test]
fn broken_arguments_become_an_object_and_ids_get_letters_that_are_allowed() {
    let turns = vec![
        turn(Role::User, vec![text("go")]),
        turn(Role::Assistant, vec![call("functions.f:0", "{\"a\":"), call("", "")]),
        turn(Role::User, vec![result("functions.f:0", vec![text("r")], true)]),
    ];
    let body = on(MODEL, &Prompt { turns, ..asked() });
    let calls = &body["messages"][1]["content"];
    assert_eq!(calls[0]["input"], json!({"raw_arguments": "{\"a\":"}));
    assert_eq!(calls[1]["input"], json!({}));
    let answer = &body["messages"][2]["content"][0];
    assert_eq!(answer["tool_use_id"], calls[0]["id"]);
    assert_eq!((answer["type"].as_str(), &answer["is_error"]), (Some("tool_result"), &json!(true)));
}

#[test]
fn a_result_may_hold_pictures_and_only_types_that_claude_reads() {
    let picture = |media_type: &str| Part::Image {
        source: Source::Data { media_type: media_type.to_owned(), base64: "AA".to_owned() },
        detail: Some("low".to_owned()),
    };
    let with = |part: Part| {
        let turns = vec![
            turn(Role::User, vec![text("go")]),
            turn(Role::Assistant, vec![call("a", "{}")]),
            turn(Role::User, vec![result("a", vec![text(""), part], false)]),
        ];
        Prompt { turns, ..asked() }
    };
    let body = on(MODEL, &with(picture("image/jpg")));
    let content = &body["messages"][2]["content"][0]["content"];
    assert_eq!(content[0]["source"]["media_type"], "image/jpeg");
    assert_eq!(refused(&with(picture("image/bmp"))), "messages[0].content[0].image");
    let data = Source::Data { media_type: "audio/wav".to_owned(), base64: "AA".to_owned() };
    let heard = Prompt { turns: vec![turn(Role::User, vec![Part::Audio(data)])], ..asked() };
    assert_eq!(refused(&heard), "messages[0].content[0].input_audio");
    let file = Part::Document { source: Source::File("file-1".to_owned()), name: None };
    let filed = Prompt { turns: vec![turn(Role::User, vec![file])], ..asked() };
    assert_eq!(refused(&filed), "messages[0].content[0].file");
}

#[test]
fn what_claude_cannot_do_is_refused_by_the_clients_name_for_it() {
    let number = |text: &str| Some(text.parse::<Number>().unwrap());
    let sampling = |sampling: Sampling| Prompt { sampling, ..asked() };
    for (prompt, field) in [
        (sampling(Sampling { temperature: number("1.5"), ..Sampling::default() }), "temperature"),
        (sampling(Sampling { seed: number("7"), ..Sampling::default() }), "seed"),
        (
            sampling(Sampling { presence_penalty: number("0.1"), ..Sampling::default() }),
            "presence_penalty",
        ),
        (Prompt { format: Some(Format::Json), ..asked() }, "response_format"),
        (Prompt { tool_choice: Some(ToolChoice::Any), ..asked() }, "tool_choice"),
        (
            Prompt { turns: vec![turn(Role::Assistant, vec![text("I begin")])], ..asked() },
            "messages",
        ),
        (
            Prompt {
                extras: Map::from_iter([("logit_bias".to_owned(), json!({"1": 2}))]),
                ..asked()
            },
            "logit_bias",
        ),
    ] {
        assert_eq!(refused(&prompt), field);
    }
    let fine = Sampling {
        temperature: number("1"),
        presence_penalty: number("0"),
        frequency_penalty: number("0.0"),
        ..Sampling::default()
    };
    let body = on(MODEL, &sampling(fine));
    assert!(body.get("temperature").is_none(), "current models take no word on it");
}

#[test]
fn thinking_is_written_for_the_generation_of_the_model() {
    let prompt = Prompt { reasoning: Some(effort("medium")), max_output: Some(4_000), ..asked() };
    let old = on(MODEL, &prompt);
    assert_eq!(old["thinking"], json!({"type": "enabled", "budget_tokens": 3_200}));
    assert_eq!(old["max_tokens"], 4_000, "the budget is part of it");
    let new = on("claude-opus-5", &prompt);
    assert_eq!(new["thinking"], json!({"type": "adaptive"}));
    assert_eq!(new["output_config"], json!({"effort": "medium"}));
    let off = on(MODEL, &Prompt { reasoning: Some(effort("none")), ..asked() });
    assert_eq!(off["thinking"], json!({"type": "disabled"}));
    let unable = Target { model: MODEL, thinks: Some(false), ..Target::default() };
    assert_eq!(write(&prompt, &unable).unwrap().left_out, ["reasoning_effort"]);
}

#[test]
fn a_turn_whose_thought_was_lost_goes_on_without_thinking() {
    let thought = |proof: Option<&str>| {
        Part::Thought(Thought {
            text: "hm".to_owned(),
            proof: proof.map(str::to_owned),
            sealed: false,
        })
    };
    let with = |proof| {
        let turns = vec![
            turn(Role::User, vec![text("go")]),
            turn(Role::Assistant, vec![thought(proof), call("a", "{}")]),
            turn(Role::User, vec![result("a", vec![text("r")], false)]),
        ];
        Prompt { turns, reasoning: Some(effort("high")), ..asked() }
    };
    let target = Target { model: MODEL, max_output: Some(64_000), ..Target::default() };
    let lost = write(&with(None), &target).unwrap();
    assert_eq!(lost.left_out, ["reasoning_effort"]);
    let body: Value = serde_json::from_slice(&lost.body).unwrap();
    assert!(body.get("thinking").is_none());
    assert_eq!(body["messages"][1]["content"].as_array().unwrap().len(), 1);
    let kept = on(MODEL, &with(Some("sig")));
    assert_eq!(kept["thinking"]["type"], "enabled");
    assert_eq!(kept["messages"][1]["content"][0]["signature"], "sig");
}

#[test]
fn a_forced_call_or_a_temperature_beside_thinking_is_refused() {
    let tool =
        Tool { name: "f".to_owned(), description: None, schema: None, strict: None, custom: None };
    let forced = Prompt {
        reasoning: Some(effort("high")),
        tools: vec![tool],
        tool_choice: Some(ToolChoice::Any),
        ..asked()
    };
    assert_eq!(refused(&forced), "tool_choice");
    let temperature = Number::from_f64(0.5);
    let sampling = Sampling { temperature, ..Sampling::default() };
    let cool = Prompt { reasoning: Some(effort("high")), sampling, ..asked() };
    assert_eq!(refused(&cool), "temperature");
    let sampling = Sampling { top_p: Number::from_f64(0.9), ..Sampling::default() };
    let narrow = Prompt { reasoning: Some(effort("high")), sampling, ..asked() };
    assert_eq!(refused(&narrow), "top_p");
}

#[test]
fn tools_have_an_object_schema_and_a_single_call_needs_a_choice() {
    let tool = |schema: Option<Value>| Tool {
        name: "f".to_owned(),
        description: Some("d".to_owned()),
        schema,
        strict: Some(true),
        custom: None,
    };
    let prompt = Prompt {
        tools: vec![tool(None), tool(Some(json!({"properties": {"a": {}}})))],
        parallel_calls: Some(false),
        ..asked()
    };
    let body = on(MODEL, &prompt);
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    assert_eq!(body["tools"][0]["input_schema"], schema, "as strict wants it");
    assert_eq!(body["tools"][1]["input_schema"]["type"], "object");
    assert_eq!(body["tools"][0]["strict"], true);
    assert!(on("claude-sonnet-4", &prompt)["tools"][0].get("strict").is_none());
    let choice = json!({"type": "auto", "disable_parallel_tool_use": true});
    assert_eq!(body["tool_choice"], choice);
    for (choice, expected) in [
        (ToolChoice::None, json!({"type": "none"})),
        (ToolChoice::Any, json!({"type": "any"})),
        (ToolChoice::Tool("f".to_owned()), json!({"type": "tool", "name": "f"})),
    ] {
        let tools = vec![tool(None)];
        let body = on(MODEL, &Prompt { tools, tool_choice: Some(choice), ..asked() });
        assert_eq!(body["tool_choice"], expected);
    }
}

#[test]
fn the_schema_of_an_answer_is_closed_and_stands_beside_the_effort() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = Some(Format::Schema { name: None, description: None, schema, strict: None });
    let prompt = Prompt { format, reasoning: Some(effort("low")), ..asked() };
    let config = &on("claude-opus-5", &prompt)["output_config"];
    assert_eq!(config["effort"], "low", "both stand in one object");
    let written = &config["format"]["schema"];
    assert_eq!(written["additionalProperties"], false);
}

#[test]
fn an_instruction_amid_the_conversation_has_its_role_on_models_that_know_it() {
    let turns = vec![
        turn(Role::System, vec![text("be brief")]),
        turn(Role::User, vec![text("a")]),
        turn(Role::System, vec![text("now")]),
    ];
    let prompt = Prompt { turns, system: vec!["you are".to_owned()], ..asked() };
    let new = on("claude-opus-4-8", &prompt);
    assert_eq!(new["system"].as_array().unwrap().len(), 2);
    assert_eq!(new["messages"][1]["role"], "system");
    let old = on(MODEL, &prompt);
    assert_eq!(old["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_for_the_cache_marks_what_is_to_be_kept() {
    let extras = Map::from_iter([
        ("prompt_cache_key".to_owned(), json!("session")),
        ("store".to_owned(), json!(false)),
        ("metadata".to_owned(), json!({"a": "b"})),
    ]);
    let prompt = Prompt { extras, system: vec!["s".to_owned()], ..asked() };
    let target = Target { model: MODEL, ..Target::default() };
    let written = write(&prompt, &target).unwrap();
    assert_eq!(written.left_out, ["metadata"]);
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    let kept = json!({"type": "ephemeral"});
    assert_eq!(body["system"][0]["cache_control"], kept);
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], kept);
}
