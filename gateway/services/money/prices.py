"""Costs of calls by the table of prices: of what was used, and bounds of what may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from gateway.domain.embeddings import EmbeddingRequest
from gateway.domain.events import Usage
from gateway.domain.models import ModelFacts
from gateway.domain.money import Basis, CostRange, Money, Price, nanos, per_million
from gateway.domain.requests import ChatRequest, ImageRequest, VideoRequest
from gateway.domain.token_estimate import Estimate, request_tokens
from gateway.services.routing.catalog import Route

Request = ChatRequest | ImageRequest | VideoRequest | EmbeddingRequest

_MOST_OUTPUT = 8192  # tokens, of a model whose limit is not known
_FRAMES = 24  # a second of video
_PIXELS = {"480p": 854 * 480, "720p": 1280 * 720, "1080p": 1920 * 1080, "4k": 3840 * 2160}
_DEFAULT_RESOLUTION = "720p"
_DEFAULT_S, _LONGEST_S = 5.0, 15.0
_TIERS = ((700_000, "512"), (1_600_000, "1K"), (7_000_000, "2K"))  # fewest pixels first
_TOP_TIER = "4K"


class _Prices:
    """Prices by an exact name, else by the longest pattern."""

    def __init__(self, prices: Sequence[Price]) -> None:
        self._exact = {p.pattern: p for p in prices if not _is_pattern(p.pattern)}
        patterns = [p for p in prices if _is_pattern(p.pattern)]
        self._patterns = sorted(patterns, key=lambda p: len(p.pattern), reverse=True)

    def find(self, upstream: str, model: str) -> Price | None:
        """The price of a vendor's model; one that names the upstream too comes first."""
        return self._search(f"{upstream}/{model}", "/") or self._search(model, "")

    def _search(self, name: str, part: str) -> Price | None:
        if (exact := self._exact.get(name)) is not None:
            return exact
        matching = (p for p in self._patterns if part in p.pattern and fnmatchcase(name, p.pattern))
        return next(matching, None)


class PriceTable:
    """The operator's prices, and the vendors' list prices where there are none."""

    def __init__(self, money: Money) -> None:
        self._tables = (_Prices(money.prices), _Prices(money.list_prices))
        self._rates = money.rates
        self._found: dict[tuple[str, str], Price | None] = {}

    def find(self, upstream: str, model: str) -> Price | None:
        key = (upstream, model)
        if key not in self._found:
            if len(self._found) > 1000:  # callers choose the names
                self._found.clear()
            found = (table.find(upstream, model) for table in self._tables)
            self._found[key] = next((price for price in found if price is not None), None)
        return self._found[key]

    def price(
        self, usage: Usage, upstream: str, models: Iterable[str], request: Request | None = None
    ) -> None:
        """Set what the usage costs, by the first of the models that has a price."""
        found = next((p for m in models if (p := self.find(upstream, m)) is not None), None)
        if found is None:
            return
        usage.cost = self._nanos(found, _used(found, usage, request))
        usage.cost_basis = "estimated" if usage.estimated else "vendor"

    def range(self, routes: Iterable[Route], request: Request) -> CostRange:
        """Bounds of what the request may cost, on the dearest of the routes."""
        low = high = 0
        basis: Basis = "unknown"
        for route in routes:
            price = self.find(route.upstream.name, route.model)
            if price is None:
                continue
            least, most = _bounds(price, request, route.upstream.facts(route.model))
            low = max(low, self._nanos(price, least))
            high = max(high, self._nanos(price, most))
            basis = "estimated"
        return CostRange(low, high, basis)

    def _nanos(self, price: Price, amount: float) -> int:
        return nanos(amount * self._rates[price.currency])


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def _used(price: Price, usage: Usage, request: Request | None) -> float:
    """In the price's currency."""
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    total = per_million(price.input or 0.0, usage.prompt_tokens - cached)
    total += per_million(cached_price or 0.0, cached)
    if usage.images and price.image is not None:
        total += usage.images * _image(price, request)
    elif not usage.videos:
        total += per_million(price.output or 0.0, usage.completion_tokens)
    if usage.videos:
        total += _video(price, request, usage.completion_tokens)
    return total


def _bounds(price: Price, request: Request, facts: ModelFacts | None) -> tuple[float, float]:
    if isinstance(request, VideoRequest):
        most = _video(price, request, _video_tokens(request))
        return most, most
    if isinstance(request, ImageRequest):
        words = Estimate()
        words.add(request.prompt)
        asked = per_million(price.input or 0.0, words.tokens)
        each = _image(price, request) or per_million(price.output or 0.0, _MOST_OUTPUT)
        return asked + each, asked + each * max(request.n, request.group or 1)
    if isinstance(request, EmbeddingRequest):
        asked = per_million(price.input or 0.0, _embedding_tokens(request))
        return asked, asked
    asked = per_million(price.input or 0.0, request_tokens(request))
    params = request.params
    limit = params.get("max_completion_tokens") or params.get("max_tokens")
    limit = limit or (facts.output_tokens if facts is not None else None) or _MOST_OUTPUT
    answer = per_million(price.output or 0.0, limit)
    if price.image is not None:
        answer = max(answer, _image(price, None))
    return asked, asked + answer * (params.get("n") or 1)


def _image(price: Price, request: Request | None) -> float:
    """Price of one image; the dearest where the size is not known."""
    if not isinstance(price.image, Mapping):
        return price.image or 0.0
    size = request.size if isinstance(request, ImageRequest) else None
    return price.image.get(_tier(size), max(price.image.values()))


def _tier(size: str | None) -> str:
    width, _, height = (size or "").partition("x")
    if not (width.isdigit() and height.isdigit()):
        return size or ""
    pixels = int(width) * int(height)
    return next((name for most, name in _TIERS if pixels <= most), _TOP_TIER)


def _video(price: Price, request: Request | None, tokens: float) -> float:
    if price.video_token is not None:
        return per_million(price.video_token, tokens)
    wanted = request if isinstance(request, VideoRequest) else None
    each = price.video_second or 0.0
    if isinstance(each, Mapping):
        resolution = (wanted.resolution if wanted else None) or _DEFAULT_RESOLUTION
        each = each.get(resolution, max(each.values()))
    return each * _seconds(wanted)


def _video_tokens(request: VideoRequest) -> float:
    """Ark's formula: width x height x frames a second x seconds / 1024."""
    pixels = _PIXELS.get((request.resolution or _DEFAULT_RESOLUTION).lower(), _PIXELS["4k"])
    return pixels * _FRAMES * _seconds(request) / 1024


def _seconds(request: VideoRequest | None) -> float:
    duration = request.duration if request is not None else None
    if duration is None:
        return _DEFAULT_S
    return duration if duration > 0 else _LONGEST_S


def _embedding_tokens(request: EmbeddingRequest) -> int:
    words, tokens = Estimate(), 0
    for given in request.inputs:
        if isinstance(given, str):
            words.add(given)
        else:
            tokens += len(given)
    return words.tokens + tokens
