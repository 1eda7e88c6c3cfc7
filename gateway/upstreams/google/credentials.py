"""Access tokens of Google service accounts, by google-auth over our transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock, Thread
from typing import Any

import orjson

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountRejected,
    GatewayError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.http.client import Http

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105  # of a key file that names none
_ANSWER_S = 15.0


class GoogleCredentials:
    """Bearer tokens of accounts: an access token of their own, or their service account's."""

    def __init__(self, http: Http) -> None:
        self._transport = _Transport(http)
        self._of_secrets: dict[str, _ServiceAccount] = {}

    def bearer(self, account: Account) -> str:
        """A token that has not expired.

        Raises AccountRejected when the key is malformed or Google refuses it, and other
        UpstreamErrors, with `sent` false, when no answer is to be had.
        """
        if not has_key_file(account):
            return account.secret.reveal()
        found = self._of_secrets.get(account.secret.reveal())
        if found is None:
            # setdefault is atomic: every thread gets the same object, and so the same lock.
            fresh = _ServiceAccount(account.secret)
            found = self._of_secrets.setdefault(account.secret.reveal(), fresh)
        return found.token(self._transport)

    def forget(self, account: Account, token: str) -> None:
        """Fetch another token next time: the vendor refused this one before its end."""
        if found := self._of_secrets.get(account.secret.reveal()):
            found.forget(token)


def has_key_file(account: Account) -> bool:
    """Tell a service account's key file from an access token.

    Never true of a caller's own credential: a key file names the address that is asked.
    """
    return not account.own and account.secret.reveal().lstrip().startswith("{")


def shortened(timeouts: Timeouts, within_s: float) -> Timeouts:
    """Timeouts for a call that is answered at once, at a vendor that is otherwise slow."""
    return replace(
        timeouts,
        first_byte_s=min(timeouts.first_byte_s, within_s),
        idle_s=min(timeouts.idle_s, within_s),
    )


class _ServiceAccount:
    """Credentials of one service account. One call refreshes, others that need it wait.

    A failed refresh is the failure of all that waited for it.
    """

    def __init__(self, secret: Secret) -> None:
        self._credentials = _load(secret)
        self._lock = Lock()
        self._refreshes = 0
        self._failure: GatewayError | None = None

    def token(self, transport: _Transport) -> str:
        from google.auth.credentials import TokenState

        credentials, refreshes = self._credentials, self._refreshes
        token, state = credentials.token, credentials.token_state
        if state == TokenState.FRESH:
            return str(token)
        if state == TokenState.STALE:  # its last minutes: nobody waits for the next one
            if self._lock.acquire(blocking=False):
                Thread(target=self._refresh_ahead, args=(transport,), daemon=True).start()
            return str(token)
        with self._lock:
            if credentials.token_state == TokenState.INVALID:
                if self._refreshes != refreshes and self._failure is not None:
                    raise _copy(self._failure)
                self._refresh(transport)
            return str(credentials.token)

    def forget(self, token: str) -> None:
        with self._lock:  # not to forget the token that is being fetched
            if self._credentials.token == token:
                self._credentials.token = None

    def _refresh_ahead(self, transport: _Transport) -> None:
        try:
            self._refresh(transport)
        except GatewayError:
            pass  # the token has not expired; the call that finds it so raises
        finally:
            self._lock.release()

    def _refresh(self, transport: _Transport) -> None:
        from google.auth.exceptions import GoogleAuthError

        self._failure = None
        try:
            self._credentials.refresh(transport)
        except GoogleAuthError as err:
            self._failure = _failure(err)
            raise self._failure from None
        except GatewayError as err:
            self._failure = err
            raise
        except (TypeError, ValueError, AttributeError):
            self._failure = UpstreamInvalidResponse("Google's token service sent no token")
            raise self._failure from None
        finally:
            self._refreshes += 1


class _Transport:
    """google.auth.transport.Request over our client, which keeps connections and deadlines."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._timeouts = shortened(http.timeouts, _ANSWER_S)

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Response:
        try:
            with self._http.send(
                method, url, headers=headers or {}, body=body, timeouts=self._timeouts
            ) as answer:
                return _Response(answer.status, answer.headers, answer.read())
        except GatewayError as err:
            err.sent = False  # the vendor itself was asked nothing
            raise


class _Response:
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


def _load(secret: Secret) -> Any:
    from google.oauth2.service_account import Credentials  # with all of cryptography behind it

    try:
        info = {"token_uri": _TOKEN_URI, **orjson.loads(secret.reveal())}
        return Credentials.from_service_account_info(info, scopes=[_SCOPE])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise AccountRejected("the service-account key of this account is malformed") from None


def _failure(err: Any) -> GatewayError:
    """400 invalid_grant and its like are the account's fault, 429 and 5xx are Google's."""
    if err.retryable:
        return UpstreamOverloaded("Google's token service is overloaded")
    if "No access token" in str(err):
        return UpstreamInvalidResponse("Google's token service sent no token")
    return AccountRejected("Google refuses the service account of this account")


def _copy(error: GatewayError) -> GatewayError:
    """The same error for another caller; an exception object belongs to one traceback."""
    return type(error)(error.message, retry_after=error.retry_after)
