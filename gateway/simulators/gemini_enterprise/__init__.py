"""Gemini Enterprise (discoveryengine.googleapis.com), v1, v1beta and v1alpha.

Modelled: sessions, their files, streamAssist and assist. Any engine of any
project exists, but for one called `missing`; answers carry the project's
number, whatever was sent. Sessions belong to the identity that opened them.
A question without a session opens one. `fileIds` and what else v1alpha alone
has is refused elsewhere; without them all uploaded files are seen. The answer
is a text that describes what arrived; an image or a video is made when the tool
for it is given and the question asks for it (see `questions`). A video takes
two seconds, or those of `video`. Small talk is skipped unless REQUEST_ASSIST.

The words of a credential (the email of a service account, or a user's own
`ya29.` token) choose faults. `wrong`, `expired`, `denied` and `overdue` fail
every call; `empty`, `daily`, `overloaded`, `broken`, `blocked` and `failed` only
questions; `filtered` lets a policy end the answer; `gone` signs download URLs
that are refused.

Not modelled: assistants and agents, data stores and grounding, documents as
context, removing single files, `uploadFile`, licences, and `isSessionLess`,
`answerGenerationMode`, `agentsSpec` and `actionSpec`, which change nothing.

Read from the discovery documents of 2026-11 and
https://docs.cloud.google.com/gemini/enterprise/docs/reference/rest
"""

from __future__ import annotations

from gateway.simulators.gemini_enterprise import assist, context_files, sessions
from gateway.simulators.gemini_enterprise.protocol import bp

__all__ = ["assist", "bp", "context_files", "sessions"]
