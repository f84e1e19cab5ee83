// What Node clients make of a limit that refuses them: `refusals.mjs PLAN`, as
// tests/sdk/python/refusals.py describes.

import { ok, rejects } from "node:assert";
import { readFileSync } from "node:fs";

import { createAnthropic } from "@ai-sdk/anthropic";
import Anthropic from "@anthropic-ai/sdk";
import { generateText } from "ai";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Say hello, please." }];

const clients = {
  openai(base, apiKey, model) {
    const client = new OpenAI({ baseURL: `${base}/v1`, apiKey });
    return [() => client.chat.completions.create({ model, messages }), OpenAI.RateLimitError];
  },
  anthropic(baseURL, apiKey, model) {
    const client = new Anthropic({ baseURL, apiKey });
    const call = () => client.messages.create({ model, messages, max_tokens: 64 });
    return [call, Anthropic.RateLimitError];
  },
  "ai-anthropic"(base, apiKey, name) {
    const model = createAnthropic({ baseURL: `${base}/v1`, apiKey })(name);
    // This library reads no header that forbids to try again; an application says it.
    const maxRetries = plan.limit === "rate" ? 2 : 0;
    return [() => generateText({ model, messages, maxRetries }), Error];
  },
};

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
let failed = 0;
for (const { client, key } of plan.runs) {
  try {
    const [call, refused] = clients[client](plan.base, key, plan.model);
    await call();
    if (plan.limit === "rate") await call();
    else await rejects(call(), (error) => error instanceof refused && /daily/.test(error.message));
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${client}: ${error.stack}`);
  }
}
ok(plan.runs.length > 0);
console.log(`node, ${plan.limit}: ${plan.runs.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
