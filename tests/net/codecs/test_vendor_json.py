"""Vendors' JSON is read leniently, and never into a value that JSON cannot carry."""

from __future__ import annotations

import orjson
import pytest

from gateway.net.codecs.vendor_json import JsonReader, NotJson, read_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, -Infinity, NaN, Infinity, 1e999]}', {"a": [1, None, None, None, None]}),
        (rb'"ok \ud83d\ude00"', "ok \U0001f600"),
        (rb'"\ud83d and \ude00"', "\ufffd and \ufffd"),
        (rb'{"a": "ok \ud83d"}', {"a": "ok \ufffd"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (rb'{"\ud83d": 1}', {"\ufffd": 1}),
    ],
)
def test_odd_documents_are_read(text, value):
    assert read_json(text) == value
    orjson.dumps(read_json(text))


def test_an_emoji_cut_in_halves_is_whole_again():
    reader = JsonReader()
    texts = [rb"ok \ud83d", rb"\ude00 done \ud83d", rb"!", rb"\ud83d\ude00"]
    events = [b'{"choices": [{"delta": {"content": "%b"}, "n": "x"}]}' % text for text in texts]
    read = [reader.read(event)["choices"][0]["delta"]["content"] for event in events]
    assert "".join(read).startswith("ok \U0001f600 done ")
    assert "".join(read).endswith("!\U0001f600")


def test_halves_are_joined_wherever_they_stand_in_a_list():
    reader = JsonReader()
    assert reader.read(rb'{"parts": [{"text": "a"}, {"text": "\ud83d"}]}')["parts"][1]["text"] == ""
    assert reader.read(rb'{"parts": [{"text": "\ude00"}]}') == {"parts": [{"text": "\U0001f600"}]}


def test_halves_of_different_fields_are_not_joined():
    reader = JsonReader()
    assert reader.read(rb'{"a": "\ud83d"}') == {"a": ""}
    assert reader.read(rb'{"b": "\ude00"}') == {"b": "\ufffd"}


@pytest.mark.parametrize(
    "text",
    [b"", b"<html>", b"{", b"nan", b"[" * 100_000, b"[" + b"1," * 300_000 + b"1]", b"1" * 5000],
)
def test_what_is_not_json_is_refused_without_quoting_it(text):
    with pytest.raises(NotJson) as caught:
        read_json(text)
    assert "html" not in str(caught.value)
