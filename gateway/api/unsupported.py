"""Endpoints that clients look for and this gateway does not have, with where to go instead."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.domain.errors import NotFound

bp = Blueprint("unsupported", __name__)

_INSTEAD = {
    "/v1/completions": "the messages form, POST /v1/chat/completions",
    "/v1/responses": "POST /v1/chat/completions",
    "/v1/messages": "POST /v1/chat/completions",
    "/v1/embeddings": "a vendor's embeddings API; this gateway serves chat, pictures and videos",
    "/v1/moderations": "a vendor's moderation API",
    "/v1/audio/speech": "a vendor's speech API",
    "/v1/audio/transcriptions": "input_audio parts in POST /v1/chat/completions",
    "/v1/audio/translations": "input_audio parts in POST /v1/chat/completions",
}


def _hint() -> ResponseReturnValue:
    raise NotFound(f"{request.path} is not served here; use {_INSTEAD[request.path]}.")


for _path in _INSTEAD:
    bp.add_url_rule(_path, _path.rpartition("/v1/")[2].replace("/", "_"), _hint, methods=["POST"])
