"""A real directory, a real database, a real web server to fetch from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.domain.accounts import Secret
from gateway.domain.media import StoredMedia
from gateway.net.fetch.fetcher import Fetcher
from gateway.services.media.files import FileService
from gateway.services.media.media import MediaService
from gateway.services.media.urls import MediaUrls
from gateway.storage.db.engine import Database
from gateway.storage.media.open import open_media_store
from gateway.storage.records.files import FileStore
from gateway.storage.records.media_index import MediaIndex
from tests.services.media.kit import (
    Clock,
    Site,
    Source,
    picture,
)


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            if self.path.startswith("/drip"):
                self._drip()
                return
            if self.path.startswith("/meet"):
                found.meeting.wait(20)
            body = found.pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def _drip(self) -> None:
            """Send a picture that never ends, until nobody reads it any more."""
            self.send_response(200)
            self.end_headers()
            try:
                self.wfile.write(picture())
                found.dripping.release()
                for _ in range(2000):
                    self.wfile.write(b"x" * 1000)
                    time.sleep(0.01)
            except OSError:
                found.left.release()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def urls(clock) -> MediaUrls:
    return MediaUrls([Secret("secret")], clock=clock)


@pytest.fixture
def store(tmp_path):
    return open_media_store(f"file:{tmp_path / 'media'}")


@pytest.fixture
def records(tmp_path, clock) -> Iterator[tuple[MediaIndex, FileStore]]:
    database = Database(f"sqlite:///{tmp_path / 'gateway.db'}")
    database.migrate()
    yield MediaIndex(database, clock=clock), FileStore(database, clock=clock)
    database.close()


@pytest.fixture
def make(store, records, urls, clock):
    def media(**options: object) -> MediaService:
        index, files = records
        fetcher = Fetcher(allow_private="127.0.0.1")
        fixed = {"store": store, "index": index, "files": files, "fetcher": fetcher}
        return MediaService(**{**fixed, "urls": urls, "clock": clock, **options})

    return media


@pytest.fixture
def media(make) -> MediaService:
    return make()


@pytest.fixture
def make_files(store, records, clock):
    def files(**limits: int) -> FileService:
        index, file_store = records
        return FileService(store=store, index=index, files=file_store, clock=clock, **limits)

    return files


@pytest.fixture
def files(make_files) -> FileService:
    return make_files()


@pytest.fixture
def kept(media) -> StoredMedia:
    return media.archive(Source([picture()]), "alice")
