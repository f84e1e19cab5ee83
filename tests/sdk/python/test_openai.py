"""The OpenAI client for Python against a running program.

Where the program is and what its models are called comes from the environment, so that the same
tests run before a scripted provider and before the simulated one:

  TOLLGATE_BASE_URL, TOLLGATE_KEY                  where, and with which key
  MODEL_CHAT, MODEL_EMBED, MODEL_RESPONSES         models that answer
  MODEL_TOOLS, MODEL_STRUCTURED                    models that call a tool, or answer with JSON
  MODEL_BAD_REQUEST, MODEL_RATE_LIMITED, MODEL_FAILING   models whose provider fails so
  MODEL_QUOTA, MODEL_RATE                          models of one call a day, or one in two seconds

A test whose model is not named is skipped, and says so.
"""

import os
import unittest

import openai
from pydantic import BaseModel

BASE_URL = os.environ["TOLLGATE_BASE_URL"]
KEY = os.environ["TOLLGATE_KEY"]
MESSAGES = [{"role": "user", "content": "Say hello, please."}]


def model(name):
    value = os.environ.get(f"MODEL_{name}", "")
    if not value:
        raise unittest.SkipTest(f"MODEL_{name} is not set")
    return value


def client(key=KEY):
    return openai.OpenAI(base_url=BASE_URL, api_key=key, max_retries=0, timeout=30)


def patient():
    """A client that tries again by itself, as the program tells it."""
    return openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=4, timeout=30)


def named(request_id):
    return {"x-tollgate-user": "python", "x-request-id": request_id}


class City(BaseModel):
    name: str
    population: int


class OpenAIClient(unittest.TestCase):
    def test_chat(self):
        answer = client().chat.completions.create(model=model("CHAT"), messages=MESSAGES)
        self.assertEqual(answer.object, "chat.completion")
        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.prompt_tokens, 0)
        self.assertGreater(answer.usage.completion_tokens, 0)

    def test_a_quota_refusal_is_not_tried_again(self):
        def ask(request_id):
            return patient().chat.completions.create(
                model=model("QUOTA"), messages=MESSAGES, extra_headers=named(request_id)
            )

        self.assertTrue(ask("first-quota-python").choices[0].message.content)
        with self.assertRaises(openai.RateLimitError) as refused:
            ask("quota-python")
        self.assertEqual(refused.exception.code, "quota_exhausted")

    def test_a_rate_refusal_is_waited_out(self):
        for request_id in ["first-rate-python", "rate-python"]:
            answer = patient().chat.completions.create(
                model=model("RATE"), messages=MESSAGES, extra_headers=named(request_id)
            )
            self.assertTrue(answer.choices[0].message.content)

    def test_headers_name_the_call(self):
        raw = client().chat.completions.with_raw_response.create(
            model=model("CHAT"), messages=MESSAGES, extra_headers={"x-request-id": "from-python"}
        )
        self.assertEqual(raw.headers["x-request-id"], "from-python")
        self.assertEqual(len(raw.headers["x-tollgate-call-id"]), 36)

    def test_stream_without_usage_shows_none(self):
        stream = client().chat.completions.create(
            model=model("CHAT"), messages=MESSAGES, stream=True
        )
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertTrue(text)
        self.assertTrue(all(chunk.usage is None for chunk in chunks))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_stream_with_usage_ends_with_it(self):
        stream = client().chat.completions.create(
            model=model("CHAT"),
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_tools(self):
        answer = client().chat.completions.create(
            model=model("TOOLS"),
            messages=MESSAGES,
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "weather",
                        "parameters": {
                            "type": "object",
                            "properties": {"city": {"type": "string"}},
                        },
                    },
                }
            ],
        )
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(call.function.name, "weather")
        self.assertIn("city", call.function.arguments)

    def test_structured_output(self):
        answer = client().chat.completions.parse(
            model=model("STRUCTURED"), messages=MESSAGES, response_format=City
        )
        self.assertIsInstance(answer.choices[0].message.parsed, City)

    def test_embeddings(self):
        answer = client().embeddings.create(model=model("EMBED"), input=["one", "two"])
        self.assertEqual(len(answer.data), 2)
        self.assertGreater(len(answer.data[0].embedding), 0)
        self.assertIsInstance(answer.data[0].embedding[0], float)

    def test_responses(self):
        answer = client().responses.create(model=model("RESPONSES"), input="Say hello.")
        self.assertEqual(answer.status, "completed")
        self.assertTrue(answer.output_text)
        self.assertGreater(answer.usage.output_tokens, 0)

    def test_responses_stream(self):
        events = list(
            client().responses.create(model=model("RESPONSES"), input="Say hello.", stream=True)
        )
        self.assertEqual(events[0].type, "response.created")
        self.assertEqual(events[-1].type, "response.completed")
        deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
        self.assertEqual("".join(deltas), events[-1].response.output_text)
        self.assertGreater(events[-1].response.usage.output_tokens, 0)

    def test_models(self):
        self.assertIn(model("CHAT"), [each.id for each in client().models.list()])

    def test_wrong_key_is_an_authentication_error(self):
        with self.assertRaises(openai.AuthenticationError) as caught:
            client("tg_wrong").chat.completions.create(model=model("CHAT"), messages=MESSAGES)
        self.assertEqual(caught.exception.status_code, 401)
        self.assertEqual(caught.exception.code, "unauthenticated")

    def test_unknown_model_is_not_found(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            client().chat.completions.create(model="no-such-model", messages=MESSAGES)
        self.assertEqual(caught.exception.code, "unknown_model")

    def test_request_without_model_is_a_bad_request(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            client().post("/chat/completions", body={"messages": MESSAGES}, cast_to=object)
        self.assertEqual(caught.exception.code, "invalid_request")

    def test_bad_request_of_the_provider(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            client().chat.completions.create(model=model("BAD_REQUEST"), messages=MESSAGES)
        self.assertIn("scripted", caught.exception.message)

    def test_rate_limit_of_the_provider(self):
        with self.assertRaises(openai.RateLimitError):
            client().chat.completions.create(model=model("RATE_LIMITED"), messages=MESSAGES)

    def test_failing_provider_is_an_internal_server_error(self):
        with self.assertRaises(openai.InternalServerError):
            client().chat.completions.create(model=model("FAILING"), messages=MESSAGES)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    print(f"python: {result.testsRun - failed - len(result.skipped)} passed, "
          f"{failed} failed, {len(result.skipped)} skipped")
    raise SystemExit(1 if failed else 0)
