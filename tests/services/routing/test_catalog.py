"""Models by name, by pattern and by a vendor's own id."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.domain.accounts import Caller, GatewayKey
from gateway.domain.errors import ModelNotAllowed, ModelNotFound
from gateway.services.routing.catalog import Catalog, Model, Route

VENDOR = SimpleNamespace(name="gemini", kind_of=lambda model: "chat")
ANYONE = Caller("someone")


def catalog(models):
    """Models by name, each with a route to what its value names."""
    found = [Model(name, "chat", (Route(VENDOR, model),)) for name, model in models.items()]
    return Catalog(found, {"gemini": VENDOR})


MODELS = {
    "claude-sonnet-4-5": "exact",
    "claude-*": "short",
    "claude-opus-*": "long",
    "gemini-*": "before the vendor",
    "gpt-*": "*",
}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-sonnet-4-5", "exact"),
        ("claude-haiku", "short"),
        ("Claude-Opus-4", "long"),
        ("gemini-model", "before the vendor"),
        ("gpt-5", "gpt-5"),
        ("gemini/claude-x", "claude-x"),
    ],
)
def test_an_exact_name_wins_over_a_pattern_and_a_longer_pattern_over_a_shorter(name, model):
    (route,) = catalog(MODELS).find(name, ANYONE).routes
    assert route.model == model


def test_patterns_are_not_listed_as_models():
    assert [model.name for model in catalog(MODELS)] == ["claude-sonnet-4-5"]


def test_a_key_may_be_limited_to_a_pattern_or_to_a_name_of_it():
    for allowed in ("claude-*", "claude-haiku"):
        caller = Caller("k", key=GatewayKey("k", "digest", models=frozenset({allowed})))
        assert catalog(MODELS).find("claude-haiku", caller)
        with pytest.raises(ModelNotAllowed):
            catalog(MODELS).find("gpt-5", caller)


def test_a_vendors_id_is_recognised_by_its_prefix_and_anything_else_does_not_exist():
    (route,) = catalog({}).find("gemini-model", ANYONE).routes
    assert route.model == "gemini-model"
    with pytest.raises(ModelNotFound):
        catalog(MODELS).find("claude", ANYONE)
