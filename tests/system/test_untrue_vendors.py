"""Vendors whose answers are changed in one place: the answer stays right, or is an honest error.

Each case changes one field, frame or framing of one response on its way from a simulator to
the gateway. The result must be the right answer or an error that names the vendor: never a
500, a hang, an answer that looks complete and is not, or an account put aside. Paid results
are delivered where they can still be read. `--soak` runs every case, else a sample.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from PIL import Image

from tests.support.media import png
from tests.support.mutating_proxy import MutatingProxy, Plan
from tests.support.mutations import Mutation, Reply, documents, mutations

CHAT = {
    "openai": ("test-model", "chat/completions"),
    "ark": ("doubao", "chat/completions"),
    "gemini": ("gemini/gemini-3.5-flash", "enerateContent"),
    "gemini-enterprise": ("gemini-enterprise/gemini-enterprise", "streamAssist"),
}
IMAGES = {
    "openai": ("openai/gpt-image-2", "images/generations"),
    "ark": ("doubao-image", "images/generations"),
    "gemini": ("gemini/gemini-3.1-flash-image", "enerateContent"),
}
INTERACTIONS = "POST /gemini/v1beta/interactions"
VIDEOS = {
    "ark-create": ("doubao-video", "POST /ark/api/v3/contents/generations/tasks", "ark-{}-video0"),
    "ark-poll": ("doubao-video", "GET /ark/api/v3/contents/generations/tasks/", "ark-{}-video0"),
    "gemini-create": (
        "gemini/gemini-omni-1.2-flash",
        "POST /gemini/v1beta/interactions",
        "AIza-{}-video0",
    ),
    "gemini-poll": (
        "gemini/gemini-omni-1.2-flash",
        "GET /gemini/v1beta/interactions/",
        "AIza-{}-video0",
    ),
}
ABOUT_ACCOUNTS = {
    *("upstream_auth_failed", "no_account_available", "invalid_api_key", "rate_limit_exceeded"),
    *("model_not_found", "model_not_allowed", "insufficient_quota"),
}
SAMPLE = {"chat": 36, "images": 24, "videos": 16, "tools": 16, "embeddings": 8, "around": 8}
SAMPLE |= {"drawings": 16, "refusals": 12}
TIMEOUT_S = 25


@pytest.fixture
def report(capsys):
    """Print the number of each outcome, past pytest's capture."""

    def show(name: str, counts: Counter[str]) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{name}: {counts.total()} cases, {dict(counts.most_common())}")

    return show


class Malformed(ValueError):
    """The document is not as the vendor documents it."""


@dataclass(frozen=True)
class Outcome:
    """One call as its caller sees it; `complete` answers look as if nothing were missing."""

    status: int
    text: str
    complete: bool
    code: str | None
    body: str


@pytest.fixture(scope="module")
def proxy(vendors):
    with MutatingProxy.started(vendors.url) as running:
        yield running


@pytest.fixture(scope="module")
def site(own_factory, proxy):
    urls = {
        "ARK_BASE_URL": f"{proxy.url}/ark/api/v3",
        "GEMINI_BASE_URL": f"{proxy.url}/gemini",
        "GEMINI_ENTERPRISE_BASE_URL": f"{proxy.url}/gemini-enterprise",
        "OPENAI_BASE_URL": f"{proxy.url}/openai/v1",
        "OPENAI_MODELS": "test-model,gpt-image-2,text-embedding-3-small",
    }
    with own_factory.started(workers=1, **urls) as running:
        yield running


def ask(site, model: str, *, stream: bool) -> Outcome:
    body = {"model": model, "messages": [{"role": "user", "content": "Say Grüße 🐈"}]}
    got = requests.post(
        f"{site.url}/v1/chat/completions", json=body | {"stream": stream}, timeout=TIMEOUT_S
    )
    if got.status_code != 200:
        return Outcome(got.status_code, "", False, error_code(got.json()), got.text)
    return _streamed(got.content.decode()) if stream else _whole(got)


def _whole(got: requests.Response) -> Outcome:
    choice = got.json()["choices"][0]
    complete = choice["finish_reason"] == "stop"
    return Outcome(200, choice["message"]["content"] or "", complete, None, got.text)


