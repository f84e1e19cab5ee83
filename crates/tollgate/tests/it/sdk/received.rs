//! What a provider was asked, read from its own form of request onto one scale, so that one table
//! can state what must have arrived whichever client asked.
//!
//! Written after the providers' documents and apart from the program, whose readers it checks.

use serde_json::{Value, json};
use tollgate_testkit::upstream::Received;

/// A provider's form of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Chat,
    Responses,
    Messages,
    Gemini,
}

/// A call of a tool, as the history of a request states it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Value,
    /// Gemini's `thoughtSignature`, which the model wants back.
    pub(super) signature: Option<String>,
}

/// A request on one scale.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) system: String,
    pub(super) user: String,
    /// Media type and base64.
    pub(super) images: Vec<(String, String)>,
    /// Name and names of the parameters.
    pub(super) tools: Vec<(String, Vec<String>)>,
    /// Names of the properties that a structured answer must have.
    pub(super) schema: Option<Vec<String>>,
    pub(super) calls: Vec<Call>,
    /// The call that is answered (its id; at Gemini the tool's name), and the text.
    pub(super) results: Vec<(String, String)>,
    pub(super) max_output: Option<u64>,
    pub(super) stream: bool,
}

impl Form {
    /// Name of the folder with its answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Gemini => "gemini",
        }
    }

    /// The form that a path belongs to.
    pub(super) fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap();
        match path {
            _ if path.ends_with("/chat/completions") => Self::Chat,
            _ if path.ends_with("/responses") => Self::Responses,
            _ if path.ends_with("/messages") => Self::Messages,
            _ if path.contains(":generateContent") || path.contains(":streamGenerateContent") => {
                Self::Gemini
            }
            other => panic!("no form of {other}"),
        }
    }

    /// Reads a request.
    pub(super) fn read(self, request: &Received) -> Asked {
        let body = request.json();
        let mut asked = match self {
            Self::Chat => chat(&body),
            Self::Responses => responses(&body),
            Self::Messages => messages(&body),
            Self::Gemini => gemini(&body),
        };
        asked.stream = match self {
            Self::Gemini => request.path.contains(":streamGenerateContent"),
            _ => body["stream"] == true,
        };
        asked
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn properties(schema: &Value) -> Vec<String> {
    let mut names: Vec<String> = schema["properties"]
        .as_object()
        .map(|all| all.keys().cloned().collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// The text of a string or of parts that have one.
fn joined(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        parts => items(parts).iter().map(|part| text(&part["text"])).collect(),
    }
}

fn data_url(url: &Value) -> Option<(String, String)> {
    let (media, data) = url.as_str()?.strip_prefix("data:")?.split_once(";base64,")?;
    Some((media.to_owned(), data.to_owned()))
}

fn parsed(arguments: &Value) -> Value {
    serde_json::from_str(arguments.as_str().unwrap_or_default()).unwrap_or_default()
}

fn chat(body: &Value) -> Asked {
    let mut asked = Asked::default();
    for message in items(&body["messages"]) {
        let content = &message["content"];
        match message["role"].as_str().unwrap() {
            "system" | "developer" => asked.system.push_str(&joined(content)),
            "user" => {
                asked.user.push_str(&joined(content));
                let urls = items(content).iter().map(|part| &part["image_url"]["url"]);
                asked.images.extend(urls.filter_map(data_url));
            }
            "assistant" => {
                let calls = items(&message["tool_calls"]).iter().map(|call| Call {
                    id: text(&call["id"]),
                    name: text(&call["function"]["name"]),
                    arguments: parsed(&call["function"]["arguments"]),
                    signature: None,
                });
                asked.calls.extend(calls);
            }
            "tool" => asked.results.push((text(&message["tool_call_id"]), joined(content))),
            other => panic!("no role {other}"),
        }
    }
    asked.tools = items(&body["tools"])
        .iter()
        .map(|tool| &tool["function"])
        .map(|tool| (text(&tool["name"]), properties(&tool["parameters"])))
        .collect();
    let format = &body["response_format"];
    asked.schema =
        (format["type"] == "json_schema").then(|| properties(&format["json_schema"]["schema"]));
    asked.max_output =
        body["max_completion_tokens"].as_u64().or_else(|| body["max_tokens"].as_u64());
    asked
}

fn responses(body: &Value) -> Asked {
    let mut asked = Asked { system: text(&body["instructions"]), ..Asked::default() };
    if body["input"].is_string() {
        asked.user = text(&body["input"]);
    }
    for item in items(&body["input"]) {
        match item["type"].as_str().unwrap_or("message") {
            "message" => {
                let content = &item["content"];
                match item["role"].as_str().unwrap() {
                    "system" | "developer" => asked.system.push_str(&joined(content)),
                    "user" => {
                        asked.user.push_str(&joined(content));
                        let urls = items(content).iter().map(|part| &part["image_url"]);
                        asked.images.extend(urls.filter_map(data_url));
                    }
                    _ => {}
                }
            }
            "function_call" => asked.calls.push(Call {
                id: text(&item["call_id"]),
                name: text(&item["name"]),
                arguments: parsed(&item["arguments"]),
                signature: None,
            }),
            "function_call_output" => {
                asked.results.push((text(&item["call_id"]), joined(&item["output"])));
            }
            _ => {}
        }
    }
    asked.tools = items(&body["tools"])
        .iter()
        .map(|tool| (text(&tool["name"]), properties(&tool["parameters"])))
        .collect();
    let format = &body["text"]["format"];
    asked.schema = (format["type"] == "json_schema").then(|| properties(&format["schema"]));
    asked.max_output = body["max_output_tokens"].as_u64();
    asked
}

fn messages(body: &Value) -> Asked {
    let mut asked = Asked { system: joined(&body["system"]), ..Asked::default() };
    for message in items(&body["messages"]) {
        let content = &message["content"];
        if message["role"] == "user" && content.is_string() {
            asked.user.push_str(&text(content));
        }
        for block in items(content) {
            match block["type"].as_str().unwrap() {
                "text" if message["role"] == "user" => asked.user.push_str(&text(&block["text"])),
                "image" => asked
                    .images
                    .push((text(&block["source"]["media_type"]), text(&block["source"]["data"]))),
                "tool_use" => asked.calls.push(Call {
                    id: text(&block["id"]),
                    name: text(&block["name"]),
                    arguments: block["input"].clone(),
                    signature: None,
                }),
                "tool_result" => {
                    asked.results.push((text(&block["tool_use_id"]), joined(&block["content"])));
                }
                _ => {}
            }
        }
    }
    asked.tools = items(&body["tools"])
        .iter()
        .map(|tool| (text(&tool["name"]), properties(&tool["input_schema"])))
        .collect();
    let format = &body["output_config"]["format"];
    asked.schema = (format["type"] == "json_schema").then(|| properties(&format["schema"]));
    asked.max_output = body["max_tokens"].as_u64();
    asked
}

/// Gemini reads both spellings of a field.
fn either<'a>(value: &'a Value, camel: &str, snake: &str) -> &'a Value {
    if value[camel].is_null() { &value[snake] } else { &value[camel] }
}

