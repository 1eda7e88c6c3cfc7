"""Event streams, JSON arrays and chunked bodies mean the same wherever the network cuts them."""

from __future__ import annotations

import json
import random

import pytest

from gateway.domain.errors import UpstreamInvalidResponse
from gateway.net.codecs import json_stream as jsonstream
from gateway.net.codecs import sse
from gateway.net.http import parser as wire

SPLITS = 10_000


def pieces(data: bytes, randomly: random.Random) -> list[bytes]:
    """`data` cut in up to a dozen places, also in none and into empty pieces."""
    cuts = sorted(randomly.randrange(len(data) + 1) for _ in range(randomly.randrange(13)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def joined(batches):
    return [item for batch in batches for item in batch]


EVENTS = (
    b"\xef\xbb\xbf: hello\n\n"
    b"data: plain\n\n"
    b"data:no space\r\n\r\n"
    b"event: named\rdata: cr\r\r"
    b"id: 7\nretry: 100\ndata: with fields\n\n"
    b"data: two\ndata: lines\r\n\r\n"
    b"event: empty\n\n"
    b"data\n\n"
    b"data: \n\n"
    b"\n\n\n"
    b": comment\n\n"
    b"data:  leading space kept\n\n"
    b"unknown: field\ndata: caf\xc3\xa9 \xf0\x9f\x98\x80 \xe2\x80\xa8\x00\n\n"
    b'data: {"text": "data: [DONE]\\n\\n"}\n\n'
    b"data: [DONE]\n\n"
    b"data: cut off"
)
DATA = [
    b"plain",
    b"no space",
    b"cr",
    b"with fields",
    b"two\nlines",
    b" leading space kept",
    b"caf\xc3\xa9 \xf0\x9f\x98\x80 \xe2\x80\xa8\x00",
    b'{"text": "data: [DONE]\\n\\n"}',
    b"[DONE]",
]


def test_events_are_the_same_however_the_stream_is_cut():
    randomly = random.Random(1)
    for _ in range(SPLITS):
        assert joined(sse.batches(pieces(EVENTS, randomly))) == DATA
    assert joined(sse.batches(EVENTS[n : n + 1] for n in range(len(EVENTS)))) == DATA


def test_named_events_are_the_same_however_the_stream_is_cut():
    randomly = random.Random(2)
    expected = [("named" if data == b"cr" else "message", data) for data in DATA]
    for _ in range(SPLITS // 10):
        assert joined(sse.event_batches(pieces(EVENTS, randomly))) == expected


def test_events_that_arrive_together_come_in_one_batch_and_without_waiting():
    stream = sse.batches(iter([b"data: 1\n\ndata: 2\n\ndata: 3", b"\n", b"\ndata: 4\r\r"]))
    assert next(stream) == [b"1", b"2"]
    assert next(stream) == [b"3", b"4"]
    with pytest.raises(StopIteration):
        next(stream)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_event_is_there_as_soon_as_its_last_byte_is(end):
    def source():
        for byte in b"data: now" + end:
            yield bytes([byte])
        raise AssertionError("asked for more than the event")

    assert next(sse.batches(source())) == [b"now"]


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\r", b"\xef\xbb", b":", b"data", b"data: half", b"data: half\n", b"<html>\n\n"],
)
def test_stream_without_a_complete_event_is_empty(data):
    assert joined(sse.batches([data])) == []


def test_large_event_is_put_together_and_an_endless_one_refused(monkeypatch):
    large = b"x" * 3_000_000
    stream = b"data: " + large + b"\n\n"
    cut = [stream[at : at + 1000] for at in range(0, len(stream), 1000)]
    assert joined(sse.batches(cut)) == [large]
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1_000_000)
    with pytest.raises(UpstreamInvalidResponse):
        joined(sse.batches(cut))


def test_random_bytes_never_break_the_parser():
    randomly = random.Random(3)
    alphabet = [
        b"\n",
        b"\r",
        b"data:",
        b" ",
        b":",
        b"\xef\xbb\xbf",
        b"event:",
        b"x",
        b"\xff",
        b"\0",
    ]
    for _ in range(SPLITS // 5):
        stream = b"".join(randomly.choices(alphabet, k=30))
        whole = joined(sse.batches([stream]))
        assert joined(sse.batches(pieces(stream, randomly))) == whole
        assert [data for _, data in joined(sse.event_batches([stream]))] == whole


ELEMENTS = [
    {"text": 'quotes \\" and \\\\ braces }{][ "', "deep": [{"a": [1, [2, {}]]}]},
    {},
    {"t": "\\", "u": "\u00e9\U0001f600\n\u2028", "empty": ""},
    {"long": "q" * 300, "n": -1.5e3, "null": None},
]
ARRAY = b"[" + b"\n,\r\n".join(
    json.dumps(element, ensure_ascii=n % 2 == 0, indent=n or None).encode()
    for n, element in enumerate(ELEMENTS)
)
ARRAY += b"\n]\r\n"


def test_elements_are_the_same_however_the_array_is_cut():
    randomly = random.Random(4)
    for _ in range(SPLITS):
        assert joined(jsonstream.elements(pieces(ARRAY, randomly))) == ELEMENTS
    assert joined(jsonstream.elements(ARRAY[n : n + 1] for n in range(len(ARRAY)))) == ELEMENTS


def test_element_is_there_as_soon_as_its_last_byte_is():
    def source():
        yield b'[{"a": 1}, {"b"'
        yield b": 2}"
        raise AssertionError("asked for more than the element")

    stream = jsonstream.elements(source())
    assert next(stream) == [{"a": 1}]
    assert next(stream) == [{"b": 2}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"[]", []), (b" [ ] ", []), (b'{"error": {}}', [{"error": {}}]), (b"\n{}\n", [{}])],
)
def test_empty_array_and_lone_object_are_taken(data, expected):
    assert joined(jsonstream.elements([data])) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   ",
        b"[",
        b"[{}",
        b"[{},",
        b"[{},]",
        b"[,{}]",
        b"[{}{}]",
        b"[{}]x",
        b"[{}][{}]",
        b"{}{}",
        b"[1]",
        b'["a"]',
        b"[null]",
        b"[[{}]]",
        b"<html>",
        b"[{]}",
        b'[{"a": 1]',
        b'[{"a": "}]',
        b'[{"a": "\\',
        b"[{a: 1}]",
        b"[{'a': 1}]",
        b'[{"a": "\n"}]',
        b'data: {"a": 1}\n\n',
    ],
)
def test_anything_but_a_complete_array_is_an_invalid_answer(data):
    for cut in ([data], [data[n : n + 1] for n in range(len(data))]):
        with pytest.raises(UpstreamInvalidResponse) as caught:
            joined(jsonstream.elements(cut))
        assert caught.value.sent


