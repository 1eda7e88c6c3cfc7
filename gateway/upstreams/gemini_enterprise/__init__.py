"""Gemini Enterprise (Discovery Engine assistants)."""

from __future__ import annotations

from gateway.upstreams.gemini_enterprise.adapter import GeminiEnterprise
from gateway.upstreams.gemini_enterprise.engine import BASE_URL

__all__ = ["BASE_URL", "GeminiEnterprise"]
