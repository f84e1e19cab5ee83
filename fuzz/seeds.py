#!/usr/bin/env python3
"""Makes fuzz/seeds and fuzz/words.dict from recorded exchanges with real providers.

    python3 fuzz/seeds.py FOLDER

FOLDER has a JSON file per exchange (request.body, response.body or body_text, api, endpoint). A seed
is four letters that choose (see fuzz/src/lib.rs) and a body. Only short exchanges are taken: a fuzzer
works with many small inputs, and what it needs is each form once. What no recording has (forms of
files, frames, sound) is written here.
"""

import base64
import json
import pathlib
import re
import struct
import sys

# The order of `Endpoint::all`.
ENDPOINTS = """chat completions embeddings responses compact input_tokens moderations images speech
transcriptions messages message_tokens generate stream_generate count embed batch_embed converse
converse_stream invoke invoke_stream cohere cohere_embed ollama other read""".split()
BY_API = {
    ("openai-chat", ""): "chat",
    ("openai-embeddings", ""): "embeddings",
    ("openai-responses", "responses.compact"): "compact",
    ("openai-responses", ""): "responses",
    ("anthropic", ""): "messages",
    ("count", "messages.count_tokens"): "message_tokens",
    ("gemini", "streamGenerateContent"): "stream_generate",
    ("gemini", ""): "generate",
    ("gemini-embed", ""): "batch_embed",
    ("bedrock", "converse-stream"): "converse_stream",
    ("bedrock", ""): "converse",
    ("bedrock-invoke", ""): "invoke",
    ("cohere", ""): "cohere",
}
LONGEST = 3000
HERE = pathlib.Path(__file__).parent


def head(endpoint):
    return chr(ord("a") + ENDPOINTS.index(endpoint)) + "aeb"


