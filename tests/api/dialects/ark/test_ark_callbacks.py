"""Ark's callbacks, and the time after which a task expires."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import requests

TASKS = "/api/v3/contents/generations/tasks"
VIDEO = "doubao-seedance-1-0-pro-250528"
CONTENT = [{"type": "text", "text": "waves"}]


@contextmanager
def listening(statuses=(200,)):
    """A server that answers its n-th POST with the n-th status, and what it got."""
    received: Queue[Any] = Queue()
    answers = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((self.headers["Content-Type"], json.loads(body)))
            self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/told?token=x", received
    finally:
        server.shutdown()
        server.server_close()


def created(gateway, key, **options):
    body = {"model": VIDEO, "content": CONTENT, **options}
    answer = gateway.post(TASKS, body, key=key)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def test_each_state_is_told_in_arks_form(gateway):
    with listening() as (url, received):
        task_id = created(gateway, "ark-callback", callback_url=url)
        told = [received.get(timeout=20) for _ in range(3)]
    assert {kind for kind, _ in told} == {"application/json"}
    tasks = [task for _, task in told]
    assert [task["status"] for task in tasks] == ["queued", "running", "succeeded"]
    assert {task["id"] for task in tasks} == {task_id}
    assert tasks[-1] == gateway.get(f"{TASKS}/{task_id}", key="ark-callback").json() | {
        "content": tasks[-1]["content"]
    }
    video = requests.get(tasks[-1]["content"]["video_url"], timeout=30)
    assert video.content[4:8] == b"ftyp"


def test_an_end_that_is_not_acknowledged_is_told_again(gateway):
    with listening((200, 200, 500, 204)) as (url, received):
        created(gateway, "ark-failed-callback", callback_url=url)
        states = [received.get(timeout=20)[1]["status"] for _ in range(4)]
    assert states == ["queued", "running", "failed", "failed"]


def test_no_callback_reaches_a_private_address(gateway_factory):
    with (
        listening() as (url, received),
        gateway_factory.started(workers=1, GATEWAY_ALLOW_PRIVATE_URLS="off") as running,
    ):
        task_id = created(running, "ark-guarded", callback_url=url)
        job = f"/v1/jobs/{task_id.replace('cgt-', 'video_')}"
        while running.get(job, key="ark-guarded").json()["status"] not in ("completed", "failed"):
            time.sleep(0.05)
        while not running.events("callback_failed"):
            time.sleep(0.05)
        assert received.empty()
        assert running.get(job, key="ark-guarded").json()["status"] == "completed"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("callback_url", "ftp://example.com/"),
        ("callback_url", 7),
        ("execution_expires_after", 60),
        ("execution_expires_after", "an hour"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(gateway, field, value):
    answer = gateway.post(TASKS, {"model": VIDEO, "content": CONTENT, field: value})
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


def test_the_vendor_is_told_when_a_task_expires(gateway, simulators):
    key = "ark-expired-task"
    task_id = created(gateway, key, execution_expires_after=7200)
    while (task := gateway.get(f"{TASKS}/{task_id}", key=key).json())["status"] in (
        "queued",
        "running",
    ):
        time.sleep(0.05)
    (order,) = [
        r["body"] for r in simulators.requests_of(key) if r["operation"] == "ark.videos.create"
    ]
    assert order["execution_expires_after"] == task["execution_expires_after"] == 7200
    assert (task["status"], task["error"]["code"]) == ("expired", "InternalServiceError")
    assert "callback_url" not in order
