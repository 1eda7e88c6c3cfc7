"""The console over HTTP: who gets in, what they see, and what nobody can do."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path

import pytest
import requests

import gateway.api.console as console

ADMIN = "admin-key-0123456789"
OWNER = "owner-key-0123456789"
OTHER = "other-key-0123456789"
FOLDER = Path(console.__file__).parent
PAGES = ("", "/playground", "/gallery", "/jobs", "/requests", "/models")
FOR_OPERATORS = ("/accounts", "/accounts/ark-1", "/keys", "/keys/owner", "/audit")
SCRIPT = "<script>document.title='broken'</script>"


@pytest.fixture(scope="module")
def site(gateway_factory):
    with gateway_factory.started(
        GATEWAY_ADMIN_KEYS=f"root={ADMIN}",
        GATEWAY_KEYS=f"owner={OWNER},other={OTHER}",
        GATEWAY_POOL_ACCESS="keys",
        GATEWAY_SECRET_KEY="k" * 32,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def throttled(gateway_factory):
    with gateway_factory.started(GATEWAY_ADMIN_KEYS=f"root={ADMIN}") as running:
        yield running


class Browser(requests.Session):
    """A browser without scripts: cookies, forms, and the base of a site."""

    def __init__(self, site, key=None):
        super().__init__()
        self.base = site.url
        if key is not None:
            assert self.form("/sign-in", key=key).status_code == 303

    def page(self, path, **kw):
        return self.get(f"{self.base}/console{path}", allow_redirects=False, **kw)

    def form(self, path, csrf=None, **fields):
        given = {"csrf": csrf} if csrf else {}
        url = f"{self.base}/console{path}"
        return self.post(url, data=given | fields, allow_redirects=False)

    @property
    def csrf(self):
        return re.search(r'name="csrf" value="([^"]+)"', self.page("").text)[1]


@pytest.fixture
def operator(site):
    return Browser(site, ADMIN)


@pytest.fixture
def owner(site):
    return Browser(site, OWNER)


@pytest.mark.parametrize("path", [*PAGES, *FOR_OPERATORS, "/nowhere"])
def test_a_stranger_is_sent_to_the_sign_in(site, path):
    stranger = Browser(site)
    stranger.cookies.set("gateway_console", "eyJuYW1lIjoicm9vdCJ9.forged.forged")
    got = stranger.page(path)
    assert (got.status_code, got.headers["Location"]) == (302, "/console/sign-in")


@pytest.mark.parametrize("path", [*PAGES, *FOR_OPERATORS])
def test_every_page_is_there_for_operators(operator, path):
    got = operator.page(path)
    assert got.status_code == 200, got.text
    assert "default-src 'self'" in got.headers["Content-Security-Policy"]
    assert got.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*(src=|application/json))", got.text)
    assert not re.search(r"\son\w+=|style=", got.text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', got.text.replace(operator.base, ""))


@pytest.mark.parametrize("path", PAGES)
def test_owners_see_their_own_views(owner, path):
    assert owner.page(path).status_code == 200


@pytest.mark.parametrize("path", FOR_OPERATORS)
def test_owners_do_not_see_what_is_for_operators(owner, path):
    got = owner.page(path)
    assert got.status_code == 403
    assert got.headers["Content-Type"].startswith("text/html")


def test_the_cookie_is_kept_from_scripts_and_other_sites(site):
    got = Browser(site).form("/sign-in", key=ADMIN)
    cookie = got.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age=43200" in cookie
    assert ADMIN not in cookie


def test_behind_tls_the_cookie_is_for_tls_alone(gateway_factory):
    with gateway_factory.started(
        workers=1, GATEWAY_ADMIN_KEYS=f"root={ADMIN}", GATEWAY_TRUSTED_PROXIES="1"
    ) as site:
        got = requests.post(
            f"{site.url}/console/sign-in",
            data={"key": ADMIN},
            headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"},
            allow_redirects=False,
        )
        assert "Secure" in got.headers["Set-Cookie"]


def test_signing_out_ends_the_session(operator):
    assert operator.form("/sign-out", operator.csrf).status_code == 303
    assert operator.page("").headers["Location"] == "/console/sign-in"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/keys", {"name": "forged"}),
        ("/keys/owner/revoke", {}),
        ("/accounts", {"name": "forged", "upstream": "ark", "credential": "x" * 20}),
        ("/accounts/ark-1/disable", {}),
        ("/teams", {"name": "forged", "day": "1"}),
        ("/sign-out", {}),
    ],
)
@pytest.mark.parametrize("csrf", [None, "wrong"])
def test_a_change_without_its_token_is_refused(site, operator, path, fields, csrf):
    assert operator.form(path, csrf, **fields).status_code == 403
    assert operator.page("").status_code == 200
    names = requests.get(
        f"{site.url}/v1/admin/keys", headers={"Authorization": f"Bearer {ADMIN}"}
    ).text
    assert "forged" not in names


def test_an_owner_changes_nothing_of_operators(owner):
    csrf = owner.csrf
    for path in ("/keys", "/teams", "/accounts", "/accounts/ark-1/disable", "/keys/other/revoke"):
        assert owner.form(path, csrf, name="mine").status_code == 403


def test_an_owner_sees_neither_jobs_nor_requests_of_others(site, owner):
    made = site.post(
        "/v1/images/generations",
        {"prompt": "theirs"},
        key=OTHER,
        headers={"X-Request-Id": "of-another"},
    )
    job = made.headers["X-Gateway-Job"]
    mine = site.post("/v1/images/generations", {"prompt": "mine"}, key=OWNER)
    url = mine.json()["data"][0]["url"].partition("?")[0].rpartition("/")[2]
    gallery = owner.page("/gallery").text
    assert url in gallery
    assert job not in gallery + owner.page("/jobs").text
    assert owner.form(f"/jobs/{job}/delete", owner.csrf).status_code == 404
    assert "other" not in re.findall(r"<td>(\w+)</td>", owner.page("/requests").text)


def test_a_wrong_key_twenty_times_shuts_the_address_out(throttled):
    guesser = Browser(throttled)
    statuses = [guesser.form("/sign-in", key=f"guess-{n:020}").status_code for n in range(20)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    late = guesser.form("/sign-in", key=ADMIN)
    assert (late.status_code, "Retry-After" in late.headers) == (429, True)


def test_scripts_in_names_and_prompts_stay_text(site, operator):
    bad = {"Authorization": f"Bearer {OTHER}"}
    site.post("/v1/chat/completions", {"model": SCRIPT, "messages": []}, headers=bad)
    site.post("/v1/images/generations", {"prompt": SCRIPT, "model": SCRIPT}, headers=bad)
    assert operator.form("/teams", operator.csrf, name=SCRIPT, month="5").status_code == 303
    for path in (*PAGES, "/keys", "/audit", f"/jobs?q={SCRIPT}"):
        assert "<script>document" not in operator.page(path).text


def test_a_key_is_shown_once_used_and_revoked(site, operator):
    csrf = operator.csrf
    made = operator.form(
        "/keys", csrf, name="paper", team="press", month="5", limits="50/minute", keep_prompts="on"
    )
    secret = re.search(r'id="secret">([^<]+)<', made.text)[1]
    assert secret not in operator.page("/keys").text
    got = site.post("/v1/images/generations", {"prompt": "a lighthouse"}, key=secret)
    assert got.status_code == 200, got.text
    reader = Browser(site, secret)
    assert "a lighthouse" in reader.page("/gallery").text  # its prompts are kept
    assert "paper" in reader.page("").text
    changed = operator.form("/keys/paper/change", csrf, month="7", team="", limits="")
    assert changed.status_code == 303
    assert "7.00" in operator.page("/keys").text
    assert operator.form("/keys/paper/revoke", csrf).status_code == 303
    until = time.monotonic() + 10
    while reader.page("").status_code != 302:
        assert time.monotonic() < until
    assert "key.revoke" in operator.page("/audit").text


def test_a_prompt_is_kept_only_where_the_key_allows_it(site, owner):
    asked = {"prompt": "a secret garden", "async": True}
    job = site.post("/v1/images/generations", asked, key=OWNER).json()["id"]
    while site.get(f"/v1/jobs/{job}", key=OWNER).json()["status"] not in ("completed", "failed"):
        pass
    assert "a secret garden" not in owner.page("/gallery").text


@pytest.mark.parametrize(
    ("fields", "shown"),
    [({"name": "a b"}, "name"), ({"name": "x", "limits": "often"}, "limits")],
)
def test_a_form_that_does_not_fit_is_shown_again_with_what_is_wrong(operator, fields, shown):
    got = operator.form("/keys", operator.csrf, **fields)
    assert got.status_code == 400
    assert shown in re.search(r'role="alert">([^<]+)<', got.text)[1]


def test_pages_use_the_api_with_their_session_and_its_token(site, owner):
    body = {"model": "doubao", "messages": [{"role": "user", "content": "hi"}]}
    url = f"{site.url}/v1/chat/completions"
    csrf = owner.csrf
    assert owner.post(url, json=body, headers={"X-CSRF-Token": csrf}).status_code == 200
    assert owner.post(url, json=body, headers={"X-CSRF-Token": "x"}).status_code == 403
    assert owner.post(url, json=body).status_code == 401


def test_tables_sort_filter_and_page(site, operator):
    for n in range(30):
        site.post("/v1/admin/keys", {"name": f"row-{n:02}"}, key=ADMIN)
    names = r'<td><a href="/console/keys/(row-\d\d)">'
    first = re.findall(names, operator.page("/keys?q=row-").text)
    assert first == [f"row-{n:02}" for n in range(25)]
    assert re.findall(names, operator.page("/keys?q=row-&page=2").text)[-1] == "row-29"
    assert re.findall(names, operator.page("/keys?q=row-&sort=-name").text)[0] == "row-29"
    assert re.findall(names, operator.page("/keys?q=row-07").text) == ["row-07"]
    assert operator.page("/keys?sort=nothing&page=x").status_code == 200


def test_a_browser_at_the_root_finds_the_console(site):
    got = requests.get(site.url, headers={"Accept": "text/html"}, allow_redirects=False)
    assert got.headers["Location"] == "/console"
    assert requests.get(site.url).json()["object"] == "gateway"


def test_without_admin_keys_there_is_no_operator(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_KEYS=f"owner={OWNER}") as site:
        assert Browser(site).page("").headers["Location"] == "/console/sign-in"
        assert Browser(site, OWNER).page("/accounts").status_code == 403


def test_every_text_of_the_console_has_a_chinese_form():
    words = tomllib.loads((FOLDER / "zh.toml").read_text("utf-8"))
    used = set()
    for page in (FOLDER / "templates" / "console").glob("*.html"):
        used |= set(re.findall(r'_\("([^"]+)"[,)]', page.read_text()))
        used |= set(re.findall(r"_\('([^']+)'[,)]", page.read_text()))
    for module in FOLDER.glob("*.py"):
        text = module.read_text()
        used |= set(re.findall(r'Column\("\w+", "([^"]+)"', text))
        used |= set(re.findall(r'^    \("\w+", "([^"]+)"\),', text, re.M))
    assert used - words.keys() == set()
    for english, chinese in words.items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese))


def test_the_pages_are_chinese_for_who_asks_for_it(operator):
    got = operator.page("", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert '<html lang="zh">' in got.text
    assert "概览" in got.text
    operator.get(f"{operator.base}/console/speak/zh", allow_redirects=False)
    assert "账号" in operator.page("/accounts").text


def test_every_request_of_a_browser_ends_in_the_log(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_ADMIN_KEYS=f"root={ADMIN}") as site:
        style = f"{site.url}/console/static/console.css"
        tag = requests.get(style).headers["ETag"]
        assert requests.get(style, headers={"If-None-Match": tag}).status_code == 304
        assert requests.head(style).status_code == 200
        gauge = r"^gateway_requests_in_flight 1\.0$"  # which asks
        until = time.monotonic() + 10
        while not re.search(gauge, site.get("/metrics").text, re.M):
            assert time.monotonic() < until
        told = [(e["method"], e["status"]) for e in site.events("request") if "css" in e["path"]]
        assert told == [("GET", 200), ("GET", 304), ("HEAD", 200)]


def test_the_first_load_is_light(site, operator):
    page = operator.page("")
    total = len(page.content)
    for path in set(re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.text)):
        total += len(operator.get(f"{site.url}{path}").content)
    assert total < 150_000
