from __future__ import annotations

import pytest

GET = "GET /plain HTTP/1.1\r\n"
HOST = "Host: test\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        (f"get /plain HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"GET /plain HTTP/2.0\r\n{HOST}\r\n", 400),
        (f"GET /pl\x7fain HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"{GET}\r\n", 400),
        (f"{GET}{HOST}{HOST}\r\n", 400),
        (f"{GET}Host: test/?x\r\n\r\n", 400),
        (f"{GET}Host: test#x\r\n\r\n", 400),
        (f"{GET}Host: a b\r\n\r\n", 400),
        (f"{GET}{HOST}X-A : 1\r\n\r\n", 400),
        (f"{GET}{HOST}X-A: 1\r\n folded\r\n\r\n", 400),
        (f"{GET}{HOST}X-A: \0\r\n\r\n", 400),
        (f"{GET}{HOST}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        (f"{GET}{HOST}Content-Length: +1\r\n\r\nx", 400),
        (f"{GET}{HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (f"{GET}{HOST}Transfer-Encoding: xchunked\r\n\r\n", 501),
        (f"{GET}{HOST}Expect: a-miracle\r\n\r\n", 417),
        (f"GET /{'x' * 9000} HTTP/1.1\r\n{HOST}\r\n", 414),
        (f"{GET}{HOST}X-A: {'x' * 9000}\r\n\r\n", 431),
        (f"{GET}{HOST}" + "X-A: 1\r\n" * 200 + "\r\n", 431),
    ],
)
def test_request_that_cannot_be_read_is_refused_in_the_shape_of_the_api(
    server, request_bytes, status
):
    with server.client() as client:
        answer = client.send(request_bytes.encode("latin-1")).answer()
        assert answer.status == status
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"]
        assert answer.headers["connection"] == "close"
        assert client.closed()


def test_refusal_is_one_line_in_the_log(server):
    with server.client() as client:
        client.send(b'GET / HTTP/1.1\r\nHost: test\r\nX"evil\x1b[2J: 1\r\n\r\n').answer()
    (line,) = server.log().splitlines()
    assert "refused a request from" in line
    assert line.isprintable()


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"{GET}{HOST}Authorization Bearer sk-canary\r\n\r\n",
        f"{GET}{HOST}Authorization : Bearer sk-canary\r\n\r\n",
        f"{GET}{HOST}Authorization: Bearer\r\n sk-canary\r\n\r\n",
        f"{GET}{HOST}Authorization: Bearer sk-canary\0\r\n\r\n",
        f"{GET}{HOST}sk-canary\r\n\r\n",
        f"{GET}{HOST}Expect: sk-canary\r\n\r\n",
        f"{GET}{HOST}Transfer-Encoding: sk-canary\r\n\r\n",
        f"{GET}Host: sk-canary/\r\n\r\n",
        f"{GET}{HOST}Content-Length: sk-canary\r\n\r\n",
        f"GET /plain?key=sk-canary\r\n{HOST}\r\n",
        f"GET /plain?key=sk-canary HTTP/sk-canary\r\n{HOST}\r\n",
        f"GET /plain?key=sk-canary\x7f HTTP/1.1\r\n{HOST}\r\n",
        f"sk-canary /plain HTTP/1.1\r\n{HOST}\r\n",
        f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nsk-canary\r\n",
        f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nxsk-canary\r\n",
    ],
)
def test_what_cannot_be_read_leaves_no_credential_in_the_log(server, request_bytes):
    with server.client() as client:
        assert client.send(request_bytes.encode("latin-1")).answer().status >= 400
    assert "canary" not in server.log()


def test_rejected_request_is_not_followed_by_what_it_smuggled(server):
    with server.client() as client:
        client.send(f"{GET}{HOST}Content-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        client.get("/plain?smuggled=1")
        assert client.answer().status == 400
        assert client.closed()


def test_repeated_headers_are_one_list(server):
    environ = server.get("/environ", "X-A: 1", "X-A: 2", "X_A: 3").json()
    assert environ["HTTP_X_A"] == "1,2"


def test_environ_says_who_asks_what(server):
    environ = server.get("/environ?a=%20b", "Content-Type: text/x").json()
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == "/environ"
    assert environ["QUERY_STRING"] == "a=%20b"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_PORT"] == str(server.port)
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["CONTENT_TYPE"] == "text/x"
    assert environ["HTTP_HOST"] == "test"
    assert environ["wsgi.url_scheme"] == "http"


def test_path_is_decoded_once(server):
    assert server.get("/%2561").json() == {"path": "/%61"}
    assert server.get("//plain/").json()["pid"]
