"""Werkzeug's reading of multipart forms, within bounds that it has not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.sansio.multipart import (
    BLANK_LINE_RE,
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
    State,
)

from gateway.domain.errors import InvalidRequest, RequestTooLarge
from gateway.runtime.cooperative import cooperative_yield

_PIECE = 64 * 1024
_LONGEST_HEAD = 8 * 1024  # Werkzeug's time for one grows with its square


class FormParser(FormDataParser):
    """Reads multipart forms in bounds, and gives others a turn after each part."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: Mapping[str, str] | None = None,
    ) -> Any:
        """The stream, the fields and the files. Raises InvalidRequest and RequestTooLarge."""
        if mimetype != "multipart/form-data":
            return super().parse(stream, mimetype, content_length, dict(options or {}))
        fields: list[tuple[str, str]] = []
        files: list[tuple[str, FileStorage]] = []
        try:
            for part, held in self._parts(stream, (options or {})["boundary"], content_length):
                held.seek(0)
                if isinstance(part, File):
                    file = FileStorage(held, part.filename, part.name, headers=part.headers)
                    files.append((part.name, file))
                else:
                    charset = MultiPartParser().get_part_charset(part.headers)
                    fields.append((part.name, held.read().decode(charset, "replace")))
                cooperative_yield()
        except ValueError as err:
            raise InvalidRequest("The form is malformed.", code="invalid_form") from err
        return stream, self.cls(fields), self.cls(files)

    def _parts(
        self, stream: IO[bytes], boundary: str, content_length: int | None
    ) -> Iterator[tuple[Field | File, IO[bytes]]]:
        decoder = _Decoder(
            boundary.encode("ascii"), self.max_form_memory_size, max_parts=self.max_form_parts
        )
        part: Field | File
        held: IO[bytes]
        for event in _events(decoder, stream):
            if isinstance(event, Field | File):
                part = event
                held = self.stream_factory(content_length, None, None)
            elif isinstance(event, Data):
                held.write(event.data)
                if isinstance(part, Field) and held.tell() > (self.max_form_memory_size or 0):
                    raise RequestTooLarge("A field of the form is too large.")
                if not event.more_data:
                    yield part, held


class _Decoder(MultipartDecoder):
    def next_event(self) -> Event:
        if (
            self.state is State.PART
            and len(self.buffer) > _LONGEST_HEAD
            and BLANK_LINE_RE.search(self.buffer, 0, _LONGEST_HEAD) is None
        ):
            raise InvalidRequest(
                f"The head of a part of the form is longer than {_LONGEST_HEAD} bytes.",
                code="invalid_form",
            )
        return super().next_event()


def _events(decoder: MultipartDecoder, stream: IO[bytes]) -> Iterator[Event]:
    while True:
        decoder.receive_data(stream.read(_PIECE) or None)
        while not isinstance(event := decoder.next_event(), NeedData):
            if isinstance(event, Epilogue):
                return
            yield event
