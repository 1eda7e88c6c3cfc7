"""The door for URLs from outside: nothing inside is reached, and the public is not kept out."""

from __future__ import annotations

import random
import socket
import sys
import threading
import time

import pytest

from gateway.domain.errors import (
    GatewayError,
    InvalidImageUrl,
    RequestTooLarge,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.net import dial
from gateway.net.addresses import is_public
from gateway.net.fetch import Fetcher
from tests.net.servers import answering, running, saying
from tests.net.spellings import INSIDE_4, INSIDE_6, spellings_4, urls_inside

LIMIT = 1_000_000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Watch:
    """Every connection that this process tries to make, by way of an audit hook."""

    def __init__(self):
        self.ports = None
        sys.addaudithook(self._hook)

    def __enter__(self):
        self.ports = []
        return self.ports

    def __exit__(self, *_):
        self.ports = None

    def _hook(self, event, args):
        if event == "socket.connect" and self.ports is not None:
            self.ports.append(args[1][1])


WATCH = Watch()


def names(**hosts):
    """A resolver that knows these names (dots as underscores) and numbers in any spelling."""
    table = {name.replace("_", "."): addresses for name, addresses in hosts.items()}
    asked = []

    def resolver(host, port, **options):
        asked.append(host)
        if host not in table:
            # Without a network: what is no number has no address.
            return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **options)
        addresses = table[host]
        if callable(addresses):
            addresses = addresses()
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    resolver.asked = asked
    return resolver


def fetch(fetcher, url, *, limit=LIMIT, **options):
    with fetcher.open(url, limit=limit, **options) as fetched:
        return b"".join(fetched.chunks())


def outcome(fetcher, url, **options):
    try:
        return fetch(fetcher, url, **options)
    except GatewayError as err:
        return err


@pytest.fixture
def web_ports(monkeypatch):
    """Lets the ports of test servers pass for the web's, so that the address alone decides."""
    ports = {80, 443}
    monkeypatch.setattr("gateway.net.fetch.WEB_PORTS", ports)
    return ports


def test_no_spelling_of_an_inside_address_is_connected_to(web_ports):
    fetcher = Fetcher(resolver=names(localhost=["127.0.0.1", "::1"]))
    with running(answering()) as sentinel, WATCH as tried:
        web_ports.add(sentinel.port)
        urls = urls_inside(sentinel.port)
        results = {url: outcome(fetcher, url) for url in urls}
    assert len(urls) >= 600
    assert [url for url, result in results.items() if type(result) is not InvalidImageUrl] == []
    assert len({result.message for result in results.values()}) == 1
    assert tried == []
    assert sentinel.connections == 0


def test_no_redirect_leads_inside(web_ports):
    places = iter(())

    def script(peer):
        peer.request()
        place = next(places).encode("utf-8", "surrogatepass").translate(None, b"\r\n")
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n")

    resolver = names(start_test=["127.0.0.1"], localhost=["127.0.0.1", "::1"])
    fetcher = Fetcher(allow_private="start.test", resolver=resolver)
    with running(answering()) as sentinel, running(script) as start, WATCH as tried:
        web_ports.add(sentinel.port)
        # What is relative stays with the host that it came from, as it should.
        urls = [url for url in urls_inside(sentinel.port) if "//" in url]
        places = iter(urls)
        results = {url: outcome(fetcher, f"http://start.test:{start.port}/") for url in urls}
        assert start.connections == len(urls) >= 600
    assert [url for url, result in results.items() if type(result) is not InvalidImageUrl] == []
    assert set(tried) == {start.port}
    assert sentinel.connections == 0


def test_no_name_of_an_inside_address_is_connected_to(web_ports):
    sets = [[address] for address in INSIDE_4 + INSIDE_6]
    sets += [["93.184.216.34", address] for address in INSIDE_4 + INSIDE_6]
    sets += [[address, "2606:4700::1111"] for address in INSIDE_4 + INSIDE_6]
    sets += [[f"::ffff:{address}"] for address in INSIDE_4]
    with running(answering()) as sentinel, WATCH as tried:
        web_ports.add(sentinel.port)
        for addresses in sets:
            fetcher = Fetcher(resolver=names(evil_test=addresses))
            with pytest.raises(InvalidImageUrl):
                fetch(fetcher, f"http://evil.test:{sentinel.port}/")
    assert tried == []
    assert sentinel.connections == 0


