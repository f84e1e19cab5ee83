//! What the simulated provider says: prose, a document that fits a schema, or a call of a tool.

use serde_json::Value;

use super::schema::instance;
use super::{Ask, Random};

/// Prose without end, in pieces of about a token.
const WORDS: &[&str] = &[
    "Thank",
    " you",
    " for",
    " your",
    " question",
    ".",
    " Every",
    " call",
    " passes",
    " the",
    " gate",
    ",",
    " is",
    " counted",
    " and",
    " priced",
    " before",
    " it",
    " leaves",
    ".",
    " 안녕",
    "하세요",
    ".",
    " 이",
    " 답변",
    "은",
    " 모의",
    " 제공자",
    "가",
    " 만든",
    " 예시",
    "입니다",
    ".",
    " The",
    " numbers",
    " below",
    " add",
    " up",
    " exactly",
    ",",
    " down",
    " to",
    " the",
    " last",
    " token",
    ".",
    " 오늘",
    " 하루",
    "도",
    " 수고",
    "하셨",
    "습니다",
    ".",
];
/// Bytes of a piece of a document.
const PIECE: usize = 4;

#[derive(Debug)]
pub(super) enum Content {
    /// Prose that begins at this word.
    Prose { offset: usize },
    /// A text that is sent as it is: a document, or the arguments of a tool.
    Exact {
        text: String,
        /// The tool that is called with it.
        tool: Option<String>,
    },
}

impl Content {
    pub(super) fn choose(ask: &Ask<'_>, random: &mut Random) -> Self {
        let offset = usize::try_from(random.next() % 53).unwrap_or(0);
        let asked = [&b"\"response_format\""[..], b"\"format\"", b"\"tool_choice\""];
        if !asked.iter().any(|key| memchr::memmem::find(ask.body, key).is_some()) {
            return Self::Prose { offset };
        }
        let Ok(body) = serde_json::from_slice::<Value>(ask.body) else {
            return Self::Prose { offset };
        };
        forced_tool(&body).or_else(|| document(&body)).unwrap_or(Self::Prose { offset })
    }

    /// How many pieces there are; `None` where there is no end to them.
    pub(super) fn pieces(&self) -> Option<usize> {
        match self {
            Self::Prose { .. } => None,
            Self::Exact { text, .. } => Some(text.len().div_ceil(PIECE)),
        }
    }

    /// The pieces `from..to`, joined.
    pub(super) fn text(&self, from: usize, to: usize) -> String {
        match self {
            Self::Prose { offset } => {
                let words = WORDS.iter().cycle().skip((offset + from) % WORDS.len());
                words.take(to.saturating_sub(from)).copied().collect()
            }
            Self::Exact { text, .. } => {
                let start = text.floor_char_boundary(from * PIECE);
                let end = text.floor_char_boundary(to.saturating_mul(PIECE));
                text.get(start..end).unwrap_or_default().to_owned()
            }
        }
    }

    pub(super) fn tool(&self) -> Option<&str> {
        match self {
            Self::Exact { tool, .. } => tool.as_deref(),
            Self::Prose { .. } => None,
        }
    }
}

/// The tool that `tool_choice` demands: the one named, or the first.
fn forced_tool(body: &Value) -> Option<Content> {
    let choice = body.get("tool_choice")?;
    if !(choice.is_object() || choice == "required") {
        return None;
    }
    // Completions wrap a function in a member of its own, responses do not.
    let inner = |value: &Value| value.get("function").unwrap_or(value).clone();
    let wanted = inner(choice).get("name").and_then(Value::as_str).map(str::to_owned);
    let tools = body.get("tools")?.as_array()?.iter().map(inner);
    let mut named = tools.filter(|tool| tool.get("name").is_some());
    let tool = named.find(|tool| match &wanted {
        Some(wanted) => tool.get("name").and_then(Value::as_str) == Some(wanted),
        None => true,
    })?;
    let arguments = tool.get("parameters").map_or_else(|| Value::Object(<_>::default()), instance);
    let name = tool.get("name")?.as_str()?.to_owned();
    Some(Content::Exact { text: arguments.to_string(), tool: Some(name) })
}

/// The document that `response_format` (or `text.format`) demands.
fn document(body: &Value) -> Option<Content> {
    let chat = body.get("response_format");
    let format = chat.or_else(|| body.get("text").and_then(|text| text.get("format")))?;
    let text = match format.get("type")?.as_str()? {
        "json_schema" => {
            let holder = format.get("json_schema").unwrap_or(format);
            instance(holder.get("schema")?).to_string()
        }
        "json_object" => "{\"answer\":\"simulated\"}".to_owned(),
        _ => return None,
    };
    Some(Content::Exact { text, tool: None })
}
