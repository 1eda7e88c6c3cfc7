"""Oddities of envelopes: pages of firewalls, wrapped errors, compression, labels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping

from flask import Response, request

_PAGE = (
    b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"
    b"<body>Sorry, you have been blocked</body></html>"
)


def apply(words: Mapping[str, int], response: Response) -> Response:
    """Return the response in the dress that the words ask for."""
    if "firewall" in words:
        return Response(_PAGE, words["firewall"], {"Server": "cloudflare"}, mimetype="text/html")
    if "noagent" in words and not request.headers.get("User-Agent"):
        return Response(b"error code: 1010", 403, content_type="text/plain; charset=UTF-8")
    if response.status_code >= 400 and response.is_json:
        response = _wrapped(words, response)
    if "gzipped" in words:
        response = _gzipped(response)
    if "mislabelled" in words:
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
    return response


def _gzipped(response: Response) -> Response:
    """Compress a body, also that of a stream, which is read whole."""
    data = gzip.compress(b"".join(response.iter_encoded()))
    response.close()
    headers = response.headers
    headers.pop("Content-Length", None)
    headers["Content-Encoding"] = "gzip"
    return Response(data, response.status_code, headers)


def _wrapped(words: Mapping[str, int], response: Response) -> Response:
    error = json.loads(response.get_data())
    if "aslist" in words and isinstance(error, dict):
        response.set_data(json.dumps([error]))
    if "astext" in words:
        inner = error[0] if isinstance(error, list) else error
        response.set_data(str(inner["error"]["message"]))
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
    return response
