"""Members of protocol buffers in JSON: clients write them in camel or in snake case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gateway.api.dialects import reading
from gateway.api.dialects.reading import Object

_CAPITAL = re.compile("[A-Z]")


@lru_cache(maxsize=256)
def snake(name: str) -> str:
    return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)


def member(holder: Mapping[str, Any], name: str) -> Any:
    """The member with this name in camel case, whichever its spelling; None where it is not."""
    found = holder.get(name)
    return holder.get(snake(name)) if found is None else found


def an_object(holder: Object, name: str, path: str) -> Object:
    """A member that is an object; an empty one where it is not given."""
    return reading.optional_object({name: member(holder, name)}, name, path)


def text(holder: Object, name: str, path: str) -> str:
    return reading.text({name: member(holder, name)}, name, path)


def optional_text(holder: Object, name: str, path: str) -> str | None:
    return reading.optional_text({name: member(holder, name)}, name, path)
