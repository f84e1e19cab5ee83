//! Every client on every provider, in every scene: what is run, and what must be true after it.
//!
//! The clients read the plan that is written here, run each case of it and compare what they see.
//! This file then compares what the ledger says and what each provider was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tollgate_domain::usage::Usage;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle::price;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Received, Reply, Upstream};

use super::checks;
use super::fixture::{Fixture, folder};
use super::received::Form;
use crate::cases::{NANOS, RATES};
use crate::start;

/// A provider: kind, base path, model, and the form it is asked in.
pub(super) struct Provider {
    pub(super) kind: &'static str,
    base: &'static str,
    pub(super) model: &'static str,
    form: Form,
}

pub(super) const PROVIDERS: [Provider; 3] = [
    Provider { kind: "openai", base: "/v1", model: "gpt-4o", form: Form::Chat },
    Provider { kind: "anthropic", base: "", model: "claude-sonnet-4-5", form: Form::Messages },
    Provider { kind: "gemini", base: "", model: "gemini-2.5-flash", form: Form::Gemini },
];

/// A client: the language it is written in, its name in the runner, and the form it speaks.
pub(super) struct Client {
    pub(super) language: &'static str,
    pub(super) name: &'static str,
    pub(super) form: Form,
}

const fn client(language: &'static str, name: &'static str, form: Form) -> Client {
    Client { language, name, form }
}

pub(super) const CLIENTS: [Client; 15] = [
    client("python", "openai-chat", Form::Chat),
    client("python", "openai-responses", Form::Responses),
    client("python", "anthropic", Form::Messages),
    client("python", "google", Form::Gemini),
    client("python", "langchain-openai", Form::Chat),
    client("python", "langchain-anthropic", Form::Messages),
    client("python", "langchain-google", Form::Gemini),
    client("node", "openai-chat", Form::Chat),
    client("node", "openai-responses", Form::Responses),
    client("node", "anthropic", Form::Messages),
    client("node", "google", Form::Gemini),
    client("node", "ai-openai-chat", Form::Chat),
    client("node", "ai-openai-responses", Form::Responses),
    client("node", "ai-anthropic", Form::Messages),
    client("node", "ai-google", Form::Gemini),
];

/// What is asked of every client at every provider. A scene is also the name of a fixture.
pub(super) const SCENES: [&str; 15] = [
    "plain",
    "cached",
    "thinking",
    "truncated",
    "stream",
    "broken",
    "image",
    "structured",
    "tools",
    "tools_stream",
    "error_400",
    "error_404",
    "error_429",
    "error_500",
    "overloaded",
];

/// What each conversation says first.
pub(super) const SYSTEM: &str = "You are a careful assistant: speak of the matter only.";
/// A picture of one pixel.
pub(super) const IMAGE: (&str, &str) = (
    "image/png",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
);

/// One client at one provider in one scene.
pub(super) struct Run {
    pub(super) id: String,
    pub(super) client: &'static Client,
    pub(super) provider: &'static Provider,
    pub(super) scene: &'static str,
    /// The answers that the provider gives, in order.
    pub(super) answers: Vec<Fixture>,
}

impl Run {
    fn new(client: &'static Client, provider: &'static Provider, scene: &'static str) -> Self {
        let id = format!("{}/{}/{}/{scene}", client.language, client.name, provider.kind);
        let mut run = Self { id, client, provider, scene, answers: Vec::new() };
        run.answers.push(Fixture::load(run.form(), scene));
        if scene.starts_with("tools") {
            run.answers.push(Fixture::load(run.form(), "plain"));
        }
        run
    }

    /// The form in which the provider is asked: a responses client reaches responses at `OpenAI`.
    pub(super) fn form(&self) -> Form {
        match self.client.form {
            Form::Responses if self.provider.form == Form::Chat => Form::Responses,
            _ => self.provider.form,
        }
    }

    /// The public model: the provider's, with the scene by which the scripted one knows its answer.
    pub(super) fn model(&self) -> String {
        format!("{}-{}", self.provider.model, self.scene)
    }

    /// Name of the client's key.
    pub(super) fn key_name(&self) -> String {
        format!("{}-{}", self.client.language, self.client.name)
    }

    /// What the user says: it names the run, so that what arrives can be told apart.
    pub(super) fn user(&self) -> String {
        format!("Please do what is asked in {}.", self.id)
    }

    fn plan(&self) -> Value {
        let second = self.answers.get(1).map(|answer| answer.expected.clone());
        json!({
            "id": self.id,
            "client": self.client.name,
            "provider": self.provider.kind,
            "key": key(&self.key_name()),
            "model": self.model(),
            "scene": self.scene,
            "system": SYSTEM,
            "user": self.user(),
            "image": if self.scene == "image" { json!(IMAGE) } else { Value::Null },
            "tools": self.answers[0].tools,
            "expected": self.answers[0].expected,
            "expected_after_tools": second,
        })
    }
}

fn key(name: &str) -> String {
    format!("tg_{}_0123456789abcdef", name.replace('-', "_"))
}

