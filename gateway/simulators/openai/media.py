"""Media in the messages of OpenAI-compatible servers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.simulators.chat.conversation import MediaReader
from gateway.simulators.fields import Fields
from gateway.simulators.media.inputs import Unreadable, decode_base64, load
from gateway.simulators.media.media_info import MediaInfo, describe
from gateway.simulators.openai.protocol import OpenAIError

_LIMIT_BYTES = 50 * 1024 * 1024
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_DETAILS = ("auto", "low", "high", "original")


def _read_image(part: Fields) -> MediaInfo:
    image = part.required_inner("image_url")
    image.choice("detail", _DETAILS)
    at = image.at("url")
    seen = _read_url(image.required_text("url"), at, "invalid_image_url")
    if seen.mime not in _IMAGES:
        message = f"The image of '{at}' is not in a supported format: png, jpeg, gif or webp."
        raise OpenAIError(400, message, "invalid_image_format", at)
    return seen


def _read_video(part: Fields) -> MediaInfo:
    video = part.required_inner("video_url")
    return _of_kind("video", _read_url(video.required_text("url"), video.at("url")), video, "url")


def _read_audio(part: Fields) -> MediaInfo:
    audio = part.required_inner("input_audio")
    audio.require("format")
    audio.choice("format", ("wav", "mp3"))
    try:
        seen = describe(decode_base64(audio.required_text("data")))
    except Unreadable as error:
        raise audio.invalid("data", f"cannot be used: {error}") from error
    return _of_kind("audio", seen, audio, "data")


def _read_file(part: Fields) -> MediaInfo:
    file = part.required_inner("file")
    if "file_id" in file:
        message = f"No such File object: {file.text('file_id')}"
        raise OpenAIError(404, message, "not_found", file.at("file_id"))
    file.required_text("filename")
    data = file.required_text("file_data")
    if not data.startswith("data:"):
        raise file.invalid("file_data", "must be a data URL")
    return _read_url(data, file.at("file_data"))


def _read_url(url: str, at: str, code: str = "invalid_value") -> MediaInfo:
    try:
        return describe(load(url, limit=_LIMIT_BYTES).data)
    except Unreadable as error:
        raise OpenAIError(400, f"Cannot use '{at}': {error}.", code, at) from error


def _of_kind(kind: str, seen: MediaInfo, holder: Fields, name: str) -> MediaInfo:
    if seen.kind != kind:
        raise holder.invalid(name, f"is {seen.mime}, not {kind}")
    return seen


MEDIA: Mapping[str, MediaReader] = MappingProxyType(
    {
        "image_url": _read_image,
        "video_url": _read_video,
        "input_audio": _read_audio,
        "file": _read_file,
    }
)
"""Readers by type of part. `video_url` is not OpenAI's; compatible servers take it."""
