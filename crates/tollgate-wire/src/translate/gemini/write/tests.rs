//! What Gemini is asked, by the generation of the model.

use super::*;
use crate::translate::prompt::{
    Call, CallResult, Part, Role, Sampling, Source, Thought, Tool, Turn,
};
use serde_json::Number;

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

fn refused(prompt: &Prompt) -> String {
    let target = Target { model: "gemini-3-flash", ..Target::default() };
    write(prompt, &target).unwrap_err().param.unwrap()
}

fn call(id: &str, signature: Option<&str>) -> Part {
    let signature = signature.map(str::to_owned);
    let (id, name, arguments) = (id.to_owned(), "f".to_owned(), "{\"a\":1}".to_owned());
    Part::Call(Call { id, name, arguments, signature })
}

fn result(id: &str, parts: Vec<Part>, failed: bool) -> Part {
    let name = Some("f".to_owned());
    Part::Result(CallResult { id: id.to_owned(), name, parts, failed })
}

fn picture() -> Part {
    let source = Source::Data { media_type: "image/png".to_owned(), base64: "AA".to_owned() };
    Part::Image { source, detail: None }
}

#[test]
fn a_call_has_its_signature_or_the_one_that_google_documents_for_lost_ones() {
    let prompt = |signature| {
        let turns = vec![
            turn(Role::User, vec![text("go")]),
            turn(Role::Assistant, vec![call("a", signature), call("b", None)]),
            turn(Role::User, vec![result("b", vec![text("2")], false)]),
            turn(Role::User, vec![result("a", vec![text("{\"k\":1}")], false)]),
        ];
        Prompt { turns, ..asked() }
    };
    let signed = on("gemini-3-flash", &prompt(Some("sig")));
    let calls = &signed["contents"][1]["parts"];
    assert_eq!(calls[0]["thoughtSignature"], "sig");
    assert!(calls[1].get("thoughtSignature").is_none(), "only the first of several is signed");
    assert!(calls[0]["functionCall"].get("id").is_none(), "Vertex refuses ids");
    assert_eq!(calls[0]["functionCall"]["args"], json!({"a": 1}));
    let results = &signed["contents"][2]["parts"];
    assert_eq!(results[0]["functionResponse"]["response"], json!({"k": 1}), "in their order");
    assert_eq!(results[1]["functionResponse"]["response"], json!({"result": 2}));
    let lost = on("gemini-3-flash", &prompt(None));
    let dummy = "skip_thought_signature_validator";
    assert_eq!(lost["contents"][1]["parts"][0]["thoughtSignature"], dummy);
    let older = on("gemini-2.5-flash", &prompt(None));
    assert!(older["contents"][1]["parts"][0].get("thoughtSignature").is_none());
}

#[test]
fn a_failed_result_is_an_error_and_pictures_stand_where_the_model_takes_them() {
    let turns = vec![
        turn(Role::User, vec![text("go")]),
        turn(Role::Assistant, vec![call("a", None), call("b", None)]),
        turn(
            Role::User,
            vec![
                result("a", vec![text("see"), picture()], false),
                result("b", vec![text("bad")], true),
                text("and?"),
            ],
        ),
    ];
    let prompt = Prompt { turns, ..asked() };
    let new = on("gemini-3-pro", &prompt);
    let parts = &new["contents"][2]["parts"];
    assert_eq!(parts[0]["functionResponse"]["parts"][0]["inlineData"]["mimeType"], "image/png");
    assert_eq!(parts[1]["functionResponse"]["response"], json!({"error": "bad"}));
    let old = on("gemini-2.5-pro", &prompt);
    let parts = old["contents"][2]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 4);
    assert!(parts[2].get("inlineData").is_some(), "behind the results");
    let nameless = CallResult { id: "x".to_owned(), name: None, parts: Vec::new(), failed: false };
    let turns = vec![turn(Role::User, vec![Part::Result(nameless)])];
    assert_eq!(refused(&Prompt { turns, ..asked() }), "messages[0].content[0].tool_call_id");
}

#[test]
fn thoughts_stay_behind_and_neighbours_are_one_content() {
    let thought = Thought { text: "hm".to_owned(), proof: Some("p".to_owned()), sealed: false };
    let turns = vec![
        turn(Role::User, vec![text("a")]),
        turn(Role::User, vec![text(""), text("b")]),
        turn(Role::Assistant, vec![Part::Thought(thought), text("c")]),
        turn(Role::System, vec![text("now")]),
    ];
    let body = on("gemini-3-flash", &Prompt { turns, system: vec!["s".to_owned()], ..asked() });
    let shape: Vec<(&str, usize)> = body["contents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|content| {
            (content["role"].as_str().unwrap(), content["parts"].as_array().unwrap().len())
        })
        .collect();
    assert_eq!(shape, [("user", 2), ("model", 1), ("user", 1)]);
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "s"}]}));
}

