"""Reads the requests out of the API documents, so that the documents are what is tested."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENTS = Path(__file__).parents[1] / "documents"
_HOSTS = re.compile(r"https://(?:video-r2\.cgssoccer\.com|example\.com)/")


@dataclass(frozen=True)
class Example:
    """One documented request: a shell command, or a JSON body for an endpoint."""

    title: str
    command: str | None = None
    endpoint: str | None = None
    body: str | None = None

    def json(self) -> Any:
        assert self.body is not None
        return json.loads(self.body)


def localised(text: str, *, gateway: str, media: str, picture: str) -> str:
    """The request with the gateway's address, links to a local host, and a real picture."""
    text = text.replace("http://127.0.0.1:8000", gateway)
    text = text.replace("data:image/png;base64,...", picture)
    return _HOSTS.sub(f"{media}/", text)


def shell_examples() -> list[Example]:
    """The curl commands of the chat document."""
    text = (DOCUMENTS / "chat.md").read_text("utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    return [
        Example(f"chat.md command {number}", command=block.strip())
        for number, block in enumerate(blocks, 1)
        if block.lstrip().startswith("curl")
    ]


def json_examples() -> list[Example]:
    """The request bodies of the API document, each with the endpoint of its section."""
    text = (DOCUMENTS / "api.md").read_text("utf-8")
    found = []
    for section in re.split(r"\n## ", text)[1:]:
        match = re.search(r"`(POST) (/v1/\S+)`", section)
        if match is None:
            continue
        for part in re.split(r"\n### ", section)[1:]:
            block = re.search(r"\*\*请求示例\*\*:\n```json\n(.*?)```", part, re.S)
            assert block is not None, part
            body = re.sub(r'\s+//[^"\n]*$', "", block[1], flags=re.M)
            title = part.splitlines()[0].strip()
            found.append(Example(title, endpoint=match[2], body=body))
    return found
