"""Prices, budgets and teams of gateway.toml, and mistakes in them."""

from __future__ import annotations

import pytest

from gateway.config.settings import Settings
from gateway.config.tables import SettingsError
from gateway.domain.events import Usage
from gateway.domain.money import NANOS, Budget
from gateway.services.money.prices import PriceTable


def settings(tmp_path, toml):
    path = tmp_path / "gateway.toml"
    path.write_text(toml)
    return Settings.from_env({"GATEWAY_CONFIG": str(path)})


def cost(table, model, *, upstream="ark", **used):
    usage = Usage(**used)
    table.price(usage, upstream, (model,))
    return None if usage.cost is None else usage.cost / NANOS


def test_budgets_of_the_gateway_teams_and_keys(tmp_path):
    found = settings(
        tmp_path,
        """
        [budget]
        currency = "EUR"
        month = 2000
        [teams.design]
        budget = { day = 1.5 }
        [[keys]]
        name = "web"
        key = "web-key-0123456789"
        team = "design"
        budget = { month = 10 }
        max_in_flight = 8
        """,
    )
    assert found.money.currency == "EUR"
    assert found.money.budget == Budget(month=2000 * NANOS)
    assert found.money.teams == {"design": Budget(day=1_500_000_000)}
    (key,) = found.keys
    assert (key.team, key.budget, key.max_in_flight) == ("design", Budget(month=10 * NANOS), 8)


def test_the_operators_price_comes_first_then_the_longest_pattern(tmp_path):
    toml = """
    [prices."doubao-seed-*"]
    currency = "USD"
    input = 1
    [prices."doubao-seed-2-1*"]
    currency = "USD"
    input = 2
    [prices."doubao-seed-2-1-pro-260628"]
    currency = "USD"
    input = 3
    [prices."openai/*"]
    currency = "USD"
    input = 4
    """
    table = PriceTable(settings(tmp_path, toml).money)
    million = {"prompt_tokens": 1_000_000}
    assert cost(table, "doubao-seed-1-6-251015", **million) == 1
    assert cost(table, "doubao-seed-2-1-lite", **million) == 2
    assert cost(table, "doubao-seed-2-1-pro-260628", **million) == 3
    assert cost(table, "doubao-seed-9", upstream="openai", **million) == 4
    assert cost(table, "nobody-knows") is None


def test_cached_tokens_images_and_videos_have_prices_of_their_own(tmp_path):
    toml = """
    [prices."chat"]
    currency = "CNY"
    input = 10
    cached_input = 1
    output = 100
    [prices."image"]
    currency = "CNY"
    image = { "1K" = 1, "4K" = 4 }
    [prices."film"]
    currency = "CNY"
    video_token = 50
    [prices."clip"]
    currency = "CNY"
    video_second = 2
    [budget]
    rates = { CNY = 0.5 }
    """
    table = PriceTable(settings(tmp_path, toml).money)
    tokens = {"prompt_tokens": 1_000_000, "cached_tokens": 400_000, "completion_tokens": 10_000}
    assert cost(table, "chat", **tokens) == pytest.approx((6 + 0.4 + 1) * 0.5)
    assert cost(table, "image", images=3) == 6  # of an unknown size: the dearest
    assert cost(table, "film", videos=1, completion_tokens=100_000) == 2.5
    assert cost(table, "clip", videos=1) == 5  # five seconds, where nobody said


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("budget = 5", "budget"),
        ("[budget]\nweek = 5", "budget: unknown field 'week'"),
        ("[budget]\nmonth = -1", "budget: month"),
        ("[budget]\nmonth = true", "budget: month"),
        ('[budget]\ncurrency = "dollars"', "budget: currency"),
        ("[budget]\nrates = 3", "budget: rates"),
        ('[prices."x"]\ninput = 1', 'prices."x": currency'),
        ('[prices."x"]\ncurrency = "USD"', 'prices."x": names no price'),
        ('[prices."x"]\ncurrency = "JPY"\ninput = 1', "no rate for JPY"),
        ('[prices."x"]\ncurrency = "USD"\ninput = "much"', 'prices."x": input'),
        ('[prices."x"]\ncurrency = "USD"\nimage = {}', 'prices."x": image'),
        ("[teams.a]\nmonth = 1", "teams.a: unknown field"),
        ('[[keys]]\nname="a"\nkey="0123456789abcdef"\nbudget = 3', "budget must be a table"),
        ('[[keys]]\nname="a"\nkey="0123456789abcdef"\nteam = 3', "team"),
        ('[[keys]]\nname="a"\nkey="0123456789abcdef"\nmax_in_flight = 0', "max_in_flight"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_setting(tmp_path, toml, named):
    with pytest.raises(SettingsError) as err:
        settings(tmp_path, toml)
    assert named in str(err.value)
    assert "\n" not in str(err.value)
