"""What callers are told of when to come back, against when the account is really back."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from zoneinfo import ZoneInfo

import pytest

PACIFIC = ZoneInfo("America/Los_Angeles")
REST_S = 40.0


def google(**detail):
    return {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [detail]}}


def midnight_s():
    tomorrow = datetime.now(PACIFIC) + timedelta(days=1)
    return tomorrow.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() - time.time()


def per_day(scope):
    quota = {"quotaId": f"GenerateRequestsPerDayPerProject{scope}-FreeTier"}
    return google(violations=[quota])


# By model: the vendor's status, headers and body.
ANSWERS = {
    "seconds": lambda: (429, {"Retry-After": f"{REST_S:.0f}"}, {}),
    "millis": lambda: (429, {"retry-after-ms": f"{REST_S * 1000:.0f}"}, {}),
    "date": lambda: (429, {"Retry-After": formatdate(time.time() + REST_S, usegmt=True)}, {}),
    "refused": lambda: (401, {}, {"error": {"message": "no such key"}}),
    "failing": lambda: (500, {}, {"error": {"message": "oops"}}),
    "gemini-info": lambda: (429, {}, google(retryDelay=f"{REST_S}s")),
    "gemini-daily": lambda: (429, {}, per_day("")),
    "gemini-model": lambda: (429, {}, per_day("PerModel")),
}


class Vendor(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        named = re.search(r"/models/([\w-]+):", self.path)
        status, headers, answer = ANSWERS[named[1] if named else json.loads(body)["model"]]()
        payload = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(payload))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def gateway(gateway_factory):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    accounts = [
        f'[[accounts]]\nname = "{model}"\nupstream = "{upstream}"\n'
        f'credential = "{upstream}-key-of-{model}"\nmodels = ["{model}"]\n'
        for model in ANSWERS
        for upstream in ["gemini" if model.startswith("gemini") else "openai"]
    ]
    settings = {"OPENAI_BASE_URL": f"{url}/v1", "GEMINI_BASE_URL": url}
    settings["OPENAI_MODELS"] = ",".join(m for m in ANSWERS if not m.startswith("gemini"))
    toml = "\n".join(accounts)
    with gateway_factory.started(accounts=False, workers=2, toml=toml, **settings) as running:
        yield running
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("model", "rest_s", "status"),
    [
        ("seconds", REST_S, 429),
        ("millis", REST_S, 429),
        ("date", REST_S, 429),
        ("refused", 300.0, 502),
        ("failing", 30.0, 429),
        ("gemini-info", REST_S, 429),
        ("gemini-daily", None, 429),
        ("gemini-model", None, 429),
    ],
)
def test_callers_are_told_to_the_second_when_the_account_is_back(gateway, model, rest_s, status):
    began = last_began = time.monotonic()
    gateway.chat(model=model)
    if model == "failing":  # each worker counts the failures that it saw
        while gateway.chat(model=model).status_code != 429:
            assert time.monotonic() - began < rest_s
    ended = time.monotonic()
    rest_s = midnight_s() + time.monotonic() - ended if rest_s is None else rest_s
    soonest, latest = last_began + rest_s, ended + rest_s
    if model == "date":  # which is in whole seconds, and cut off
        soonest -= 1
    assert ended - began < rest_s, "too slow a machine for this test"
    time.sleep(0.4)  # into a second, where rounding shows

    def ask(_):
        asked = time.monotonic()
        answer = gateway.chat(model=model)
        return asked, answer, time.monotonic()

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(ask, range(8)))
    for asked, answer, answered in found:
        assert answer.status_code == status, answer.text
        told_s = int(answer.headers["Retry-After"])
        assert soonest - answered <= told_s <= latest - asked + 1
