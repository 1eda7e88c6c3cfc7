"""streamAssist, whose answer is one JSON array sent element by element, and assist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response

from gateway.simulators.calls import Call, stream_response
from gateway.simulators.gemini_enterprise import errors
from gateway.simulators.gemini_enterprise.answers import (
    Answer,
    Chunks,
    blocked,
    make_answer,
    skipped,
)
from gateway.simulators.gemini_enterprise.intents import is_small_talk, last_user_text
from gateway.simulators.gemini_enterprise.protocol import ENGINE, VERSION, Engine, bp, open_call
from gateway.simulators.gemini_enterprise.schemas import ASSIST, STREAM_ASSIST
from gateway.simulators.gemini_enterprise.sessions import open_session, own_session
from gateway.simulators.gemini_enterprise.store import Session, Sessions, StoredFile, Turn
from gateway.simulators.google.errors import GoogleError, failed_precondition, invalid
from gateway.simulators.google.http import check_query, google_json, json_body, read_payload
from gateway.simulators.google.protojson import Message
from gateway.simulators.state import current_state
from gateway.simulators.streams import stream_frames

_ASSISTANT = "default_assistant"
_BETWEEN = b"\n,\r\n"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and the factory of its elements."""

    answer: Answer
    chunks: Chunks


Outcome = Answered | dict[str, Any]
"""An answer, or the one element that is sent instead of any."""


@bp.post(f"/{VERSION}/{ENGINE}/assistants/<assistant>:streamAssist")
def stream_assist(version: str, assistant: str, **names: str) -> Response:
    """Answer element by element."""
    call, outcome = _accept("streamAssist", version, assistant, STREAM_ASSIST[version])
    if isinstance(outcome, Answered):
        frames = _stream(call, outcome.answer, outcome.chunks)
    else:
        frames = stream_frames(call, [], ending=[b"[" + orjson.dumps(outcome) + b"\n]"])
    return stream_response(frames, "application/json; charset=UTF-8")


@bp.post(f"/{VERSION}/{ENGINE}/assistants/<assistant>:assist")
def assist(version: str, assistant: str, **names: str) -> Response:
    """Answer in one piece."""
    call, outcome = _accept("assist", version, assistant, ASSIST[version])
    if not isinstance(outcome, Answered):
        return google_json(outcome)
    answer, chunks = outcome.answer, outcome.chunks
    call.connection.pause(answer.wait_s)
    if "failed" in call.behaviour:
        raise _failure()
    if answer.filtered:
        return google_json(chunks.cut_by_policy())
    contents = [content for piece in answer.pieces for content in piece]
    if answer.text:
        contents = [one for one in contents if "text" not in one or one.get("thought")]
        contents.insert(0, {"role": "model", "text": answer.text})
    return google_json(chunks.end(contents))


def _accept(method: str, version: str, assistant: str, message: Message) -> tuple[Call, Outcome]:
    body = json_body()
    call, engine = open_call(method, body, main=True)
    check_query()
    if assistant != _ASSISTANT:
        raise errors.not_found("Assistant", f"{engine.name}/assistants/{assistant}")
    given = read_payload(message, body)
    query = _query(given)
    _check_model(given)
    errors.refuse_work(call)
    session = _named_session(engine, given, call)
    files = _files(given, session)
    if "blocked" in call.behaviour:
        return call, blocked()
    if given.get("assistSkippingMode") != "REQUEST_ASSIST" and is_small_talk(last_user_text(query)):
        return call, skipped()
    session = session or open_session(engine, call.credential, {"displayName": query[:40]})
    attached = [file.seen for file in files]
    answer = make_answer(query, session, attached, given.get("toolsSpec", {}), call.behaviour)
    chunks = Chunks(session.name, version)
    session.turns.append(Turn(chunks.query_id, query, chunks.name, answer.text))
    return call, Answered(answer, chunks)


def _query(given: dict[str, Any]) -> str:
    query: dict[str, Any] = given.get("query", {})
    parts = [part.get("text", "") for part in query.get("parts", [])]
    text = query.get("text") or "\n".join(filter(None, parts))
    if not text and not given.get("fileIds"):
        raise invalid('Field "query" is a required field, but no value is found.')
    return text


def _check_model(given: dict[str, Any]) -> None:
    model_id = given.get("generationSpec", {}).get("modelId", "")
    if model_id and not model_id.startswith("gemini-"):
        raise invalid(f'Field "generation_spec.model_id" is invalid: unknown model ID {model_id}.')


def _named_session(engine: Engine, given: dict[str, Any], call: Call) -> Session | None:
    """Return the session that a request names, None when it wants a new one."""
    if not given.get("session"):
        return None
    session_id = engine.session_name(given["session"]).rpartition("/")[2]
    return None if session_id == "-" else own_session(engine, session_id, call.credential)


def _files(given: dict[str, Any], session: Session | None) -> list[StoredFile]:
    """Return the files of the question: those named, else all that were uploaded."""
    session_files = session.files if session else {}
    named = given.get("fileIds")
    if not named:
        return [file for file in session_files.values() if not file.generated]
    for file_id in named:
        if file_id in session_files:
            continue
        if (holder := current_state().store(Sessions).holder_of(file_id)) is not None:
            holder_id = holder.name.rpartition("/")[2]
            current_state().ledger.violation(
                f"file {file_id} of session {holder_id} used in another"
            )
        raise invalid(f'Field "file_ids" is invalid: {file_id} is not a file of the session.')
    return [session_files[file_id] for file_id in named]


def _failure() -> GoogleError:
    return failed_precondition("The assistant failed to generate an answer.")


def _stream(call: Call, answer: Answer, chunks: Chunks) -> Iterator[bytes]:
    """Send `[`, the elements with commas between them, and `]`."""
    pieces = [_frame(chunks.piece(contents)) for contents in answer.pieces]
    if "failed" in call.behaviour:
        pieces = pieces[: len(pieces) // 2]
        ending = [_frame(chunks.failed()), orjson.dumps(_failure().body()) + b"\n]"]
    elif answer.filtered:
        ending = [orjson.dumps(chunks.cut_by_policy()) + b"\n]"]
    else:
        ending = [_frame(chunks.suggestions())] if answer.suggestions else []
        ending.append(orjson.dumps(chunks.end()) + b"\n]")

    def opening() -> Iterator[bytes]:
        yield b"[" + _frame(chunks.thought(answer.thought))
        if answer.wait_s:
            call.connection.pause(answer.wait_s)

    return stream_frames(call, pieces, opening=opening(), ending=ending, garbage=b"{]\n,\r\n")


def _frame(element: dict[str, Any]) -> bytes:
    return orjson.dumps(element) + _BETWEEN
