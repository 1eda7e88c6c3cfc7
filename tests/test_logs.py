"""The lines that operators read."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gateway.runtime import logs
from gateway.runtime.logs import log


@pytest.fixture(autouse=True)
def _level(monkeypatch):
    monkeypatch.setattr(log, "level", logging.INFO)


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_line_with_what_is_known_of_it(capsys):
    log.info("request", model="m", caller=None, ms=1.5, text="two\nlines")
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "request",
        "model": "m",
        "ms": 1.5,
        "text": "two\nlines",
    }


def test_what_callers_wrote_cannot_fill_the_log_but_a_stack_trace_is_whole(capsys):
    try:
        raise ValueError("x" * 1000)
    except ValueError as err:
        log.error("unexpected", path="y" * 1000, exception=err, other=object)
    (line,) = lines(capsys)
    assert line["path"] == "y" * 256 + "…"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("x" * 1000)
    assert line["other"] == "<class 'object'>"


def test_what_is_below_the_level_is_not_written(capsys):
    logs.configure("WARNING")
    log.info("quiet")
    log.warning("loud")
    log.error("louder")
    assert [line["event"] for line in lines(capsys)] == ["loud", "louder"]


def test_what_cannot_be_written_stops_nothing(monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr("sys.stderr", SimpleNamespace(buffer=full))
        log.info("request")
        monkeypatch.undo()


STALLED = """
import os, time
from gateway.runtime.logs import log
for number in range(20_000):
    log.info("line", number=number)
os.write(1, b"written")
os.read(0, 1)
for _ in range(500):
    log.info("later")
    time.sleep(0.002)
"""


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_stops_does_not_stop_the_writer(kind):
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (end.detach() for end in socket.socketpair())
    command = [sys.executable, "-c", STALLED]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer
        ) as process,
        open(reader, "rb") as log_file,
    ):
        os.close(writer)
        assert process.stdout.read(7) == b"written"
        process.stdin.write(b"x")
        process.stdin.close()
        events = [json.loads(line) for line in log_file]
    numbers = [event["number"] for event in events if event["event"] == "line"]
    assert numbers == list(range(len(numbers)))
    (dropped,) = (event for event in events if event["event"] == "log_lines_dropped")
    assert len(numbers) + dropped["count"] >= 20_000
    assert events[-1]["event"] == "later"
