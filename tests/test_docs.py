"""The documents say what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.settings import VARIABLES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_is_in_the_readme(variable):
    assert f"`{variable}`" in README


def test_every_documented_setting_exists():
    table = README.split("## Settings")[1].split("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\|([^|]*)\|", table, re.M)
        for name in re.findall(r"`([A-Z_0-9]+)`", row)
    }
    assert named == set(VARIABLES)


def test_files_named_in_the_architecture_page_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    for name in re.findall(r"`([a-z_/]+\.py)`", text):
        assert (
            (ROOT / name).exists()
            or (ROOT / "gateway" / name).exists()
            or list((ROOT / "gateway").rglob(name))
        ), name
