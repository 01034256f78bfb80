"""Change feeds of the sandbox's data assets, and what they are read for."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.client.instants import format_instant
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.watching.feed import ChangeFeed, Interest, Snapshot

OLD = "2026-01-01T00:00:00.000Z"


class Reader:
    """A feed, its client, and what its readers are interested in."""

    def __init__(self, client: QlikCloudClient, sandbox: Sandbox, clock: Any) -> None:
        self.client = client
        self.feed = ChangeFeed(clock=clock)
        self.interest = Interest()
        self._sandbox = sandbox
        self._clock = clock

    def wait_for(self, *ids: str, stores: tuple[str, ...] = ()) -> Reader:
        self.interest = Interest(ids=frozenset(ids), store_ids=frozenset(stores))
        return self

    def wait_for_all_of(self, *stores: str) -> Reader:
        self.interest = Interest(stores=frozenset(stores))
        return self

    def poll(self, seconds: float = 60.0) -> Snapshot:
        """Poll some seconds after the last time."""
        self._clock.sleep(seconds)
        return self.feed.poll(self.client, self.interest)

    def freshness(self, seconds: float = 60.0) -> dict[str, str | None]:
        """Poll; return the freshness of what is of interest and exists."""
        states = self.poll(seconds).states
        return {
            key: format_instant(instant) if (instant := states[key].freshness) else None
            for key in sorted(self.interest.ids or states)
            if key in states
        }

    def requests(self, seconds: float = 60.0) -> int:
        """Poll; return how many requests that took."""
        self._sandbox.journal.clear()
        self.poll(seconds)
        return len(self._sandbox.journal)


def seed(sandbox: Sandbox, count: int, store: str = "store", **fields: Any) -> list[str]:
    """Put data assets in place, the last one modified last; return their ids."""
    return [
        sandbox.add_asset(
            store,
            id=f"{store}-{number:04}",
            technicalName=f"{store}-{number}",
            dataFreshness=OLD,
            **{"lastModifiedTime": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z", **fields},
        )["id"]
        for number in range(count)
    ]
