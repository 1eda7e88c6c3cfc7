"""The Gemini API: chat and pictures by generateContent, films by interactions.

https://ai.google.dev/api
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from gateway.domain.accounts import Account, Kind
from gateway.domain.embeddings import EmbeddingRequest, Embeddings
from gateway.domain.errors import GatewayError, InvalidRequest, UpstreamInvalidResponse
from gateway.domain.events import Event, Events, Finish, Progress, Usage
from gateway.domain.jobs import VideoTask
from gateway.domain.media import HEIC_IMAGES, WEB_IMAGES, Media
from gateway.domain.models import ModelFacts, ModelTable
from gateway.domain.requests import ChatRequest, ImageRequest, VendorCall, VideoRequest
from gateway.net.codecs import json_body as jsonbody
from gateway.net.codecs import sse
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.base import Adapter, CallContext, unused
from gateway.upstreams.gemini import contents, files, images, parameters
from gateway.upstreams.gemini.embeddings import embedding_body, parts_of, read_embeddings
from gateway.upstreams.gemini.endpoint import (
    API,
    LARGEST_ANSWER,
    Endpoint,
    endpoint_of,
    planned,
    raise_for_status,
)
from gateway.upstreams.gemini.interactions import VideoTasks
from gateway.upstreams.gemini.responses import Decoder
from gateway.upstreams.openai.embeddings import read_vectors
from gateway.upstreams.registry import VendorSpec

_PICTURES = WEB_IMAGES | HEIC_IMAGES


class Gemini(Adapter):
    """The Gemini API; its base URL is the root, above `/v1beta`."""

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
        self._video_tasks = VideoTasks(http, fetcher)

    def kind_of(self, model: str) -> Kind:
        if "embedding" in model:
            return "embedding"
        if "omni" in model or "veo" in model:
            return "video"
        return "image" if "-image" in model or "nano-banana" in model else "chat"

    def takes_default_ratio(self, model: str) -> bool:
        return True

    def image_types(self, model: str, kind: Kind) -> frozenset[str]:
        return _PICTURES

    def dropped(
        self, request: ChatRequest | ImageRequest | VideoRequest, account: Account | None = None
    ) -> Iterable[str]:
        if isinstance(request, ImageRequest):
            facts = self.facts(request.model)
            taken = facts.options if facts is not None else frozenset({"seed"})
            random = request.seed is not None and request.seed < 0
            return unused(request, taken - {"seed"} if random else taken)
        if isinstance(request, VideoRequest):
            return unused(request, ("seed",))
        return parameters.dropped(request.params, self.facts(request.model))

    def changed(self, request: ChatRequest | ImageRequest | VideoRequest) -> Iterable[str]:
        if isinstance(request, ImageRequest):
            return images.changed(request, self.facts(request.model))
        if isinstance(request, VideoRequest):
            return ()
        return parameters.changed(request.model, request.params, self.facts(request.model))

    def check_image(self, request: ImageRequest) -> None:
        super().check_image(request)
        images.shape_of(request, self.facts(request.model))

    def chat(self, request: ChatRequest, account: Account, context: CallContext) -> Events:
        """Stream one answer, or ask for it whole when the caller wants it whole.

        Raises ContentFiltered when the prompt is blocked; an answer that is blocked on its
        way ends with the finish reason content_filter.
        """
        endpoint = endpoint_of(account, self._base_url)
        uploads = contents.too_large_to_inline(contents.media_of(request.messages))
        with files.uploaded(self._http, endpoint, account, uploads) as uris:
            body = _chat_body(request, uris, self.facts(request.model))
            names = parameters.tool_names(request.params)
            callers = {written: name for name, written in names.items()}
            decoder = Decoder(account, context.served, callers)
            if request.stream:
                yield from self._streamed(request.model, body, endpoint, account, decoder)
            else:
                events = self._whole(request.model, body, endpoint, account, decoder)
                yield events + decoder.end()

    def _streamed(
        self,
        model: str,
        body: dict[str, Any],
        endpoint: Endpoint,
        account: Account,
        decoder: Decoder,
    ) -> Events:
        url, encoded = _stream_url(endpoint, model), jsonbody.encode(body)
        timeouts = self._timeouts(model, stream=True)
        with self._http.send(
            "POST", url, headers=endpoint.headers, body=encoded, timeouts=timeouts
        ) as answer:
            raise_for_status(answer, account)
            content = answer.content()
            if content == "json":  # whole, or an array of chunks
                yield [*_read_whole(decoder, answer.json(LARGEST_ANSWER)), *decoder.end()]
                return
            if content != "events":
                raise UpstreamInvalidResponse("Gemini did not send a stream", sent=True)
            chunks = _Remembered(answer.chunks())
            for payloads in sse.batches(chunks):
                events: list[Event] = []
                try:
                    for payload in payloads:
                        events += decoder.events(payload)
                except GatewayError:
                    if events:
                        yield events
                    raise
                if events:
                    yield events
            yield decoder.end(chunks.last)

    def _whole(
        self,
        model: str,
        body: dict[str, Any],
        endpoint: Endpoint,
        account: Account,
        decoder: Decoder,
    ) -> list[Event]:
        url, encoded = _url(endpoint, model), jsonbody.encode(body)
        with self._http.send(
            "POST",
            url,
            headers=endpoint.headers,
            body=encoded,
            timeouts=self._timeouts(model, stream=False),
        ) as answer:
            raise_for_status(answer, account)
            if answer.content() == "events":
                events: list[Event] = []
                for payloads in sse.batches(answer.chunks()):
                    for payload in payloads:
                        events += decoder.events(payload)
                return events
            return _read_whole(decoder, answer.json(LARGEST_ANSWER))

    def image(self, request: ImageRequest, account: Account, context: CallContext) -> Events:
        """Ask for `n` pictures one after the other, since an answer has one.

        When a later picture fails, those already made are paid for: the answer ends with
        them, and a Progress note says why there are fewer.
        """
        endpoint = endpoint_of(account, self._base_url)
        uploads = contents.too_large_to_inline(iter(images.references(request)))
        total = Usage()
        with files.uploaded(self._http, endpoint, account, uploads) as uris:
            body = images.image_body(request, uris, self.facts(request.model))
            for _ in range(request.n):
                decoder = Decoder(account, context.served)
                try:
                    events = self._whole(request.model, body, endpoint, account, decoder)
                    decoder.add_image_to(total)
                except GatewayError as exc:
                    if not total.images:
                        raise
                    yield [Progress(note=exc.message)]
                    break
                yield events
        yield [total, Finish("stop")]

    def submit_video(self, request: VideoRequest, account: Account, context: CallContext) -> str:
        """Start an interaction in the background; its id is the task's."""
        return self._video_tasks.submit(request, endpoint_of(account, self._base_url), account)

    def check_video(self, task_id: str, account: Account) -> VideoTask:
        return self._video_tasks.check(task_id, endpoint_of(account, self._base_url), account)

    def cancel_video(self, task_id: str, account: Account) -> None:
        self._video_tasks.cancel(task_id, endpoint_of(account, self._base_url), account)

    def release_video(self, task_id: str, account: Account) -> None:
        self._video_tasks.release(task_id, endpoint_of(account, self._base_url))

    def plan_chat(self, request: ChatRequest, account: Account) -> list[VendorCall]:
        endpoint = endpoint_of(account, self._base_url)
        attachments = contents.media_of(request.messages)
        calls, uris = _planned_uploads(attachments, endpoint)
        model = request.model
        url = _stream_url(endpoint, model) if request.stream else _url(endpoint, model)
        body = _chat_body(request, uris, self.facts(model))
        return [*calls, planned("POST", url, endpoint.headers, body)]

    def embed(self, request: EmbeddingRequest, account: Account, request_id: str) -> Embeddings:
        """Ask for as many vectors at once as Gemini takes texts."""
        endpoint = endpoint_of(account, self._base_url)
        url = _url(endpoint, request.model, "batchEmbedContents")
        found: list[Embeddings] = []
        for part in parts_of(request):
            body = jsonbody.encode(embedding_body(part))
            with self._http.send("POST", url, headers=endpoint.headers, body=body) as answer:
                raise_for_status(answer, account)
                found.append(read_embeddings(read_vectors(answer, part), part))
        vectors = tuple(vector for one in found for vector in one.vectors)
        return Embeddings(vectors, sum(one.tokens for one in found))

    def plan_embedding(self, request: EmbeddingRequest, account: Account) -> list[VendorCall]:
        endpoint = endpoint_of(account, self._base_url)
        url = _url(endpoint, request.model, "batchEmbedContents")
        bodies = map(embedding_body, parts_of(request))
        return [planned("POST", url, endpoint.headers, body) for body in bodies]

    def plan_image(self, request: ImageRequest, account: Account) -> list[VendorCall]:
        endpoint = endpoint_of(account, self._base_url)
        calls, uris = _planned_uploads(iter(images.references(request)), endpoint)
        url = _url(endpoint, request.model)
        body = images.image_body(request, uris, self.facts(request.model))
        return calls + [planned("POST", url, endpoint.headers, body) for _ in range(request.n)]

    def plan_video(self, request: VideoRequest, account: Account) -> list[VendorCall]:
        return [self._video_tasks.plan(request, endpoint_of(account, self._base_url))]


