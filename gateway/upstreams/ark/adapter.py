"""Volcengine Ark: Doubao's chat, Seedream's images, Seedance's videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from gateway.domain.accounts import Account, Kind
from gateway.domain.embeddings import EmbeddingRequest, Embeddings
from gateway.domain.errors import Conflict, Fault, GatewayError, NotFound, TaskUnknown
from gateway.domain.events import Event, Events, Finish, Progress, Usage
from gateway.domain.jobs import VideoTask
from gateway.domain.media import HEIC_IMAGES, WEB_IMAGES
from gateway.domain.requests import ChatRequest, ImageRequest, VendorCall, VideoRequest
from gateway.net.codecs.json_body import encode, redacted
from gateway.net.http.client import Answer
from gateway.upstreams.ark.chat import chat_body, fit_params
from gateway.upstreams.ark.embeddings import (
    is_multimodal,
    multimodal_body,
    read_multimodal,
)
from gateway.upstreams.ark.errors import ENVELOPE, VENDOR
from gateway.upstreams.ark.images import (
    changed,
    check_shape,
    image_body,
    image_options,
    read_images,
)
from gateway.upstreams.ark.videos import read_task, video_body, video_options
from gateway.upstreams.base import Adapter, CallContext, unused
from gateway.upstreams.openai.chat import ChatCall, bearer, converse
from gateway.upstreams.openai.embeddings import embedding_body, read_embeddings, read_vectors

_PICTURES = WEB_IMAGES | HEIC_IMAGES | {"image/gif", "image/bmp"}
_CHAT = "/chat/completions"
_IMAGES = "/images/generations"
_EMBEDDINGS = "/embeddings"
_MULTIMODAL = "/embeddings/multimodal"
_TASKS = "/contents/generations/tasks"


class Ark(Adapter):
    """Ark. The images of one request are made one after the other.

    `n` images are `n` calls and not one group: a group is a sequence that belongs
    together, may come out shorter, and takes as long. Each image is handed on when it
    is ready, and the account carries one call at a time, as its lease says.
    """

    def kind_of(self, model: str) -> Kind:
        if "embedding" in model:
            return "embedding"
        if "seedream" in model:
            return "image"
        return "video" if "seedance" in model else "chat"

    def takes_default_ratio(self, model: str) -> bool:
        return True

    def image_types(self, model: str, kind: Kind) -> frozenset[str]:
        return _PICTURES - HEIC_IMAGES if "seedance-1-0" in model else _PICTURES

    def dropped(
        self, request: ChatRequest | ImageRequest | VideoRequest, account: Account | None = None
    ) -> Iterable[str]:
        if isinstance(request, ImageRequest):
            return unused(request, image_options(request, self.facts(request.model)))
        if isinstance(request, VideoRequest):
            return unused(request, video_options(request.model))
        return fit_params(request.model, request.params)[1] if request.params else ()

    def changed(self, request: ChatRequest | ImageRequest | VideoRequest) -> Iterable[str]:
        if not isinstance(request, ImageRequest):
            return ()
        return changed(request, self.facts(request.model))

    def check_image(self, request: ImageRequest) -> None:
        super().check_image(request)
        check_shape(request, self.facts(request.model))

    def chat(self, request: ChatRequest, account: Account, context: CallContext) -> Events:
        call = ChatCall(
            self._url(account, _CHAT),
            bearer(account, context.request_id),
            encode(chat_body(request)),
            request.stream,
            None if request.stream else self._patient,
        )
        return converse(self._http, call, ENVELOPE, account, self._fetcher, context.served)

    def image(self, request: ImageRequest, account: Account, context: CallContext) -> Events:
        """Yield each picture when it is ready.

        When a later picture fails, those already made are paid for: the answer ends with
        them, and a Progress note says why there are fewer. A picture that is blocked does
        not keep the next from being tried.
        """
        made, tokens = 0, 0
        note = ""
        for number in range(request.n):
            try:
                events, usage = self._picture(request, account, context, number)
            except GatewayError as error:
                if not made:
                    raise
                note = error.message
                if error.fault is not Fault.CONTENT:
                    break
            else:
                made += usage.images
                tokens += usage.completion_tokens
                yield events
        closing: list[Event] = [Progress(note=note)] if note else []
        yield [*closing, Usage(completion_tokens=tokens, images=made), Finish("stop")]

    def _picture(
        self, request: ImageRequest, account: Account, context: CallContext, number: int
    ) -> tuple[list[Event], Usage]:
        body = image_body(request, self.facts(request.model), number=number)
        answer = self._ask("POST", _IMAGES, account, body, context.request_id)
        return read_images(answer, account, self._fetcher)

    def embed(self, request: EmbeddingRequest, account: Account, request_id: str) -> Embeddings:
        """A multimodal model makes one vector a call."""
        if not is_multimodal(request.model):
            answer = self._ask(
                *("POST", _EMBEDDINGS, account, embedding_body(request), request_id),
                read=lambda answer: read_vectors(answer, request),
            )
            return read_embeddings(answer, request, account, ENVELOPE)
        vectors: list[list[float]] = []
        total = 0
        for place in range(len(request.inputs)):
            body = multimodal_body(request, place)
            answer = self._ask("POST", _MULTIMODAL, account, body, request_id)
            vector, tokens = read_multimodal(answer)
            vectors.append(vector)
            total += tokens
        return Embeddings(tuple(vectors), total)

    def plan_embedding(self, request: EmbeddingRequest, account: Account) -> list[VendorCall]:
        if not is_multimodal(request.model):
            return [self._plan(_EMBEDDINGS, embedding_body(request), account)]
        places = range(len(request.inputs))
        return [self._plan(_MULTIMODAL, multimodal_body(request, p), account) for p in places]

    def submit_video(self, request: VideoRequest, account: Account, context: CallContext) -> str:
        answer = self._ask("POST", _TASKS, account, video_body(request), context.request_id)
        task_id = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(task_id, str) or not task_id:
            raise ENVELOPE.reported(answer, account) or ENVELOPE.invalid("names no task")
        return task_id

    def check_video(self, task_id: str, account: Account) -> VideoTask:
        try:
            task = self._ask("GET", _task_path(task_id), account)
        except NotFound as error:
            raise TaskUnknown(f"{VENDOR} does not know this video") from error
        return read_task(task, account, self._fetcher)

    def cancel_video(self, task_id: str, account: Account) -> None:
        """Take a task out of the queue. Deleting a finished one would delete its video."""
        try:
            task = self._ask("GET", _task_path(task_id), account)
        except NotFound as error:
            raise Conflict(f"{VENDOR} no longer knows this video") from error
        status = task.get("status") if isinstance(task, dict) else None
        if status != "queued":
            raise Conflict(f"The video is {status or 'lost'} at {VENDOR} and cannot be stopped")
        self._ask("DELETE", _task_path(task_id), account)

    def release_video(self, task_id: str, account: Account) -> None:
        """Nothing to do: records go after seven days, links after one."""

    def plan_chat(self, request: ChatRequest, account: Account) -> list[VendorCall]:
        return [self._plan(_CHAT, chat_body(request), account)]

    def plan_image(self, request: ImageRequest, account: Account) -> list[VendorCall]:
        facts = self.facts(request.model)
        return [
            self._plan(_IMAGES, image_body(request, facts, number=number), account)
            for number in range(request.n)
        ]

    def plan_video(self, request: VideoRequest, account: Account) -> list[VendorCall]:
        return [self._plan(_TASKS, video_body(request), account)]

    def _ask(
        self,
        method: str,
        path: str,
        account: Account,
        document: Any = None,
        request_id: str | None = None,
        read: Callable[[Answer], Any] = Answer.json,
    ) -> Any:
        with self._http.send(
            method,
            self._url(account, path),
            headers=bearer(account, request_id),
            body=None if document is None else encode(document),
            timeouts=self._patient if path == _IMAGES else None,
        ) as answer:
            if answer.status != 200:
                raise ENVELOPE.failure(answer, account)
            return read(answer)

    def _plan(self, path: str, document: Any, account: Account) -> VendorCall:
        headers = {"Authorization": "***", "Content-Type": "application/json"}
        return VendorCall("POST", self._url(account, path), headers, redacted(document))

    def _url(self, account: Account, path: str) -> str:
        return (account.base_url or self._base_url).rstrip("/") + path


def _task_path(task_id: str) -> str:
    return f"{_TASKS}/{quote(task_id, safe='')}"
