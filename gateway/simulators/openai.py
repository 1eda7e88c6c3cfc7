"""An OpenAI-compatible vendor."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("openai", __name__)