def _read_whole(decoder: Decoder, document: Any) -> list[Event]:
    """The events of an answer that came as one object, or as an array of its chunks."""
    chunks = document if isinstance(document, list) else [document]
    return [event for chunk in chunks for event in decoder.events_of(chunk)]


class _Remembered:
    """Chunks on their way through, of which the last is kept."""

    __slots__ = ("_chunks", "last")

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.last = b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.last = chunk
            yield chunk


def _chat_body(
    request: ChatRequest, uris: dict[str, str], facts: ModelFacts | None
) -> dict[str, Any]:
    model = request.model
    last = len(request.messages) - 1
    if facts is not None and not facts.prefill and request.messages[last].role == "assistant":
        raise InvalidRequest(
            f"{model} does not continue a turn of the assistant's: end with another turn",
            param=f"messages[{last}].role",
        )
    body = contents.conversation(
        request.messages,
        uris,
        signed=parameters.signs_calls(model),
        tool_names=parameters.tool_names(request.params),
    )
    body |= parameters.options(model, request.params, facts)
    return body


def _planned_uploads(
    attachments: Iterator[Media], endpoint: Endpoint
) -> tuple[list[VendorCall], dict[str, str]]:
    """The uploads that would come first, and stand-ins for the URIs they would get."""
    uploads = contents.too_large_to_inline(attachments)
    calls = [planned("POST", *files.announcement(media, endpoint)) for media in uploads.values()]
    return calls, {digest: f"<file {i}>" for i, digest in enumerate(uploads, 1)}


def _url(endpoint: Endpoint, model: str, method: str = "generateContent") -> str:
    return f"{endpoint.base_url}/{API}/models/{quote(model, safe='')}:{method}"


def _stream_url(endpoint: Endpoint, model: str) -> str:
    return _url(endpoint, model, "streamGenerateContent?alt=sse")