fn gemini(body: &Value) -> Asked {
    let system = either(body, "systemInstruction", "system_instruction");
    let mut asked = Asked { system: joined(&system["parts"]), ..Asked::default() };
    for content in items(&body["contents"]) {
        for part in items(&content["parts"]) {
            let (call, result) = (
                either(part, "functionCall", "function_call"),
                either(part, "functionResponse", "function_response"),
            );
            let image = either(part, "inlineData", "inline_data");
            if call.is_object() {
                let signature = either(part, "thoughtSignature", "thought_signature");
                asked.calls.push(Call {
                    id: text(&call["id"]),
                    name: text(&call["name"]),
                    arguments: if call["args"].is_null() {
                        json!({})
                    } else {
                        call["args"].clone()
                    },
                    signature: signature.as_str().map(str::to_owned),
                });
            } else if result.is_object() {
                asked.results.push((text(&result["name"]), result["response"].to_string()));
            } else if image.is_object() {
                let media = either(image, "mimeType", "mime_type");
                // Google reads base64 of either alphabet.
                let data = text(&image["data"]).replace('-', "+").replace('_', "/");
                asked.images.push((text(media), data));
            } else if content["role"] != "model" {
                asked.user.push_str(&text(&part["text"]));
            }
        }
    }
    asked.tools = items(&body["tools"])
        .iter()
        .flat_map(|tool| items(either(tool, "functionDeclarations", "function_declarations")))
        .map(|tool| {
            let schema = either(tool, "parametersJsonSchema", "parameters_json_schema");
            let schema = if schema.is_null() { &tool["parameters"] } else { schema };
            (text(&tool["name"]), properties(schema))
        })
        .collect();
    let config = either(body, "generationConfig", "generation_config");
    let schema =
        ["responseJsonSchema", "responseSchema", "response_json_schema", "response_schema"]
            .iter()
            .map(|name| &config[*name])
            .find(|schema| schema.is_object());
    asked.schema = schema.map(properties);
    asked.max_output = either(config, "maxOutputTokens", "max_output_tokens").as_u64();
    asked
}
