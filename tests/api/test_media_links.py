"""Links to stored media, as browsers, players and strangers ask for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from openai import OpenAI

from tests.support.media import png

UPLOAD = png(300, 200)


@pytest.fixture(scope="module")
def link(gateway) -> str:
    answer = gateway.post("/v1/images/generations", {"prompt": "a cat"})
    return answer.json()["data"][0]["url"]


@pytest.fixture(scope="module")
def whole(link) -> requests.Response:
    return requests.get(link, timeout=10)


@pytest.fixture(scope="module")
def uploaded(gateway) -> str:
    answer = requests.post(
        f"{gateway.url}/v1/files",
        files={"file": ("a.png", UPLOAD, "image/png")},
        data={"purpose": "vision"},
        timeout=10,
    )
    return f"{gateway.url}/v1/files/{answer.json()['id']}/content"


def ask(url: str, method: str = "GET", **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, url, headers=named, timeout=10, allow_redirects=False)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, None),
        ("bytes=-5", -5, None),
        ("bytes=5-99999999", 5, None),
        ("bytes=0-99999999999999999999", 0, None),
    ],
)
def test_a_range_is_a_part_of_the_whole(link, whole, asked, start, end):
    part = ask(link, Range=asked)
    assert part.status_code == 206
    assert part.content == whole.content[start:end]
    size = len(whole.content)
    first = start % size
    assert part.headers["Content-Range"] == f"bytes {first}-{first + len(part.content) - 1}/{size}"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=99999999-",
        "bytes=9-3",
        "bytes=abc",
        "bytes=-0",
        "bytes=0-1,3-4",
        "bytes=" + ",".join(["0-"] * 1000),
    ],
)
def test_a_range_outside_and_several_at_once_are_refused(link, whole, asked):
    answer = ask(link, Range=asked)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    assert answer.json()["error"]["code"] == "range_not_satisfiable"


@pytest.mark.parametrize("asked", ["items=0-3", "nonsense", ""])
def test_a_range_of_another_unit_is_ignored(link, whole, asked):
    answer = ask(link, Range=asked)
    assert answer.status_code == 200
    assert answer.content == whole.content


def test_a_part_is_sent_only_of_what_the_client_has_begun(link, whole):
    tag = whole.headers["ETag"]
    assert ask(link, Range="bytes=0-3", If_Range=tag).status_code == 206
    answer = ask(link, Range="bytes=0-3", If_Range='"other"')
    assert answer.status_code == 200
    assert answer.content == whole.content


def test_what_the_client_has_is_not_sent_again(link, whole):
    tag = whole.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"a", {tag}', "*"):
        answer = ask(link, If_None_Match=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
    assert ask(link, If_None_Match='"other"').status_code == 200


def test_a_head_tells_of_the_whole(link, whole):
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = ask(link, "HEAD", **headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(whole.content))
        assert answer.headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize("credential", ["Bearer pooled", "Bearer gw-unknown", "Basic YTpi", "x"])
def test_a_link_needs_no_credential_and_minds_none(link, whole, credential):
    assert ask(link, Authorization=credential).content == whole.content


def test_what_is_shown_cannot_do_anything(whole):
    policy = whole.headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; sandbox; media-src 'self'"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Content-Disposition"].startswith("inline")
    assert whole.headers["Cache-Control"].startswith("private, max-age=")


def test_what_needs_a_credential_is_kept_by_no_cache(uploaded):
    answer = ask(uploaded)
    assert answer.content == UPLOAD
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_life_is_counted_from_the_creation_only(gateway):
    form = {"purpose": "vision", "expires_after[seconds]": "3600"}
    files = {"file": ("a.png", UPLOAD, "image/png")}
    for anchor, status in (("created_at", 200), ("last_active_at", 400)):
        data = {**form, "expires_after[anchor]": anchor}
        answer = requests.post(f"{gateway.url}/v1/files", files=files, data=data, timeout=10)
        assert answer.status_code == status
    assert answer.json()["error"]["param"] == "expires_after[anchor]"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.png", "inline; filename=a.png"),
        ('my "cat"; x.png', 'inline; filename="my \\"cat\\"; x.png"'),
        ("кот.png", "inline; filename*=UTF-8''%D0%BA%D0%BE%D1%82.png"),
    ],
)
def test_a_file_comes_back_under_its_name(gateway, name, header):
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key="pooled")
    made = client.files.create(file=(name, UPLOAD, "image/png"), purpose="vision")
    answer = client.files.with_raw_response.content(made.id)
    assert answer.headers["Content-Disposition"] == header
    assert answer.content == UPLOAD


def test_links_that_were_changed_are_forbidden_in_json(link):
    parts = urlsplit(link)
    path = f"{parts.scheme}://{parts.netloc}{parts.path}"
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    changed = [
        path,
        f"{path}?exp={query['exp']}&sig={'A' * 43}",
        f"{path}?exp={int(query['exp']) + 1}&sig={query['sig']}",
        f"{path}?exp={query['exp']}&sig=%C3%A9",
        f"{path}?exp=%D9%A1&sig={query['sig']}",
        f"{path.replace('.jpg', '.png')}?{parts.query}",
        f"{path[:-8]}{'0' * 4}.jpg?{parts.query}",
    ]
    for url in changed:
        answer = ask(url)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden"


NAMES = [
    "x",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2fx",
    "%252e%252e",
    "..%5cx",
    "a%00.png",
    "a" * 5000,
]


@pytest.mark.parametrize("name", [*NAMES, "a" * 5000, "../../etc/passwd", "....//x", "/etc/passwd"])
def test_names_lead_nowhere_else(gateway, name):
    for root in ("/media/", "/v1/media/", "/v1/files/"):
        answer = requests.get(
            f"{gateway.url}{root}{name}?exp=9999999999&sig={'A' * 43}", timeout=10
        )
        assert answer.status_code in (403, 404), answer.text
        assert set(answer.json()) == {"error"}


def test_readers_side_by_side_get_the_same(link, whole):
    with ThreadPoolExecutor(8) as crowd:
        found = list(crowd.map(lambda _: requests.get(link, timeout=20).content, range(16)))
    assert set(found) == {whole.content}
