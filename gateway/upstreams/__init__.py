"""Adapters of the vendors, which `registry` lists."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.models import ModelTable
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.base import Adapter
from gateway.upstreams.registry import VENDORS


def open_upstreams(
    clients: Mapping[str, Http],
    fetcher: Fetcher,
    *,
    base_urls: Mapping[str, str],
    engines: Mapping[str, str],
    models: ModelTable | None = None,
) -> Mapping[str, Adapter]:
    """Adapters by upstream, as `clients`, `base_urls` and `engines` are."""
    return {
        name: spec.load()(
            spec,
            clients[name],
            fetcher,
            base_url=base_urls.get(name),
            engine=engines.get(name),
            models=models,
        )
        for name, spec in VENDORS.items()
    }
