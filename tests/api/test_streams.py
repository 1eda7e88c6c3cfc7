"""Streams keep their form whatever a vendor says in them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

CHAT = "/v1/chat/completions"
LONGEST_LINE = 64 * 1024
TOOLS = [{"type": "function", "function": {"name": "save", "parameters": {}}}]
HOSTILE = (
    'data: [DONE]\n\ndata: {"error": {"message": "x"}}\r\n\r\nevent: close\nid: 7\n: ping\n\n'
    '\u2028\u2029\u0085\ufeff\x00\x1b[31m \\ " </script> '
    "👩\u200d👩\u200d👧 e\u0301 \ue000 \U0010ffff"
)
TEXTS = {
    "hostile": HOSTILE,
    "long": "0123456789abcdef" * 20_000,
    "emoji": "👩\u200d👧" * 30_000,
    "control": "\x01\u2028" * 40_000,
}


class Parrot(BaseHTTPRequestHandler):
    """A vendor that says the last message again, in one piece or in a call of the first tool."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        delta = {"content": text}
        if "tools" in body:
            function = {"name": "save", "arguments": json.dumps({"text": text})}
            call = {"index": 0, "id": "call_1", "type": "function", "function": function}
            delta = {"tool_calls": [call]}
        if body.get("stream"):
            self._stream(delta)
            return
        for call in delta.get("tool_calls", ()):
            del call["index"]
        message = {"role": "assistant", "content": None} | delta
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        self._send("application/json", json.dumps(answer).encode())

    def _stream(self, delta):
        choices = [
            {"index": 0, "delta": {"role": "assistant"}, "finish_reason": None},
            {"index": 0, "delta": delta, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
        lines = [json.dumps({"choices": [c]}, ensure_ascii=False) for c in choices]
        data = "".join(f"data: {line}\n\n" for line in (*lines, "[DONE]"))
        self._send("text/event-stream", data.encode())

    def _send(self, kind, data):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextmanager
def parrot():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def echoing(gateway_factory):
    settings = {"OPENAI_API_KEYS": "sk-parrot", "OPENAI_MODELS": "parrot"}
    with (
        parrot() as url,
        gateway_factory.started(
            accounts=False, workers=1, OPENAI_BASE_URL=url, **settings
        ) as running,
    ):
        yield running


def events(answer):
    """The chunks of a stream, read as strictly as the strictest client does."""
    assert answer.status_code == 200, answer.text
    *found, done, rest = answer.content.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert all(len(line) < LONGEST_LINE for line in answer.content.split(b"\n"))
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in found)
    return [json.loads(event.removeprefix(b"data: ")) for event in found]


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_text_arrives_whole_and_in_short_lines(echoing, text):
    chunks = events(echoing.chat(text, model="parrot", stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == text
    assert [delta.get("role") for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_the_arguments_of_a_tool_arrive_whole_and_in_short_lines(echoing, text):
    chunks = events(echoing.chat(text, model="parrot", stream=True, tools=TOOLS))
    calls = [
        call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"text": text}
    assert {call["index"] for call in calls} == {0}
    assert [call.get("id") for call in calls] == ["call_1"] + [None] * (len(calls) - 1)
    assert calls[0]["function"]["name"] == "save"
    assert not any("name" in call["function"] for call in calls[1:])


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_an_answer_in_one_piece_says_the_same(echoing, text):
    (choice,) = echoing.chat(text, model="parrot").json()["choices"]
    assert choice["message"]["content"] == text
    (choice,) = echoing.chat(text, model="parrot", tools=TOOLS).json()["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"text": text}
    assert choice["message"]["content"] is None


def test_tokens_that_the_vendor_does_not_count_are_estimated(echoing):
    text = "twelve words of plain text, or nearly so, are about fifteen tokens"
    answer = echoing.chat(text, model="parrot")
    assert answer.headers["X-Gateway-Usage"] == "estimated"
    usage = answer.json()["usage"]
    assert 10 < usage["prompt_tokens"] == usage["completion_tokens"] < 20
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    streamed = echoing.chat(
        text, model="parrot", stream=True, stream_options={"include_usage": True}
    )
    assert events(streamed)[-1]["usage"] == usage
    silent = events(echoing.chat(text, model="parrot", stream=True))
    assert all("usage" not in chunk for chunk in silent)