def test_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to():
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    resolver = names(rebind_test=lambda: next(answers))
    fetcher = Fetcher(allow_private="127.0.0.1", resolver=resolver)
    with running(answering(b"first")) as server, WATCH as tried:
        assert fetch(fetcher, f"http://rebind.test:{server.port}/") == b"first"
        with pytest.raises(InvalidImageUrl):
            fetch(fetcher, f"http://rebind.test:{server.port}/")
    assert resolver.asked == ["rebind.test"] * 2
    assert set(tried) == {server.port}


def test_redirect_to_the_same_name_is_checked_again():
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    fetcher = Fetcher(
        allow_private="127.0.0.1/32", resolver=names(rebind_test=lambda: next(answers))
    )
    with running(answering(b"", "Location: /again", status="302 Found")) as server:
        with pytest.raises(InvalidImageUrl):
            fetch(fetcher, f"http://rebind.test:{server.port}/")
        assert server.connections == 1


PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.9.9.9", "93.184.216.34", "104.16.0.1", "140.82.121.3"),
    *("151.101.1.69", "185.199.108.133", "13.107.42.14", "20.70.246.20", "23.0.0.1"),
    *("34.117.59.81", "35.190.0.1", "52.216.0.1", "54.231.0.1", "142.250.1.1", "172.15.0.1"),
    *("172.32.0.1", "172.217.16.78", "192.0.1.1", "192.0.66.2", "192.167.1.1", "192.169.1.1"),
    *("198.17.0.1", "198.20.0.1", "100.63.255.255", "100.128.0.1", "169.253.0.1", "169.255.0.1"),
    *("11.0.0.1", "9.255.255.255", "126.0.0.1", "128.0.0.1", "223.5.5.5", "223.255.255.254"),
    *("101.226.4.6", "114.114.114.114", "180.101.50.242", "220.181.38.148", "39.156.66.10"),
    *("47.88.0.1", "168.63.129.15", "168.63.129.17", "203.0.112.1", "203.0.114.1", "1.0.0.1"),
    *("2606:4700:4700::1111", "2001:4860:4860::8888", "2001:470::1", "2400:3200::1"),
    *("2404:6800:4003::1", "240e::1", "2408:8000::1", "2409:8000::1", "2600:1f18::1"),
    *("2620:fe::fe", "2620:1ec::1", "2a00:1450:4001::1", "2a03:2880::1", "2a04:4e42::1"),
    *("2c0f:fb50::1", "2001:200::1", "2001:db7::1", "2001:db9::1", "2003::1", "3ffe::1"),
]


def test_public_hosts_are_let_through(monkeypatch):
    randomly = random.Random(1)
    addresses = [*PUBLIC]
    while len(addresses) < 200:
        # First octets without anything special in them.
        first = randomly.choice([5, 31, 45, 66, 78, 91, 104, 139, 151, 185, 199, 212])
        addresses.append(f"{first}.{randomly.randrange(256)}.{randomly.randrange(256)}.7")
    reached = []

    def connect(host, found, **_):
        reached.append((host, found[0][1][0]))
        raise UpstreamUnreachable("no network in tests")

    monkeypatch.setattr(dial, "connect", connect)
    table = {f"host{n}_example": [address] for n, address in enumerate(addresses)}
    fetcher = Fetcher(resolver=names(**table))
    for n, address in enumerate(addresses):
        for url in (f"https://host{n}.example/a.png", f"http://host{n}.example:443/"):
            assert isinstance(outcome(fetcher, url), InvalidImageUrl)
            assert reached[-1] == (f"host{n}.example", address)
    for address in PUBLIC[:40]:
        outcome(fetcher, f"http://{address}/")
        assert reached[-1] == (address, address)
    assert len(reached) == 2 * len(addresses) + 40


def test_addresses_are_told_apart():
    for address in INSIDE_4 + INSIDE_6 + [f"::ffff:{address}" for address in INSIDE_4]:
        assert not is_public(address), address
    for address in [*PUBLIC, "::ffff:8.8.8.8"]:
        assert is_public(address), address


