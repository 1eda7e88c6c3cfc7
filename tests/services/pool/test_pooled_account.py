"""Models that an account may not be asked for, while it goes on with the others."""

from __future__ import annotations

import pytest

from gateway.domain.errors import AccountRejected, ModelQuotaExhausted, ModelRejected
from tests.services.pools import account, call, end, lend, names, retry_after_s, view

HOUR = 3600.0


def exhaust(pool, model="m1", **options):
    end(
        lend(pool, models=("public", model), **options),
        ModelQuotaExhausted("daily", retry_after=HOUR),
    )


def of_model(model):
    return {"models": ("public", model)}


def test_a_model_whose_quota_is_exhausted_is_blocked_alone_in_all_processes(any_world):
    everyone = account("one"), account("two")
    here, there = any_world.pool(*everyone), any_world.pool(*everyone)
    exhaust(here, skip={"two"})
    here.refresh()
    there.refresh()
    for pool in (here, there, any_world.pool(*everyone)):
        assert set(names(pool, 4, **of_model("m1"))) == {"two"}
        assert set(names(pool, 20, **of_model("m2"))) == {"one", "two"}
        assert view(pool, "one").state == "ready"
        assert view(pool, "one").limited == {"m1": pytest.approx(HOUR, abs=1)}
    exhaust(there, skip={"one"})
    assert retry_after_s(there, **of_model("m1")) == pytest.approx(HOUR, abs=1)
    any_world.clock.pass_s(HOUR + 1)
    assert set(names(there, 20, **of_model("m1"))) == {"one", "two"}


def test_an_account_that_comes_again_is_still_blocked_for_its_model(world):
    world.accounts.add(account("one"))
    pool = world.pool()
    exhaust(pool)
    world.accounts.remove("one")
    world.clock.pass_s(1)
    pool.refresh()
    assert pool.empty
    world.accounts.add(account("one", weight=2))
    world.clock.pass_s(1)
    pool.refresh()
    assert retry_after_s(pool, **of_model("m1")) == pytest.approx(HOUR, abs=2)
    assert call(pool, **of_model("m2")) == "one"


def test_a_model_is_blocked_by_its_name_at_the_vendor(world):
    pool = world.pool(account("one"))
    exhaust(pool, model="m1")
    assert call(pool, models=("m1", "m2")) == "one"
    exhaust(pool, model="m3")
    assert retry_after_s(pool, models=("m1", "m3")) == pytest.approx(HOUR, abs=1)


def denied(pool, model="m1", **options):
    end(lend(pool, models=("public", model), **options), ModelRejected("403"))


def test_a_model_that_an_account_is_denied_is_blocked_alone(world):
    pool = world.pool(account("one"), account("two"))
    denied(pool, skip={"two"})
    assert set(names(pool, 4, **of_model("m1"))) == {"two"}
    assert set(names(pool, 20, **of_model("m2"))) == {"one", "two"}
    assert view(pool, "one").state == "ready"
    denied(pool)
    with pytest.raises(AccountRejected) as caught:
        lend(pool, **of_model("m1"))
    assert caught.value.retry_after == pytest.approx(300, abs=1)
    world.clock.pass_s(301)
    pool.refresh()
    assert set(names(pool, 20, **of_model("m1"))) == {"one", "two"}


def test_a_reset_unblocks_models_in_all_processes(any_world):
    here, there = any_world.pool(account("one")), any_world.pool(account("one"))
    denied(here)
    here.refresh()
    any_world.clock.pass_s(1)
    assert there.reset("one")
    here.refresh()
    assert view(here, "one").limited == view(there, "one").limited == {}
    assert call(here, **of_model("m1")) == "one"


def test_a_refusal_that_is_about_no_model_ejects_the_account(world):
    pool = world.pool(account("one"))
    with pytest.raises(ModelRejected), pool.query(pool.get("one")):
        raise ModelRejected("403")
    assert view(pool, "one").state == "ejected"


def test_models_that_callers_make_up_do_not_pile_up(world):
    pool = world.pool(account("one"))
    for number in range(200):
        denied(pool, model=f"made-up-{number}")
    assert len(view(pool, "one").limited) <= 16, "each costs every lease"
    assert call(pool, **of_model("m2")) == "one"
    world.clock.pass_s(301)
    denied(pool)
    assert view(pool, "one").limited == {"m1": pytest.approx(300, abs=1)}
