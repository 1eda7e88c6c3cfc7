"""Retries after failures, by account and route, and the error that callers get in the end."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from gateway.domain.accounts import Caller, Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    AccountRejected,
    ContentFiltered,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    ModelNotAvailable,
    ModelNotFound,
    ModelRejected,
    NoAccountAvailable,
    RateLimitExceeded,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.domain.events import Finish, TextDelta
from gateway.domain.models import ModelFacts
from gateway.services.routing.catalog import Model, Route
from gateway.services.routing.dispatch import Dispatcher, Trace
from gateway.services.routing.retries import RetryBudget
from tests.services.pools import account, view

ANYONE = Caller("someone")
ANSWER = [[TextDelta("Hello")], [Finish("stop")]]


def vendor(name="vendor", facts=None):
    return SimpleNamespace(
        name=name,
        takes=lambda secret: secret.startswith(f"{name}-"),
        facts=lambda model: (facts or {}).get(model),
    )


def model(*upstreams, kind="chat"):
    routes = tuple(Route(vendor(name), f"{name}-model") for name in upstreams or ("vendor",))
    return Model("public", kind, routes)


def test_a_model_that_the_vendor_has_shut_down_is_served_by_its_successor(world):
    facts = ModelFacts(
        upstream="vendor",
        pattern="old",
        kind="chat",
        shutdown=date(2027, 1, 1),
        successor="new",
        source="",
        checked=date(2026, 12, 1),
    )
    upstream = vendor(facts={"old": facts})
    public = Model("public", "chat", (Route(upstream, "old"),))
    own = Caller("own", credential=Secret("vendor-key"))
    for before_s, served in ((1, "old"), (0, "new"), (-1e7, "new")):
        now = datetime(2027, 1, 1, tzinfo=UTC).timestamp() - before_s
        dispatcher = Dispatcher(world.pool(account("a")), clock=lambda now=now: now)
        for caller in (ANYONE, own):
            assert [route.model for route in dispatcher.routes(public, caller)] == [served]


def in_order(world, *accounts, **options):
    """A pool that lends the first usable account of the least loaded."""
    return world.pool(*accounts, random=lambda: 0.0, **options)


class Vendors:
    """Answers, or fails as each account's list says, call by call."""

    def __init__(self, **failures):
        self._failures = {name: list(errors) for name, errors in failures.items()}
        self.called = []

    def fail(self, account):
        self.called.append(account.name)
        failures = self._failures.get(account.name.replace("-", "_"))
        err = failures.pop(0) if failures else None
        if err is not None:
            raise err

    def chat(self, route, account):
        self.fail(account)
        yield from ([*batch] for batch in ANSWER)

    def submit(self, route, account):
        self.fail(account)
        return f"task of {account.name}"


def ask(dispatcher, vendors, *, of=None, caller=ANYONE, trace=None):
    return list(dispatcher.stream(of or model(), "chat", caller, trace or Trace("r"), vendors.chat))


@pytest.fixture
def two(world):
    return Dispatcher(in_order(world, account("one"), account("two")))


@pytest.mark.parametrize(
    "err",
    [
        AccountRejected("401"),
        AccountExhausted("429", retry_after=60),
        AccountQuotaExhausted("daily"),
        UpstreamError("500", sent=True),
        UpstreamOverloaded("503", sent=True),
        UpstreamUnreachable("refused"),
        UpstreamDisconnected("reset", sent=True),
        UpstreamTimeout("no connection"),
        ModelNotAvailable("404"),
    ],
)
def test_another_account_answers_where_one_cannot(two, err):
    vendors, trace = Vendors(one=[err]), Trace("r")
    assert ask(two, vendors, trace=trace) == ANSWER
    assert vendors.called == ["one", "two"]
    assert (trace.attempts, trace.upstream, trace.account) == (2, "vendor", "two")


@pytest.mark.parametrize(
    "err",
    [
        InvalidRequest("400"),
        ContentFiltered("blocked"),
        GatewayError("ours"),
        UpstreamTimeout("no answer", sent=True),
    ],
)
def test_what_another_account_would_not_mend_is_told_at_once(two, err):
    vendors = Vendors(one=[err])
    with pytest.raises(type(err)) as caught:
        ask(two, vendors)
    assert caught.value is err
    assert vendors.called == ["one"]