def test_spellings_of_public_addresses_resolve_as_ever():
    assert {"0x8080808", "134744072", "[::ffff:8.8.8.8]"} <= set(spellings_4("8.8.8.8"))


@pytest.mark.parametrize("port", [1, 22, 25, 81, 3000, 6379, 8000, 8080, 8443, 65535])
def test_only_the_ports_of_the_web_are_connected_to(port):
    fetcher = Fetcher(resolver=names(public_test=["93.184.216.34"]))
    with WATCH as tried, pytest.raises(InvalidImageUrl):
        fetch(fetcher, f"http://public.test:{port}/")
    assert tried == []


@pytest.mark.parametrize(
    ("allowed", "host", "reached"),
    [
        ("on", "a.test", True),
        ("ON ", "127.0.0.1", True),
        ("a.test", "a.test", True),
        ("b.test, A.Test", "a.test.", True),
        ("a.test", "127.0.0.1", False),
        ("a.test", "b.test", False),
        ("test", "a.test", False),
        ("127.0.0.0/8", "a.test", True),
        ("10.0.0.0/8,127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "[::ffff:127.0.0.1]", True),
        ("127.0.0.2/31", "a.test", False),
        ("::1", "127.0.0.1", False),
        ("off", "a.test", False),
        ("", "a.test", False),
    ],
)
def test_exceptions_reach_exactly_as_far_as_they_say(allowed, host, reached):
    resolver = names(a_test=["127.0.0.1"], b_test=["127.0.0.1"], **{"a_test_": ["127.0.0.1"]})
    fetcher = Fetcher(allow_private=allowed, resolver=resolver)
    with running(answering(b"ok")) as server:
        result = outcome(fetcher, f"http://{host}:{server.port}/")
    assert (result == b"ok") == reached
    assert reached or isinstance(result, InvalidImageUrl)


def test_network_exception_does_not_cover_the_other_addresses_of_a_name():
    resolver = names(a_test=["127.0.0.1", "10.0.0.1"])
    fetcher = Fetcher(allow_private="127.0.0.0/8", resolver=resolver)
    with WATCH as tried, pytest.raises(InvalidImageUrl):
        fetch(fetcher, "http://a.test/")
    assert tried == []


def test_trusted_origin_is_for_urls_of_vendors_and_for_its_own_port_only():
    with running(answering(b"ok")) as server, running(answering()) as other:
        fetcher = Fetcher(trusted=[f"127.0.0.1:{server.port}"])
        assert fetch(fetcher, server.url, vendor=True) == b"ok"
        with pytest.raises(InvalidImageUrl):
            fetch(fetcher, server.url)
        with pytest.raises(UpstreamUnreachable):
            fetch(fetcher, other.url, vendor=True)
        assert (server.connections, other.connections) == (1, 0)


def open_fetcher(**options):
    return Fetcher(allow_private="on", resolver=names(), **options)


def test_file_arrives_with_what_its_server_says_of_it():
    seen = []

    def script(peer):
        seen.append(peer.request())
        peer.answer(b"x" * 100_000, "Content-Type: Image/PNG; charset=x", "Set-Cookie: a=b")

    with (
        running(script) as server,
        open_fetcher().open(
            f"{server.url}/a b/\u00e9%20c.png?q=\u00fc|#part", limit=LIMIT
        ) as fetched,
    ):
        assert fetched.mime_type == "image/png"
        assert fetched.size == 100_000
        assert b"".join(fetched.chunks()) == b"x" * 100_000
    assert seen[0].line == "GET /a%20b/%C3%A9%20c.png?q=%C3%BC%7C HTTP/1.1"
    assert seen[0].headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept-encoding": "identity",
        "user-agent": "Gateway",
        "accept": "*/*",
    }


def test_international_name_is_resolved_in_its_ascii_form():
    resolver = names(**{"xn--bcher-kva_test": ["127.0.0.1"]})
    fetcher = Fetcher(allow_private="on", resolver=resolver)
    with running(answering(b"ok")) as server:
        assert fetch(fetcher, f"http://B\u00fccher.test:{server.port}/") == b"ok"
    assert resolver.asked == ["xn--bcher-kva.test"]


