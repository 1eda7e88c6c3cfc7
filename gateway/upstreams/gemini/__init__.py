"""The Gemini API (generativelanguage.googleapis.com)."""