def test_a_failing_vendor_is_asked_twice_and_never_by_the_same_account(world):
    dispatcher = Dispatcher(in_order(world, *[account(name) for name in ("one", "two", "three")]))
    vendors = Vendors(one=[UpstreamError("first")], two=[UpstreamError("second")])
    with pytest.raises(UpstreamError, match="second"):
        ask(dispatcher, vendors)
    assert vendors.called == ["one", "two"]


def test_the_only_account_of_a_failing_vendor_is_asked_once(world):
    vendors = Vendors(one=[UpstreamError("500"), UpstreamError("500")])
    with pytest.raises(UpstreamError, match="500"):
        ask(Dispatcher(in_order(world, account("one"))), vendors)
    assert vendors.called == ["one"]


def test_a_connection_that_closes_as_a_chat_goes_out_is_tried_once_more(world):
    dispatcher = Dispatcher(in_order(world, account("one")))
    vendors = Vendors(one=[UpstreamDisconnected("closed", sent=True)])
    assert ask(dispatcher, vendors) == ANSWER
    assert vendors.called == ["one", "one"]
    vendors = Vendors(one=[UpstreamDisconnected("closed", sent=True)] * 3)
    with pytest.raises(UpstreamDisconnected):
        ask(dispatcher, vendors)
    assert vendors.called == ["one", "one"]


@pytest.mark.parametrize("crash", [TypeError, AttributeError, KeyError, ValueError, IndexError])
def test_a_response_of_wrong_types_counts_as_a_failure_of_the_vendor(world, crash):
    pool = in_order(world, account("one"), account("two"))

    def crashes(route, account):
        called.append(account.name)
        if account.name == "one":
            raise crash("of a vendor's response")
        yield from Vendors().chat(route, account)

    for _ in range(5):
        called = []
        answer = Dispatcher(pool).stream(model(), "chat", ANYONE, Trace("r"), crashes)
        assert list(answer) == ANSWER
        assert called == ["one", "two"]
    assert view(pool, "one").state == "ejected"


def test_nothing_is_tried_again_once_something_was_sent_to_the_caller(two):
    def breaks(route, account):
        yield [TextDelta("Hel")]
        raise UpstreamDisconnected("cut", sent=True)

    batches = two.stream(model(), "chat", ANYONE, Trace("r"), breaks)
    assert next(batches) == [TextDelta("Hel")]
    with pytest.raises(UpstreamDisconnected):
        next(batches)


@pytest.mark.parametrize("err", [UpstreamDisconnected("reset"), AccountExhausted("429")])
def test_paid_work_is_submitted_again_only_where_it_cannot_have_begun(two, err):
    of, trace = model(kind="video"), Trace("r")
    vendors = Vendors(one=[err])
    assert two.once(of, "video", ANYONE, trace, vendors.submit) == "task of two"
    err.sent = True
    vendors = Vendors(one=[err], two=[err])
    with pytest.raises(type(err)):
        two.once(of, "video", ANYONE, trace, vendors.submit)
    assert len(vendors.called) == 1


def test_a_quota_that_is_back_soon_is_waited_for(world):
    dispatcher = Dispatcher(in_order(world, account("one"), clock=time.monotonic))
    vendors = Vendors(one=[AccountExhausted("429", retry_after=0.1)])
    assert ask(dispatcher, vendors) == ANSWER
    assert vendors.called == ["one", "one"]


def test_exhausted_accounts_end_as_the_time_to_come_back(two):
    vendors = Vendors(
        one=[AccountExhausted("429", retry_after=90)], two=[AccountExhausted("429", retry_after=40)]
    )
    with pytest.raises(NoAccountAvailable) as caught:
        ask(two, vendors)
    assert caught.value.status == 429
    assert caught.value.retry_after == pytest.approx(40)


@pytest.mark.parametrize("rejected", [AccountRejected, ModelRejected])
def test_what_all_accounts_are_refused_is_never_the_callers_401(two, rejected):
    vendors = Vendors(one=[rejected("401")], two=[rejected("403")])
    for _ in range(2):
        with pytest.raises(AccountRejected) as caught:
            ask(two, vendors)
        assert (caught.value.status, caught.value.code) == (502, "upstream_auth_failed")
    assert vendors.called == ["one", "two"]


@pytest.mark.parametrize("lacking", [ModelNotAvailable, ModelRejected])
def test_a_model_that_one_account_is_denied_is_asked_of_others(two, lacking):
    vendors = Vendors(one=[lacking("403")])
    assert [ask(two, vendors) for _ in range(3)] == [ANSWER] * 3
    assert vendors.called == ["one", "two", "two", "two"]


