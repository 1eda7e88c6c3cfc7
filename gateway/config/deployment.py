"""Facts of the environment beside the settings: the platform, and variables that mean nothing."""

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
class DeploymentEnvironment:
    """`unknown_settings`: each variable with the setting that may be meant by it."""

    platform: str | None
    host: str  # the server's address to bind to
    unknown_settings: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, environ: Mapping[str, str], known: Sequence[str]) -> DeploymentEnvironment:
        platform = next((name for key, name in _PLATFORMS.items() if key in environ), None)
        every_interface = "DYNO" in environ or "PORT" in environ
        default = "0.0.0.0" if every_interface else "127.0.0.1"  # noqa: S104
        return cls(
            platform, environ.get("HOST") or default, tuple(_unknown_settings(environ, known))
        )

    @property
    def public(self) -> bool:
        """True if other machines may reach the gateway."""
        try:
            return not ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host != "localhost"


def _unknown_settings(
    environ: Mapping[str, str], known: Sequence[str]
) -> list[tuple[str, str | None]]:
    """Variables that begin like settings, and the singular of settings that are lists."""
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
