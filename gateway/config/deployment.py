"""What the environment tells beside the settings: where the gateway runs, what was misspelt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address

# Variables that hosting platforms set. All of them put a proxy in front and lose the disk.
_PLATFORMS = {
    "DYNO": "Heroku",
    "RENDER": "Render",
    "FLY_APP_NAME": "Fly.io",
    "K_SERVICE": "Cloud Run",
    "RAILWAY_ENVIRONMENT": "Railway",
    "WEBSITE_INSTANCE_ID": "Azure App Service",
}
_OURS = "GATEWAY_"
_INTERNAL = frozenset({"GATEWAY_DEMO_URL"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    platform: str | None
    host: str  # what the server binds to
    misspelt: tuple[tuple[str, str | None], ...]  # variable -> what may be meant

    @classmethod
    def of(cls, environ: Mapping[str, str], known: Sequence[str]) -> Surroundings:
        platform = next((name for key, name in _PLATFORMS.items() if key in environ), None)
        everywhere = "DYNO" in environ or "PORT" in environ
        host = environ.get("HOST") or ("0.0.0.0" if everywhere else "127.0.0.1")  # noqa: S104
        return cls(platform, host, tuple(_misspelt(environ, known)))

    @property
    def public(self) -> bool:
        """Whether others than this machine may reach the gateway."""
        try:
            return not ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host != "localhost"


def _misspelt(environ: Mapping[str, str], known: Sequence[str]) -> list[tuple[str, str | None]]:
    """Variables that begin like ours, and the singular of those that are lists."""
    singular = {name.removesuffix("S"): name for name in known if name.endswith("_KEYS")}
    found: list[tuple[str, str | None]] = []
    for name in sorted(environ):
        if name in known or name in _INTERNAL:
            continue
        if name in singular:
            found.append((name, singular[name]))
        elif name.startswith(_OURS):
            close = get_close_matches(name, known, n=1)
            found.append((name, close[0] if close else None))
    return found