def test_server_that_says_nothing_of_its_file_is_taken_at_that():
    with (
        running(saying(b"HTTP/1.1 200 OK\r\n\r\nfile")) as server,
        open_fetcher().open(server.url, limit=LIMIT) as fetched,
    ):
        assert (fetched.mime_type, fetched.size) == ("", None)
        assert b"".join(fetched.chunks()) == b"file"


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
def test_redirects_are_followed(status):
    def script(peer):
        request = peer.request()
        if request.path == "/end?x":
            peer.answer(b"here")
        else:
            peer.answer(b"", "Location: ../end?x#y", status=status)

    with running(script) as server:
        assert fetch(open_fetcher(), f"{server.url}/a/b") == b"here"
        assert server.connections == 2


def test_three_redirects_are_followed_and_no_more():
    with running(answering(b"", "Location: /loop", status="302 Found")) as server:
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(), server.url)
        assert server.connections == 4
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(), server.url, accept_redirects=0)
        assert server.connections == 5


def test_redirect_from_https_to_http_is_refused(authority):
    resolver = names(pictures_test=["127.0.0.1"])
    fetcher = Fetcher(allow_private="on", resolver=resolver, ca_file=authority.file)
    with running(answering()) as plain:
        back = answering(b"", f"Location: {plain.url}", status="302 Found")
        with running(back, tls=authority.server("pictures.test")) as secure:
            with pytest.raises(InvalidImageUrl):
                fetch(fetcher, f"https://pictures.test:{secure.port}/")
            assert secure.connections == 1
        assert plain.connections == 0


def test_headers_go_to_their_own_origin_only():
    seen = []

    def elsewhere(peer):
        seen.append(("elsewhere", peer.request().headers.get("authorization")))
        peer.answer(b"", f"Location: {first.url}/end", status="302 Found")

    def script(peer):
        request = peer.request()
        seen.append((request.path, request.headers.get("authorization")))
        place = {"/": "/same", "/same": other.url}.get(request.path)
        if place:
            peer.answer(b"", f"Location: {place}", status="302 Found")
        else:
            peer.answer(b"file")

    with running(script) as first, running(elsewhere) as other:
        assert fetch(open_fetcher(), first.url, headers={"Authorization": "secret"}) == b"file"
    assert seen == [("/", "secret"), ("/same", "secret"), ("elsewhere", None), ("/end", None)]


def test_environment_and_netrc_do_not_reach_the_servers(monkeypatch, tmp_path):
    seen = []

    def script(peer):
        seen.append(peer.request().headers)
        peer.answer(b"ok")

    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with running(answering()) as proxy, running(script) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert fetch(open_fetcher(), server.url) == b"ok"
        assert proxy.connections == 0
    assert "authorization" not in seen[0]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n" + b"x" * 1_000_001,
        CHUNKED + b"f4241\r\n" + b"x" * 1_000_001 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_001,
    ],
)
def test_file_beyond_the_limit_is_too_large(data):
    with running(saying(data)) as server:
        with pytest.raises(RequestTooLarge):
            fetch(open_fetcher(), server.url)
        with pytest.raises(UpstreamInvalidResponse) as caught:
            fetch(open_fetcher(), server.url, vendor=True)
        assert caught.value.sent
        assert fetch(open_fetcher(), server.url, limit=1_000_001) == b"x" * 1_000_001


def test_endless_file_is_cut_off_at_the_limit():
    sent = []
    over = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        try:
            while True:
                peer.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
                sent.append(10_000)
        except OSError:
            over.set()

    with running(script) as server:
        with pytest.raises(RequestTooLarge):
            fetch(open_fetcher(), server.url)
        assert over.wait(5)
    assert sum(sent) < 30_000_000


@pytest.mark.parametrize(
    "status",
    ["204 No Content", "206 Partial", "300 Choices", "304 Same", "401 No", "404 No", "500 Oops"],
)
def test_answer_that_is_not_the_file_is_refused(status):
    with running(answering(b"<html>", status=status)) as server:
        with pytest.raises(InvalidImageUrl, match=status[:3]):
            fetch(open_fetcher(), server.url)
        with pytest.raises(UpstreamError) as caught:
            fetch(open_fetcher(), server.url, vendor=True)
        assert caught.value.sent


