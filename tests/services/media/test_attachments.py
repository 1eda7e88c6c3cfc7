"""Pictures, links and files in requests become what their bytes are."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest

from gateway.domain.errors import (
    InvalidBase64,
    InvalidImageUrl,
    InvalidRequest,
    NotFound,
    UnsupportedMediaType,
)
from gateway.domain.media import Media, MediaRef
from gateway.domain.requests import ChatRequest, ImageRequest, Message, Text, VideoRequest
from gateway.formats.blobs import FileBlob
from tests.services.media.kit import (
    ALICE,
    BOB,
    HTML,
    M4A,
    MP4,
    PDF,
    WAV,
    Source,
    asking,
    content,
    digest,
    picture,
    ref,
    resolve,
)
from tests.support.media import data_url


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
from gateway.net.fetch.fetcher import Fetcher
from gateway.services.media.media import MediaService
from gateway.services.media.urls import MediaUrls
from gateway.storage.media.open import open_media_store
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


def test_a_file_of_somebody_else_does_not_exist(media, files):
    file = files.create([picture()], filename="a.png", purpose="vision", caller=ALICE)
    messages = []
    for file_id in (file.id, "file-unknown"):
        with pytest.raises(NotFound) as caught:
            resolve(media, MediaRef("image", "part", file_id=file_id), caller=BOB)
        assert caught.value.param == "part"
        messages.append(caught.value.message.replace(file_id, "ID"))
    assert messages[0] == messages[1]
