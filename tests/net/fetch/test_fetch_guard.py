"""The door for URLs from outside: nothing inside is reached, and the public is not kept out."""

from __future__ import annotations

import random

import pytest

from gateway.domain.errors import (
    InvalidImageUrl,
    UpstreamUnreachable,
)
from gateway.net.fetch.addresses import is_public
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http import adapter
from tests.net.fetching import WATCH, fetch, names, outcome
from tests.net.servers import answering, running
from tests.net.spellings import INSIDE_4, INSIDE_6, spellings_4, urls_inside


@pytest.fixture
def web_ports(monkeypatch):
    """Lets the ports of test servers pass for the web's, so that the address alone decides."""
    ports = {80, 443}
    monkeypatch.setattr("gateway.net.fetch.fetcher.WEB_PORTS", ports)
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

    def connect(host, port, found, **_):
        reached.append((host, found[0][1][0]))
        raise UpstreamUnreachable("no network in tests")

    monkeypatch.setattr(adapter, "connect", connect)
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