@pytest.mark.parametrize("others", [0, 20])
def test_a_model_that_no_account_has_is_told_to_be_none(two, others):
    """And asked for only now and then, unless there are too many such models to know them."""
    for name in ("model", *(f"model {n}" for n in range(others))):
        of = Model(name, "chat", (Route(vendor(), name),))
        vendors = Vendors(one=[ModelNotAvailable("404")] * 2, two=[ModelNotAvailable("404")] * 2)
        for _ in range(2):
            with pytest.raises(ModelNotAvailable):
                ask(two, vendors, of=of)
        assert sorted(vendors.called) in (["one", "two"], ["one", "one", "two", "two"])
        assert others or len(vendors.called) == 2


def test_an_account_that_may_have_the_model_is_worth_coming_back_for(two):
    vendors = Vendors(one=[ModelNotAvailable("404")], two=[AccountExhausted("429", retry_after=40)])
    with pytest.raises(NoAccountAvailable) as caught:
        ask(two, vendors)
    assert caught.value.retry_after == pytest.approx(40)


@pytest.mark.parametrize("lacking", [ModelNotAvailable, ModelRejected])
def test_an_account_that_lacks_one_model_is_asked_for_the_next(world, lacking):
    dispatcher = Dispatcher(in_order(world, account("one")))
    routes = tuple(Route(vendor(), name) for name in ("large", "small"))
    vendors = Vendors(one=[lacking("404")])
    of = Model("public", "chat", routes)
    assert ask(dispatcher, vendors, of=of) == ANSWER
    assert vendors.called == ["one", "one"]
    asked = dispatcher.plan(of, "chat", ANYONE, Trace("r"), lambda route, account: route.model)
    assert asked == "small"


def test_many_refusals_are_followed_to_the_account_that_answers(world):
    dead = {f"dead{n}": [AccountRejected("401")] for n in range(10)}
    dispatcher = Dispatcher(in_order(world, *map(account, dead), account("good")))
    vendors = Vendors(**dead)
    assert ask(dispatcher, vendors) == ANSWER
    assert vendors.called[-1] == "good"


def test_a_request_tries_only_so_many_accounts(world):
    dead = {f"dead{n}": [AccountExhausted("429", retry_after=60)] for n in range(40)}
    dispatcher = Dispatcher(in_order(world, *map(account, dead)))
    vendors = Vendors(**dead)
    with pytest.raises(NoAccountAvailable):
        ask(dispatcher, vendors)
    assert len(vendors.called) == 16


def test_the_next_route_serves_where_the_first_has_no_account_left(world):
    pool = in_order(world, account("a1", upstream="first"), account("b1", upstream="second"))
    dispatcher, of = Dispatcher(pool), model("first", "second")
    vendors, trace = Vendors(a1=[AccountExhausted("429", retry_after=60)]), Trace("r")
    assert ask(dispatcher, vendors, of=of, trace=trace) == ANSWER
    assert vendors.called == ["a1", "b1"]
    assert trace.upstream == "second"
    vendors = Vendors(b1=[UpstreamError("500")])
    with pytest.raises(UpstreamError, match="500"):
        ask(dispatcher, vendors, of=of)


def test_the_soonest_of_all_routes_is_announced(world):
    pool = in_order(world, account("a1", upstream="first"), account("b1", upstream="second"))
    vendors = Vendors(
        a1=[AccountExhausted("429", retry_after=30)], b1=[AccountExhausted("429", retry_after=80)]
    )
    with pytest.raises(NoAccountAvailable) as caught:
        ask(Dispatcher(pool), vendors, of=model("first", "second"))
    assert caught.value.retry_after == pytest.approx(30)


@pytest.mark.parametrize(
    ("err", "told"),
    [
        (AccountRejected("401"), InvalidApiKey),
        (ModelRejected("401"), Forbidden),
        (AccountExhausted("429", retry_after=7), RateLimitExceeded),
        (AccountQuotaExhausted("no date given"), RateLimitExceeded),
        (UpstreamUnreachable("refused"), UpstreamUnreachable),
    ],
)
def test_the_callers_own_credential_is_tried_once_and_touches_no_account(world, err, told):
    pool = in_order(world, account("one"))
    vendors = Vendors(own=[err])
    caller = Caller("own:x", credential=Secret("vendor-key"))
    with pytest.raises(told) as caught:
        ask(Dispatcher(pool), vendors, caller=caller)
    assert vendors.called == ["own"]
    assert caught.value.retry_after == (
        3600 if type(err) is AccountQuotaExhausted else err.retry_after
    )
    assert view(pool, "one").returns_in_s == 0


