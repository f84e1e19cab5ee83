"""The providers' own clients for Python: `openai` (in `with_openai.py`), `anthropic` and
`google-genai`."""

import base64

import anthropic
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from seen import City, Seen, names, result
from with_openai import OpenAIChat, OpenAIResponses


class Anthropic:
    knows_529 = True
    error_classes = (anthropic.APIStatusError,)
    errors = {
        400: "BadRequestError",
        404: "NotFoundError",
        429: "RateLimitError",
        500: "InternalServerError",
        503: "ServiceUnavailableError",
        529: "OverloadedError",
    }

    def __init__(self, base, key, model):
        self.client = anthropic.Anthropic(base_url=base, api_key=key, max_retries=0, timeout=30)
        self.model = model

    def failure(self, error):
        return error.status_code, names(error), error.body["error"]["message"]

    def asked(self, run):
        content = run["user"]
        if run["image"]:
            media, data = run["image"]
            source = {"type": "base64", "media_type": media, "data": data}
            content = [{"type": "text", "text": content}, {"type": "image", "source": source}]
        return {
            "model": self.model,
            "max_tokens": 1024,
            "system": run["system"],
            "messages": [{"role": "user", "content": content}],
        }

    def ask(self, run):
        if run["scene"] == "structured":
            answer = self.client.messages.parse(**self.asked(run), output_format=City)
            seen = self.seen(answer)
            seen.document = answer.parsed_output.model_dump()
            return seen
        return self.seen(self.client.messages.create(**self.asked(run)))

    def stream(self, run):
        with self.client.messages.stream(**self.asked(run)) as stream:
            text = "".join(stream.text_stream)
            seen = self.seen(stream.get_final_message())
        assert text == seen.text, (text, seen.text)
        return seen

    def tools(self, run, stream):
        tools = [
            {
                "name": tool["name"],
                "description": tool["description"],
                "input_schema": tool["parameters"],
            }
            for tool in run["tools"]
        ]
        asked = {**self.asked(run), "tools": tools}
        if stream:
            with self.client.messages.stream(**asked) as events:
                answer = events.get_final_message()
        else:
            answer = self.client.messages.create(**asked)
        asked["messages"].append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": result(at, call.name)}
            for at, call in enumerate(calls)
        ]
        asked["messages"].append({"role": "user", "content": results})
        return self.seen(answer), self.seen(self.client.messages.create(**asked))

    def seen(self, answer):
        assert answer.type == "message" and answer.role == "assistant", answer
        usage = answer.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        finish = {"end_turn": "stop", "tool_use": "tools", "max_tokens": "length"}
        return Seen(
            text="".join(block.text for block in answer.content if block.type == "text"),
            calls=[(b.name, b.input) for b in answer.content if b.type == "tool_use"],
            finish=finish[answer.stop_reason],
            usage={
                "input": usage.input_tokens + read + written,
                "cache_read": read,
                "cache_write": written,
                "output": usage.output_tokens,
            },
        )


class Google:
    knows_529 = False
    error_classes = (google_errors.APIError,)
    errors = {
        400: "ClientError",
        404: "ClientError",
        429: "ClientError",
        500: "ServerError",
        503: "ServerError",
    }
    statuses = {
        400: "INVALID_ARGUMENT",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }

    def __init__(self, base, key, model):
        options = types.HttpOptions(base_url=base, timeout=30_000)
        self.client = genai.Client(api_key=key, http_options=options)
        self.model = model

    def failure(self, error):
        assert error.status == self.statuses[error.code], error
        return error.code, names(error), error.message

    def asked(self, run):
        parts = [types.Part.from_text(text=run["user"])]
        if run["image"]:
            media, data = run["image"]
            parts.append(types.Part.from_bytes(data=base64.b64decode(data), mime_type=media))
        config = types.GenerateContentConfig(system_instruction=run["system"])
        if run["scene"] == "structured":
            config.response_mime_type = "application/json"
            config.response_schema = City
        if run["tools"]:
            declarations = [
                types.FunctionDeclaration(
                    name=tool["name"],
                    description=tool["description"],
                    parameters_json_schema=tool["parameters"],
                )
                for tool in run["tools"]
            ]
            config.tools = [types.Tool(function_declarations=declarations)]
            off = types.AutomaticFunctionCallingConfig(disable=True)
            config.automatic_function_calling = off
        contents = [types.Content(role="user", parts=parts)]
        return {"model": self.model, "contents": contents, "config": config}

    def ask(self, run):
        answer = self.client.models.generate_content(**self.asked(run))
        seen = self.seen([answer])
        if run["scene"] == "structured":
            seen.document = answer.parsed.model_dump()
        return seen

    def stream(self, run):
        return self.seen(list(self.client.models.generate_content_stream(**self.asked(run))))

    def tools(self, run, stream):
        asked = self.asked(run)
        if stream:
            chunks = list(self.client.models.generate_content_stream(**asked))
        else:
            chunks = [self.client.models.generate_content(**asked)]
        parts = self.parts(chunks)
        asked["contents"].append(types.Content(role="model", parts=parts))
        calls = [part.function_call for part in parts if part.function_call]
        results = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=call.name, response={"result": result(at, call.name)}
                )
            )
            for at, call in enumerate(calls)
        ]
        asked["contents"].append(types.Content(role="user", parts=results))
        return self.seen(chunks), self.seen([self.client.models.generate_content(**asked)])

    @staticmethod
    def parts(chunks):
        contents = [c.candidates[0].content for c in chunks if c.candidates]
        return [part for content in contents if content for part in content.parts or []]

    def seen(self, chunks):
        parts = self.parts(chunks)
        calls = [part.function_call for part in parts if part.function_call]
        reasons = [c.candidates[0].finish_reason for c in chunks if c.candidates]
        finish = {"STOP": "tools" if calls else "stop", "MAX_TOKENS": "length"}
        usage = chunks[-1].usage_metadata
        thoughts = usage.thoughts_token_count or 0
        return Seen(
            text="".join(part.text or "" for part in parts if not part.thought),
            calls=[(call.name, call.args or {}) for call in calls],
            finish=finish[reasons[-1].value],
            usage={
                "input": usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
                "cache_read": usage.cached_content_token_count or 0,
                "output": (usage.candidates_token_count or 0) + thoughts,
                "reasoning": thoughts,
            },
        )


CLIENTS = {
    "openai-chat": OpenAIChat,
    "openai-responses": OpenAIResponses,
    "anthropic": Anthropic,
    "google": Google,
}
