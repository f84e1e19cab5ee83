//! What must be true of a run beyond what its client sees: the ledger's row, and what the provider
//! was asked. Each check adds a line where it fails, so that one run of the matrix shows them all.

use std::fmt::Debug;

use serde_json::Value;
use tollgate_testkit::upstream::Received;

use super::matrix::{IMAGE, Run, SYSTEM, cost};
use super::received::{Asked, Form};

struct Check<'a> {
    what: String,
    problems: &'a mut Vec<String>,
}

impl Check<'_> {
    fn same<T: PartialEq<U> + Debug, U: Debug>(&mut self, name: &str, got: &T, wanted: &U) {
        if got != wanted {
            self.problems.push(format!("{}: {name} is {got:?}, not {wanted:?}", self.what));
        }
    }
}

/// The dialect by which a call of that form is known.
fn dialect(form: Form) -> &'static str {
    match form {
        Form::Chat | Form::Responses => "openai",
        Form::Messages => "anthropic",
        Form::Gemini => "gemini",
    }
}

/// The ledger must state the provider's own figures and what they cost.
pub(super) fn row(run: &Run, turn: usize, row: &Value, problems: &mut Vec<String>) {
    let answer = &run.answers[turn];
    let mut check = Check { what: format!("row {turn} of {}", run.id), problems };
    check.same("dialect", &row["dialect"], &dialect(run.client.form));
    check.same("attempts", &row["attempts"], &1);
    let Some(usage) = answer.usage() else {
        check.same("outcome", &row["outcome"], &"failed");
        if run.scene == "broken" {
            // What the provider had begun is charged, whether or not it stated how much.
            check.same("free", &(row["cost_usd"] == "0.000000000"), &false);
            return;
        }
        check.same("cost", &row["cost_usd"], &"0.000000000");
        return;
    };
    check.same("outcome", &row["outcome"], &"success");
    check.same("status", &row["status"], &200);
    check.same("model", &row["model"], &answer.expected["model"]);
    check.same("stream", &row["stream"], &streams(run, turn));
    check.same("estimated", &row["estimated"], &false);
    check.same("input_tokens", &row["input_tokens"], &usage.input);
    check.same("cached_input_tokens", &row["cached_input_tokens"], &usage.cache_read);
    check.same("cache_write_tokens", &row["cache_write_tokens"], &usage.cache_write);
    check.same("output_tokens", &row["output_tokens"], &usage.output);
    check.same("reasoning_tokens", &row["reasoning_tokens"], &usage.reasoning);
    check.same("cost", &row["cost_usd"], &cost(&usage));
}

/// Results of tools are sent without streaming, whichever way the calls came.
fn streams(run: &Run, turn: usize) -> bool {
    (run.scene.ends_with("stream") || run.scene == "broken") && turn == 0
}

/// The provider must have been asked what the client asked, in its own form, with its own key.
pub(super) fn received(run: &Run, turn: usize, request: &Received, problems: &mut Vec<String>) {
    let mut check = Check { what: format!("request {turn} of {}", run.id), problems };
    let asked = run.form().read(request);
    credential(run, request, &mut check);
    check.same("system", &asked.system, &SYSTEM);
    check.same("user", &asked.user, &run.user());
    check.same("stream", &asked.stream, &streams(run, turn));
    let images = if run.scene == "image" { vec![IMAGE] } else { Vec::new() };
    let images: Vec<_> =
        images.into_iter().map(|(media, data)| (media.to_owned(), data.to_owned())).collect();
    check.same("images", &asked.images, &images);
    let schema = (run.scene == "structured").then(|| vec!["city".to_owned(), "country".to_owned()]);
    check.same("schema", &asked.schema, &schema);
    if run.form() == Form::Messages {
        check.same("a maximum of output", &asked.max_output.is_some(), &true);
    }
    tools(run, &asked, &mut check);
    if turn == 1 {
        results(run, &asked, &mut check);
    }
}

fn credential(run: &Run, request: &Received, check: &mut Check<'_>) {
    let (header, wanted) = match run.form() {
        Form::Chat | Form::Responses => ("authorization", "Bearer upstream-secret"),
        Form::Messages => ("x-api-key", "upstream-secret"),
        Form::Gemini => ("x-goog-api-key", "upstream-secret"),
    };
    check.same(header, &request.header(header), &Some(wanted));
    let leaked = request.path.contains("tg_")
        || request.headers.iter().any(|(_, value)| value.contains("tg_"));
    check.same("a key of the client's", &leaked, &false);
}

fn tools(run: &Run, asked: &Asked, check: &mut Check<'_>) {
    let declared = run.answers[0].tools.as_array().map_or(&[][..], Vec::as_slice);
    let wanted: Vec<(String, Vec<String>)> = declared
        .iter()
        .map(|tool| {
            let properties = tool["parameters"]["properties"].as_object().unwrap();
            (tool["name"].as_str().unwrap().to_owned(), properties.keys().cloned().collect())
        })
        .collect();
    check.same("tools", &asked.tools, &wanted);
}

/// The calls must come back as the model made them, each with its result.
fn results(run: &Run, asked: &Asked, check: &mut Check<'_>) {
    let wanted = run.answers[0].expected["calls"].as_array().unwrap();
    let calls: Vec<(&str, &Value)> =
        asked.calls.iter().map(|call| (call.name.as_str(), &call.arguments)).collect();
    let wanted_calls: Vec<(&str, &Value)> =
        wanted.iter().map(|call| (call["name"].as_str().unwrap(), &call["arguments"])).collect();
    check.same("calls", &calls, &wanted_calls);
    check.same("number of results", &asked.results.len(), &wanted.len());
    for (at, (call, (of, text))) in asked.calls.iter().zip(&asked.results).enumerate() {
        let id = if run.form() == Form::Gemini { &call.name } else { &call.id };
        check.same("the call that a result is of", of, id);
        let said = format!("result {at} of {}", call.name);
        check.same(&format!("{said} in {text}"), &text.contains(&said), &true);
    }
    if run.form() == Form::Gemini {
        let signed: Vec<bool> = asked.calls.iter().map(|call| call.signature.is_some()).collect();
        check.same("signatures of thoughts", &signed, &vec![true, false, false]);
    }
}
