"""Flask lives here and nowhere else."""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from gateway.api.dialects.messages import endpoint as messages
from gateway.api.endpoints import chat, files, generations, media, models, ops, unsupported, videos
from gateway.api.endpoints import openapi as reference
from gateway.api.hooks import auth
from gateway.api.hooks import host_check as hosts
from gateway.api.hooks import rate_limits as limits
from gateway.api.hooks import request_log as ended
from gateway.api.hooks import response_headers as answers
from gateway.api.http import errors


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
    for module in (messages,):
        app.register_blueprint(module.bp)