FAULTS = [
    (b"", UpstreamDisconnected),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", UpstreamDisconnected),
    (CHUNKED + b"9\r\nshort", UpstreamDisconnected),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nzip", UpstreamInvalidResponse),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: br, gzip\r\n\r\nzip", UpstreamInvalidResponse),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nfile", UpstreamInvalidResponse),
    (b"220 smtp ready\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nLocation: http://\xff/\r\n\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nLocation: /\tx\r\n\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", UpstreamError),
]


@pytest.mark.parametrize(("data", "kind"), FAULTS)
def test_broken_answers_are_refused(data, kind):
    with running(saying(data)) as server:
        assert type(outcome(open_fetcher(), server.url)) is InvalidImageUrl
        with pytest.raises(kind) as caught:
            fetch(open_fetcher(), server.url, vendor=True)
        assert caught.value.sent


def test_slow_file_ends_with_the_total_time():
    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        while not peer.client_left(0.05):
            peer.send(b"1\r\nx\r\n")

    with running(script) as server:
        for vendor, kind in ((False, InvalidImageUrl), (True, UpstreamTimeout)):
            begun = time.monotonic()
            with pytest.raises(kind):
                fetch(open_fetcher(total_s=0.4), server.url, vendor=vendor)
            assert time.monotonic() - begun < 5
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(), server.url, total_s=0.3)


def test_all_redirects_together_have_one_total_time():
    def script(peer):
        peer.request()
        if not peer.client_left(0.3):
            peer.answer(b"", "Location: /again", status="302 Found")

    with running(script) as server:
        begun = time.monotonic()
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(total_s=0.5), server.url, accept_redirects=1000)
        assert time.monotonic() - begun < 5
        assert server.connections <= 2


def test_silent_server_ends_with_the_time_to_the_first_byte():
    def script(peer):
        peer.client_left()

    with running(script) as server, pytest.raises(InvalidImageUrl):
        fetch(open_fetcher(first_byte_s=0.3), server.url)


def test_slow_resolver_does_not_hold_its_caller():
    over = threading.Event()

    def resolver(*_, **__):
        over.wait(30)
        return []

    fetcher = Fetcher(resolver=resolver, connect_s=0.3)
    begun = time.monotonic()
    try:
        with pytest.raises(InvalidImageUrl):
            fetch(fetcher, "http://slow.test/")
        assert time.monotonic() - begun < 5
    finally:
        over.set()


def test_caller_cannot_tell_why_an_address_was_not_reached():
    with socket.socket() as unused, running(lambda peer: peer.client_left()) as silent:
        unused.bind(("127.0.0.1", 0))
        nobody = unused.getsockname()[1]
        strict = Fetcher(resolver=names(inside_test=["10.0.0.1"]))
        lenient = open_fetcher(first_byte_s=0.2)
        results = [
            outcome(strict, "http://inside.test/"),
            outcome(strict, "http://unknown.test/"),
            outcome(strict, "http://[::1]/"),
            outcome(strict, "nonsense"),
            outcome(lenient, f"http://127.0.0.1:{nobody}/"),
            outcome(lenient, silent.url),
        ]
    assert {type(result) for result in results} == {InvalidImageUrl}
    assert len({result.message for result in results}) == 1


def test_next_address_is_tried_when_one_does_not_answer():
    with socket.socket() as unused, running(answering(b"ok")) as server:
        unused.bind(("127.0.0.2", 0))
        resolver = names(two_test=["127.0.0.2", "127.0.0.1"])
        fetcher = Fetcher(allow_private="on", resolver=resolver)
        assert fetch(fetcher, f"http://two.test:{server.port}/") == b"ok"


def test_abandoned_file_closes_its_connection_at_once():
    left = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"1\r\nx\r\n")
        if peer.client_left():
            left.set()

    with running(script) as server:
        with open_fetcher().open(server.url, limit=LIMIT):
            pass
        assert left.wait(2)
