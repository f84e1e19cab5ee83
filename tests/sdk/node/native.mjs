// The providers' own clients for Node: `openai` (chat completions, responses), `@anthropic-ai/sdk`,
// `@google/genai`.

import { ok, strictEqual } from "node:assert";

import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { City, collect, result } from "./seen.mjs";

const dataUrl = ([media, data]) => `data:${media};base64,${data}`;

class OpenAIChat {
  knows529 = false;
  errors = {
    400: "BadRequestError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "InternalServerError",
  };

  constructor(base, apiKey, model) {
    this.client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });
    this.model = model;
  }

  failure(error) {
    ok(error instanceof OpenAI.APIError, String(error));
    return { status: error.status, kind: error.constructor.name, message: error.message };
  }

  asked(run) {
    const text = { type: "text", text: run.user };
    const picture = run.image && { type: "image_url", image_url: { url: dataUrl(run.image) } };
    const content = picture ? [text, picture] : run.user;
    const messages = [
      { role: "system", content: run.system },
      { role: "user", content },
    ];
    return { model: this.model, messages };
  }

  async ask(run) {
    if (run.scene !== "structured") {
      return this.seen(await this.client.chat.completions.create(this.asked(run)));
    }
    const response_format = zodResponseFormat(City, "city");
    const answer = await this.client.chat.completions.parse({ ...this.asked(run), response_format });
    return { ...this.seen(answer), document: answer.choices[0].message.parsed };
  }

  streamed(asked) {
    return this.client.chat.completions.stream({
      ...asked,
      stream_options: { include_usage: true },
    });
  }

  async stream(run) {
    const stream = this.streamed(this.asked(run));
    const chunks = await collect(stream);
    const seen = this.seen(await stream.finalChatCompletion());
    const deltas = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "");
    strictEqual(deltas.join(""), seen.text);
    return seen;
  }

  async tools(run, stream) {
    const tools = run.tools.map((tool) => ({ type: "function", function: tool }));
    const asked = { ...this.asked(run), tools };
    const answer = stream
      ? await this.streamed(asked).finalChatCompletion()
      : await this.client.chat.completions.create(asked);
    const { role, content, tool_calls } = answer.choices[0].message;
    asked.messages.push({ role, content, tool_calls });
    for (const [at, call] of tool_calls.entries()) {
      const said = result(at, call.function.name);
      asked.messages.push({ role: "tool", tool_call_id: call.id, content: said });
    }
    return [this.seen(answer), this.seen(await this.client.chat.completions.create(asked))];
  }

  seen(answer) {
    const [{ message, finish_reason }] = answer.choices;
    const { usage } = answer;
    strictEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    return {
      text: message.content ?? "",
      calls: (message.tool_calls ?? []).map(({ function: { name, arguments: text } }) => ({
        name,
        arguments: JSON.parse(text),
      })),
      finish: { stop: "stop", tool_calls: "tools", length: "length" }[finish_reason],
      usage: {
        input: usage.prompt_tokens,
        cache_read: usage.prompt_tokens_details?.cached_tokens ?? 0,
        cache_write: usage.prompt_tokens_details?.cache_write_tokens ?? 0,
        output: usage.completion_tokens,
        reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
      },
    };
  }
}

class OpenAIResponses extends OpenAIChat {
  asked(run) {
    const content = [{ type: "input_text", text: run.user }];
    if (run.image) {
      content.push({ type: "input_image", image_url: dataUrl(run.image), detail: "auto" });
    }
    const input = [{ role: "user", content }];
    return { model: this.model, instructions: run.system, input };
  }

  async ask(run) {
    if (run.scene !== "structured") {
      return this.seen(await this.client.responses.create(this.asked(run)));
    }
    const text = { format: zodTextFormat(City, "city") };
    const answer = await this.client.responses.parse({ ...this.asked(run), text });
    return { ...this.seen(answer), document: answer.output_parsed };
  }