def _streamed(body: str) -> Outcome:
    text, finish, code = "", None, None
    for line in body.splitlines():
        if not line.startswith("data: {"):
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            code = error_code(chunk)
        for choice in chunk.get("choices", ()):
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
    done = body.endswith("data: [DONE]\n\n")
    return Outcome(200, text, finish == "stop" and done and code is None, code, body)


def error_code(body: Any) -> str:
    error = body["error"]
    assert error["message"]
    assert error["type"]
    return str(error["code"])


# -- what a strict reader of the vendor's documents makes of them -------------------------


def _typed(value: Any, kind: type, default: Any) -> Any:
    if value is None:
        return default
    if not isinstance(value, kind):
        raise Malformed
    return value


def _read_openai(documents_: list[Any]) -> tuple[str, str | None]:
    text, finish = "", None
    for document in documents_:
        for choice in _typed(_typed(document, dict, {}).get("choices"), list, []):
            choice = _typed(choice, dict, {})
            said = _typed(choice.get("delta", choice.get("message")), dict, {})
            if choice.get("index", 0) not in (0, None):
                raise Malformed
            text += _typed(said.get("content"), str, "")
            text += _typed(said.get("refusal"), str, "")
            finish = _typed(choice.get("finish_reason"), str, finish) or None
    return text, finish


def _read_gemini(documents_: list[Any]) -> tuple[str, str | None]:
    text, finish = "", None
    for document in documents_:
        for candidate in _typed(_typed(document, dict, {}).get("candidates"), list, [])[:1]:
            candidate = _typed(candidate, dict, {})
            content = _typed(candidate.get("content"), dict, {})
            parts = content.get("parts")
            for part in [parts] if isinstance(parts, dict) else _typed(parts, list, []):
                part = _typed(part, dict, {})
                text += "" if part.get("thought") else _typed(part.get("text"), str, "")
            finish = _typed(candidate.get("finishReason"), str, finish)
    return text, (finish or "").replace("STOP", "stop")


def _read_enterprise(documents_: list[Any]) -> tuple[str, str | None]:
    text, finish = "", None
    for document in documents_:
        answer = _typed(_typed(document, dict, {}).get("answer"), dict, {})
        for reply in _typed(answer.get("replies"), list, []):
            grounded = _typed(_typed(reply, dict, {}).get("groundedContent"), dict, {})
            content = _typed(grounded.get("content"), dict, {})
            text += "" if content.get("thought") else _typed(content.get("text"), str, "")
        finish = _typed(answer.get("state"), str, finish)
    return text, (finish or "").replace("SUCCEEDED", "stop")


READERS = {
    "openai": _read_openai,
    "ark": _read_openai,
    "gemini": _read_gemini,
    "gemini-enterprise": _read_enterprise,
}


def read_strictly(vendor: str, reply: Reply) -> tuple[str, str | None] | None:
    """Return text and finish reason of a changed answer; None where it cannot be read."""
    try:
        body = documents(reply)
        return None if body is None else READERS[vendor](body.documents)
    except (Malformed, ValueError, TypeError, AttributeError):
        return None


# -- chat ------------------------------------------------------------------------------------


def sample(cases: list[Mutation], size: int, soak: bool) -> list[Mutation]:
    """Return all cases, or as many as asked for: the harmless ones and a fixed choice of others."""
    if soak or len(cases) <= size:
        return cases
    first = [case for case in cases if case.harmless]
    rest = [case for case in cases if not case.harmless]
    return first + random.Random(7).sample(rest, size - len(first))


def complaints(vendor: str, right: Outcome, got: Outcome, plan: Plan, case: Mutation):
    """Yield what is wrong with the outcome of a case."""
    changed = case.apply(plan.replies[0])
    if got.status == 500 or (got.code or "") == "internal_error":
        yield "500"
    if got.code in ABOUT_ACCOUNTS:
        yield f"the account is blamed: {got.code}"
    strict = read_strictly(vendor, changed)
    meant = {right.text} | ({strict[0].replace("\ud83d", "\ufffd")} if strict else set())
    for reply in plan.replies[1:]:  # to the request that was sent once more
        if (later := read_strictly(vendor, reply)) is not None:
            meant.add(later[0])
    if got.complete and got.text not in meant:
        yield f"looks complete with the text {got.text!r}"
    ending = (strict[1] or "").replace("\ud83d", "") if strict else ""
    if got.complete and ending not in ("stop", ""):
        yield f"looks complete, though it ended with {strict[1]!r}"
    if case.harmless and got.text != right.text:
        yield f"is lost: {got.body[:200]}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", CHAT)
