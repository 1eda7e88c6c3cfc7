"""Intent of a question: an answer in text, an image or a video.

The text of a query may be a transcript of `User: …` and `Assistant: …`
paragraphs; the last one of the user counts. Then the rule is this:

1. With a video among the attachments the answer is text about that video.
2. A video is generated when the text has a word for videos and a verb of making.
3. An image is generated when the text has a word for images; with attachments
   it takes a verb of making, or one of changing, besides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from gateway.simulators.media.media_info import MediaInfo

Intent = Literal["text", "image", "video"]

_SPEAKER = re.compile(r"^(?:User|Assistant|Tool): ", re.MULTILINE)
_USER = re.compile(r"^User: ", re.MULTILINE)
_FLAGS = re.IGNORECASE
_IMAGE_WORDS = re.compile(
    r"\b(?:draw|images?|pictures?|photos?|posters?)\b|图|圖|画|畫|視覺|视觉|封面", _FLAGS
)
_VIDEO_WORDS = re.compile(r"\b(?:videos?|films?|clips?|animate)\b|视频|視頻|影片", _FLAGS)
_MAKING = re.compile(
    r"\b(?:generate|make|create|draw|paint|animate)\b|生成|制作|製作|画一|畫一", _FLAGS
)
_CHANGING = re.compile(r"\b(?:edit|turn|transform|change)\b|变成|變成|改成", _FLAGS)
_RATIO = re.compile(r"(?<!\d)(\d{1,2})\s?[:\uff1a]\s?(\d{1,2})(?!\d)")
_SMALL_TALK = re.compile(
    r"\W*(?:hi|hello|hey|thanks|thank you|bye|ok|你好|您好|谢谢|再见)\W*", _FLAGS
)


def last_user_text(query: str) -> str:
    """Return the last message of the user."""
    starts = list(_USER.finditer(query))
    if not starts:
        return query
    said = query[starts[-1].end() :]
    after = _SPEAKER.search(said)
    return (said[: after.start()] if after else said).strip()


def count_turns(query: str) -> int:
    """Return the number of user turns in a query."""
    return len(_USER.findall(query)) or 1


def intent_of(text: str, attached: Sequence[MediaInfo]) -> Intent:
    """Return the intent of a text, by the rule above."""
    if any(medium.kind == "video" for medium in attached):
        return "text"
    making = _MAKING.search(text)
    if making and _VIDEO_WORDS.search(text):
        return "video"
    changing = making or _CHANGING.search(text)
    if _IMAGE_WORDS.search(text) and (changing or not attached):
        return "image"
    return "text"


def is_small_talk(text: str) -> bool:
    """Return true for small talk, which an assistant may skip."""
    return _SMALL_TALK.fullmatch(text) is not None


def ratio_in(text: str, known: Sequence[str]) -> str | None:
    """Return the first of the known ratios that a text names."""
    named = (f"{int(match[1])}:{int(match[2])}" for match in _RATIO.finditer(text))
    return next((ratio for ratio in named if ratio in known), None)
