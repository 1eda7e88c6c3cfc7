"""The Gemini API (generativelanguage.googleapis.com), v1 and v1beta.

Modelled: generateContent and streamGenerateContent (as events and as an
array), countTokens, embeddings, models, the Files API with resumable uploads, and
interactions at once, in the background and streamed. Requests are held to the
fields, types and rules of the API; prompts answer with a text that describes what
arrived, image models with an image of the size asked for, Omni models with a
video. Functions are called when the last text names them, or when the mode is
ANY. Keys own their files and interactions.

The words of a key choose faults. `wrong`, `denied` and `overdue` fail every
call; `empty`, `daily`, `overloaded`, `broken` and `blocked` only those that
generate; `failed` breaks a stream of text off with an error, leaves an image
out, and lets an interaction fail.

Not modelled: the Live API, batches, caches, speech, agents, tools
that run at the vendor, tools in interactions, and the content of safety checks.

Read from https://ai.google.dev/api and the requests of google-genai 3.6.
"""

from __future__ import annotations

from gateway.simulators.gemini import embeddings, files, generate, interactions, model_list, uploads
from gateway.simulators.gemini.protocol import bp

bp.register_blueprint(interactions.bp)

__all__ = ["bp", "embeddings", "files", "generate", "interactions", "model_list", "uploads"]