def test_a_connection_that_closes_is_opened_again_for_an_own_credential_too(world):
    dispatcher, caller = Dispatcher(world.pool()), Caller("own:x", credential=Secret("vendor-key"))
    closed = UpstreamDisconnected("closed", sent=True)
    vendors = Vendors(own=[closed])
    assert ask(dispatcher, vendors, caller=caller) == ANSWER
    assert vendors.called == ["own", "own"]
    vendors = Vendors(own=[closed] * 3)
    with pytest.raises(UpstreamDisconnected):
        ask(dispatcher, vendors, caller=caller)
    assert vendors.called == ["own", "own"]
    vendors = Vendors(own=[closed])
    with pytest.raises(UpstreamDisconnected):
        list(dispatcher.stream(model(), "image", caller, Trace("r"), vendors.chat))
    assert vendors.called == ["own"]


def test_what_is_too_much_for_the_accounts_of_one_route_goes_on_to_the_next(world):
    pool = in_order(
        world,
        account("few", upstream="first", limits={"image": "3/day"}),
        account("many", upstream="second", limits={"image": "9/day"}),
    )
    vendors, dispatcher, of = Vendors(), Dispatcher(pool), model("first", "second")

    def draw(amount):
        trace = Trace("r")
        return list(dispatcher.stream(of, "image", ANYONE, trace, vendors.chat, amount=amount))

    assert draw(4) == ANSWER
    assert vendors.called == ["many"]
    with pytest.raises(InvalidRequest):
        draw(10)


def test_an_own_credential_goes_to_the_vendor_whose_form_it_has(world):
    dispatcher = Dispatcher(in_order(world))
    vendors, trace = Vendors(), Trace("r")
    caller = Caller("own:x", credential=Secret("second-key"))
    ask(dispatcher, vendors, of=model("first", "second"), caller=caller, trace=trace)
    assert trace.upstream == "second"
    with pytest.raises(InvalidApiKey):
        ask(dispatcher, vendors, of=model("first"), caller=caller)


def test_a_model_without_any_account_does_not_exist(two):
    with pytest.raises(ModelNotFound):
        ask(two, Vendors(), of=model("elsewhere"))


def test_the_account_is_given_back_however_the_answer_ends(world):
    pool = in_order(world, account("one"))
    dispatcher = Dispatcher(pool)
    answer = dispatcher.stream(model(), "chat", ANYONE, Trace("r"), Vendors().chat)
    next(answer)
    assert view(pool, "one").in_flight == 1
    answer.close()
    assert view(pool, "one").in_flight == 0
    with pytest.raises(ZeroDivisionError):
        dispatcher.once(model(), "chat", ANYONE, Trace("r"), lambda route, account: 1 / 0)
    assert view(pool, "one").in_flight == 0


def test_a_plan_names_the_next_account_and_takes_nothing(world):
    pool = in_order(world, account("one", max_in_flight=1, limits={"chat": "1/day"}))
    dispatcher, trace = Dispatcher(pool), Trace("r")
    for _ in range(3):
        named = dispatcher.plan(model(), "chat", ANYONE, trace, lambda route, account: account.name)
        assert named == "one"
    assert (trace.account, trace.attempts) == ("one", 0)
    assert ask(dispatcher, Vendors()) == ANSWER


def test_retries_are_a_small_share_of_the_requests(world):
    def always(route, account):
        calls.append(account.name)
        raise UpstreamError("500")

    calls = []
    pool = world.pool(*[account(f"n{n}") for n in range(2000)])
    dispatcher = Dispatcher(pool, budget=RetryBudget(clock=world.clock))
    for _ in range(500):
        with pytest.raises(UpstreamError):
            dispatcher.once(model(), "chat", ANYONE, Trace("r"), always)
    assert 500 + 90 <= len(calls) <= 500 + 110
    calls.clear()
    world.clock.pass_s(10)
    for _ in range(10):
        with pytest.raises(UpstreamError):
            dispatcher.once(model(), "chat", ANYONE, Trace("r"), always)
    assert len(calls) == 20, "a few retries are always possible"
