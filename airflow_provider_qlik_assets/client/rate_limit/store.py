"""What the limiter needs of a store."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_qlik_assets.client.rate_limit.ledger import Decision, Quota


class Store(Protocol):
    """Keeps one ledger per key and applies the rules of :class:`.Ledger` to it, one caller at a time.

    Every method raises :class:`.StateUnavailableError` while the store is away.
    """

    def ask(self, key: str, quota: Quota, ticket: int, max_wait: float) -> Decision:
        """Give a grant, a place in the queue, or neither if the wait would exceed ``max_wait`` seconds."""
        ...

    def leave(self, key: str, quota: Quota, ticket: int) -> None:
        """Give a place in the queue back."""
        ...

    def penalize(self, key: str, quota: Quota, retry_after: float) -> None:
        """Take note of a 429: nobody sends for ``retry_after`` seconds, and less than before afterwards."""
        ...

    def start_slowly(self, key: str, quota: Quota) -> None:
        """Space grants evenly for one window, because earlier ones may be missing from this store."""
        ...
