"""Calls to vendors pass through the configured proxy; links of callers never do."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest

from gateway.domain.errors import InvalidImageUrl, UpstreamUnreachable
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from tests.net.servers import answering, running


def proxy(seen):
    """A proxy that tunnels to the port that is asked for, on this machine."""

    def script(peer):
        line, headers = peer.head()
        seen.append((line, headers.get("proxy-authorization")))
        if "refused" in line:
            peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", int(line.split(" ")[1].split(":")[1]))) as far:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(far, peer.sock))
            back.start()
            pump(peer.sock, far)
            back.join()

    return script


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def fetched(http, url):
    with closing(http), http.send("GET", url, headers={}) as answer:
        return answer.read()


def test_https_passes_through_the_proxy_of_the_environment(monkeypatch, authority):
    seen = []
    with (
        running(answering(), tls=authority.server("localhost")) as vendor,
        running(proxy(seen)) as between,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass%40word@127.0.0.1:{between.port}")
        assert fetched(Http(ca_file=authority.file), vendor.secure_url) == b"{}"
        assert seen == [(f"CONNECT localhost:{vendor.port} HTTP/1.1", "Basic dXNlcjpwYXNzQHdvcmQ=")]
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert fetched(Http(ca_file=authority.file), vendor.secure_url) == b"{}"
        assert len(seen) == 1


def test_a_proxy_of_a_vendors_own_comes_before_that_of_the_environment(monkeypatch):
    seen = []
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with running(answering()) as vendor, running(proxy(seen)) as between:
        own = f"http://127.0.0.1:{between.port}"
        assert fetched(Http(proxy=own), vendor.url) == b"{}"
        assert len(seen) == 1
        assert fetched(Http(proxy=""), vendor.url) == b"{}"
        assert len(seen) == 1


def test_a_proxy_that_refuses_was_sent_nothing():
    with running(proxy([])) as between, pytest.raises(UpstreamUnreachable) as caught:
        fetched(Http(proxy=f"http://127.0.0.1:{between.port}"), "http://refused.test/")
    assert not caught.value.sent
    assert "403" in caught.value.message


def test_links_of_callers_pass_through_no_proxy(monkeypatch):
    seen = []
    with running(proxy(seen)) as between:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{between.port}")
        with pytest.raises(InvalidImageUrl), Fetcher().open("https://127.0.0.1:9/", limit=1):
            pass
    assert seen == []