fn runs() -> Vec<Run> {
    let only = std::env::var("TOLLGATE_SDK_ONLY").unwrap_or_default();
    let mut runs = Vec::new();
    for client in &CLIENTS {
        for provider in &PROVIDERS {
            runs.extend(SCENES.iter().map(|scene| Run::new(client, provider, scene)));
        }
    }
    runs.retain(|run| run.id.contains(&only));
    runs
}

/// What the provider at `/<scene>/…` answers: the scene's fixture, or a plain answer once the
/// results of tools have come.
fn scripted(request: &Received) -> Reply {
    let form = Form::of(&request.path);
    let scene = request.path.split('/').nth(1).unwrap();
    let over = !form.read(request).results.is_empty();
    Fixture::load(form, if over { "plain" } else { scene }).reply()
}

fn config(runs: &[Run], upstream: &Upstream) -> Config {
    let mut config = Config::new();
    let (mut targets, mut keys, mut prices) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for run in runs {
        let Provider { kind, base, model, .. } = run.provider;
        let name = format!("{kind}-{}", run.scene.replace('_', "-"));
        keys.insert(run.key_name());
        targets.insert(name.clone(), (*kind, format!("/{}{base}", run.scene), run.model(), *model));
        prices.insert((name.clone(), (*model).to_owned()));
        for answer in &run.answers {
            let served = answer.expected["model"].as_str().unwrap_or(model);
            prices.insert((name.clone(), served.to_owned()));
        }
    }
    for (name, (kind, base, public, model)) in &targets {
        config = config.provider(name, kind, &upstream.url(base)).model(public, name, model);
    }
    for (name, model) in &prices {
        config = config.price(name, model, &RATES);
    }
    for name in &keys {
        config = config.key(name, &key(name), "service");
    }
    config
}

/// Runs the clients of one language on their part of the plan; what they say is shown.
fn run_language(language: &str, program: &Program, runs: &[Run], problems: &mut Vec<String>) {
    let plan: Vec<Value> =
        runs.iter().filter(|run| run.client.language == language).map(Run::plan).collect();
    if plan.is_empty() {
        return;
    }
    let path = program.folder().join(format!("plan-{language}.json"));
    let document = json!({"base": program.base(), "runs": plan});
    std::fs::write(&path, serde_json::to_vec(&document).unwrap()).unwrap();
    let output =
        runner(language, "matrix").arg(&path).output().expect("run scripts/setup-sdk first");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        problems.push(format!("clients for {language} saw something else: see above"));
    }
}

/// The command that runs a script of that language.
pub(super) fn runner(language: &str, script: &str) -> Command {
    let (program, file) = match language {
        "python" => (folder().join("../../.cache/venv/bin/python"), format!("python/{script}.py")),
        _ => (Path::new("node").to_owned(), format!("node/{script}.mjs")),
    };
    let mut command = Command::new(program);
    command.arg(folder().join(file));
    command
}

fn check_rows(run: &Run, rows: &[Value], problems: &mut Vec<String>) {
    let (key, model) = (run.key_name(), run.model());
    let mut rows: Vec<&Value> =
        rows.iter().filter(|row| row["key"] == key && row["model_asked"] == model).collect();
    rows.sort_by_key(|row| row["time"].as_str().unwrap().to_owned());
    if rows.len() != run.answers.len() {
        problems.push(format!("{}: {} rows of {}", run.id, rows.len(), run.answers.len()));
        return;
    }
    for (turn, row) in rows.into_iter().enumerate() {
        checks::row(run, turn, row, problems);
    }
}

fn check_received(run: &Run, received: &[Received], problems: &mut Vec<String>) {
    let user = run.user();
    let place = format!("/{}/", run.scene);
    let mine: Vec<&Received> = received
        .iter()
        .filter(|request| request.path.starts_with(&place))
        .filter(|request| Form::of(&request.path).read(request).user.contains(&user))
        .collect();
    if mine.len() != run.answers.len() {
        problems.push(format!("{}: {} requests of {}", run.id, mine.len(), run.answers.len()));
        return;
    }
    for (turn, request) in mine.into_iter().enumerate() {
        checks::received(run, turn, request, problems);
    }
}

/// What an answer costs at [`RATES`].
pub(super) fn cost(usage: &Usage) -> String {
    price(usage, NANOS[0], NANOS[1], NANOS[2]).to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs scripts/setup-sdk; run by scripts/test-sdk"]
async fn every_client_works_on_every_provider() {
    let runs = runs();
    let upstream = Upstream::start(scripted).await;
    let program = start(config(&runs, &upstream)).await;
    let mut problems = Vec::new();
    for language in ["python", "node"] {
        run_language(language, &program, &runs, &mut problems);
    }
    let (rows, received) = (program.calls(), upstream.received());
    for run in &runs {
        check_rows(run, &rows, &mut problems);
        check_received(run, &received, &mut problems);
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    program.cli(&["ledger", "verify"]);
}
