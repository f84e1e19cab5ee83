"""LangChain's chat models for Python: `langchain-openai`, `-anthropic`, `-google-genai`."""

import anthropic
import openai
from google.genai import errors as google_errors
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_google_genai.chat_models import ChatGoogleGenerativeAIError
from langchain_openai import ChatOpenAI
from native import Anthropic, Google
from seen import City, Seen, names, result
from with_openai import OpenAIChat


class Chain:
    """What the three have in common; a subclass makes the model and reads the reason of the end."""

    errors = {
        400: "ModelInvalidRequestError",
        404: "ModelNotFoundError",
        429: "ModelRateLimitError",
        500: "ModelAPIError",
        503: "ModelAPIError",
        529: "ModelAPIError",
    }

    def messages(self, run):
        content = run["user"]
        if run["image"]:
            media, data = run["image"]
            picture = {"type": "image", "base64": data, "mime_type": media}
            content = [{"type": "text", "text": content}, picture]
        return [SystemMessage(run["system"]), HumanMessage(content)]

    def ask(self, run):
        if run["scene"] == "structured":
            model = self.model.with_structured_output(City, method="json_schema", include_raw=True)
            answer = model.invoke(self.messages(run))
            seen = self.seen(answer["raw"])
            seen.document = answer["parsed"].model_dump()
            return seen
        return self.seen(self.model.invoke(self.messages(run)))

    def gather(self, model, messages):
        whole = None
        for chunk in model.stream(messages):
            whole = chunk if whole is None else whole + chunk
        return whole

    def stream(self, run):
        return self.seen(self.gather(self.model, self.messages(run)))

    def tools(self, run, stream):
        tools = [{"type": "function", "function": tool} for tool in run["tools"]]
        model, messages = self.model.bind_tools(tools), self.messages(run)
        answer = self.gather(model, messages) if stream else model.invoke(messages)
        messages.append(answer)
        for at, call in enumerate(answer.tool_calls):
            text = result(at, call["name"])
            messages.append(ToolMessage(text, tool_call_id=call["id"], name=call["name"]))
        return self.seen(answer), self.seen(model.invoke(messages))

    def seen(self, message):
        usage = message.usage_metadata
        read = usage.get("input_token_details", {})
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], usage
        calls = [(call["name"], call["args"]) for call in message.tool_calls]
        assert not message.invalid_tool_calls, message.invalid_tool_calls
        finish = self.finishes[message.response_metadata[self.reason]]
        return Seen(
            text=message.text,
            calls=calls,
            finish="tools" if calls and finish == "stop" else finish,
            usage={
                "input": usage["input_tokens"],
                "cache_read": read.get("cache_read", 0),
                "output": usage["output_tokens"],
            },
        )


class LangChainOpenAI(Chain):
    knows_529 = False
    error_classes = (openai.APIStatusError,)
    failure = OpenAIChat.failure
    reason = "finish_reason"
    finishes = {"stop": "stop", "tool_calls": "tools", "length": "length"}

    def __init__(self, base, key, model):
        self.model = ChatOpenAI(
            base_url=f"{base}/v1", api_key=key, model=model, max_retries=0, stream_usage=True
        )


class LangChainAnthropic(Chain):
    knows_529 = True
    error_classes = (anthropic.APIStatusError,)
    failure = Anthropic.failure
    reason = "stop_reason"
    finishes = {"end_turn": "stop", "tool_use": "tools", "max_tokens": "length"}

    def __init__(self, base, key, model):
        self.model = ChatAnthropic(
            base_url=base, api_key=key, model=model, max_retries=0, max_tokens=1024
        )


class LangChainGoogle(Chain):
    knows_529 = False
    error_classes = (ChatGoogleGenerativeAIError, google_errors.APIError)
    statuses = Google.statuses
    reason = "finish_reason"
    finishes = {"STOP": "stop", "MAX_TOKENS": "length"}

    def __init__(self, base, key, model):
        self.model = ChatGoogleGenerativeAI(
            base_url=base, google_api_key=key, model=model, max_retries=1
        )

    def failure(self, error):
        own = error if isinstance(error, google_errors.APIError) else error.__cause__
        status, _, message = Google.failure(self, own)
        return status, names(error), message


CLIENTS = {
    "langchain-openai": LangChainOpenAI,
    "langchain-anthropic": LangChainAnthropic,
    "langchain-google": LangChainGoogle,
}
