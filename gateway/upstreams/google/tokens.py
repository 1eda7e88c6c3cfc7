"""Access tokens of service accounts, one refresh at a time.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import orjson

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountRejected,
    GatewayError,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.http.client import Answer, Http
from gateway.upstreams.base import ShareToken, Token, each_its_own
from gateway.upstreams.errors import date_s, retry_after_s

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever the key file's token_uri
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME_S = 3600
_EARLY_S = 240.0
_ANSWER_S = 15.0
_SKEW_S = 60.0  # by which clocks may differ


class Tokens:
    """Bearer tokens of accounts: their own, or those that their service account is granted.

    `clock` counts seconds and is never set back.
    """

    def __init__(
        self,
        http: Http,
        *,
        share: ShareToken = each_its_own,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._share = share
        self._clock = clock
        self._grants: dict[str, _Grant] = {}

    def bearer(self, account: Account) -> str:
        """A token that has not expired, as a rule for minutes to come.

        Raises AccountRejected when the key is malformed or Google refuses it, and other
        UpstreamErrors, with `sent` false, when no answer is to be had.
        """
        secret = account.secret.reveal()
        if not has_key_file(account):
            return secret
        # setdefault is atomic: every thread gets the same grant, and so the same lock.
        grant = self._grants.get(secret)
        if grant is None:
            fresh = _Grant(account.secret, self._share, self._clock)
            grant = self._grants.setdefault(secret, fresh)
        return grant.token(self._http)

    def forget(self, account: Account, token: str) -> None:
        """Fetch another token next time: the vendor refused this one before its end."""
        if grant := self._grants.get(account.secret.reveal()):
            grant.forget(token)


def shortened(timeouts: Timeouts, within_s: float) -> Timeouts:
    """The timeouts for a call that is answered at once, at a vendor that is else slow."""
    return replace(
        timeouts,
        first_byte_s=min(timeouts.first_byte_s, within_s),
        idle_s=min(timeouts.idle_s, within_s),
    )


def has_key_file(account: Account) -> bool:
    """Whether a credential is the JSON of a key file rather than a token.

    Never a caller's own: a key file names the address that tokens are asked of.
    """
    return not account.own and account.secret.reveal().lstrip().startswith("{")


class _Grant:
    """The token of one service account.

    Calls that find it expired wait for the one that fetches the next, and share what
    comes of it, be it an error.
    """

    __slots__ = (
        "_attempts",
        "_clock",
        "_expires_at",
        "_failure",
        "_lock",
        "_refused",
        "_secret",
        "_share",
        "_token",
    )

    def __init__(self, secret: Secret, share: ShareToken, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._share = share
        self._clock = clock
        self._lock = Lock()
        self._token = self._refused = ""
        self._expires_at = -inf
        self._attempts = 0
        self._failure: GatewayError | None = None

    def token(self, http: Http) -> str:
        left_s = self._expires_at - self._clock()
        if left_s > _EARLY_S:
            return self._token
        attempts = self._attempts
        # While the old token lasts, whoever comes first renews it and nobody waits.
        if not self._lock.acquire(blocking=left_s <= 0):
            return self._token
        try:
            if self._expires_at - self._clock() > _EARLY_S:
                return self._token
            if self._attempts != attempts and self._failure is not None:
                raise _again(self._failure)
            return self._renew(http)
        finally:
            self._lock.release()

    def _renew(self, http: Http) -> str:
        asked_at = self._clock()
        self._failure = None  # of the time before; whoever leaves now has none to share
        try:
            token, left_s = self._share(
                self._secret.digest, lambda: _fetch(http, self._secret.reveal()), self._usable
            )
        except GatewayError as exc:
            if self._expires_at > self._clock():
                return self._token
            self._failure = exc
            raise
        else:
            self._token, self._expires_at = token, asked_at + left_s
            return token
        finally:
            self._attempts += 1

    def _usable(self, token: Token) -> bool:
        return token.left_s > _EARLY_S and token.text != self._refused

    def forget(self, token: str) -> None:
        with self._lock:  # not to forget the one that is just being fetched
            if token == self._token:
                self._refused = token
                self._expires_at = -inf


def _again(error: GatewayError) -> GatewayError:
    """The same error for another caller; an exception object belongs to one traceback."""
    return type(error)(error.message, retry_after=error.retry_after)


def _fetch(http: Http, secret: str, now: float | None = None) -> Token:
    """A fresh token; `now` is what the vendor's clock says, where ours was refused."""
    signed_at = time.time() if now is None else now
    url, form = _request(secret, signed_at)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        timeouts = shortened(http.timeouts, _ANSWER_S)
        with http.send("POST", url, headers=headers, body=form, timeouts=timeouts) as answer:
            if answer.status == 200:
                grant = answer.json()
            else:
                theirs = date_s(answer.headers)
                if now is None and theirs is not None and abs(theirs - signed_at) > _SKEW_S:
                    return _fetch(http, secret, theirs)
                raise _refusal(answer)
        return Token(str(grant["access_token"]), float(grant.get("expires_in", _LIFETIME_S)))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UpstreamInvalidResponse("Google's token service sent no token") from None
    except GatewayError as exc:
        exc.sent = False  # nothing was asked of the vendor itself
        raise


def _request(secret: str, now: float) -> tuple[str, bytes]:
    """Address and form of the exchange of a signed assertion for a token."""
    from google.auth import jwt  # with all of cryptography behind it
    from google.auth.crypt import RSASigner

    try:
        key: Mapping[str, Any] = orjson.loads(secret)
        claims = {
            "iat": int(now),
            "exp": int(now) + _LIFETIME_S,
            "iss": key["client_email"],
            "aud": _AUDIENCE,
            "scope": _SCOPE,
        }
        assertion = jwt.encode(RSASigner.from_service_account_info(key), claims)
        url = str(key.get("token_uri") or _AUDIENCE)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise AccountRejected("the service-account key of this account is malformed") from None
    return url, urlencode({"assertion": assertion, "grant_type": _GRANT}).encode()


def _refusal(answer: Answer) -> GatewayError:
    """400 invalid_grant and its like are the account's fault, 429 and 5xx are Google's."""
    if answer.status == 429 or answer.status >= 500:
        kind: type[UpstreamError] = UpstreamOverloaded
        message = f"Google's token service failed (HTTP {answer.status})"
    else:
        kind = AccountRejected
        message = "Google refuses the service account of this account"
    return kind(message, retry_after=retry_after_s(answer.headers))
