"""Google's token endpoint, and the service accounts that it knows.

A process has one key pair; every service account made with `service_account`
(or fetched from `/_control/service-account?email=E`) signs with it. The email
is the credential in the ledger and its words choose the behaviour: `broken`
is answered with 500, `overloaded` with 503, `denied` and `wrong` with
`invalid_grant`, at the endpoint already.

Tokens are `ya29.sim.<email>.<random>`. Any other bearer but an API key counts as a user's
own token, which is valid unless its words say `wrong` or `expired`; what is
issued to an `expired` service account has expired already. Not modelled:
refresh tokens, user consent, domain-wide delegation, scopes.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import time
from functools import cache
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Blueprint, Response, request

from gateway.simulators.behaviour import Behaviour
from gateway.simulators.calls import Call, json_response, receive

bp = Blueprint("tokens", __name__)

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCE = "https://oauth2.googleapis.com/token"
_LIFETIME_S = 3599
_SKEW_S = 300
_LONGEST_S = 3600
_API_KEYS = ("AIza", "AQ.", "ark-", "sk-")
_TOKEN = re.compile(r"ya29\.sim\.(?P<email>[^/\s]+)\.(?P<expires>\d+)-\w+-(?P<seal>[0-9a-f]{32})")


class InvalidToken(ValueError):
    """A bearer that is not accepted; `reason` is Google's name for why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def service_account(
    base_url: str,
    email: str = "sim@sim.iam.gserviceaccount.com",
    *,
    expires_in: int | None = None,
) -> dict[str, str]:
    """Return the key file of a service account whose tokens come from `base_url`.

    `expires_in` is the lifetime of those tokens in seconds, if it shall not be Google's.
    """
    lifetime = "" if expires_in is None else f"?expires_in={expires_in}"
    private = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": "sim",
        "private_key_id": "sim-1",
        "private_key": private.decode(),
        "client_email": email,
        "client_id": "100000000000000000001",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": f"{base_url.rstrip('/')}/oauth2/token{lifetime}",
        "universe_domain": "googleapis.com",
    }


def identity_of(token: str) -> str:
    """Return the credential behind a bearer: an email, or the token of a user.

    Raises InvalidToken.
    """
    if token.startswith(_API_KEYS):
        raise InvalidToken("ACCESS_TOKEN_TYPE_UNSUPPORTED")
    if not token.startswith("ya29.sim."):
        words = Behaviour.of(token, {})
        if "expired" in words or "wrong" in words:
            raise InvalidToken("ACCESS_TOKEN_EXPIRED" if "expired" in words else "INVALID_TOKEN")
        return token
    match = _TOKEN.fullmatch(token)
    if match is None or not hmac.compare_digest(match["seal"], _seal(token.rpartition("-")[0])):
        raise InvalidToken("INVALID_TOKEN")
    expired = "expired" in Behaviour.of(match["email"], {})
    if expired or int(match["expires"]) <= time.time() * 1000:
        raise InvalidToken("ACCESS_TOKEN_EXPIRED")
    return match["email"]


@bp.post("/oauth2/token")
def issue() -> Response:
    """Exchange a signed assertion for an access token."""
    form = request.form
    claims, refusal = _claims(form.get("assertion", ""))
    email = str(claims.get("iss", "")) if claims else ""
    call = receive("oauth2.token", email, form.to_dict(), main=False)
    if form.get("grant_type") != GRANT_TYPE:
        return _refuse("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type')}")
    if refusal is not None:
        return _refuse("invalid_grant", refusal)
    return _behave(call) or _issue_token(call, request.args.get("expires_in", _LIFETIME_S, int))


@bp.get("/_control/service-account")
def give_service_account() -> Response:
    """Hand out the key file of a service account; any email will do."""
    options: dict[str, Any] = {"expires_in": request.args.get("expires_in", None, int)}
    if "email" in request.args:
        options["email"] = request.args["email"]
    return json_response(service_account(request.host_url, **options))


def _behave(call: Call) -> Response | None:
    words = call.behaviour
    if "broken" in words:
        return _refuse("internal_failure", "Internal error encountered.", 500)
    if "overloaded" in words:
        return _refuse("temporarily_unavailable", "The service is currently unavailable.", 503)
    if "denied" in words:
        return _refuse("invalid_grant", words.error_message("Account has been disabled."))
    if "wrong" in words:
        return _refuse("invalid_grant", words.error_message("Invalid grant: account not found"))
    return None


def _issue_token(call: Call, lifetime_s: int) -> Response:
    expires = int((time.time() + lifetime_s) * 1000)
    body = f"ya29.sim.{call.credential}.{expires}-{secrets.token_hex(8)}"
    call.ledger.token_issued()
    return json_response(
        {
            "access_token": f"{body}-{_seal(body)}",
            "expires_in": lifetime_s,
            "token_type": "Bearer",
        }
    )


def _refuse(error: str, description: str, status: int = 400) -> Response:
    return json_response({"error": error, "error_description": description}, status)


def _claims(assertion: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return the claims of an assertion, and why it is refused, if it is."""
    try:
        head, body, signature = assertion.split(".")
        header, claims = orjson.loads(_decoded(head)), orjson.loads(_decoded(body))
        mark = _decoded(signature)
    except (ValueError, binascii.Error):
        return None, "Invalid JWT: Token must be a signed JSON object in three parts."
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None, "Invalid JWT: Header and claims must be JSON objects."
    try:
        _key().public_key().verify(
            mark, f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return claims, "Invalid JWT Signature."
    return claims, _complaint(header, claims)


def _complaint(header: dict[str, Any], claims: dict[str, Any]) -> str | None:
    if header.get("alg") != "RS256":
        return "Invalid JWT: Unsupported algorithm."
    if not isinstance(claims.get("iss"), str) or not claims["iss"]:
        return "Invalid grant: account not found"
    if claims.get("aud") not in (_AUDIENCE, request.base_url, request.url):
        return "Invalid JWT: Failed audience check."
    if not claims.get("scope"):
        return "Invalid OAuth scope or ID token audience provided."
    issued, expires, now = claims.get("iat"), claims.get("exp"), time.time()
    if (
        not isinstance(issued, int)
        or not isinstance(expires, int)
        or not issued - _SKEW_S <= now <= expires + _SKEW_S
        or expires - issued > _LONGEST_S
    ):
        return (
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
            "timeframe. Check your iat and exp values in the JWT claim."
        )
    return None


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _secret() -> bytes:
    return secrets.token_bytes(32)


def _seal(body: str) -> str:
    return hmac.new(_secret(), body.encode(), "sha256").hexdigest()[:32]
