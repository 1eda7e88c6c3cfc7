"""The documents say what is true."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from gateway.config.settings import VARIABLES, Settings
from gateway.domain.accounts import Account

ROOT = Path(__file__).parent.parent
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")


def test_every_setting_is_documented_and_every_documented_setting_exists():
    table = SETTINGS.split("## Variables")[1].split("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\|([^|]*)\|", table, re.M)
        for name in re.findall(r"`([A-Z_0-9]+)`", row)
    }
    assert named == set(VARIABLES)


def test_the_documented_configuration_is_valid_and_shows_all_of_an_account(tmp_path):
    example = SETTINGS.split("```toml\n")[1].split("```")[0]
    (tmp_path / "gateway.toml").write_text(example)
    named = {name: "0123456789abcdef" for name in re.findall(r"env:([A-Z][A-Z_]+)\"", example)}
    settings = Settings.from_env(named | {"GATEWAY_CONFIG": str(tmp_path / "gateway.toml")})
    assert len(settings.accounts) == example.count("[[accounts]]")
    shown = example.split("[[keys]]")[0]
    options = {option.name for option in fields(Account)} - {"secret", "own"}
    assert [name for name in options if not re.search(rf"\b{name}\b", shown)] == []


def test_files_named_in_the_architecture_page_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    for name in re.findall(r"`([a-z_/]+\.py)`", text):
        assert (
            (ROOT / name).exists()
            or (ROOT / "gateway" / name).exists()
            or list((ROOT / "gateway").rglob(name))
        ), name
