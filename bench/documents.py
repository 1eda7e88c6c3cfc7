"""The parts of the documents that come from a result file, between markers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "docs" / "performance.md", ROOT / "README.md")
CHART = ROOT / "docs" / "performance.svg"
CHOICES = ROOT / "bench" / "results" / "choices.json"
HISTORY = sorted((ROOT / "bench" / "results").glob("history*.json"), key=lambda p: p.stem)
_BLOCK = re.compile(r"(<!-- bench:(\w+) -->\n).*?(<!-- /bench -->)", re.S)


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """The text with what is between `<!-- bench:NAME -->` and `<!-- /bench -->` written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", text)


def source(text: str) -> Path:
    """The result file that a document was filled from."""
    found = re.search(r"bench:source -->\n.*?`(bench/results/[\w.-]+\.json)`", text)
    if found is None:
        raise ValueError("the document names no result file")
    return ROOT / found[1]
