"""One model that an account has used up or may not use, while it goes on with the others."""

from __future__ import annotations

import pytest

from gateway.domain.errors import AccountRejected, ModelRejected, ModelSpent
from tests.services.pools import account, call, end, lend, names, prove, rest_s, view

HOUR = 3600.0


def spent(pool, model="m1", **options):
    end(lend(pool, models=("public", model), **options), ModelSpent("daily", retry_after=HOUR))


def of_model(model):
    return {"models": ("public", model)}


def test_a_used_up_model_rests_alone_in_all_processes(any_world):
    everyone = account("one"), account("two")
    here, there = any_world.pool(*everyone), any_world.pool(*everyone)
    spent(here, skip={"two"})
    for pool in (here, there, any_world.pool(*everyone)):
        assert set(names(pool, 4, **of_model("m1"))) == {"two"}
        assert set(names(pool, 4, **of_model("m2"))) == {"one", "two"}
        assert view(pool, "one").back_in_s == 0
        assert view(pool, "one").limited == {"m1": pytest.approx(HOUR, abs=1)}
    spent(there, skip={"one"})
    for pool in (here, there):
        assert rest_s(pool, **of_model("m1")) == pytest.approx(HOUR, abs=1)
    any_world.clock.pass_s(HOUR + 1)
    for pool in (here, there):
        pool.refresh()
        assert set(names(pool, 4, **of_model("m1"))) == {"one", "two"}


def test_a_reset_gives_used_up_models_back_too(any_world):
    here, there = any_world.pool(account("one")), any_world.pool(account("one"))
    spent(here)
    assert there.reset("one")
    assert call(here, **of_model("m1")) == "one"


def test_accounts_that_come_later_serve_a_model_that_others_have_used_up(world):
    pool = world.pool(account("one"))
    spent(pool)
    world.accounts.add(account("new"))
    pool.refresh()
    assert names(pool, 3, **of_model("m1")) == ["new"] * 3


def test_many_accounts_that_have_used_a_model_up_cost_no_more_than_a_few(world):
    pool = world.pool(*[account(f"n{n}") for n in range(300)])
    for _ in range(299):
        spent(pool)
    assert len(set(names(pool, 20, **of_model("m1")))) == 1
    assert len(set(names(pool, 300, **of_model("m2")))) == 300


@pytest.mark.parametrize("changed", [{}, {"weight": 2}])
def test_an_account_that_comes_again_has_still_used_its_model_up(world, changed):
    world.accounts.add(account("one"))
    pool = world.pool()
    prove(world.database, [account("one")])
    pool.refresh()
    spent(pool)
    world.accounts.remove("one")
    pool.refresh()
    world.accounts.add(account("one", **changed))
    pool.refresh()
    assert rest_s(pool, **of_model("m1")) == pytest.approx(HOUR, abs=1)
    assert call(pool, **of_model("m2")) == "one"


def test_what_is_used_up_before_the_account_is_known_here_is_used_up_when_it_comes(world):
    there = world.pool(account("one"))
    spent(there)
    here = world.pool()
    here.refresh()
    world.accounts.add(account("one"))
    here.refresh()
    assert rest_s(here, **of_model("m1")) == pytest.approx(HOUR, abs=1)


def test_a_model_is_used_up_by_its_name_at_the_vendor(world):
    pool = world.pool(account("one"))
    spent(pool, model="m1")
    assert call(pool, models=("m1", "m2")) == "one"
    spent(pool, model="m3")
    assert rest_s(pool, models=("m1", "m3")) == pytest.approx(HOUR, abs=1)


def denied(pool, model="m1", **options):
    end(lend(pool, models=("public", model), **options), ModelRejected("403"))


def test_a_model_that_an_account_is_denied_rests_alone(world):
    pool = world.pool(account("one"), account("two"))
    denied(pool, skip={"two"})
    assert set(names(pool, 4, **of_model("m1"))) == {"two"}
    assert set(names(pool, 4, **of_model("m2"))) == {"one", "two"}
    assert not view(pool, "one").quarantined
    denied(pool)
    with pytest.raises(AccountRejected) as caught:
        lend(pool, **of_model("m1"))
    assert caught.value.retry_after == pytest.approx(300, abs=1)
    world.clock.pass_s(301)
    pool.refresh()
    assert set(names(pool, 4, **of_model("m1"))) == {"one", "two"}


def test_a_reset_gives_denied_models_back_too(any_world):
    here, there = any_world.pool(account("one")), any_world.pool(account("one"))
    denied(here)
    denied(there)
    assert there.reset("one")
    assert here.usable()
    assert view(here, "one").limited == view(there, "one").limited == {}
    assert call(here, **of_model("m1")) == "one"
    assert call(there, **of_model("m1")) == "one"


def test_a_refusal_that_is_about_no_model_quarantines_the_account(world):
    pool = world.pool(account("one"))
    with pytest.raises(ModelRejected), pool.follow_up(pool.get("one")):
        raise ModelRejected("403")
    assert view(pool, "one").quarantined


def test_models_that_callers_make_up_do_not_pile_up(world):
    pool = world.pool(account("one"))
    for number in range(200):
        denied(pool, model=f"made-up-{number}")
    assert len(view(pool, "one").limited) <= 8, "each costs every lease"
    assert call(pool, **of_model("m2")) == "one"
    world.clock.pass_s(301)
    pool.refresh()
    denied(pool)
    assert view(pool, "one").limited == {"m1": pytest.approx(300, abs=1)}
