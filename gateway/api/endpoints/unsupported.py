"""Endpoints that clients look for and this gateway does not have, with where to go instead."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.domain.errors import NotFound

bp = Blueprint("unsupported", __name__)

_CHAT = "POST /v1/chat/completions"
_ANEW = "POST /v1/videos with a prompt, and a picture as input_reference"
_INSTEAD = {
    "/v1/moderations": "a vendor's moderation API",
    "/v1/audio/transcriptions": f"input_audio parts in {_CHAT}",
    "/v1/audio/translations": f"input_audio parts in {_CHAT}",
    "/v1/audio/<path:what>": "a vendor's speech API",
    "/v1/images/variations": "POST /v1/images/edits",
    "/v1/batches": 'jobs: "async": true on pictures and videos',
    "/v1/messages/batches": "POST /v1/messages for each message",
    "/v1/conversations": "previous_response_id in POST /v1/responses",
    "/v1/interactions": "POST /v1beta/models/MODEL:generateContent",
    "/v1beta/interactions": "POST /v1beta/models/MODEL:generateContent",
    "/v1beta/cachedContents": "the whole conversation in each request",
    "/upload/<version>/files": "inlineData in each request, or POST /v1/files",
    "/api/v3/responses": "POST /v1/responses, or POST /api/v3/chat/completions",
    "/api/v3/context/<path:what>": "POST /api/v3/chat/completions with the whole conversation",
    "/api/v3/bots/chat/completions": "POST /api/v3/chat/completions",
    "/v1/videos/edits": _ANEW,
    "/v1/videos/extensions": _ANEW,
    "/v1/videos/characters": _ANEW,
    "/v1/videos/<video_id>/remix": _ANEW,
}


def _hint(**_: str) -> ResponseReturnValue:
    assert request.url_rule is not None
    raise NotFound(f"{request.path} is not served here; use {_INSTEAD[request.url_rule.rule]}.")


for _path in _INSTEAD:
    _name = _path.removeprefix("/v1/").replace("<path:what>", "speech").replace("/", "_")
    bp.add_url_rule(_path, _name, _hint, methods=["POST"])
