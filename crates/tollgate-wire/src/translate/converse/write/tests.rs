//! What models of Bedrock are asked, by their family.

use super::*;
use crate::translate::prompt::{Call, CallResult, Reasoning, Sampling, Source, Thought, Turn};
use serde_json::Number;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-micro-v1:0";
const LLAMA: &str = "us.meta.llama4-maverick-17b-instruct-v1:0";

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
    let target = Target { model, ..Target::default() };
    serde_json::from_slice(&write(prompt, &target).unwrap().body).unwrap()
}

fn refused(model: &str, prompt: &Prompt) -> String {
    let target = Target { model, ..Target::default() };
    write(prompt, &target).unwrap_err().param.unwrap()
}

fn effort(word: &str) -> Reasoning {
    Reasoning { effort: Some(word.to_owned()), ..Reasoning::default() }
}

fn called() -> Vec<Turn> {
    let call = Call {
        id: "functions.f:0".to_owned(),
        name: "f".to_owned(),
        arguments: "oops".to_owned(),
        signature: None,
    };
    let thought = Thought { text: "hm".to_owned(), proof: Some("p".to_owned()), sealed: false };
    let sealed = Thought { text: String::new(), proof: Some("s".to_owned()), sealed: true };
    let parts = vec![Part::Thought(thought), Part::Thought(sealed), Part::Call(call)];
    let id = "functions.f:0".to_owned();
    let result = CallResult { id, name: None, parts: vec![text("")], failed: true };
    vec![
        turn(Role::User, vec![text("go")]),
        turn(Role::Assistant, parts),
        turn(Role::User, vec![Part::Result(result)]),
    ]
}

#[test]
fn a_conversation_with_tools_is_written_in_bedrocks_words() {
    let body = on(CLAUDE, &Prompt { turns: called(), system: vec!["s".to_owned()], ..asked() });
    assert_eq!(body["system"], json!([{"text": "s"}]));
    let said = &body["messages"][1]["content"];
    let thought = json!({"reasoningText": {"text": "hm", "signature": "p"}});
    assert_eq!(said[0]["reasoningContent"], thought);
    assert_eq!(said[1]["reasoningContent"], json!({"redactedContent": "s"}));
    let call = &said[2]["toolUse"];
    assert_eq!(call["input"], json!({"raw_arguments": "oops"}));
    let result = &body["messages"][2]["content"][0]["toolResult"];
    assert_eq!(result["toolUseId"], call["toolUseId"]);
    assert_eq!(result["status"], "error");
    assert_eq!(result["content"], json!([{"json": {}}]), "it may not be empty");
    let id = call["toolUseId"].as_str().unwrap();
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    let declared = &body["toolConfig"]["tools"][0]["toolSpec"];
    assert_eq!(declared["name"], "f", "a tool that was called must be declared");
}

#[test]
fn tools_and_choices_are_written_and_none_means_no_tools() {
    let tool = Tool {
        name: "f".to_owned(),
        description: Some("d".to_owned()),
        schema: None,
        strict: Some(true),
        custom: None,
    };
    let with = |choice| Prompt { tools: vec![tool.clone()], tool_choice: choice, ..asked() };
    let body = on(CLAUDE, &with(Some(ToolChoice::Tool("f".to_owned()))));
    let spec = json!({"name": "f", "description": "d", "strict": true,
        "inputSchema": {"json": {"type": "object", "properties": {},
            "additionalProperties": false}}});
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"], spec);
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "f"}}));
    let nova = &on(NOVA, &with(None))["toolConfig"]["tools"][0]["toolSpec"];
    assert!(nova.get("strict").is_none(), "only Claude knows it");
    assert!(on(CLAUDE, &with(Some(ToolChoice::None))).get("toolConfig").is_none());
    let later = Prompt { turns: called(), ..with(Some(ToolChoice::None)) };
    assert_eq!(refused(CLAUDE, &later), "tool_choice");
}

