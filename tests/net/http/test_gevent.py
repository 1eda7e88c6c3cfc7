"""The same under gevent, which production runs on; the tests themselves run on threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATCHED = "from gevent import monkey; monkey.patch_all()\n"

SUITE = """
import sys, pytest
sys.exit(pytest.main([*sys.argv[1:], "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]))
"""


def under_gevent(code: str, *arguments: str) -> str:
    """The output of a process with patched sockets, threads and sleep."""
    run = subprocess.run(
        [sys.executable, "-c", PATCHED + code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("subject", ["http", "tls", "fetch", "lookups"])
def test_what_holds_with_threads_holds_with_greenlets(subject):
    assert "100%" in under_gevent(
        SUITE, *map(str, (ROOT / "tests/net").rglob(f"test_{subject}*.py"))
    )


TURNS = """
import gevent, time
from gateway.domain.timeouts import Timeouts
from gateway.net.http.exchange import Exchange
from gateway.formats.blobs import BytesBlob, decode_base64

class Ready:
    '''A connection that always has room and always has data, so that nothing ever waits.'''
    head = b"HTTP/1.1 200 OK\\r\\nContent-Length: 33554432\\r\\n\\r\\n"
    def settimeout(self, seconds): pass
    def send(self, data): return len(data)
    def sendall(self, data): pass
    def close(self): pass
    def recv(self, size):
        head, self.head = self.head, b""
        return head or b"x" * size

turns = 0
def other():
    global turns
    while True:
        turns += 1
        gevent.sleep(0)

def counted(work):
    before = turns
    work()
    return turns - before

gevent.spawn(other)
exchange = Exchange("host", Ready(), timeouts=Timeouts(), deadline=time.monotonic() + 60,
                    reused=False, keep=lambda *_: None)
print(counted(lambda: exchange.start("POST", b"head", b"x" * 33554432)))
print(counted(lambda: list(exchange.chunks())))
print(counted(lambda: decode_base64("aGkh" * 4_000_000, limit=100_000_000)))
"""


ASIDE = """
from gateway.domain.errors import UnsupportedMediaType
from gateway.formats.blobs import BytesBlob
from gateway.formats.convert import convert_image
try:
    convert_image(BytesBlob(b"GIF89a"), "image/gif")
except UnsupportedMediaType as err:
    print(err.code)
"""


LEAVING = """
import gevent
from gevent.monkey import get_original
from gateway.domain.errors import UnsupportedMediaType
from gateway.formats.blobs import RandomBlob
from gateway.formats.convert import convert_image

lock = get_original("_thread", "allocate_lock")()
lock.acquire()
begun = []

class Held(RandomBlob):
    size = 100
    def read_at(self, offset, size):
        begun.append(self)
        with lock:
            return b""

def convert():
    try:
        convert_image(Held(), "image/gif")
    except UnsupportedMediaType:
        pass

def until_begun(count):
    with gevent.Timeout(60):
        while len(begun) < count:
            gevent.sleep(0.01)

gone = [gevent.spawn(convert) for _ in range(2)]
until_begun(2)
gevent.killall(gone)
others = [gevent.spawn(convert) for _ in range(2)]
gevent.sleep(0.3)
print(len(begun))
lock.release()
gevent.joinall(others)
print(len(begun))
"""


def test_images_whose_callers_have_left_count_until_they_are_converted():
    assert under_gevent(LEAVING).split() == ["2", "4"]


def test_an_error_on_another_thread_is_only_raised():
    run = subprocess.run(
        [sys.executable, "-c", PATCHED + ASIDE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert (run.stdout, run.stderr) == ("unsupported_media_type\n", "")


def test_work_that_never_waits_lets_other_greenlets_run():
    sending, receiving, decoding = map(int, under_gevent(TURNS).split())
    assert sending >= 32
    assert receiving >= 32
    assert decoding >= 15


SLOW_NAMES = """
import _socket, threading
from gevent.monkey import get_original
from gateway.domain.errors import GatewayError
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.runtime.cooperative import run_in_thread

lock = get_original("_thread", "allocate_lock")()
lock.acquire()
known = _socket.getaddrinfo

def look_up(host, *args, **options):
    if host.startswith("slow"):
        with lock:
            pass
    return known("127.0.0.1", *args, **options)

_socket.getaddrinfo = look_up
fetcher = Fetcher(connect_s=0.3)

def fetch(url, **options):
    try:
        with fetcher.open(url, limit=1, **options):
            pass
    except GatewayError as err:
        print(err.code, flush=True)

callers = [threading.Thread(target=fetch, args=(f"http://slow{n}.test/",)) for n in range(40)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(run_in_thread(lambda: "the disk"), flush=True)
for name, reach in {
    "the vendor": lambda: Http().send("GET", "http://vendor.test:9/", headers={}).read(),
    "its pictures": lambda: fetcher.open("http://pictures.test/", limit=1, vendor=True).__enter__(),
}.items():
    try:
        reach()
    except GatewayError as err:
        print(name, err, flush=True)
lock.release()
"""


def test_slow_names_of_callers_hold_up_neither_the_disk_nor_the_vendors():
    *refused, disk, vendor, pictures = under_gevent(SLOW_NAMES).splitlines()
    assert refused == ["invalid_image_url"] * 40
    assert disk == "the disk"
    assert vendor.startswith("the vendor vendor.test: No connection")
    assert pictures == "its pictures pictures.test: The host is not a public web server"
