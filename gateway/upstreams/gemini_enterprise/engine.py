"""URLs of a Gemini Enterprise engine, and the headers of a call.

https://docs.cloud.google.com/gemini/enterprise/docs/locations
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.accounts import Account
from gateway.domain.errors import AccountRejected, ModelNotFound, UpstreamError
from gateway.upstreams.errors import Row
from gateway.upstreams.google import errors as google_errors
from gateway.upstreams.registry import VENDORS

API = "v1alpha"  # the only version that knows context files
_NAME = "gemini-enterprise"
VENDOR = VENDORS[_NAME].title

# A resource that is not there is one that the account names: its engine, or its host. And no
# caller can do anything about the state that a session is in.
TABLE: Sequence[Row] = (
    Row(400, "", r"\bmodel ?id\b", ModelNotFound),
    # A session that is not there says nothing of the account; an engine that is not there does.
    Row(404, "", r"^session\b|/sessions/", UpstreamError),
    Row(403, "", r"^session is not owned", UpstreamError),
    Row(404, "", "", AccountRejected),
    *google_errors.TABLE,
    Row(400, "FAILED_PRECONDITION.*", "", UpstreamError),
)

_ENGINE = re.compile(
    r"projects/(?P<project>[^/\s]+)/locations/(?P<location>[a-z0-9-]+)"
    r"/collections/[^/\s]+/engines/[^/\s]+"
)


@dataclass(frozen=True, slots=True)
class Engine:
    """`root` is everything before a resource name, with its slash."""

    name: str
    project: str
    root: str

    @property
    def sessions_url(self) -> str:
        return f"{self.root}{self.name}/sessions"

    @property
    def assist_url(self) -> str:
        return f"{self.root}{self.name}/assistants/default_assistant:streamAssist"

    def url(self, resource: str) -> str:
        return self.root + resource

    def file_url(self, session: str) -> str:
        """URL to which a session's files are uploaded."""
        return f"{self.root}{session}:addContextFile"

    def headers(self, bearer: str, *, own_token: bool) -> Mapping[str, str]:
        """A user's own token needs a project to charge; a service account brings its own."""
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        if own_token:
            headers["X-Goog-User-Project"] = self.project
        return headers


def engine_of(account: Account, engine: str | None, base_url: str) -> Engine:
    """The account's engine, else the common one, at the host that serves its location.

    Raises AccountRejected when neither is the name of an engine.
    """
    name = (account.engine or engine or "").strip("/")
    match = _ENGINE.fullmatch(name)
    if match is None:
        raise AccountRejected(
            "the account has no engine: give projects/P/locations/L/collections/C/engines/E"
        )
    base_url = (account.base_url or base_url).rstrip("/").removesuffix(f"/{API}")
    location = match["location"]
    own = VENDORS[_NAME].base_url
    if base_url == own and location != "global":
        base_url = own.replace("://", f"://{location}-")
    return Engine(name, match["project"], f"{base_url}/{API}/")
