"""Every dialect over every vendor when an answer breaks, when the client leaves, when all ends."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.api.dialects.speakers import SPEAKERS
from tests.support.gateway import GatewayFactory
from tests.support.simulators import Simulators

VENDORS = {
    "doubao": "ark",
    "gemini/gemini-3.8-flash": "AIza",
    "test-model": "sk",
}
BREAKS = [
    (model, way)
    for model in VENDORS
    for way in ("cut2", "ended2", "malformed", "errorline2")
    if (model, way) != ("doubao", "errorline2")  # Ark has no such line
]
in_each_dialect = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)


@pytest.fixture(scope="module")
def vendors():
    with Simulators.started() as running:
        yield running


@pytest.fixture(scope="module")
def factory(tmp_path_factory, vendors):
    return GatewayFactory(tmp_path_factory, vendors)


@in_each_dialect
@pytest.mark.parametrize("model", [*VENDORS, "gemini-enterprise"])
def test_a_whole_stream_says_what_a_whole_answer_says(gateway, speaker, model):
    asked = speaker.request(gateway.url, model, "pooled")
    data = requests.post(**asked).content
    assert speaker.complete(data), data
    assert "Hello" in speaker.said(data)
    events = list(speaker.events(data))
    assert len(set().union(*map(speaker.ids, events))) == 1
    assert not any(map(speaker.error, events))


@in_each_dialect
@pytest.mark.parametrize(("model", "way"), BREAKS)
def test_a_broken_stream_ends_with_the_dialects_own_error(gateway, speaker, model, way):
    key = f"{VENDORS[model]}-{way}-words40-{speaker.name.replace(' ', '')}"
    answer = requests.post(**speaker.request(gateway.url, model, key))
    assert answer.status_code == 200
    assert not speaker.complete(answer.content)
    *before, last = speaker.events(answer.content)
    assert speaker.error(last), last
    assert not any(map(speaker.error, before))
    assert len(set().union(*map(speaker.ids, [*before, last]))) <= 1
    assert b"[DONE]" not in answer.content


@in_each_dialect
@pytest.mark.parametrize(("model", "way"), BREAKS)
def test_a_broken_answer_is_no_shorter_answer(gateway, speaker, model, way):
    key = f"{VENDORS[model]}-{way}-truncated-words40"
    answer = requests.post(**speaker.request(gateway.url, model, key, stream=False))
    assert answer.status_code >= 500, answer.text
    assert "error" in answer.json()


@pytest.fixture(scope="module")
def waiting(gateway_factory):
    """A gateway that sends a heartbeat every second."""
    with gateway_factory.started(workers=1, GATEWAY_HEARTBEAT_S="1") as running:
        yield running


@in_each_dialect
def test_silences_are_filled_in_the_dialects_own_form(waiting, simulators, speaker):
    key = f"ark-gated-silent-{speaker.name.replace(' ', '')}"
    asked = speaker.request(waiting.url, "doubao", key)
    with requests.post(**asked, stream=True) as answer:
        chunks = answer.iter_content(None)
        before = until_silent(speaker, chunks)
        simulators.release(key, 2)
        amid = until_silent(speaker, chunks)
        simulators.release(key, 1000)
        data = b"".join([*before, *amid, *chunks])
    assert answer.status_code == 200
    assert b'"' in b"".join(amid)
    assert speaker.complete(data), data
    assert "Hello" in speaker.said(data)
    assert len(set().union(*map(speaker.ids, speaker.events(data)))) == 1


def until_silent(speaker, chunks):
    """The chunks up to the second heartbeat."""
    found, left = [], 2
    while left:
        found.append(next(chunks))
        left -= found[-1].startswith(speaker.heartbeat)
    return found


@pytest.fixture(scope="module")
def endless(factory, vendors):
    """A gateway over vendors that talk without an end, two words a second."""
    account = vendors.service_account("pool-endless-slow200-left@x.test")
    with factory.started(
        workers=1,
        ARK_API_KEYS="ark-endless-slow200-left",
        GEMINI_API_KEYS="AIza-endless-slow200-left",
        OPENAI_API_KEYS="sk-endless-slow200-left",
        GEMINI_ENTERPRISE_CREDENTIALS=account,
    ) as running:
        yield running


@in_each_dialect
@pytest.mark.parametrize("model", [*VENDORS, "gemini-enterprise"])
def test_a_client_that_leaves_a_stream_stops_the_vendor(endless, vendors, speaker, model):
    aborted = vendors.ledger(requests_too=False)["streams"]["aborted"]
    asked = speaker.request(endless.url, model, "")
    with requests.post(**asked, stream=True) as answer:
        assert answer.status_code == 200
        next(answer.iter_content(None))
    vendors.until(lambda now: now["streams"]["aborted"] > aborted and idle(now), within_s=2)


@in_each_dialect
@pytest.mark.parametrize("model", [*VENDORS, "gemini-enterprise"])
def test_a_client_that_leaves_before_its_answer_stops_the_vendor(endless, vendors, speaker, model):
    key = f"{VENDORS[model]}-hang-left" if model in VENDORS else ""
    asked = speaker.request(endless.url, model, key, stream=False)
    with ThreadPoolExecutor(1) as threads:
        leaving = threads.submit(requests.post, **asked | {"timeout": 1})
        vendors.until(lambda now: not idle(now), within_s=1)
        assert isinstance(leaving.exception(), requests.ReadTimeout)
    vendors.until(idle, within_s=2)


def idle(ledger):
    return not (ledger["in_flight"] or ledger["streams"]["open"] or ledger["sessions"]["open"])


def test_the_end_of_the_server_ends_each_dialects_streams_with_its_own_error(factory, vendors):
    account = vendors.service_account("pool-endless-slow200-drained@x.test")
    with factory.started(GEMINI_ENTERPRISE_CREDENTIALS=account) as gateway:
        with ThreadPoolExecutor(len(SPEAKERS)) as threads:
            begun = [threads.submit(read, gateway, speaker) for speaker in SPEAKERS]
            vendors.until(lambda ledger: ledger["streams"]["open"] == len(SPEAKERS), within_s=30)
            gateway.process.send_signal(signal.SIGTERM)
            answers = [answer.result() for answer in begun]
        gateway.process.wait(25)
    for speaker, data in zip(SPEAKERS, answers, strict=True):
        *before, last = speaker.events(data)
        assert "restarting" in (speaker.error(last) or ""), (speaker.name, last)
        assert before
        assert not speaker.complete(data)
    vendors.until(lambda ledger: not ledger["sessions"]["open"], within_s=2)


def read(gateway, speaker):
    return requests.post(**speaker.request(gateway.url, "gemini-enterprise", "")).content
