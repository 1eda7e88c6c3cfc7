"""Every adapter on a real socket, in front of the simulated vendors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from gateway.config.settings import BUILT_IN_MODELS
from gateway.config.toml import facts_of, load
from gateway.domain.accounts import Account, Secret
from gateway.domain.events import Event, TextDelta
from gateway.domain.media import Media
from gateway.domain.models import ModelTable
from gateway.domain.requests import ChatRequest, Message, Text
from gateway.domain.timeouts import Timeouts
from gateway.formats.blobs import BytesBlob
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.base import CallContext
from gateway.upstreams.registry import VENDORS
from tests.support.media import jpeg, mp4, png
from tests.support.simulators import ENGINE, Simulators

# Patience for vendors that work, and for those that a test lets hang.
_PATIENT = Timeouts(connect_s=5, first_byte_s=20, idle_s=20, total_s=40)
_BRIEF = Timeouts(connect_s=5, first_byte_s=1, idle_s=1, total_s=3)

_KEYS = {"ark": "ark-", "openai": "sk-", "gemini": "AIza-"}
MODELS = ModelTable(facts_of(load(BUILT_IN_MODELS)))
_MODELS = {
    "ark": {
        "chat": "doubao-seed-1-6-251015",
        "image": "doubao-seedream-4-0-250828",
        "video": "doubao-seedance-1-0-pro-250528",
    },
    "openai": {"chat": "sim-chat", "image": "gpt-image-2"},
    "gemini": {
        "chat": "gemini-2.5-flash",
        "image": "gemini-3.1-flash-image",
        "video": "gemini-omni-1.2-flash",
    },
    "gemini-enterprise": {"chat": "gemini-2.5-flash", "image": "gemini-2.5-flash"},
}


class PlainJournal:
    """Deletes what it sees created, and writes nothing down."""

    @contextmanager
    def session(
        self,
        account: Account,
        *,
        create: Callable[[str], str],
        delete: Callable[[str], None],
        keep: bool = False,
    ) -> Iterator[str]:
        name = create("gateway:test")
        try:
            yield name
        finally:
            if not keep:
                delete(name)


CONTEXT = CallContext("request-1", PlainJournal())


@dataclass(frozen=True)
class Vendor:
    """An adapter, its simulated vendor, and accounts there whose names choose the behaviour."""

    name: str
    upstream: Any  # the adapter
    simulators: Simulators

    def model(self, kind: str = "chat") -> str:
        return _MODELS[self.name][kind]

    def account(self, words: str = "", **options: Any) -> Account:
        """A fresh account; the vendor sees `Vendor.credential(account)` in its ledger."""
        label = "-".join(part for part in (words, uuid4().hex) if part)
        if self.name == "gemini-enterprise":
            email = f"{label}@test.iam.gserviceaccount.com"
            secret = self.simulators.service_account(email)
            return Account(email, self.name, Secret(secret), engine=ENGINE, **options)
        secret = _KEYS[self.name] + label
        return Account(secret, self.name, Secret(secret), **options)

    @staticmethod
    def credential(account: Account) -> str:
        return account.name

    def chat(self, request: ChatRequest, account: Account) -> list[list[Event]]:
        """All batches of an answer."""
        with closing(self.upstream.chat(request, account, CONTEXT)) as batches:
            return list(batches)

    def seen(self, account: Account) -> list[dict[str, Any]]:
        """The requests that the vendor got from an account, oldest first."""
        return self.simulators.requests_of(self.credential(account))


@pytest.fixture(scope="session")
def open_vendor(simulators: Simulators) -> Iterator[Callable[..., Vendor]]:
    """Makes an adapter; `brief`: one that soon loses patience; `base_url`: with another vendor."""
    clients = {False: Http(timeouts=_PATIENT), True: Http(timeouts=_BRIEF)}
    fetcher = Fetcher(trusted=(simulators.url.removeprefix("http://"),))

    def build(name: str, *, brief: bool = False, base_url: str | None = None) -> Vendor:
        spec = VENDORS[name]
        url = base_url or simulators.url + spec.simulator_path
        upstream = spec.load()(spec, clients[brief], fetcher, base_url=url, models=MODELS)
        return Vendor(name, upstream, simulators)

    yield build
    for client in clients.values():
        client.close()


class Canned:
    """A vendor that says what a test tells it to say, for what no simulator says."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                length = int(handler.headers.get("Content-Length", 0))
                self.bodies.append(handler.rfile.read(length))
                status, headers, body = self.answers.pop(0)
                handler.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(body)

            do_GET = do_DELETE = do_POST

            def log_message(handler, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def say(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer the next request with JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {"Content-Type": "application/json", **named}, raw))

    def stream(self, *payloads: Any) -> None:
        """Answer the next request with these events, and nothing after them."""
        lines = [p if isinstance(p, str) else json.dumps(p) for p in payloads]
        body = "".join(f"data: {line}\n\n" for line in lines).encode()
        self.answers.append((200, {"Content-Type": "text/event-stream"}, body))


