// The OpenAI client for Node against a running program. The environment says where it is and what
// its models are called; tests/sdk/python/test_openai.py documents the variables. A test whose model
// is not named is skipped, and says so.

import assert from "node:assert/strict";
import test from "node:test";

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const baseURL = process.env.TOLLGATE_BASE_URL;
const apiKey = process.env.TOLLGATE_KEY;
const messages = [{ role: "user", content: "Say hello, please." }];
const client = (key = apiKey) =>
  new OpenAI({ baseURL, apiKey: key, maxRetries: 0, timeout: 30_000 });

/** Runs `body` with the model that the environment names, or skips. */
function withModel(title, name, body) {
  const model = process.env[`MODEL_${name}`];
  test(title, { skip: model ? false : `MODEL_${name} is not set` }, () => body(model));
}

async function collect(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

withModel("chat", "CHAT", async (model) => {
  const answer = await client().chat.completions.create({ model, messages });
  assert.equal(answer.object, "chat.completion");
  assert.ok(answer.choices[0].message.content);
  assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0);
});

// A client that tries again by itself, as the program tells it.
const patient = () => new OpenAI({ baseURL, apiKey, maxRetries: 4, timeout: 30_000 });
const named = (id) => ({ headers: { "x-tollgate-user": "node", "x-request-id": id } });

withModel("a quota refusal is not tried again", "QUOTA", async (model) => {
  const ask = (id) => patient().chat.completions.create({ model, messages }, named(id));
  assert.ok((await ask("first-quota-node")).choices[0].message.content);
  await assert.rejects(ask("quota-node"), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.code, "quota_exhausted");
    return true;
  });
});

withModel("a rate refusal is waited out", "RATE", async (model) => {
  for (const id of ["first-rate-node", "rate-node"]) {
    const answer = await patient().chat.completions.create({ model, messages }, named(id));
    assert.ok(answer.choices[0].message.content);
  }
});

withModel("headers name the call", "CHAT", async (model) => {
  const { response } = await client()
    .chat.completions.create({ model, messages }, { headers: { "x-request-id": "from-node" } })
    .withResponse();
  assert.equal(response.headers.get("x-request-id"), "from-node");
  assert.equal(response.headers.get("x-tollgate-call-id").length, 36);
});

withModel("a stream without usage shows none", "CHAT", async (model) => {
  const stream = await client().chat.completions.create({ model, messages, stream: true });
  const chunks = await collect(stream);
  assert.ok(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""));
  assert.ok(chunks.every((chunk) => !chunk.usage));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

withModel("a stream with usage ends with it", "CHAT", async (model) => {
  const stream = await client().chat.completions.create({
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = await collect(stream);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

withModel("tools", "TOOLS", async (model) => {
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  const answer = await client().chat.completions.create({
    model,
    messages,
    tools: [{ type: "function", function: { name: "weather", parameters } }],
  });
  assert.equal(answer.choices[0].finish_reason, "tool_calls");
  assert.equal(answer.choices[0].message.tool_calls[0].function.name, "weather");
});

withModel("structured output", "STRUCTURED", async (model) => {
  const city = z.object({ name: z.string(), population: z.number() });
  const answer = await client().chat.completions.parse({
    model,
    messages,
    response_format: zodResponseFormat(city, "city"),
  });
  assert.equal(typeof answer.choices[0].message.parsed.population, "number");
});

withModel("embeddings", "EMBED", async (model) => {
  const answer = await client().embeddings.create({ model, input: ["one", "two"] });
  assert.equal(answer.data.length, 2);
  assert.equal(typeof answer.data[0].embedding[0], "number");
});

withModel("responses", "RESPONSES", async (model) => {
  const answer = await client().responses.create({ model, input: "Say hello." });
  assert.equal(answer.status, "completed");
  assert.ok(answer.output_text);
  assert.ok(answer.usage.output_tokens > 0);
});

withModel("streamed responses", "RESPONSES", async (model) => {
  const stream = await client().responses.create({ model, input: "Say hello.", stream: true });
  const events = await collect(stream);
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
  assert.ok(events.some((event) => event.type === "response.output_text.delta"));
  assert.ok(events.at(-1).response.usage.output_tokens > 0);
});

withModel("models", "CHAT", async (model) => {
  const models = await collect(client().models.list());
  assert.ok(models.some((each) => each.id === model));
});

withModel("a wrong key is an authentication error", "CHAT", async (model) => {
  const asked = client("tg_wrong").chat.completions.create({ model, messages });
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
    assert.equal(error.status, 401);
    assert.equal(error.code, "unauthenticated");
    return true;
  });
});

test("an unknown model is not found", async () => {
  const asked = client().chat.completions.create({ model: "no-such-model", messages });
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
    assert.equal(error.code, "unknown_model");
    return true;
  });
});

test("a request without a model is a bad request", async () => {
  const asked = client().post("/chat/completions", { body: { messages } });
  await assert.rejects(asked, (error) => error instanceof OpenAI.BadRequestError);
});

withModel("a bad request of the provider", "BAD_REQUEST", async (model) => {
  const asked = client().chat.completions.create({ model, messages });
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError, String(error));
    assert.match(error.message, /scripted/);
    return true;
  });
});

withModel("a rate limit of the provider", "RATE_LIMITED", async (model) => {
  const asked = client().chat.completions.create({ model, messages });
  await assert.rejects(asked, (error) => error instanceof OpenAI.RateLimitError);
});

withModel("a failing provider is an internal server error", "FAILING", async (model) => {
  const asked = client().chat.completions.create({ model, messages });
  await assert.rejects(asked, (error) => error instanceof OpenAI.InternalServerError);
});