def test_a_changed_chat_answer_stays_right_or_is_an_error(
    site, proxy, vendor, stream, soak, report
):
    model, step = CHAT[vendor]
    proxy.plans[""] = plan = Plan(step, None)
    right = ask(site, model, stream=stream)
    assert right.complete, right
    reply = plan.replies[0]
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for case in sample(mutations(reply), SAMPLE["chat"], soak):
        proxy.plans[""] = plan = Plan(step, case)
        try:
            got = ask(site, model, stream=stream)
        except (requests.RequestException, ValueError, KeyError, AssertionError) as problem:
            wrong.append(f"{case.name}: {problem!r}"[:300])
            continue
        if not plan.applied:
            wrong.append(f"{case.name}: the vendor is no longer asked, {got.body[:200]}")
            break
        wrong += [f"{case.name}: {one}" for one in complaints(vendor, right, got, plan, case)]
        counts[got.code or ("right" if got.text == right.text else "as changed")] += 1
        if got.text != right.text:
            proxy.plans[""] = Plan("", None)
            after = ask(site, model, stream=False)
            if after.status != 200:
                wrong.append(f"{case.name}: the next call gets {after.body[:200]}")
    report(f"{vendor}, {'streamed' if stream else 'whole'}", counts)
    proxy.plans.clear()
    assert not wrong, "\n".join(wrong)


# -- calls of tools, and embeddings -----------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
WITH_TOOLS = {name: CHAT[name] for name in ("openai", "ark", "gemini")}
OF_CALLS = re.compile(r"\b(name|arguments|args|functionCall|function|tool_calls|parts|content)\b")
EMBEDDINGS = {
    "openai": ("text-embedding-3-small", "embeddings"),
    "ark": ("doubao-embedding-text-240715", "embeddings"),
    "gemini": ("gemini-embedding-001", "mbedContent"),
}


