"""The layers, and the house rules that a linter cannot see."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gateway"
_ABOVE = {"assembly", "logs", "settings", "settings_tables", "surroundings"}
BELOW = {
    "domain": set(),
    "net": {"domain"},
    "stores": {"net", "domain", "logs"},
    "upstreams": {"net", "domain"},
    "services": {"stores", "upstreams", "net", "domain", "logs", "settings", "settings_tables"},
    "api": {"services", "stores", "net", "domain", "logs"},
    "simulators": {"domain"},
    "commands": {"services", "upstreams", "stores", "domain", *_ABOVE},
}
ONLY_IN = {
    "flask": {"api", "simulators"},
    "marshmallow": {"api"},
    "requests": {"net"},
    "urllib3": {"net"},
    "sqlalchemy": {"stores"},
    "alembic": {"stores"},
    "boto3": {"stores"},
    "botocore": {"stores"},
}
# Whatever opens a connection does it in net; databases, Redis and S3 have their own clients.
CONNECTING = {"ssl", "http.client", "urllib.request", "urllib3", "requests", "httpx"}
MAY_CONNECT = {"net", "worker", "simulators"}
FILES = sorted(ROOT.rglob("*.py"))
LAYERED = [path for path in FILES if path.parent != ROOT and "migrations" not in path.parts]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT.parent))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", LAYERED, ids=name)
def test_a_module_imports_its_own_layer_and_those_below(path):
    own = layer(path)
    if own == "worker":
        return
    for imported in imports(path):
        top, _, rest = imported.partition(".")
        if top == "gateway":
            assert rest.split(".")[0] in BELOW[own] | {own}, f"{own} imports {imported}"
        else:
            assert own in ONLY_IN.get(top, {own}), f"{own} imports {top}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_module_fits_in_the_head(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_settings_read_the_environment(path):
    text = path.read_text("utf-8")
    assert path.name == "settings.py" or ("os.environ" not in text and "getenv" not in text)


@pytest.mark.parametrize("path", LAYERED, ids=name)
def test_vendor_names_stay_with_the_vendors(path):
    if layer(path) in ("upstreams", "simulators"):
        return
    code = ast.parse(path.read_text("utf-8"))
    words = {
        n.value.lower()
        for n in ast.walk(code)
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    names = {n.id.lower() for n in ast.walk(code) if isinstance(n, ast.Name)}
    assert not {"ark", "gemini", "gemini-enterprise", "volcengine"} & (words | names)


def test_the_mutual_imports_between_modules_are_none():
    edges = {
        (name(path)[:-3].replace("/", "."), imported.rpartition(".")[0])
        for path in LAYERED
        for imported in imports(path)
        if imported.startswith("gateway.") and "TYPE_CHECKING" not in path.read_text("utf-8")
    }
    assert not {edge for edge in edges if edge[::-1] in edges and edge[0] != edge[1]}


@pytest.mark.parametrize("path", LAYERED, ids=name)
def test_nothing_but_net_opens_connections(path):
    if layer(path) in MAY_CONNECT:
        return
    for imported in imports(path):
        assert not any(f"{imported}.".startswith(f"{door}.") for door in CONNECTING), imported
    text = path.read_text("utf-8")
    assert "socket.socket(" not in text
    assert "create_connection(" not in text
