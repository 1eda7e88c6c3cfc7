"""Sources of an assistant's grounded replies, as OpenAI's annotations.

https://docs.cloud.google.com/gemini/enterprise/docs/reference/rest/v1alpha/AssistAnswer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.upstreams.gemini.citations import citations
from gateway.upstreams.openai.envelope import listed


def reply_citations(grounding: Mapping[str, Any], reply: str, before: str) -> list[dict[str, Any]]:
    """`url_citation` objects of a reply's `textGroundingMetadata`.

    Indices count the bytes of the reply, or of the whole answer with the text `before` it.
    """
    references = listed(grounding.get("references"))
    segments = listed(grounding.get("segments"))
    ends = [end for item in segments if isinstance(end := item.get("endIndex"), int)]
    of_answer = bool(ends) and max(ends) > len(reply.encode())
    document = {
        "groundingChunks": [{"web": item.get("documentMetadata")} for item in references],
        "groundingSupports": [
            {"segment": item, "groundingChunkIndices": item.get("referenceIndices")}
            for item in segments
        ],
    }
    found = citations(document, before + reply if of_answer else reply)
    for annotation in () if of_answer else found:
        annotation["url_citation"]["start_index"] += len(before)
        annotation["url_citation"]["end_index"] += len(before)
    return found