def call_tool(site, model: str, *, stream: bool) -> tuple[int, str | None, list[tuple[str, str]]]:
    """Return status, finish reason or error code, and the calls that the model makes."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What time is it?"}],
        "tools": [TOOL],
        "tool_choice": "required",
        "stream": stream,
    }
    got = requests.post(f"{site.url}/v1/chat/completions", json=body, timeout=TIMEOUT_S)
    if got.status_code != 200:
        return got.status_code, error_code(got.json()), []
    if not stream:
        choice = got.json()["choices"][0]
        calls = choice["message"].get("tool_calls") or []
        made = [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
        return 200, choice["finish_reason"], made
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    ended = None
    for line in got.text.splitlines():
        if not line.startswith("data: {"):
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            return 200, error_code(chunk), []
        for choice in chunk["choices"]:
            ended = choice["finish_reason"] or ended
            for call in choice["delta"].get("tool_calls") or []:
                function, index = call["function"], call["index"]
                names[index] = names.get(index, "") + (function.get("name") or "")
                arguments[index] = arguments.get(index, "") + (function.get("arguments") or "")
    return 200, ended, [(names[index], arguments[index]) for index in sorted(names)]


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", WITH_TOOLS)
def test_a_changed_call_of_a_tool_stays_right_or_is_an_error(
    site, proxy, vendor, stream, soak, report
):
    model, step = WITH_TOOLS[vendor]
    proxy.plans[""] = plan = Plan(step, None)
    right = call_tool(site, model, stream=stream)
    assert right[:2] == (200, "tool_calls"), right
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for case in sample(mutations(plan.replies[0]), SAMPLE["tools"], soak):
        proxy.plans[""] = plan = Plan(step, case)
        status, end, calls = got = call_tool(site, model, stream=stream)
        counts["right" if got == right else str(end)] += 1
        if status == 500 or end in ABOUT_ACCOUNTS:
            wrong.append(f"{case.name}: {got}")
        if got == right or OF_CALLS.search(case.name):
            continue  # a name or arguments that may be the model's own
        if vendor == "gemini" and re.search("^frame|^twice|candidates(.0)?$", case.name):
            continue  # each of its frames makes sense alone, and is whole
        if end == "tool_calls" and all(is_json(arguments) for _, arguments in calls):
            wrong.append(f"{case.name}: {calls}")
        if end == "stop":
            wrong.append(f"{case.name}: ends as if no tool had been called")
    proxy.plans.clear()
    report(f"{vendor}, tools {'streamed' if stream else 'whole'}", counts)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("vendor", EMBEDDINGS)
def test_a_changed_embedding_stays_right_or_is_an_error(site, proxy, vendor, soak, report):
    model, step = EMBEDDINGS[vendor]
    body = {"model": model, "input": ["one", "two"]}
    proxy.plans[""] = plan = Plan(step, None)
    right = make(site, "/v1/embeddings", body)
    assert right.status_code == 200, right.text
    vectors = [item["embedding"] for item in right.json()["data"]]
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for case in sample(mutations(plan.replies[0]), SAMPLE["embeddings"], soak):
        proxy.plans[""] = plan = Plan(step, case)
        got = make(site, "/v1/embeddings", body)
        answered = got.status_code == 200
        code = "vectors" if answered else error_code(got.json())
        counts[code] += 1
        if got.status_code == 500 or code in ABOUT_ACCOUNTS:
            wrong.append(f"{case.name}: {got.text[:200]}")
        if case.harmless and not answered:
            wrong.append(f"{case.name}: is lost, {got.text[:200]}")
        if answered:
            found = [item["embedding"] for item in got.json()["data"]]
            lengths = [len(vector) for vector in found]
            numbers = all(isinstance(n, int | float) for vector in found for n in vector)
            if lengths != [len(vector) for vector in vectors] or not numbers:
                wrong.append(f"{case.name}: vectors of {lengths}")
    proxy.plans.clear()
    report(f"{vendor}, embeddings", counts)
    assert not wrong, "\n".join(wrong)


# -- what is done around an answer: sessions and uploads ------------------------------------

AROUND = {
    "session": ("gemini-enterprise/gemini-enterprise", "POST /gemini-enterprise/", "/sessions"),
    "file": ("gemini-enterprise/gemini-enterprise", "POST /gemini-enterprise/", "ContextFile"),
}


@pytest.mark.parametrize("name", AROUND)
def test_a_changed_answer_around_a_chat_leaves_it_right_or_is_an_error(
    site, proxy, vendors, name, soak, report
):
    model, *steps = AROUND[name]
    step = re.compile(".*".join(steps) + "$")
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    proxy.plans[""] = plan = Plan(step, None)
    right = make(site, "/v1/chat/completions", body)
    assert right.status_code == 200, right.text
    text = right.json()["choices"][0]["message"]["content"]
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for case in sample(mutations(plan.replies[0]), SAMPLE["around"], soak):
        proxy.plans[""] = plan = Plan(step, case)
        got = make(site, "/v1/chat/completions", body)
        answered = got.status_code == 200
        code = "right" if answered else error_code(got.json())
        counts[code] += 1
        if got.status_code == 500 or code in ABOUT_ACCOUNTS:
            wrong.append(f"{case.name}: {got.text[:200]}")
        if case.harmless and not answered:
            wrong.append(f"{case.name}: is lost, {got.text[:200]}")
        if answered and got.json()["choices"][0]["message"]["content"] != text:
            wrong.append(f"{case.name}: another answer, {got.text[:200]}")
    proxy.plans.clear()
    report(f"gemini-enterprise, {name}", counts)
    assert not wrong, "\n".join(wrong)


# -- what the content of a request can bring about -----------------------------------------

PAGE = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>"
GOOGLE = {"code": 400, "status": "INVALID_ARGUMENT", "message": "The prompt is not allowed."}
PROBLEM = json.dumps(
    {"title": "Error 1010", "detail": "No access", "cloudflare_error": True}
).encode()
BLOCKED = {
    "openai": {"error": {"code": "content_policy_violation", "message": "Not allowed."}},
    "ark": {"error": {"code": "InputTextSensitiveContentDetected", "message": "Sensitive."}},
    "gemini": {"error": GOOGLE},
    "gemini-enterprise": {"error": GOOGLE},
}


def hostile(vendor: str) -> Iterator[Mutation]:
    """Yield the answers that a prompt can provoke, from the vendor or what stands before it."""
    for status in (400, 401, 403, 404, 406, 413, 429, 451):
        yield answering(status, "text/html", PAGE)
        yield answering(status, "text/plain", b"error code: 1010")
        yield answering(status, "text/plain", b"")
    for status in (401, 403, 429):
        yield answering(status, "application/problem+json", PROBLEM)
    yield answering(403, "application/json", b'{"message": "Forbidden"}')
    yield answering(400, "application/json", json.dumps(BLOCKED[vendor]).encode())


def answering(status: int, kind: str, body: bytes) -> Mutation:
    reply = Reply(status, (("Content-Type", kind),), body)
    return Mutation(f"{status} {kind} of {len(body)} bytes", lambda _: reply)


def changed_refusals(vendor: str, soak: bool) -> Iterator[Mutation]:
    """Yield refusals of a prompt in the vendor's envelope, each changed in one place."""
    whole = answering(400, "application/json", json.dumps(BLOCKED[vendor]).encode())
    at_first = whole.apply(Reply(200, (), b""))
    for case in sample(mutations(at_first), SAMPLE["refusals"], soak):
        if case.apply(at_first).status == 400:
            yield Mutation(case.name, lambda _, case=case: case.apply(at_first))


