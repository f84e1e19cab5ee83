"""The providers' own clients for Python: `openai` (chat completions, responses), `anthropic`,
`google-genai`."""

import base64
import json

import anthropic
import openai
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from seen import City, Seen, names, result


class OpenAIChat:
    knows_529 = False
    error_classes = (openai.APIStatusError,)
    errors = {
        400: "BadRequestError",
        404: "NotFoundError",
        429: "RateLimitError",
        500: "InternalServerError",
        503: "InternalServerError",
    }

    def __init__(self, base, key, model):
        self.client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=30)
        self.model = model

    def failure(self, error):
        return error.status_code, names(error), error.message

    def messages(self, run):
        content = run["user"]
        if run["image"]:
            media, data = run["image"]
            content = [
                {"type": "text", "text": run["user"]},
                {"type": "image_url", "image_url": {"url": f"data:{media};base64,{data}"}},
            ]
        return [
            {"role": "system", "content": run["system"]},
            {"role": "user", "content": content},
        ]

    def ask(self, run):
        messages = self.messages(run)
        if run["scene"] == "structured":
            answer = self.client.chat.completions.parse(
                model=self.model, messages=messages, response_format=City
            )
            seen = self.seen(answer)
            seen.document = answer.choices[0].message.parsed.model_dump()
            return seen
        return self.seen(self.client.chat.completions.create(model=self.model, messages=messages))

    def stream(self, run):
        chunks = list(
            self.client.chat.completions.create(
                model=self.model,
                messages=self.messages(run),
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
        finishes = [choice.finish_reason for choice in choices if choice.finish_reason]
        assert len(finishes) == 1, finishes
        return Seen(
            text="".join(choice.delta.content or "" for choice in choices),
            finish=self.finish(finishes[0]),
            usage=self.usage(chunks[-1].usage),
        )

    def tools(self, run, stream):
        tools = [{"type": "function", "function": {**tool, "strict": True}} for tool in run["tools"]]
        asked = {"model": self.model, "messages": self.messages(run), "tools": tools}
        if stream:
            options = {"include_usage": True}
            with self.client.chat.completions.stream(**asked, stream_options=options) as events:
                answer = events.until_done().get_final_completion()
        else:
            answer = self.client.chat.completions.create(**asked)
        message = answer.choices[0].message
        asked["messages"].append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in asked["messages"][-1]["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
        for at, call in enumerate(message.tool_calls):
            content = result(at, call.function.name)
            asked["messages"].append(
                {"role": "tool", "tool_call_id": call.id, "content": content}
            )
        return self.seen(answer), self.seen(self.client.chat.completions.create(**asked))

    @staticmethod
    def finish(reason):
        return {"stop": "stop", "tool_calls": "tools", "length": "length"}[reason]

    @staticmethod
    def usage(usage):
        read = usage.prompt_tokens_details
        written = usage.completion_tokens_details
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
        return {
            "input": usage.prompt_tokens,
            "cache_read": (read and read.cached_tokens) or 0,
            "cache_write": (read and read.cache_write_tokens) or 0,
            "output": usage.completion_tokens,
            "reasoning": (written and written.reasoning_tokens) or 0,
        }

    def seen(self, answer):
        assert answer.object == "chat.completion", answer
        [choice] = answer.choices
        calls = choice.message.tool_calls or []
        return Seen(
            text=choice.message.content or "",
            calls=[(call.function.name, json.loads(call.function.arguments)) for call in calls],
            finish=self.finish(choice.finish_reason),
            usage=self.usage(answer.usage),
        )


class OpenAIResponses(OpenAIChat):
    def input(self, run):
        content = [{"type": "input_text", "text": run["user"]}]
        if run["image"]:
            media, data = run["image"]
            url = f"data:{media};base64,{data}"
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
        return [{"role": "user", "content": content}]

    def asked(self, run):
        return {"model": self.model, "instructions": run["system"], "input": self.input(run)}

    def ask(self, run):
        if run["scene"] == "structured":
            answer = self.client.responses.parse(**self.asked(run), text_format=City)
            seen = self.seen(answer)
            seen.document = answer.output_parsed.model_dump()
            return seen
        return self.seen(self.client.responses.create(**self.asked(run)))

    def stream(self, run):
        events = list(self.client.responses.create(**self.asked(run), stream=True))
        kinds = [event.type for event in events]
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
        numbers = [event.sequence_number for event in events]
        assert numbers == list(range(len(events))), numbers
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        seen = self.seen(events[-1].response)
        assert "".join(deltas) == seen.text, (deltas, seen.text)
        return seen

    def tools(self, run, stream):
        tools = [{"type": "function", "strict": True, **tool} for tool in run["tools"]]
        asked = {**self.asked(run), "tools": tools}
        if stream:
            events = list(self.client.responses.create(**asked, stream=True))
            answer = events[-1].response
        else:
            answer = self.client.responses.create(**asked)
        calls = [item for item in answer.output if item.type == "function_call"]
        asked["input"] += [item.model_dump(exclude_none=True) for item in answer.output]
        for at, call in enumerate(calls):
            output = result(at, call.name)
            asked["input"].append(
                {"type": "function_call_output", "call_id": call.call_id, "output": output}
            )
        return self.seen(answer), self.seen(self.client.responses.create(**asked))

    @staticmethod
    def usage(usage):
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens, usage
        return {
            "input": usage.input_tokens,
            "cache_read": usage.input_tokens_details.cached_tokens,
            "output": usage.output_tokens,
            "reasoning": usage.output_tokens_details.reasoning_tokens,
        }

    def seen(self, answer):
        calls = [item for item in answer.output if item.type == "function_call"]
        incomplete = answer.incomplete_details
        assert not incomplete or incomplete.reason == "max_output_tokens", incomplete
        assert answer.status == ("incomplete" if incomplete else "completed"), answer.status
        return Seen(
            text=answer.output_text,
            calls=[(call.name, json.loads(call.arguments)) for call in calls],
            finish="length" if incomplete else "tools" if calls else "stop",
            usage=self.usage(answer.usage),
        )


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
