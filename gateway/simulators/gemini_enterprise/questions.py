"""What a question is about: who said it last, and whether a picture or a film is wanted.

The text of a query may be a transcript of `User: …` and `Assistant: …`
paragraphs; the last one of the user counts. Then the rule is this:

1. With a film among the attachments nothing is made: the film is talked about.
2. A film is wanted when the text has a word for films and a verb of making.
3. A picture is wanted when the text has a word for pictures; with attachments
   it takes a verb of making, or one of changing, besides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from gateway.simulators.seen import Seen

Wish = Literal["text", "picture", "film"]

_SPEAKER = re.compile(r"^(?:User|Assistant|Tool): ", re.MULTILINE)
_USER = re.compile(r"^User: ", re.MULTILINE)
_FLAGS = re.IGNORECASE
_PICTURES = re.compile(
    r"\b(?:draw|images?|pictures?|photos?|posters?)\b|图|圖|画|畫|視覺|视觉|封面", _FLAGS
)
_FILMS = re.compile(r"\b(?:videos?|films?|clips?|animate)\b|视频|視頻|影片", _FLAGS)
_MAKING = re.compile(
    r"\b(?:generate|make|create|draw|paint|animate)\b|生成|制作|製作|画一|畫一", _FLAGS
)
_CHANGING = re.compile(r"\b(?:edit|turn|transform|change)\b|变成|變成|改成", _FLAGS)
_RATIO = re.compile(r"(?<!\d)(\d{1,2})\s?[:\uff1a]\s?(\d{1,2})(?!\d)")
_SMALL_TALK = re.compile(
    r"\W*(?:hi|hello|hey|thanks|thank you|bye|ok|你好|您好|谢谢|再见)\W*", _FLAGS
)


def last_words(query: str) -> str:
    """Return what the user said last."""
    starts = list(_USER.finditer(query))
    if not starts:
        return query
    said = query[starts[-1].end() :]
    after = _SPEAKER.search(said)
    return (said[: after.start()] if after else said).strip()


def count_turns(query: str) -> int:
    """Return how often the user speaks in a query."""
    return len(_USER.findall(query)) or 1


def wish_of(text: str, attached: Sequence[Seen]) -> Wish:
    """Return what a text asks for, by the rule above."""
    if any(medium.kind == "video" for medium in attached):
        return "text"
    making = _MAKING.search(text)
    if making and _FILMS.search(text):
        return "film"
    changing = making or _CHANGING.search(text)
    if _PICTURES.search(text) and (changing or not attached):
        return "picture"
    return "text"


def is_small_talk(text: str) -> bool:
    """Tell whether a text asks nothing, so that an assistant may skip it."""
    return _SMALL_TALK.fullmatch(text) is not None


def ratio_in(text: str, known: Sequence[str]) -> str | None:
    """Return the first of the known ratios that a text names."""
    named = (f"{int(match[1])}:{int(match[2])}" for match in _RATIO.finditer(text))
    return next((ratio for ratio in named if ratio in known), None)