@pytest.mark.parametrize("vendor", CHAT)
def test_no_prompt_hurts_an_account(site, proxy, vendor, soak):
    model, step = CHAT[vendor]
    begin = site.log.stat().st_size
    for case in (*hostile(vendor), *changed_refusals(vendor, soak)):
        for _ in range(5):
            proxy.plans[""] = plan = Plan(step, case)
            got = ask(site, model, stream=False)
            assert plan.applied
            assert got.code not in ABOUT_ACCOUNTS, (case.name, got)
        proxy.plans.clear()
        assert ask(site, model, stream=False).status == 200, case.name
    assert "account_" not in site.log.read_text()[begin:]


# -- images and videos: what was paid for is delivered, and ordered once ---------------------


def make(site, path: str, body: dict[str, Any], key: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{site.url}{path}"
    try:
        return requests.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
    except requests.exceptions.ChunkedEncodingError:  # a late failure: an SDK tries again
        headers["x-stainless-retry-count"] = "1"
        return requests.post(url, json=body, headers=headers, timeout=TIMEOUT_S)


def images_of(reply: Reply) -> list[str] | None:
    """Return links and base64 of the images in a vendor's answer; None where unreadable."""
    try:
        body = documents(reply)
    except ValueError:
        return None
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                if name in ("b64_json", "url", "data", "fileId") and isinstance(item, str):
                    found.append(item)
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    for document in body.documents if body else ():
        walk(document)
    return found


def is_image(got: requests.Response) -> bool:
    data = [item["b64_json"] for item in got.json()["data"]]
    for item in data:
        load(base64.b64decode(item))
    return len(data) == 1


def load(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_changed_answer_with_a_drawing_shows_it_or_is_an_error(site, proxy, stream, soak, report):
    model, step = CHAT["gemini-enterprise"]
    draw = [{"role": "user", "content": "Draw a picture of a cat"}]
    body = {"model": model, "messages": draw, "stream": stream}
    proxy.plans[""] = plan = Plan(step, None)
    assert len(drawings(make(site, "/v1/chat/completions", body))) == 1
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for case in sample(mutations(plan.replies[0]), SAMPLE["drawings"], soak):
        proxy.plans[""] = plan = Plan(step, case)
        got = make(site, "/v1/chat/completions", body)
        failed = got.status_code != 200 or '"error"' in got.text
        links = [] if failed else drawings(got)
        if failed:
            code = re.search('"code": ?"([a-z_]+)"', got.text)
            counts[code[1] if code else "broken"] += 1
        else:
            counts[f"{len(links)} drawings"] += 1
        if got.status_code == 500 or any(f'"{code}"' in got.text for code in ABOUT_ACCOUNTS):
            wrong.append(f"{case.name}: {got.text[:200]}")
        readable = images_of(case.apply(plan.replies[0])) == images_of(plan.replies[0])
        if failed and (case.harmless or (readable and ".file" in case.name)):
            wrong.append(f"{case.name}: the drawing is lost, {got.text[:200]}")
        for link in links:
            load(requests.get(link, timeout=TIMEOUT_S).content)
        if len(links) > 1 or (not links and not failed and readable):
            wrong.append(f"{case.name}: complete with {len(links)} drawings, {got.text[:200]}")
    report(f"gemini-enterprise, drawing {'streamed' if stream else 'whole'}", counts)
    proxy.plans.clear()
    assert not wrong, "\n".join(wrong)


def drawings(got: requests.Response) -> list[str]:
    """Return the links to the images in an answer, whole or streamed."""
    if not got.headers["Content-Type"].startswith("text/event-stream"):
        messages = [got.json()["choices"][0]["message"]]
    else:
        data = [json.loads(line[6:]) for line in got.text.split("\n") if line[:7] == "data: {"]
        messages = [choice["delta"] for chunk in data for choice in chunk["choices"]]
    images = [image for message in messages for image in message.get("images") or ()]
    return [image["image_url"]["url"] for image in images]


@pytest.mark.parametrize("vendor", IMAGES)
def test_a_changed_answer_with_an_image_delivers_it_or_is_an_error(
    site, proxy, vendor, soak, report
):
    model, step = IMAGES[vendor]
    body = {"model": model, "prompt": "a cat", "response_format": "b64_json"}
    proxy.plans[""] = plan = Plan(step, None)
    first = make(site, "/v1/images/generations", body)
    assert first.status_code == 200, first.text
    reply = plan.replies[0]
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for case in sample(mutations(reply), SAMPLE["images"], soak):
        proxy.plans[""] = plan = Plan(step, case)
        got = make(site, "/v1/images/generations", body)
        delivered = got.status_code == 200
        code = "image" if delivered else error_code(got.json())
        counts[code] += 1
        if not plan.applied:
            wrong.append(f"{case.name}: the vendor is no longer asked, {got.text[:200]}")
            break
        readable = images_of(case.apply(plan.replies[0])) == images_of(plan.replies[0])
        if delivered and not is_image(got):
            wrong.append(f"{case.name}: {len(got.json()['data'])} images")
        if not delivered and (case.harmless or (readable and ":" in case.name)):
            wrong.append(f"{case.name}: the image is lost, {got.text[:200]}")
        if code in ABOUT_ACCOUNTS or got.status_code == 500:
            wrong.append(f"{case.name}: {got.text[:200]}")
        if sum(one.status == 200 for one in plan.replies) > 1 and case.apply(reply).status == 200:
            wrong.append(f"{case.name}: ordered {len(plan.replies)} times")
    report(f"{vendor}, image", counts)
    proxy.plans.clear()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("flow", VIDEOS)
def test_a_changed_answer_about_a_video_does_not_lose_it_or_order_it_twice(
    site, proxy, flow, soak, report
):
    model, step, key = VIDEOS[flow]
    body = {"model": model, "prompt": "waves"}
    proxy.plans[flow] = plan = Plan(step, None)
    first = make(site, "/v1/video/generations", body, key.format(flow))
    assert first.status_code == 200, first.text
    del proxy.plans[flow]
    cases = sample(mutations(plan.replies[0]), SAMPLE["videos"], soak)
    orders = "POST /"

    def run(numbered: tuple[int, Mutation]) -> tuple[str, str | None]:
        at, case = numbered
        mark = f"{flow}-{at}m"
        proxy.plans[mark] = plan = Plan(step, case)
        got = make(site, "/v1/video/generations", body, key.format(mark))
        delivered = got.status_code == 200
        code = "video" if delivered else error_code(got.json())
        if not plan.applied:
            return code, f"the vendor is not asked, {got.text[:200]}"
        if code in ABOUT_ACCOUNTS or got.status_code == 500:
            return code, got.text[:200]
        if not delivered and (case.harmless or flow.endswith("poll")):
            return code, f"the video is lost, {got.text[:200]}"
        if (
            step.startswith(orders)
            and len(plan.replies) > 1
            and case.apply(plan.replies[0]).status == 200
        ):
            return code, f"ordered {len(plan.replies)} times"
        return code, None

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(run, enumerate(cases)))
    report(f"{flow}, video", Counter(code for code, _ in results))
    proxy.plans.clear()
    wrong = [f"{case.name}: {why}" for case, (_, why) in zip(cases, results, strict=True) if why]
    assert not wrong, "\n".join(wrong)
