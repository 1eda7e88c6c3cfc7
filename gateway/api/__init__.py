"""Flask lives here and nowhere else."""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from gateway.api import (
    answers,
    auth,
    chat,
    ended,
    errors,
    files,
    generations,
    hosts,
    limits,
    media,
    models,
    ops,
    reference,
    unsupported,
    videos,
)


def register(app: Flask, *, trusted_proxies: int = 0, public_url: str | None = None) -> None:
    if trusted_proxies:
        # The nearest proxy says how it was reached, the outermost one who the client is.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=trusted_proxies)  # type: ignore[method-assign]
    answers.register(app)
    ended.register(app)
    hosts.register(app, public_url)
    auth.register(app)
    limits.register(app)
    errors.register(app)
    for module in (chat, generations, videos, files, media, models, ops, reference, unsupported):
        app.register_blueprint(module.bp)
