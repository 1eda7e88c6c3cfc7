"""The documents agree with the code and with each other."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import reduce
from importlib import import_module
from pathlib import Path

from gateway.config.settings import VARIABLES, Settings
from gateway.domain.accounts import Account

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
PAGES = [README, CHINESE, *(p.read_text("utf-8") for p in ROOT.glob("[A-Z]*.md")), SETTINGS]


def blocks(text: str) -> list[str]:
    """Fenced and indented code, in order."""
    return re.findall(r"^```(?s:.*?)^```$|(?:^ {4}\S.*\n)+", text, re.M)


def cells(text: str, column: int) -> list[set[str]]:
    """The code words in one column of each row of each table."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [set(re.findall(r"`([^`]+)`", row.split("|")[column])) for row in rows]


def test_every_setting_is_documented_and_every_documented_setting_exists():
    table = SETTINGS.split("## Variables")[1].split("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\|([^|]*)\|", table, re.M)
        for name in re.findall(r"`([A-Z_0-9]+)`", row)
    }
    assert named == set(VARIABLES)


def test_the_documented_configuration_is_valid_and_shows_every_option_of_an_account(tmp_path):
    example = SETTINGS.split("```toml\n")[1].split("```")[0]
    (tmp_path / "gateway.toml").write_text(example)
    named = {name: "0123456789abcdef" for name in re.findall(r"env:([A-Z][A-Z_]+)\"", example)}
    settings = Settings.from_env(named | {"GATEWAY_CONFIG": str(tmp_path / "gateway.toml")})
    assert len(settings.accounts) == example.count("[[accounts]]")
    shown = example.split("[[keys]]")[0]
    options = {option.name for option in fields(Account)} - {"secret", "own"}
    assert [name for name in options if not re.search(rf"\b{name}\b", shown)] == []


def test_both_readmes_have_the_same_commands_tables_headings_and_links():
    assert blocks(README) == blocks(CHINESE)
    assert cells(README, 1) == cells(CHINESE, 1)
    assert README.count("\n## ") == CHINESE.count("\n## ")
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) for text in (README, CHINESE)]
    assert links[0] - {"README.zh.md"} == links[1] - {"README.md"}


def test_every_page_of_the_documents_is_linked_from_the_readme():
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\(([^)]+)\)", README))


def test_every_file_that_a_page_names_exists():
    missing = {
        name
        for text in PAGES
        for name in (
            *re.findall(r"\]\((?!http)([^)#]+)\)", text),
            *re.findall(r"`([a-z_]+/[a-z_/]+\.(?:py|md|conf|toml|json))`", text),
        )
        if not any((base / name).exists() for base in (ROOT, ROOT / "gateway", ROOT / "docs"))
    }
    assert not missing


def test_every_function_of_the_walks_exists_and_no_walk_is_longer_than_ten_lines():
    walks = (ROOT / "ARCHITECTURE.md").read_text("utf-8").split("## Walks")[1].split("\n**")[1:]
    assert len(walks) == 3
    for walk in walks:
        named = re.findall(r"`([a-z_.]+):([A-Za-z_.]+)`", walk)
        assert len(named) >= 5
        assert max(map(int, re.findall(r"^(\d+)\.", walk, re.M))) <= 10
        for module, name in named:
            reduce(getattr, name.split("."), import_module(f"gateway.{module}"))
