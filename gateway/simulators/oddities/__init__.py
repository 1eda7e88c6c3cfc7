"""Oddities: answers that real vendors and their imitators give, outside any documentation.

Each is a word of the credential or of `X-Simulate`, like the faults. Requests are refused by
`firewall` (an HTML page with 403), `noagent` (text with 403, without a User-Agent),
`unkept` (a kept connection is closed unanswered), `thoughtful` (400 unless reasoning comes
back with its tool calls) and `nostreamoptions` (422). Errors come as a list of one (`aslist`)
or as text (`astext`). Any body may be `gzipped` or `mislabelled`.

Chats: `newfinish` and `continued` end half an answer for a reason of tomorrow, or a limit in
another spelling; `errorline` puts an error amid the answer, after so many pieces; `summary`
closes a stream with the whole answer; `asevents` streams unasked; `halfchars` splits an
emoji; `nonfinite` has numbers that JSON has not; `thoughtsbeside` counts reasoning beside the
completion, `textnumbers` counts in text; `noargs` calls tools without arguments; `sources`
cites the web.

Images: `urlsafe`, `linebreaks` and `dataurl` wrap base64 in another way, `oneobject` sends
an object for a list of one, `inwords` explains in words instead, `latelink` answers 404 to
the first fetches of a link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from flask import Response

from gateway.simulators.calls import Call
from gateway.simulators.oddities import bodies, google, openai, transport
from gateway.simulators.oddities.bodies import Change

_CHATS: Mapping[str, Mapping[str, Change]] = MappingProxyType(
    {
        "ark.chat": openai.CHAT,
        "openai.chat": openai.CHAT,
        "gemini.generateContent": google.GEMINI,
        "gemini.streamGenerateContent": google.GEMINI,
        "gemini_enterprise.streamAssist": google.ENTERPRISE,
        "ark.images": openai.IMAGES,
        "openai.images": openai.IMAGES,
        "openai.images.edits": openai.IMAGES,
    }
)


def apply(call: Call, response: Response) -> Response:
    """Return the response with the oddities of the call's words."""
    words = call.behaviour.words
    if "unkept" in words and call.connection.is_reused:
        return Response(_closed(call))
    if call.main and response.status_code == 200:
        changes = _CHATS.get(call.operation, {})
        for word, number in words.items():
            if word in changes:
                response = bodies.changed(response, changes[word], number)
        if "asevents" in words and call.operation in ("ark.chat", "openai.chat"):
            response = openai.as_events(response)
    return transport.apply(words, response)


def _closed(call: Call) -> Iterator[bytes]:
    """Close the connection before any byte of an answer."""
    call.connection.close()
    yield b""
