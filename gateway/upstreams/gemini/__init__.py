"""The Gemini API (generativelanguage.googleapis.com)."""

from __future__ import annotations

from gateway.upstreams.gemini.adapter import BASE_URL, Gemini

__all__ = ["BASE_URL", "Gemini"]
