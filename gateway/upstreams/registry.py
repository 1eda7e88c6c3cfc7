"""The vendors, one row each: all that the rest of the gateway knows about them by name.

A vendor with a dialect of its own is a row here, a package beside this module, and a
simulator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from gateway.domain.accounts import Kind
from gateway.domain.timeouts import Timeouts

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSpec:
    """One vendor.

    `key_pattern` matches every credential that may be one of this vendor's and none that
    is known to be another's; `secret_patterns` find its credentials within a text.
    `credentials_variable` holds a comma list of keys, or the JSON of one service account.
    """

    name: str
    title: str  # as messages call it
    adapter: str  # module:class, imported when it is opened
    kinds: tuple[Kind, ...]
    base_url: str
    simulator_path: str
    credentials_variable: str
    key_pattern: str
    secret_patterns: tuple[str, ...] = ()
    service_account: bool = False
    engine_variable: str | None = None  # accounts need an engine: theirs, or this one's
    models_variable: str | None = None  # lists ids of the vendor's models to offer
    demo_models: tuple[str, ...] = ()
    model_prefixes: tuple[str, ...] = ()  # of ids that need no upstream's name before them
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def base_url_variable(self) -> str:
        return f"{self.name.upper().replace('-', '_')}_BASE_URL"

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables of this vendor."""
        optional = (self.engine_variable, self.models_variable)
        named = (name for name in optional if name is not None)
        return (self.credentials_variable, self.base_url_variable, *named)

    def has_form(self, credential: str) -> bool:
        """Tell whether a key or token may be one of this vendor's."""
        return re.fullmatch(self.key_pattern, credential) is not None

    def load(self) -> Callable[..., Any]:
        """The class of the adapter, to be opened as `base.Adapter` is."""
        module, _, name = self.adapter.partition(":")
        adapter: Callable[..., Any] = getattr(import_module(module), name)
        return adapter


VENDORS: Mapping[str, VendorSpec] = {
    spec.name: spec
    for spec in (
        VendorSpec(
            name="ark",
            title="Ark",
            adapter="gateway.upstreams.ark.adapter:Ark",
            kinds=("chat", "image", "video", "embedding"),
            base_url="https://ark.cn-beijing.volces.com/api/v3",
            simulator_path="/ark/api/v3",
            credentials_variable="ARK_API_KEYS",
            key_pattern=r"(?!sk-|AIza|AQ\.|ya29\.|eyJ).+",
            secret_patterns=(r"\bark-[\w*-]{4,}", rf"\b{_UUID}\b"),
            model_prefixes=("doubao-", "ep-"),
        ),
        VendorSpec(
            name="gemini",
            title="Gemini",
            adapter="gateway.upstreams.gemini.adapter:Gemini",
            kinds=("chat", "image", "video", "embedding"),
            base_url="https://generativelanguage.googleapis.com",
            simulator_path="/gemini",
            credentials_variable="GEMINI_API_KEYS",
            key_pattern=r"AIza\S+|AQ\.\S+|ya29\.\S+|(?!ark-|sk-|eyJ)[0-9A-Za-z_-]+",
            secret_patterns=(r"\bAIza[\w*-]{4,}", r"\bAQ\.[\w*.-]{4,}", r"\bya29\.[\w*.-]{4,}"),
            model_prefixes=("gemini-",),
        ),
        VendorSpec(
            name="gemini-enterprise",
            title="Gemini Enterprise",
            adapter="gateway.upstreams.gemini_enterprise.adapter:GeminiEnterprise",
            kinds=("chat", "image"),
            base_url="https://discoveryengine.googleapis.com",
            simulator_path="/gemini-enterprise",
            credentials_variable="GEMINI_ENTERPRISE_CREDENTIALS",
            key_pattern=r"(?!AIza|AQ\.|ark-|sk-|\{).+",  # access tokens are opaque
            service_account=True,
            engine_variable="GEMINI_ENTERPRISE_ENGINE",
            # It makes videos inside an answer and is silent for minutes meanwhile.
            timeouts=Timeouts(first_byte_s=600, idle_s=600, total_s=1200),
        ),
        VendorSpec(
            name="openai",
            title="OpenAI",
            adapter="gateway.upstreams.openai.adapter:OpenAI",
            kinds=("chat", "image", "embedding"),
            base_url="https://api.openai.com/v1",
            simulator_path="/openai/v1",
            credentials_variable="OPENAI_API_KEYS",
            key_pattern=rf"(?!ark-|AIza|AQ\.|ya29\.|{_UUID}$).+",
            secret_patterns=(r"\bsk-[\w*-]{4,}",),
            models_variable="OPENAI_MODELS",
            demo_models=("demo-model",),
        ),
    )
}
