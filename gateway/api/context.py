"""The request that is being answered, and what is known of it."""

from __future__ import annotations

from flask import Request
from flask.globals import _cv_app, _cv_request

from gateway.domain.accounts import Caller
from gateway.services import Services
from gateway.services.access.limits import Standing
from gateway.services.routing.dispatch import Trace


class State:
    """What is known of the request being answered: Flask's `g`, with a place for everything."""

    trace: Trace
    started = 0.0  # by the monotonic clock
    caller: Caller | None = None  # unknown yet, or where no credential is asked for
    standing: Standing | None = None
    first_byte_at: float | None = None
    answered = False  # there is a response, whose end will be noticed
    keyed = False  # it has an Idempotency-Key
    replayed = False  # its answer was made for an equal request
    paid = False  # it may begin work that is paid for
    close_connection = False


# Flask's proxies look for the present request at every attribute, in several calls; these
# are asked so often that they look once.


def state() -> State:
    return _cv_app.get().g  # type: ignore[return-value]  # of `App.app_ctx_globals_class`


def the_request() -> Request:
    return _cv_request.get().request


def trace() -> Trace:
    return state().trace


def services() -> Services:
    return _cv_app.get().app.extensions["gateway"]  # type: ignore[no-any-return]
