"""OpenAI, and every server that speaks its chat and image APIs.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import Any

from gateway.domain.accounts import Account, Kind
from gateway.domain.embeddings import EmbeddingRequest, Embeddings
from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    AccountRejected,
    ContentFiltered,
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotAvailable,
    ModelNotFound,
    ModelRejected,
    RequestBlocked,
    UpstreamError,
    UpstreamOverloaded,
)
from gateway.domain.events import Events
from gateway.domain.media import WEB_IMAGES
from gateway.domain.requests import ChatRequest, ImageRequest, VendorCall, VideoRequest
from gateway.net.codecs.json_body import encode, redacted
from gateway.net.codecs.multipart import Multipart
from gateway.net.http.client import Body
from gateway.upstreams.base import Adapter, CallContext, unused
from gateway.upstreams.errors import Row
from gateway.upstreams.openai.chat import ChatCall, bearer, converse
from gateway.upstreams.openai.embeddings import embedding_body, read_embeddings, read_vectors
from gateway.upstreams.openai.envelope import Envelope
from gateway.upstreams.openai.images import (
    TAKEN,
    changed,
    check_size,
    drawn,
    draws_drafts,
    fields,
    files,
    read_images,
)
from gateway.upstreams.openai.messages import media_part, write_messages

_CHAT = "/chat/completions"
_GENERATIONS = "/images/generations"
_EDITS = "/images/edits"
_EMBEDDINGS = "/embeddings"
_PICTURES_LIMIT_BYTES = 256 * 1024 * 1024  # ten large pictures as base64

_IMAGE_MODELS = ("gpt-image", "chatgpt-image", "dall-e")
# Known to servers that speak OpenAI's protocol, refused by OpenAI.
_FOREIGN = frozenset(
    {
        "top_k",
        "min_p",
        "repetition_penalty",
        "thinking",
        "enable_thinking",
        "chat_template_kwargs",
        "image_config",
    }
)

# OpenAI has a code and a 401 for it; some of its imitators have a sentence.
_WRONG_KEY = (
    r"^(incorrect|invalid) api key( provided)?(: \S+)?\.?"
    r"( You can (find|obtain) (an|your) api key (at|from) https?://\S+)?$"
    r"|^API key not valid\. Please pass a valid (API )?key\.$"
)
# https://platform.openai.com/docs/guides/error-codes, and what its imitators say instead.
_TABLE = (
    Row(None, "context_length_exceeded", "", ContextLengthExceeded),
    Row(
        400,
        "",
        "context (length|window|size)|too many tokens|prompt is too long"
        "|token count.{0,100}exceeds|exceeds the maximum number of tokens",
        ContextLengthExceeded,
    ),
    Row(
        None,
        "content_filter|content_policy_violation|moderation_blocked|ResponsibleAIPolicyViolation",
        "",
        ContentFiltered,
    ),
    Row(400, "", "safety system|content (management )?policy", ContentFiltered),
    Row(403, "", "moderation|flagged|safety system|content policy", ContentFiltered),
    Row(400, "billing_hard_limit_reached", "", AccountQuotaExhausted),
    Row(None, "insufficient_quota", "", AccountQuotaExhausted),
    Row(402, "", "", AccountQuotaExhausted),
    Row(400, "invalid_api_key", "", AccountRejected),
    Row(400, "", _WRONG_KEY, AccountRejected),
    Row(401, "", "not allowed to access model", ModelRejected),
    Row(403, "model_not_found", "", ModelNotAvailable),
    Row(None, "model_not_found", "", ModelNotFound),
    Row(403, "", "missing scopes", AccountRejected),  # such as model.request
    Row(403, "", r"\bmodels?\b", ModelRejected),
    Row(404, "", "model", ModelNotFound),
    Row(400, "", "model.{0,300} (does not|not) exist|unknown model|model not found", ModelNotFound),
    Row(404, "", "", UpstreamError),  # no such path, so a wrong base URL
    Row(429, "", "overloaded", UpstreamOverloaded),
    Row(500, "", "overloaded", UpstreamOverloaded),
    Row(429, "", r"per day|\bRPD\b|\bTPD\b|daily", AccountQuotaExhausted),
    Row(None, "rate_limit_exceeded|rate_limit_error", "", AccountExhausted),
)
_ENVELOPES = {
    True: Envelope("OpenAI", _TABLE),
    False: Envelope("the OpenAI-compatible server", _TABLE),
}

# A strict server names what it does not know, or only that there was something.
_UNKNOWN_PARAMETER = re.compile(
    r"stream_options|extra (inputs|fields|parameters)"
    r"|(unknown|unrecognized|unexpected|unsupported) (\w+ )?(parameter|argument|field|key)",
    re.IGNORECASE,
)


class OpenAI(Adapter):
    """OpenAI or a server like it, at the account's base URL or that of the settings."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._without_stream_options: set[str] = set()  # URLs that have refused them

    @property
    def checks_credentials(self) -> bool:  # type: ignore[override]
        return self._genuine(None)  # a server of one's own may take any

    def takes(self, credential: str) -> bool:
        if not self._genuine(None):
            return bool(credential)  # a server of one's own takes what it pleases
        return super().takes(credential)

    def kind_of(self, model: str) -> Kind:
        if "embedding" in model:
            return "embedding"
        return "image" if model.startswith(_IMAGE_MODELS) else "chat"

    def takes_default_ratio(self, model: str) -> bool:
        return model.startswith(_IMAGE_MODELS)  # others may refuse any size

    def image_types(self, model: str, kind: Kind) -> frozenset[str]:
        return WEB_IMAGES if kind == "image" else WEB_IMAGES | {"image/gif"}

    def dropped(
        self, request: ChatRequest | ImageRequest | VideoRequest, account: Account | None = None
    ) -> Iterable[str]:
        """Name one of two token limits, and the parameters that OpenAI itself is known to lack."""
        if isinstance(request, ImageRequest):
            facts = self.facts(request.model)
            taken = TAKEN if facts is None else facts.options
            drafts = draws_drafts(request, facts)
            return unused(request, taken if drafts else taken - {"partial_images"})
        if isinstance(request, VideoRequest):
            return unused(request, ())
        params = request.params
        foreign = params.keys() & _FOREIGN
        names = sorted(foreign) if foreign and self._genuine(account) else []
        if "max_completion_tokens" in params and "max_tokens" in params:
            names.append("max_tokens")
        return names

    def changed(self, request: ChatRequest | ImageRequest | VideoRequest) -> Iterable[str]:
        if not isinstance(request, ImageRequest):
            return ()
        return changed(request, self.facts(request.model))

    def check_image(self, request: ImageRequest) -> None:
        super().check_image(request)
        check_size(request, self.facts(request.model))

    def chat(self, request: ChatRequest, account: Account, context: CallContext) -> Events:
        """Chat, and once more without `stream_options` where the server refuses them.

        A server that then answers is not sent them again.
        """
        body = self._chat_body(request, account)
        call = ChatCall(
            self._url(account, _CHAT),
            bearer(account, context.request_id),
            encode(body),
            request.stream,
            None if request.stream else self._patient,
        )
        with closing(self._converse(call, account, context)) as events:
            try:
                first = next(events)
            except (InvalidRequest, RequestBlocked) as err:
                if "stream_options" not in body or not _UNKNOWN_PARAMETER.search(err.message):
                    raise
            else:
                del body, call  # the answer may take minutes
                yield first
                yield from events
                return
        del body["stream_options"]
        for batch in self._converse(replace(call, body=encode(body)), account, context):
            self._without_stream_options.add(call.url)
            yield batch

    def _converse(self, call: ChatCall, account: Account, context: CallContext) -> Events:
        envelope = self._envelope(account)
        return converse(self._http, call, envelope, account, self._fetcher, context.served)

    def _chat_body(self, request: ChatRequest, account: Account) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": write_messages(
                request.messages, media_part, opaque=not self._genuine(account)
            ),
            **request.params,
        }
        for name in self.dropped(request, account):
            del body[name]
        if request.stream:
            body["stream"] = True
            refused = self._url(account, _CHAT) in self._without_stream_options
            if account.stream_options and not refused:
                body["stream_options"] = {"include_usage": True}
        return body

    def image(self, request: ImageRequest, account: Account, context: CallContext) -> Events:
        headers, envelope = bearer(account, context.request_id), self._envelope(account)
        body: bytes | Body
        if request.images:
            form = Multipart([(k, _text(v)) for k, v in self._fields(request)], files(request))
            path, body = _EDITS, form
            headers["Content-Type"] = form.content_type
        else:
            path, body = _GENERATIONS, encode(dict(self._fields(request)))
        with self._http.send(
            "POST",
            self._url(account, path),
            headers=headers,
            body=body,
            timeouts=self._patient,
        ) as answer:
            if answer.status != 200:
                raise envelope.failure(answer, account)
            if answer.content() == "events":
                yield from drawn(answer.chunks(), account, envelope, self._fetcher)
                return
            document = answer.json(_PICTURES_LIMIT_BYTES)
        yield read_images(document, account, envelope, self._fetcher)

    def embed(self, request: EmbeddingRequest, account: Account, request_id: str) -> Embeddings:
        envelope = self._envelope(account)
        with self._http.send(
            "POST",
            self._url(account, _EMBEDDINGS),
            headers=bearer(account, request_id),
            body=encode(embedding_body(request)),
        ) as answer:
            if answer.status != 200:
                raise envelope.failure(answer, account)
            document = read_vectors(answer, request)
        return read_embeddings(document, request, account, envelope)

    def plan_embedding(self, request: EmbeddingRequest, account: Account) -> list[VendorCall]:
        return [self._plan(account, _EMBEDDINGS, embedding_body(request))]

    def plan_chat(self, request: ChatRequest, account: Account) -> list[VendorCall]:
        return [self._plan(account, _CHAT, self._chat_body(request, account))]

    def plan_image(self, request: ImageRequest, account: Account) -> list[VendorCall]:
        wanted = dict(self._fields(request))
        if not request.images:
            return [self._plan(account, _GENERATIONS, wanted)]
        wanted["files"] = [
            {"name": file.name, "filename": file.filename, "bytes": file.blob.size}
            for file in files(request)
        ]
        return [self._plan(account, _EDITS, wanted, "multipart/form-data")]

    def _fields(self, request: ImageRequest) -> Iterable[tuple[str, Any]]:
        return fields(request, self.facts(request.model)).items()

    def _plan(
        self, account: Account, path: str, body: Any, content_type: str = "application/json"
    ) -> VendorCall:
        headers = {"Authorization": "***", "Content-Type": content_type}
        return VendorCall("POST", self._url(account, path), headers, redacted(body))

    def _url(self, account: Account, path: str) -> str:
        return (account.base_url or self._base_url).rstrip("/") + path

    def _genuine(self, account: Account | None) -> bool:
        """Tell whether the account's endpoint is OpenAI itself."""
        return ((account and account.base_url) or self._base_url).startswith(self._spec.base_url)

    def _envelope(self, account: Account) -> Envelope:
        return _ENVELOPES[self._genuine(account)]


def _text(value: Any) -> str:
    """A value as a form's field."""
    return str(value).lower() if isinstance(value, bool) else str(value)
