"""The models that the simulated API serves, and those that it no longer does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "image", "video"]

GENERATE = ("generateContent", "countTokens", "createCachedContent", "batchGenerateContent")
_RETIRED = re.compile(r"(imagen-|veo-|gemini-(1\.|2\.0|2\.5-flash-image)).*")


@dataclass(frozen=True, slots=True)
class Model:
    """Capabilities of a model.

    `signed` models check the thought signatures in the history; `levels` says
    that thinking is set by level instead of by budget only.
    """

    id: str
    title: str
    kind: Kind = "text"
    thinks: bool = True
    signed: bool = True
    levels: bool = True
    alias: bool = False
    extreme_ratios: bool = False

    def view(self) -> dict[str, Any]:
        """Return the model as `models.get` shows it."""
        generates = self.kind != "video"
        return {
            "name": f"models/{self.id}",
            "version": "001",
            "displayName": self.title,
            "description": f"Simulated {self.title}",
            "inputTokenLimit": 1_048_576 if self.kind == "text" else 65_536,
            "outputTokenLimit": 65_536 if self.kind == "text" else 32_768,
            "supportedGenerationMethods": list(GENERATE) if generates else ["createInteraction"],
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxTemperature": 2,
            "thinking": self.thinks,
        }


_MODELS = (
    Model("gemini-3.8-flash", "Gemini 3.8 Flash"),
    Model("gemini-3.5-flash", "Gemini 3.5 Flash"),
    Model("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite"),
    Model("gemini-3.1-pro-preview", "Gemini 3.1 Pro Preview"),
    Model("gemini-3-pro-preview", "Gemini 3 Pro Preview"),
    Model("gemini-3-flash-preview", "Gemini 3 Flash Preview"),
    Model("gemini-2.5-pro", "Gemini 2.5 Pro", signed=False, levels=False),
    Model("gemini-2.5-flash", "Gemini 2.5 Flash", signed=False, levels=False),
    Model("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", signed=False, levels=False),
    Model("gemini-flash-latest", "Gemini Flash Latest", alias=True),
    Model("gemini-pro-latest", "Gemini Pro Latest", alias=True),
    Model("gemini-3.1-flash-image", "Nano Banana 2", kind="image", extreme_ratios=True),
    Model("gemini-3-pro-image", "Nano Banana Pro", kind="image"),
    Model("gemini-3.1-flash-lite-image", "Nano Banana 2 Lite", kind="image", thinks=False),
    Model("gemini-omni-1.1-flash", "Gemini Omni 1.1 Flash", kind="video", thinks=False),
    Model("gemini-omni-1.2-flash", "Gemini Omni 1.2 Flash", kind="video", thinks=False),
)
MODELS: Mapping[str, Model] = {model.id: model for model in _MODELS}


def find(model_id: str, version: str) -> Model | None:
    """Return a model; `*-latest` names exist on v1beta only."""
    model = MODELS.get(model_id)
    return None if model is None or (model.alias and version != "v1beta") else model


def is_retired(model_id: str) -> bool:
    """Return true for a retired model."""
    return _RETIRED.fullmatch(model_id) is not None
