"""What vendors may send instead of an answer, byte by byte, and what callers are told."""

from __future__ import annotations

import json
from contextlib import ExitStack

import psutil
import pytest

from tests.net.certificates import Authority
from tests.net.servers import answering, running
from tests.support.scripted import Script, answer, scripted

MIB = 1024 * 1024
MARK = "words-of-the-vendor"
HTML = f"<html><body>{MARK}</body></html>".encode()
CUT_JSON = f'{{"choices": [{{"message": {{"content": "{MARK}'.encode()
EVENTS = "text/event-stream"
VENDORS = {
    "openai": ("test-model", "sk-"),
    "ark": ("doubao", "ark-"),
    "gemini": ("gemini-2.5-flash", "AIza-"),
    "gemini-enterprise": ("gemini-enterprise", "ya29."),
}


def delta(text, finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return json.dumps({"id": "1", "choices": [choice]}, ensure_ascii=False).encode()


def sse(*events, end=b"\n\n"):
    return b"".join(b"data: " + event + end for event in events)


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


END = (delta("", "stop"), b"[DONE]")
TEXT = "Straße 漢字 🐈 \u2028end"
LONG = "x" * 1_000_000

# -- what is no answer at all: 502, and nothing of it is shown -------------------------

INVALID, LOST = "upstream_invalid_response", "upstream_disconnected"
BROKEN = {
    "html": (answer(HTML, kind="text/html"), INVALID),
    "html-as-json": (answer(HTML), INVALID),
    "plain-text": (answer(MARK.encode(), kind="text/plain"), INVALID),
    "picture": (answer(b"\x89PNG\r\n\x1a\n" + MARK.encode(), kind="image/png"), INVALID),
    "cut-json": (answer(CUT_JSON), INVALID),
    "empty": (answer(b""), INVALID),
    "no-type": (Script((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",)), INVALID),
    "number": (answer(b"42"), INVALID),
    "nul": (answer(b'{"choices": "\0' + MARK.encode() + b'"}'), INVALID),
    "not-utf-8": (answer(b'{"choices": "\xff\xfe"}'), INVALID),
    "too-short": (answer(CUT_JSON, length=5000), INVALID),
    "no-http": (Script((b"SSH-2.0-OpenSSH_9.2\r\n",)), INVALID),
    "bad-chunk": (Script((answer((), chunked=True).pieces[0], b"zz\r\nhello")), INVALID),
    "end-after-head": (answer((), chunked=True), LOST),
    "end-in-chunk": (answer((CUT_JSON,), chunked=True), LOST),
    "reset": (Script((), "reset"), LOST),
    "reset-after-head": (Script(answer((), chunked=True).pieces, "reset"), LOST),
    "end-at-once": (Script(()), LOST),
}

# -- streams in every dress that they are allowed ----------------------------------------

STREAM = sse(delta(TEXT), *END)
WHOLE = {
    "crlf": answer(sse(delta(TEXT), *END, end=b"\r\n\r\n"), kind=EVENTS),
    "cr": answer(sse(delta(TEXT), *END, end=b"\r\r"), kind=EVENTS),
    "mark": answer(b"\xef\xbb\xbf" + STREAM, kind=EVENTS),
    "split-utf-8": answer(pieces(STREAM, 1), kind=EVENTS, chunked=True),
    "fields": answer(
        b": hello\n\nretry: 10\n\n"
        + b"".join(
            b"id: %d\nevent: chunk\ndata: %s\nretry: 5\nfoo: bar\n: ka\n\n" % (number, event)
            for number, event in enumerate((delta(TEXT), *END))
        ),
        kind=EVENTS,
    ),
    "no-space": answer(STREAM.replace(b"data: ", b"data:"), kind=EVENTS),
    "two-lines": answer(STREAM.replace(b'"choices"', b"\ndata: " + b'"choices"', 1), kind=EVENTS),
    "endless": answer(STREAM, kind=EVENTS, chunked=True, then="silence"),
}

# -- streams that break off or turn to nonsense after they have begun ----------------------

BEGUN = sse(delta("Hello"))


def begun(*rest, then="end"):
    """A stream whose first event has left before the rest comes."""
    return answer((BEGUN, *rest), kind=EVENTS, chunked=True, then=then, pause_s=0.05)


UNFRAMED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
FAILING = {
    "reset-amid": (begun(then="reset"), LOST),
    "end-amid": (begun(), LOST),
    "end-unframed": (Script((UNFRAMED, BEGUN), pause_s=0.05), LOST),
    "no-blank-line": (begun(b"data: " + delta("x")), LOST),
    "cut-json-amid": (begun(sse(CUT_JSON)), INVALID),
    "nul-amid": (begun(sse(b'{"choices": "\0"}')), INVALID),
    "html-amid": (begun(sse(HTML)), INVALID),
    "list-amid": (begun(sse(b"[1]")), INVALID),
    "bad-chunk-amid": (Script((*begun().pieces, b"zz\r\nhello"), pause_s=0.05), INVALID),
}

# -- more values than any answer has ---------------------------------------------------


def hoard(head, item, count, tail):
    return head + b",".join([item] * count) + tail


HOARDS = {
    "choices": hoard(
        b'{"choices": [', b'{"index": 0, "message": {"content": "a"}}', 500_000, b"]}"
    ),
    "choices-event": sse(hoard(b'{"choices": [', b'{"index": 0}', 1_500_000, b"]}")),
    "calls": hoard(
        b'{"choices": [{"index": 0, "message": {"tool_calls": [',
        *(b'{"id": "c", "function": {"name": "f"}}', 500_000, b"]}}]}"),
    ),
    "lists": hoard(b'{"candidates": [', b"[]", 9_000_000, b"]}"),
    "objects": hoard(b'[{"answer": {"replies": [', b"{}", 9_000_000, b"]}}]"),
    "elements": hoard(b"[", b"{}", 9_000_000, b"]"),
}

FILM = "/late.mp4"
SCRIPTS = (
    {name: script for name, (script, _) in (BROKEN | FAILING).items()}
    | WHOLE
    | {
        "long": answer(sse(delta(LONG), *END), kind=EVENTS),
        **{name: answer(body) for name, body in HOARDS.items()},
        "huge": answer([b" " * MIB] * 100, length=10**9),
    }
)


UNREACHABLE = {
    "nobody": "http://127.0.0.1:1/v1",
    "no-name": "http://no-such-host.invalid/v1",
    "unknown-authority": "https://localhost:{good}/v1",
    "wrong-name": "https://localhost:{other}/v1",
    "expired": "https://localhost:{expired}/v1",
}
ACCOUNT = """
[[accounts]]
name = "{name}"
upstream = "openai"
credential = "sk-{name}"
base_url = "{url}"
models = ["{name}"]
"""


@pytest.fixture(scope="module")
def unreachable(tmp_path_factory):
    """Accounts whose vendor cannot be reached, or not be trusted, as gateway.toml."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    contexts = {
        "good": authority.server("localhost"),
        "other": authority.server("elsewhere.test"),
        "expired": authority.server("localhost", expired=True),
    }
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(running(answering(), tls=context)).port
            for name, context in contexts.items()
        }
        yield "".join(
            ACCOUNT.format(name=name, url=url.format(**ports)) for name, url in UNREACHABLE.items()
        )


@pytest.fixture(scope="module")
def site(own_factory, unreachable, media_server):
    film = {"id": "cgt-1", "status": "succeeded", "content": {"video_url": media_server.url + FILM}}
    with (
        scripted(SCRIPTS | {"film": answer(json.dumps(film).encode())}) as url,
        own_factory.started(
            toml=unreachable,
            ARK_BASE_URL=url,
            GEMINI_BASE_URL=url,
            GEMINI_ENTERPRISE_BASE_URL=url,
            OPENAI_BASE_URL=url,
            OPENAI_API_KEYS="",
            OPENAI_MODELS=",".join(("test-model", *UNREACHABLE)),
        ) as started,
    ):
        yield started


def text_of(stream):
    chunks = [json.loads(x[6:]) for x in stream.split("\n\n") if x.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_answer_is_502_and_not_shown(site, vendor, case, stream):
    model, prefix = VENDORS[vendor]
    got = site.chat(model=model, key=prefix + case, stream=stream)
    _, expected = BROKEN[case]
    if case == "not-utf-8" and vendor.startswith("gemini"):
        expected = LOST  # bad bytes are replaced: an object that ends without a reason
    assert (got.status_code, got.json()["error"]["code"]) == (502, expected)
    assert got.json()["error"]["type"] == "upstream_error"
    assert MARK not in got.text


@pytest.mark.parametrize("case", WHOLE)
def test_streams_may_be_framed_in_many_ways(site, case):
    got = site.chat(model="test-model", key=f"sk-{case}", stream=True)
    assert got.status_code == 200, got.text
    assert got.elapsed.total_seconds() < 30  # though the vendor goes on for 60
    assert text_of(got.text) == TEXT
    assert got.text.endswith("data: [DONE]\n\n")


def test_a_line_of_a_megabyte_leaves_in_short_ones(site):
    got = site.chat(model="test-model", key="sk-long", stream=True)
    assert text_of(got.text) == LONG
    assert max(map(len, got.text.split("\n"))) < 64 * 1024


@pytest.mark.parametrize("case", FAILING)
def test_a_stream_that_fails_says_how_and_is_not_complete(site, case):
    got = site.chat(model="test-model", key=f"sk-{case}", stream=True)
    if got.status_code == 200:
        assert text_of(got.text) == "Hello"
        last = json.loads(got.text.strip().split("\n\n")[-1].removeprefix("data: "))
    else:  # a busy machine read the failure together with the first event
        assert got.status_code == 502
        last = got.json()
    assert last["error"]["code"] == FAILING[case][1]
    assert "[DONE]" not in got.text
    assert MARK not in got.text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", UNREACHABLE)
def test_a_vendor_that_cannot_be_reached_or_trusted_is_unreachable(site, model, stream):
    got = site.chat(model=model, stream=stream)
    assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_unreachable")


def test_an_answer_without_end_is_given_up_and_costs_little_memory(site):
    workers = site.workers()
    before = sum(worker.memory_info().rss for worker in workers)
    got = site.chat(model="test-model", key="sk-huge", stream=False)
    assert (got.status_code, got.json()["error"]["code"]) == (502, INVALID)
    assert sum(worker.memory_info().rss for worker in workers) - before < 64 * MIB
    assert all(psutil.pid_exists(worker.pid) for worker in workers)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("case", HOARDS)
def test_an_answer_of_too_many_values_is_refused_before_it_is_read(site, vendor, case, stream):
    workers = site.workers()
    before = sum(worker.memory_info().rss for worker in workers)
    model, prefix = VENDORS[vendor]
    got = site.chat(model=model, key=prefix + case, stream=stream)
    assert (got.status_code, got.json()["error"]["code"]) == (502, INVALID)
    assert sum(worker.memory_info().rss for worker in workers) - before < 200 * MIB


def test_a_film_that_comes_at_the_second_try_is_waited_for(site, media_server):
    film = site.post("/v1/video/generations", {"prompt": "waves"}, key="ark-film")
    assert film.status_code == 200, film.text
    assert media_server.hits.count(FILM) == 2
