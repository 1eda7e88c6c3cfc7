"""What one caller makes a vendor say takes no account from the others."""

from __future__ import annotations


def test_a_quoted_value_leaves_the_account_to_others(gateway):
    ask = {"model": "gemini-2.5-flash"}
    refused = gateway.chat(**ask, modalities=["API key not valid"])
    assert refused.status_code == 400, refused.text
    assert gateway.chat(**ask).status_code == 200
