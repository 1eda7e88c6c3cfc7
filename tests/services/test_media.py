"""Media in and out: a real directory, a real database, a real web server to fetch from."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.domain.accounts import Caller, Secret
from gateway.domain.errors import (
    Forbidden,
    InvalidBase64,
    InvalidImageUrl,
    InvalidRequest,
    NotFound,
    RequestTooLarge,
    UnsupportedMediaType,
    UpstreamDisconnected,
    UpstreamInvalidResponse,
)
from gateway.domain.media import Media, MediaRef, StoredMedia
from gateway.domain.requests import ChatRequest, ImageRequest, Message, Text, VideoRequest
from gateway.net.blobs import FileBlob
from gateway.net.fetch import Fetcher
from gateway.services.files import FileService
from gateway.services.media import MediaService
from gateway.services.media_resolve import MediaLimits
from gateway.services.media_urls import MediaUrls, derive_key
from gateway.stores.database import Database
from gateway.stores.files import FileStore
from gateway.stores.media import open_media_store
from gateway.stores.media_index import MediaIndex

ALICE, BOB = Caller("alice"), Caller("bob")
DAY = 86_400
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(1000)
M4A = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(50)
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(100)
PDF = b"%PDF-1.7\n" + bytes(100)
HTML = b"<!doctype html><p>no picture"


def picture(width: int = 64, height: int = 48, colour: str = "red", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, form)
    return file.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def ref(url: str, kind: str = "image", param: str = "image", **more: object) -> MediaRef:
    return MediaRef(kind, param, url=url, **more)


def asking(*refs: MediaRef) -> ImageRequest:
    return ImageRequest("m", "p", images=refs)


def content(blob) -> bytes:
    return b"".join(blob.chunks())


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A web server whose paths are answered by functions; it remembers what was asked for."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(3))
    dripping: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    left: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


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


@dataclass
class Source:
    """A vendor's result."""

    chunks: list[bytes | Exception]
    mime_type: str = "image/png"
    url: str | None = None

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        yield self._read()

    def _read(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


def resolve(media: MediaService, *refs: MediaRef, caller: Caller = ALICE) -> list[Media]:
    with media.resolved(asking(*refs), caller) as request:
        return list(request.images)


def bytes_of(media: MediaService, link: MediaRef, *, caller: Caller = ALICE) -> bytes:
    with media.resolved(asking(link), caller) as request:
        return content(request.images[0].blob)


# Attachments


def test_attachments_of_every_kind_arrive_in_order(media, files, site):
    linked, uploaded, kept = (picture(colour=c) for c in ("green", "blue", "black"))
    site.pages["/a.png"] = linked
    file = files.create([uploaded], filename="b.png", purpose="vision", caller=ALICE)
    own = media.sign(media.archive(Source([kept]), "alice"), base="http://gateway.example")
    first = Message("user", (Text("look"), ref(data_url(picture())), ref(f"{site.url}/a.png")))
    last = Message(
        "user", (MediaRef("image", "f", file_id=file.id, detail="low"), ref(own), Text("and this"))
    )
    plain = Message("assistant", (Text("well"),))
    with media.resolved(ChatRequest("m", (first, plain, last)), ALICE) as request:
        parts = [part for message in request.messages for part in message.parts]
        pictures = [part for part in parts if isinstance(part, Media)]
        assert [content(p.blob) for p in pictures] == [picture(), linked, uploaded, kept]
        assert [p.digest for p in pictures] == [digest(content(p.blob)) for p in pictures]
        assert {(p.kind, p.mime_type, p.width, p.height) for p in pictures} == {
            ("image", "image/png", 64, 48)
        }
        assert [p.url for p in pictures] == [None, f"{site.url}/a.png", None, None]
        assert (pictures[2].filename, pictures[2].detail) == ("b.png", "low")
        assert [type(part) for part in parts] == [Text, Media, Media, Text, Media, Media, Text]
        assert request.messages[1] is plain


def test_a_request_without_attachments_is_handed_on_as_it_is(media):
    request = ChatRequest("m", (Message("user", (Text("hi"),)),))
    with media.resolved(request, ALICE) as resolved:
        assert resolved is request


def test_masks_and_frames_are_resolved_too(media):
    image, mask = ref(data_url(picture())), ref(data_url(picture(colour="white")), param="mask")
    with media.resolved(ImageRequest("m", "p", (image,), mask=mask), ALICE) as edit:
        assert content(edit.mask.blob) == picture(colour="white")
        assert content(edit.images[0].blob) == picture()
    with media.resolved(VideoRequest("m", "p", (image, mask)), ALICE) as video:
        assert [frame.width for frame in video.images] == [64, 64]


def test_a_link_repeated_in_later_turns_is_fetched_once(media, site):
    site.pages["/a.png"] = picture()
    turns = tuple(Message("user", (ref(f"{site.url}/a.png"),)) for _ in range(5))
    with media.resolved(ChatRequest("m", turns), ALICE) as request:
        assert len({id(message.parts[0].blob) for message in request.messages}) == 1
    assert site.asked == ["/a.png"]


def test_several_links_are_fetched_side_by_side(media, site):
    # Each answer waits for the other two requests.
    links = [f"/meet{number}.png" for number in range(3)]
    site.pages |= {link: picture(colour="white") for link in links}
    assert len(resolve(media, *(ref(site.url + link) for link in links))) == 3


def test_a_link_that_fails_stops_the_others(media, site):
    with pytest.raises(InvalidImageUrl) as caught:
        resolve(
            media,
            ref(f"{site.url}/drip1", param="first"),
            ref(f"{site.url}/missing", param="second"),
            ref(f"{site.url}/drip2", param="third"),
        )
    assert caught.value.param == "second"
    for _ in range(site.asked.count("/drip1") + site.asked.count("/drip2")):
        assert site.left.acquire(timeout=20)


def test_a_caller_that_leaves_stops_its_downloads(site):
    # As under gunicorn's gevent worker: the request's greenlet is ended from outside.
    code = f"""
from gevent import monkey
monkey.patch_all()
import gevent, sys, tempfile
from gateway.domain.accounts import Caller, Secret
from gateway.domain.media import MediaRef
from gateway.domain.requests import ImageRequest
from gateway.net.fetch import Fetcher
from gateway.services.media import MediaService
from gateway.services.media_urls import MediaUrls
from gateway.stores.media import open_media_store
media = MediaService(
    store=open_media_store("file:" + tempfile.gettempdir()), index=None, files=None,
    fetcher=Fetcher(allow_private="127.0.0.1"), urls=MediaUrls([Secret("s")]))
refs = tuple(MediaRef("image", "p", url="{site.url}/drip%d" % number) for number in range(2))
def serve():
    with media.resolved(ImageRequest("m", "p", images=refs), Caller("alice")):
        pass
wait_for_line = lambda: gevent.get_hub().threadpool.apply(sys.stdin.readline)
request = gevent.spawn(serve)
wait_for_line()
request.kill()
print("left", flush=True)
wait_for_line()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert site.dripping.acquire(timeout=60)
        assert site.dripping.acquire(timeout=60)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "left\n"
        assert site.left.acquire(timeout=20)
        assert site.left.acquire(timeout=20)
        process.communicate("\n", timeout=60)


def test_files_behind_attachments_are_closed_with_the_request(media, site):
    large = picture() + os.urandom(3_000_000)
    site.pages["/large.png"] = large
    with media.resolved(asking(ref(f"{site.url}/large.png")), ALICE) as request:
        blob = request.images[0].blob
        assert isinstance(blob, FileBlob)
        assert content(blob) == large
        assert blob.close.alive
    assert not blob.close.alive


@pytest.mark.parametrize(
    "url",
    [
        data_url(picture(form="JPEG"), "image/jpg"),
        data_url(picture(), "image/jpeg"),
        data_url(picture(), "text/html"),
        data_url(picture(), "image/svg+xml;charset=utf-8"),
        data_url(picture(), ""),
        data_url(picture()).replace("data:", "DATA:").replace("base64", "BASE64"),
        f"  {data_url(picture())}\n",
        base64.b64encode(picture()).decode(),
        base64.encodebytes(picture()).decode(),
    ],
    ids=lambda url: repr(url[:30]),
)
def test_embedded_pictures_are_what_their_bytes_say(media, url):
    (found,) = resolve(media, ref(url))
    assert found.mime_type == ("image/jpeg" if "jpg" in url[:20] else "image/png")
    assert (found.width, found.height) == (64, 48)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", InvalidImageUrl),
        ("picture.png", InvalidImageUrl),
        ("example.com/a-picture-with-a-long-name-in-a-folder.png", InvalidImageUrl),
        ("//127.0.0.1/a.png", InvalidImageUrl),
        ("/etc/passwd", InvalidImageUrl),
        ("file:///etc/passwd", InvalidImageUrl),
        ("ftp://127.0.0.1/a.png", InvalidImageUrl),
        ("gs://bucket/a.png", InvalidImageUrl),
        ("jar:http://127.0.0.1!/a.png", InvalidImageUrl),
        ("blob:http://127.0.0.1/1", InvalidImageUrl),
        ("http:/", InvalidImageUrl),
        ("http://[::1", InvalidImageUrl),
        ("http://10.0.0.1/a.png", InvalidImageUrl),
        ("data:image/png", InvalidImageUrl),
        ("data:image/png,rawbytes", InvalidBase64),
        ("data:image/png;base64,", InvalidBase64),
        ("data:image/png;base64,aGk=!!!!", InvalidBase64),
        ("data:image/png;base64,aGkha", InvalidBase64),
        ("data:image/png;base64,a-_k", InvalidBase64),
        ("data:image/png;base64,\u0661\u0662\u0663\u0664", InvalidBase64),
        ("data:image/png;base64,aGk=\ud800", InvalidBase64),
        (base64.b64encode(picture()).decode()[:-3], InvalidBase64),
        (data_url(b"hi"), UnsupportedMediaType),
        (data_url(HTML), UnsupportedMediaType),
        (data_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), UnsupportedMediaType),
        (data_url(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), UnsupportedMediaType),
        (data_url(b"8BPS\0\1" + bytes(100)), UnsupportedMediaType),
        (data_url(b"DDS " + bytes(200)), UnsupportedMediaType),
        (data_url(b"SIMPLE  =                    T"), UnsupportedMediaType),
        (data_url(b"\0\0\1\0\1\0" + bytes(100)), UnsupportedMediaType),
        (data_url(PDF), UnsupportedMediaType),
        (data_url(MP4), UnsupportedMediaType),
        (data_url(WAV), UnsupportedMediaType),
        (data_url(picture()[:20]), UnsupportedMediaType),
        (data_url(picture(form="AVIF")), UnsupportedMediaType),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, str) else value.__name__,
)
def test_what_is_no_picture_is_refused_by_name(media, url, error):
    with pytest.raises(InvalidRequest) as caught:
        resolve(media, ref(data_url(picture())), ref(url, param="messages[0].content[1]"))
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content[1]")


@pytest.mark.parametrize("page", [HTML, b"", picture()[:10]])
def test_a_link_to_something_else_than_a_picture_is_refused(media, site, page):
    site.pages["/a.png"] = page
    with pytest.raises(InvalidRequest) as caught:
        resolve(media, ref(f"{site.url}/a.png", param="here"))
    assert (caught.value.status, caught.value.param) == (400, "here")


@pytest.mark.parametrize(
    ("sent_as", "data", "kind", "mime_type"),
    [
        ("file", picture(), "image", "image/png"),
        ("file", MP4, "video", "video/mp4"),
        ("file", WAV, "audio", "audio/wav"),
        ("file", PDF, "file", "application/pdf"),
        ("file", "Grüße, 世界".encode(), "file", "text/plain"),
        ("file", ("世界" * 4000).encode(), "file", "text/plain"),
        ("video", MP4, "video", "video/mp4"),
        ("audio", WAV, "audio", "audio/wav"),
        ("audio", M4A, "audio", "audio/mp4"),
    ],
)
def test_a_file_becomes_what_it_is(media, sent_as, data, kind, mime_type):
    (found,) = resolve(media, ref(data_url(data, "x/y"), sent_as))
    assert (found.kind, found.mime_type) == (kind, mime_type)


@pytest.mark.parametrize(
    ("sent_as", "data"),
    [
        ("file", b"PK\3\4" + bytes(100)),
        ("file", b"\xff\xfe\0\0binary"),
        ("file", picture()[:20]),
        ("video", picture()),
        ("video", WAV),
        ("audio", picture()),
        ("audio", PDF),
    ],
)
def test_a_file_of_no_use_to_a_model_is_refused(media, sent_as, data):
    with pytest.raises(UnsupportedMediaType):
        resolve(media, ref(data_url(data), sent_as))


# Limits


def test_an_attachment_beyond_its_kinds_limit_is_refused(make, files, site):
    media = make(limits=MediaLimits(image=1000, video=2000, file=500))
    large = picture() + bytes(1000)
    site.pages["/large.png"] = large
    file = files.create([large], filename="a", purpose="vision", caller=ALICE)
    kept = media.sign(media.archive(Source([large]), "alice"))
    for url in (f"{site.url}/large.png", data_url(large), base64.b64encode(large).decode(), kept):
        with pytest.raises(RequestTooLarge) as caught:
            resolve(media, ref(url, param="p"))
        assert caught.value.param == "p"
    with pytest.raises(RequestTooLarge):
        resolve(media, MediaRef("image", "p", file_id=file.id))
    assert resolve(media, ref(data_url(MP4), "video"))
    with pytest.raises(RequestTooLarge):
        resolve(media, ref(data_url(MP4), "file"))


def test_white_space_in_base64_does_not_count_towards_the_limit(make):
    data = picture()
    media = make(limits=MediaLimits(image=len(data)))
    text = "\n ".join(base64.b64encode(data).decode())
    assert resolve(media, ref(f"data:image/png;base64,{text}"))[0].blob.size == len(data)


def test_attachments_are_bounded_together(make, site):
    pictures = [picture(colour=colour) for colour in ("red", "green", "blue")]
    site.pages |= {f"/{number}": data for number, data in enumerate(pictures)}
    media = make(limits=MediaLimits(request_bytes=len(pictures[0]) * 2))
    for links in ([data_url(p) for p in pictures], [f"{site.url}/{n}" for n in range(3)]):
        assert resolve(media, *map(ref, links[:2]), ref(links[0]))
        with pytest.raises(RequestTooLarge):
            resolve(media, *map(ref, links))


def test_different_attachments_are_limited_in_number(make):
    media = make(limits=MediaLimits(request_count=2))
    urls = [data_url(picture(colour=colour)) for colour in ("red", "green", "blue")]
    assert resolve(media, *map(ref, urls[:2] * 10))
    with pytest.raises(InvalidRequest, match="at most 2"):
        resolve(media, *map(ref, urls))


# Hostile pictures


def png_claiming(width: int, height: int) -> bytes:
    """A 1-bit PNG whose pixels would fill memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compressobj(9)
    row = bytes(width // 8 + 1)
    data = b"".join([*(rows.compress(row) for _ in range(height)), rows.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def animated(frames: int, form: str) -> bytes:
    file = io.BytesIO()
    stills = [Image.new("P", (8, 8), number % 256) for number in range(frames)]
    stills[0].save(file, form, save_all=True, append_images=stills[1:], duration=10)
    return file.getvalue()


def gif_of(frames: int) -> bytes:
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    return b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + frame * frames + b";"


HOSTILE = {
    "12000 squared": png_claiming(12_000, 12_000),
    "14000 squared": png_claiming(14_000, 14_000),
    "huge claim": png_claiming(8, 8).replace(
        struct.pack(">II", 8, 8), struct.pack(">II", 2**31 - 1, 2**31 - 1)
    ),
    "no pixels": png_claiming(8, 8).replace(struct.pack(">II", 8, 8), struct.pack(">II", 0, 8)),
    "gif of 65535 squared": gif_of(20_000),
    "jpeg of 65500 squared": b"\xff\xd8\xff\xc0\0\x11\x08"
    + struct.pack(">HH", 65500, 65500)
    + bytes(20),
    "jpeg of segments": b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000,
    "jpeg of padding": b"\xff\xd8" + b"\xff" * 5_000_000,
    "webp of 16383 squared": b"RIFF\xff\xff\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2,
    "bmp with a negative size": b"BM"
    + bytes(12)
    + struct.pack("<Iii", 40, -5, 2**31 - 1)
    + bytes(30),
    "tiff pointing outside": b"II*\0" + struct.pack("<I", 0xFFFFFFF0) + bytes(20),
    "tiff pointing at itself": b"II*\0" + struct.pack("<IH", 8, 65535) + b"\x08\0" * 5000,
    **{f"png cut at {n}": picture()[:n] for n in (8, 9, 16, 20, 23)},
    **{f"jpeg cut at {n}": picture(form="JPEG")[:n] for n in (3, 4, 30, 150)},
    **{f"{form} cut": picture(form=form)[:9] for form in ("GIF", "TIFF")},
    "webp cut": picture(form="WEBP")[:22],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("sent_as", ["image", "file"])
def test_hostile_pictures_are_refused_from_their_header(media, name, sent_as):
    url = data_url(HOSTILE[name])
    began = time.process_time()
    with pytest.raises(UnsupportedMediaType) as caught:
        resolve(media, ref(url, sent_as, param="here"))
    assert time.process_time() - began < 2
    assert caught.value.param == "here"


def test_animations_of_many_frames_are_not_played(media, make):
    url = data_url(animated(2000, "GIF"))
    began = time.process_time()
    (found,) = resolve(media, ref(url))
    assert (found.mime_type, found.width) == ("image/gif", 8)
    assert time.process_time() - began < 2


@settings(deadline=None)
@given(
    st.sampled_from([picture(form=f) for f in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")]),
    st.data(),
)
def test_pictures_with_flipped_bytes_are_taken_or_refused(data, draw):
    # The service's stores are not reached by embedded pictures.
    media = MediaService(
        store=None, index=None, files=None, fetcher=None, urls=MediaUrls([Secret("s")])
    )
    broken = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(st.integers(0, min(len(broken), 200) - 1))
        broken[at] = draw.draw(st.integers(0, 255))
    end = draw.draw(st.integers(1, len(broken)))
    with suppress(UnsupportedMediaType):
        resolve(media, ref(data_url(bytes(broken[:end])), "file"))


# Uploaded files as attachments


def test_a_file_of_somebody_else_does_not_exist(media, files):
    file = files.create([picture()], filename="a.png", purpose="vision", caller=ALICE)
    messages = []
    for file_id in (file.id, "file-unknown"):
        with pytest.raises(NotFound) as caught:
            resolve(media, MediaRef("image", "part", file_id=file_id), caller=BOB)
        assert caught.value.param == "part"
        messages.append(caught.value.message.replace(file_id, "ID"))
    assert messages[0] == messages[1]


# Our own links


@pytest.fixture
def kept(media) -> StoredMedia:
    return media.archive(Source([picture()]), "alice")


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "https://anything.example/below", ""])
def test_our_own_links_are_read_from_the_store(media, kept, base):
    # Whoever was given the link may use it, and no network is asked.
    link = ref(media.sign(kept, base=base))
    assert bytes_of(media, link, caller=BOB) == picture()
    (found,) = resolve(media, link, caller=BOB)
    assert (found.digest, found.width, found.url) == (kept.id, 64, None)


def test_an_expired_link_in_the_history_still_serves_its_owner(media, kept, clock):
    link = ref(media.sign(kept, base="http://127.0.0.1:1"), param="here")
    clock.now += 60 * DAY
    assert bytes_of(media, link) == picture()
    with pytest.raises(InvalidImageUrl) as caught:
        resolve(media, link, caller=BOB)
    assert caught.value.param == "here"


def test_a_stored_name_alone_serves_its_owner(media, kept):
    link = ref(f"/media/{kept.name}")
    assert bytes_of(media, link) == picture()
    with pytest.raises(InvalidImageUrl):
        resolve(media, link, caller=BOB)


def test_a_changed_link_of_ours_is_not_fetched(make, kept, site, clock):
    public = MediaUrls([Secret("secret")], public_url=site.url, clock=clock)
    media = make(urls=public)
    forged = re.sub(r"sig=.{5}", "sig=AAAAA", media.sign(kept))
    with pytest.raises(InvalidImageUrl):
        resolve(media, ref(forged), caller=BOB)
    assert site.asked == []


def test_a_link_that_only_looks_like_ours_is_fetched(media, site):
    path = f"/media/{'a' * 64}.png?exp=99999999999&sig={'A' * 43}"
    site.pages[path] = picture(colour="white")
    assert bytes_of(media, ref(site.url + path)) == picture(colour="white")


def test_a_link_to_what_was_removed_is_refused(media, store, kept):
    store.delete(kept)
    for link in (media.sign(kept), f"/media/{kept.name}"):
        with pytest.raises(InvalidImageUrl):
            resolve(media, ref(link))


# Generated media


def test_generated_media_are_kept_for_their_owner(media, store):
    stored = media.archive(Source([picture()[:10], picture()[10:]]), "alice")
    assert (stored.mime_type, stored.width, stored.height) == ("image/png", 64, 48)
    with media.open(stored, 1, 4) as chunks:
        assert b"".join(chunks) == b"PNG"
    assert content(media.blob(stored)) == picture()
    assert media.owned(stored.id, ALICE) == stored
    assert media.presigned(stored) is None


def test_media_of_somebody_else_do_not_exist(media, kept):
    for media_id, caller in [(kept.id, BOB), ("0" * 64, ALICE), ("../x", ALICE), ("", ALICE)]:
        with pytest.raises(NotFound, match="There is no such media"):
            media.owned(media_id, caller)
    media.archive(Source([picture()]), "bob")
    assert media.owned(kept.id, BOB) == media.owned(kept.id, ALICE)


@pytest.mark.parametrize("answer", [HTML, b"", b'{"error": "expired"}'])
def test_a_result_that_is_no_media_is_the_vendors_fault(media, answer):
    with pytest.raises(UpstreamInvalidResponse):
        media.archive(Source([answer]), "alice")
    with pytest.raises(NotFound):
        media.owned(digest(answer), ALICE)


def test_a_result_that_breaks_off_is_not_kept(media, store):
    with pytest.raises(UpstreamDisconnected):
        media.archive(Source([picture(), UpstreamDisconnected("gone")]), "alice")
    assert list(store.entries()) == []


def test_a_result_without_end_is_the_vendors_fault(make, store):
    media = make(limits=MediaLimits(generated=1000))
    with pytest.raises(UpstreamInvalidResponse):
        media.archive(Source([picture(), *[bytes(100)] * 20]), "alice")
    assert list(store.entries()) == []


# Signatures


def parts_of(link: str) -> tuple[str, str, str, str]:
    match = re.fullmatch(r".*/media/(\w+)\.(\w+)\?exp=(\d+)&sig=([\w-]+)", link)
    return match[1], match[2], match[3], match[4]


def test_a_signed_link_stands_for_its_media(media, kept):
    found = media.verify(*parts_of(media.sign(kept, base="https://gateway.example")))
    assert (found.name, found.mime_type, found.size) == (kept.name, kept.mime_type, kept.size)


def test_links_are_below_the_public_url_or_that_of_the_request(kept, urls):
    assert urls.sign(kept).startswith(f"/media/{kept.name}?")
    assert urls.sign(kept, base="http://a:8000/").startswith(f"http://a:8000/media/{kept.name}?")
    public = MediaUrls([Secret("s")], public_url="https://b/gateway/")
    assert public.sign(kept, base="http://a").startswith(f"https://b/gateway/media/{kept.name}?")


def test_links_are_equal_within_an_hour_and_last_at_least_as_long_as_promised(kept, clock):
    urls = MediaUrls([Secret("s")], ttl_s=DAY, clock=clock)
    clock.now = 1_800_000_000 // 3600 * 3600
    first = urls.sign(kept)
    clock.now += 3599
    assert urls.sign(kept) == first
    clock.now += 1
    assert urls.sign(kept) != first
    name, (*_, expires, signature) = kept.name, parts_of(first)
    clock.now += DAY - 3600
    urls.check(name, expires, signature)
    clock.now += 2 * 3600
    with pytest.raises(Forbidden, match="expired"):
        urls.check(name, expires, signature)


def test_an_expired_link_is_forbidden_and_a_removed_one_not_found(media, store, kept, clock):
    link = parts_of(media.sign(kept))
    store.delete(kept)
    with pytest.raises(NotFound):
        media.verify(*link)
    clock.now += 31 * DAY
    with pytest.raises(Forbidden):
        media.verify(*link)


def test_links_of_an_earlier_key_are_believed_until_it_goes(kept, clock):
    old, new = Secret("old"), Secret("new")
    name, (*_, expires, signature) = kept.name, parts_of(MediaUrls([old]).sign(kept))
    MediaUrls([new, old]).check(name, expires, signature)
    assert parts_of(MediaUrls([new, old]).sign(kept)) == parts_of(MediaUrls([new]).sign(kept))
    with pytest.raises(Forbidden):
        MediaUrls([new]).check(name, expires, signature)


@pytest.mark.parametrize("keys", [[], [Secret("")], [Secret("good"), Secret("")]])
def test_an_empty_key_signs_nothing(keys):
    with pytest.raises(ValueError, match="not empty"):
        MediaUrls(keys)


def test_every_purpose_has_a_key_of_its_own():
    secret = Secret("secret")
    keys = {derive_key(secret, purpose) for purpose in ("media links", "sessions", "tokens")}
    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)
    assert derive_key(secret, "sessions") == derive_key(Secret("secret"), "sessions")


SIGNER = MediaUrls([Secret("secret")])
ENTRY = StoredMedia("ab" * 32, "png", "image/png", 1)
GENUINE = parts_of(SIGNER.sign(ENTRY))


@settings(deadline=None)
@given(st.tuples(*[st.one_of(st.just(part), st.text()) for part in GENUINE]))
def test_any_other_link_is_forbidden(parts):
    media_id, extension, expires, signature = parts
    if parts == GENUINE:
        SIGNER.check(f"{media_id}.{extension}", expires, signature)
    else:
        with pytest.raises(Forbidden):
            SIGNER.check(f"{media_id}.{extension}", expires, signature)


@settings(deadline=None)
@given(st.integers(0, 3), st.data())
def test_one_changed_character_is_enough_to_forbid(which, draw):
    parts = list(GENUINE)
    at = draw.draw(st.integers(0, len(parts[which]) - 1))
    character = draw.draw(st.characters().filter(lambda c: c != parts[which][at]))
    parts[which] = parts[which][:at] + character + parts[which][at + 1 :]
    media_id, extension, expires, signature = parts
    with pytest.raises(Forbidden):
        SIGNER.check(f"{media_id}.{extension}", expires, signature)


@settings(deadline=None)
@given(st.text())
def test_no_text_upsets_the_search_for_our_own_links(text):
    SIGNER.recognise(text)
    SIGNER.recognise(f"http://{text}/media/{ENTRY.name}?{text}")


# Sweeping


def test_media_nobody_used_for_long_are_swept(make, store, clock):
    media = make(keep_s=10 * DAY)
    old = media.archive(Source([picture()]), "alice")
    used = media.archive(Source([picture(colour="blue")]), "alice")
    clock.now += 6 * DAY
    media.owned(used.id, ALICE)
    assert media.sweep() == 0
    clock.now += 6 * DAY
    new = media.archive(Source([picture(colour="green")]), "alice")
    assert media.sweep() == 1
    assert {entry.media.name for entry in store.entries()} == {used.name, new.name}
    with pytest.raises(NotFound):
        media.owned(old.id, ALICE)


def test_an_attachment_of_our_own_counts_as_use(make, clock, kept):
    media = make(keep_s=10 * DAY)
    clock.now += 6 * DAY
    resolve(media, ref(media.sign(kept)))
    clock.now += 6 * DAY
    assert media.sweep() == 0


def test_the_least_recently_used_media_go_when_there_is_too_much(make, store, clock):
    media = make(max_bytes=2 * len(picture()) + 10)
    stored = []
    for colour in ("red", "green", "blue", "black"):
        stored.append(media.archive(Source([picture(colour=colour)]), "alice"))
        clock.now += 2 * 3600
    assert media.sweep() > 0
    assert {entry.media.id for entry in store.entries()} < {s.id for s in stored}
    assert store.usage() <= 2 * len(picture()) + 10
    assert media.owned(stored[-1].id, ALICE)


def test_media_in_use_stay_even_when_there_is_too_much(make, store):
    media = make(max_bytes=1)
    stored = media.archive(Source([picture()]), "alice")
    assert media.sweep() == 0
    assert media.owned(stored.id, ALICE)


def test_what_files_need_is_never_swept(make, files, store, clock):
    media = make(keep_s=DAY, max_bytes=1)
    file = files.create([picture()], filename="a.png", purpose="vision", caller=ALICE)
    clock.now += 30 * DAY
    assert media.sweep() == 0
    assert files.content(file.id, ALICE)[1].size == len(picture())
    files.delete(file.id, ALICE)
    assert media.sweep() == 1
    assert list(store.entries()) == []


def test_entries_that_no_record_knows_are_swept_in_time(make, store, clock):
    media = make(keep_s=10 * DAY)
    stray = store.put([picture()], limit=10_000)
    kept = media.archive(Source([picture(colour="blue")]), "alice")
    clock.now += 5 * DAY
    media.owned(kept.id, ALICE)
    assert media.sweep() == 0
    clock.now += 6 * DAY
    assert make(keep_s=10 * DAY).sweep() == 1
    assert store.find(stray.id, "png") is None
    assert store.find(kept.id, "png")


# Files


def test_a_file_is_created_listed_read_and_deleted(files, media):
    data = picture()
    made = files.create([data], filename="cat.png", purpose="vision", caller=ALICE)
    assert made.id.startswith("file-")
    assert (made.filename, made.purpose, made.size) == ("cat.png", "vision", len(data))
    assert (made.mime_type, made.expires_at) == ("image/png", None)
    assert files.get(made.id, ALICE) == made
    assert files.list(ALICE) == ([made], False)
    record, stored = files.content(made.id, ALICE)
    with media.open(stored) as chunks:
        assert (record, b"".join(chunks)) == (made, data)
    files.delete(made.id, ALICE)
    for act in (files.get, files.content, files.delete):
        with pytest.raises(NotFound):
            act(made.id, ALICE)


def test_files_of_somebody_else_do_not_exist(files):
    made = files.create([picture()], filename="a", purpose="vision", caller=ALICE)
    for act in (files.get, files.content, files.delete):
        messages = set()
        for file_id in (made.id, "file-unknown"):
            with pytest.raises(NotFound) as caught:
                act(file_id, BOB)
            messages.add(caught.value.message.replace(file_id, "ID"))
        assert len(messages) == 1
    assert files.list(BOB) == ([], False)
    assert files.get(made.id, ALICE) == made


def test_deleting_a_file_leaves_an_equal_one_alone(files, media):
    mine = files.create([picture()], filename="a", purpose="vision", caller=ALICE)
    theirs = files.create([picture()], filename="b", purpose="vision", caller=BOB)
    files.delete(mine.id, ALICE)
    media.sweep()
    _, stored = files.content(theirs.id, BOB)
    assert content(media.blob(stored)) == picture()


def test_files_are_listed_by_age_and_page(files, clock):
    made = []
    for number in range(5):
        purpose = "vision" if number % 2 else "user_data"
        made.append(files.create([b"x%d" % number], filename="a", purpose=purpose, caller=ALICE))
        clock.now += 1
    assert files.list(ALICE, limit=2) == (made[:2:-1], True)
    assert files.list(ALICE, limit=3, after=made[3].id) == (made[2::-1], False)
    assert files.list(ALICE, order="asc", limit=5) == (made, False)
    assert files.list(ALICE, purpose="vision", order="asc") == ([made[1], made[3]], False)
    with pytest.raises(InvalidRequest) as caught:
        files.list(ALICE, order="sideways")
    assert caught.value.param == "order"


def test_a_file_expires(files, media, clock):
    made = files.create(
        [picture()], filename="a", purpose="vision", expires_after_s=3600, caller=ALICE
    )
    assert made.expires_at == pytest.approx(clock.now + 3600)
    clock.now += 3601
    media.sweep()
    with pytest.raises(NotFound):
        files.get(made.id, ALICE)


@pytest.mark.parametrize("seconds", [-1, 0, 3599, 30 * DAY + 1, 10**30])
def test_a_life_out_of_bounds_is_refused(files, seconds):
    with pytest.raises(InvalidRequest) as caught:
        files.create([b"x"], filename="a", purpose="p", expires_after_s=seconds, caller=ALICE)
    assert caught.value.param == "expires_after[seconds]"


@pytest.mark.parametrize("purpose", ["", " ", "a b", "A", "x" * 65, "\n", "<b>", "vision\n"])
def test_a_purpose_is_a_word(files, purpose):
    with pytest.raises(InvalidRequest) as caught:
        files.create([b"x"], filename="a", purpose=purpose, caller=ALICE)
    assert caught.value.param == "purpose"


def test_an_empty_file_is_refused(files):
    with pytest.raises(InvalidRequest, match="empty"):
        files.create([], filename="a", purpose="vision", caller=ALICE)
    assert files.list(ALICE) == ([], False)


def test_files_are_bounded_each_and_together(make_files, store):
    files = make_files(max_bytes=100, owner_bytes=250, owner_count=4)
    with pytest.raises(RequestTooLarge, match="larger than 100"):
        files.create([bytes(101)], filename="a", purpose="p", caller=ALICE)
    for number in range(2):
        files.create([b"%d" % number * 100], filename="a", purpose="p", caller=ALICE)
    with pytest.raises(RequestTooLarge, match="50 are left"):
        files.create([bytes(51)], filename="a", purpose="p", caller=ALICE)
    files.create([bytes(60)], filename="a", purpose="p", caller=BOB)
    for _ in range(2):
        files.create([bytes(10)], filename="a", purpose="p", caller=ALICE)
    with pytest.raises(InvalidRequest, match="4 files already"):
        files.create([b"x"], filename="a", purpose="p", caller=ALICE)
    assert store.usage() == 270


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("a\0b\r\nc.png", "abc.png"),
        ("gnp\u202e.exe", "gnp.exe"),
        ("猫 \U0001f408.png", "猫 \U0001f408.png"),
        ("x" * 10_000, "x" * 255),
        ("\ud800.png", ".png"),
    ],
)
def test_a_file_keeps_the_visible_last_part_of_its_name(files, given_name, shown):
    made = files.create([b"x"], filename=given_name, purpose="p", caller=ALICE)
    assert made.filename == shown


@pytest.mark.parametrize("nameless", ["", "..", "/", "\0", " / ", "a/."])
def test_a_file_without_a_name_is_named_by_its_content(files, nameless):
    made = files.create([b"x"], filename=nameless, purpose="p", caller=ALICE)
    assert made.filename == f"{digest(b'x')}.bin"
