"""Attachments that a vendor takes one by one are sent side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, Event, Thread

import pytest

from gateway.domain.errors import GatewayError
from gateway.upstreams.uploads import uploads
from tests.support.process import ROOT
from tests.upstreams.conftest import Vendor, a_jpeg, a_png, an_mp4
from tests.upstreams.enterprise_support import ACCOUNT, DONE, SESSION, chat_of, events_of, user


class Assistant:
    """Answers an upload when another one is under way; names files after what they are called."""

    def __init__(self) -> None:
        self.meeting = Barrier(2)
        self.asked: list[dict] = []
        self.refuse = ""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                status, answer = self.answer(handler.path, json.loads(body))
                content = json.dumps(answer).encode()
                handler.send_response(status)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            def do_DELETE(handler) -> None:
                handler.send_response(200)
                handler.send_header("Content-Length", "2")
                handler.end_headers()
                handler.wfile.write(b"{}")

            def log_message(handler, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, body: dict) -> tuple[int, object]:
        if path.endswith("/sessions"):
            return 200, {"name": SESSION}
        if path.endswith(":addContextFile"):
            self.meeting.wait(20)
            if body["fileName"] == self.refuse:
                error = {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}
                return 400, {"error": error}
            return 200, {"fileId": f"id-of-{body['fileName']}"}
        self.asked.append(body)
        return 200, [DONE]


@pytest.fixture
def assistant() -> Iterator[Assistant]:
    found = Assistant()
    thread = Thread(target=found.server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def test_files_arrive_side_by_side_and_keep_their_order(open_vendor, assistant) -> None:
    vendor: Vendor = open_vendor("gemini-enterprise", base_url=assistant.url)
    pictures = [a_png(9, 9, filename="z.png"), a_png(8, 8, filename="a.png")]
    more = [a_jpeg(), an_mp4()]
    events_of(vendor, chat_of(user(*pictures, "Compare"), user(*more, "And these")), ACCOUNT)
    assert assistant.asked[0]["fileIds"][:2] == ["id-of-z.png", "id-of-a.png"]
    assert len(assistant.asked[0]["fileIds"]) == 4


def test_one_file_that_is_refused_ends_the_request(open_vendor, assistant) -> None:
    vendor: Vendor = open_vendor("gemini-enterprise", base_url=assistant.url)
    assistant.refuse = "a.png"
    pictures = [a_png(9, 9, filename="z.png"), a_png(8, 8, filename="a.png")]
    with pytest.raises(GatewayError):
        events_of(vendor, chat_of(user(*pictures, "Compare")), ACCOUNT)
    assert assistant.asked == []


def test_an_upload_that_nobody_waits_for_reads_no_further() -> None:
    failed, went_on = Event(), Event()

    def upload(media, over: Event) -> None:
        if media.width == 8:
            raise GatewayError("no")
        pieces = media.blob.base64()
        over.wait(20)
        try:
            list(pieces)
            went_on.set()
        except GatewayError:
            failed.set()
            raise

    with pytest.raises(GatewayError, match="no"):
        uploads(upload, [a_png(9, 9), a_png(8, 8)])
    assert failed.wait(20)
    assert not went_on.is_set()


HANGING = """
from gevent import monkey
monkey.patch_all()
import gevent
from gevent.event import Event
from gateway.upstreams.uploads import uploads
from tests.upstreams.conftest import a_png

under_way = Event()

def upload(media, over):
    under_way.set()
    gevent.sleep(1000)

caller = gevent.spawn(uploads, upload, [a_png(8, 8), a_png(9, 9)])
under_way.wait()
caller.kill()
"""


def test_an_upload_that_hangs_does_not_keep_the_process_from_ending() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], cwd=ROOT, timeout=60, check=False)
    assert ended.returncode == 0
