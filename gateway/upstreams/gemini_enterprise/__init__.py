"""Gemini Enterprise (Discovery Engine assistants)."""
