"""An OpenAI-compatible server: chat, models, embeddings and images.

Modelled after the API reference (https://platform.openai.com/docs/api-reference)
and the `openai` SDK 3.57, with what compatible servers add: `reasoning_content`
for models with `reason` in their names, `video_url` parts, images in chat
answers. Every model exists unless its name begins with `unknown`. Not
modelled: files, audio answers and the responses API; their paths are 404 in JSON.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.simulators.openai import chat, embeddings, images
from gateway.simulators.openai.protocol import OpenAIError, answer_error, sign

bp = Blueprint("openai", __name__)
for part in (chat.bp, embeddings.bp, images.bp):
    bp.register_blueprint(part)
bp.register_error_handler(OpenAIError, answer_error)
bp.after_request(sign)


@bp.route("/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def unknown(rest: str) -> Response:
    """Answer any other path or method."""
    raise OpenAIError(404, f"Invalid URL ({request.method} {request.path})")
