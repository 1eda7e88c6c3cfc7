"""An assistant's query: its text, its files, and the tools allowed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain.errors import InvalidRequest
from gateway.domain.media import Media
from gateway.domain.requests import ChatRequest, ImageRequest
from gateway.upstreams.gemini_enterprise.turns import Attachment, attachments_of, query_of

_CHAT_TOOLS = ("imageGenerationSpec", "videoGenerationSpec", "webGroundingSpec")
_IMAGE_TOOLS = ("imageGenerationSpec",)
_ENGINES_MODEL = "gemini-enterprise"  # no model of the vendor: whatever the engine prefers


@dataclass(frozen=True, slots=True)
class Question:
    """`attachments` by digest, in the order in which they have to be uploaded."""

    text: str
    attachments: Mapping[str, Attachment]
    tools: Sequence[str]
    model: str

    @classmethod
    def of_chat(cls, request: ChatRequest) -> Question:
        """The whole conversation, and all tools that the assistant has."""
        parts = (part for message in request.messages for part in message.parts)
        attachments = attachments_of(part for part in parts if isinstance(part, Media))
        text = query_of(request.messages, attachments)
        if not text and not attachments:
            last = f"messages[{len(request.messages) - 1}].content"
            raise InvalidRequest("Gemini Enterprise has to be asked something", param=last)
        return cls(text, attachments, _CHAT_TOOLS, request.model)

    @classmethod
    def of_image(cls, request: ImageRequest) -> Question:
        """A wish for pictures; shape and number go into its words, as there is no other place."""
        if request.mask is not None:
            raise InvalidRequest("Gemini Enterprise takes no mask", param="mask")
        attachments = attachments_of(i for i in request.images if isinstance(i, Media))
        what = "Draw this picture" if request.n == 1 else f"Draw {request.n} different pictures"
        wishes = [f"{what}: {request.prompt}"]
        if request.ratio:
            wishes.append(f"Aspect ratio: {request.ratio}")
        if request.size and request.size != "auto":
            wishes.append(f"Size: {request.size}")
        return cls("\n".join(wishes), attachments, _IMAGE_TOOLS, request.model)

    def body(self, session: str, file_ids: Sequence[str]) -> dict[str, Any]:
        """The `streamAssist` request. Small talk is to be answered too, not skipped."""
        body: dict[str, Any] = {
            "query": {"text": self.text},
            "session": session,
            "assistSkippingMode": "REQUEST_ASSIST",
            "toolsSpec": {tool: {} for tool in self.tools},
        }
        if file_ids:
            body["fileIds"] = list(file_ids)
        if self.model != _ENGINES_MODEL:
            body["generationSpec"] = {"modelId": self.model}
        return body
