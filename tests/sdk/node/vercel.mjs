// Vercel's `ai` with `@ai-sdk/openai` (chat completions, responses), `@ai-sdk/anthropic` and
// `@ai-sdk/google`.

import { ok } from "node:assert";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogle } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, jsonSchema, Output, streamText, tool } from "ai";

import { City, result } from "./seen.mjs";

/** What the four have in common: the library; they differ in the model that it is given. */
class Vercel {
  knows529 = false;
  errors = Object.fromEntries([400, 404, 429, 500, 503, 529].map((s) => [s, "AI_APICallError"]));

  failure(error) {
    ok(APICallError.isInstance(error), String(error));
    const { statusCode: status, name: kind, message, isRetryable } = error;
    ok(isRetryable === (status === 429 || status >= 500), `isRetryable is ${isRetryable}`);
    return { status, kind, message };
  }

  asked(run) {
    const content = [{ type: "text", text: run.user }];
    if (run.image) {
      const [mediaType, data] = run.image;
      content.push({ type: "file", mediaType, data });
    }
    const messages = [{ role: "user", content }];
    const { model, providerOptions } = this;
    return { model, providerOptions, maxRetries: 0, instructions: run.system, messages };
  }

  async ask(run) {
    if (run.scene !== "structured") return this.seen(await generateText(this.asked(run)));
    const output = Output.object({ schema: City });
    const answer = await generateText({ ...this.asked(run), output });
    return { ...this.seen(answer), document: answer.output };
  }

  /** A stream's parts, once it has ended; an error in it is thrown. */
  async streamed(asked) {
    let failure;
    const stream = streamText({ ...asked, onError: ({ error }) => (failure = error) });
    let said = "";
    for await (const delta of stream.textStream) said += delta;
    if (failure) throw failure;
    const [text, toolCalls, finishReason, usage, responseMessages] = await Promise.all([
      stream.text,
      stream.toolCalls,
      stream.finishReason,
      stream.usage,
      stream.responseMessages,
    ]);
    ok(said === text, `${said} is not ${text}`);
    return { text, toolCalls, finishReason, usage, responseMessages };
  }

  async stream(run) {
    return this.seen(await this.streamed(this.asked(run)));
  }

  async tools(run, stream) {
    const tools = Object.fromEntries(
      run.tools.map(({ name, description, parameters }) => [
        name,
        tool({ description, inputSchema: jsonSchema(parameters) }),
      ]),
    );
    const asked = { ...this.asked(run), tools };
    const answer = stream ? await this.streamed(asked) : await generateText(asked);
    const results = answer.toolCalls.map(({ toolCallId, toolName }, at) => ({
      type: "tool-result",
      toolCallId,
      toolName,
      output: { type: "text", value: result(at, toolName) },
    }));
    asked.messages.push(...answer.responseMessages, { role: "tool", content: results });
    return [this.seen(answer), this.seen(await generateText(asked))];
  }

  seen({ text, toolCalls, finishReason, usage }) {
    // What the provider ran by itself (a search) is none of the application's calls.
    const calls = toolCalls.filter((call) => !call.providerExecuted);
    return {
      text,
      calls: calls.map(({ toolName, input }) => ({ name: toolName, arguments: input })),
      finish: { stop: "stop", "tool-calls": "tools", length: "length" }[finishReason],
      usage: {
        input: usage.inputTokens,
        cache_read: usage.inputTokenDetails.cacheReadTokens ?? 0,
        output: usage.outputTokens,
      },
    };
  }
}

class VercelChat extends Vercel {
  constructor(base, apiKey, model) {
    super();
    this.model = createOpenAI({ baseURL: `${base}/v1`, apiKey }).chat(model);
  }
}

class VercelResponses extends Vercel {
  // By default it refers to earlier answers by id, which only the provider that keeps them can read.
  providerOptions = { openai: { store: false } };

  constructor(base, apiKey, model) {
    super();
    this.model = createOpenAI({ baseURL: `${base}/v1`, apiKey })(model);
  }
}

class VercelAnthropic extends Vercel {
  knows529 = true;
  // By default it asks models that it does not know by name for documents through a tool.
  providerOptions = { anthropic: { structuredOutputMode: "outputFormat" } };

  constructor(base, apiKey, model) {
    super();
    this.model = createAnthropic({ baseURL: `${base}/v1`, apiKey })(model);
  }
}

class VercelGoogle extends Vercel {
  constructor(base, apiKey, model) {
    super();
    this.model = createGoogle({ baseURL: `${base}/v1beta`, apiKey })(model);
  }
}

export const clients = {
  "ai-openai-chat": VercelChat,
  "ai-openai-responses": VercelResponses,
  "ai-anthropic": VercelAnthropic,
  "ai-google": VercelGoogle,
};
