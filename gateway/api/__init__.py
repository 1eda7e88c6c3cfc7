"""The HTTP side. Flask lives here and nowhere else."""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from gateway.api import console, hooks
from gateway.api.dialects.ark import endpoint as ark_dialect
from gateway.api.dialects.completions import endpoint as completions
from gateway.api.dialects.gemini import endpoint as google
from gateway.api.dialects.messages import endpoint as messages
from gateway.api.dialects.responses import endpoint as responses
from gateway.api.endpoints import (
    admin,
    chat,
    embeddings,
    files,
    generations,
    media,
    models,
    openapi,
    ops,
    unsupported,
    usage,
    videos,
)
from gateway.api.http import errors
from gateway.services import Services

ENDPOINTS = (
    *(chat, embeddings, generations, videos, files, media, models, ops, openapi, unsupported),
    *(usage, admin, console),
    *(ark_dialect, messages, responses, google, completions),
)


def register(app: Flask, *, trusted_proxies: int = 0, public_url: str | None = None) -> None:
    services: Services = app.extensions["gateway"]
    if trusted_proxies:
        # The nearest proxy says how it was reached, the outermost one who the client is.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=trusted_proxies)  # type: ignore[method-assign]
    hooks.register(app, services, public_url=public_url)
    errors.register(app)
    for endpoint in ENDPOINTS:
        app.register_blueprint(endpoint.bp)
