"""The vendors. One vendor is one module or folder; this is the one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.ark import Ark
from gateway.upstreams.base import ShareToken, Upstream
from gateway.upstreams.gemini import Gemini
from gateway.upstreams.gemini_enterprise import GeminiEnterprise
from gateway.upstreams.openai.adapter import OpenAI

# A vendor's own model ids pass through, recognised by their beginning.
PREFIXES = {"doubao-": "ark", "ep-": "ark", "gemini-": "gemini"}

_BASE_URLS = {
    "ark": "https://ark.cn-beijing.volces.com/api/v3",
    "gemini": "https://generativelanguage.googleapis.com",
    "gemini-enterprise": "https://discoveryengine.googleapis.com",
    "openai": "https://api.openai.com/v1",
}


def open_upstreams(
    clients: Mapping[str, Http],
    fetcher: Fetcher,
    *,
    base_urls: Mapping[str, str],
    engine: str | None,
    share_token: ShareToken,
) -> Mapping[str, Upstream]:
    """`clients` and `base_urls` by upstream; a base URL that is missing is the vendor's own."""
    urls = {**_BASE_URLS, **base_urls}
    return {
        "ark": Ark(clients["ark"], base_url=urls["ark"], fetcher=fetcher),
        "gemini": Gemini(clients["gemini"], base_url=urls["gemini"], fetcher=fetcher),
        "gemini-enterprise": GeminiEnterprise(
            clients["gemini-enterprise"],
            base_url=urls["gemini-enterprise"],
            fetcher=fetcher,
            engine=engine,
            share_token=share_token,
        ),
        "openai": OpenAI(clients["openai"], base_url=urls["openai"], fetcher=fetcher),
    }
