"""Stored responses: conversations that are continued by the id of their last answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.domain.errors import InvalidRequest, NotFound, StorageUnavailable
from gateway.runtime.logs import log
from gateway.storage.records.responses import ResponseStore

_LONGEST = 16 * 1024 * 1024  # bytes of one response with its input
_MOST_CONTINUED = 1000

Items = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """`input` are the items of its own request; those before are in `previous_id`."""

    previous_id: str | None
    input: Items
    response: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Items of all turns so far, and the ids of the responses that they are in."""

    items: Items
    ids: tuple[str, ...] = ()


class StoredResponses:
    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def save(
        self, owner: str, response: dict[str, Any], items: Items, before: Conversation
    ) -> None:
        """Store a finished response; without a database the answer is given all the same."""
        previous = before.ids[-1] if before.ids else None
        content = orjson.dumps({"previous": previous, "input": items, "response": response})
        if len(content) > _LONGEST:
            log.warning("response_not_stored", response=response["id"], size_bytes=len(content))
            return
        try:
            self._store.add(response["id"], owner, content.decode(), continues=before.ids)
        except StorageUnavailable as err:
            log.warning("response_not_stored", response=response["id"], error=err.explained)

    def get(self, owner: str, response_id: str) -> StoredResponse:
        """Raises NotFound."""
        content = self._store.get(response_id, owner)
        if content is None:
            raise NotFound(f"The response {response_id[:64]!r} does not exist or has expired.")
        found = orjson.loads(content)
        return StoredResponse(found["previous"], found["input"], found["response"])

    def conversation(self, owner: str, response_id: str | None) -> Conversation:
        """All items up to and with a response. Raises InvalidRequest when one is missing."""
        turns: list[Items] = []
        ids: list[str] = []
        while response_id is not None:
            try:
                found = self.get(owner, response_id)
            except NotFound as err:
                raise InvalidRequest(
                    err.message, param="previous_response_id", code="previous_response_not_found"
                ) from None
            turns.append(found.input + found.response["output"])
            ids.append(response_id)
            response_id = found.previous_id
            if len(ids) >= _MOST_CONTINUED:
                raise InvalidRequest(
                    f"A conversation has at most {_MOST_CONTINUED} stored responses; "
                    "send it as input.",
                    param="previous_response_id",
                )
        items = [item for turn in reversed(turns) for item in turn]
        return Conversation(items, tuple(reversed(ids)))

    def items(self, owner: str, response_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The output items of some responses by their ids; missing responses have none."""
        found: dict[str, dict[str, Any]] = {}
        for response_id in dict.fromkeys(response_ids):
            try:
                stored = self.get(owner, response_id)
            except NotFound:
                continue
            found |= {item["id"]: item for item in stored.response["output"]}
        return found

    def delete(self, owner: str, response_id: str) -> None:
        """Raises NotFound."""
        if not self._store.delete(response_id, owner):
            raise NotFound(f"The response {response_id[:64]!r} does not exist or has expired.")

    def purge(self) -> None:
        self._store.purge()