#[test]
fn claude_gets_its_own_fields_and_others_refuse_them() {
    let number = |text: &str| Some(text.parse::<Number>().unwrap());
    let sampling = Sampling { top_k: number("5"), ..Sampling::default() };
    let prompt =
        Prompt { sampling, reasoning: Some(effort("low")), max_output: Some(9_000), ..asked() };
    let body = on(CLAUDE, &prompt);
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 9_000}));
    let own = json!({"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 4_096}});
    assert_eq!(body["additionalModelRequestFields"], own);
    assert_eq!(refused(LLAMA, &prompt), "top_k");
    assert_eq!(
        refused(LLAMA, &Prompt { reasoning: Some(effort("low")), ..asked() }),
        "reasoning_effort"
    );
    let off = on(LLAMA, &Prompt { reasoning: Some(effort("none")), ..asked() });
    assert!(off.get("additionalModelRequestFields").is_none());
    let oss = on("openai.gpt-oss-120b-1:0", &Prompt { reasoning: Some(effort("max")), ..asked() });
    assert_eq!(oss["additionalModelRequestFields"], json!({"reasoning_effort": "high"}));
    let hot = Sampling { temperature: number("1.1"), ..Sampling::default() };
    assert_eq!(refused(NOVA, &Prompt { sampling: hot, ..asked() }), "temperature");
    let seeded = Sampling { seed: number("1"), ..Sampling::default() };
    assert_eq!(refused(NOVA, &Prompt { sampling: seeded, ..asked() }), "seed");
}

#[test]
fn a_schema_is_a_text_and_closed() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let name = Some("n".to_owned());
    let format = Some(Format::Schema { name, description: None, schema, strict: None });
    let body = on(CLAUDE, &Prompt { format, ..asked() });
    let written = &body["outputConfig"]["textFormat"];
    assert_eq!(written["type"], "json_schema");
    let structure = &written["structure"]["jsonSchema"];
    assert_eq!(structure["name"], "n");
    let schema: Value = serde_json::from_str(structure["schema"].as_str().unwrap()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let json = Prompt { format: Some(Format::Json), ..asked() };
    assert_eq!(refused(CLAUDE, &json), "response_format");
}

#[test]
fn a_wish_for_the_cache_is_a_point_on_models_that_keep_one() {
    let extras = Map::from_iter([("prompt_cache_key".to_owned(), json!("k"))]);
    let prompt = Prompt { extras, system: vec!["s".to_owned()], ..asked() };
    let point = json!({"cachePoint": {"type": "default"}});
    for model in [CLAUDE, NOVA] {
        let body = on(model, &prompt);
        assert_eq!(body["system"][1], point);
        assert_eq!(body["messages"][0]["content"][1], point);
    }
    let target = Target { model: LLAMA, ..Target::default() };
    assert_eq!(write(&prompt, &target).unwrap().left_out, ["prompt_cache_key"]);
}

#[test]
fn pictures_and_documents_have_a_format_and_no_address_but_in_s3() {
    let image = |source| {
        let part = Part::Image { source, detail: None };
        Prompt { turns: vec![turn(Role::User, vec![part])], ..asked() }
    };
    let data = |kind: &str| Source::Data { media_type: kind.to_owned(), base64: "AA".to_owned() };
    let body = on(CLAUDE, &image(data("image/jpg")));
    let expected = json!({"image": {"format": "jpeg", "source": {"bytes": "AA"}}});
    assert_eq!(body["messages"][0]["content"][0], expected);
    let url = image(Source::Url("https://x/a.png".to_owned()));
    assert_eq!(refused(CLAUDE, &url), "messages[0].content[0].image_url");
    let stored = on(CLAUDE, &image(Source::Url("s3://b/a.png".to_owned())));
    let location = json!({"s3Location": {"uri": "s3://b/a.png"}});
    assert_eq!(stored["messages"][0]["content"][0]["image"]["source"], location);
    let document = |name: Option<&str>| {
        let (source, name) = (data("application/pdf"), name.map(str::to_owned));
        turn(Role::User, vec![text("read"), Part::Document { source, name }])
    };
    let named = Prompt { turns: vec![document(Some("a/b_c.pdf"))], ..asked() };
    let written = &on(CLAUDE, &named)["messages"][0]["content"][1]["document"];
    assert_eq!((&written["name"], &written["format"]), (&json!("a b c pdf"), &json!("pdf")));
    let nameless = Prompt { turns: vec![document(None)], ..asked() };
    let written = &on(CLAUDE, &nameless)["messages"][0]["content"][1]["document"];
    assert_eq!(written["name"], "document 2");
}