  async stream(run) {
    const stream = this.client.responses.stream(this.asked(run));
    const events = await collect(stream);
    const seen = this.seen(await stream.finalResponse());
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    strictEqual(deltas.map((event) => event.delta).join(""), seen.text);
    return seen;
  }

  async tools(run, stream) {
    const tools = run.tools.map((tool) => ({ type: "function", strict: true, ...tool }));
    const asked = { ...this.asked(run), tools };
    const answer = stream
      ? await this.client.responses.stream(asked).finalResponse()
      : await this.client.responses.create(asked);
    const calls = answer.output.filter((item) => item.type === "function_call");
    asked.input.push(...answer.output.map(({ parsed_arguments, ...item }) => item));
    for (const [at, { call_id, name }] of calls.entries()) {
      asked.input.push({ type: "function_call_output", call_id, output: result(at, name) });
    }
    return [this.seen(answer), this.seen(await this.client.responses.create(asked))];
  }

  seen(answer) {
    const { usage, incomplete_details: incomplete } = answer;
    strictEqual(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    strictEqual(incomplete?.reason ?? "max_output_tokens", "max_output_tokens");
    strictEqual(answer.status, incomplete ? "incomplete" : "completed");
    const calls = answer.output.filter((item) => item.type === "function_call");
    return {
      text: answer.output_text,
      calls: calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) })),
      finish: incomplete ? "length" : calls.length ? "tools" : "stop",
      usage: {
        input: usage.input_tokens,
        cache_read: usage.input_tokens_details.cached_tokens,
        output: usage.output_tokens,
        reasoning: usage.output_tokens_details.reasoning_tokens,
      },
    };
  }
}

class AnthropicMessages {
  knows529 = true;
  errors = {
    400: "BadRequestError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
    529: "OverloadedError",
  };

  constructor(baseURL, apiKey, model) {
    this.client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
    this.model = model;
  }

  failure(error) {
    ok(error instanceof Anthropic.APIError, String(error));
    strictEqual(error.error.type, "error");
    return {
      status: error.status,
      kind: error.constructor.name,
      message: error.error.error.message,
    };
  }

  asked(run) {
    const content = [{ type: "text", text: run.user }];
    if (run.image) {
      const [media_type, data] = run.image;
      content.push({ type: "image", source: { type: "base64", media_type, data } });
    }
    const messages = [{ role: "user", content }];
    return { model: this.model, max_tokens: 1024, system: run.system, messages };
  }

  async ask(run) {
    if (run.scene !== "structured") {
      return this.seen(await this.client.messages.create(this.asked(run)));
    }
    const output_config = { format: zodOutputFormat(City) };
    const answer = await this.client.messages.parse({ ...this.asked(run), output_config });
    return { ...this.seen(answer), document: answer.parsed_output };
  }

  async stream(run) {
    const stream = this.client.messages.stream(this.asked(run));
    let text = "";
    stream.on("text", (delta) => (text += delta));
    const seen = this.seen(await stream.finalMessage());
    strictEqual(text, seen.text);
    return seen;
  }

  async tools(run, stream) {
    const tools = run.tools.map(({ name, description, parameters }) => ({
      name,
      description,
      input_schema: parameters,
    }));
    const asked = { ...this.asked(run), tools };
    const answer = stream
      ? await this.client.messages.stream(asked).finalMessage()
      : await this.client.messages.create(asked);
    const calls = answer.content.filter((block) => block.type === "tool_use");
    const results = calls.map(({ id, name }, at) => ({
      type: "tool_result",
      tool_use_id: id,
      content: result(at, name),
    }));
    asked.messages.push({ role: "assistant", content: answer.content });
    asked.messages.push({ role: "user", content: results });
    return [this.seen(answer), this.seen(await this.client.messages.create(asked))];
  }

