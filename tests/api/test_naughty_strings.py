"""Strings that break frames, headers, logs and terminals come back as they were sent."""

from __future__ import annotations

import json
import socket
from urllib.parse import quote, urlsplit

import pytest

from tests.server.serving import until

NAUGHTY = [
    *("data: [DONE]", "data: [DONE]\n\n", "\r\n\r\ndata: {}\r\n\r\n", ": comment\n\n", "[DONE]"),
    *("event: error\nid: 1\nretry: 0\n\n", '"}}]}\n\ndata: {"error": {}}', "\\u0000", "\\", '\\"'),
    *(
        "\0",
        "a\0b",
        "\x01\x02\x1f",
        "\x7f",
        "\x80\x85\x9b",
        "\x0b\x0c\x1c\x1d\x1e",
        "\r",
        "\n",
        "\t",
    ),
    *(
        "\u2028",
        "\u2029",
        "\u202e txet",
        "\ufeff",
        "\u200b",
        "\ufffe\uffff",
        "\ufdd0",
        "\U0010ffff",
    ),
    *("𠜎𠜱", "👨‍👩‍👧‍👦", "Z̮̞̠͙͔ͅA̶̞L̴͈GO", "ﷺ", "ｉｎｊｅｃｔｉｏｎ", "Ω≈ç√∫", "مرحبا", "שלום", "ÅÍÎÏ"),
    *("<script>alert(1)</script>", "' OR 1=1 --", "$(touch x)", "`id`", "{{7*7}}", "${jndi:ldap}"),
    *("%s%n%d", "%00%0d%0a", "../../etc/passwd", "__proto__", "NaN", "null", "undefined", "=1+1"),
    *('\n{"level":"error","event":"request"}', "\x1b[2J\x1b[31m", "\u2066\u2069", " ", "  x  "),
]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("model", ["test-model", "doubao", "gemini-3.8-flash", "gemini-enterprise"])
def test_they_are_echoed_byte_for_byte(gateway, model, stream):
    wrong = []
    for text in NAUGHTY:
        answer = gateway.chat(text, model=model, stream=stream, user=text, metadata={text: text})
        if stream:
            lines = answer.content.decode().splitlines()
            chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
            said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
            assert lines.count("data: [DONE]") == 1
        else:
            said = answer.json()["choices"][0]["message"]["content"]
        if said != f'This is turn 1 and you said "{text}". That is all.':
            wrong.append((text, said))
    assert wrong == []


def sent(gateway, head, body):
    target = urlsplit(gateway.url)
    with socket.create_connection((target.hostname, target.port), timeout=20) as client:
        client.sendall(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return client.makefile("rb").read()


def test_a_request_is_one_record_of_the_log_whatever_is_in_it(gateway):
    """And one line for whoever splits lines, with nothing that a terminal would obey."""
    for number, text in enumerate(NAUGHTY):
        header = bytes(b for b in text.encode() if 32 <= b != 127)
        body = json.dumps({"model": text, "user": text, "messages": [{"role": text}]}).encode()
        answer = sent(
            gateway,
            f"POST /v1/chat/completions/log-{number}-{quote(text, safe='')} HTTP/1.1\r\n".encode()
            + b"Host: x\r\nContent-Type: application/json\r\n"
            + b"".join(
                name + b": " + header + b"\r\n"
                for name in (b"User-Agent", b"X-Forwarded-For", b"X-Request-Id", b"Referer")
            ),
            body,
        )
        assert int(answer.split()[1]) == 404
        assert answer.partition(b"\r\n\r\n")[0].isascii()

    def records():
        found = [event["path"].split("/log-")[1:] for event in gateway.events("request")]
        return sorted(int(rest[0].partition("-")[0]) for rest in found if rest)

    until(lambda: len(records()) >= len(NAUGHTY))
    assert records() == list(range(len(NAUGHTY)))
    log = gateway.log.read_bytes().decode("ascii")
    assert all(line.isprintable() for line in log.split("\n"))


def test_names_of_models_make_no_series_of_measurements(gateway):
    for number in range(30):
        for model in (f"made-up-{number}", f"doubao-made-up-{number}", f"ark/ep-made-up-{number}"):
            gateway.chat(model=model)
    assert "made-up" not in gateway.get("/metrics").text
