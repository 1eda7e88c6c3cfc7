"""What media cost a worker: memory, processor time, and how long others wait meanwhile.

    python -m bench.media [--only WORD]

One gunicorn worker, the simulators as its vendors, everything on loopback. Prints a table
and, last, JSON. `grown` is the peak of resident memory above what the worker had before;
`slowest` the slowest answer of /health beside the work; `stood` how much of such an answer
the worker's main thread was busy: what others wait for the work, whatever else runs here.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bench.machine import described, free_port, running, tree
from tests.support.hostile import BOMBS, ODD, STRANGERS, noise_film
from tests.support.media import MediaServer, data_url
from tests.support.watch import Watch

ROOT = Path(__file__).parent.parent
ENGINE = "projects/bench/locations/global/collections/default_collection/engines/app"
ARK, OPENAI = "doubao", "openai/m"
GEMINI, ENTERPRISE = "gemini/gemini-3.8-flash", "gemini-enterprise"
MB = 1_000_000
_DATA_URL_BYTES = 25 * MB
_FILM_BYTES = 100 * MB


@dataclass(frozen=True)
class Server:
    url: str
    pid: int  # of its worker

    def ask(self, kind: str, url: str, model: str) -> None:
        part = {"type": f"{kind}_url", f"{kind}_url": {"url": url}}
        body = {"model": model, "messages": [{"role": "user", "content": [part]}]}
        answer = requests.post(f"{self.url}/v1/chat/completions", json=body, timeout=300)
        if answer.status_code >= 500:
            sys.exit(f"bench: {answer.text}")

    def upload(self, data: bytes) -> str:
        files = {"file": ("film.mp4", data)}
        answer = requests.post(f"{self.url}/v1/files", files=files, timeout=300)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def download(self, file_id: str) -> None:
        url = f"{self.url}/v1/files/{file_id}/content"
        with requests.get(url, stream=True, timeout=300) as answer:
            for _ in answer.iter_content(MB):
                pass


@contextmanager
def started(folder: Path) -> Iterator[Server]:
    vendor, port = free_port(), free_port()
    simulators = [sys.executable, "-m", "gateway.simulators", "--port", str(vendor)]
    here = {"PYTHONPATH": str(ROOT)}
    with running(simulators, log=folder / "vendors.log", env=here, cwd=ROOT):
        base = f"http://127.0.0.1:{vendor}"
        _wait(vendor)
        account = requests.get(
            f"{base}/_control/service-account",
            params={"email": "bench@test.iam.gserviceaccount.com"},
            timeout=10,
        ).text
        settings = {
            **here,
            "ARK_BASE_URL": f"{base}/ark/api/v3",
            "ARK_API_KEYS": "ark-bench",
            "GEMINI_BASE_URL": f"{base}/gemini",
            "GEMINI_API_KEYS": "AIza-bench",
            "OPENAI_BASE_URL": f"{base}/openai/v1",
            "OPENAI_API_KEYS": "sk-bench",
            "GEMINI_ENTERPRISE_BASE_URL": f"{base}/gemini-enterprise",
            "GEMINI_ENTERPRISE_ENGINE": ENGINE,
            "GEMINI_ENTERPRISE_CREDENTIALS": account,
            "GATEWAY_ALLOW_PRIVATE_URLS": "127.0.0.1",
            "GATEWAY_POOL_ACCESS": "open",
            "GATEWAY_RATE_LIMIT": "1000000/minute",
            "GATEWAY_MAX_BODY_MB": "200",
            "WEB_CONCURRENCY": "1",
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        command = [sys.executable, "-m", "gunicorn", "-c", ROOT / "gunicorn.conf.py", "wsgi:app"]
        with running(command, log=folder / "log", env=settings, cwd=folder) as process:
            _wait(port)
            url = f"http://127.0.0.1:{port}"
            requests.get(f"{url}/health", timeout=60)  # then the worker is the only child
            yield Server(url, tree(process.pid)[1])


def _wait(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.05)
    sys.exit("bench: a server does not start")


Work = Callable[[Server], Any]


def works(site: MediaServer) -> Iterator[tuple[str, int, Work]]:
    """What is done, the bytes it is about, and how."""
    embedded = data_url(noise_film(_DATA_URL_BYTES * 3 // 4), "video/mp4")
    for model in (ARK, GEMINI, ENTERPRISE):
        name = f"a data URL of 25 MB to {model}"
        yield name, len(embedded), lambda at, m=model: at.ask("video", embedded, m)
    for model in (GEMINI, ENTERPRISE):
        name = f"a film of 100 MB by link to {model}"
        yield name, _FILM_BYTES, lambda at, m=model: at.ask("video", f"{site.url}/a.mp4", m)
    film = noise_film(_FILM_BYTES)
    yield "an upload of 100 MB", len(film), lambda at: at.upload(film)
    yield "three uploads of 100 MB", 3 * len(film), lambda at: _side_by_side(at.upload, film, 3)
    yield "a download of 100 MB", len(film), lambda at: at.download(at.upload(film))
    for name, data in {**BOMBS, **ODD}.items():
        url = data_url(data)
        yield f"a picture ten times: {name}", len(url), lambda at, u=url: _shown(at, [u] * 10)
    urls = [data_url(data) for data in STRANGERS.values()]
    yield f"{len(urls)} that are no pictures", sum(map(len, urls)), lambda at: _shown(at, urls)


def _shown(server: Server, urls: list[str]) -> None:
    for url in urls:
        server.ask("image", url, GEMINI)


def _side_by_side(call: Callable[[bytes], Any], data: bytes, times: int) -> None:
    with ThreadPoolExecutor(times) as crowd:
        list(crowd.map(call, [data] * times))


def measured(server: Server, work: Work, size: int) -> dict[str, float]:
    with Watch(server.pid, server.url) as seen:
        started_at = time.perf_counter()
        work(server)
        took_s = time.perf_counter() - started_at
    return {
        "bytes": size,
        "grown_mb": round(seen.grown / MB, 1),
        "grown_per_byte": round(seen.grown / max(size, 1), 2),
        "cpu_s": round(seen.cpu_s, 2),
        "took_s": round(took_s, 2),
        "slowest_ms": round(seen.slowest_s * 1000),
        "stood_ms": round(seen.stood_s * 1000),
    }


def table(found: dict[str, dict[str, float]]) -> str:
    head = "| | MB | grown, MB | CPU, s | slowest /health, ms | of it stood, ms |"
    rows = [
        f"| {name} | {row['bytes'] / MB:.2f} | {row['grown_mb']} | {row['cpu_s']} "
        f"| {row['slowest_ms']} | {row['stood_ms']} |"
        for name, row in found.items()
    ]
    return "\n".join([head, "|---|" + "--:|" * 5, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.media",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--only", default="", help="what has this word in its name")
    only = parser.parse_args().only
    found: dict[str, dict[str, float]] = {}
    linked = {".mp4": ("video/mp4", noise_film(_FILM_BYTES))}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        MediaServer.started(linked) as site,
        started(Path(folder)) as server,
    ):
        for model in (ARK, GEMINI, ENTERPRISE, OPENAI):
            server.ask("image", f"{site.url}/warm.png", model)
        for name, size, work in works(site):
            if only in name:
                found[name] = measured(server, work, size)
    print(table(found))
    print(json.dumps({"machine": described(), "media": found}, indent=1))


if __name__ == "__main__":
    main()
