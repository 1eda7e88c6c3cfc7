"""Links to media that are kept here, in requests and from browsers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.accounts import Secret
from gateway.domain.errors import (
    Forbidden,
    InvalidImageUrl,
    NotFound,
)
from gateway.domain.media import StoredMedia
from gateway.services.media.urls import MediaUrls, derive_key
from tests.services.media.kit import (
    BOB,
    DAY,
    bytes_of,
    picture,
    ref,
    resolve,
)


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
