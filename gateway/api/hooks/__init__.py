"""The hook before each request and the one after it."""

from __future__ import annotations

from flask import Flask, Response

from gateway.api.app import ApiResponse
from gateway.api.context import begin, current
from gateway.api.hooks import auth, host_check, rate_limits, request_log, response_headers
from gateway.services import Services


def register(app: Flask, services: Services, *, public_url: str | None) -> None:
    host_check_for = host_check.HostCheck(public_url) if public_url else None

    @app.before_request
    def before() -> Response | None:
        context = begin(services)
        request_log.begin(context)
        if (preflight := response_headers.preflight(context)) is not None:
            return preflight
        if host_check_for is not None:
            host_check_for(context)
        if auth.needs_credential(context):
            auth.authenticate(context)
        return None

    @app.after_request
    def after(response: ApiResponse) -> ApiResponse:
        context = current()
        response_headers.add(context, response)
        request_log.end_with(context, response)
        return response

    rate_limits.register(app, services.limits)

    @app.teardown_request
    def unanswered(error: BaseException | None) -> None:
        request_log.end_unanswered(current(), error)
