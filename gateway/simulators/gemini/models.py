"""The models that the simulated API serves, and those that it no longer does.

The rules of each family are those of ai.google.dev and of the vendor's model pages
as of 2026-12-01; the rules of Gemini 4 rest on reports of third parties.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gateway.simulators.gemini.sizes import SIZES

Kind = Literal["text", "image", "video", "embedding"]

GENERATE = ("generateContent", "countTokens", "createCachedContent", "batchGenerateContent")
EMBED = ("embedContent", "batchEmbedContents")
_RETIRED = re.compile(r"(imagen-|veo-|gemini-(1\.|2\.0|2\.5-flash-image|3-pro-preview)).*")

_ALL_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_LEVELS = _ALL_LEVELS[1:]


@dataclass(frozen=True, slots=True)
class Model:
    """Capabilities of a model.

    `signed` models check the thought signatures in the history. `levels` are
    the thinking levels that a model takes; `budgets` says whether it takes
    thinking budgets. A `plain_sampling` model refuses penalties and a history
    that ends with the model's turn. `served_by` is the model that answers
    instead, as `modelVersion` says.
    """

    id: str
    title: str
    kind: Kind = "text"
    thinks: bool = True
    signed: bool = True
    levels: tuple[str, ...] = _ALL_LEVELS
    budgets: bool = True
    plain_sampling: bool = False
    most_candidates: int = 8
    alias: bool = False
    extreme_ratios: bool = False
    sizes: tuple[str, ...] = SIZES
    multimodal: bool = True
    served_by: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the model supports."""
        if self.kind == "video":
            return ("createInteraction",)
        return EMBED if self.kind == "embedding" else GENERATE

    @property
    def version(self) -> str:
        """The `modelVersion` of its answers."""
        return self.served_by or self.id

    def view(self) -> dict[str, Any]:
        """Return the model as `models.get` shows it."""
        return {
            "name": f"models/{self.id}",
            "version": "001",
            "displayName": self.title,
            "description": f"Simulated {self.title}",
            "inputTokenLimit": 1_048_576 if self.kind == "text" else 65_536,
            "outputTokenLimit": 65_536 if self.kind == "text" else 32_768,
            "supportedGenerationMethods": list(self.methods),
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxTemperature": 2,
            "thinking": self.thinks,
        }


_GEMINI_2_5 = Model("", "", signed=False, levels=())
_GEMINI_3_6 = Model("", "", plain_sampling=True)
_GEMINI_3_7 = replace(_GEMINI_3_6, levels=_LEVELS)
_GEMINI_4 = replace(_GEMINI_3_7, budgets=False, most_candidates=1)
_GEMINI_4_XHIGH = replace(_GEMINI_4, levels=(*_LEVELS, "XHIGH"))
_OMNI = Model("", "", kind="video", thinks=False)

_MODELS = (
    replace(_GEMINI_4, id="gemini-4-argon", title="Gemini 4 Argon"),
    replace(_GEMINI_4, id="gemini-4-carbon", title="Gemini 4 Carbon"),
    replace(_GEMINI_4_XHIGH, id="gemini-4-hydrogen", title="Gemini 4 Hydrogen"),
    replace(_GEMINI_4_XHIGH, id="gemini-4-neon", title="Gemini 4 Neon"),
    replace(_GEMINI_3_7, id="gemini-3.8-flash", title="Gemini 3.8 Flash"),
    replace(_GEMINI_3_7, id="gemini-3.7-flash", title="Gemini 3.7 Flash"),
    replace(_GEMINI_3_6, id="gemini-3.6-flash", title="Gemini 3.6 Flash"),
    Model("gemini-3.5-flash", "Gemini 3.5 Flash"),
    replace(_GEMINI_3_6, id="gemini-3.5-flash-lite", title="Gemini 3.5 Flash-Lite"),
    Model("gemini-3.1-pro-preview", "Gemini 3.1 Pro Preview"),
    Model("gemini-3-flash-preview", "Gemini 3 Flash Preview"),
    replace(_GEMINI_2_5, id="gemini-2.5-pro", title="Gemini 2.5 Pro", served_by="gemini-3.8-flash"),
    replace(
        _GEMINI_2_5,
        id="gemini-2.5-flash",
        title="Gemini 2.5 Flash",
        served_by="gemini-3.5-flash-lite",
    ),
    replace(_GEMINI_2_5, id="gemini-2.5-flash-lite", title="Gemini 2.5 Flash-Lite"),
    Model("gemini-flash-latest", "Gemini Flash Latest", alias=True),
    Model("gemini-pro-latest", "Gemini Pro Latest", alias=True),
    Model("gemini-nano-banana-2.1", "Nano Banana 2.1", kind="image", extreme_ratios=True),
    Model("gemini-3.1-flash-image", "Nano Banana 2", kind="image", extreme_ratios=True),
    Model("gemini-3-pro-image", "Nano Banana Pro", kind="image", sizes=SIZES[1:]),
    Model("gemini-3.1-flash-lite-image", "Nano Banana 2 Lite", kind="image", thinks=False),
    replace(_OMNI, id="gemini-omni-1.1-flash", title="Gemini Omni 1.1 Flash"),
    replace(_OMNI, id="gemini-omni-1.2-flash", title="Gemini Omni 1.2 Flash"),
    Model("gemini-embedding-001", "Embedding 001", kind="embedding", multimodal=False),
    Model("gemini-embedding-2", "Embedding 2", kind="embedding"),
)
MODELS: Mapping[str, Model] = {model.id: model for model in _MODELS}


def find(model_id: str, version: str) -> Model | None:
    """Return a model; `*-latest` names exist on v1beta only."""
    model = MODELS.get(model_id)
    return None if model is None or (model.alias and version != "v1beta") else model


def is_retired(model_id: str) -> bool:
    """Return true for a retired model."""
    return _RETIRED.fullmatch(model_id) is not None
