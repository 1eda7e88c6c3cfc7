"""The console in a real browser: the ways of an operator and of an owner."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.media import png
from tests.support.process import ROOT, clean_env

ADMIN = "admin-key-0123456789"
AXE = (ROOT / "tests" / "node" / "node_modules" / "axe-core" / "axe.min.js").read_text()
VIEWS = ("", "/playground", "/gallery", "/jobs", "/requests", "/models", "/accounts", "/keys")
LOOKS = [
    ("light", 1280, "en-US"),
    ("light", 390, "zh-CN"),
    ("dark", 1280, "zh-CN"),
    ("dark", 390, "en-US"),
]


@pytest.fixture(scope="module")
def site(gateway_factory):
    with gateway_factory.started(
        workers=2,
        GATEWAY_ADMIN_KEYS=f"root={ADMIN}",
        GATEWAY_POOL_ACCESS="keys",
        GATEWAY_SECRET_KEY="k" * 32,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@contextmanager
def visit(chromium, site, key=None, **options):
    """A page whose browser must have nothing to complain of and ask no other host."""
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda err: complaints.append(str(err)))
    own = (site.url, "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else complaints.append(r.url))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{site.url}/console")
    if key is not None:
        page.fill("[name=key]", key)
        page.click("main button")
        page.wait_for_selector("nav [aria-current]")
    yield page
    assert complaints == []
    context.close()


@pytest.mark.parametrize(
    ("scheme", "width", "language"), [("light", 1280, "en-US"), ("dark", 390, "zh-CN")]
)
def test_an_operator_s_way(chromium, site, tmp_path, scheme, width, language):
    look = {
        "color_scheme": scheme,
        "viewport": {"width": width, "height": 844},
        "locale": language,
    }
    account, key = f"spare-{width}", f"studio-{width}"
    with visit(chromium, site, ADMIN, **look) as page:
        # An account, and whether it works.
        page.click("nav a[href$=accounts]")
        page.click("summary")
        page.fill("[name=name]", account)
        page.select_option("[name=upstream]", "ark")
        page.fill("[name=credential]", f"ark-{account}-0123456789")
        page.click("details button.main")
        expect(page.locator("h1")).to_contain_text(account)
        page.click("[formaction$=test]")
        expect(page.locator("main [role=status]")).to_contain_text("doubao-seed")
        # A key with a budget.
        page.click("nav a[href$=keys]")
        page.click("summary >> nth=0")
        form = page.locator("form:has([name=keep_prompts])")
        form.locator("[name=name]").fill(key)
        form.locator("[name=month]").fill("50")
        form.locator("[name=keep_prompts]").check()
        form.locator("button.main").click()
        secret = page.inner_text("#secret")
        page.click("[data-copy]")
        assert page.evaluate("navigator.clipboard.readText()") == secret
        page.click("form[action$=sign-out] button")

    with visit(chromium, site, secret, **look) as page:
        owner_s_way(page, tmp_path)

    with visit(chromium, site, ADMIN, **look) as page:
        page.click("nav a[href$=keys]")
        row = page.locator(f"tr:has-text('{key}')")
        expect(row).to_contain_text("/ 50.00")
        row.locator("a").first.click()
        page.click("form[action$=revoke] button")
        page.click("nav a[href$=audit]")
        expect(page.locator("tbody")).to_contain_text("key.revoke")


def owner_s_way(page, tmp_path):
    """Chat, image, video, gallery, variation, and what it cost."""
    retry = ".turn.assistant .foot button"
    page.click("nav a[href$=playground]")
    page.select_option("#model", "doubao")
    page.fill("#prompt", "Hello in **bold**")
    expect(page.locator("#price")).to_contain_text("USD")
    page.press("#prompt", "Enter")
    answer = page.locator(".turn.assistant")
    expect(answer.locator("button")).to_be_visible()
    expect(answer.locator(".said strong")).to_have_text("bold")
    expect(answer.locator(".foot")).to_contain_text("USD")
    answer.locator("button").click()
    expect(page.locator(retry)).to_be_visible()
    # A picture is looked at.
    picture = tmp_path / "photo.png"
    picture.write_bytes(png(60, 40))
    page.set_input_files("#files", str(picture))
    expect(page.locator("#attached img")).to_be_visible()
    page.fill("#prompt", "What is this?")
    page.click("#send")
    expect(page.locator(".turn")).to_have_count(4)
    expect(page.locator(".turn.assistant >> nth=1")).to_contain_text("1 attachment")
    page.click("#clear")

    page.check("[name=kind][value=image]", force=True)
    page.select_option("#model", "doubao-image")
    expect(page.locator("#size option")).to_have_text([re.compile(".+"), "2K", "3K", "4K"])
    page.fill("#prompt", "a red fox")
    expect(page.locator("#price")).to_contain_text("USD")
    page.click("#send")
    expect(page.locator(".turn.assistant img")).to_be_visible()
    page.check("[name=kind][value=video]", force=True)
    page.fill("#prompt", "the sea")
    page.click("#send")
    expect(page.locator(".turn.assistant video")).to_be_visible(timeout=60_000)

    page.click("nav a[href$=gallery]")
    fox = page.locator("li:has-text('a red fox')")
    expect(fox.locator("img")).to_be_visible()
    page.wait_for_function("document.querySelector('.gallery img').naturalWidth > 0")
    expect(fox).to_contain_text("USD")
    fox.locator("a.button >> nth=1").click()
    expect(page.locator("#attached img")).to_be_visible()
    assert page.input_value("#prompt") == "a red fox"
    page.click("#send")
    expect(page.locator(".turn.assistant img")).to_be_visible()
    page.click("a.brand")
    expect(page.locator(".budget")).to_contain_text("/ 50.00 USD")
    page.click("nav a[href$=jobs]")
    expect(page.locator("tbody tr")).to_have_count(3)


@pytest.mark.parametrize("language", ["curl", "python", "node"])
def test_a_copied_call_runs_as_copied(chromium, site, tmp_path, language):
    with visit(chromium, site, ADMIN) as page:
        page.click("nav >> text=Playground")
        page.select_option("#model", "doubao")
        page.fill("#prompt", "It's \"quoted\", isn't it? '''\n$HOME `x`")
        page.click(f"[data-code={language}]")
        copied = page.evaluate("navigator.clipboard.readText()")
    name, program = {
        "curl": ("call.sh", ["sh"]),
        "python": ("call.py", [str(ROOT / ".venv" / "bin" / "python")]),
        "node": ("call.mjs", ["node"]),
    }[language]
    (tmp_path / name).write_text(copied)
    done = subprocess.run(
        [*program, name],
        cwd=tmp_path,
        env=clean_env({"GATEWAY_KEY": ADMIN}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["choices"][0]["message"]["content"]
    assert "It's \"quoted\", isn't it? '''\n$HOME `x`" in said


def test_an_answer_is_stopped_and_the_vendor_with_it(chromium, gateway_factory, simulators):
    with (
        gateway_factory.started(
            GATEWAY_ADMIN_KEYS=f"root={ADMIN}", ARK_API_KEYS="ark-endless-stopped"
        ) as site,
        visit(chromium, site, ADMIN) as page,
    ):
        page.click("nav >> text=Playground")
        page.select_option("#model", "doubao")
        page.fill("#prompt", "Tell me everything")
        page.press("#prompt", "Enter")
        expect(page.locator(".turn.assistant .said")).not_to_be_empty()
        page.click("#stop")
        expect(page.locator("#send")).to_be_enabled()
        page.reload()
        expect(page.locator(".turn")).to_have_count(2)  # remembered by the browser


def test_what_a_model_says_cannot_become_a_script(chromium, site):
    broken = "document.title='broken'"
    attack = f"<img src='data:,' onerror=\"{broken}\"><script>{broken}</script>"
    with visit(chromium, site, ADMIN) as page:
        page.click("nav >> text=Playground")
        page.select_option("#model", "doubao")
        page.fill("#prompt", f"{attack} [link](javascript:document.title='broken')")
        page.press("#prompt", "Enter")
        expect(page.locator(".turn.assistant >> text=Retry")).to_be_visible()
        assert page.locator(".said [onerror], .said script, .said a[href^=javascript]").count() == 0
        assert "broken" not in page.title()


@pytest.mark.parametrize(("scheme", "width", "language"), LOOKS)
def test_views_are_accessible_and_fit_the_screen(chromium, site, scheme, width, language):
    options = {"color_scheme": scheme, "locale": language}
    viewport = {"width": width, "height": 844}
    with visit(chromium, site, ADMIN, viewport=viewport, bypass_csp=True, **options) as page:
        for view in (*VIEWS, "/audit", "/accounts/ark-1", "/keys/root"):
            page.goto(f"{site.url}/console{view}")
            assert page.locator("html").get_attribute("lang") == language[:2]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, view
            page.evaluate(AXE)
            found = page.evaluate("axe.run()")["violations"]
            serious = [
                (v["id"], v["nodes"][0]["html"])
                for v in found
                if v["impact"] in ("serious", "critical")
            ]
            assert serious == [], view


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_reference_is_searched_copied_from_and_tried(chromium, site, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    with visit(chromium, site, ADMIN, bypass_csp=True, **options) as page:
        page.goto(f"{site.url}/docs")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate(AXE)
        found = page.evaluate("axe.run()")["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
        every = page.locator("[data-call]:visible").count()
        page.fill("#search", "chat completions")
        assert 0 < page.locator("[data-call]:visible").count() < every / 4
        chat = page.locator("#post_v1_chat_completions")
        expect(chat).to_be_visible()
        chat.locator("[data-copy]").click()
        assert page.evaluate("navigator.clipboard.readText()").startswith("curl http")
        chat.locator("text=Try it").click()
        expect(page.locator("#prompt")).to_have_value("Say hello.")


def test_the_demo_is_open_to_this_machine_and_says_so(chromium, gateway_factory):
    with (
        gateway_factory.started(accounts=False, vendors=False) as site,
        visit(chromium, site) as page,
    ):
        expect(page.locator("[role=status]")).to_contain_text("Demo mode")
        page.click("nav >> text=Accounts")
        expect(page.locator("tbody tr").first).to_be_visible()


def test_the_keyboard_alone_signs_in_and_asks(chromium, site):
    with visit(chromium, site) as page:
        page.keyboard.type(ADMIN)  # the field has the focus
        page.keyboard.press("Enter")
        page.wait_for_selector("nav [aria-current]")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
