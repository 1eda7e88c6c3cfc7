"""Demands of an image request that a model cannot be talked out of: met, or refused."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.errors import InvalidRequest
from gateway.domain.models import ModelFacts
from gateway.domain.requests import ImageRequest

_DEMANDS = {
    "mask": "takes no mask: say in the prompt what to change",
    "group": "makes no coherent sets; n makes several images that are independent",
    "layers": "does not separate layers",
    "background": "makes no transparent background",
}


def check_image(request: ImageRequest, dropped: Iterable[str], facts: ModelFacts | None) -> None:
    """Raise InvalidRequest for a demand that would be `dropped`, or is above the model's most.

    Other options that are dropped leave an image that is still what was asked for.
    """
    for name in dropped:
        if name in _DEMANDS and (name != "background" or request.background == "transparent"):
            raise InvalidRequest(f"{request.model} {_DEMANDS[name]}.", param=name)
    if request.background == "transparent" and request.output_format == "jpeg":
        message = "A transparent background needs the output_format png or webp."
        raise InvalidRequest(message, param="output_format")
    if facts is None:
        return
    most = facts.references.get("image")
    if most is not None and len(request.images) > most:
        takes = f"at most {most} reference images" if most else "no reference images"
        raise InvalidRequest(f"{request.model} takes {takes}.", param="image")
    if facts.layers is not None and (request.layers or 0) > facts.layers:
        message = f"{request.model} separates at most {facts.layers} layers."
        raise InvalidRequest(message, param="layers")
