"""The client `openai` for Python: chat completions, and responses."""

import json

import openai
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


class StreamError(Exception):
    pass


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
        if "error" in kinds:
            # An error in a stream of responses is an event like others to this client.
            raise StreamError(events[kinds.index("error")].message)
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
