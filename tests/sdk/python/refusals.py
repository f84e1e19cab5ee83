"""What Python clients make of a limit that refuses them: `refusals.py PLAN`.

Each client calls twice. Where the second is over a quota, the client must raise its error at once
(crates/tollgate/tests/it/sdk/refusals.rs counts the requests); where it is over a rate, the client
must wait as it was told, try again by itself and have its answer.
"""

import json
import sys

import anthropic
import openai
from google import genai
from google.genai import errors, types
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

SAY = [{"role": "user", "content": "Say hello, please."}]


def with_openai(base, key, model):
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=key)
    return lambda: client.chat.completions.create(model=model, messages=SAY)


def with_anthropic(base, key, model):
    client = anthropic.Anthropic(base_url=base, api_key=key)
    return lambda: client.messages.create(model=model, messages=SAY, max_tokens=64)


def with_token(base, key, model):
    client = anthropic.Anthropic(base_url=base, auth_token=key)
    return lambda: client.messages.create(model=model, messages=SAY, max_tokens=64)


def with_google(base, key, model):
    # By default this client never tries again; it knows no header that says when.
    options = types.HttpOptions(base_url=base)
    if "rate" in key:
        options.retry_options = types.HttpRetryOptions(attempts=4, initial_delay=1, jitter=0)
    client = genai.Client(api_key=key, http_options=options)
    return lambda: client.models.generate_content(model=model, contents="Say hello, please.")


def with_chain(make, suffix):
    def client(base, key, model):
        chain = make(base_url=f"{base}{suffix}", api_key=key, model=model)
        return lambda: chain.invoke("Say hello, please.")

    return client


CLIENTS = {
    "openai": (with_openai, openai.RateLimitError),
    "anthropic": (with_anthropic, anthropic.RateLimitError),
    "anthropic-token": (with_token, anthropic.RateLimitError),
    "google": (with_google, errors.ClientError),
    "langchain-openai": (with_chain(ChatOpenAI, "/v1"), openai.RateLimitError),
    "langchain-anthropic": (with_chain(ChatAnthropic, ""), anthropic.RateLimitError),
}


def execute(plan, run):
    make, refused = CLIENTS[run["client"]]
    call = make(plan["base"], run["key"], plan["model"])
    call()
    if plan["limit"] == "rate":
        call()
        return
    try:
        call()
    except refused as error:
        assert "quota" in str(error) or "daily" in str(error), error
        return
    raise AssertionError("the quota did not refuse")


def main(path):
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    failed = 0
    for run in plan["runs"]:
        try:
            execute(plan, run)
        except Exception as error:  # A client that stumbles over a refusal raises anything.
            failed += 1
            print(f"FAILED {run['client']}: {error!r}")
    print(f"python, {plan['limit']}: {len(plan['runs']) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