  seen(answer) {
    const { usage } = answer;
    const [read, written] = [usage.cache_read_input_tokens, usage.cache_creation_input_tokens];
    const finish = { end_turn: "stop", tool_use: "tools", max_tokens: "length" };
    const texts = answer.content.filter((block) => block.type === "text");
    const calls = answer.content.filter((block) => block.type === "tool_use");
    return {
      text: texts.map((block) => block.text).join(""),
      calls: calls.map((block) => ({ name: block.name, arguments: block.input })),
      finish: finish[answer.stop_reason],
      usage: {
        input: usage.input_tokens + (read ?? 0) + (written ?? 0),
        cache_read: read ?? 0,
        cache_write: written ?? 0,
        output: usage.output_tokens,
      },
    };
  }
}

class Google {
  knows529 = false;
  errors = { 400: "ApiError", 404: "ApiError", 429: "ApiError", 500: "ApiError", 503: "ApiError" };

  constructor(baseUrl, apiKey, model) {
    const httpOptions = { baseUrl, timeout: 30_000 };
    this.client = new GoogleGenAI({ apiKey, httpOptions });
    this.model = model;
  }

  failure(error) {
    ok(error instanceof ApiError, String(error));
    // This client keeps the error as the text of its body.
    const body = JSON.parse(error.message).error;
    strictEqual(body.code, error.status);
    return { status: error.status, kind: error.name, message: body.message };
  }

  asked(run) {
    const parts = [{ text: run.user }];
    if (run.image) {
      const [mimeType, data] = run.image;
      parts.push({ inlineData: { mimeType, data } });
    }
    const config = { systemInstruction: run.system };
    if (run.scene === "structured") {
      config.responseMimeType = "application/json";
      config.responseJsonSchema = z.toJSONSchema(City);
    }
    if (run.tools) {
      const functionDeclarations = run.tools.map(({ name, description, parameters }) => ({
        name,
        description,
        parametersJsonSchema: parameters,
      }));
      config.tools = [{ functionDeclarations }];
    }
    return { model: this.model, contents: [{ role: "user", parts }], config };
  }

  async ask(run) {
    const answer = await this.client.models.generateContent(this.asked(run));
    const seen = this.seen([answer]);
    return run.scene === "structured" ? { ...seen, document: JSON.parse(answer.text) } : seen;
  }

  async stream(run) {
    return this.seen(await collect(await this.client.models.generateContentStream(this.asked(run))));
  }

  async tools(run, stream) {
    const asked = this.asked(run);
    const chunks = stream
      ? await collect(await this.client.models.generateContentStream(asked))
      : [await this.client.models.generateContent(asked)];
    const parts = this.parts(chunks);
    const calls = parts.map((part) => part.functionCall).filter(Boolean);
    const results = calls.map(({ id, name }, at) => ({
      functionResponse: { id, name, response: { result: result(at, name) } },
    }));
    asked.contents.push({ role: "model", parts }, { role: "user", parts: results });
    return [this.seen(chunks), this.seen([await this.client.models.generateContent(asked)])];
  }

  parts(chunks) {
    return chunks.flatMap((chunk) => chunk.candidates?.[0]?.content?.parts ?? []);
  }

  seen(chunks) {
    const parts = this.parts(chunks);
    const calls = parts.map((part) => part.functionCall).filter(Boolean);
    const reasons = chunks.map((chunk) => chunk.candidates?.[0]?.finishReason).filter(Boolean);
    const finish = { STOP: calls.length ? "tools" : "stop", MAX_TOKENS: "length" };
    const usage = chunks.at(-1).usageMetadata;
    const thoughts = usage.thoughtsTokenCount ?? 0;
    const texts = parts.filter((part) => !part.thought).map((part) => part.text ?? "");
    return {
      text: texts.join(""),
      calls: calls.map((call) => ({ name: call.name, arguments: call.args ?? {} })),
      finish: finish[reasons.at(-1)],
      usage: {
        input: usage.promptTokenCount + (usage.toolUsePromptTokenCount ?? 0),
        cache_read: usage.cachedContentTokenCount ?? 0,
        output: (usage.candidatesTokenCount ?? 0) + thoughts,
        reasoning: thoughts,
      },
    };
  }
}

export const clients = {
  "openai-chat": OpenAIChat,
  "openai-responses": OpenAIResponses,
  anthropic: AnthropicMessages,
  google: Google,
};
