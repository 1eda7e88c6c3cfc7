"""An answer as a sequence of blocks, for dialects whose streams open and close each part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.api.dialects.carrier import Carried
from gateway.domain.errors import UpstreamInvalidResponse
from gateway.domain.events import (
    Annotations,
    Event,
    Finish,
    MediaStored,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    VendorFields,
)
from gateway.domain.media import StoredMedia

Sign = Callable[[StoredMedia], str]
Step = tuple[Literal["open", "delta", "close"], "Block", str]


@dataclass(slots=True)
class Block:
    """One part of an answer: its text, or the arguments of its call."""

    kind: Literal["reasoning", "text", "call"]
    index: int
    id: str = ""  # of the call
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    carried: Carried | None = None  # of reasoning
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Blocks:
    """Turns the events of one choice into steps: a block opens, grows, closes; then the next.

    Opaque members of the answer go into the reasoning before them, or into an empty one of
    their own. `reasoning=False` hides the text of reasoning, which then travels in the same
    way: together with calls of tools only, as no vendor needs it back without.
    """

    def __init__(self, sign: Sign, vendor: Callable[[], str], *, reasoning: bool = True) -> None:
        self._sign = sign
        self._vendor = vendor
        self._reasoning = reasoning
        self._open: Block | None = None
        self._calls: dict[int, Block] = {}
        self._hidden: list[str] = []
        self._signature: str | None = None
        self._signatures: dict[str, str] = {}
        self._fields: dict[str, Any] = {}
        self.blocks: list[Block] = []
        self.usage = Usage()
        self.finish: Finish | None = None

    @property
    def has_calls(self) -> bool:
        return bool(self._calls)

    def feed(self, event: Event) -> Iterator[Step]:
        if getattr(event, "choice", 0):
            return
        match event:
            case TextDelta():
                if event.text:
                    yield from self._grow("text", event.text)
            case ReasoningDelta():
                yield from self._think(event)
            case ToolCallDelta():
                yield from self._call(event)
            case MediaStored():
                yield from self._grow("text", _markdown(event.kind, self._sign(event.media)))
            case Annotations():
                self._annotate(event.items)
            case VendorFields():
                self._fields |= event.fields
            case Usage():
                self.usage = event
            case Finish():
                self.finish = event
                yield from self.close()

    def close(self) -> Iterator[Step]:
        """Close the open block, and carry what has no block yet."""
        yield from self._shut()
        if self._carries() and (self._calls or self._reasoning):
            yield from self._start("reasoning")
            yield from self._shut()

    def _grow(self, kind: Literal["reasoning", "text"], text: str) -> Iterator[Step]:
        if self._open is None or self._open.kind != kind:
            yield from self._shut()
            yield from self._start(kind)
        block = self.blocks[-1]
        block.pieces.append(text)
        yield "delta", block, text

    def _think(self, event: ReasoningDelta) -> Iterator[Step]:
        if event.text and self._reasoning:
            yield from self._grow("reasoning", event.text)
        elif event.text:
            self._hidden.append(event.text)
        if event.signature:
            self._signature = event.signature
            if self._open is not None and self._open.kind == "reasoning":
                yield from self._shut()

    def _call(self, event: ToolCallDelta) -> Iterator[Step]:
        block = self._calls.get(event.index)
        if block is None:
            if event.signature:
                self._signatures[event.id or ""] = event.signature
            if self._carries() and not (self._open and self._open.kind == "reasoning"):
                yield from self._shut()
                yield from self._start("reasoning")
            yield from self._shut()
            yield from self._start("call", event.id or f"call_{event.index}", event.name or "")
            block = self._calls[event.index] = self.blocks[-1]
        elif event.signature:
            self._signatures[block.id] = event.signature
        if not event.arguments:
            return
        if block is not self._open:
            raise UpstreamInvalidResponse("The vendor mixed up its calls of tools", sent=True)
        block.pieces.append(event.arguments)
        yield "delta", block, event.arguments

    def _annotate(self, items: list[dict[str, Any]]) -> None:
        for block in reversed(self.blocks):
            if block.kind == "text":
                block.annotations += items
                return

    def _carries(self) -> bool:
        return bool(self._hidden or self._signature or self._signatures or self._fields)

    def _start(
        self, kind: Literal["reasoning", "text", "call"], id_: str = "", name: str = ""
    ) -> Iterator[Step]:
        self._open = Block(kind, len(self.blocks), id_, name)
        self.blocks.append(self._open)
        yield "open", self._open, ""

    def _shut(self) -> Iterator[Step]:
        block, self._open = self._open, None
        if block is None:
            return
        if block.kind == "reasoning":
            block.carried = Carried(
                self._vendor(),
                signature=self._signature,
                text="".join(self._hidden),
                calls=self._signatures,
                fields=self._fields,
            )
            self._hidden, self._signature, self._signatures, self._fields = [], None, {}, {}
        yield "close", block, ""


def _markdown(kind: str, url: str) -> str:
    return f"![image]({url})\n" if kind == "image" else f"[{kind}]({url})\n"
