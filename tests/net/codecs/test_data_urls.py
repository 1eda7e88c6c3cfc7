"""Data URLs taken out of a JSON text: what comes back is what was sent."""

from __future__ import annotations

import base64
import json
import os

import orjson
import pytest

from gateway.domain.media import EmbeddedUrl
from gateway.net.codecs.data_urls import LARGE_URL_BYTES, extract_data_urls


def url_of(data: bytes) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(data).decode()}"


def parsed(text: bytes):
    """The document with data URLs in place, those data URLs, and the text without them."""
    short, found = extract_data_urls(text)
    return replaced(orjson.loads(short), found), found, short


def replaced(value, found):
    if isinstance(value, dict):
        return {key: replaced(item, found) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, found) for item in value]
    return found.get(value, value)


LARGE = os.urandom(LARGE_URL_BYTES)


def test_large_data_urls_are_extracted_in_place():
    other = os.urandom(12 * LARGE_URL_BYTES)
    small = url_of(b"small")
    wanted = {"a": [url_of(LARGE), {"url": url_of(other)}], "b": small, "c": url_of(LARGE)}
    document, found, short = parsed(json.dumps(wanted).encode())
    assert len(short) < 1000
    assert len(found) == 2
    first, second = document["a"][0], document["a"][1]["url"]
    assert isinstance(first, EmbeddedUrl)
    assert b"".join(first.blob.chunks()) == LARGE
    assert b"".join(second.blob.chunks()) == other
    assert document["b"] == small
    assert document["c"].digest == first.digest
    assert first.whole() == url_of(LARGE)


@pytest.mark.parametrize("between", [":", ": ", " : "])
def test_large_base64_under_its_key_is_extracted_too(between):
    bare = base64.b64encode(LARGE).decode()
    text = f'{{"a": {{"mimeType":"image/png", "data"{between}"{bare}"}}, "b": "{bare}"}}'.encode()
    document, found, short = parsed(text)
    data = document["a"]["data"]
    assert isinstance(data, EmbeddedUrl)
    assert b"".join(data.blob.chunks()) == LARGE
    assert data.whole() == document["b"] == bare
    assert len(found) == 1
    assert len(short) < len(bare) + 300


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"data": "no base64! " * LARGE_URL_BYTES}),
        json.dumps({"said": 'see "data":"' + "A" * LARGE_URL_BYTES * 2 + '"'}),
        json.dumps(["data", "A" * LARGE_URL_BYTES * 2]),
        json.dumps({"metadata": "A" * LARGE_URL_BYTES * 2}),
        json.dumps({"a": url_of(LARGE)[:-1] + "!"}),
        json.dumps({"a": url_of(LARGE)}).replace("/", "\\/"),
        json.dumps({"a": "x" + url_of(LARGE)}),
        json.dumps({"a": "see;base64," + "A" * LARGE_URL_BYTES * 2}),
        '{"a": "' + url_of(LARGE),
        '{"a": "data:image/png;base64,',
        '["data:b", "c;base64,' + "A" * LARGE_URL_BYTES * 2 + '"]',
        '["see \\"data:b;base64,' + "A" * LARGE_URL_BYTES * 2 + '"]',
        "A" * LARGE_URL_BYTES * 2,
    ],
    ids=[
        "text of data",
        "quoted data",
        "two items",
        "another key",
        "broken",
        "escaped slashes",
        "inside a string",
        "no head",
        "no end",
        "cut",
        "two strings",
        "quoted",
        "no JSON",
    ],
)
def test_what_is_not_a_whole_data_url_stays(text):
    short, found = extract_data_urls(text.encode())
    assert short == text.encode()
    assert not found


def test_a_name_that_was_not_extracted_from_this_text_means_nothing():
    name = str(EmbeddedUrl.of(None, "0" * 64))
    document, found, _ = parsed(json.dumps({"a": name, "b": url_of(LARGE)}).encode())
    assert len(found) == 1
    assert not isinstance(document["a"], EmbeddedUrl)


@pytest.mark.parametrize("head", ["", "data:"], ids=["unquoted", "quoted"])
def test_marks_without_number_are_passed_over(head):
    """Each was once a search through the rest of the text: here, of hours."""
    text = orjson.dumps([head + ";base64," * 400_000, url_of(LARGE)])
    document, found, _ = parsed(text)
    assert document[0].count(";base64,") == 400_000
    assert len(found) == 1


class Searched(bytes):
    """Counts the searches through it."""

    searches = 0

    def find(self, *args):
        self.searches += 1
        return super().find(*args)

    def rfind(self, *args):
        self.searches += 1
        return super().rfind(*args)


@pytest.mark.parametrize("repeated", [b";base64,", b'","data:;base64,', b'\\"data:;base64,', b'"'])
def test_a_text_is_searched_a_few_times_for_each_mebibyte(repeated):
    text = Searched(b'["' + repeated * (4 * LARGE_URL_BYTES // len(repeated)) + b'"]')
    assert extract_data_urls(text) == (text, {})
    assert text.searches < 40


@pytest.mark.parametrize("filler", [b"", b'"x",', b'"' + b"x" * LARGE_URL_BYTES + b'",'])
@pytest.mark.parametrize("gap", [0, 1, 2, 3, 500])
def test_data_urls_are_found_wherever_they_lie(filler, gap):
    fillers = filler * 3 + b" " * gap
    url = orjson.dumps(url_of(LARGE))
    text = b"[" + fillers + url + b"," + fillers + url + b"]"
    document, found, short = parsed(text)
    assert sum(isinstance(item, EmbeddedUrl) for item in document) == 2
    assert len(short) == len(text) - 2 * (len(url) - 2 - len(next(iter(found))))
