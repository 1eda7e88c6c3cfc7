"""Models by name, and the upstreams that serve them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from gateway.domain.accounts import Caller, Kind
from gateway.domain.errors import ModelNotAllowed, ModelNotFound
from gateway.upstreams.base import Upstream
from gateway.upstreams.registry import VENDORS

# Several words joined by slashes, as in `meta-llama/Llama-3.3-70B-Instruct:free`.
_VENDOR_ID = re.compile(r"\w[\w.:@+-]*(?:/\w[\w.:@+-]*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Route:
    upstream: Upstream
    model: str  # the vendor's id


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    kind: Kind
    routes: tuple[Route, ...]


class Catalog:
    """Configured names first, then patterns such as `claude-*`, then vendors' own ids.

    A longer pattern comes before a shorter one. A vendor's id is recognised by its prefix.
    """

    def __init__(
        self,
        models: Sequence[Model],
        upstreams: Mapping[str, Upstream],
    ) -> None:
        self._models = {model.name: model for model in models if "*" not in model.name}
        self._folded = {name.casefold(): model for name, model in self._models.items()}
        self._patterns = sorted(
            (model for model in models if "*" in model.name),
            key=lambda model: len(model.name),
            reverse=True,
        )
        self._upstreams = upstreams

    def __iter__(self) -> Iterator[Model]:
        """The models that can be listed: a pattern stands for names that nobody has chosen."""
        return iter(self._models.values())

    @property
    def names(self) -> list[str]:
        """Names of all configured models, patterns among them."""
        return [*self._models, *(model.name for model in self._patterns)]

    def upstream(self, name: str) -> Upstream:
        return self._upstreams[name]

    def find(self, name: str, caller: Caller) -> Model:
        """Raises ModelNotFound, or ModelNotAllowed when the caller's key excludes the model."""
        model = self._models.get(name) or self._lookup(name.strip())
        if model is None:
            raise ModelNotFound(
                f"The model {name[:256]!r} does not exist; GET /v1/models lists those that do.",
                param="model",
            )
        if not caller.may_use(name) and not caller.may_use(model.name):
            raise ModelNotAllowed(f"This key may not use the model {name[:256]!r}.", param="model")
        return model

    def _lookup(self, name: str) -> Model | None:
        if known := self._folded.get(name.casefold().removesuffix(":latest")):
            return known
        for model in self._patterns:
            if fnmatchcase(name.casefold(), model.name.casefold()):
                return replace(model, routes=tuple(_named(r, name) for r in model.routes))
        prefix, slash, rest = name.partition("/")
        if slash and prefix in self._upstreams:
            return self._direct(name, prefix, rest)
        for upstream, spec in VENDORS.items():
            if name.startswith(spec.model_prefixes):
                return self._direct(name, upstream, name)
        return None

    def _direct(self, name: str, upstream: str, vendor_id: str) -> Model | None:
        if not _VENDOR_ID.fullmatch(vendor_id):
            return None
        served_by = self._upstreams[upstream]
        return Model(name, served_by.kind_of(vendor_id), (Route(served_by, vendor_id),))


def _named(route: Route, name: str) -> Route:
    """The route of a pattern, with the name that was asked for where its model is `*`."""
    return Route(route.upstream, name) if route.model == "*" else route
