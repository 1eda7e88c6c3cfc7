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
from flask import Response

from gateway.api.context import services, state, the_request, trace
from gateway.api.hooks.auth import caller
from gateway.api.hooks.response_headers import facts
from gateway.api.http.errors import error_response
from gateway.api.http.heartbeat import bridge, unseen
from gateway.domain.errors import GatewayError, InvalidRequest
from gateway.services.idempotency import Attached, Idempotency, Ticket
from gateway.services.jobs.generation import refused
from gateway.services.routing.dispatch import Trace
from gateway.storage.records.idempotency import Done

_LONGEST_KEY = 255
_REPEATED = re.compile(r"0*[1-9][0-9]*", re.ASCII)
_LONGEST_ANSWER = 1024 * 1024  # bytes; what is longer is made again
_UNSEEN_S = 60.0  # for so long a refusal that its sender has not seen is kept
_KEPT_HEADERS = (
    *("Content-Type", "Cache-Control", "Vary", "X-Accel-Buffering"),
    *("x-should-retry", "Retry-After", "WWW-Authenticate"),
)

Answer = Callable[[str | None], Response]


def once(document: Mapping[str, Any], answer: Answer, *, stream: bool = False) -> Response:
    """Answer a POST, or repeat what an equal one was answered.

    `answer(job_id)` makes the response: from that job, or from scratch when there is none.
    """
    asked = the_request()
    fingerprint = trace().fingerprint = Fingerprint(asked.path, document)
    key = asked.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return answer(_repeated_job(fingerprint))
    if not (1 <= len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            "An Idempotency-Key has 1 to 255 printable ASCII characters.", param="Idempotency-Key"
        )
    state().keyed = True
    bridge(stream=stream)  # an equal request may take its time
    scope = f"{caller().owner} {asked.url_rule}"
    begun = services().idempotency.begin(scope, key, fingerprint())
    if isinstance(begun, Ticket):
        return _serve(begun, answer)
    state().replayed = True
    return answer(begun.job_id) if isinstance(begun, Attached) else _replay(begun)


class Fingerprint:
    """What makes two requests the same: path and body, uploaded files by their digest.

    Few requests are ever asked for theirs.
    """

    __slots__ = ("_digest", "_document", "_path")

    def __init__(self, path: str, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document
        self._digest = ""

    def __call__(self) -> str:
        if not self._digest:
            what = [self._path, self._document]
            text = orjson.dumps(what, option=orjson.OPT_SORT_KEYS, default=repr)
            self._digest = hashlib.sha256(text).hexdigest()
        return self._digest


def _repeated_job(fingerprint: Callable[[], str]) -> str | None:
    """The job that this request has made before its SDK sent it again.

    Raises the failure that came too late for the first answer's status.
    """
    if not _REPEATED.fullmatch(the_request().environ.get("HTTP_X_STAINLESS_RETRY_COUNT", "")):
        return None
    who = caller()
    job = services().generation.equal(fingerprint(), who)
    if job is not None:
        return job.id
    failure = services().idempotency.late_failure(who.owner, fingerprint())
    if failure is not None:
        raise failure
    return None


def _serve(ticket: Ticket, answer: Answer) -> Response:
    """Do the work, and keep what comes of it."""
    service, found = services().idempotency, trace()
    found.on_job = lambda job_id: service.attach(ticket, job_id)
    try:
        try:
            response = answer(None)
        except GatewayError as err:
            response = _failed(ticket, err)
        else:
            _keep_answer(response, ticket)
    except BaseException:
        service.abandon(ticket)
        raise
    return response


def _keep_answer(response: Response, ticket: Ticket) -> None:
    service, found = services().idempotency, trace()
    if found.error is not None:  # it came late, and is said inside the stream
        _give_up(ticket)
    elif found.job is not None:
        service.leave(ticket)
    elif response.is_streamed:
        kept = _Kept(response, ticket, service, found)
        response.response = kept
        response.call_on_close(kept.close)
    else:
        _keep(response, response.get_data(), ticket, service, found)


def _failed(ticket: Ticket, err: GatewayError) -> Response:
    """A failure is an answer once the vendor may have acted; a refusal is forgotten.

    But not before its sender can have seen it: what comes too late for a status breaks the
    answer off, and is sent again.
    """
    service, found = services().idempotency, trace()
    response = error_response(err)
    acted = err.sent and err.status >= 500
    if (acted or unseen(err)) and (found.job is None or _refused(found.job)):
        response.headers["x-should-retry"] = "false"
        keep_s = None if acted else _UNSEEN_S
        _keep(response, response.get_data(), ticket, service, found, keep_s=keep_s)
    else:
        _give_up(ticket)
    return response


def _give_up(ticket: Ticket) -> None:
    """Forget the request, unless it has become a job that a vendor may have."""
    service, job_id = services().idempotency, trace().job
    if job_id is None or _refused(job_id):
        service.abandon(ticket, job_id)
    else:
        service.leave(ticket)


def _refused(job_id: str) -> bool:
    """Whether an order came to nothing; where that cannot be read, a vendor may have it."""
    with suppress(GatewayError):
        return refused(services().generation.get(job_id, caller()))
    return False


def _keep(
    response: Response,
    body: bytes,
    ticket: Ticket,
    service: Idempotency,
    found: Trace,
    *,
    keep_s: float | None = None,
) -> None:
    if len(body) > _LONGEST_ANSWER:
        service.abandon(ticket)
        return
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    service.finish(
        ticket,
        status=response.status_code,
        headers=headers | dict(facts(found)),
        body=body,
        keep_s=keep_s,
    )


def _replay(done: Done) -> Response:
    response = Response(done.body, done.status)
    response.headers.update(done.headers)
    return response


class _Kept:
    """A stream on its way to the client, kept if it comes to its proper end."""

    def __init__(
        self, response: Response, ticket: Ticket, service: Idempotency, found: Trace
    ) -> None:
        self._frames: Iterator[bytes] = response.iter_encoded()
        self._response = response
        self._ticket = ticket
        self._service = service
        self._found = found
        self._seen = bytearray()
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        for frame in self._frames:
            if len(self._seen) <= _LONGEST_ANSWER:
                self._seen += frame
            yield frame
        self._ended = self._found.error is None

    def close(self) -> None:
        if self._ended:
            _keep(self._response, bytes(self._seen), self._ticket, self._service, self._found)
        else:
            self._service.abandon(self._ticket)
