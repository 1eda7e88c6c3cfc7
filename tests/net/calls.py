"""Small calls to a scripted server, by way of the one HTTP client."""

from __future__ import annotations


def post(http, url, body=b"{}", **options):
    """The status and the body of the answer to a small POST."""
    with http.send("POST", url, headers={"X-Test": "1"}, body=body, **options) as answer:
        return answer.status, answer.read()


def get(http, url, **options):
    with http.send("GET", url, headers={}, **options) as answer:
        return answer.read()


def collect(http, url, pieces, **options):
    """Add what arrives to `pieces`, also what arrives before an error."""
    with http.send("GET", url, headers={}, **options) as answer:
        for piece in answer.chunks():
            pieces.append(piece)