#[test]
fn addresses_are_handed_on_with_a_type_and_files_of_others_are_refused() {
    let image = |source| {
        let parts = vec![Part::Image { source, detail: None }];
        Prompt { turns: vec![turn(Role::User, parts)], ..asked() }
    };
    let url = |url: &str| image(Source::Url(url.to_owned()));
    for (address, kind) in [
        ("https://x/a.PNG?w=1", "image/png"),
        ("https://x/a", "image/jpeg"),
        ("https://x.webp/a", "image/jpeg"),
    ] {
        let body = on("gemini-3-flash", &url(address));
        let file = &body["contents"][0]["parts"][0]["fileData"];
        assert_eq!(
            (file["mimeType"].as_str(), file["fileUri"].as_str()),
            (Some(kind), Some(address))
        );
    }
    assert_eq!(
        refused(&image(Source::File("file-1".to_owned()))),
        "messages[0].content[0].image_url"
    );
}

#[test]
fn thinking_is_a_level_or_a_budget_by_generation() {
    let effort = |word: &str| Reasoning { effort: Some(word.to_owned()), ..Reasoning::default() };
    let budget = |budget| Reasoning { budget: Some(budget), ..Reasoning::default() };
    let adaptive = Reasoning { adaptive: true, show: Some(true), ..Reasoning::default() };
    for (model, wanted, expected) in [
        ("gemini-2.5-flash", effort("medium"), json!({"thinkingBudget": 8192})),
        ("gemini-2.5-flash", effort("none"), json!({"thinkingBudget": 0})),
        ("gemini-2.5-pro", effort("none"), json!({"thinkingBudget": 128})),
        ("gemini-2.5-flash", budget(31_999), json!({"thinkingBudget": 24_576})),
        (
            "gemini-2.5-flash",
            adaptive.clone(),
            json!({"thinkingBudget": -1, "includeThoughts": true}),
        ),
        ("gemini-3-flash", adaptive, json!({"includeThoughts": true})),
        ("gemini-3-flash", effort("minimal"), json!({"thinkingLevel": "MINIMAL"})),
        ("gemini-3-pro", effort("minimal"), json!({"thinkingLevel": "LOW"})),
        ("gemini-flash-latest", effort("max"), json!({"thinkingLevel": "HIGH"})),
        ("gemini-3-flash", budget(0), json!({"thinkingLevel": "MINIMAL"})),
        ("gemini-3-flash", budget(5_000), json!({"thinkingBudget": 5_000})),
    ] {
        let body = on(model, &Prompt { reasoning: Some(wanted), ..asked() });
        assert_eq!(body["generationConfig"]["thinkingConfig"], expected, "{model}");
    }
}

#[test]
fn schemas_go_under_the_names_that_take_json_schema() {
    let schema = json!({"type": "object", "additionalProperties": false,
        "properties": {"z": {"$ref": "#/$defs/d"}, "a": {}}, "$defs": {"d": {"const": 1}}});
    let tool = Tool {
        name: "f".to_owned(),
        description: None,
        schema: Some(schema.clone()),
        strict: Some(true),
        custom: None,
    };
    let format = Some(Format::Schema {
        name: None,
        description: None,
        schema: schema.clone(),
        strict: None,
    });
    let prompt = Prompt {
        tools: vec![tool],
        tool_choice: Some(ToolChoice::Tool("f".to_owned())),
        parallel_calls: Some(false),
        format,
        ..asked()
    };
    let body = on("gemini-3-flash", &prompt);
    assert_eq!(body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"], schema);
    assert_eq!(body["generationConfig"]["responseJsonSchema"], schema);
    assert_eq!(body["generationConfig"]["responseMimeType"], "application/json");
    let calling = json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}});
    assert_eq!(body["toolConfig"], calling);
    let target = Target { model: "gemini-3-flash", ..Target::default() };
    let written = write(&prompt, &target).unwrap();
    assert_eq!(written.left_out, ["parallel_tool_calls"]);
    let text = str::from_utf8(&written.body).unwrap();
    assert!(
        text.find("\"z\"").unwrap() < text.find("\"a\"").unwrap(),
        "properties keep their order"
    );
}

#[test]
fn sampling_is_gemini_own_and_bounds_are_refused_by_name() {
    let number = |text: &str| Some(text.parse::<Number>().unwrap());
    let sampling = Sampling {
        temperature: number("1.5"),
        top_k: number("3"),
        seed: number("7"),
        presence_penalty: number("0.5"),
        ..Sampling::default()
    };
    let prompt = Prompt { sampling, max_output: Some(900), ..asked() };
    let target = Target { model: "gemini-3-flash", clamp: Some(500), ..Target::default() };
    let body: Value = serde_json::from_slice(&write(&prompt, &target).unwrap().body).unwrap();
    let expected = json!({"maxOutputTokens": 500, "temperature": 1.5, "topK": 3, "seed": 7,
        "presencePenalty": 0.5});
    assert_eq!(body["generationConfig"], expected);
    let hot = Sampling { temperature: number("2.5"), ..Sampling::default() };
    assert_eq!(refused(&Prompt { sampling: hot, ..asked() }), "temperature");
    let many = vec!["x".to_owned(); 6];
    assert_eq!(refused(&Prompt { stop: many, ..asked() }), "stop");
    assert_eq!(refused(&Prompt { tool_choice: Some(ToolChoice::Any), ..asked() }), "tool_choice");
}
