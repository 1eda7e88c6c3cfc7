"""The words of a credential spoil answers, and the ledger tells what a client did about it."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen, run
from threading import Thread
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from gateway.simulators.app import create_app
from gateway.simulators.behaviour import Behaviour
from tests.support.process import ROOT

ASK = {"model": "some-model", "messages": [{"role": "user", "content": "hello"}]}


def post(sim_url: str, key: str, *, timeout: float = 10, simulate: str = "", **body: Any) -> Any:
    return requests.post(
        f"{sim_url}/openai/v1/chat/completions",
        json=ASK | body,
        headers={"Authorization": f"Bearer {key}", "X-Simulate": simulate},
        stream=bool(body.get("stream")),
        timeout=timeout,
    )


def lines(response: Any) -> Iterator[str]:
    return (line.decode() for line in response.iter_lines(chunk_size=1) if line)


def words(response: Any) -> Iterator[str]:
    for line in lines(response):
        delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
        if delta.get("content"):
            yield delta["content"]


@contextmanager
def open_stream(sim_url: str, key: str) -> Iterator[Any]:
    with post(sim_url, key, stream=True) as response:
        yield response


@pytest.mark.parametrize(
    ("credential", "header", "expected"),
    [
        ("sk-sim-empty", "", {"empty": 20}),
        ("ark-slow200-cut", "", {"slow": 200, "cut": 2}),
        ("plain", "cut, slow=50", {"cut": 2, "slow": 50}),
        ("SK_Video10", "", {"video": 10}),
        ("ark-3f0c8a52-7d1e-4b6a-9c2f-5e8d7a1b4c60-abcde", "", {}),
        ("emptyish-recut", "", {}),
    ],
)
def test_words_are_read_from_credential_and_header(credential, header, expected):
    behaviour = Behaviour.of(credential, {"X-Simulate": header})
    assert dict(behaviour.words) == expected


def test_number_of_a_word_that_was_not_given_is_its_default():
    assert Behaviour.of("plain", {}).number("video") == 2


def test_header_changes_one_request_only(sim_url, key):
    assert post(sim_url, key, simulate="empty=3").headers["Retry-After"] == "3"
    assert post(sim_url, key).status_code == 200


def test_cut_breaks_a_body_off_in_the_middle(sim_url, key):
    with pytest.raises(requests.RequestException):
        post(sim_url, f"{key}-cut")


def test_cut_breaks_a_stream_off_after_so_many_pieces(sim_url, key, simulators):
    before = simulators.ledger()["streams"]["cut"]
    got = []
    with open_stream(sim_url, f"{key}-cut3") as stream, pytest.raises(requests.RequestException):
        got.extend(words(stream))
    assert got == ["This", " is", " turn"]
    simulators.until(lambda seen: seen["streams"]["cut"] == before + 1)


def test_stream_with_the_word_ended_is_complete_for_the_transport_only(sim_url, key):
    with open_stream(sim_url, f"{key}-ended1") as stream:
        frames = list(lines(stream))
    assert len(frames) == 2
    assert "[DONE]" not in frames[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_truncated_answer_is_half_of_its_json(sim_url, key, stream):
    answer = post(sim_url, f"{key}-truncated", stream=stream)
    text = answer.text.removeprefix("data: ")
    assert answer.status_code == 200
    assert text.startswith("{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_html_page_comes_with_status_200(sim_url, key):
    answer = post(sim_url, f"{key}-html")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")


def test_malformed_frame_follows_the_first_piece(sim_url, key):
    with open_stream(sim_url, f"{key}-malformed") as stream:
        frames = list(lines(stream))
    with pytest.raises(json.JSONDecodeError):
        json.loads(frames[2].removeprefix("data: "))


def test_lost_call_is_counted_but_not_answered(sim_url, key, ledger):
    with pytest.raises(requests.ConnectionError):
        post(sim_url, f"{key}-lost")
    assert ledger()["operations"][f"{key}-lost"] == {"openai.chat": 1}


@pytest.mark.parametrize("word", ["hang", "long5"])
def test_silent_vendor_sends_no_status_and_notices_a_client_that_leaves(
    sim_url, key, word, simulators
):
    credential = f"{key}-{word}"
    with pytest.raises(requests.Timeout):
        post(sim_url, credential, timeout=0.3)
    simulators.until(lambda seen: credential not in seen["in_flight"])


@pytest.mark.parametrize("word", ["stall1", "endless-slow10", "gated", "slow5000"])
def test_client_that_leaves_a_stream_is_counted_as_aborted(sim_url, key, word, simulators):
    credential = f"{key}-{word}"
    before = simulators.ledger()["streams"]["aborted"]
    with open_stream(sim_url, credential) as stream:
        received = stream.iter_content(64)
        assert next(received)
        assert simulators.ledger()["in_flight"][credential] == 1
    simulators.until(lambda seen: credential not in seen["in_flight"])
    assert simulators.ledger()["streams"]["aborted"] > before


def test_long_answer_comes_complete_after_its_wait(sim_url, key):
    answer = post(sim_url, f"{key}-long1")
    assert answer.elapsed.total_seconds() >= 1
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


def test_gated_stream_sends_what_was_released(sim_url, key, simulators):
    credential = f"{key}-gated"
    with open_stream(sim_url, credential) as stream:
        pieces = words(stream)
        for expected in ("This", " is"):
            simulators.release(credential)
            assert next(pieces) == expected
        query = {"credential": credential}
        simulators.release(credential, 100)
        assert len(list(lines(stream))) > 2
    sent = requests.get(f"{sim_url}/_control/waiting", params=query, timeout=10).json()
    assert sent == {"sent": 11}


def test_words_make_an_answer_as_long_as_asked(sim_url, key):
    answer = post(sim_url, f"{key}-words500").json()
    assert len(answer["choices"][0]["message"]["content"].split()) == 500
    assert answer["usage"]["completion_tokens"] == 500


def test_echoed_credential_is_in_the_error_message(sim_url, key):
    answer = post(sim_url, f"{key}-echo-wrong").json()
    assert f"{key}-echo-wrong" in answer["error"]["message"]


def test_requests_are_listed_with_bodies_cut_short(sim_url, key, simulators):
    content = "x" * 5000
    post(sim_url, key, messages=[{"role": "user", "content": content}])
    (seen,) = simulators.requests_of(key)
    assert (seen["operation"], seen["status"]) == ("openai.chat", 200)
    assert seen["body"]["messages"][0]["content"] == "x" * 200 + "…"
    assert seen["headers"]["user-agent"].startswith("python-requests")
    assert "requests" not in simulators.ledger(requests_too=False)


def test_one_call_after_another_is_never_two_in_flight(sim_url, key, ledger):
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"
        for number in range(20):
            url = f"{sim_url}/openai/v1/chat/completions"
            body = ASK | {"stream": bool(number % 2)}
            assert session.post(url, json=body, timeout=10).status_code == 200
    assert ledger()["max_in_flight"][key] == 1


@pytest.fixture
def in_process() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_app_in_a_thread_of_another_process_behaves_the_same(in_process, key):
    with open_stream(in_process, key) as stream:
        assert list(lines(stream))[-1] == "data: [DONE]"
    with (
        open_stream(in_process, f"{key}-cut1") as stream,
        pytest.raises(requests.RequestException),
    ):
        list(lines(stream))
    ledger = requests.get(f"{in_process}/_ledger", timeout=10).json()
    assert ledger["calls"] == {key: 1, f"{key}-cut1": 1}
    assert ledger["streams"] == {"open": 0, "aborted": 0, "finished": 1, "cut": 1}


def test_reset_forgets_everything(in_process, key):
    post(in_process, key)
    requests.post(f"{in_process}/_control/reset", timeout=10)
    ledger = requests.get(f"{in_process}/_ledger", timeout=10).json()
    assert (ledger["calls"], ledger["requests"]) == ({}, [])


def test_process_of_a_parent_that_drains_outlives_signals_until_its_input_ends(key):
    command = [sys.executable, "-m", "gateway.simulators", "--port", "0", "--until-eof"]
    with Popen(command, stdin=PIPE, stdout=PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("simulators on ").strip()
        for number in (signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            assert post(url, key).status_code == 200
        process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.parametrize("port", ["taken", "65536", "x"])
def test_a_port_that_is_taken_is_reported_in_one_line(port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = port.replace("taken", str(taken.getsockname()[1]))
        command = [sys.executable, "-m", "gateway.simulators", "--port", wanted]
        ended = run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "--port" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
