"""The console: pages for operators and for owners of keys. They use what the API uses."""

from gateway.api.console import actions, entry, pages
from gateway.api.console.site import bp

__all__ = ["actions", "bp", "entry", "pages"]
