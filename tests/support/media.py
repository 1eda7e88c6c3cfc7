"""Images and videos to send, and a web server to link to them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from types import MappingProxyType

from PIL import Image

from gateway.simulators.media.videos import generate_video


def png(width: int = 64, height: int = 48, colour: str = "teal") -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def jpeg(width: int = 64, height: int = 48, colour: str = "orange") -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "JPEG")
    return out.getvalue()


def mp4() -> bytes:
    return generate_video(320, 240, 2)


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


@dataclass
class MediaServer:
    """Serves `.mp4` a video, `.jpg` a JPEG, `.html` a page, else a PNG.

    `missing` is a 404, `late` is one at first.
    """

    url: str
    hits: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def started(
        cls, more: Mapping[str, tuple[str, bytes]] = MappingProxyType({})
    ) -> Iterator[MediaServer]:
        answers = {
            ".mp4": ("video/mp4", mp4()),
            ".jpg": ("image/jpeg", jpeg(400, 300)),
            ".png": ("image/png", png(400, 300)),
            ".html": ("text/html", b"<html><body>no image</body></html>"),
            **more,
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found.hits.append(self.path)
                kind, body = next(
                    (answer for end, answer in answers.items() if self.path.endswith(end)),
                    answers[".png"],
                )
                late = "late" in self.path and found.hits.count(self.path) == 1
                self.send_response(404 if late or "missing" in self.path else 200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        found = cls(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()
            server.server_close()
