"""Gemini Enterprise: an assistant with sessions, which draws and films within its answers.

https://docs.cloud.google.com/gemini/enterprise/docs
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.domain.accounts import Account, Kind
from gateway.domain.events import Event, Events, MediaReady
from gateway.domain.media import HEIC_IMAGES, WEB_IMAGES
from gateway.domain.models import ModelTable
from gateway.domain.requests import ChatRequest, ImageRequest, VendorCall, VideoRequest
from gateway.net.codecs import json_body as jsonbody
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.base import Adapter, CallContext, unused
from gateway.upstreams.gemini_enterprise.client import Client, file_body, session_body
from gateway.upstreams.gemini_enterprise.engine import engine_of
from gateway.upstreams.gemini_enterprise.queries import Question
from gateway.upstreams.gemini_enterprise.responses import Decoder
from gateway.upstreams.google.credentials import GoogleCredentials, has_key_file
from gateway.upstreams.registry import VendorSpec

# Not documented; what the models behind it take.
_PICTURES = WEB_IMAGES | HEIC_IMAGES
_MAPPED = frozenset({"web_search_options"})  # the assistant may always search


class GeminiEnterprise(Adapter):
    """One session per request, which the journal deletes whatever happens.

    `engine` is the resource name for accounts that have none of their own. With the
    vendor's own base URL the host follows from the engine's location.
    """

    chat_makes_images = True

    def __init__(
        self,
        spec: VendorSpec,
        http: Http,
        fetcher: Fetcher,
        *,
        base_url: str | None = None,
        engine: str | None = None,
        models: ModelTable | None = None,
    ) -> None:
        super().__init__(spec, http, fetcher, base_url=base_url, engine=engine, models=models)
        self._credentials = GoogleCredentials(http)

    def takes(self, credential: str) -> bool:
        return self._engine is not None and super().takes(credential)

    def kind_of(self, model: str) -> Kind:
        return "chat"

    def takes_default_ratio(self, model: str) -> bool:
        return True

    def image_types(self, model: str, kind: Kind) -> frozenset[str]:
        return _PICTURES

    def dropped(
        self, request: ChatRequest | ImageRequest | VideoRequest, account: Account | None = None
    ) -> Iterable[str]:
        if not isinstance(request, ChatRequest):
            return unused(request, ())
        return (name for name in request.params if name not in _MAPPED)

    def chat(self, request: ChatRequest, account: Account, context: CallContext) -> Events:
        """Upload the attachments of all turns into a session, then ask in one text.

        Raises ContentFiltered when a policy refuses the question; an answer that one cuts
        short ends with the finish reason content_filter.
        """
        question = Question.of_chat(request)
        keep = not request.auto_delete
        with self._asked(question, account, context, keep=keep) as (decoder, batches):
            yield from batches
            yield decoder.end()

    def image(self, request: ImageRequest, account: Account, context: CallContext) -> Events:
        """Ask for pictures in words; what the assistant says about them is left out."""
        question = Question.of_image(request)
        with self._asked(question, account, context) as (decoder, batches):
            for events in batches:
                pictures: list[Event] = [e for e in events if isinstance(e, MediaReady)]
                if pictures:
                    yield pictures
            yield decoder.end_with_picture()

    @contextmanager
    def _asked(
        self, question: Question, account: Account, context: CallContext, *, keep: bool = False
    ) -> Iterator[tuple[Decoder, Iterator[list[Event]]]]:
        """Upload and ask in a session that lasts as long as the block, which reads the answer."""
        client = self._client(account)
        with context.journal.session(
            account, create=client.create_session, delete=client.delete_session, keep=keep
        ) as session:
            files = client.add_files(session, question.attachments.values())
            body = question.body(session, files)
            decoder = Decoder(account, question.text, client.source_in(session))
            with client.ask(body) as answer:
                yield decoder, decoder.batches(answer.chunks())

    def _client(self, account: Account) -> Client:
        engine = engine_of(account, self._engine, self._base_url)
        return Client(self._http, self._fetcher, self._credentials, engine, account)

    def plan_chat(self, request: ChatRequest, account: Account) -> list[VendorCall]:
        plan = self._plan(Question.of_chat(request), account)
        return plan if request.auto_delete else plan[:-1]

    def plan_image(self, request: ImageRequest, account: Account) -> list[VendorCall]:
        return self._plan(Question.of_image(request), account)

    def _plan(self, question: Question, account: Account) -> list[VendorCall]:
        """The calls of one request, with stand-ins for what the vendor would name."""
        engine = engine_of(account, self._engine, self._base_url)
        own_token = not has_key_file(account)
        headers = {**engine.headers("", own_token=own_token), "Authorization": "***"}
        session = f"{engine.name}/sessions/<session>"

        def call(method: str, url: str, document: Any = None) -> VendorCall:
            return VendorCall(method, url, headers, jsonbody.redacted(document))

        files = list(question.attachments.values())
        ids = [f"<file {file.number}>" for file in files]
        return [
            call("POST", engine.sessions_url, session_body("<label>")),
            *(call("POST", engine.file_url(session), file_body(file)) for file in files),
            call("POST", engine.assist_url, question.body(session, ids)),
            call("DELETE", engine.url(session)),
        ]

    def sweep_sessions(self, account: Account, label: str) -> int:
        client = self._client(account)
        names = client.sessions_with(label)
        for name in names:
            client.delete_session(name)
        return len(names)

    def session_labels(self, account: Account, prefix: str) -> Iterable[str]:
        return self._client(account).labels_with(prefix)
