"""Every Python client on every provider: `matrix.py PLAN`.

The plan (written by crates/tollgate/tests/it/sdk/matrix.rs) says where the program is, and for each
run which client asks what of which model, and what it must see. An adapter (`native.py`,
`chains.py`) puts the question in the client's own words and its answer on one scale:

  ask(run)        -> Seen, for a whole answer, a picture or a document by a schema
  stream(run)     -> Seen, put together from a stream
  tools(run, how) -> [Seen, Seen]: calls of tools, and the answer once their results are sent
  failure(error)  -> (status, names of the classes that it can be caught as, message)
"""

import json
import sys
import traceback

import chains
import native

CLIENTS = {**native.CLIENTS, **chains.CLIENTS}


class Mismatch(Exception):
    pass


def same(what, seen, expected):
    if seen != expected:
        raise Mismatch(f"{what} is {seen!r}, not {expected!r}")


def compare(seen, expected):
    """What was seen is what the fixture says, as far as the client can tell."""
    same("text", seen.text, expected["text"])
    same("calls", [{"name": n, "arguments": a} for n, a in seen.calls], expected["calls"])
    same("finish", seen.finish, expected["finish"])
    for kind, count in seen.usage.items():
        same(f"usage.{kind}", count, expected["usage"][kind])


def compare_error(client, run, error):
    status, names, message = client.failure(error)
    wanted = run["expected"]["status"]
    # Only Anthropic's clients know 529.
    wanted = 503 if wanted == 529 and not client.knows_529 else wanted
    same("status", status, wanted)
    if client.errors[wanted] not in names:
        raise Mismatch(f"the error is {names}, not {client.errors[wanted]!r}")
    if run["expected"]["message"] not in message:
        raise Mismatch(f"{message!r} does not say {run['expected']['message']!r}")


def execute(client, run):
    scene, expected = run["scene"], run["expected"]
    if "status" in expected:
        try:
            seen = client.ask(run)
        except client.error_classes as error:
            compare_error(client, run, error)
            return
        raise Mismatch(f"no error, but {seen}")
    if scene == "broken":
        try:
            seen = client.stream(run)
        except Exception as error:
            if expected["broken"] not in str(error):
                raise
            return
        raise Mismatch(f"a stream that broke off seems whole: {seen}")
    if scene.startswith("tools"):
        first, second = client.tools(run, stream=scene.endswith("stream"))
        compare(first, expected)
        compare(second, run["expected_after_tools"])
        return
    seen = client.stream(run) if scene == "stream" else client.ask(run)
    compare(seen, expected)
    if scene == "structured":
        same("document", seen.document, json.loads(expected["text"]))


def main(path):
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    failed = 0
    for run in plan["runs"]:
        try:
            client = CLIENTS[run["client"]](plan["base"], run["key"], run["model"])
            execute(client, run)
        except Mismatch as mismatch:
            failed += 1
            print(f"FAILED {run['id']}: {mismatch}")
        except Exception as error:  # A client that stumbles over an answer raises anything.
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAILED {run['id']}: {error!r} at {where.filename}:{where.lineno}")
    print(f"python: {len(plan['runs']) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
