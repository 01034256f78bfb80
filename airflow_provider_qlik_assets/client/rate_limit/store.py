"""What the limiter needs from a store."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_qlik_assets.client.rate_limit.ledger import Decision, Quota


class Store(Protocol):
    """Keeps one ledger per key and applies the rules of :class:`.Ledger` to it, one caller at a time.

    Every method raises :class:`.StateUnavailableError` while the store is unavailable.
    """

    def ask(self, key: str, quota: Quota, ticket: int, max_wait: float) -> Decision:
        """Return a grant, a place in the queue, or neither if the wait would exceed ``max_wait`` seconds."""
        ...

    def renew(self, key: str, quota: Quota, age: float) -> bool:
        """Return whether the owner of a grant that was not used for ``age`` seconds may send now instead."""
        ...

    def leave(self, key: str, quota: Quota, ticket: int) -> None:
        """Give up a place in the queue."""
        ...

    def penalize(self, key: str, quota: Quota, retry_after: float) -> None:
        """Record a 429: no request is sent for ``retry_after`` seconds, and fewer than before after that."""
        ...

    def start_slowly(self, key: str, quota: Quota) -> None:
        """Space grants evenly for one window, because this store may lack earlier ones."""
        ...
