"""Models that the simulated Ark serves, with the parameters of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from flask import Blueprint, Response

from gateway.simulators.ark.protocol import ArkError, model_not_found, open_call
from gateway.simulators.calls import json_response

bp = Blueprint("models", __name__)

_CHAT = re.compile(
    r"(doubao-(?!seedream|seedance|embedding)|deepseek-|kimi-|glm-)[a-z0-9-]+-(\d{6}|ga)|doubao-seed-evolving",
    re.ASCII,
)
_THINKING = re.compile(r"doubao-seed-[12e]|doubao-1-5-thinking|deepseek-(r1|v3-[12])|glm-4-[5-9]")
_ENDPOINT = re.compile(r"ep-[A-Za-z0-9-]+", re.ASCII)
_LISTED_CHAT = (
    "doubao-seed-2-1-pro-260915",
    "doubao-seed-2-1-lite-260915",
    "doubao-seed-2-1-pro-260628",
    "doubao-seed-2-1-turbo-260628",
    "doubao-seed-2-0-pro-260215",
    "doubao-seed-2-0-lite-260215",
    "doubao-seed-2-0-mini-260215",
    "doubao-seed-2-0-code-260215",
    "doubao-seed-evolving",
    "doubao-seed-1-6-251015",
    "doubao-seed-1-6-flash-250828",
    "doubao-seed-1-8-251228",
    "doubao-1-5-pro-32k-250115",
    "deepseek-v3-2-251201",
)
_CREATED_AT = 1_760_486_400


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """An embedding model: the sizes of its vectors, the default first."""

    dimensions: tuple[int, ...]
    multimodal: bool = False


@dataclass(frozen=True, slots=True)
class ImageModel:
    """Limits of an image model. Pixels are width times height of the result."""

    references: int
    tiers: tuple[str, ...]
    least_pixels: int
    most_pixels: int
    groups: bool = False
    streams: bool = False
    fast: bool = False
    searches: bool = False
    chooses_format: bool = False
    layers: int = 0
    most_ratio: int = 16


@dataclass(frozen=True, slots=True)
class VideoModel:
    """Limits of a video model. Durations are in seconds; -1 lets the model choose."""

    resolutions: tuple[str, ...]
    resolution: str
    least_s: int
    most_s: int
    default_s: int = 5
    text_only: bool = True
    first_frame: bool = True
    last_frame: bool = True
    references: int = 0
    reference_videos: int = 0
    reference_audios: int = 0
    chooses_duration: bool = False
    adaptive: bool = True
    family: int = 10
    frames: bool = False
    flex: bool = False
    sound: bool = False
    drafts: bool = False
    priority: bool = False
    heif: bool = True
    video_s: int = 15


EMBEDDING_MODELS: Mapping[str, EmbeddingModel] = MappingProxyType(
    {
        "doubao-embedding-text-240715": EmbeddingModel((2560, 512, 1024, 2048)),
        "doubao-embedding-large-text-250515": EmbeddingModel((2048, 256, 512, 1024)),
        "doubao-embedding-vision-250615": EmbeddingModel((2048, 1024), multimodal=True),
        "doubao-embedding-vision-251215": EmbeddingModel((2048, 1024), multimodal=True),
    }
)

_K4 = 16_777_216
_HD = ("480p", "720p", "1080p")

_IMAGE_5 = ImageModel(
    14, ("2k", "3k", "4k"), 3_686_400, _K4, groups=True, streams=True, searches=True,
    chooses_format=True,
)  # fmt: skip
_IMAGE_4_0 = ImageModel(
    14, ("1k", "2k", "4k"), 921_600, _K4, groups=True, streams=True, fast=True
)  # fmt: skip
_IMAGE_5_PRO = ImageModel(
    10, ("1k", "1.5k", "2k"), 921_600, 4_624_220, fast=True, chooses_format=True, layers=16
)
_IMAGE_5_5 = replace(_IMAGE_5_PRO, layers=99, most_ratio=3)
IMAGE_MODELS: Mapping[str, ImageModel] = MappingProxyType(
    {
        "doubao-seedream-5-5-261028": _IMAGE_5_5,
        "doubao-seedream-5-0-pro-260628": _IMAGE_5_PRO,
        "doubao-seedream-5-0-flash-260915": _IMAGE_5_PRO,
        "doubao-seedream-5-0-260128": _IMAGE_5,
        "doubao-seedream-5-0-lite-260128": _IMAGE_5,
        "doubao-seedream-4-5-251128": ImageModel(
            14, ("2k", "4k"), 3_686_400, _K4, groups=True, streams=True
        ),
        "doubao-seedream-4-0-250828": _IMAGE_4_0,
        "doubao-seedream-3-0-t2i-250415": ImageModel(0, (), 512 * 512, 2048 * 2048),
    }
)

_VIDEO_1_0_PRO = VideoModel(_HD, "1080p", 2, 12, adaptive=False, frames=True, flex=True, heif=False)
_VIDEO_2_0_FAST = VideoModel(
    ("480p", "720p"), "720p", 4, 15, references=9, reference_videos=3, reference_audios=3,
    chooses_duration=True, family=20, sound=True, priority=True,
)  # fmt: skip
VIDEO_MODELS: Mapping[str, VideoModel] = MappingProxyType(
    {
        "doubao-seedance-1-0-lite-t2v-250428": VideoModel(
            _HD, "720p", 2, 12, first_frame=False, last_frame=False, adaptive=False, frames=True,
            flex=True, heif=False,
        ),
        "doubao-seedance-1-0-lite-i2v-250428": VideoModel(
            _HD, "720p", 2, 12, text_only=False, references=4, frames=True, flex=True, heif=False
        ),
        "doubao-seedance-1-0-pro-250528": _VIDEO_1_0_PRO,
        "doubao-seedance-1-0-pro-fast-251015": VideoModel(
            _HD, "1080p", 2, 12, last_frame=False, adaptive=False, frames=True, flex=True,
            heif=False,
        ),
        "doubao-seedance-1-5-pro-251215": VideoModel(
            _HD, "720p", 4, 12, chooses_duration=True, family=15, flex=True, sound=True,
            drafts=True,
        ),
        "doubao-seedance-2-0-260128": VideoModel(
            (*_HD, "4k"), "720p", 4, 15, references=9, reference_videos=3, reference_audios=3,
            chooses_duration=True, family=20, sound=True, priority=True,
        ),
        "doubao-seedance-2-0-fast-260128": _VIDEO_2_0_FAST,
        "doubao-seedance-2-0-mini-260615": _VIDEO_2_0_FAST,
        "doubao-seedance-2-5-260628": VideoModel(
            _HD, "720p", 4, 30, default_s=-1, references=30, reference_videos=10,
            reference_audios=10, chooses_duration=True, family=25, sound=True, drafts=True,
            priority=True, video_s=30,
        ),
    }
)  # fmt: skip


def canonical(name: str) -> str:
    """Return the name of a model in Beijing; BytePlus has `dola-` or nothing for `doubao-`."""
    if name.startswith("seed"):
        return f"doubao-{name}"
    return name.replace("dola-", "doubao-", 1) if name.startswith("dola-") else name


def chat_model(name: str) -> bool:
    """Return true for a model with reasoning; raises the vendor's error if it is no chat model."""
    name = canonical(name)
    if name in IMAGE_MODELS or name in VIDEO_MODELS or name in EMBEDDING_MODELS:
        raise _other_kind(name)
    if not _CHAT.fullmatch(name) and not _ENDPOINT.fullmatch(name):
        raise model_not_found(name)
    return _THINKING.match(name) is not None


