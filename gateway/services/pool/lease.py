"""Lease of an account for one call."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from gateway.domain.errors import GatewayError
from gateway.services.pool.pooled_account import PooledAccount


class Lender(Protocol):
    """The pool, as leases report to it."""

    def recovered(self, lease: Lease) -> None: ...

    def failed(self, lease: Lease, err: GatewayError) -> None: ...

    def release(self, lease: Lease) -> None: ...


class Lease:
    """An account for one call, released at the end of the `with` block.

    An error that ends the block changes the account's health by its fault.
    """

    __slots__ = ("_lender", "account", "began_at", "model", "pooled", "probe", "slot")

    def __init__(
        self, lender: Lender, pooled: PooledAccount, model: str, began_at: float, *, probe: bool
    ) -> None:
        self._lender = lender
        self.pooled = pooled
        self.account = pooled.account
        self.model = model  # the vendor's id; "" for a query about an existing job
        self.began_at = began_at
        self.probe = probe  # it alone shows whether the account has recovered
        self.slot = False

    def succeeded(self) -> None:
        """Report the first part of an answer, which proves that the account is usable."""
        self.pooled.failures_in_a_row = 0
        if self.probe or not self.pooled.healthy:
            self._lender.recovered(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if err is None:
                self.succeeded()
            elif isinstance(err, GatewayError):
                self._lender.failed(self, err)
        finally:
            self._lender.release(self)
