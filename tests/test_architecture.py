"""The layers, and the house rules that a linter cannot see. Each test lists its offenders."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent / "gateway"
BELOW = {
    "domain": set(),
    "runtime": {"domain"},
    "formats": {"runtime", "domain"},
    "net": {"formats", "runtime", "domain"},
    "config": {"upstreams", "runtime", "domain"},
    "storage": {"net", "formats", "runtime", "domain"},
    "upstreams": {"net", "formats", "runtime", "domain"},
    "services": {"config", "storage", "upstreams", "net", "formats", "runtime", "domain"},
    "api": {"services", "config", "net", "formats", "runtime", "domain"},
    "cli": {"bootstrap", "services", "upstreams", "storage", "config", "net", "runtime", "domain"},
    "server": {"runtime", "domain"},
    "simulators": {"domain"},
}
ONLY_IN = {
    "flask": {"api", "simulators", "cli"},
    "marshmallow": {"api"},
    "requests": {"net"},
    "urllib3": {"net"},
    "sqlalchemy": {"storage"},
    "alembic": {"storage"},
    "boto3": {"storage"},
    "botocore": {"storage"},
}
# Outbound connections are opened in net; databases, Redis and S3 have clients of their own.
CONNECTING = {"ssl", "http.client", "urllib.request", "urllib3", "requests", "httpx"}
MAY_CONNECT = {"net", "server", "simulators"}
VENDORS = {"ark", "gemini", "gemini-enterprise", "volcengine"}
MAY_NAME_VENDORS = {"upstreams", "simulators"}
FILES = sorted(ROOT.rglob("*.py"))
LAYERED = [path for path in FILES if path.parent != ROOT and "migrations" not in path.parts]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT.parent))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def test_a_module_imports_its_own_layer_and_those_below():
    offenders = set()
    for path in LAYERED:
        own = layer(path)
        for imported in imports(path):
            top, _, rest = imported.partition(".")
            if top == "gateway":
                allowed = rest.split(".")[0] in BELOW[own] | {own}
            else:
                allowed = bool(top) and own in ONLY_IN.get(top, {own})
            if not allowed:
                offenders.add(f"{name(path)} imports {imported}")
    assert not offenders, "\n".join(sorted(offenders))


def test_settings_know_vendors_by_their_rows_alone():
    rows = ("gateway.upstreams.registry.VENDORS", "gateway.upstreams.registry.VendorSpec")
    others = {
        f"{name(path)} imports {imported}"
        for path in LAYERED
        if layer(path) == "config"
        for imported in imports(path)
        if imported.startswith("gateway.upstreams") and imported not in rows
    }
    assert not others


def test_a_module_has_at_most_400_lines():
    long = {name(path) for path in FILES if len(path.read_text("utf-8").splitlines()) > 400}
    assert not long


def test_only_the_settings_read_the_environment():
    readers = {
        name(path)
        for path in FILES
        if path.name != "settings.py"
        and any(word in path.read_text("utf-8") for word in ("os.environ", "getenv"))
    }
    assert not readers


def test_vendor_names_stay_with_the_vendors():
    offenders = set()
    for path in LAYERED:
        if layer(path) in MAY_NAME_VENDORS or "dialects" in path.parts:
            continue  # a dialect may have its vendor's name
        for node in ast.walk(tree(path)):
            word = getattr(node, "value", None) or getattr(node, "id", None)
            if isinstance(word, str) and word.lower() in VENDORS:
                offenders.add(f"{name(path)}: {word}")
    assert not offenders, "\n".join(sorted(offenders))


def test_no_two_modules_import_each_other():
    edges = {
        (name(path)[:-3].replace("/", "."), imported.rpartition(".")[0])
        for path in LAYERED
        for imported in imports(path)
        if imported.startswith("gateway.")
    }
    assert not {edge for edge in edges if edge[::-1] in edges and edge[0] != edge[1]}


def test_only_the_network_layer_opens_connections():
    offenders = set()
    for path in LAYERED:
        if layer(path) in MAY_CONNECT:
            continue
        offenders |= {
            f"{name(path)} imports {imported}"
            for imported in imports(path)
            if any(f"{imported}.".startswith(f"{module}.") for module in CONNECTING)
        }
        text = path.read_text("utf-8")
        if "socket.socket(" in text or "create_connection(" in text:
            offenders.add(f"{name(path)} opens a socket")
    assert not offenders, "\n".join(sorted(offenders))