def frames(raw):
    """The frames of an event stream as the lines that fuzz/src/frames.rs makes frames of."""
    lines = []
    while raw:
        total, headers = struct.unpack(">II", raw[:8])
        block, payload = raw[12 : 12 + headers], raw[12 + headers : total - 4]
        kind = re.search(rb":event-type\x07..([A-Za-z]+)", block, re.S)
        lines.append(kind.group(1) + b" " + payload)
        raw = raw[total:]
    return b"\n".join(lines).decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def exchange(case):
    """Kind and text of what an exchange has: request, answer or stream."""
    endpoint = BY_API.get((case["api"], case["endpoint"])) or BY_API.get((case["api"], ""))
    if endpoint is None:
        return
    body, response = case["request"].get("body"), case["response"]
    if isinstance(body, dict):
        yield "requests", endpoint, compact(body)
    if "body_base64" in response:
        yield "streams", endpoint, frames(base64.b64decode(response["body_base64"]))
    elif case["stream"] and response.get("body_text"):
        text = response["body_text"].replace("\r\n", "\n")
        events = text.split("\n\n")
        while len("\n\n".join(events)) > LONGEST and len(events) > 4:
            del events[len(events) // 2]
        yield "streams", endpoint, "\n\n".join(events)
    elif response.get("body") is not None:
        yield "answers", endpoint, compact(response["body"])
    elif response.get("body_text"):
        yield "answers", endpoint, response["body_text"]


WRITTEN = {
    "requests": {
        "completions": '{"model":"m","prompt":["a","b"],"max_tokens":7,"n":2,"best_of":3,"stream":true,'
        '"stream_options":{"include_usage":false}}',
        "input_tokens": '{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"x"}]}]}',
        "moderations": '{"model":"m","input":"x"}',
        "images": '{"model":"gpt-image-1","prompt":"x","n":2,"size":"1024x1536","quality":"high","stream":true}',
        "speech": '{"model":"tts-1","input":"hello","voice":"alloy","stream_format":"sse"}',
        "count": '{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"x"}]}]}}',
        "embed": '{"model":"models/m","content":{"parts":[{"text":"x"}]},"outputDimensionality":8}',
        "converse_stream": '{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":9}}',
        "invoke": '{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"x"}]}',
        "cohere_embed": '{"model":"m","texts":["x"],"input_type":"search_query","embedding_types":["float"]}',
        "ollama": '{"model":"m","messages":[{"role":"user","content":"x"}],"options":{"num_predict":9},"think":true}',
        "other": '{"model":"m","stream":true,"max_tokens":9,"input":[1,2.5e3,null,"\\ud83d\\ude00"]}',
    },
    "answers": {
        "images": '{"created":1,"data":[{"b64_json":"AA"}],"usage":{"input_tokens":5,"output_tokens":9,'
        '"total_tokens":14,"input_tokens_details":{"text_tokens":5,"image_tokens":0}}}',
        "transcriptions": '{"text":"hi","usage":{"type":"duration","seconds":3}}',
        "cohere_embed": '{"id":"e","embeddings":{"float":[[0.1]]},"meta":{"billed_units":{"input_tokens":3}}}',
        "ollama": '{"model":"m","message":{"role":"assistant","content":"x"},"done":true,"done_reason":"stop",'
        '"prompt_eval_count":3,"eval_count":4}',
        "invoke": '{"inputTextTokenCount":3,"results":[{"tokenCount":4,"outputText":"x","completionReason":"FINISH"}]}',
        "other": '[{"data":{"usage":{"prompt_tokens":3,"completion_tokens":4}}}]',
    },
    "streams": {
        "completions": 'data: {"choices":[{"text":"abc","index":0,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
        "images": 'event: image_generation.completed\ndata: {"type":"image_generation.completed","usage":'
        '{"input_tokens":5,"output_tokens":9}}\n\n',
        "speech": 'data: {"type":"speech.audio.delta","audio":"AA"}\n\ndata: {"type":"speech.audio.done","usage":'
        '{"input_tokens":5,"output_tokens":9,"total_tokens":14}}\n\n',
        "transcriptions": 'data: {"type":"transcript.text.delta","delta":"hi"}\n\n'
        'data: {"type":"transcript.text.done","text":"hi"}\n\n',
        "stream_generate": '[{"candidates":[{"content":{"parts":[{"text":"hi"}]},"index":0}]}\n,\r\n{"candidates":'
        '[{"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}\n]\n',
        "invoke_stream": 'chunk {"type":"message_start","message":{"model":"m","usage":{"input_tokens":3}}}\n'
        'chunk {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n'
        'chunk {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n'
        'chunk {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}\n'
        'chunk {"type":"message_stop"}\n!throttlingException {"message":"slow down"}\n?InternalError broken',
        "cohere": 'event: content-delta\ndata: {"type":"content-delta","index":0,"delta":{"message":{"content":'
        '{"text":"hi"}}}}\n\nevent: message-end\ndata: {"type":"message-end","delta":{"finish_reason":"COMPLETE",'
        '"usage":{"billed_units":{"input_tokens":3,"output_tokens":4}}}}\n\n',
        "ollama": '{"model":"m","message":{"role":"assistant","content":"hi"},"done":false}\n{"model":"m","done":true,'
        '"done_reason":"stop","prompt_eval_count":3,"eval_count":4}\n',
        "other": '{"response":"hi"}\n{"usage":{"prompt_tokens":3,"completion_tokens":4}}\n',
        "chat": "\ufeffdata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n: remark\rdata: [DONE]\r\r",
    },
    "forms": {
        "transcriptions": "multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"
        "whisper-1\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n"
        "Content-Type: audio/wav\r\n\r\nRIFF\r\n--x\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\n"
        "true\r\n--x--\r\n",
    },
    "texts": {
        "chat": "/v1/responses/resp_1/cancel",
        "images": "/v1beta/models/a%3A0:streamGenerateContent",
        "read": "/providers/aws/model/anthropic.claude-3%3A0/invoke-with-response-stream",
        "other": "a message with \"quotes\"\nkey_1",
    },
}


def words(texts):
    """Names and short values, for a fuzzer that would not guess them."""
    found = {}
    for text in texts:
        for word in re.findall(r'"([A-Za-z_.\-/]{2,40})"', text):
            found[word] = found.get(word, 0) + 1
    often = sorted(word for word, times in found.items() if times > 1)
    marks = ["data: ", "event: ", "[DONE]", "\\x0d\\x0a", "\\x0a\\x0a", "\\xef\\xbb\\xbf", "\\\\u0000"]
    marks += ["\\\\ud83d", "null", "true", "18446744073709551615", "-1", "1e400", "0.5"]
    return [f'"{mark}"' for mark in marks] + [f'"\\"{word}\\""' for word in often]


def main():
    taken, texts = {}, []
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        case = json.loads(path.read_text())
        for kind, endpoint, text in exchange(case) if "request" in case else ():
            texts.append(text)
            if len(text) <= LONGEST:
                taken[f"{kind}/{path.stem}"] = head(endpoint) + text
    for kind, by_endpoint in WRITTEN.items():
        for endpoint, text in by_endpoint.items():
            texts.append(text)
            taken[f"{kind}/written-{endpoint}"] = head(endpoint) + text
    for old in HERE.glob("seeds/*/*.seed"):
        old.unlink()
    for name, text in taken.items():
        path = HERE / "seeds" / f"{name}.seed"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (HERE / "words.dict").write_text("\n".join(words(texts)) + "\n")


main()
