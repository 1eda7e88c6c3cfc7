"""`Idempotency-Key`, and the repetitions that SDKs send by themselves.

With a key, the same request gets the same answer for a day: the job it has become, or the
stored answer. Without one, a request that an SDK repeats is recognised by its body: it is
attached to the picture or video that it has already ordered, and told of the failure that
came too late for a status. https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
from flask import request

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext
from gateway.api.dialects.base import OPENAI
from gateway.api.http.errors import error_response
from gateway.api.http.heartbeat import failed_after_status, start_heartbeat
from gateway.api.http.responses import routing_headers
from gateway.domain.errors import GatewayError, InvalidRequest
from gateway.runtime.interruption import Heartbeat
from gateway.services.idempotency import Claim, Done
from gateway.services.jobs.generation import refused

_LONGEST_KEY = 255
_REPEATED = re.compile(r"0*[1-9][0-9]*", re.ASCII)
_MAX_STORED_BYTES = 1024 * 1024  # a longer answer is made again
_UNSEEN_S = 60.0  # for so long a refusal that its sender has not seen is kept
_KEPT_HEADERS = (
    *("Content-Type", "Cache-Control", "Vary", "X-Accel-Buffering"),
    *("x-should-retry", "Retry-After", "WWW-Authenticate"),
)

Answer = Callable[[str | None], ApiResponse]


def answer_once(
    context: RequestContext,
    document: Mapping[str, Any],
    answer: Answer,
    *,
    stream: bool = False,
    heartbeat: Heartbeat = OPENAI.heartbeat,
) -> ApiResponse:
    """Answer a POST, or repeat the answer to an equal one.

    `answer(job_id)` makes the response: from that job, or from scratch when there is none.
    """
    fingerprint = context.trace.fingerprint = Fingerprint(context.path, document)
    key = context.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return answer(_repeated_job(context, fingerprint))
    if not (1 <= len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            "An Idempotency-Key has 1 to 255 printable ASCII characters.", param="Idempotency-Key"
        )
    context.has_idempotency_key = True
    # An equal request may take its time.
    start_heartbeat(context, stream=stream, heartbeat=heartbeat)
    scope = f"{context.caller.owner} {request.url_rule}"
    begun = context.services.idempotency.begin(scope, key, fingerprint())
    if isinstance(begun, Claim):
        return _Claimed(context, begun).answer(answer)
    context.replayed = True
    return _replay(begun) if isinstance(begun, Done) else answer(begun.job_id)


class Fingerprint:
    """Digest of the path and body that equal requests share, uploaded files by their digest.

    Few requests are ever asked for theirs.
    """

    __slots__ = ("_digest", "_document", "_path")

    def __init__(self, path: str, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document
        self._digest = ""

    def __call__(self) -> str:
        if not self._digest:
            text = orjson.dumps(
                [self._path, self._document], option=orjson.OPT_SORT_KEYS, default=repr
            )
            self._digest = hashlib.sha256(text).hexdigest()
        return self._digest


def _repeated_job(context: RequestContext, fingerprint: Callable[[], str]) -> str | None:
    """The job that this request has made before its SDK sent it again.

    Raises the failure that came too late for the first answer's status.
    """
    if not _REPEATED.fullmatch(context.environ.get("HTTP_X_STAINLESS_RETRY_COUNT", "")):
        return None
    services, caller = context.services, context.caller
    job = services.generation.equal(fingerprint(), caller)
    if job is not None:
        return job.id
    failure = services.idempotency.late_failure(caller.owner, fingerprint())
    if failure is not None:
        raise failure
    return None


def _replay(done: Done) -> ApiResponse:
    response = ApiResponse(done.body, done.status)
    response.headers.update(done.headers)
    return response


class _Claimed:
    """A request that has claimed its idempotency key: it is served, and its answer stored."""

    def __init__(self, context: RequestContext, claim: Claim) -> None:
        self._context = context
        self._claim = claim
        self._service = context.services.idempotency
        context.trace.on_job = lambda job_id: self._service.attach(claim, job_id)

    def answer(self, answer: Answer) -> ApiResponse:
        try:
            try:
                response = answer(None)
            except GatewayError as err:
                response = self._failed(err)
            else:
                self._store_answer(response)
        except BaseException:
            self._service.abandon(self._claim)
            raise
        return response

    def _store_answer(self, response: ApiResponse) -> None:
        trace = self._context.trace
        if trace.error is not None:  # it came late, and is an event of the stream
            self._release()
        elif trace.job is not None:
            return  # the job answers for the key from now on
        elif response.is_streamed:
            recorded = _RecordedStream(response, self)
            response.response = recorded
            response.call_on_close(recorded.close)
        else:
            self._store(response.get_data(), response.status_code, _kept(response))

    def _failed(self, err: GatewayError) -> ApiResponse:
        """A failure is stored once the vendor may have acted; a refusal is forgotten.

        But not before its sender can have seen it: a failure too late for a status breaks
        the answer off, and the request is sent again.
        """
        context, job_id = self._context, self._context.trace.job
        response = error_response(context, err)
        acted = err.sent and err.status >= 500
        unseen = acted or failed_after_status(context, err)
        if unseen and (job_id is None or self._is_refused(job_id)):
            response.headers["x-should-retry"] = "false"
            keep_s = None if acted else _UNSEEN_S
            self._store(response.get_data(), response.status_code, _kept(response), keep_s=keep_s)
        else:
            self._release()
        return response

    def _release(self) -> None:
        """Forget the request, unless it has become a job that a vendor may have."""
        job_id = self._context.trace.job
        if job_id is None or self._is_refused(job_id):
            self._service.abandon(self._claim, job_id)

    def _is_refused(self, job_id: str) -> bool:
        """Tell if a job came to nothing; where that cannot be read, a vendor may have it."""
        with suppress(GatewayError):
            return refused(self._context.services.generation.get(job_id, self._context.caller))
        return False

    def _store(
        self, body: bytes, status: int, headers: dict[str, str], *, keep_s: float | None = None
    ) -> None:
        if len(body) > _MAX_STORED_BYTES:
            self._service.abandon(self._claim)
            return
        headers |= dict(routing_headers(self._context.trace))
        self._service.finish(self._claim, status=status, headers=headers, body=body, keep_s=keep_s)

    def close_stream(self, body: bytes | None, status: int, headers: dict[str, str]) -> None:
        """Store a stream that came to its proper end; `body` is None for one that did not."""
        if body is None or self._context.trace.error is not None:
            self._service.abandon(self._claim)
        else:
            self._store(body, status, headers)


class _RecordedStream:
    """Frames of a stream on their way to the client, to be stored with their claim."""

    def __init__(self, response: ApiResponse, claimed: _Claimed) -> None:
        self._frames: Iterator[bytes] = response.iter_encoded()
        self._status = response.status_code
        self._headers = _kept(response)
        self._claimed = claimed
        self._recorded = bytearray()
        self._complete = False

    def __iter__(self) -> Iterator[bytes]:
        for frame in self._frames:
            if len(self._recorded) <= _MAX_STORED_BYTES:
                self._recorded += frame
            yield frame
        self._complete = True

    def close(self) -> None:
        body = bytes(self._recorded) if self._complete else None
        self._claimed.close_stream(body, self._status, self._headers)


def _kept(response: ApiResponse) -> dict[str, str]:
    return {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