def test_endless_element_is_refused(monkeypatch):
    monkeypatch.setattr(jsonstream, "MAX_ELEMENT_BYTES", 1_000_000)
    with pytest.raises(UpstreamInvalidResponse, match="endless"):
        joined(jsonstream.elements([b'[{"a": "', *[b"x" * 1000] * 1001]))


BODY = [b"a", b"bcd", b"\r\n", b"0\r\n\r\n", b"x" * 300, b"5\r\nhello\r\n"]
CHUNKED = b"".join(b"%X;ext=1\r\n%s\r\n" % (len(part), part) for part in BODY)
CHUNKED += b"000\r\nTrailer: 1\r\nOther: 2\r\n\r\n"


def test_chunked_body_is_the_same_however_it_is_cut():
    randomly = random.Random(5)
    for _ in range(SPLITS):
        framing = wire.Chunked()
        body = b"".join(framing.feed(piece) for piece in pieces(CHUNKED, randomly) if piece)
        assert body == b"".join(BODY)
        assert framing.complete
        assert not framing.excess


@pytest.mark.parametrize(
    ("event", "document"),
    [
        (b'error: {"code": 500, "message": "m"}', {"error": {"code": 500, "message": "m"}}),
        (b'error:{"error": {"message": "m"}}', {"error": {"message": "m"}}),
        (b"error: failed to decode", {"error": {"message": "failed to decode"}}),
    ],
)
def test_an_error_field_is_read_like_an_error_document(event, document):
    (found,) = sse.batches([event + b"\n\n"])
    assert [json.loads(data) for data in found] == [document]