def embedding_model(name: str) -> EmbeddingModel:
    """Return an embedding model; raises the vendor's error if it is none."""
    name = canonical(name)
    if name in EMBEDDING_MODELS:
        return EMBEDDING_MODELS[name]
    if name in IMAGE_MODELS or name in VIDEO_MODELS or _CHAT.fullmatch(name):
        raise _other_kind(name)
    raise model_not_found(name)


def image_model(name: str) -> ImageModel:
    """Return an image model; an inference endpoint stands for Seedream 4.0."""
    name = canonical(name)
    if _ENDPOINT.fullmatch(name):
        return _IMAGE_4_0
    if name in VIDEO_MODELS or _CHAT.fullmatch(name):
        raise _other_kind(name)
    if name not in IMAGE_MODELS:
        raise model_not_found(name)
    return IMAGE_MODELS[name]


def video_model(name: str) -> VideoModel:
    """Return a video model; an inference endpoint stands for Seedance 1.0 pro."""
    name = canonical(name)
    if _ENDPOINT.fullmatch(name):
        return _VIDEO_1_0_PRO
    if name in IMAGE_MODELS or _CHAT.fullmatch(name):
        raise _other_kind(name)
    if name not in VIDEO_MODELS:
        raise model_not_found(name)
    return VIDEO_MODELS[name]


def _other_kind(name: str) -> ArkError:
    message = f"The model {name} does not support this API."
    return ArkError(404, "UnsupportedModel", message, "model", "NotFound")


@bp.get("/models")
def list_models() -> Response:
    """List models; the vendor's list is not exhaustive either."""
    open_call("ark.models", main=False)
    domains = (
        ("LLM", _LISTED_CHAT),
        ("Embedding", EMBEDDING_MODELS),
        ("ImageGeneration", IMAGE_MODELS),
        ("VideoGeneration", VIDEO_MODELS),
    )
    data = [
        {"id": name, "object": "model", "created": _CREATED_AT, "domain": domain, "name": name}
        for domain, names in domains
        for name in names
    ]
    return json_response({"object": "list", "data": data})