@pytest.fixture
def canned() -> Iterator[Canned]:
    server = Canned()
    thread = Thread(target=server.server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.server.shutdown()
    thread.join()
    server.server.server_close()


@pytest.fixture
def ark(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("ark")


@pytest.fixture
def scripted_ark(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("ark", base_url=canned.url)


@pytest.fixture
def openai(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("openai")


@pytest.fixture
def imitator(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("openai", base_url=canned.url)


@pytest.fixture
def gemini(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("gemini")


@pytest.fixture
def scripted_gemini(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("gemini", base_url=canned.url)


@pytest.fixture
def enterprise(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("gemini-enterprise")


@pytest.fixture
def scripted_enterprise(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("gemini-enterprise", base_url=canned.url)


@pytest.fixture
def http() -> Iterator[Http]:
    with closing(Http()) as client:
        yield client


@pytest.fixture(params=sorted(VENDORS))
def vendor(request: pytest.FixtureRequest, open_vendor: Callable[..., Vendor]) -> Vendor:
    """Each vendor in turn."""
    return open_vendor(request.param)


@pytest.fixture(params=sorted(VENDORS))
def brief_vendor(request: pytest.FixtureRequest, open_vendor: Callable[..., Vendor]) -> Vendor:
    """Each vendor in turn, with an adapter that soon loses patience."""
    return open_vendor(request.param, brief=True)


def ask(vendor: Vendor, *texts: str, stream: bool = True, **params: Any) -> ChatRequest:
    """A chat request of user turns, with answers between them."""
    messages = []
    for text in texts or ("Hello there",):
        messages += [Message("user", (Text(text),)), Message("assistant", (Text("I see."),))]
    return ChatRequest(vendor.model(), tuple(messages[:-1]), params, stream=stream)  # type: ignore[arg-type]


def media(data: bytes, mime_type: str, **options: Any) -> Media:
    kind = mime_type.partition("/")[0]
    kind = kind if kind in ("image", "video", "audio") else "file"
    return Media(kind, mime_type, BytesBlob(data), sha256(data).hexdigest(), **options)  # type: ignore[arg-type]


def a_png(width: int = 64, height: int = 48, **options: Any) -> Media:
    return media(png(width, height), "image/png", width=width, height=height, **options)


def a_jpeg(width: int = 400, height: int = 300) -> Media:
    return media(jpeg(width, height), "image/jpeg", width=width, height=height)


def an_mp4() -> Media:
    return media(mp4(), "video/mp4")


def text_of(batches: Iterable[Iterable[Event]]) -> str:
    return "".join(e.text for batch in batches for e in batch if isinstance(e, TextDelta))


def flat(batches: Iterable[Iterable[Event]]) -> list[Event]:
    return [event for batch in batches for event in batch]


def ark_error(code: str, message: str = "no. Request id: 02abc") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "param": "", "type": ""}}
