"""Health of the pooled accounts as their calls end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from threading import Lock
from typing import Any

from gateway.domain.errors import Fault, GatewayError
from gateway.runtime.logs import log
from gateway.services.pool.health import (
    CIRCUIT_FAILURES,
    Failure,
    Health,
    Uniform,
    on_failure,
    on_success,
)
from gateway.services.pool.lease import Lease
from gateway.services.pool.pooled_account import PooledAccount
from gateway.services.pool.registry import AccountRegistry
from gateway.services.pool.sync import HealthSync


class HealthMonitor:
    def __init__(
        self,
        registry: AccountRegistry,
        sync: HealthSync,
        lock: Lock,
        *,
        clock: Callable[[], float],
        uniform: Uniform,
    ) -> None:
        self._registry = registry
        self._sync = sync
        self._lock = lock
        self._clock = clock
        self._uniform = uniform

    def recovered(self, lease: Lease, *, query: bool = False) -> None:
        """End a cooldown or an ejection after an answer; `query` as in `on_success`."""
        pooled = lease.pooled
        began_at = inf if lease.probe else lease.began_at  # a probe is made to find out
        with self._lock:
            before = pooled.health
            after = on_success(before, began_at=began_at, at=self._clock(), query=query)
            pooled.set_health(after)
            if lease.probe:
                lease.probe = pooled.probing = False
            self._registry.changes += 1
        if after is not before:
            self._sync.changed(pooled)
            if before.ejections and not after.ejections:
                log.info("account_recovered", account=pooled.name)

    def failed(self, lease: Lease, err: GatewayError) -> None:
        """Change the account's health as the error's fault asks for."""
        pooled = lease.pooled
        failure = Failure(err, lease.began_at, self._clock(), lease.model)
        with self._lock:
            before = pooled.health
            if failure.of_vendor:
                pooled.failures_in_a_row += 1
                if pooled.failures_in_a_row >= CIRCUIT_FAILURES:
                    opens = self._registry.may_eject(pooled, Fault.VENDOR.value)
                    failure = replace(failure, opens_circuit=opens)
            after = on_failure(before, failure, uniform=self._uniform)
            if after == before:
                return
            ejected = after.ejections > 0 and after.ejected_until != before.ejected_until
            if ejected:
                pooled.failures_in_a_row = 0
            pooled.set_health(after)
            self._registry.changes += 1
        self._log(pooled, before, after, err)
        self._sync.changed(pooled, at_once=ejected)

    def _log(self, pooled: PooledAccount, before: Health, after: Health, err: GatewayError) -> None:
        now = self._clock()
        words: dict[str, Any] = {"account": pooled.name, "code": err.code}
        if after.ejected_until > before.ejected_until:
            words |= {"reason": after.eject_reason, "for_s": round(after.ejected_until - now, 1)}
            level = log.error if after.rejected else log.warning
            level("account_ejected", **words)
        elif after.cool_until > before.cool_until:
            words |= {"reason": after.cool_reason, "for_s": round(after.cool_until - now, 1)}
            log.warning("account_cooldown", **words)
        for model in after.models.keys() - before.models.keys():
            reason = after.models[model].reason
            log.warning("model_blocked", model=model[:256], reason=reason, **words)
