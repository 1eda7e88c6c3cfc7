"""Volcengine Ark (Doubao): chat, embeddings, images, video tasks, files and the list of models.

Modelled after the vendor's API reference and its SDK (`volcengine-ark-runtime`
5.0): https://www.volcengine.com/docs/82379. Where the reference is silent, the
simulator takes the stricter reading. Not modelled: the responses, context and
batch endpoints, AK/SK signatures and `asset://` inputs.
"""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.simulators.ark import chat, embeddings, files, images, models, videos
from gateway.simulators.ark.protocol import ArkError, answer_error, sign

bp = Blueprint("ark", __name__)
for part in (chat.bp, embeddings.bp, images.bp, videos.bp, files.bp, models.bp):
    bp.register_blueprint(part)
bp.register_error_handler(ArkError, answer_error)
bp.after_request(sign)


@bp.route("/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def unknown(rest: str) -> Response:
    """Answer any other path or method: 404 without a body."""
    return Response(status=404)
